"""Every cure in every message exists: its flags, commands, extras, files, functions and settings.

And what a command says is a command: a cure that tells Python names a flag or command beside it,
unless only code of the user's own can run into it.
"""

import argparse
import importlib
import re
import tomllib
from typing import Any

import pytest
from cures import ROOT, Cure, all_cures, defined

from speechseq import cli
from speechseq.cli.overlay import leaves
from speechseq.cli.parser import Parser
from speechseq.cli.recipe import _parser
from speechseq.cli.train import load_recipe

CURES = all_cures()
FLAG = re.compile(r"(?<![\w-])--[A-Za-z][\w.-]*\w")
COMMAND = re.compile(r"speechseq ([a-z]+)(?= [-A-Z]|$)")
EXTRA = re.compile(r"speechseq\[(\w+)\]")
MODULE = re.compile(r"speechseq(?:\.\w+)+")
FILE = re.compile(r"(?<![\w/])(?:recipes|data|docs)/[\w./]*\w")
CALLED = re.compile(r"(?<![\w.…])((?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*)\(")
CLASS = re.compile(r"(?<![\w.…])([A-Z]\w*[a-z]\w*(?:\.[a-z]\w*)*)")
KEYWORD = re.compile(r"(?<![\w-])([a-z]\w*)=(?=\w|\"|…)")
BACKTICKS = re.compile(r"`([^`]+)`")
SNAKE = re.compile(r"(?<![\w.-])((?:[a-z]\w*\.)*[a-z]\w*_\w+)(?![\w.-])")
PROGRAMS = {"--force-reinstall"}  # flags of pip
OF_LIBRARIES = {
    "torch.tensor",
    "torchaudio.models.Tacotron2",
    "cut.save_audio",
    "torch.int64",
    "state_dict",
}
NO_NAMES = {
    "Hz",
    "False",
    "True",
    "Ctrl",
    "IN",
    "OUT",
    "WAV",
    "FILE",
    "DIR",
    "UTF",
    "Free",
    "Spoken",
    "Digit",
    "Dataset",
}


@pytest.fixture(scope="module")
def settings() -> set[str]:
    """Dotted keys of the settings of all recipes."""
    recipes = sorted((ROOT / "recipes").glob("*/*.py"))
    modules = [load_recipe(path) for path in recipes]
    return {key for module in modules for key, _ in leaves(module.Settings().to_dict())}


@pytest.fixture(scope="module")
def flags(settings: set[str]) -> set[str]:
    """Flags of all commands and recipes."""
    module = load_recipe(ROOT / "recipes" / "tts" / "spoken_digits.py")
    recipe = _parser(module.main, module.Settings())
    found = {f"--{key}" for key in settings} | set(recipe._option_string_actions)
    return found | {flag for parser in commands().values() for flag in options(parser)}


def commands() -> dict[str, Parser]:
    parser = Parser(prog="speechseq")
    added: Any = parser.add_subparsers()
    for module in (
        cli.prepare,
        cli.train,
        cli.doctor,
        cli.synthesize,
        cli.transcribe,
        cli.score,
        cli.info,
    ):
        module.add(added)
    return added.choices


def options(parser: argparse.ArgumentParser) -> set[str]:
    found = set(parser._option_string_actions)
    for action in parser._actions:
        for inner in action.choices.values() if isinstance(action.choices, dict) else ():
            found |= options(inner)
    return found


def test_the_collection_finds_cures_of_every_kind() -> None:
    texts = [cure.text for cure in CURES]
    assert len(texts) > 200
    assert "give --out X.wav" in texts  # an argument
    assert any("--init" in text for text in texts)  # a constant of the module
    assert "name a file with a text a line" in texts  # a keyword
    assert any("…" in text for text in texts)  # an f-string
    assert any("--skip-bad" in text for text in texts)


def test_flags_named_in_cures_exist(flags: set[str]) -> None:
    named = {(cure.where, flag) for cure in CURES for flag in FLAG.findall(cure.text)}
    assert len(named) > 15
    assert sorted(pair for pair in named if pair[1] not in flags | PROGRAMS) == []


def test_commands_named_in_cures_exist() -> None:
    named = {(cure.where, word) for cure in CURES for word in COMMAND.findall(cure.text)}
    assert named
    assert sorted(pair for pair in named if pair[1] not in commands()) == []


def test_extras_named_in_cures_exist() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    named = {(cure.where, extra) for cure in CURES for extra in EXTRA.findall(cure.text)}
    assert named
    assert sorted(p for p in named if p[1] not in extras["optional-dependencies"]) == []


def test_files_named_in_cures_exist() -> None:
    named = {(cure.where, path) for cure in CURES for path in FILE.findall(cure.text)}
    assert named
    assert sorted(pair for pair in named if not (ROOT / pair[1]).exists()) == []


def python_of(cure: Cure) -> set[str]:
    """Names of Python in a cure: calls, classes, keywords, names with underscores."""
    text = FLAG.sub("", MODULE.sub("", cure.text))
    text = COMMAND.sub("", EXTRA.sub("", FILE.sub("", text)))
    patterns = (CALLED, CLASS, KEYWORD, SNAKE)
    found = {name for pattern in patterns for name in pattern.findall(text)}
    quoted = {name for name in BACKTICKS.findall(text) if re.fullmatch(r"[\w.]+", name)}
    return (found | quoted) - NO_NAMES - OF_LIBRARIES


def test_names_of_python_in_cures_exist(settings: set[str]) -> None:
    known = defined() | settings | {key.rpartition(".")[2] for key in settings}
    missing = {
        (cure.where, name)
        for cure in CURES
        for name in python_of(cure)
        if name not in known and ".".join(name.split(".")[-2:]) not in known
    }
    assert sorted(missing) == []
    for cure in CURES:
        for dotted in MODULE.findall(cure.text):
            module, _, name = dotted.rpartition(".")
            assert hasattr(importlib.import_module(module), name), cure


# Only code of the user's own runs into these: no command and no recipe of ours does.
OF_CODE = {
    "the ids of Vocabulary.encode, padded to one width",
    "build it with Vocabulary.transcripts",
    'build the vocabulary with normalizer="none", or TTSCollate without a normalizer',
    "build(..., bins=audio.bins) with the AudioConfig that made the batch",
    "choose NormalConfig as the posterior, or MMDConfig as the penalty",
    "choose a style_dim that is a multiple of heads",
    "give DirichletConfig and TokenBankConfig the same numbers",
    "take ids from SpeakersConfig.index",
    "tokens are queried by PointConfig, or weighed by DirichletConfig, queried=False",
    "use DirichletPriorConfig for weights of tokens",
    "use TokenBankConfig, or NormalPriorConfig",
    "call its fit() with the training features, or load a checkpoint",
    "keep them in its state and give them to attend(), or use no window",
    "set `reading` beside `heads`; it holds for every head",
    "speak it piece by piece with Synthesizer.stream",
    "use Vocabulary.transcripts, words or pieces",
    "use the AudioConfig that the magnitude was made with",
    "write main(settings, run)",
}


def test_what_a_command_says_is_a_command(settings: set[str]) -> None:
    keys = {key.rpartition(".")[2] for key in settings}  # a message names the whole key before
    told = {cure for cure in CURES if python_of(cure) - keys and not FLAG.search(cure.text)}
    assert sorted(cure for cure in told if cure.text not in OF_CODE) == []
    assert OF_CODE - {cure.text for cure in told} == set()
