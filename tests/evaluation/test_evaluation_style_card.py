"""Style card: what a knob is said to change is what it changes, and dead knobs are named."""

import json

import pytest
import torch
from known_voice import KnownVoice
from styled_voice import save_styled

from speechseq.errors import ConfigError, DataError
from speechseq.evaluation import style_card
from speechseq.inference.synthesizer import Synthesizer

TEXTS = ["ab", "cde"]


@pytest.fixture(scope="module")
def synthesizers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("voices")
    return {
        name: Synthesizer.load(save_styled(folder / name, name)) for name in ("vae", "gst", "none")
    }


def known(synthesizer: Synthesizer) -> KnownVoice:
    return KnownVoice(synthesizer.model, synthesizer.vocabulary, synthesizer.audio)


def test_a_card_tells_what_each_knob_of_a_known_voice_does(synthesizers):
    style = synthesizers["vae"].model.style
    style.mean_code.zero_()
    style.code_sd.copy_(torch.tensor([1.0, 2.0, 0.25]))
    card = style_card.measure(known(synthesizers["vae"]), TEXTS)
    pitch, level, rate = card["knobs"]
    assert pitch["f0"]["change"] == pytest.approx(4.0, abs=0.1)
    assert pitch["f0"]["monotone"] == pytest.approx(1.0)
    assert level["energy"]["change"] == pytest.approx(8.0, abs=0.1)
    assert rate["rate"]["change"] == pytest.approx(100.0, abs=8)  # twice as fast
    assert abs(pitch["energy"]["change"]) < 0.3
    assert abs(level["f0"]["change"]) < 0.05
    assert card["dead"] == []


def test_a_knob_that_does_nothing_is_dead(synthesizers):
    style = synthesizers["vae"].model.style
    style.mean_code.zero_()
    style.code_sd.copy_(torch.tensor([1.0, 1e-3, 1e-3]))
    card = style_card.measure(known(synthesizers["vae"]), TEXTS)
    assert card["dead"] == ["1", "2"]
    assert card["active_units"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("name", ["vae", "gst"])
def test_a_card_of_a_voice_without_f0_is_whole_and_has_no_nan(synthesizers, name, tmp_path):
    card = style_card.measure(synthesizers[name], TEXTS, speaker="anna")
    assert len(card["knobs"]) == synthesizers[name].model.style.code_shape[-1]
    style_card.write(tmp_path, card)
    assert json.loads((tmp_path / "style_card.json").read_text()) == card
    assert (tmp_path / "style_card.png").read_bytes().startswith(b"\x89PNG")


def test_a_voice_without_style_and_a_sweep_over_no_texts_are_refused(synthesizers):
    with pytest.raises(ConfigError, match="no style"):
        style_card.measure(synthesizers["none"], TEXTS)
    with pytest.raises(DataError, match="no texts"):
        style_card.measure(synthesizers["vae"], [])
