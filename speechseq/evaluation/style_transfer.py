"""Evaluation of a trained style: directions of its code, and transfer of references.

Everything is measured in free-running speech: F0, its spread, energy and rate of the result beside
those of the reference.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor

from speechseq.evaluation.judge import Judge
from speechseq.evaluation.style_card import measured
from speechseq.inference.synthesizer import Synthesizer
from speechseq.models import conditioning
from speechseq.models.style.latent import Latent
from speechseq.models.style.style import Style

MEASURES = ("f0", "spread", "energy", "rate")
SETTINGS = (-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5)  # standard deviations along a direction


class Reference(NamedTuple):
    """A recording and what it says."""

    waveform: Tensor
    text: str


def evaluate_style(
    synthesizer: Synthesizer,
    fitted: Sequence[Reference],
    held_out: Sequence[Reference],
    texts: Sequence[str],
    judge: Judge,
    *,
    speaker: str | None = None,
) -> dict[str, Any]:
    """Measure how far a style can be set and transferred.

    Args:
        fitted: recordings, such as of the training, by which the codes' directions are found.
        held_out: recordings that are transferred to their own text and to another one.
        texts: unseen texts that are spoken along each direction.

    Returns:
        "recovered": R² of each measure of held-out references from their codes, linearly;
        "directions": for F0, energy and rate the "span" from the first to the last of 7 settings,
        Spearman's "rho", the "wer" at the centre and the "worst_wer"; "same_text": median absolute
        errors of F0 and spread (semitones), energy (dB) and rate (octaves); "other_text":
        Spearman's rho of each measure between reference and result. None where F0 is undefined.

    Raises:
        ConfigError: the model has no style.
    """
    own = conditioning.own_style(synthesizer.model.style)
    rate = synthesizer.audio.sample_rate
    known, new = (
        synthesizer.references([(r.waveform, rate) for r in group]) for group in (fitted, held_out)
    )
    targets, truth = (
        measured([r.waveform.flatten() for r in group], rate) for group in (fitted, held_out)
    )
    coefficients = _regression(known.code, targets)
    return {
        "recovered": _recovered(coefficients, new.code, truth),
        "directions": {
            name: _direction(synthesizer, own, coefficients[i, :-1], i, texts, judge, speaker)
            for i, name in enumerate(MEASURES)
            if name != "spread"
        },
        "same_text": _same_text(synthesizer, new, held_out, truth, speaker),
        "other_text": _other_text(synthesizer, new, held_out, truth, speaker),
    }


def _regression(codes: Tensor, targets: np.ndarray) -> np.ndarray:
    """Coefficients (measures, code + 1) of least squares; the last is the constant."""
    inputs = _with_one(codes)
    rows = np.isfinite(targets).all(1)
    return np.linalg.lstsq(inputs[rows], targets[rows], rcond=None)[0].T


def _recovered(coefficients: np.ndarray, codes: Tensor, truth: np.ndarray) -> dict[str, float]:
    rows = np.isfinite(truth).all(1)
    wrong = truth[rows] - _with_one(codes)[rows] @ coefficients.T
    share = 1 - wrong.var(0) / truth[rows].var(0)
    return dict(zip(MEASURES, share.tolist(), strict=True))


def _with_one(codes: Tensor) -> np.ndarray:
    flat = codes.flatten(1).double().cpu().numpy()
    return np.concatenate([flat, np.ones((len(flat), 1))], axis=1)


def _direction(
    synthesizer: Synthesizer,
    own: Style,
    coefficient: np.ndarray,
    measure: int,
    texts: Sequence[str],
    judge: Judge,
    speaker: str | None,
) -> dict[str, float | None]:
    """Speak texts along the direction of the code that changes a measure most."""
    steps = torch.as_tensor(coefficient).to(own.code_sd).view(own.code_shape) * own.code_sd
    steps = steps / steps.norm()
    found, errors = [], []
    for setting in SETTINGS:
        code = own.mean_code + setting * steps * own.code_sd
        if code.dim() == 2:  # weights of tokens stay a distribution
            code = code.clamp(min=0) / code.clamp(min=0).sum(-1, keepdim=True)
        latent = own.by_hand(code.expand(len(texts), *own.code_shape))
        speech = synthesizer.synthesize(texts, seed=0, latent=latent, speaker=speaker)
        waveforms = [item.waveform for item in speech]
        found.append(np.nanmean(measured(waveforms, speech[0].sample_rate)[:, measure]))
        errors.append(judge.judge(texts, waveforms, speech[0].sample_rate).wer)
    whole = bool(np.isfinite(found).all())
    return {
        "span": float(found[-1] - found[0]) if whole else None,
        "rho": _rho(np.arange(len(found)), np.array(found)),
        "wer": errors[len(errors) // 2],
        "worst_wer": max(errors),
    }


def _same_text(
    synthesizer: Synthesizer,
    latent: Latent,
    references: Sequence[Reference],
    truth: np.ndarray,
    speaker: str | None,
) -> dict[str, float]:
    results = _spoken(synthesizer, latent, [r.text for r in references], speaker)
    errors = np.nanmedian(np.abs(results - truth), axis=0)
    return dict(zip(MEASURES, errors.tolist(), strict=True))


def _other_text(
    synthesizer: Synthesizer,
    latent: Latent,
    references: Sequence[Reference],
    truth: np.ndarray,
    speaker: str | None,
) -> dict[str, float | None]:
    text = min((r.text for r in references), key=lambda t: abs(len(t) - 20))  # one for all
    results = _spoken(synthesizer, latent, [text] * len(references), speaker)
    truth = truth.copy()
    truth[:, 3] += np.log2([len(r.text) for r in references])  # letters a second, not texts
    return {name: _rho(results[:, i], truth[:, i]) for i, name in enumerate(MEASURES)}


def _spoken(
    synthesizer: Synthesizer, latent: Latent, texts: Sequence[str], speaker: str | None
) -> np.ndarray:
    speech = synthesizer.synthesize(texts, seed=0, latent=latent, speaker=speaker)
    return measured([item.waveform for item in speech], speech[0].sample_rate)


def _rho(first: np.ndarray, second: np.ndarray) -> float | None:
    """Spearman's correlation over defined pairs; None for fewer than 3 or a constant."""
    rows = np.isfinite(first) & np.isfinite(second)
    if rows.sum() < 3 or np.ptp(first[rows]) == 0 or np.ptp(second[rows]) == 0:
        return None
    return float(spearmanr(first[rows], second[rows]).statistic)
