"""Bootstrap confidence intervals of an error rate, and paired tests of two systems.

M. Bisani, H. Ney, "Bootstrap estimates for confidence intervals in ASR performance evaluation",
ICASSP 2004. Whole utterances are drawn, because the errors within an utterance are not
independent; if the utterances of a speaker are correlated, pass the sums of each speaker.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from speechseq.errors import DataError
from speechseq.ranges import Count, Seed, checked

RESAMPLES = 10_000
_AT_ONCE = 1 << 20  # random numbers held in memory at a time


@dataclasses.dataclass(frozen=True, kw_only=True)
class Interval:
    """Confidence interval of an error rate, or of the difference of two.

    Attributes:
        low: lower end.
        high: upper end.
        level: probability of the interval, such as 0.95.
    """

    low: float
    high: float
    level: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """Comparison of the error rates of two systems on the same utterances.

    Attributes:
        difference: rate of the second minus that of the first; negative if the second is better.
        interval: confidence interval of the difference.
        improvement: probability that the second has the lower rate on a resampled test set; a tie
            counts half.
        p_value: two-sided permutation test on matched pairs: the probability of a difference at
            least this large if the errors of each utterance were swapped at random.
    """

    difference: float
    interval: Interval
    improvement: float
    p_value: float


def interval(
    errors: Sequence[int],
    ref: Sequence[int],
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval | None:
    """Confidence interval of an error rate, sum(errors) / sum(ref), by bootstrap over utterances.

    The interval is between percentiles of the rates of resampled sets of utterances. Its width is 0
    if no utterance has an error, because every resample then has the rate 0.

    Args:
        errors: number of errors in each utterance.
        ref: number of reference words or characters in each utterance.
        level: probability of the interval.
        resamples: number of bootstrap samples, which are sets of utterances.
        seed: seed of the draws.

    Returns:
        The interval, or None if the references are empty.
    """
    table = np.array([errors, ref], dtype=float).T.reshape(-1, 2)
    if not table[:, 1].any():
        return None
    sums = _resampled(table, resamples, seed)
    return _between(sums[:, 0] / sums[:, 1], level)


def compare(
    first: Sequence[int],
    second: Sequence[int],
    ref: Sequence[int],
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """Compare the error rates of two systems on the same utterances, by bootstrap and permutation.

    Args:
        first: number of errors of the first system in each utterance.
        second: number of errors of the second system in each utterance.
        ref: number of reference words or characters in each utterance.
        level: probability of the confidence interval of the difference.
        resamples: number of bootstrap samples, and of random permutations.
        seed: seed of the draws.

    Raises:
        DataError: the references are empty, or the systems have different numbers of utterances.
    """
    if not len(first) == len(second) == len(ref):
        raise DataError(
            f"utterances of the systems differ in number: {len(first)}, {len(second)}, "
            f"references {len(ref)}",
            "give both systems the same utterances",
        )
    if not any(ref):
        raise DataError("there are no words to compare on", "give references that are not empty")
    change = np.array(second, dtype=float) - np.array(first, dtype=float)
    table = np.stack([change, np.array(ref, dtype=float)], axis=1)
    sums = _resampled(table, resamples, seed)
    return Comparison(
        difference=float(change.sum() / table[:, 1].sum()),
        interval=_between(sums[:, 0] / sums[:, 1], level),
        improvement=float((sums[:, 0] < 0).mean() + (sums[:, 0] == 0).mean() / 2),
        p_value=_p_value(change, resamples, seed),
    )


def _resampled(table: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Column sums (resamples, columns) of rows drawn with replacement; the last is never zero."""
    random = np.random.default_rng(checked("seed", seed, Seed))
    checked("resamples", resamples, Count)
    parts = []
    for rows in _parts(resamples, len(table)):
        sums = table[random.integers(len(table), size=(rows, len(table)))].sum(1)
        while (empty := sums[:, -1] == 0).any():  # the rate is undefined: draw again
            again = random.integers(len(table), size=(int(empty.sum()), len(table)))
            sums[empty] = table[again].sum(1)
        parts.append(sums)
    return np.concatenate(parts)


def _p_value(change: np.ndarray, resamples: int, seed: int) -> float:
    """Share of random swaps, the observed one included, whose sum is at least as far from zero."""
    change = change[change != 0]  # swapping equal errors changes nothing
    random = np.random.default_rng(seed)
    extreme = 0
    for rows in _parts(resamples, len(change)):
        sides = 2.0 * random.integers(2, size=(rows, len(change))) - 1.0
        extreme += int((abs(sides @ change) >= abs(change.sum())).sum())
    return (1 + extreme) / (1 + resamples)


def _parts(resamples: int, width: int) -> Iterator[int]:
    most = max(1, _AT_ONCE // max(1, width))
    for begin in range(0, resamples, most):
        yield min(most, resamples - begin)


def _between(rates: np.ndarray, level: float) -> Interval:
    low, high = np.quantile(rates, [(1 - level) / 2, (1 + level) / 2])
    return Interval(low=float(low), high=float(high), level=level)
