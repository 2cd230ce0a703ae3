"""The speller of Listen, Attend and Spell (Chan 2015, §3.2): a memory to symbols, one a step."""

import dataclasses
import functools
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechseq.config import Config, choice
from speechseq.errors import ConfigError
from speechseq.models.backends import speller_cpp
from speechseq.models.backends.speller_graph import GraphSpeller, tensors_of
from speechseq.nn.attention.content import ContentConfig
from speechseq.nn.attention.contract import AttentionConfig
from speechseq.nn.attention.dot import DotConfig
from speechseq.nn.attention.location_sensitive import LocationSensitiveConfig
from speechseq.nn.attention.multi_head import MultiHeadConfig
from speechseq.nn.attention_rnn import AttentionRNN, AttentionRNNState, StepWeights
from speechseq.nn.cells import SplitLSTM
from speechseq.nn.precision import at_least_float32
from speechseq.ops.cuda_graph import graph_cache
from speechseq.ops.deferred_linear import prepacked
from speechseq.ops.dropout import dropout
from speechseq.ops.plain import is_plain
from speechseq.ranges import Depth, Dropout, Share, Update, Width, WidthOrNone
from speechseq.shapes import Alignment, LogProbs, Memory, MemoryMask, Tokens
from speechseq.text.vocabulary import BLANK, PAD, SOS

NEVER = -1e30  # the log-probability of what is no symbol of a transcript; finite, so 0 × it is 0
FEW = 1024  # symbols: the gates of so many cost less than those of a search's hypotheses


@dataclasses.dataclass(frozen=True, kw_only=True)
class SamplingConfig(Config):
    """Scheduled sampling (Bengio 2015): the share of steps fed with the model's own symbol.

    The rate rises linearly from 0 at update `start` to `rate` at update `end`; LAS takes 0.1.
    """

    rate: Share = 0.0
    start: Update = 0
    end: Update = 0

    def check(self) -> None:
        """Raise ConfigError for an end before the start."""
        if self.start > self.end:
            raise ConfigError(f"end: update {self.end} comes before start {self.start}")

    def at(self, update: int) -> float:
        """The rate of an update."""
        if update >= self.end:
            return self.rate
        return self.rate * max(0, update - self.start) / (self.end - self.start)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpellerConfig(Config):
    """Numbers of the speller; the defaults are LAS's, with location-sensitive attention.

    Attributes:
        embedding: channels of a symbol that was written.
        layers, hidden: LSTM layers and their units; the top one asks the attention.
        recurrent_dropout: of the LSTMs' hidden states, inside the recurrence.
        output: units of the tanh layer between [hidden; context] and the symbols, 0 for none.
        dropout: of what the output layers read.
    """

    embedding: Width = 128
    layers: Depth = 2
    hidden: Width = 512
    recurrent_dropout: Dropout = 0.0
    attention: AttentionConfig = choice(
        LocationSensitiveConfig,
        ContentConfig,
        DotConfig,
        MultiHeadConfig,
        default=LocationSensitiveConfig(),
    )
    output: WidthOrNone = 0
    dropout: Dropout = 0.0
    sampling: SamplingConfig = SamplingConfig()

    def build(self, symbols: int, memory_dim: int) -> "Speller":
        """The speller for a vocabulary of this many entries and a memory of this width."""
        return Speller(symbols, memory_dim, self)


class SpellerState(NamedTuple):
    """State between two steps in torch: that of the attention RNN, its first axis rows."""

    core: AttentionRNNState


class SpellerWeights(NamedTuple):
    """Weights shared by all steps: those of the attention RNN, and the first cell's gates (symbols,
    gates) of every symbol, or None to compute them step by step."""

    core: StepWeights
    gates: Tensor | None


class Spelled(NamedTuple):
    """One step: log_probs (rows, symbols), weights (rows, positions), and the state after it."""

    log_probs: Tensor
    weights: Tensor
    state: SpellerState


class SpellerOutput(NamedTuple):
    """All steps' log_probs (batch, tokens, symbols) and alignment (batch, tokens, positions)."""

    log_probs: LogProbs
    alignment: Alignment


