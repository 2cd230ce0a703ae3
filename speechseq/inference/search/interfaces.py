"""Protocols between a search and the models: a recogniser, and scorers such as language models."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

from torch import Tensor

from speechseq.shapes import Encoded


@runtime_checkable
class Step(Protocol):
    """Output of one step: log_probs (rows, symbols), weights (rows, positions), state."""

    @property
    def log_probs(self) -> Tensor:
        """Normalised, of any floating dtype, never NaN or -inf; PAD, SOS, BLANK about -1e30."""

    @property
    def weights(self) -> Tensor:
        """Attention weights; 0 on padding."""

    @property
    def state(self) -> Any:
        """Nested tuples of tensors whose first axis is rows, which a search re-orders."""


@runtime_checkable
class PreparedSpeller(Protocol):
    """Attention decoder prepared for one search; it writes one symbol a step."""

    def start(self, memory: Tensor, memory_mask: Tensor) -> Any:
        """Return the state before the first step, whose input is SOS."""

    def step(self, tokens: Tensor, state: Any) -> Step:
        """Run one step; its input is the tokens (rows) of the step before."""


@runtime_checkable
class SpellerProtocol(Protocol):
    """Attention decoder of a model, such as `speechseq.models.speller.Speller`."""

    def prepare(self) -> PreparedSpeller:
        """Return the speller with the tensors that its steps share, computed once a search."""


@runtime_checkable
class Recogniser(Protocol):
    """A model that listens and spells, such as `speechseq.models.las.LAS`."""

    @property
    def speller(self) -> SpellerProtocol:
        """The attention decoder."""

    def encode(self, features: Tensor, feature_lengths: Tensor) -> Encoded:
        """Encode frames (batch, frames, features) into memory (batch, positions, memory_dim)."""

    def ctc_log_probs(self, memory: Tensor, memory_lengths: Tensor) -> Tensor | None:
        """Log-probabilities (batch, positions, symbols) of the CTC head; None without a head.

        The blank is symbol BLANK.
        """


@runtime_checkable
class Scorer(Protocol):
    """Scorer of hypotheses beside the model, such as a language model over the same symbols.

    Its states, like the speller's, are nested tuples of tensors whose first axis is rows; a search
    re-orders both.
    """

    def start(self, rows: int, device: Any) -> Any:
        """Return the state before the first step, whose input is SOS."""

    def score(self, tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Log-probabilities (rows, symbols) of the symbol after `tokens` (rows); the new state."""


class WeightedScorer(NamedTuple):
    """A scorer and its weight in the score (shallow fusion).

    name: of its term in the score. most: upper bound of the values that the scorer gives one
    symbol; 0 for log-probabilities.
    """

    name: str
    scorer: Scorer
    weight: float
    most: float = 0.0
