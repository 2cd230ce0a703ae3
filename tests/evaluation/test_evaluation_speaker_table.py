"""Voices of a table: known where they sound like their recordings, and not where they do not."""

import pytest
import torch
from styled_voice import save_styled

from speechseq.errors import ConfigError
from speechseq.evaluation.speaker_table import evaluate_speakers
from speechseq.evaluation.style_transfer import Reference
from speechseq.inference.speech import Speech
from speechseq.inference.synthesizer import Synthesizer

RATE, VOICES = 8000, ("anna", "boris")
LEVELS = {"anna": (1.0, 0.2, 0.1), "boris": (0.2, 1.0, 0.6)}


def sound(speaker: str, seed: int) -> torch.Tensor:
    """Harmonics whose levels are the speaker's, with a pitch of their own."""
    random = torch.Generator().manual_seed(seed)
    f0 = 120 + 60 * torch.rand(1, generator=random)
    time = torch.arange(RATE // 2) / RATE
    bands = torch.tensor([level for level in LEVELS[speaker] for _ in range(5)])
    harmonics = torch.sin(2 * torch.pi * torch.arange(1, 16)[:, None] * f0 * time)
    noise = 0.01 * torch.randn(len(time), generator=random)
    return 0.05 * (bands[:, None] * harmonics).sum(0) + noise


def recordings(first: int, count: int) -> list[Reference]:
    seeds = range(first, first + count)
    return [Reference(sound(name, seed)[None], "ab", name) for seed in seeds for name in VOICES]


class Voices(Synthesizer):
    """Speaks as the speaker of `voices` for each name."""

    def __init__(self, synthesizer: Synthesizer, voices: dict[str, str]) -> None:
        self.model, self.audio, self.voices = synthesizer.model, synthesizer.audio, voices

    def synthesize(self, texts, *, seed=None, max_steps=None, latent=None, speaker=None):
        """Speak each text."""
        return [
            Speech(
                text=text,
                normalized=text,
                symbols=tuple(text),
                waveform=sound(self.voices[speaker], 1000 + i),
                sample_rate=RATE,
                mel=torch.zeros(1, 1),
                alignment=torch.zeros(1, len(text)),
                finished_reason="stop",
            )
            for i, text in enumerate(texts)
        ]


@pytest.mark.parametrize(
    ("voices", "known"),
    [
        ({"anna": "anna", "boris": "boris"}, {"anna": 1.0, "boris": 1.0}),
        ({"anna": "anna", "boris": "anna"}, {"anna": 1.0, "boris": 0.0}),
    ],
)
def test_voices_are_known_by_their_recordings(voices, known, tmp_path):
    synthesizer = Voices(Synthesizer.load(save_styled(tmp_path / "vae", "vae")), voices)
    alone = Reference(sound("anna", 5)[None], "ab", "carol")  # one recording is too few
    found = evaluate_speakers(
        synthesizer, [*recordings(0, 20), alone], recordings(50, 5), ["a"] * 4
    )
    assert found["original"] == 1.0
    assert found["by_speaker"] == known
    assert found["ours"] == found["ratio"] == sum(known.values()) / 2


def test_a_model_without_speakers_is_refused(tmp_path):
    plain = Synthesizer.load(save_styled(tmp_path / "none", "none"))
    with pytest.raises(ConfigError, match="no speakers"):
        evaluate_speakers(plain, recordings(0, 3), recordings(3, 1), ["ab"])
