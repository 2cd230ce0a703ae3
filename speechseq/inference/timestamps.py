"""Word times, from the attention's alignment, or by forced alignment with a CTC head.

Times are first measured in memory positions: position p lasts from p to p + 1.
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
    """Recognised word with its time and confidence.

    Attributes:
        text: the word.
        start: start in seconds from the start of the sound.
        end: end in seconds from the start of the sound.
        confidence: product of the probabilities of its tokens, each given all tokens before it.
    """

    text: str
    start: float
    end: float
    confidence: float


class WordTokens(NamedTuple):
    """Word of a decoded transcript, and the tokens that spell it; see `word_tokens`.

    Attributes:
        text: the word.
        first: index of its first token.
        stop: index of the token after its last one.
    """

    text: str
    first: int
    stop: int


def word_tokens(tokens: Sequence[int], decode: Callable[[Sequence[int]], str]) -> list[WordTokens]:
    """Find the words of a transcript, and which of its tokens spell each.

    A token belongs to the words that it adds or extends in the decoded text, so tokens may be
    characters, pieces or whole words. Spaces belong to no word.

    Args:
        tokens: ids of the transcript.
        decode: function that turns ids into text, such as `Vocabulary.decode`.
    """
    words = decode(tokens).split()
    found: dict[int, list[int]] = {}
    before: list[str] = []
    for index in range(len(tokens)):
        after = decode(tokens[: index + 1]).split()
        grown = max(len(before) - 1, 0)  # the last word, which this token may continue
        for place in range(grown, len(after)):
            if before[place : place + 1] != after[place : place + 1]:
                found.setdefault(place, []).append(index)
        before = after
    return [
        WordTokens(words[place], spelt[0], spelt[-1] + 1) for place, spelt in sorted(found.items())
    ]


def attention_places(alignment: Float[Tensor, "steps positions"]) -> list[float]:
    """Estimate where each decoder step attends, as positions that never decrease.

    A step's position is the median of its attention weights; a median, unlike a mean, is robust to
    small weights far away. Where medians decrease, isotonic regression gives these steps one shared
    position, closer to those with sharper weights.

    Args:
        alignment: (steps, positions), attention weights.

    Returns:
        A position for each step, a float from 0 to the number of positions.
    """
    steps, positions = alignment.shape
    if steps == 0 or positions == 0:
        return [0.0] * steps
    weights = np.nan_to_num(alignment.detach().double().cpu().numpy()).clip(0)
    weights = weights + 1e-12  # a row of zeros becomes uniform
    weights = weights / weights.sum(1, keepdims=True)
    medians = [_median(row) for row in weights]
    monotone = scipy.optimize.isotonic_regression(medians, weights=weights.max(1)).x
    return [float(place) for place in monotone]


def ctc_places(log_probs: Float[Tensor, "positions symbols"], tokens: Sequence[int]) -> list[float]:
    """Estimate the memory position of each token, by the likeliest CTC path that spells them.

    If there are fewer positions than tokens, and blanks between equal tokens, the tokens are spread
    evenly.

    Args:
        log_probs: (positions, symbols), log-probabilities of the CTC head.
        tokens: ids of the transcript, without eos.

    Returns:
        The middle of each token, a float from 0 to the number of positions.
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
    """Estimate start and end of each word in memory positions, in order and without overlap.

    Two words meet half way between the last token of the first and the first token of the second,
    or `lead` before the latter token if that is later. The reason: attention often reads a word
    from its first sounds alone, so that its last token says little about its end, and often attends
    to the start of the next word at a space. The last word ends at the position of eos, if `places`
    has one after the tokens, and no later than the sound.

    Args:
        words: words with the ranges of their tokens.
        places: position of each token, and of eos if the transcript is finished.
        positions: number of positions of the sound.
        lead: number of positions that a word may begin before its first token.

    Returns:
        (start, end) of each word, in positions.
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
