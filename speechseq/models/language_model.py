"""Recurrent language model: the probability of each symbol given those before it (Mikolov 2010)."""

import dataclasses
import math
from collections.abc import Iterable
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from speechseq.arguments import checked_ids
from speechseq.batch import TextBatch
from speechseq.config import Config
from speechseq.errors import ConfigError
from speechseq.models.loss_terms import Losses
from speechseq.nn.masks import length_mask
from speechseq.nn.meta_build import built
from speechseq.nn.precision import at_least_float32
from speechseq.ops.dropout import dropout
from speechseq.ops.plain import is_plain
from speechseq.ranges import Depth, Dropout, Width
from speechseq.text.vocabulary import BLANK, PAD, SOS, TRANSCRIPT_CONTROLS

_NEVER = [PAD, SOS, BLANK]  # no text holds them
_IMPOSSIBLE = -1e30  # finite, so that sums and gradients of it stay finite


@dataclasses.dataclass(frozen=True, kw_only=True)
class LanguageModelConfig(Config):
    """Settings of the language model.

    Attributes:
        embedding: channels of a symbol's embedding.
        hidden: units of an LSTM layer.
        layers: number of LSTM layers.
        dropout: rate for the inputs of each layer and of the output layer (Zaremba 2014).
        tied: use the embeddings as weights of the output layer too (Press 2017); if `embedding` and
            `hidden` differ, a projection comes before the output layer.

    Examples:
        >>> from speechseq.batch import TextBatch
        >>> model = LanguageModelConfig(embedding=16, hidden=32).build(symbols=30)
        >>> batch = TextBatch(tokens=torch.tensor([[7, 8, 9, 1]]), token_lengths=torch.tensor([4]))
        >>> model(batch).log_probs.shape
        torch.Size([1, 4, 30])
    """

    kind: ClassVar[str] = "language_model"
    embedding: Width = 256
    hidden: Width = 512
    layers: Depth = 1
    dropout: Dropout = 0.2
    tied: bool = False

    def build(self, symbols: int) -> "LanguageModel":
        """Build the model for a vocabulary of `symbols` entries, including pad, eos, sos, blank."""
        return built(lambda: LanguageModel(symbols, self))


class LanguageState(NamedTuple):
    """State of a language model between two symbols of a text.

    Attributes:
        hidden: (rows, layers, hidden), hidden states of the LSTM layers.
        cell: (rows, layers, hidden), cell states of the LSTM layers.
    """

    hidden: Float[Tensor, "rows layers hidden"]
    cell: Float[Tensor, "rows layers hidden"]


class LanguageModelOutput(NamedTuple):
    """Output of `LanguageModel.forward`.

    Attributes:
        log_probs: (batch, tokens, symbols), of every symbol at each position, given those before
            it.
    """

    log_probs: Float[Tensor, "batch tokens symbols"]


