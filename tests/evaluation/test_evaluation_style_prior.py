"""Samples of a prior and the default: found good where they match the corpus, and bad elsewhere."""

import pytest
import torch
from known_voice import KnownVoice, tone
from styled_voice import save_styled

from speechseq.evaluation.judge import Judge
from speechseq.evaluation.style_prior import evaluate_default, evaluate_prior
from speechseq.evaluation.styled_speech import StyledVoice, per_letter
from speechseq.inference.score import score
from speechseq.inference.synthesizer import Synthesizer

SPREADS = torch.tensor([3.0, 4.0, 0.3])
TEXTS = ["ab cd ef gh"] * 40


class Ears(Judge):
    """Judge that hears everything right."""

    def __init__(self) -> None:
        super().__init__(None, 0.0)

    def judge(self, texts, waveforms, sample_rate):
        return score([(text, text) for text in texts])


def drawn(seed: int, count: int) -> torch.Tensor:
    return SPREADS * torch.randn(count, 3, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def voice(tmp_path):
    synthesizer = Synthesizer.load(save_styled(tmp_path / "vae", "vae"))
    synthesizer.model.style.mean_code.zero_()
    known = KnownVoice(synthesizer.model, synthesizer.vocabulary, synthesizer.audio)
    return StyledVoice(known, Ears())


@pytest.fixture
def corpus(voice):
    rows = voice.measured([tone(code) for code in drawn(0, 80)])
    return per_letter(rows, ["ab cd ef gh"] * 80)


@pytest.mark.parametrize(("scale", "good"), [(1.0, True), (3.0, False)])
def test_a_prior_is_good_if_its_speech_is_that_of_the_corpus(
    voice, corpus, scale, good, monkeypatch
):
    def sample(items, *, seed):
        return voice.style.by_hand(scale * drawn(seed + 5, items))

    monkeypatch.setattr(voice.style, "sample", sample)
    found = evaluate_prior(voice, TEXTS, corpus)
    assert (found["distance"] <= 1.3 * found["null"]) is good
    assert abs(found["gap"]) <= 1e-9
    assert found["undefined"] <= 0.05
    assert found["wer"] == 0


def test_speech_without_f0_has_no_distance(voice, corpus, monkeypatch):
    monkeypatch.setattr(KnownVoice, "_speech", _silent)
    found = evaluate_prior(voice, TEXTS[:3], corpus)
    assert found["undefined"] == 1
    assert found["distance"] is found["null"] is found["gap"] is None
    assert evaluate_default(voice, TEXTS[:3], corpus)["f0"] is None


def _silent(self, text, code):
    waveform = tone(code)
    return type("Speech", (), {"waveform": torch.zeros_like(waveform)})()


def test_a_default_is_measured_in_standard_deviations_of_the_corpus(voice, corpus):
    near = evaluate_default(voice, ["ab", "cdefg"], per_letter(corpus, ["x"] * 80))
    assert abs(near["f0"]) < 0.4
    assert abs(near["energy"]) < 0.4
    voice.style.mean_code[1] = 8.0  # dB: two standard deviations
    far = evaluate_default(voice, ["ab", "cdefg"], corpus)
    assert far["energy"] - near["energy"] == pytest.approx(2.0, abs=0.4)
