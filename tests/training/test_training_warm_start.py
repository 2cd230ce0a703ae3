"""--init: a new run from a checkpoint's weights, symbols matched by name."""

import json
from pathlib import Path

import pytest
import torch
from tiny_las import tiny_config
from torch import nn
from toy_run import ToyConfig, toy_trainer

from speechseq import checkpoint
from speechseq.audio.mel import AudioConfig
from speechseq.config import Config
from speechseq.errors import CheckpointError
from speechseq.models.language_model import LanguageModelConfig
from speechseq.models.las import LASConfig
from speechseq.models.tacotron import tacotron1, tacotron2_small
from speechseq.text.vocabulary import Vocabulary
from speechseq.training import log
from speechseq.training.saving import ModelDescription
from speechseq.training.warm_start import warm_start

AUDIO = AudioConfig()
OLD, NEW = "q abc", "cbü aß"  # other places; two symbols are new, one is gone


def built(config: Config, vocabulary: Vocabulary, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    if isinstance(config, LanguageModelConfig):
        return config.build(symbols=len(vocabulary))
    if isinstance(config, LASConfig):
        return config.build(symbols=len(vocabulary), features=AUDIO.features)
    return config.build(symbols=len(vocabulary), mels=AUDIO.mels, bins=AUDIO.bins)  # type: ignore


def saved(folder: Path, config: Config, vocabulary: Vocabulary) -> dict[str, torch.Tensor]:
    weights = built(config, vocabulary, 1).state_dict()
    audio = None if isinstance(config, LanguageModelConfig) else AUDIO
    checkpoint.save(
        folder, model=config, audio=audio, vocabulary=vocabulary, weights=weights, update=7
    )
    return weights


def described(config: Config, vocabulary: Vocabulary) -> ModelDescription:
    audio = None if isinstance(config, LanguageModelConfig) else AUDIO
    return ModelDescription(model=config, audio=audio, vocabulary=vocabulary)


MODELS = {
    "tacotron 2": (tacotron2_small(), {"encoder.embedding.weight"}),
    "tacotron": (tacotron1(), {"encoder.embedding.weight"}),
    "las": (
        tiny_config(),
        {"ctc.bias", "ctc.weight"}
        | {f"speller.{n}" for n in ("embedding.weight", "symbols.weight", "symbols.bias")},
    ),
    "lm": (
        LanguageModelConfig(embedding=4, hidden=6),
        {"embedding.weight", "output.weight", "output.bias"},
    ),
    "tied lm": (
        LanguageModelConfig(embedding=4, hidden=6, tied=True),
        {"embedding.weight", "output_bias"},
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_rows_are_taken_over_by_the_name_of_their_symbol(name: str, tmp_path: Path) -> None:
    config, by_symbol = MODELS[name]
    make = Vocabulary.characters if "tacotron" in name else Vocabulary.transcripts
    old, new = make(OLD), make(NEW)
    theirs = saved(tmp_path / "old", config, old)
    model = built(config, new, 2)
    fresh = {key: value.clone() for key, value in model.state_dict().items()}
    warm = warm_start(model, described(config, new), tmp_path / "old")
    controls = len(new.controls)
    assert (warm.taken, warm.new, warm.left) == (controls + 4, ("ü", "ß"), ("q",))
    assert warm.line().endswith(
        f"{controls + 4} of {controls + 6} symbols taken over, new: ü ß, left behind: q"
    )
    for key, value in model.state_dict().items():
        if key not in by_symbol:
            assert torch.equal(value, theirs[key]), key
            continue
        for symbol in NEW:
            source, place = (theirs, old) if symbol in OLD else (fresh, new)
            row = source[key][place.encode(symbol)[0]]
            assert torch.equal(value[new.encode(symbol)[0]], row), (key, symbol)
        assert torch.equal(value[:controls], theirs[key][:controls])


def test_symbols_move_even_where_both_vocabularies_are_of_one_size(tmp_path: Path) -> None:
    config = LanguageModelConfig(embedding=5, hidden=5)
    old, new = Vocabulary.transcripts("a"), Vocabulary.transcripts("b")  # 5 entries, 5 channels
    theirs = saved(tmp_path / "old", config, old)
    model = built(config, new, 2)
    fresh = model.state_dict()["embedding.weight"][4].clone()
    warm_start(model, described(config, new), tmp_path / "old")
    after = model.state_dict()
    assert torch.equal(after["embedding.weight"][4], fresh)
    assert torch.equal(after["layers.weight_ih_l0"], theirs["layers.weight_ih_l0"])


def test_a_symbol_spelled_like_a_control_is_not_that_control(tmp_path: Path) -> None:
    config = LanguageModelConfig(embedding=4, hidden=6)
    saved(tmp_path / "old", config, Vocabulary.words(["<eos>", "one"]))
    new = Vocabulary.words(["one", "two"])
    warm = warm_start(built(config, new, 2), described(config, new), tmp_path / "old")
    assert (warm.taken, warm.new, warm.left) == (5, ("two",), ("<eos>",))


def test_a_tensor_of_another_shape_is_refused_by_name_with_both_shapes(tmp_path: Path) -> None:
    vocabulary = Vocabulary.transcripts("abc")
    saved(tmp_path / "old", LanguageModelConfig(embedding=4, hidden=6), vocabulary)
    other = LanguageModelConfig(embedding=5, hidden=6)
    model = built(other, vocabulary, 2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"embedding\.weight is \(7, 4\), expected \(7, 5\)"):
        warm_start(model, described(other, vocabulary), tmp_path / "old")
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_parts_that_one_of_both_lacks_are_refused_by_name(tmp_path: Path) -> None:
    vocabulary = Vocabulary.transcripts("abcde")
    saved(tmp_path / "old", tiny_config(ctc=False), vocabulary)
    model = built(tiny_config(), vocabulary, 2)
    with pytest.raises(CheckpointError, match=r"missing ctc\.bias; missing ctc\.weight"):
        warm_start(model, described(tiny_config(), vocabulary), tmp_path / "old")


def test_a_model_of_another_kind_is_refused(tmp_path: Path) -> None:
    vocabulary = Vocabulary.transcripts("abc")
    saved(tmp_path / "old", LanguageModelConfig(embedding=4, hidden=6), vocabulary)
    model = built(tiny_config(), vocabulary, 2)
    with pytest.raises(CheckpointError, match="holds a model of kind 'language_model', not 'las'"):
        warm_start(model, described(tiny_config(), vocabulary), tmp_path / "old")


def test_a_run_begins_with_the_weights_and_everything_else_at_zero(tmp_path: Path) -> None:
    toy_trainer(tmp_path / "first", updates=6).run()
    weights = checkpoint.read(tmp_path / "first").weights
    # a learning rate of next to nothing: the first checkpoint shows where the run began
    settings = {"learning_rate": 1e-12, "ema_decay": 0.9, "checkpoint_every": 1}
    second = toy_trainer(tmp_path / "second", updates=1, init=str(tmp_path / "first"), **settings)
    assert second.run().updates == 1
    begun = checkpoint.read(tmp_path / "second")
    for name, value in begun.weights.items():
        if "running" not in name and "num_batches" not in name:
            torch.testing.assert_close(value, weights[name])
    assert int(begun.weights["layers.1.num_batches_tracked"]) == 7
    state = second._optimizer.state_dict()["state"]
    assert {int(moments["step"]) for moments in state.values()} == {1}
    (event,) = [line for line in log.read(tmp_path / "second") if line.get("event") == "init"]
    assert (event["update"], event["new"], event["left"]) == (0, [], [])


def test_a_run_that_has_begun_ignores_it_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toy_trainer(tmp_path / "other", updates=1).run()
    toy_trainer(tmp_path / "run", updates=2).run()
    toy_trainer(tmp_path / "plain", updates=2).run()
    capsys.readouterr()
    toy_trainer(tmp_path / "run", updates=4, init=str(tmp_path / "other")).run()
    assert "init: ignored, since" in capsys.readouterr().out
    toy_trainer(tmp_path / "plain", updates=4).run()
    ours, theirs = (checkpoint.read(tmp_path / name).weights for name in ("run", "plain"))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_what_cannot_be_resumed_names_init_as_its_cure(tmp_path: Path) -> None:
    toy_trainer(tmp_path, updates=1).run()
    with pytest.raises(CheckpointError) as refused:
        toy_trainer(tmp_path, updates=2, model=ToyConfig(hidden=9)).run()
    assert "--init" in refused.value.cure


def test_other_audio_settings_are_said(tmp_path: Path) -> None:
    vocabulary = Vocabulary.transcripts("abcde")
    saved(tmp_path / "old", tiny_config(), vocabulary)
    stored = json.loads((tmp_path / "old" / "config.json").read_text())
    about = ModelDescription(model=tiny_config(), audio=AudioConfig(hop=128), vocabulary=vocabulary)
    warm = warm_start(built(tiny_config(), vocabulary, 2), about, tmp_path / "old")
    assert warm.audio == f"audio.hop is {stored['audio']['hop']} there, 128 here"
