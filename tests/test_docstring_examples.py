"""The examples of the docstrings run, print what they show, and the most used names have one."""

import ast
import doctest
import functools
import importlib
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from tiny_recogniser import AUDIO, MODEL, VOCABULARY
from tiny_tacotron import tiny_batch, tiny_model, tiny_tacotron2
from tiny_voice import save_voice

from speechseq import checkpoint
from speechseq.audio.mel import AudioConfig
from speechseq.batch import ASRBatch
from speechseq.corpus import ljspeech
from speechseq.corpus.collate import TTSCollate
from speechseq.corpus.sampling import Batches
from speechseq.models.losses import TacotronLoss, TacotronLossConfig
from speechseq.text.vocabulary import Vocabulary
from speechseq.training.config import TrainerConfig
from speechseq.training.saving import ModelDescription

PACKAGE = Path(__file__).parents[1] / "speechseq"
FLAGS = doctest.ELLIPSIS
MOST_USED = [
    "audio.augment.spec_augment",
    "audio.griffin_lim.griffin_lim",
    "audio.mel.AudioConfig.preset",
    "audio.mel.log_mel",
    "audio.mel.magnitude",
    "audio.mel.mel_to_magnitude",
    "audio.wav.load",
    "audio.wav.save",
    "batch.ASRBatch",
    "batch.TTSBatch",
    "checkpoint.load",
    "config.Config.from_dict",
    "corpus.collate.TTSCollate",
    "corpus.collate_speech.ASRCollate",
    "corpus.features.compute",
    "corpus.ljspeech.read",
    "corpus.sampling.Batches",
    "errors.SpeechseqError",
    "evaluation.judge.Judge",
    "inference.arpa_lm.NGramScorer",
    "inference.score.score",
    "inference.search.beam.Beam",
    "inference.search.greedy.Greedy",
    "inference.search.recognise.recognise",
    "inference.synthesizer.Synthesizer",
    "inference.transcriber.Transcriber",
    "models.language_model.LanguageModelConfig",
    "models.las.las_small",
    "models.las_loss.LASLoss",
    "models.losses.TacotronLoss",
    "models.tacotron.Tacotron.forward",
    "models.tacotron.Tacotron.generate",
    "models.tacotron.tacotron1",
    "models.tacotron.tacotron2",
    "nn.attention.content.ContentConfig",
    "nn.attention.dot.DotConfig",
    "nn.attention.location_sensitive.LocationSensitiveConfig",
    "nn.attention.reading.ReadingConfig",
    "nn.cbhg.CBHG",
    "nn.frames.group_frames",
    "nn.frames.teacher_inputs",
    "nn.frames.ungroup_frames",
    "nn.masks.length_mask",
    "nn.prenet.Prenet",
    "nn.pyramid.PyramidBiLSTM",
    "text.normalize.normalize",
    "text.vocabulary.Vocabulary",
    "training.config.TrainerConfig",
    "training.trainer.Trainer",
]


@functools.cache
def docstrings() -> dict[str, tuple[str, str]]:
    """Every docstring of the package with an example: its name to its module and its text."""
    found = {}

    def walk(node: Any, module: str, name: str) -> None:
        text = ast.get_docstring(node) or ""
        if ">>>" in text:
            found[name.removeprefix("speechseq.")] = module, text
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                walk(child, module, f"{name}.{child.name}")

    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        module = ".".join(parts).removesuffix(".__init__")
        walk(ast.parse(path.read_text("utf-8")), module, module)
    return found


