"""What a search asks of a model and of a language model beside it."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

from torch import Tensor

from speechseq.shapes import Encoded


@runtime_checkable
class Step(Protocol):
    """One step of some rows: log_probs (rows, symbols), weights (rows, positions), state."""

    @property
    def log_probs(self) -> Tensor:
        """Normalised, of any floating dtype, never NaN or -inf; PAD, SOS, BLANK about -1e30."""

    @property
    def weights(self) -> Tensor:
        """Where attention looked; 0 on padding."""

    @property
    def state(self) -> Any:
        """Nested tuples of tensors whose first axis is rows, so that a search may re-order it."""


@runtime_checkable
class Spelling(Protocol):
    """What writes one symbol a step."""

    def start(self, memory: Tensor, memory_mask: Tensor) -> Any:
        """The state before the first step, which is fed with SOS."""

    def ready(self) -> Any:
        """What all steps of a search share, made once."""

    def step(self, tokens: Tensor, state: Any, ready: Any) -> Step:
        """One step, fed with the tokens (rows) written before it."""


@runtime_checkable
class Recogniser(Protocol):
    """A model that listens and spells, such as `speechseq.models.las.LAS`."""

    @property
    def speller(self) -> Spelling:
        """What writes."""

    def encode(self, features: Tensor, feature_lengths: Tensor) -> Encoded:
        """Frames (batch, frames, features) to the memory (batch, positions, memory_dim)."""

    def ctc_log_probs(self, memory: Tensor, memory_lengths: Tensor) -> Tensor | None:
        """(batch, positions, symbols), or None without a CTC head; blank is symbol BLANK."""


@runtime_checkable
class Scorer(Protocol):
    """A second opinion on what is written: a language model over the same symbols.

    Its states are re-ordered like the speller's: nested tuples of tensors whose first axis is rows.
    """

    def start(self, rows: int, device: Any) -> Any:
        """The state before the first step, which is fed with SOS."""

    def score(self, tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Log-probabilities (rows, symbols) of what follows the tokens (rows), and the state."""


class Fused(NamedTuple):
    """A scorer and its weight in the score (shallow fusion).

    name: of its term. most: the largest value that it may give one symbol; 0 for probabilities.
    """

    name: str
    scorer: Scorer
    weight: float
    most: float = 0.0
