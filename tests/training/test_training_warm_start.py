"""--init: a new run from a checkpoint's weights, symbols and speakers matched by name."""

import dataclasses
import re
from pathlib import Path

import pytest
import torch
from tiny_las import tiny_config
from tiny_tacotron import tiny_tacotron1, tiny_tacotron2
from torch import nn
from toy_run import ToyConfig, toy_trainer

from speechseq import checkpoint
from speechseq.audio.mel import AudioConfig
from speechseq.config import Config
from speechseq.errors import CheckpointError
from speechseq.models.language_model import LanguageModelConfig
from speechseq.models.las import LASConfig
from speechseq.models.speakers import speakers
from speechseq.models.tacotron import TacotronConfig, tacotron1, tacotron2_small
from speechseq.nn.attention.content import ContentConfig
from speechseq.text.vocabulary import Vocabulary
from speechseq.training import log
from speechseq.training.init_check import check_warm_start
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
    checkpoint.save(
        folder,
        model=config,
        audio=audio_of(config),
        vocabulary=vocabulary,
        weights=weights,
        update=7,
    )
    return weights


def audio_of(config: Config) -> AudioConfig | None:
    return None if isinstance(config, LanguageModelConfig) else AUDIO


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
    warm = warm_start(model, new, tmp_path / "old", audio_of(config))
    controls = len(new.controls)
    assert (warm.taken, warm.new, warm.missing) == (controls + 4, ("ü", "ß"), ("q",))
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
    warm_start(model, new, tmp_path / "old", audio_of(config))
    after = model.state_dict()
    assert torch.equal(after["embedding.weight"][4], fresh)
    assert torch.equal(after["layers.weight_ih_l0"], theirs["layers.weight_ih_l0"])


def test_a_symbol_spelled_like_a_control_is_not_that_control(tmp_path: Path) -> None:
    config = LanguageModelConfig(embedding=4, hidden=6)
    saved(tmp_path / "old", config, Vocabulary.words(["<eos>", "one"]))
    new = Vocabulary.words(["one", "two"])
    warm = warm_start(built(config, new, 2), new, tmp_path / "old", None)
    assert (warm.taken, warm.new, warm.missing) == (5, ("two",), ("<eos>",))


def test_a_tensor_of_another_shape_is_refused_by_name_with_both_shapes(tmp_path: Path) -> None:
    vocabulary = Vocabulary.transcripts("abc")
    saved(tmp_path / "old", LanguageModelConfig(embedding=4, hidden=6), vocabulary)
    other = LanguageModelConfig(embedding=5, hidden=6)
    model = built(other, vocabulary, 2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"embedding\.weight is \(7, 4\), expected \(7, 5\)"):
        warm_start(model, vocabulary, tmp_path / "old", None)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_parts_that_one_of_both_lacks_are_refused_by_name(tmp_path: Path) -> None:
    vocabulary = Vocabulary.transcripts("abcde")
    saved(tmp_path / "old", tiny_config(ctc=False), vocabulary)
    model = built(tiny_config(), vocabulary, 2)
    with pytest.raises(CheckpointError, match=r"missing ctc\.bias; missing ctc\.weight"):
        warm_start(model, vocabulary, tmp_path / "old", AUDIO)


def test_a_model_of_another_kind_is_refused(tmp_path: Path) -> None:
    vocabulary = Vocabulary.transcripts("abc")
    saved(tmp_path / "old", LanguageModelConfig(embedding=4, hidden=6), vocabulary)
    model = built(tiny_config(), vocabulary, 2)
    with pytest.raises(CheckpointError, match="holds a model of kind 'language_model', not 'las'"):
        warm_start(model, vocabulary, tmp_path / "old", AUDIO)


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


