"""Protocols between a search and its models: a recogniser, and scorers such as language models."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

from torch import Tensor

from speechseq.shapes import Encoded


@runtime_checkable
class Step(Protocol):
    """Protocol of the output of one step of an attention decoder; its rows are hypotheses."""

    @property
    def log_probs(self) -> Tensor:
        """Normalised log-probabilities (rows, symbols) of any floating dtype.

        They are never NaN or -inf; those of PAD, SOS and BLANK are about -1e30.
        """

    @property
    def weights(self) -> Tensor:
        """Attention weights (rows, positions); 0 on padding."""

    @property
    def state(self) -> Any:
        """Next state: nested tuples of tensors with rows as first axis; a search re-orders them."""


@runtime_checkable
class PreparedSpeller(Protocol):
    """Protocol of an attention decoder prepared for one search; it writes one symbol per step."""

    def start(self, memory: Tensor, memory_mask: Tensor) -> Any:
        """Return the state before the first step, whose input is SOS (start of sequence).

        Args:
            memory: (batch, positions, memory_dim), output of the encoder.
            memory_mask: (batch, positions), True = valid.
        """

    def step(self, tokens: Tensor, state: Any) -> Step:
        """Run one step on `tokens` (rows), the last symbol of each hypothesis, from `state`."""


@runtime_checkable
class SpellerProtocol(Protocol):
    """Protocol of a model's attention decoder, such as `speechseq.models.speller.Speller`."""

    def prepare(self) -> PreparedSpeller:
        """Return the decoder for one search; tensors that all its steps share are computed here."""


@runtime_checkable
class Recogniser(Protocol):
    """Protocol of an encoder-decoder model for recognition, such as `speechseq.models.las.LAS`."""

    @property
    def speller(self) -> SpellerProtocol:
        """Attention decoder of the model."""

    def encode(self, features: Tensor, feature_lengths: Tensor) -> Encoded:
        """Encode features (batch, frames, features), of `feature_lengths` (batch).

        Returns the memory (batch, positions, memory_dim) and its lengths (batch).
        """

    def ctc_log_probs(self, memory: Tensor, memory_lengths: Tensor) -> Tensor | None:
        """Log-probabilities (batch, positions, symbols) of the CTC head; None without a head.

        `memory` and `memory_lengths` are the result of `encode`. The blank has the id BLANK.
        """


@runtime_checkable
class Scorer(Protocol):
    """Protocol of a scorer of hypotheses beside the model, such as a language model.

    It scores the model's symbols. States of a scorer, as those of the speller, are nested tuples of
    tensors whose first axis is rows, the hypotheses; a search re-orders the rows.
    """

    def start(self, rows: int, device: Any) -> Any:
        """Return the state of `rows` hypotheses before the first step, whose input is SOS.

        Tensors in it are on `device`, that of the model.
        """

    def score(self, tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Return log-probabilities (rows, symbols) of the next symbol, and the new state.

        `tokens` (rows) are the last symbols; `state` is the result of `start` or of the previous
        call.
        """


class WeightedScorer(NamedTuple):
    """Scorer, such as a language model, and its weight in the score (shallow fusion).

    Attributes:
        name: name of its term in the score.
        scorer: the scorer.
        weight: factor of its log-probabilities.
        most: upper bound of the scorer's values for one symbol; 0 for log-probabilities.
    """

    name: str
    scorer: Scorer
    weight: float
    most: float = 0.0
