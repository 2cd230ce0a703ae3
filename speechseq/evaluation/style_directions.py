"""Directions of a style's code, along which a measure of prosody changes most.

The measures are F0 and its spread (semitones), energy (dB) and rate (octaves) of an utterance.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor

from speechseq.evaluation.style_regression import MEASURES, Regression
from speechseq.evaluation.styled_speech import StyledVoice
from speechseq.models.style.style import Style

UNITS = {"f0": "semitones", "spread": "semitones", "energy": "dB", "rate": "octaves"}
SETTINGS = (-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5)  # standard deviations along a direction


def along(style: Style, step: Tensor, setting: float) -> Tensor:
    """Move the style's default code along a direction; return the new code.

    The result is mean + setting · step · sd; for a style of tokens it is made a distribution again.

    Args:
        style: module with mean and standard deviation of the training's codes.
        step: direction, a tensor with the shape of a code. Each element counts in standard
            deviations that this element of the codes has in the training set.
        setting: length of the move; 0 gives the default code.
    """
    code = style.mean_code + setting * step * style.code_sd
    if code.dim() == 2:  # weights of tokens stay a distribution
        code = code.clamp(min=0) / code.clamp(min=0).sum(-1, keepdim=True)
    return code


def direction(
    voice: StyledVoice, fitted: Regression, measure: str, texts: Sequence[str]
) -> dict[str, Any]:
    """Speak texts in styles along the direction that should change a measure most; measure it.

    There are 7 codes along the direction in the space of the style's codes, from -1.5 to 1.5
    standard deviations of what the regression predicts for the training's codes.

    Args:
        voice: synthesiser with a style, and the judge of its speech.
        fitted: result of `regression`, which gives the direction.
        measure: "f0", "spread", "energy" or "rate".
        texts: texts to speak at each code; results are means over them.

    Returns:
        "span": change of the measure from the first code to the last. "rho": Spearman's
        correlation of the measure with the position along the direction. "wer" and "worst_wer":
        word error rate at the default code, and the highest of the 7. "step": direction, a flat
        list, see `along`. "asked" and "found": for each code, the change from the default that the
        regression predicts, and the measured one. "span" and "found" are None where F0 is
        undefined.
    """
    style, place = voice.style, MEASURES.index(measure)
    slope, move = (
        torch.as_tensor(row).to(style.code_sd).view(style.code_shape)
        for row in (fitted.coefficients[place, :-1], fitted.moves[place])
    )
    step = torch.where(style.code_sd > 0, move / style.code_sd, 0.0)
    codes = [along(style, step, setting) for setting in SETTINGS]
    found, errors = [], []
    for code in codes:
        latent = style.by_hand(code.expand(len(texts), *style.code_shape))
        waveforms = voice.speak(texts, latent)
        found.append(_mean(voice.measured(waveforms)[:, place]))
        errors.append(voice.wer(texts, waveforms))
    centre = len(SETTINGS) // 2
    whole = bool(np.isfinite(found).all())
    return {
        "span": found[-1] - found[0] if whole else None,
        "rho": rank_correlation(np.arange(len(found)), np.array(found)),
        "wer": errors[centre],
        "worst_wer": max(errors),
        "step": step.flatten().tolist(),
        "asked": [float(((code - codes[centre]) * slope).sum()) for code in codes],
        "found": [value - found[centre] if whole else None for value in found],
    }


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    """Spearman's correlation of two arrays (n), without pairs that have NaN.

    None if fewer than 3 pairs remain, or one of the arrays is constant.
    """
    rows = np.isfinite(first) & np.isfinite(second)
    if rows.sum() < 3 or np.ptp(first[rows]) == 0 or np.ptp(second[rows]) == 0:
        return None
    return float(spearmanr(first[rows], second[rows]).statistic)


def middle(values: np.ndarray) -> float | None:
    """Median of the finite values of an array; None if there are none."""
    defined = values[np.isfinite(values)]
    return float(np.median(defined)) if len(defined) else None


def _mean(values: np.ndarray) -> float:
    """Mean of the defined values, NaN without one."""
    defined = values[np.isfinite(values)]
    return float(defined.mean()) if len(defined) else float("nan")
