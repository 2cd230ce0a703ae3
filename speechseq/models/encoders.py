"""Text encoders: token ids to a memory that attention reads."""

import dataclasses
import itertools
from typing import ClassVar

from torch import Tensor, nn

from speechseq.arguments import checked_ids, checked_lengths, checked_tokens
from speechseq.config import Config
from speechseq.errors import ConfigError
from speechseq.nn.cbhg import CBHG
from speechseq.nn.conv import MaskedConv, in_turn
from speechseq.nn.masks import length_mask
from speechseq.nn.on_rows import on_rows
from speechseq.nn.prenet import Prenet
from speechseq.nn.recurrent import BiLSTM
from speechseq.ops.varlen import Varlen
from speechseq.ranges import Depth, DepthOrNone, Dropout, Kernel, Width, Widths
from speechseq.shapes import Encoded, Lengths, Tokens


class Encoder(nn.Module):
    """Base class of text encoders, which map token ids and lengths to a memory for attention.

    `EncoderConfig.build(symbols)` makes one; a Tacotron calls it (`forward`). A subclass sets the
    attributes and implements `forward`, which may begin with `valid_ids` and `embedded`. An encoder
    without the argument `shift` and without `embedding_dim` serves all models except those with
    `SpeakersConfig(sites="all")`.

    Attributes:
        memory_dim: width of the memory.
        embedding_dim: width of a symbol's embedding.
        symbols: number of entries of the vocabulary.
        embedding: table of the symbols' embeddings.
    """

    memory_dim: int
    embedding_dim: int
    symbols: int
    embedding: nn.Module
    symbol_rows = ("embedding.weight",)

    def forward(self, tokens: Tokens, lengths: Lengths, shift: Tensor | None = None) -> Encoded:
        """Encode a batch of texts to the memory that attention reads.

        Args:
            tokens: (batch, tokens), token ids.
            lengths: (batch), number of valid tokens.
            shift: (batch, embedding_dim), added to the embedding of every symbol of a row, such as
                a speaker's; None for nothing.

        Returns:
            Memory (batch, tokens, memory_dim), zero in the padding, and its lengths (batch).

        Raises:
            ConfigError: tokens are not integers (batch, tokens), or lengths not integers (batch).
            DataError: a length exceeds the number of tokens, or the vocabulary lacks a valid token.
        """
        raise NotImplementedError

    def embedded(self, ids: Tensor, shift: Tensor | None) -> Tensor:
        """Embed token ids.

        Args:
            ids: (batch, tokens).
            shift: (batch, embedding_dim), added to every symbol of a row; None for nothing.

        Returns:
            Embeddings (batch, tokens, embedding_dim).
        """
        x = self.embedding(ids)
        return x if shift is None else x + shift.unsqueeze(1)

    def valid_ids(self, tokens: Tokens, lengths: Lengths) -> tuple[Tensor, Varlen, Tensor]:
        """Check token ids and lengths, and set the padding to 0.

        Args:
            tokens: (batch, tokens), integers of any dtype.
            lengths: (batch), number of valid tokens.

        Returns:
            Ids (batch, tokens) int64, the layout of the valid positions, and lengths (batch) int64.

        Raises:
            ConfigError: tokens are not integers (batch, tokens), or lengths not integers (batch).
            DataError: a length exceeds the number of tokens, or the vocabulary lacks a valid token.
        """
        tokens = checked_tokens(tokens)
        lengths = checked_lengths(lengths, tokens.shape, "token_lengths", wait=True)
        mask = length_mask(lengths, tokens.shape[1])
        ids = checked_ids(tokens.where(mask, 0), self.symbols, wait=True)
        return ids, Varlen.of(mask), lengths


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncoderConfig(Config):
    """Base class of the settings of text encoders; a subclass implements `build`.

    `TacotronConfig.encoder` takes one; building the Tacotron calls `build`.
    """

    def build(self, symbols: int) -> Encoder:
        """Build the encoder for a vocabulary of `symbols` entries."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConvEncoderConfig(EncoderConfig):
    """Settings of Tacotron 2's encoder (Shen 2018, §2.2): embedding, convolutions, BiLSTM.

    Attributes:
        embedding: width of a symbol's embedding.
        layers: number of convolutions; 0 for none.
        channels: channels of each convolution.
        kernel: width of a convolution in symbols.
        dropout: probability of dropping an output of a convolution, in training.
        lstm: units of the BiLSTM in each direction.
    """

    kind: ClassVar[str] = "conv"
    embedding: Width = 512
    layers: DepthOrNone = 3
    channels: Width = 512
    kernel: Kernel = 5
    dropout: Dropout = 0.5
    lstm: Width = 256

    def build(self, symbols: int) -> "ConvEncoder":
        """Build the encoder for a vocabulary of `symbols` entries."""
        return ConvEncoder(symbols, self)


class ConvEncoder(Encoder):
    """Tacotron 2's encoder: embedding, masked convolutions with batch norm and ReLU, BiLSTM.

    `ConvEncoderConfig().build(symbols)` makes it. Calling it maps tokens (batch, tokens) and their
    lengths (batch) to a memory (batch, tokens, 2 * lstm) and its lengths.

    Args:
        symbols: number of entries of the vocabulary.
        config: a `ConvEncoderConfig`.
    """

    def __init__(self, symbols: int, config: ConvEncoderConfig) -> None:
        super().__init__()
        self.symbols = symbols
        self.embedding = nn.Embedding(symbols, config.embedding)
        nn.init.xavier_uniform_(self.embedding.weight)
        widths = (config.embedding, *[config.channels] * config.layers)
        self.convs = nn.ModuleList(
            MaskedConv(a, b, config.kernel, dropout=config.dropout)
            for a, b in itertools.pairwise(widths)
        )
        self.lstm = BiLSTM(widths[-1], config.lstm)
        self.embedding_dim = config.embedding
        self.memory_dim = 2 * config.lstm

    def forward(self, tokens: Tokens, lengths: Lengths, shift: Tensor | None = None) -> Encoded:
        """Encode a batch of texts to the memory that attention reads.

        Args:
            tokens: (batch, tokens), token ids.
            lengths: (batch), number of valid tokens.
            shift: (batch, embedding_dim), added to every symbol's embedding of a row, such as a
                speaker's; None for nothing.

        Returns:
            Memory (batch, tokens, 2 * lstm), zero in the padding, and its lengths (batch).
        """
        ids, rows, lengths = self.valid_ids(tokens, lengths)
        x = in_turn(self.convs, rows.unpad(self.embedded(ids, shift)), rows)
        return Encoded(rows.pad(on_rows(self.lstm, x, rows, "lengths")), lengths)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CBHGEncoderConfig(EncoderConfig):
    """Settings of Tacotron's encoder (Wang 2017, table 1): embedding, pre-net, CBHG.

    Attributes:
        embedding: width of a symbol's embedding.
        prenet: widths of the pre-net's layers.
        dropout: probability of dropping a unit of the pre-net, in training.
        bank: width in symbols of the widest convolution in the CBHG's bank.
        channels: channels of the bank's convolutions and of the highway layers.
        projections: channels of the two convolutions after the bank.
        highways: number of highway layers.
        gru: units of the bidirectional GRU, per direction.
    """

    kind: ClassVar[str] = "cbhg"
    embedding: Width = 256
    prenet: Widths = (256, 128)
    dropout: Dropout = 0.5
    bank: Depth = 16
    channels: Width = 128
    projections: Widths = (128, 128)
    highways: DepthOrNone = 4
    gru: Width = 128

    def check(self) -> None:
        """Raise ConfigError unless the last projection is as wide as the pre-net's output."""
        if self.projections[-1] != self.prenet[-1]:
            problem = f"projections: the last, {self.projections[-1]}, is added to the pre-net's"
            raise ConfigError(f"{problem} last, {self.prenet[-1]}", "give both the same width")

    def build(self, symbols: int) -> "CBHGEncoder":
        """Build the encoder for a vocabulary of `symbols` entries."""
        return CBHGEncoder(symbols, self)