class Speller(nn.Module):
    """LSTM layers that read [symbol before; context], attention asked by the top one, symbols.

    Each distribution is over the transcript's symbols and eos; pad, sos and blank never come.
    """

    symbol_rows = ("embedding.weight", "symbols.weight", "symbols.bias")
    never: Tensor

    def __init__(self, symbols: int, memory_dim: int, config: SpellerConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(symbols, config.embedding)
        first, *widths = [config.embedding, *[config.hidden] * (config.layers - 1)]
        dropout = config.recurrent_dropout
        self.core = AttentionRNN(
            SplitLSTM(first, memory_dim, config.hidden, dropout=dropout),
            config.attention.build(config.hidden, memory_dim),
            [SplitLSTM(0, width, config.hidden, dropout=dropout) for width in widths],
        )
        top = config.hidden + memory_dim
        self.deep = nn.Linear(top, config.output) if config.output else None
        self.symbols = nn.Linear(config.output or top, symbols)
        never = torch.zeros(symbols, dtype=torch.bool)
        never[[PAD, SOS, BLANK]] = True
        self.register_buffer("never", never, persistent=False)
        self.sampling_rate = config.sampling.at(0)

    def at_update(self, update: int) -> None:
        """Sample at the rate that belongs to an update's number."""
        self.sampling_rate = self.config.sampling.at(update)

    def forward(self, tokens: Tokens, memory: Memory, memory_mask: MemoryMask) -> SpellerOutput:
        """Teacher-forced on tokens (batch, tokens): step t reads tokens before t and writes t.

        In training, steps may be fed with symbols drawn from the model's own distribution instead.
        """
        before = F.pad(tokens[:, :-1], (1, 0), value=SOS)
        if self.training and self.sampling_rate:
            return self._sampled(before, memory, memory_mask)
        core = self.core(self.embedding(before), memory, memory_mask)
        return SpellerOutput(self._log_probs(core.hidden, core.context), core.alignment)

    def start(self, memory: Memory, memory_mask: MemoryMask) -> SpellerState:
        """The state before the first step, which is then fed with sos."""
        return SpellerState(self.core.start(memory, memory_mask))

    def step(
        self, tokens: Tensor, state: SpellerState, weights: SpellerWeights | None = None
    ) -> Spelled:
        """One step in torch, fed with the tokens (rows) written before it: the reference.

        `weights` are `self.weights()`, computed once for many steps; a search runs the steps of
        `self.prepare()`.
        """
        weights = weights or SpellerWeights(self.core.prepare(), None)
        table = weights.gates
        gates = self._hoisted(tokens) if table is None else table.index_select(0, tokens)
        attended, core = self.core.step(gates, state.core, weights.core)
        return Spelled(self._log_probs(core.hidden, core.context), attended, SpellerState(core))

    def weights(self) -> SpellerWeights:
        """Weights for many calls of `step`, packed where no gradient is wanted."""
        core = self.core.prepare()
        if torch.is_grad_enabled():
            return SpellerWeights(core, None)
        products = tuple(tuple(map(prepacked, layer)) for layer in core.products)
        return SpellerWeights(core._replace(products=products), self._gates())

    def prepare(self) -> "PreparedSpeller":
        """The fastest way to run the steps of one search, with `start` and `step`.

        A C++ kernel on a CPU, a CUDA graph on a GPU, torch's operations elsewhere, in training and
        for gradients. The state of one is not for another.
        """
        heads = [layer for layer in (self.deep, self.symbols) if layer is not None]
        if not self.training and speller_cpp.supported(self.core, heads, [*self.parameters()]):
            parts = self.core, self._hoisted, self._gates(), heads, self.never, NEVER
            return speller_cpp.CppSpeller(*parts)
        weights = self.weights()
        step = functools.partial(self.step, weights=weights)
        needs_torch = self.training or torch.is_grad_enabled()
        graphs = None if needs_torch else graph_cache(self, self.never.device)
        if graphs is None:
            return TorchSpeller(self, weights)
        read = [*self.parameters(), *tensors_of(weights.core)]
        read += [] if weights.gates is None else [weights.gates]
        return GraphSpeller(graphs, self.start, step, read, self.core.attention)

    def _gates(self) -> Tensor | None:
        if is_plain(self.embedding, nn.Embedding) and len(self.embedding.weight) <= FEW:
            return self.core.cell.hoist(self.embedding.weight)
        return None

    def _hoisted(self, tokens: Tensor) -> Tensor:
        return self.core.cell.hoist(self.embedding(tokens))

    def _sampled(self, before: Tensor, memory: Tensor, memory_mask: Tensor) -> SpellerOutput:
        state, weights, sampled = self.start(memory, memory_mask), self.weights(), before[:, 0]
        log_probs, alignment = [], []
        for step, true in enumerate(before.unbind(1)):
            use_sampled = torch.rand(len(true), device=true.device) < self.sampling_rate
            fed = torch.where(use_sampled, sampled, true) if step else true
            spelled = self.step(fed, state, weights)
            state = spelled.state
            sampled = torch.multinomial(spelled.log_probs.detach().exp(), 1).squeeze(1)
            log_probs.append(spelled.log_probs)
            alignment.append(spelled.weights)
        return SpellerOutput(torch.stack(log_probs, 1), torch.stack(alignment, 1))

    def _log_probs(self, hidden: Tensor, context: Tensor) -> Tensor:
        x = dropout(torch.cat([hidden, context], dim=-1), self.config.dropout, self.training)
        if self.deep is not None:
            x = dropout(torch.tanh(self.deep(x)), self.config.dropout, self.training)
        logits = at_least_float32(self.symbols(x)).masked_fill(self.never, NEVER)
        return torch.log_softmax(logits, dim=-1)


class TorchSpeller:
    """A speller for one search in torch's operations."""

    def __init__(self, speller: Speller, weights: SpellerWeights) -> None:
        self.start, self.weights = speller.start, weights
        self.step = functools.partial(speller.step, weights=weights)


PreparedSpeller: TypeAlias = (
    TorchSpeller | speller_cpp.CppSpeller | GraphSpeller[SpellerState, Spelled]
)
