"""Back-off n-gram model as tensors, to look up many histories at once."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from speechseq.text.arpa import BEGIN, UNKNOWN, Arpa, NGrams

_NEVER_SEEN = -100 * float(np.log(10.0))  # of <unk>, if the model lacks it
_NO_BEGIN = -99 * float(np.log(10.0))

Rows = Int[Tensor, " rows"]


class Backoff(NamedTuple):
    """Back-off n-gram model as tensors, to score many hypotheses at once; `tables` builds it.

    A state is the index of a history, that is, of the words before the next one; state 0 is the
    empty history. An entry is an n-gram: a history and the word after it.

    Attributes:
        keys: (entries), state * words + word of each entry; the entries are sorted by it.
        log_probs: (entries), natural logarithms of the word's probability after the history.
        targets: (entries), state after the word: the longest suffix of the n-gram that is a
            history.
        starts: (states + 1), index of the first entry of each state.
        backoffs: (states), natural logarithm of the back-off weight.
        shorter: (states), state to back off to: the history without its first word.
        words: number of words.
        order: maximum number of words of an n-gram.
    """

    keys: Tensor
    log_probs: Tensor
    targets: Tensor
    starts: Tensor
    backoffs: Tensor
    shorter: Tensor
    words: int
    order: int

    def to(self, device: torch.device | str) -> "Backoff":
        """Return the same tables on another device."""
        return self._replace(
            keys=self.keys.to(device),
            log_probs=self.log_probs.to(device),
            targets=self.targets.to(device),
            starts=self.starts.to(device),
            backoffs=self.backoffs.to(device),
            shorter=self.shorter.to(device),
        )

    def advance(self, states: Rows, words: Rows) -> tuple[Float[Tensor, " rows"], Rows]:
        """Score one next word for each state; return log-probabilities in nats, and new states.

        Args:
            states: (rows), indices of histories.
            words: (rows), index of the word that follows each.
        """
        log_probs = torch.zeros_like(states, dtype=self.log_probs.dtype)
        targets, missing = torch.zeros_like(states), torch.ones_like(states, dtype=torch.bool)
        for _ in range(self.order):  # the empty history has every word
            keys = states * self.words + words
            entries = torch.searchsorted(self.keys, keys).clamp(max=len(self.keys) - 1)
            equal = self.keys[entries] == keys
            found, missing = missing & equal, missing & ~equal
            log_probs = log_probs + torch.where(found, self.log_probs[entries], 0.0)
            log_probs = log_probs + torch.where(missing, self.backoffs[states], 0.0)
            targets = torch.where(found, self.targets[entries], targets)
            states = self.shorter[states]
        return log_probs, targets

    def all_log_probs(self, states: Rows) -> Float[Tensor, "rows words"]:
        """Return the log-probabilities (rows, words) of every word after each state (rows)."""
        chain = [states]
        for _ in range(self.order - 2):
            chain.append(self.shorter[chain[-1]])
        log_probs = self.log_probs[: self.words].expand(len(states), -1).clone()
        for at in reversed(chain):  # entries of longer histories overwrite those of shorter ones
            at_length = at > 0
            log_probs = log_probs + torch.where(at_length, self.backoffs[at], 0.0).unsqueeze(1)
            counts = (self.starts[at + 1] - self.starts[at]) * at_length
            rows = torch.repeat_interleave(torch.arange(len(at), device=at.device), counts)
            within = torch.arange(len(rows), device=at.device) - (counts.cumsum(0) - counts)[rows]
            entries = self.starts[at][rows] + within
            log_probs[rows, self.keys[entries] % self.words] = self.log_probs[entries]
        return log_probs


def tables(arpa: Arpa) -> tuple[Backoff, dict[str, int]]:
    """Convert an n-gram model to tensors; return them, and a dict from each word to its index.

    The words <s> and <unk> are added if the model lacks them.
    """
    words = {word: i for i, word in enumerate(arpa.words)}
    unigrams = arpa.orders[0]
    for word, log_prob in ((BEGIN, _NO_BEGIN), (UNKNOWN, _NEVER_SEEN)):
        if word not in words:
            words[word] = len(words)
            unigrams = NGrams(
                ids=np.append(unigrams.ids, [[words[word]]], axis=0),
                log_probs=np.append(unigrams.log_probs, log_prob),
                backoffs=np.append(unigrams.backoffs, 0.0),
            )
    return _tables((unigrams, *arpa.orders[1:]), len(words)), words


def _tables(orders: tuple[NGrams, ...], words: int) -> Backoff:
    """Number the n-grams order by order, and sort each order by state and word.

    The n-gram of entry e is then the state e + 1, and all keys are sorted.
    """
    keys = np.empty(0, dtype=np.int64)
    log_probs, backoffs, shorter = np.empty(0), np.zeros(1), np.zeros(1, dtype=np.int64)
    for order, ngrams in enumerate(orders, start=1):
        states = np.zeros(len(ngrams.ids), dtype=np.int64)
        for place in range(order - 1):
            states = np.searchsorted(keys, states * words + ngrams.ids[:, place]) + 1
        new = states * words + ngrams.ids[:, -1]
        sort = np.argsort(new, kind="stable")
        ends = _ends(keys, shorter, states[sort], ngrams.ids[sort, -1], words)
        keys = np.concatenate([keys, new[sort]])
        log_probs = np.concatenate([log_probs, ngrams.log_probs[sort]])
        backoffs = np.concatenate([backoffs, ngrams.backoffs[sort]])
        shorter = np.concatenate([shorter, ends])
    histories = len(keys) - len(orders[-1].ids) + 1
    targets = np.arange(1, len(keys) + 1)
    targets[histories - 1 :] = shorter[histories:]
    return Backoff(
        keys=torch.from_numpy(keys),
        log_probs=torch.from_numpy(log_probs).float(),
        targets=torch.from_numpy(targets),
        starts=torch.from_numpy(np.searchsorted(keys, np.arange(histories + 1) * words)),
        backoffs=torch.from_numpy(backoffs[:histories]).float(),
        shorter=torch.from_numpy(shorter[:histories]),
        words=words,
        order=len(orders),
    )


def _ends(
    keys: np.ndarray, shorter: np.ndarray, states: np.ndarray, words: np.ndarray, count: int
) -> np.ndarray:
    """State of the longest proper suffix of every n-gram (state, word)."""
    ends = np.zeros(len(states), dtype=np.int64)
    searching = np.flatnonzero(states > 0)
    states = shorter[states]
    while len(searching):
        wanted = states[searching] * count + words[searching]
        entries = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        found = keys[entries] == wanted
        ends[searching[found]] = entries[found] + 1
        searching = searching[~found]
        states[searching] = shorter[states[searching]]
    return ends
