"""Speller of Listen, Attend and Spell (Chan 2015, §3.2): memory to symbols, one per step."""

import dataclasses
import functools
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechseq.config import Config, choice
from speechseq.models.backends import speller_cpp
from speechseq.models.backends.speller_graph import GraphSpeller, tensors_of
from speechseq.models.sampling import SamplingConfig
from speechseq.nn.attention.content import ContentConfig
from speechseq.nn.attention.contract import AttentionConfig
from speechseq.nn.attention.dot import DotConfig
from speechseq.nn.attention.dynamic_convolution import DynamicConvolutionConfig
from speechseq.nn.attention.gmm import GMMConfig
from speechseq.nn.attention.location_sensitive import LocationSensitiveConfig
from speechseq.nn.attention.multi_head import MultiHeadConfig
from speechseq.nn.attention_rnn import AttentionRNN, AttentionRNNState, StepWeights
from speechseq.nn.cells import SplitLSTM
from speechseq.nn.precision import at_least_float32
from speechseq.ops.cuda_graph import graph_cache
from speechseq.ops.deferred_linear import prepacked
from speechseq.ops.dropout import dropout
from speechseq.ops.plain import is_plain
from speechseq.ranges import Depth, Dropout, Width, WidthOrNone
from speechseq.shapes import Alignment, LogProbs, Memory, MemoryMask, Tokens
from speechseq.text.vocabulary import BLANK, PAD, SOS

