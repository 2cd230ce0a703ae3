"""Linear regression of an utterance's prosody on the code of its style."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from torch import Tensor

from speechseq.evaluation.styled_speech import Rows

MEASURES = ("f0", "spread", "energy", "rate")
Coefficients = Float[np.ndarray, "4 _"]  # of the flat code and of 1, for each measure
_RIDGES = 10.0 ** np.arange(-6, 3, 0.5)  # per utterance, for codes of standard deviation 1


class Regression(NamedTuple):
    """Linear models that predict the prosody of utterances from their style codes.

    Attributes:
        coefficients: (4, code_size + 1), of each measure; the last one is the constant.
        moves: (4, code_size), mean change of the code per standard deviation of the prediction. It
            follows the correlations between the elements of codes, which the coefficients do not
            (Haufe et al. 2014, eq. 6).
    """

    coefficients: Coefficients
    moves: Float[np.ndarray, "4 _"]


def regression(codes: Tensor, targets: Rows) -> Regression:
    """Fit linear models that predict the prosody of utterances from their style codes.

    They are ridge regressions, each with the penalty that predicts utterances best when they are
    left out of the fit one by one. Without a penalty, codes with as many elements as there are
    utterances would be fitted to noise.

    Args:
        codes: (items, …), one code per utterance, flattened here.
        targets: (items, 4), prosody of these utterances, see `style_card.measured`; rows with NaN
            are left out; without any row, all numbers are zeros.
    """
    rows = np.isfinite(targets).all(1)
    flat, targets = codes.flatten(1).double().cpu().numpy()[rows], targets[rows]
    if not rows.any():
        size = flat.shape[1]
        return Regression(np.zeros((len(MEASURES), size + 1)), np.zeros((len(MEASURES), size)))
    centred, deviations = flat - flat.mean(0), targets - targets.mean(0)
    scale = np.where(centred.std(0) > 0, centred.std(0), 1.0)
    factors = np.linalg.svd(centred / scale, full_matrices=False)
    linear = np.stack([_ridge(*factors, target=column) for column in deviations.T]) / scale
    constant = targets.mean(0) - linear @ flat.mean(0)
    predicted = centred @ linear.T
    spread = np.where(predicted.std(0) > 0, predicted.std(0), 1.0)
    moves = (predicted / spread).T @ centred / len(flat)
    return Regression(np.concatenate([linear, constant[:, None]], axis=1), moves)


def _ridge(
    left: np.ndarray, singular: np.ndarray, right: np.ndarray, target: np.ndarray
) -> np.ndarray:
    """Slopes of a ridge regression, with the penalty of the least error on items left out.

    The inputs are given by their singular value decomposition.
    """
    along = left.T @ target

    def error(penalty: float) -> float:
        kept = singular**2 / (singular**2 + penalty)
        leverage = 1 / len(target) + left**2 @ kept
        wrong = target - left @ (kept * along)
        return float(((wrong / np.maximum(1 - leverage, 1e-9)) ** 2).mean())

    penalty = min(_RIDGES * len(target), key=error)
    return right.T @ (singular / (singular**2 + penalty) * along)


def recovered(models: Regression, codes: Tensor, truth: Rows) -> dict[str, float | None]:
    """Measure how well linear models predict the prosody of utterances from their style codes.

    Args:
        models: result of `regression`, fitted to other utterances.
        codes: (items, …), codes of the utterances.
        truth: (items, 4), prosody of the utterances, see `style_card.measured`; rows with NaN are
            left out.

    Returns:
        The R² of the prediction of each measure, by name; None for a measure that does not vary.
    """
    rows = np.isfinite(truth).all(1)
    flat = codes.flatten(1).double().cpu().numpy()[rows]
    wrong = truth[rows] - flat @ models.coefficients[:, :-1].T - models.coefficients[:, -1]
    spreads = zip(MEASURES, wrong.T, truth[rows].T, strict=True)
    return {name: 1 - float(x.var() / y.var()) if y.std() else None for name, x, y in spreads}
