"""Speech in given styles, and the measures by which a style is evaluated."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from speechseq.audio.griffin_lim import griffin_lim
from speechseq.audio.mel import log_mel, mel_to_magnitude
from speechseq.evaluation.judge import Judge
from speechseq.evaluation.style_card import measured
from speechseq.inference.synthesizer import Synthesizer
from speechseq.models import conditioning
from speechseq.models.style.latent import Latent
from speechseq.models.style.style import Style

Rows = Float[np.ndarray, "_ 4"]  # F0, spread, energy, rate


class StyledVoice(NamedTuple):
    """Synthesiser whose style is evaluated, together with the judge that transcribes its speech.

    Attributes:
        synthesizer: speaks the texts.
        judge: recogniser that hears whether the words are right.
        speaker: name of the voice, for a model with several speakers.
    """

    synthesizer: Synthesizer
    judge: Judge
    speaker: str | None = None

    @property
    def style(self) -> Style:
        """Style of the model.

        Raises:
            ConfigError: the model has no style.
        """
        return conditioning.own_style(self.synthesizer.model.style)

    @property
    def sample_rate(self) -> int:
        """Samples per second of references and speech."""
        return self.synthesizer.audio.sample_rate

    def speak(self, texts: Sequence[str], latent: Latent) -> list[Tensor]:
        """Speak each text in its own style; return a waveform (samples,) for each.

        `latent` has a row for each text.
        """
        spoken = self.synthesizer.synthesize(texts, seed=0, latent=latent, speaker=self.speaker)
        return [speech.waveform for speech in spoken]

    def measured(self, waveforms: Sequence[Tensor]) -> Rows:
        """Measure F0, spread, energy and rate of waveforms (samples,): (items, 4).

        `style_card.measured` describes the units.
        """
        return measured(waveforms, self.sample_rate)

    def wer(self, texts: Sequence[str], waveforms: Sequence[Tensor]) -> float:
        """Word error rate of speech, each waveform (samples,), by the judge's transcripts.

        `texts` are the texts that were spoken.
        """
        return self.judge.judge(texts, waveforms, self.sample_rate).wer

    @torch.no_grad()
    def copies(self, waveforms: Sequence[Tensor]) -> list[Tensor]:
        """Convert recordings (samples,) to mels and back by Griffin-Lim (copy synthesis).

        This is the best that a model of mels can reach with this vocoder.
        """
        audio, vocoder = self.synthesizer.audio, self.synthesizer.vocoder
        return [
            griffin_lim(
                mel_to_magnitude(log_mel(waveform[None], audio), audio),
                audio,
                iterations=vocoder.iterations,
                momentum=vocoder.momentum,
                power=vocoder.mel_power,
                seed=0,
            )[0]
            for waveform in waveforms
        ]


def per_letter(rows: Rows, texts: Sequence[str]) -> Rows:
    """Convert speaking rates from utterances to letters per second, to compare different texts.

    Args:
        rows: (items, 4), F0, F0 spread, energy, and rate as log2 of utterances per second.
        texts: text of each utterance.

    Returns:
        A copy of `rows`, with the rate as log2 of letters per second.
    """
    rows = rows.copy()
    rows[:, 3] += np.log2([len(text) for text in texts])
    return rows
