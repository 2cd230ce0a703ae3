"""Directions of a style's code: for each measure of prosody the one that changes it most."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.stats import spearmanr
from torch import Tensor

from speechseq.evaluation.styled_speech import Rows, StyledVoice
from speechseq.models.style.style import Style

MEASURES = ("f0", "spread", "energy", "rate")
UNITS = {"f0": "semitones", "spread": "semitones", "energy": "dB", "rate": "octaves"}
SETTINGS = (-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5)  # standard deviations along a direction
Coefficients = Float[np.ndarray, "4 _"]  # of the flat code and of 1, for each measure


def regression(codes: Tensor, targets: Rows) -> Coefficients:
    """Fit each measure to codes (items, …) by least squares; the last coefficient is constant."""
    rows = np.isfinite(targets).all(1)
    return np.linalg.lstsq(_with_one(codes)[rows], targets[rows], rcond=None)[0].T


def recovered(coefficients: Coefficients, codes: Tensor, truth: Rows) -> dict[str, float | None]:
    """R² of each measure of references from their codes; None if it does not vary."""
    rows = np.isfinite(truth).all(1)
    wrong = truth[rows] - _with_one(codes)[rows] @ coefficients.T
    spreads = zip(MEASURES, wrong.T, truth[rows].T, strict=True)
    return {name: 1 - float(x.var() / y.var()) if y.std() else None for name, x, y in spreads}


def along(style: Style, step: Tensor, setting: float) -> Tensor:
    """Return the code so many standard deviations from the default along a unit direction.

    Args:
        step: unit direction of the shape of a code, in standard deviations of each number.
    """
    code = style.mean_code + setting * step * style.code_sd
    if code.dim() == 2:  # weights of tokens stay a distribution
        code = code.clamp(min=0) / code.clamp(min=0).sum(-1, keepdim=True)
    return code


def direction(
    voice: StyledVoice, coefficients: Coefficients, measure: str, texts: Sequence[str]
) -> dict[str, Any]:
    """Speak texts along the direction of the code that changes a measure most.

    Returns:
        The "span" from the first to the last of 7 settings, None if F0 is undefined at one;
        Spearman's "rho" with the setting; "wer" at the centre and the "worst_wer"; "step", the unit
        direction as a flat list; and by setting "asked" and "found", the changes from the centre
        that the regression expects and that were measured.
    """
    style, place = voice.style, MEASURES.index(measure)
    slope = torch.as_tensor(coefficients[place, :-1]).to(style.code_sd).view(style.code_shape)
    step = slope * style.code_sd
    step = step / step.norm()
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
    """Spearman's correlation over defined pairs; None for fewer than 3 or a constant."""
    rows = np.isfinite(first) & np.isfinite(second)
    if rows.sum() < 3 or np.ptp(first[rows]) == 0 or np.ptp(second[rows]) == 0:
        return None
    return float(spearmanr(first[rows], second[rows]).statistic)


def middle(values: np.ndarray) -> float | None:
    """Median of the defined values; None without one."""
    defined = values[np.isfinite(values)]
    return float(np.median(defined)) if len(defined) else None


def _mean(values: np.ndarray) -> float:
    """Mean of the defined values, NaN without one."""
    defined = values[np.isfinite(values)]
    return float(defined.mean()) if len(defined) else float("nan")


def _with_one(codes: Tensor) -> np.ndarray:
    flat = codes.flatten(1).double().cpu().numpy()
    return np.concatenate([flat, np.ones((len(flat), 1))], axis=1)
