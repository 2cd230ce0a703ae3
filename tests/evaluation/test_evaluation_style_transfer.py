"""Transfer of styles: a voice that passes everything on is found to, one that does not is not."""

import json

import pytest
import torch
from known_voice import KnownVoice, tone
from styled_voice import save_styled

from speechseq.audio.mel import AudioConfig
from speechseq.audio.wav import save
from speechseq.corpus.recording import spoken
from speechseq.errors import ConfigError
from speechseq.evaluation.judge import Judge
from speechseq.evaluation.style_transfer import Reference, evaluate_style
from speechseq.evaluation.style_transfer import references as load_references
from speechseq.inference.score import score
from speechseq.inference.synthesizer import Synthesizer


class Deaf(Judge):
    """Judge that hears one word too many."""

    def __init__(self) -> None:
        super().__init__(None, 0.0)

    def judge(self, texts, waveforms, sample_rate):
        assert len(texts) == len(waveforms)
        return score([(text, f"{text} x") for text in texts])


class Monotone(KnownVoice):
    """Speaks every text with the pitch of 150 Hz."""

    def synthesize(self, texts, *, seed=None, max_steps=None, latent=None, speaker=None):
        """Speak a tone for each text."""
        code = latent.code.clone()
        code[:, 0] = 0
        return super().synthesize(texts, latent=latent._replace(code=code))


def references(seed: int, count: int) -> list[Reference]:
    own = torch.Generator().manual_seed(seed)
    codes = torch.randn(count, 3, generator=own) * torch.tensor([3.0, 4.0, 0.3])
    return [Reference(tone(code), "ab cd ef gh") for code in codes]


@pytest.fixture(scope="module")
def voice(tmp_path_factory):
    synthesizer = Synthesizer.load(save_styled(tmp_path_factory.mktemp("voice") / "vae", "vae"))
    synthesizer.model.style.mean_code.zero_()
    synthesizer.model.style.code_sd.copy_(torch.tensor([3.0, 4.0, 0.3]))
    return synthesizer


def found(kind: type[KnownVoice], voice: Synthesizer) -> dict:
    speaker = kind(voice.model, voice.vocabulary, voice.audio)
    return evaluate_style(
        speaker, references(0, 40), references(1, 20), ["ab", "cd"], Deaf(), speaker=None
    )


def test_a_voice_that_passes_its_code_on_is_measured_so(voice):
    result = found(KnownVoice, voice)
    json.dumps(result, allow_nan=False)
    for name, span in (("f0", 9.0), ("energy", 12.0), ("rate", 0.9)):
        assert result["recovered"][name] > 0.98
        assert result["directions"][name]["rho"] == pytest.approx(1.0)
        assert result["directions"][name]["span"] == pytest.approx(span, rel=0.1)
        assert result["other_text"][name] > 0.98
        asked, spoken = (result["directions"][name][key] for key in ("asked", "found"))
        assert spoken == pytest.approx(asked, abs=0.15)
    assert result["same_text"]["ffe"] < 0.05
    assert result["same_text"]["wer"] == pytest.approx(0.25)
    assert result["directions"]["f0"]["wer"] == pytest.approx(1.0)
    for name, error in (("f0", 0.1), ("energy", 0.3), ("rate", 0.08)):
        assert result["same_text"][name] < error


def test_a_voice_that_ignores_pitch_is_found_out(voice):
    result = found(Monotone, voice)
    assert abs(result["directions"]["f0"]["span"]) < 0.1
    assert result["other_text"]["energy"] > 0.98
    assert abs(result["other_text"]["f0"] or 0.0) < 0.6
    assert result["same_text"]["f0"] > 1.0
    assert result["same_text"]["ffe"] > 0.15


def test_references_are_taken_from_all_over_a_sorted_corpus(tmp_path):
    cuts = []
    for i in range(7):
        path = tmp_path / f"{i}.wav"
        save(path, torch.full((400,), 0.1), 8000)
        cuts.append(spoken(path, str(i), f"t{i}"))
    audio = AudioConfig(sample_rate=8000, fmax=4000.0)
    assert [r.text for r in load_references(cuts, audio, most=3)] == ["t0", "t3", "t6"]
    assert len(load_references(cuts, audio, most=9)) == len(load_references(cuts, audio)) == 7
    assert load_references([], audio, most=3) == []


def test_a_voice_without_style_is_refused(tmp_path):
    plain = Synthesizer.load(save_styled(tmp_path / "none", "none"))
    with pytest.raises(ConfigError, match="no style"):
        evaluate_style(plain, references(0, 4), references(1, 4), ["ab"], Deaf())
