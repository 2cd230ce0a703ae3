"""A small recogniser and a small language model with random weights, for the search's laws."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from speechseq.inference.search.interfaces import WeightedScorer
from speechseq.nn.attention.location_sensitive import LocationSensitiveConfig
from speechseq.nn.attention_rnn import AttentionRNN, AttentionRNNState
from speechseq.nn.cells import SplitGRU
from speechseq.nn.masks import length_mask, zero_padding
from speechseq.shapes import Encoded
from speechseq.text.vocabulary import BLANK, EOS, PAD, SOS

FEATURES = 4


class ToyStep(NamedTuple):
    log_probs: Tensor
    weights: Tensor
    state: "ToyState"


class ToyState(NamedTuple):
    core: AttentionRNNState
    steps: Tensor


class ToySpeller(nn.Module):
    """A GRU, location-sensitive attention, and an eos that grows likelier with every step."""

    def __init__(self, symbols: int, hidden: int, ending: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(symbols, hidden)
        attention = LocationSensitiveConfig(dim=hidden, filters=3, kernel=5)
        self.core = AttentionRNN(
            SplitGRU(hidden, FEATURES, hidden), attention.build(hidden, FEATURES)
        )
        self.symbols = nn.Linear(hidden + FEATURES, symbols)
        self.ending = ending
        self.steps = 0

    def start(self, memory: Tensor, memory_mask: Tensor) -> ToyState:
        return ToyState(self.core.start(memory, memory_mask), memory.new_zeros(len(memory)))

    def prepare(self) -> "ToySpeller":
        self.weights = self.core.prepare()
        return self

    def step(self, tokens: Tensor, state: ToyState) -> ToyStep:
        self.steps += 1
        gates = self.core.cell.hoist(self.embedding(tokens))
        weights, core = self.core.step(gates, state.core, self.weights)
        logits = self.symbols(torch.cat([core.hidden, core.context], dim=1))
        logits[:, EOS] += self.ending * (state.steps - 4)
        logits[:, [PAD, SOS, BLANK]] = -1e30
        return ToyStep(logits.log_softmax(1), weights, ToyState(core, state.steps + 1))


class ToyRecogniser(nn.Module):
    """Frames in pairs are positions; `loud` spreads the log-probabilities."""

    reduction = 2

    def __init__(
        self, symbols: int = 9, *, hidden: int = 16, loud: float = 2.0, ending: float = 1.0
    ) -> None:
        super().__init__()
        self.speller = ToySpeller(symbols, hidden, ending)
        self.ctc = nn.Linear(FEATURES, symbols)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=loud * parameter.shape[-1] ** -0.5)
        nn.init.normal_(self.speller.embedding.weight, std=loud)

    def encode(self, features: Tensor, feature_lengths: Tensor) -> Encoded:
        x = zero_padding(features, length_mask(feature_lengths, features.shape[1]))
        x = torch.cat([x, x.new_zeros(len(x), x.shape[1] % 2, x.shape[2])], dim=1)
        return Encoded((x[:, ::2] + x[:, 1::2]) / 2, -(-feature_lengths // 2))

    def ctc_log_probs(self, memory: Tensor, memory_lengths: Tensor) -> Tensor:
        logits = self.ctc(memory)
        logits[..., [PAD, EOS, SOS]] = -1e30
        return logits.log_softmax(-1)


class ToyLanguageModel(nn.Module):
    """Language model whose distribution depends on the last token and on a running state."""

    def __init__(self, symbols: int = 9) -> None:
        super().__init__()
        self.cell = nn.GRUCell(symbols, 6)
        self.out = nn.Linear(6, symbols)
        for parameter in self.parameters():
            nn.init.normal_(parameter)

    def start(self, rows: int, device) -> tuple[Tensor]:
        return (torch.zeros(rows, 6, device=device),)

    def score(self, tokens: Tensor, state: tuple[Tensor]) -> tuple[Tensor, tuple[Tensor]]:
        given = nn.functional.one_hot(tokens, self.cell.input_size).float()
        hidden = self.cell(given, state[0])
        return self.out(hidden).log_softmax(1), (hidden,)


def fused(weight: float = 0.5, symbols: int = 9) -> tuple[WeightedScorer, ...]:
    with torch.random.fork_rng():
        torch.manual_seed(7)  # the same model whoever asks
        return (WeightedScorer("language", ToyLanguageModel(symbols), weight),)


def utterances(*frames: int) -> tuple[Tensor, Tensor]:
    """Random features (batch, frames, FEATURES) of these lengths, padding loud."""
    generator = torch.Generator().manual_seed(3)
    lengths = torch.tensor(frames)
    features = torch.randn(len(frames), max(frames), FEATURES, generator=generator)
    return features.masked_fill(~length_mask(lengths).unsqueeze(-1), 1e4), lengths
