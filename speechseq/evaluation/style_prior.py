"""Evaluation of speech without a reference: in styles drawn from the prior, and in the default."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from speechseq.evaluation.prosody import Distance, prosody_distance
from speechseq.evaluation.style_regression import MEASURES
from speechseq.evaluation.styled_speech import Rows, StyledVoice, per_letter

_FEWEST = 4  # real utterances: two halves of two


def evaluate_prior(voice: StyledVoice, texts: Sequence[str], real: Rows) -> dict[str, Any]:
    """Speak each text in a random style, drawn from the prior; compare prosody with real speech.

    Args:
        voice: synthesiser with a style, and the judge of its speech.
        texts: texts to speak, each once.
        real: (recordings, 4), F0, spread, energy and rate of recordings, with the rate in letters
            per second (`per_letter`). The first 2 · len(texts) with an F0 are used, so that their
            two halves are as large as the set of spoken texts.

    Returns:
        "distance", "null" and "gap": distance to real speech, distance between the two halves of
        the real speech, and error bound (see `evaluation.prosody.Distance`), each None if too few
        utterances have an F0. "undefined": share of our utterances without F0. "wer": word error
        rate of our speech.

    Raises:
        MachineError: the extra `style` is not installed.
    """
    waveforms = voice.speak(texts, voice.style.sample(len(texts), seed=0))
    ours, real = per_letter(voice.measured(waveforms), texts), _defined(real)
    undefined = 1 - len(_defined(ours)) / len(ours)
    return {
        **_distance(_defined(ours), real[: 2 * len(texts)]),
        "undefined": undefined,
        "wer": voice.wer(texts, waveforms),
    }


def evaluate_default(
    voice: StyledVoice, texts: Sequence[str], corpus: Rows
) -> dict[str, float | None]:
    """Speak texts in the default style, and compare the mean prosody with a corpus.

    Args:
        voice: synthesiser with a style, and the judge of its speech.
        texts: texts to speak.
        corpus: (recordings, 4), F0, spread, energy and rate of recordings, with the rate in letters
            per second (`per_letter`).

    Returns:
        For each measure by name, mean of our speech minus mean of the corpus, in standard
        deviations of the corpus; None if no spoken text or fewer than 2 recordings have an F0.
    """
    waveforms = voice.speak(texts, voice.style.default(len(texts)))
    ours, corpus = _defined(per_letter(voice.measured(waveforms), texts)), _defined(corpus)
    if not len(ours) or len(corpus) < 2:
        return dict.fromkeys(MEASURES)
    apart = (ours.mean(0) - corpus.mean(0)) / np.maximum(corpus.std(0), 1e-9)
    return dict(zip(MEASURES, apart.tolist(), strict=True))


def _defined(rows: Rows) -> Rows:
    return rows[np.isfinite(rows).all(1)]


def _distance(ours: Rows, real: Rows) -> dict[str, float | None]:
    if not len(ours) or len(real) < _FEWEST or (real.std(0) == 0).any():
        found: Distance | None = None
    else:
        found = prosody_distance(torch.from_numpy(ours), torch.from_numpy(real))
    names = {"distance": "value", "null": "null", "gap": "gap"}
    return {name: found and float(getattr(found, field)) for name, field in names.items()}
