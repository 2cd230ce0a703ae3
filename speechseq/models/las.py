"""Listen, Attend and Spell: the model, and functions that build the configurations of papers."""

import dataclasses
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from speechseq.arguments import checked_ids, checked_lengths
from speechseq.audio.augment import SpecAugmentPolicy, perturb_vocal_tract, spec_augment
from speechseq.batch import ASRBatch
from speechseq.config import Config, choice
from speechseq.errors import ConfigError
from speechseq.models.listener import ListenerConfig
from speechseq.models.sampling import SamplingConfig
from speechseq.models.speller import NEVER, SpellerConfig
from speechseq.nn.attention.content import ContentConfig
from speechseq.nn.attention.dot import DotConfig
from speechseq.nn.attention.location_sensitive import LocationSensitiveConfig
from speechseq.nn.attention.reading import ReadingConfig
from speechseq.nn.masks import length_mask
from speechseq.nn.meta_build import built
from speechseq.nn.normalization import (
    GlobalNormConfig,
    NormConfig,
    StreamingNormConfig,
    UtteranceNormConfig,
)
from speechseq.nn.precision import at_least_float32
from speechseq.ranges import BelowOne, Range
from speechseq.shapes import Alignment, Encoded, Lengths, LogProbs, Memory, Sequence
from speechseq.text.vocabulary import EOS, PAD, SOS


@dataclasses.dataclass(frozen=True, kw_only=True)
class LASConfig(Config):
    """Settings of a recogniser: normalisation, augmentation, listener, speller and CTC head.

    Attributes:
        normalization: normalisation of the features.
        augment: SpecAugment in training, on normalised features, whose mean is 0.
        vocal_tract: maximum stretch of the bands in training, as a share; see
            `perturb_vocal_tract`.
        feature_groups: number of equal groups of channels that get the same masks by SpecAugment: 3
            for mels, deltas and double deltas.
        listener: settings of the encoder of speech.
        speller: settings of the attention decoder, which writes symbols.
        ctc: add a CTC head on the memory; its weight in training is a setting of the loss.
        reading: options of the attention in transcription, such as a window, which helps on long
            speech (Chorowski 2015, §2.3); None keeps those of training.
        init: draw all weights of listener and speller uniformly from [-init, init], as in LAS;
            0 keeps the initialisation of each layer.
    """

    kind: ClassVar[str] = "las"
    normalization: NormConfig = choice(
        UtteranceNormConfig, GlobalNormConfig, StreamingNormConfig, default=UtteranceNormConfig()
    )
    augment: SpecAugmentPolicy | None = None
    vocal_tract: BelowOne = 0.0
    feature_groups: Annotated[int, Range(1, 64)] = 1
    listener: ListenerConfig = ListenerConfig()
    speller: SpellerConfig = SpellerConfig()
    ctc: bool = False
    reading: ReadingConfig | None = None
    init: Annotated[float, Range(0, 100)] = 0.0

    def build(self, symbols: int, features: int) -> "LAS":
        """Build the model for a vocabulary of `symbols` entries and frames of `features` channels.

        Raises:
            ConfigError: features are not divisible by the groups, or there are too many parameters.
        """
        if features % self.feature_groups:
            raise ConfigError(
                f"feature_groups: {features} features are not {self.feature_groups} equal groups",
                "1 for log-mels alone, 3 with deltas and double deltas",
            )
        return built(lambda: LAS(symbols, features, self))


def las_paper() -> LASConfig:
    """Return the configuration of Chan 2015 (§3, §4.1): 40 log-mels, 8 frames per position."""
    return LASConfig(
        listener=ListenerConfig(hidden=256, base_layers=1, pyramid_layers=3, join=2),
        speller=SpellerConfig(
            embedding=128,  # the paper feeds one-hot symbols: the same up to this matrix
            layers=2,
            hidden=512,
            attention=DotConfig(),
            output=512,
            sampling=SamplingConfig(rate=0.1),
        ),
        init=0.1,
    )


def las_6_1280() -> LASConfig:
    """Return LAS-6-1280 of SpecAugment (Park 2019, §3.1), for 80 log-mels and their deltas.

    The features are mels, deltas and double deltas. The paper gives neither the width of the
    attention nor that of the symbols' embedding.
    """
    return LASConfig(
        feature_groups=3,
        listener=ListenerConfig(
            convolutions=(32, 32), hidden=1280, base_layers=6, pyramid_layers=0
        ),
        speller=SpellerConfig(
            embedding=128, layers=2, hidden=1280, attention=ContentConfig(dim=128)
        ),
    )


def las_small() -> LASConfig:
    """Return a configuration of 1.8 million parameters, for few symbols and training on a CPU.

    Examples:
        >>> model = las_small().build(symbols=30, features=80)
        >>> memory, lengths = model.eval().encode(torch.randn(1, 50, 80), torch.tensor([50]))
        >>> model.reduction, lengths.tolist()
        (4, [13])
    """
    return LASConfig(
        listener=ListenerConfig(
            convolutions=(16,), hidden=128, base_layers=1, pyramid_layers=1, dropout=0.1
        ),
        speller=SpellerConfig(
            embedding=64,
            layers=1,
            hidden=256,
            attention=LocationSensitiveConfig(dim=128, filters=10, kernel=51),
            dropout=0.1,
        ),
    )