def defined(module: str) -> dict[str, Any]:
    """Return the names that a module defines itself; an example imports all others."""
    everything = vars(importlib.import_module(module))
    own = {k: v for k, v in everything.items() if getattr(v, "__module__", None) == module}
    return {"torch": torch, "__name__": "example", **own}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder: the demo's models, untrained, a corpus of two recordings, two sounds."""
    root = tmp_path_factory.mktemp("examples")
    save_voice(root / "runs" / "demo" / "voice")
    ears = MODEL.build(symbols=len(VOCABULARY), features=AUDIO.features)
    parts = {"model": MODEL, "audio": AUDIO, "vocabulary": VOCABULARY, "update": 1}
    checkpoint.save(root / "runs" / "demo" / "ears", weights=ears.state_dict(), **parts)
    (root / "data" / "mine" / "wavs").mkdir(parents=True)
    (root / "data" / "mine" / "metadata.csv").write_text("a1|one|one\na2|two|two\n")
    for name, samples in (("a1", 11_000), ("a2", 16_700)):
        noise = 0.1 * torch.randn(samples).numpy()
        soundfile.write(root / "data" / "mine" / "wavs" / f"{name}.wav", noise, 22050)
    for name in ("one.wav", "two.wav"):
        soundfile.write(root / name, 0.1 * torch.randn(4000).numpy(), AUDIO.sample_rate)
    return root


def tacotron() -> dict[str, Any]:
    return {"model": tiny_model(tiny_tacotron2()).train(), "batch": tiny_batch()}


def recogniser() -> dict[str, Any]:
    features, tokens = torch.randn(2, 9, AUDIO.features), torch.tensor([[4, 5, 1], [6, 1, 0]])
    lengths = {"feature_lengths": torch.tensor([9, 7]), "token_lengths": torch.tensor([3, 2])}
    model = MODEL.build(symbols=len(VOCABULARY), features=AUDIO.features)
    return {"model": model, "batch": ASRBatch(features=features, tokens=tokens, **lengths)}


def corpus() -> dict[str, Any]:
    vocabulary, audio = Vocabulary.characters(), AudioConfig()
    cuts, collate = ljspeech.read("data/mine"), TTSCollate(vocabulary, audio)
    return {"cuts": cuts, "collate": collate, "vocabulary": vocabulary, "audio": audio}


def run() -> dict[str, Any]:
    given, config = corpus(), tiny_tacotron2()
    vocabulary, audio = given["vocabulary"], given["audio"]
    return {
        "model": config.build(symbols=len(vocabulary), mels=audio.mels),
        "loss": TacotronLoss(TacotronLossConfig()),
        "batches": Batches(given["cuts"], given["collate"], frames_per_batch=200, seed=0),
        "config": TrainerConfig(updates=2, tensorboard=False),
        "about": ModelDescription(model=config, audio=audio, vocabulary=vocabulary),
    }


GIVEN = {
    "corpus.collate.TTSCollate": corpus,
    "corpus.collate_speech.ASRCollate": corpus,
    "corpus.sampling.Batches": corpus,
    "inference.arpa_lm.NGramScorer": lambda: {"vocabulary": Vocabulary.transcripts("abc ")},
    "models.las_loss.LASLoss": recogniser,
    "models.losses.TacotronLoss": tacotron,
    "models.tacotron.Tacotron.forward": tacotron,
    "training.trainer.Trainer": run,
}  # arguments that an example uses and leaves to its reader


@pytest.mark.parametrize("name", sorted({*MOST_USED, *docstrings()}))
def test_the_example_prints_what_it_shows(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    if name == "evaluation.judge.Judge":
        pytest.importorskip("pocketsphinx")
    assert name in docstrings(), "its docstring has lost its example"
    module, text = docstrings()[name]
    names = {**defined(module), **GIVEN.get(name, dict)()}
    example = doctest.DocTestParser().get_doctest(text, names, name, None, 0)
    printed: list[str] = []
    doctest.DocTestRunner(optionflags=FLAGS).run(example, out=printed.append)
    assert not printed, "".join(printed)


@pytest.mark.parametrize("name", sorted(docstrings()))
def test_an_example_stands_where_the_site_renders_it(name: str) -> None:
    """Under `Examples:`, at the end; under another title the site shows it as a quotation."""
    _, text = docstrings()[name]
    before, _, example = text.partition("\nExamples:\n")
    assert ">>>" not in before
    assert all(line.startswith("    ") for line in example.splitlines() if line)
