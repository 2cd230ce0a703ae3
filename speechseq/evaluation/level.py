"""Level of a voice: the gain with which it is as loud as the recordings that it learned from.

A model that predicts log-mels predicts their mean, and the exponential of a mean is less than the
mean of the exponentials: the voice is too quiet, by a factor that is estimated from data
(N. Duan, "Smearing estimate: a nonparametric retransformation method", 1983).
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from speechseq.evaluation.style_card import UNITS
from speechseq.evaluation.style_transfer import Reference
from speechseq.evaluation.styled_speech import StyledVoice
from speechseq.inference.vocoding import save_vocoder

_ENERGY = list(UNITS).index("energy")
_MOST = 60  # recordings; the median over as many varies by a few tenths of a dB


def missing_gain(voice: StyledVoice, recordings: Sequence[Reference]) -> float:
    """Return the gain in dB that a voice lacks to be as loud as its recordings.

    The voice speaks the text of each recording in the style inferred from it, free-running. The
    gain is the median of the recordings' energy minus that of the speech.

    Args:
        voice: voice with a style.
        recordings: utterances of the training set, of the voice's speaker; the first 60 are used.

    Raises:
        ConfigError: the model has no style.
        DataError: there are no recordings.
    """
    chosen = list(recordings)[:_MOST]
    sounds = [(one.waveform, voice.sample_rate) for one in chosen]
    ours = voice.speak([one.text for one in chosen], voice.synthesizer.references(sounds))
    missing = voice.measured([one.sound for one in chosen]) - voice.measured(ours)
    return float(np.nanmedian(missing[:, _ENERGY]))


def match_level(voice: StyledVoice, recordings: Sequence[Reference], checkpoint: Path) -> float:
    """Set the gain of a voice so that it is as loud as its recordings, and return it in dB.

    The settings of the vocoder are changed in `voice.synthesizer`, and written to a file.

    Args:
        voice: voice with a style.
        recordings: utterances of the training set, see `missing_gain`.
        checkpoint: the voice's checkpoint folder, for the file; `Synthesizer.load` reads it.

    Raises:
        ConfigError, DataError: see `missing_gain`.
        MachineError: the file cannot be written.
    """
    now = voice.synthesizer.vocoder
    gain = now.gain + missing_gain(voice, recordings)
    voice.synthesizer.vocoder = dataclasses.replace(now, gain=round(gain, 2))
    save_vocoder(checkpoint, voice.synthesizer.vocoder)
    return voice.synthesizer.vocoder.gain