NEVER = -1e30  # the log-probability of what is no symbol of a transcript; finite, so 0 × it is 0
FEW = 1024  # symbols: the gates of so many cost less than those of a search's hypotheses


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpellerConfig(Config):
    """Settings of the speller; the defaults are LAS's, with location-sensitive attention.

    Attributes:
        embedding: channels of the embedding of the previous symbol.
        layers, hidden: number of LSTM layers and their units; the top layer queries the attention.
        recurrent_dropout: rate for the hidden states of the LSTMs, inside the recurrence.
        attention: mechanism by which the top layer reads the memory.
        output: units of the tanh layer between [hidden; context] and the symbols, 0 for none.
        dropout: rate for the inputs of the output layers.
        sampling: probability, by update, that a step in training reads the model's own symbol.
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
        GMMConfig,
        DynamicConvolutionConfig,
        default=LocationSensitiveConfig(),
    )
    output: WidthOrNone = 0
    dropout: Dropout = 0.0
    sampling: SamplingConfig = SamplingConfig()

    def build(self, symbols: int, memory_dim: int) -> "Speller":
        """Build the speller.

        Args:
            symbols: number of entries of the vocabulary.
            memory_dim: channels of the memory, the output of the listener.
        """
        return Speller(symbols, memory_dim, self)


class SpellerState(NamedTuple):
    """State of a `Speller` between two steps in torch; the rows are hypotheses.

    Attributes:
        core: state of the attention RNN.
    """

    core: AttentionRNNState


class SpellerWeights(NamedTuple):
    """Weights of a `Speller` that all steps share.

    Attributes:
        core: weights of the attention RNN.
        gates: (symbols, gates), the first cell's gates for every symbol; None to compute the gates
            step by step.
    """

    core: StepWeights
    gates: Tensor | None


class Spelled(NamedTuple):
    """Output of a step of a `Speller`.

    Attributes:
        log_probs: (rows, symbols), of the next symbol of each hypothesis.
        weights: (rows, positions), attention weights.
        state: state for the next step.
    """

    log_probs: Tensor
    weights: Tensor
    state: SpellerState


class SpellerOutput(NamedTuple):
    """Teacher-forced output of a `Speller`.

    Attributes:
        log_probs: (batch, tokens, symbols), of every symbol at each step.
        alignment: (batch, tokens, positions), attention weights.
    """

    log_probs: LogProbs
    alignment: Alignment


class Speller(nn.Module):
    """Attention decoder of a recogniser: LSTM layers, attention, and a distribution over symbols.

    `SpellerConfig().build(symbols, memory_dim)` makes it. Training calls it with all target tokens;
    a search calls `start` once and then `step` for each symbol, of the result of `prepare`.

    The LSTM layers read [previous symbol; context], and the top layer queries the attention. The
    distributions are over the transcript's symbols and eos (end of sequence); the other control
    symbols, pad, sos and blank, are excluded (Chan 2015, §3.2).

    Args:
        symbols: number of entries of the vocabulary, control symbols included.
        memory_dim: channels of the memory.
        config: settings; see `SpellerConfig`.

    Attributes:
        never: (symbols), True for pad, sos and blank, which get no probability.
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
        """Set the rate of scheduled sampling for an optimizer update."""
        self.sampling_rate = self.config.sampling.at(update)

    def forward(self, tokens: Tokens, memory: Memory, memory_mask: MemoryMask) -> SpellerOutput:
        """Run all steps teacher-forced: step t reads the tokens before t and predicts token t.

        In training, scheduled sampling may replace an input by a symbol that the model drew.

        Args:
            tokens: (batch, tokens), target symbols.
            memory, memory_mask: (batch, positions, memory_dim) and (batch, positions), True =
                valid.
        """
        before = F.pad(tokens[:, :-1], (1, 0), value=SOS)
        if self.training and self.sampling_rate:
            return self._sampled(before, memory, memory_mask)
        core = self.core(self.embedding(before), memory, memory_mask)
        return SpellerOutput(self._log_probs(core.hidden, core.context), core.alignment)

    def start(self, memory: Memory, memory_mask: MemoryMask) -> SpellerState:
        """Return the state before the first step, whose input is sos (start of sequence).

        Args:
            memory, memory_mask: (batch, positions, memory_dim) and (batch, positions), True =
                valid.
        """
        return SpellerState(self.core.start(memory, memory_mask))

    def step(
        self, tokens: Tensor, state: SpellerState, weights: SpellerWeights | None = None
    ) -> Spelled:
        """Run one step in plain torch operations, the reference of all kernels.

        A search calls the `step` of the result of `prepare` instead, which is faster.

        Args:
            tokens: (rows), the previous symbol of each hypothesis.
            state: result of `start` or of the previous step.
            weights: result of `self.weights()`, to compute it once for many steps.
        """
        weights = weights or SpellerWeights(self.core.prepare(), None)
        table = weights.gates
        gates = self._hoisted(tokens) if table is None else table.index_select(0, tokens)
        attended, core = self.core.step(gates, state.core, weights.core)
        return Spelled(self._log_probs(core.hidden, core.context), attended, SpellerState(core))

    def weights(self) -> SpellerWeights:
        """Return the weights that all calls of `step` share, to compute them once.

        They are laid out for speed if gradients are disabled.
        """
        core = self.core.prepare()
        if torch.is_grad_enabled():
            return SpellerWeights(core, None)
        products = tuple(tuple(map(prepacked, layer)) for layer in core.products)
        return SpellerWeights(core._replace(products=products), self._gates())

    def prepare(self) -> "PreparedSpeller":
        """Return the fastest speller for the steps of one search, with `start` and `step`.

        It is a C++ kernel on a CPU, a CUDA graph on a GPU, and torch operations elsewhere, in
        training and with gradients. Each kind of speller has its own state.
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
    """Speller for one search in torch operations, for devices without a kernel.

    `Speller.prepare` makes it. `start` and `step` are those of `Speller`, without `weights`.

    Args:
        speller: the module.
        weights: its weights for many steps, the result of `Speller.weights`.
    """

    def __init__(self, speller: Speller, weights: SpellerWeights) -> None:
        self.start, self.weights = speller.start, weights
        self.step = functools.partial(speller.step, weights=weights)


PreparedSpeller: TypeAlias = (
    TorchSpeller | speller_cpp.CppSpeller | GraphSpeller[SpellerState, Spelled]
)
