"""Every number of every Config has a range, and nonsense is refused by name."""

import dataclasses
import importlib
import math
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
import torch
from tiny_voice import AUDIO, VOCABULARY, tiny_model

import speechseq
from speechseq.audio.griffin_lim import griffin_lim
from speechseq.audio.mel import AudioConfig
from speechseq.cli.overlay import overlay, parse
from speechseq.cli.train import load_recipe
from speechseq.config import Config, choice
from speechseq.errors import ConfigError, SpeechseqError
from speechseq.inference.search.beam import usual_beam
from speechseq.inference.synthesizer import Synthesizer
from speechseq.inference.wer import bootstrap
from speechseq.models.language_model import LanguageModelConfig
from speechseq.models.tacotron import TacotronConfig
from speechseq.nn.frames import group_frames, ungroup_frames
from speechseq.ranges import Items, Range, Text, checked, shown, unwrapped
from speechseq.training.config import TrainerConfig

ROOT = Path(speechseq.__file__).parents[1]
RECIPES = sorted((ROOT / "recipes").glob("*/*.py"))
NUMBERS = [math.inf, -math.inf, math.nan, -1e300, 1e300, 10**400, -(10**400), 2**64, -1, True]
LONG = [[0] * 1_000_001, "x" * 1_000_001]
NONSENSE = [*NUMBERS, "1", "a\0b", [], {"a": {}}, [[[]]], b"x", *LONG]


def configs() -> list[type[Config]]:
    """All Config classes of the package and of the recipes."""
    for path in sorted((ROOT / "speechseq").rglob("*.py")):
        if "Config):" in path.read_text("utf-8"):  # importing all others too would take long
            importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    settings = {load_recipe(path).Settings for path in RECIPES}
    return sorted(settings | set(below(Config)), key=lambda cls: (cls.__module__, cls.__name__))


def below(cls: type) -> Iterator[type[Config]]:
    for child in cls.__subclasses__():
        if child.__module__.startswith("speechseq."):
            yield child
        yield from below(child)


def numbers(hint: Any) -> Iterator[tuple[type, Any]]:
    """Types and ranges of all numbers and strings in a hint, such as those of a tuple's items."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        for option in typing.get_args(hint):
            yield from numbers(option)
        return
    base, limit = unwrapped(hint)
    if typing.get_origin(base) is tuple:
        for item in typing.get_args(base):
            yield from numbers(item)
    elif base in (int, float, str):
        yield base, limit if typing.get_origin(hint) is Annotated or base is str else None


CONFIGS = configs()
FIELDS = [(cls, field.name) for cls in CONFIGS for field in dataclasses.fields(cls)]


def hint_of(cls: type[Config], name: str) -> Any:
    return typing.get_type_hints(cls, include_extras=True)[name]


def usual(cls: type[Config]) -> dict[str, Any]:
    """Valid values of a Config's fields."""
    needed = {"id": "a", "text": "one"}
    fields = dataclasses.fields(cls)
    return {f.name: needed[f.name] for f in fields if f.default is dataclasses.MISSING}


def test_the_walk_finds_configs_of_the_package_and_of_recipes() -> None:
    names = {cls.__name__ for cls in CONFIGS}
    assert {"TacotronConfig", "LASConfig", "Settings", "Beam", "AudioConfig"} <= names
    assert len(CONFIGS) >= 45
    assert len(FIELDS) > 250


@pytest.mark.parametrize("cls", CONFIGS, ids=lambda cls: f"{cls.__module__}.{cls.__name__}")
def test_every_number_has_a_range_and_refuses_nonsense_by_name(cls: type[Config]) -> None:
    for field in dataclasses.fields(cls):
        for base, limit in numbers(hint_of(cls, field.name)):
            expected = Text if base is str else Range
            assert isinstance(limit, expected), f"{field.name}: {base.__name__} without a range"
        for value in NONSENSE:
            refused(cls, field.name, value)


def refused(cls: type[Config], name: str, value: Any) -> None:
    """A value of a field is refused with the field's name, or accepted as one of its range."""
    try:
        stored = getattr(cls.from_dict(usual(cls) | {name: value}), name)
    except SpeechseqError as error:
        problem = str(error)
    else:
        for item in stored if isinstance(stored, tuple) else (stored,):
            assert isinstance(item, (int, float, str, Config, type(None)))
            assert not isinstance(item, float) or abs(item) <= 1e12, f"{name}: {value!r}"
            assert not isinstance(item, int) or abs(item) < 2**63, f"{name}: {value!r}"
        return
    assert name in problem or "utterance id" in problem
    assert len(problem) < 1000, "an error shows a value of any size in few characters"


