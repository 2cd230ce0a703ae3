"""N-gram models from ARPA files as scorers, over a recogniser's own symbols or over words."""

import os
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from speechseq.errors import ConfigError
from speechseq.inference.backoff import tables
from speechseq.inference.word_trie import WordTrie
from speechseq.text import arpa as arpa_files
from speechseq.text.arpa import BEGIN, END, SPACE, UNKNOWN, Arpa
from speechseq.text.vocabulary import BLANK, EOS, PAD, SOS, TRANSCRIPT_CONTROLS, Vocabulary

_NEVER = [PAD, SOS, BLANK]
_IMPOSSIBLE = -1e30  # finite, so that sums of it stay ordered

Rows = Int[Tensor, " rows"]
LogProbs = Float[Tensor, "rows symbols"]


class NGramScorer:
    """Language model for beam search: an n-gram model whose words are the recogniser's symbols.

    Pass it to a search in a `WeightedScorer`. The model's word <space> is the space. A symbol that
    the model lacks has the probability of <unk>. `WordNGramScorer` is for models of whole words.

    Args:
        arpa: the n-gram model, read from an ARPA file or estimated.
        vocabulary: the recogniser's vocabulary.

    Raises:
        ConfigError: the vocabulary lacks the control symbols of a recogniser, or the model has no
            <unk> and lacks symbols of the vocabulary.

    Examples:
        >>> from speechseq.text import ngrams
        >>> arpa = ngrams.estimate(["a cab", "a bab"], 3, words=vocabulary.symbols)
        >>> scorer = NGramScorer(arpa, vocabulary)  # or NGramScorer.load("lm.arpa", vocabulary)
        >>> sos = torch.tensor([2])
        >>> log_probs, state = scorer.score(sos, scorer.start(1, "cpu"))
        >>> vocabulary.decode(log_probs.argmax(1).tolist())
        'a'
    """

    def __init__(self, arpa: Arpa, vocabulary: Vocabulary) -> None:
        _check_controls(vocabulary)
        self._backoff, words = tables(arpa)
        names = [SPACE if symbol == " " else symbol for symbol in vocabulary.symbols]
        missing = [name for name in names if name not in arpa.words]
        if missing and UNKNOWN not in arpa.words:
            problem = f"the n-gram model has neither <unk> nor {', '.join(map(repr, missing[:10]))}"
            raise ConfigError(problem, "estimate it over the recogniser's own symbols")
        controls = {EOS: END, SOS: BEGIN}
        spelled = [controls.get(i, UNKNOWN) for i in range(len(TRANSCRIPT_CONTROLS))] + names
        self._words = torch.tensor([words.get(name, words[UNKNOWN]) for name in spelled])

    @classmethod
    def load(cls, path: str | os.PathLike[str], vocabulary: Vocabulary) -> "NGramScorer":
        """Load an n-gram model over the recogniser's symbols from an ARPA file.

        Args:
            path: ARPA file, plain or gzipped.
            vocabulary: the recogniser's vocabulary.

        Raises:
            DataError: the file is missing or damaged; the message has file and line.
            ConfigError: the words of the model are not the vocabulary's symbols.
        """
        return cls(arpa_files.read(path), vocabulary)

    def start(self, rows: int, device: torch.device | str) -> Rows:
        """Return the state of `rows` hypotheses before any symbol; move tables to the device.

        A state is the index of a history (rows), see `Backoff`.
        """
        self._backoff, self._words = self._backoff.to(device), self._words.to(device)
        return torch.zeros(rows, dtype=torch.int64, device=device)

    def score(self, tokens: Rows, state: Rows) -> tuple[LogProbs, Rows]:
        """Return log-probabilities (rows, symbols) of the next symbol, and the new state (rows).

        A row is a hypothesis.

        Args:
            tokens: (rows), the last symbol of each hypothesis.
            state: (rows), result of `start`, or state returned by the previous call.
        """
        _, state = self._backoff.advance(state, self._words[tokens])
        log_probs = self._backoff.all_log_probs(state)[:, self._words]
        log_probs[:, _NEVER] = _IMPOSSIBLE
        return log_probs, state


