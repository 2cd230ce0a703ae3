"""Protocols between a search and its models: a recogniser, and scorers such as language models."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

from torch import Tensor

from speechseq.shapes import Encoded


@runtime_checkable
class Step(Protocol):
    """Protocol of the result of `PreparedSpeller.step`, for one symbol of each hypothesis (row).

    Any NamedTuple or object with these three attributes will do.
    """

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
        """State for the next step: nested tuples of tensors whose first axis is hypotheses (rows).

        Between steps a search selects and repeats rows.
        """


@runtime_checkable
class PreparedSpeller(Protocol):
    """Protocol of an attention decoder during one search, the result of `SpellerProtocol.prepare`.

    `Greedy` and `Beam` call `start` once per batch and then `step` once per symbol. These two
    methods are enough for a decoder of your own. Between steps the search itself selects and
    repeats rows (hypotheses) of the state, which is nested tuples of tensors
    (`nn.rows.regroup_rows`).
    """

    def start(self, memory: Tensor, memory_mask: Tensor) -> Any:
        """Return the state before the first step, whose input is SOS (start of sequence).

        Args:
            memory: (batch, positions, memory_dim), output of the encoder.
            memory_mask: (batch, positions), True = valid.
        """

    def step(self, tokens: Tensor, state: Any) -> Step:
        """Run one decoder step; return the next symbol's log-probabilities and the new state.

        Args:
            tokens: (rows), ids of the last symbol of each hypothesis, SOS at the first step.
            state: result of `start`, or `state` of the previous step, in which the search may have
                selected and repeated rows.
        """


@runtime_checkable
class SpellerProtocol(Protocol):
    """Protocol of a recogniser's attention decoder, the attribute `speller` of a `Recogniser`.

    `Greedy` and `Beam` call `prepare` once per batch. `speechseq.models.speller.Speller` is one.
    """

    def prepare(self) -> PreparedSpeller:
        """Return the decoder for one search; tensors that all its steps share are computed here."""


@runtime_checkable
class Recogniser(Protocol):
    """Protocol of the model that `recognise` transcribes with; `speechseq.models.las.LAS` is one.

    `recognise` calls `encode`; `Beam` and `Greedy` read `speller`, and `Beam` calls `ctc_log_probs`
    if its score has a CTC weight.
    """

    @property
    def speller(self) -> SpellerProtocol:
        """Attention decoder of the model."""

    def encode(self, features: Tensor, feature_lengths: Tensor) -> Encoded:
        """Encode features to a memory (batch, positions, memory_dim) and its lengths (batch).

        Args:
            features: (batch, frames, features).
            feature_lengths: (batch), number of valid frames.
        """

    def ctc_log_probs(self, memory: Tensor, memory_lengths: Tensor) -> Tensor | None:
        """Log-probabilities (batch, positions, symbols) of the CTC head; None without a head.

        `memory` and `memory_lengths` are the result of `encode`. The blank has the id BLANK.
        """


@runtime_checkable
class Scorer(Protocol):
    """Protocol of a second model, such as a language model, whose scores a beam search adds.

    `Beam` calls `start` once per batch and `score` once per symbol. A scorer has the same symbol
    ids as the recogniser. Its states are nested tuples of tensors whose first axis is rows, the
    hypotheses; between steps the search selects and repeats these rows.
    """

    def start(self, rows: int, device: Any) -> Any:
        """Return the state of `rows` hypotheses before the first step, whose input is SOS.

        Tensors in it are on `device`, that of the model.
        """

    def score(self, tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Return log-probabilities (rows, symbols) of the next symbol, and the new state.

        Args:
            tokens: (rows), ids of the last symbol of each hypothesis, SOS at the first step.
            state: result of `start`, or state returned by the previous call, in which the search
                may have selected and repeated rows.
        """


class WeightedScorer(NamedTuple):
    """A language model, or another `Scorer`, with its weight in a beam search (shallow fusion).

    Attributes:
        name: name of the term in the score, such as "lm".
        scorer: the language model.
        weight: factor of its log-probabilities.
        most: upper bound of the scorer's values for one symbol; 0 for log-probabilities.
    """

    name: str
    scorer: Scorer
    weight: float
    most: float = 0.0