@pytest.mark.parametrize(
    ("cls", "data", "problem"),
    [
        (
            TrainerConfig,
            {"seed": 2**64},
            r"seed: 18446744073709551616 is out of range\n  cure: use a whole number from 0",
        ),
        (
            TrainerConfig,
            {"betas": [0.9, 1.5]},
            r"betas\[1\]: 1.5 is out of range\n.*number from 0 to below 1",
        ),
        (TrainerConfig, {"updates": 0}, "updates: 0 is out of range"),
        (
            TrainerConfig,
            {"learning_rate": math.nan},
            r"learning_rate: nan is out of range\n  cure: use a number above 0",
        ),
        (
            LanguageModelConfig,
            {"dropout": -0.1},
            r"dropout: -0.1 is out of range\n.*number from 0 to below 1",
        ),
        (TacotronConfig, {"decoder": {"spare_frames": -1}}, "decoder.spare_frames: -1 is out"),
        (TacotronConfig, {"encoder": {"kind": []}}, r"encoder.kind: unknown \[\]"),
        (
            TacotronConfig,
            {"encoder": {"kind": "conv", "layers": 10**9}},
            "encoder.layers: 1000000000",
        ),
        (TacotronConfig, {"mel_mean": 10**400}, r"mel_mean: 2\*\*1328 or more is out"),
    ],
)
def test_the_message_names_key_value_and_range(cls: Any, data: Any, problem: str) -> None:
    with pytest.raises(ConfigError, match=f"^{problem}"):
        cls.from_dict(data)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plain(Config):
    size: int = 1
    rate: float = 0.5
    name: str = ""
    sizes: Annotated[tuple[int, ...], Items(1, 3)] = (1,)
    part: Config = choice(LanguageModelConfig, default=LanguageModelConfig())


def test_numbers_without_a_range_are_finite_and_fit_64_bits() -> None:
    with pytest.raises(ConfigError, match="size"):
        Plain(size=2**63)
    with pytest.raises(ConfigError, match="rate"):
        Plain(rate=math.inf)
    with pytest.raises(ConfigError, match="holds a NUL"):
        Plain(name="a\0b")
    with pytest.raises(
        ConfigError, match="sizes: a list of 4 is out of range\n  cure: use 1 to 3 values"
    ):
        Plain(sizes=(1, 2, 3, 4))
    assert Plain(size=2**63 - 1).size == 2**63 - 1


def test_values_of_like_types_are_converted() -> None:
    import numpy as np

    config = Plain(size=np.int64(3), rate=2, sizes=[1, 2])  # type: ignore[arg-type]
    assert (type(config.size), type(config.rate), config.sizes) == (int, float, (1, 2))


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "9" * 5000,
        "a: 2026-13-45",
        "[1]: 2",
        "? {a: 1}\n: 2",
        "[" * 5000,
        "a: &a [*a]",
        "a: *nothing",
        "<<: 3",
        "a: !!python/object:os.system {}",
        "a: !!binary '%'",
        "a: 1:99999999999999999999:1",
        "a: !!int x",
        "a: !!float x",
        "a: !!timestamp x",
        "a: \x00",
    ],
    ids=lambda text: text[:20],
)
def test_hostile_yaml_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^x\.yaml") as caught:
        overlay(TrainerConfig(), parse(text, "x.yaml"), "x.yaml")
    assert len(str(caught.value)) < 1000


def test_a_yaml_that_grows_by_aliases_stays_small_in_its_error() -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
    with pytest.raises(ConfigError) as caught:
        overlay(TrainerConfig(), parse("\n".join([*rows, "updates: *a29"]), "x.yaml"), "x.yaml")
    assert len(str(caught.value)) < 1000


def test_what_a_range_says_is_what_it_holds() -> None:
    open_range = Range(0, 1, above=True, below=True)
    assert str(open_range) == "above 0 to below 1"
    assert [x in open_range for x in (0, 1e-9, 1, math.nan)] == [False, True, False, False]
    assert str(Range(1, 65_536)) == "from 1 to 65,536"
    assert checked("x", 1, Annotated[int, Range(0, 1)] | None) == 1
    assert checked("x", None, Annotated[int, Range(0, 1)] | None) is None


def test_values_are_shown_in_few_characters() -> None:
    nested: list = []
    nested.append(nested)
    for value in ("x" * 10**6, [0] * 10**6, {i: i for i in range(10**5)}, 10**10_000, nested):
        assert len(shown(value)) < 200


MAGNITUDE = torch.ones(1, 4, 513)
ARGUMENTS = {
    "seed": lambda: griffin_lim(MAGNITUDE, AudioConfig(), seed=2**64),
    "power": lambda: griffin_lim(MAGNITUDE, AudioConfig(), power=math.nan),
    "iterations": lambda: griffin_lim(MAGNITUDE, AudioConfig(), iterations=-1),
    "momentum": lambda: griffin_lim(MAGNITUDE, AudioConfig(), momentum=1.0),
    "reduction_factor": lambda: group_frames(MAGNITUDE, 0),
    "reduction_factor: 513": lambda: ungroup_frames(MAGNITUDE, 2),
    "resamples": lambda: bootstrap.interval([1], [2], resamples=10**9),
    "size": lambda: usual_beam(10**9),
    "batch_size": lambda: Synthesizer(tiny_model(), VOCABULARY, AUDIO, batch_size=0),
    "max_steps": lambda: Synthesizer(tiny_model(), VOCABULARY, AUDIO).synthesize([], max_steps=0),
    "seed: 1": lambda: Synthesizer(tiny_model(), VOCABULARY, AUDIO).synthesize([], seed=2**70),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments_of_public_functions_are_refused_by_name(name: str) -> None:
    with pytest.raises(ConfigError, match=f"^{name}"):
        ARGUMENTS[name]()