class WordState(NamedTuple):
    """State of `WordNGramScorer`, one row per hypothesis.

    Attributes:
        history: (rows), index of the last complete words, see `Backoff`.
        node: (rows), letters of the unfinished word, as a node of a `WordTrie`.
    """

    history: Rows
    node: Rows


class WordNGramScorer:
    """Language model for beam search: an n-gram model over words, while the recogniser spells them.

    Pass it to a search in a `WeightedScorer`. A word is scored once, when it is complete: at the
    symbol that brings the next space, or at eos. So the scores of a sentence add up to its
    log-probability in words. Words that are not in the model, or that the vocabulary cannot spell,
    have the probability of <unk>. `NGramScorer` is for models over the recogniser's own symbols.

    Args:
        arpa: the n-gram model, read from an ARPA file or estimated.
        vocabulary: the recogniser's vocabulary.

    Raises:
        ConfigError: the vocabulary lacks the control symbols of a recogniser, or can spell none of
            the model's words.
    """

    def __init__(self, arpa: Arpa, vocabulary: Vocabulary) -> None:
        _check_controls(vocabulary)
        self._backoff, words = tables(arpa)
        self._begin, self._end = words[BEGIN], words[END]
        spoken = {w: i for w, i in words.items() if w not in (BEGIN, END, UNKNOWN)}
        likely = self._backoff.log_probs.tolist()  # unigrams come first
        ordered = sorted(spoken.items(), key=lambda item: -likely[item[1]])
        self._trie = WordTrie.of(ordered, vocabulary, unknown=words[UNKNOWN])

    @classmethod
    def load(cls, path: str | os.PathLike[str], vocabulary: Vocabulary) -> "WordNGramScorer":
        """Load an n-gram model over words from an ARPA file.

        Args:
            path: ARPA file, plain or gzipped.
            vocabulary: the recogniser's vocabulary.

        Raises:
            DataError: the file is missing or damaged; the message has file and line.
            ConfigError: the vocabulary can spell none of the model's words.
        """
        return cls(arpa_files.read(path), vocabulary)

    def start(self, rows: int, device: torch.device | str) -> WordState:
        """Return the state of `rows` hypotheses before any word; move the tables to `device`."""
        self._backoff, self._trie = self._backoff.to(device), self._trie.to(device)
        zeros = torch.zeros(rows, dtype=torch.int64, device=device)
        _, history = self._backoff.advance(zeros, torch.full_like(zeros, self._begin))
        return WordState(history, zeros)

    def score(self, tokens: Rows, state: WordState) -> tuple[LogProbs, WordState]:
        """Return log-probabilities (rows, symbols) of the next symbol, and the new state.

        A row is a hypothesis. A symbol that does not complete a word has 0.

        Args:
            tokens: (rows), the last symbol of each hypothesis.
            state: result of `start`, or state returned by the previous call.
        """
        closed = self._trie.closes[tokens]
        _, after = self._complete(state)
        history = torch.where(closed, after, state.history)
        node = self._trie.walk(torch.where(closed, 0, state.node), tokens)
        state = WordState(history, node)
        word, after = self._complete(state)
        log_probs = torch.where(self._trie.closes, word.unsqueeze(1), 0.0)
        end, _ = self._backoff.advance(after, torch.full_like(after, self._end))
        log_probs[:, EOS] = word + end
        log_probs[:, _NEVER] = _IMPOSSIBLE
        return log_probs, state

    def _complete(self, state: WordState) -> tuple[Float[Tensor, " rows"], Rows]:
        """Log-probability and history of completing the word; 0 where no word is begun."""
        log_probs, after = self._backoff.advance(state.history, self._trie.words[state.node])
        begun = state.node > 0
        return torch.where(begun, log_probs, 0.0), torch.where(begun, after, state.history)


def _check_controls(vocabulary: Vocabulary) -> None:
    if vocabulary.controls != TRANSCRIPT_CONTROLS:
        raise ConfigError(
            f"a vocabulary with the controls {', '.join(vocabulary.controls)} is no recogniser's",
            "use Vocabulary.transcripts, words or pieces",
        )