class LanguageModel(nn.Module):
    """Recurrent language model (Mikolov 2010): embedding, LSTM layers and log-softmax.

    `LanguageModelConfig().build(symbols)` makes it. Call it with a `TextBatch` for the
    log-probabilities of whole texts, as in training; in a search (`RNNScorer`), `start` and then
    `step` for each symbol. The control symbols pad, sos and blank, which no text holds, get
    negligible probabilities.

    Args:
        symbols: number of entries of the vocabulary, control symbols included.
        config: a `LanguageModelConfig`.

    Raises:
        ConfigError: the vocabulary has control symbols only.
    """

    symbol_rows = ("embedding.weight", "output.weight", "output.bias", "output_bias")

    def __init__(self, symbols: int, config: LanguageModelConfig) -> None:
        super().__init__()
        if symbols <= len(TRANSCRIPT_CONTROLS):
            raise ConfigError(f"{symbols} symbols leave none beside the controls")
        self.symbols, self.config = symbols, config
        self.embedding = nn.Embedding(symbols, config.embedding)
        nn.init.normal_(self.embedding.weight, std=config.embedding**-0.5)
        between = config.dropout if config.layers > 1 else 0.0
        self.layers = nn.LSTM(
            config.embedding, config.hidden, config.layers, batch_first=True, dropout=between
        )
        narrowed = config.tied and config.embedding != config.hidden
        self.narrow = nn.Linear(config.hidden, config.embedding) if narrowed else nn.Identity()
        self.output = None if config.tied else nn.Linear(config.hidden, symbols)
        self.output_bias = nn.Parameter(torch.zeros(symbols)) if config.tied else None

    def forward(self, batch: TextBatch) -> LanguageModelOutput:
        """Compute the log-probabilities of all symbols at each position of the texts of `batch`.

        A position is predicted from sos and the tokens of its row before the position.

        Raises:
            DataError: a token is not in the model's vocabulary.
        """
        mask = length_mask(batch.token_lengths, batch.tokens.shape[1])
        tokens = checked_ids(torch.where(mask, batch.tokens, PAD), self.symbols)
        before = F.pad(tokens, (1, -1), value=SOS)
        # padding comes last and the layers look back alone, so it reaches nothing valid
        hidden, _ = self.layers(self._embed(before))
        return LanguageModelOutput(self._log_probs(hidden))

    def start(self, rows: int) -> LanguageState:
        """Return the state (zeros) of `rows` texts before their first token."""
        like = next(self.parameters())
        zeros = like.new_zeros(rows, self.config.layers, self.config.hidden)
        return LanguageState(zeros, zeros)

    def step(
        self, tokens: Int[Tensor, " rows"], state: LanguageState
    ) -> tuple[Float[Tensor, "rows symbols"], LanguageState]:
        """Run one step: predict the next symbol of each text.

        Args:
            tokens: (rows), the previous token of each row; sos at the beginning of a text.
            state: state after the tokens before the previous one.

        Returns:
            Log-probabilities in nats (rows, symbols), and the new state.
        """
        layers_first = tuple(part.transpose(0, 1).contiguous() for part in state)
        hidden, after = self.layers(self._embed(tokens.unsqueeze(1)), layers_first)
        state = LanguageState(*(part.transpose(0, 1) for part in after))
        return self._log_probs(hidden).squeeze(1), state

    def _embed(self, tokens: Tensor) -> Tensor:
        return dropout(self.embedding(tokens), self.config.dropout, self.training)

    def _embeddings(self, device: torch.device) -> Tensor:
        """Embeddings of all symbols (symbols, embedding), as calling the layer gives them."""
        if is_plain(self.embedding, nn.Embedding):
            return self.embedding.weight
        return self.embedding(torch.arange(self.symbols, device=device))

    def _log_probs(self, hidden: Tensor) -> Tensor:
        top = self.narrow(dropout(hidden, self.config.dropout, self.training))
        if self.output is None:
            logits = F.linear(top, self._embeddings(top.device), self.output_bias)
        else:
            logits = self.output(top)
        never = torch.zeros(self.symbols, dtype=torch.bool, device=logits.device)
        never[_NEVER] = True
        logits = at_least_float32(logits).masked_fill(never, _IMPOSSIBLE)
        return F.log_softmax(logits, dim=-1)


class LanguageModelLoss(nn.Module):
    """Loss of a `LanguageModel`: cross-entropy in nats per token.

    Called as `loss(model(batch), batch)`. End symbols count as tokens, padding does not.
    """

    def forward(self, output: LanguageModelOutput, batch: TextBatch, *, update: int = 0) -> Losses:
        """Compute the mean cross-entropy over the valid tokens of a batch.

        Args:
            output: the model's output for the batch, log-probabilities of every token.
            batch: the texts.
            update: number of the optimizer update, which has no effect.

        Returns:
            The loss in nats per token, as the term "cross_entropy".
        """
        mean = _surprise(output, batch).sum() / batch.token_lengths.sum()
        return Losses(mean, {"cross_entropy": mean})


@torch.no_grad()
def perplexity(model: LanguageModel, batches: Iterable[TextBatch]) -> float:
    """Compute the perplexity of a language model on texts.

    It is exp of the mean cross-entropy over all tokens, so it does not depend on how the texts are
    batched.

    Args:
        model: the language model.
        batches: the texts.
    """
    device = next(model.parameters()).device
    total, tokens = 0.0, 0
    for batch in (batch.to(device) for batch in batches):
        total += float(_surprise(model(batch), batch).sum(dtype=torch.float64))
        tokens += batch.weight
    return math.exp(total / tokens)


def _surprise(output: LanguageModelOutput, batch: TextBatch) -> Tensor:
    """Negative log-probability of every valid token, flat (valid tokens)."""
    mask = length_mask(batch.token_lengths, batch.tokens.shape[1])
    return F.nll_loss(output.log_probs[mask], batch.tokens[mask], reduction="none")
