"""Speech in styles that no reference gave: samples of the prior, and the default."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from speechseq.evaluation.prosody import Distance, prosody_distance
from speechseq.evaluation.style_directions import MEASURES
from speechseq.evaluation.styled_speech import Rows, StyledVoice, per_letter

_FEWEST = 4  # real utterances: two halves of two


def evaluate_prior(voice: StyledVoice, texts: Sequence[str], real: Rows) -> dict[str, Any]:
    """Speak each text in a style drawn from the prior, and compare the prosody with real speech.

    Args:
        real: measures of recordings, the rate in letters a second (`per_letter`). The first are
            taken, twice as many as texts, so that the distance of ours and the null are those of
            about as many utterances.

    Returns:
        "distance", its "null" between two halves of the real speech, and "gap", the certificate of
        both being optimal transport (`prosody_distance`), each None if too few utterances have an
        F0; "undefined", the share of ours without; and "wer".

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
    """Speak texts in the default style; report how far each measure's mean is from the corpus's.

    Args:
        corpus: measures of recordings, the rate in letters a second (`per_letter`).

    Returns:
        For each measure the difference in standard deviations of the corpus; None without an F0.
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
