"""Word times: from the attention's alignment, or from a CTC head by forced alignment.

Places are counted in memory positions: position p reaches from p to p + 1.
"""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import scipy.optimize
import torch
import torchaudio.functional
from jaxtyping import Float
from torch import Tensor

from speechseq.text.vocabulary import BLANK


@dataclasses.dataclass(frozen=True, kw_only=True)
class Word:
    """A word with its start and end in seconds, and its confidence.

    The confidence is the product of its tokens' probabilities, each given all before it.
    """

    text: str
    start: float
    end: float
    confidence: float


class WordTokens(NamedTuple):
    """A word and the tokens that spell it: tokens[first:stop]."""

    text: str
    first: int
    stop: int


def word_tokens(tokens: Sequence[int], decode: Callable[[Sequence[int]], str]) -> list[WordTokens]:
    """Group tokens by the word of `decode(tokens)` that they spell; spaces belong to none.

    A token belongs to the words that it adds or makes longer in the decoded text, so that
    characters, pieces and whole words all work.
    """
    words = decode(tokens).split()
    found: dict[int, list[int]] = {}
    before: list[str] = []
    for index in range(len(tokens)):
        after = decode(tokens[: index + 1]).split()
        grown = max(len(before) - 1, 0)  # the last word, where this token goes on with it
        for place in range(grown, len(after)):
            if before[place : place + 1] != after[place : place + 1]:
                found.setdefault(place, []).append(index)
        before = after
    return [
        WordTokens(words[place], spelt[0], spelt[-1] + 1) for place, spelt in sorted(found.items())
    ]


def attention_places(alignment: Float[Tensor, "steps positions"]) -> list[float]:
    """Monotonic positions of the steps: medians of the attention weights.

    A median is not drawn away by a little weight far off, as a mean is. Where the order is broken,
    steps share a place, nearer to the ones with the sharper weights (isotonic regression).
    """
    steps, positions = alignment.shape
    if steps == 0 or positions == 0:
        return [0.0] * steps
    weights = np.nan_to_num(alignment.detach().double().cpu().numpy()).clip(0)
    weights = weights + 1e-12  # a row of nothing looks everywhere
    weights = weights / weights.sum(1, keepdims=True)
    medians = [_median(row) for row in weights]
    monotone = scipy.optimize.isotonic_regression(medians, weights=weights.max(1)).x
    return [float(place) for place in monotone]


def ctc_places(log_probs: Float[Tensor, "positions symbols"], tokens: Sequence[int]) -> list[float]:
    """Positions of the tokens on the likeliest CTC path that spells them.

    Tokens that have no room (fewer positions than tokens and blanks between equal ones) are spread
    evenly.
    """
    positions = log_probs.shape[0]
    doubles = sum(one == other for one, other in itertools.pairwise(tokens))
    if not tokens:
        return []
    if len(tokens) + doubles > positions:
        return [positions * (i + 0.5) / len(tokens) for i in range(len(tokens))]
    path, _ = torchaudio.functional.forced_align(
        log_probs.detach().float().cpu()[None],
        torch.tensor([list(tokens)], dtype=torch.int32),
        blank=BLANK,
    )
    runs, counts = torch.unique_consecutive(path[0], return_counts=True)
    ends = counts.cumsum(0)
    middles = ends - counts / 2
    return [float(middle) for middle, run in zip(middles, runs, strict=True) if run != BLANK]


def word_spans(
    words: Sequence[WordTokens], places: Sequence[float], positions: int, lead: float
) -> list[tuple[float, float]]:
    """Start and end of each word in positions: in order, none over another, within the sound.

    Two words meet half way between the last token of the one and the first of the next, or `lead`
    before the latter where that is later: attention often reads a word from its first sounds
    alone, so that the last token says little of the end, and lets the space look where the next
    word begins. The last word ends where eos looked, when a place of eos follows the tokens.
    """
    if not words:
        return []
    edges = [places[words[0].first] - max(lead, 0.5)]
    for left, right in itertools.pairwise(words):
        first = places[right.first]
        half = (places[left.stop - 1] + first) / 2
        spelt = right.stop - right.first > 1  # a word of one token is read at its middle
        edges.append(max(half, first - lead) if spelt else half)
    last = words[-1].stop
    edges.append(max(places[-1] if last < len(places) else 0.0, places[last - 1] + 0.5))
    limits = np.maximum.accumulate(np.clip(edges, 0.0, positions))
    return [(float(a), float(b)) for a, b in itertools.pairwise(limits)]


def _median(weights: np.ndarray) -> float:
    """Median position of attention weights, interpolated between the edges of positions."""
    total = np.concatenate([[0.0], weights.cumsum()])
    return float(np.interp(0.5, total, np.arange(len(total))))
