"""A synthesiser whose speech is a tone of known pitch, level and duration, as its style says."""

import math

import torch
from torch import Tensor

from speechseq.audio.prosody import prosody
from speechseq.audio.prosody_summary import summary
from speechseq.inference.speech import Speech
from speechseq.inference.synthesizer import Synthesizer

RATE = 8000


def tone(code: Tensor) -> Tensor:
    """Tone (samples,) whose pitch, level and rate are the code's semitones, dB and octaves."""
    pitch, level, rate = code.flatten()[:3].tolist()
    time = torch.arange(int(0.6 * 2**-rate * RATE)) / RATE
    waves = (torch.sin(2 * math.pi * k * 150 * 2 ** (pitch / 12) * time) for k in (1, 2, 3))
    return 0.1 * 10 ** (level / 20) * sum(waves)


class KnownVoice(Synthesizer):
    """Speaks tones; the style of a reference is what the tone was made with."""

    def synthesize(self, texts, *, seed=None, max_steps=None, latent=None, speaker=None):
        """Speak a tone for each text."""
        return [self._speech(text, code) for text, code in zip(texts, latent.code, strict=True)]

    def references(self, sounds, *, seed=None):
        """Measure pitch, level and duration."""
        rows = []
        for waveform, rate in sounds:
            found = summary(prosody(waveform.reshape(1, -1), rate))
            rows.append(
                torch.stack([found.f0, found.energy, found.rate], 1)
                - torch.tensor([[12 * math.log2(1.5), -18.2, -math.log2(0.6)]])
            )
        return self.model.style.by_hand(torch.cat(rows))

    def _speech(self, text, code):
        return Speech(
            text=text,
            normalized=text,
            symbols=tuple(text),
            waveform=tone(code),
            sample_rate=RATE,
            mel=torch.zeros(1, 1),
            alignment=torch.zeros(1, len(text)),
            finished_reason="stop",
        )