class CBHGEncoder(Encoder):
    """Tacotron's encoder: embedding, pre-net (with dropout in training only) and CBHG.

    `CBHGEncoderConfig().build(symbols)` makes it. Calling it maps tokens (batch, tokens) and their
    lengths (batch) to a memory (batch, tokens, 2 * gru) and its lengths.

    Args:
        symbols: number of entries of the vocabulary.
        config: a `CBHGEncoderConfig`.
    """

    def __init__(self, symbols: int, config: CBHGEncoderConfig) -> None:
        super().__init__()
        self.symbols = symbols
        self.embedding = nn.Embedding(symbols, config.embedding)
        nn.init.normal_(self.embedding.weight, std=0.3)
        self.prenet = Prenet(config.embedding, config.prenet, config.dropout)
        self.cbhg = CBHG(
            self.prenet.output_dim,
            config.bank,
            config.channels,
            config.projections,
            config.highways,
            config.gru,
        )
        self.embedding_dim = config.embedding
        self.memory_dim = self.cbhg.output_dim

    def forward(self, tokens: Tokens, lengths: Lengths, shift: Tensor | None = None) -> Encoded:
        """Encode a batch of texts to the memory that attention reads.

        Args:
            tokens: (batch, tokens), token ids.
            lengths: (batch), number of valid tokens.
            shift: (batch, embedding_dim), added to every symbol's embedding of a row, such as a
                speaker's; None for nothing.

        Returns:
            Memory (batch, tokens, 2 * gru), zero in the padding, and its lengths (batch).
        """
        ids, rows, lengths = self.valid_ids(tokens, lengths)
        x = self.prenet(rows.unpad(self.embedded(ids, shift)))
        return Encoded(rows.pad(on_rows(self.cbhg, x, rows, "lengths")), lengths)