def frozen_copy(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def assert_equal(model: nn.Module, before: dict[str, torch.Tensor]) -> None:
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_other_audio_settings_are_refused_with_every_field_named(tmp_path: Path) -> None:
    vocabulary = Vocabulary.transcripts("abcde")
    saved(tmp_path / "old", tiny_config(), vocabulary)
    model = built(tiny_config(), vocabulary, 2)
    before, other = frozen_copy(model), AudioConfig(hop=128, floor=1e-4)
    expected = (
        r"mels of another convention: audio\.hop is 256 there, 128 here; "
        r"audio\.floor is 1e-05 there, 0\.0001 here"
    )
    with pytest.raises(CheckpointError, match=expected):
        warm_start(model, vocabulary, tmp_path / "old", other)
    with pytest.raises(CheckpointError, match=expected):
        check_warm_start(tmp_path / "old", tiny_config(), other)
    assert_equal(model, before)


def test_another_scale_of_the_mels_is_refused_although_every_shape_fits(tmp_path: Path) -> None:
    small, vocabulary = tacotron2_small(), Vocabulary.characters("abc")
    saved(tmp_path / "old", small, vocabulary)
    other = dataclasses.replace(small, mel_mean=0.0)
    expected = r"model\.mel_mean is -5\.0 there, 0\.0 here$"
    model = built(other, vocabulary, 2)
    with pytest.raises(CheckpointError) as refused:
        warm_start(model, vocabulary, tmp_path / "old", AUDIO)
    assert re.search(expected, refused.value.problem)
    with pytest.raises(CheckpointError, match="mel_mean"):
        check_warm_start(tmp_path / "old", other, AUDIO)


@pytest.mark.parametrize(("before", "after"), [(4, 2), (2, 5)])
def test_another_reduction_factor_is_fitted_and_said(
    before: int, after: int, tmp_path: Path
) -> None:
    vocabulary = Vocabulary.characters("abc")
    theirs = saved(tmp_path / "old", tiny_tacotron2(reduction_factor=before), vocabulary)
    config = tiny_tacotron2(reduction_factor=after)
    check_warm_start(tmp_path / "old", config, AUDIO)
    model = built(config, vocabulary, 2)
    warm = warm_start(model, vocabulary, tmp_path / "old", AUDIO)
    assert warm.reduction_factors == (before, after)
    assert warm.line().endswith(f"reduction factor {before} fitted to {after}")
    top = torch.randn(3, model.decoder.frames.in_features)  # type: ignore[union-attr]
    made = model.decoder.frames(top).view(3, after, AUDIO.mels)  # type: ignore[union-attr,operator]
    weight, bias = (theirs[f"decoder.frames.{name}"] for name in ("weight", "bias"))
    true = (top @ weight.T + bias).view(3, before, AUDIO.mels)
    for frame in range(after):
        torch.testing.assert_close(made[:, frame], true[:, min(frame, before - 1)])


def test_a_checkpoint_of_one_voice_begins_a_model_of_several(tmp_path: Path) -> None:
    config, vocabulary = tiny_tacotron2(), Vocabulary.characters("abc")
    theirs = saved(tmp_path / "old", config, vocabulary)
    several = dataclasses.replace(config, speakers=speakers(["ada", "bo"], dim=4))
    check_warm_start(tmp_path / "old", several, AUDIO)
    model = built(several, vocabulary, 2)
    before = frozen_copy(model)
    warm = warm_start(model, vocabulary, tmp_path / "old", AUDIO)
    assert (warm.new, warm.new_parts) == ((), ("speakers", "join", "ada", "bo"))
    for name, value in model.state_dict().items():
        mine = name.startswith(("speakers.", "join."))
        assert torch.equal(value, before[name] if mine else theirs[name]), name


def test_speakers_are_matched_by_name(tmp_path: Path) -> None:
    vocabulary, config = Vocabulary.characters("abc"), tiny_tacotron2()
    old, new = (
        dataclasses.replace(config, speakers=speakers(names, dim=4))
        for names in (["ada", "bo"], ["bo", "cy", "ada"])
    )
    theirs = saved(tmp_path / "old", old, vocabulary)["speakers.table.weight"]
    model = built(new, vocabulary, 2)
    initial = model.state_dict()["speakers.table.weight"].clone()
    warm = warm_start(model, vocabulary, tmp_path / "old", AUDIO)
    table = model.state_dict()["speakers.table.weight"]
    assert torch.equal(table, torch.stack([theirs[1], initial[1], theirs[0]]))
    assert (warm.new_parts, warm.missing_parts) == (("cy",), ())
    single = built(config, vocabulary, 3)
    back = warm_start(single, vocabulary, tmp_path / "old", AUDIO)
    assert back.missing_parts == ("speakers", "join", "ada", "bo")


@pytest.mark.parametrize(
    ("config", "field"),
    [
        (tiny_tacotron2(attention_rnn_dim=24), "model.decoder.attention_rnn_dim is 16 there, 24"),
        (tiny_tacotron2(attention=ContentConfig(dim=8)), "model.decoder.attention.kind"),
        (tiny_tacotron1(), "model.encoder.kind is 'conv' there, 'cbhg' here"),
    ],
)
def test_a_bigger_model_and_another_family_are_refused_with_the_settings_that_differ(
    config: TacotronConfig, field: str, tmp_path: Path
) -> None:
    vocabulary = Vocabulary.characters("abc")
    saved(tmp_path / "old", tiny_tacotron2(), vocabulary)
    model = built(config, vocabulary, 2)
    before = frozen_copy(model)
    with pytest.raises(CheckpointError, match=r"fit the new model.*; settings that differ"):
        warm_start(model, vocabulary, tmp_path / "old", AUDIO)
    with pytest.raises(CheckpointError) as refused:
        check_warm_start(tmp_path / "old", config, AUDIO)
    assert field in refused.value.problem
    assert_equal(model, before)


def test_a_voice_of_phonemes_begins_from_one_of_letters(tmp_path: Path) -> None:
    letters, phonemes = Vocabulary.characters("ab c"), Vocabulary.phonemes("ɹab ")
    theirs = saved(tmp_path / "old", tiny_tacotron2(), letters)
    model = built(tiny_tacotron2(), phonemes, 2)
    warm = warm_start(model, phonemes, tmp_path / "old", AUDIO)
    assert (warm.taken, warm.new, warm.missing) == (5, ("ɹ",), ("c",))
    table = model.state_dict()["encoder.embedding.weight"]
    assert torch.equal(table[[3, 4, 5]], theirs["encoder.embedding.weight"][[2, 3, 4]])


def test_a_corrupt_reduction_factor_is_a_checkpoint_error(tmp_path: Path) -> None:
    vocabulary, config = Vocabulary.characters("abc"), tiny_tacotron2(reduction_factor=2)
    weights = built(config, vocabulary, 1).state_dict()
    other = tiny_tacotron2(reduction_factor=3)
    checkpoint.save(
        tmp_path / "old", model=other, audio=AUDIO, vocabulary=vocabulary, weights=weights, update=1
    )
    with pytest.raises(CheckpointError, match="160 rows, not 3 frames of 80 mels"):
        warm_start(built(config, vocabulary, 1), vocabulary, tmp_path / "old", AUDIO)
