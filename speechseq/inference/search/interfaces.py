"""Protocols between a search and its models: a recogniser, and scorers such as language models."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

from torch import Tensor

from speechseq.shapes import Encoded


@runtime_checkable
class Step(Protocol):
    """Output of one step of the attention decoder."""

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
        """Next state: nested tuples of tensors with rows as first axis; a search re-orders it."""


@runtime_checkable
class PreparedSpeller(Protocol):
    """Attention decoder that is prepared for one search, and writes one symbol per step."""

    def start(self, memory: Tensor, memory_mask: Tensor) -> Any:
        """Return the state before the first step, whose input is SOS."""

    def step(self, tokens: Tensor, state: Any) -> Step:
        """Run one step; its input is the tokens (rows) of the previous step."""


@runtime_checkable
class SpellerProtocol(Protocol):
    """Attention decoder of a model, such as `speechseq.models.speller.Speller`."""

    def prepare(self) -> PreparedSpeller:
        """Return the decoder for one search; tensors that all its steps share are computed here."""


@runtime_checkable
class Recogniser(Protocol):
    """Encoder-decoder model for recognition, such as `speechseq.models.las.LAS`."""

    @property
    def speller(self) -> SpellerProtocol:
        """Attention decoder of the model."""

    def encode(self, features: Tensor, feature_lengths: Tensor) -> Encoded:
        """Encode frames (batch, frames, features) into memory (batch, positions, memory_dim)."""

    def ctc_log_probs(self, memory: Tensor, memory_lengths: Tensor) -> Tensor | None:
        """Log-probabilities (batch, positions, symbols) of the CTC head; None without a head.

        The blank has the id BLANK.
        """


@runtime_checkable
class Scorer(Protocol):
    """Scorer of hypotheses in addition to the model, such as a language model over its symbols.

    States of a scorer, as those of the speller, are nested tuples of tensors whose first axis is
    rows; a search re-orders the rows.
    """

    def start(self, rows: int, device: Any) -> Any:
        """Return the state before the first step, whose input is SOS."""

    def score(self, tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Return log-probabilities (rows, symbols) given the `tokens` (rows), and the new state."""


class WeightedScorer(NamedTuple):
    """Scorer and its weight in the score (shallow fusion).

    Attributes:
        name: name of its term in the score.
        most: upper bound of the scorer's values for one symbol; 0 for log-probabilities.
    """

    name: str
    scorer: Scorer
    weight: float
    most: float = 0.0