def las_characters(
    *,
    convolutions: tuple[int, ...] = (16,),
    base_layers: int = 1,
    pyramid_layers: int = 1,
    kernel: int = 101,
    dropout: float = 0.2,
    augment: SpecAugmentPolicy | None = None,
) -> LASConfig:
    """Return a LAS of about 3 million parameters that writes characters, with a CTC head.

    Args:
        convolutions: channels of each 3 × 3 convolution of stride 2 below the pyramid.
        base_layers, pyramid_layers: BiLSTM layers that read every frame, and layers above that each
            join two frames.
        kernel: width of the location-sensitive attention's filters, in positions.
        dropout: rate in listener and speller.
        augment: SpecAugment policy; None for none.
    """
    return LASConfig(
        augment=augment,
        listener=ListenerConfig(
            convolutions=convolutions,
            hidden=192,
            base_layers=base_layers,
            pyramid_layers=pyramid_layers,
            dropout=dropout,
        ),
        speller=SpellerConfig(
            embedding=64,
            layers=1,
            hidden=256,
            attention=LocationSensitiveConfig(dim=128, filters=10, kernel=kernel),
            dropout=dropout,
        ),
        ctc=True,
    )


def by_content(config: LASConfig, dim: int = 128) -> LASConfig:
    """Return a copy of `config` whose attention is content-based, with keys of width `dim`."""
    attention = ContentConfig(dim=dim, reading=config.speller.attention.reading)
    speller = dataclasses.replace(config.speller, attention=attention)
    return dataclasses.replace(config, speller=speller)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LASOutput:
    """Teacher-forced output of a LAS; values beyond a row's own tokens or positions are undefined.

    Attributes:
        log_probs: (batch, tokens, symbols).
        alignment: (batch, tokens, positions), attention weights.
        memory_lengths: (batch), valid positions of the memory.
        ctc_log_probs: (batch, positions, symbols); None without a CTC head.
    """

    log_probs: LogProbs
    alignment: Alignment
    memory_lengths: Lengths
    ctc_log_probs: Tensor | None


class LAS(nn.Module):
    """Listen, Attend and Spell (Chan 2015): speech features to symbols.

    `LASConfig().build(symbols, features)` makes it. Calling it with an `ASRBatch` runs it
    teacher-forced, as in training, and returns a `LASOutput`. A search calls `encode` once and then
    the steps of `speller.prepare()`.

    Args:
        symbols: number of entries of the vocabulary, control symbols included.
        features: number of channels of a frame.
        config: settings of listener, speller, CTC head and augmentation.

    Attributes:
        reduction: frames per position of the memory.
        never: (symbols), True for the symbols that the CTC head never outputs: pad, eos and sos.
    """

    symbol_rows = ("ctc.weight", "ctc.bias")
    never: Tensor

    def __init__(self, symbols: int, features: int, config: LASConfig) -> None:
        super().__init__()
        self.config = config
        self.normalization = config.normalization.build(features)
        self.listener = config.listener.build(features)
        self.speller = config.speller.build(symbols, self.listener.memory_dim)
        self.ctc = nn.Linear(self.listener.memory_dim, symbols) if config.ctc else None
        never = torch.zeros(symbols, dtype=torch.bool)
        never[[PAD, EOS, SOS]] = True
        self.register_buffer("never", never, persistent=False)
        self.reduction = self.listener.reduction
        if config.init:
            for parameter in (*self.listener.parameters(), *self.speller.parameters()):
                nn.init.uniform_(parameter, -config.init, config.init)

    def at_update(self, update: int) -> None:
        """Set the listener's number of layers and the rate of scheduled sampling for an update."""
        self.listener.at_update(update)
        self.speller.at_update(update)

    def forward(self, batch: ASRBatch) -> LASOutput:
        """Run teacher-forced: each step reads the previous target tokens of the batch.

        Returns the log-probabilities of every symbol at each step, the alignment, and the
        log-probabilities of the CTC head.

        Raises:
            DataError: a token is not in the model's vocabulary.
        """
        valid = length_mask(batch.token_lengths, batch.tokens.shape[1])
        tokens = checked_ids(batch.tokens.where(valid, PAD), len(self.never), wait=True)
        memory, lengths = self.encode(batch.features, batch.feature_lengths)
        spelled = self.speller(tokens, memory, length_mask(lengths, memory.shape[1]))
        return LASOutput(
            log_probs=spelled.log_probs,
            alignment=spelled.alignment,
            memory_lengths=lengths,
            ctc_log_probs=self.ctc_log_probs(memory, lengths),
        )

    def encode(self, features: Sequence, feature_lengths: Lengths) -> Encoded:
        """Encode features (batch, frames, features) to the memory that attention and CTC read.

        The features are normalised, and augmented in training; `feature_lengths` (batch) are the
        numbers of valid frames. Returns the memory (batch, positions, memory_dim) and its lengths.

        Raises:
            ConfigError: lengths are not integers (batch).
            DataError: a length is below 1 or beyond the frames.
        """
        name, shape = "feature_lengths", features.shape
        feature_lengths = checked_lengths(feature_lengths, shape, name, least=1, wait=True)
        x = self.normalization(features, feature_lengths)
        return self.listener(self._augmented(x, feature_lengths), feature_lengths)

    def _augmented(self, x: Tensor, lengths: Tensor) -> Tensor:
        config = self.config
        if not self.training:
            return x
        if config.vocal_tract:
            x = perturb_vocal_tract(x, config.vocal_tract, groups=config.feature_groups)
        if config.augment is not None:
            x = spec_augment(x, lengths, config.augment, groups=config.feature_groups, value=0.0)
        return x

    def ctc_log_probs(self, memory: Memory, memory_lengths: Lengths) -> Tensor | None:
        """Return CTC's log-probabilities (batch, positions, symbols); None without a CTC head.

        Args:
            memory, memory_lengths: (batch, positions, memory_dim) and (batch), results of `encode`.
        """
        if self.ctc is None:
            return None
        logits = at_least_float32(self.ctc(memory)).masked_fill(self.never, NEVER)
        return torch.log_softmax(logits, dim=-1)
