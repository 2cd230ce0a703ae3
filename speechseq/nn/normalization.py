"""Features of zero mean and unit variance: by the utterance, by the corpus, or by what was heard.

A module is called with (batch, time, channels) and lengths and gives the same shape, zeros in the
padding; each channel is normalised by itself, and padding counts nowhere.
"""

import dataclasses
from collections.abc import Iterable
from typing import Annotated, ClassVar, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from speechseq.arguments import checked_lengths
from speechseq.config import Config
from speechseq.errors import ConfigError, DataError
from speechseq.nn.masks import length_mask, zero_padding
from speechseq.nn.precision import at_least_float32
from speechseq.ranges import Factor, Finite, Range
from speechseq.shapes import Lengths, Sequence


@dataclasses.dataclass(frozen=True, kw_only=True)
class UtteranceNormConfig(Config):
    """Each utterance by its own mean and, if wanted, its own standard deviation.

    Args:
        variance: whether to divide by the standard deviation too.
        together: divide by one deviation of all channels, so that a channel that hardly moves stays
            small beside the others.
        floor: least standard deviation that is divided by, so that a constant channel becomes 0.
        depth: what lies further than this below the utterance's highest value is raised to there,
            before anything else, so that the depth of a recording's silence tells nothing; for
            log-mels of power 9 are 39 dB. None leaves values as they are.
        channel_depth: the same below each channel's own highest value, so that a microphone that
            is deaf to some channels tells as little.
    """

    kind: ClassVar[str] = "utterance"
    variance: bool = True
    together: bool = False
    floor: Factor = 1e-3
    depth: Factor | None = None
    channel_depth: Factor | None = None

    def build(self, features: int) -> "UtteranceNorm":
        """The module; it has no parameters and takes any number of features."""
        return UtteranceNorm(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GlobalNormConfig(Config):
    """Every frame by the mean and standard deviation of a corpus, which `fit` measures once.

    Args:
        variance, floor: as in UtteranceNormConfig.
    """

    kind: ClassVar[str] = "global"
    variance: bool = True
    floor: Factor = 1e-3

    def build(self, features: int) -> "GlobalNorm":
        """The module for so many features, not fitted yet."""
        return GlobalNorm(self, features)


@dataclasses.dataclass(frozen=True, kw_only=True)
class StreamingNormConfig(Config):
    """Frame t by the mean and variance of the frames up to t, for sound that is still coming in.

    Args:
        prior_frames: how many frames the prior counts as; without one the first frame becomes 0.
        prior_mean, prior_deviation: of the features, before anything was heard.
        variance, floor: as in UtteranceNormConfig.
    """

    kind: ClassVar[str] = "streaming"
    prior_frames: Annotated[float, Range(0, 1e9)] = 50.0
    prior_mean: Finite = 0.0
    prior_deviation: Annotated[float, Range(0, 1e9)] = 1.0
    variance: bool = True
    floor: Factor = 1e-3

    def build(self, features: int) -> "StreamingNorm":
        """The module for so many features; it has no parameters."""
        return StreamingNorm(self, features)


NormConfig = UtteranceNormConfig | GlobalNormConfig | StreamingNormConfig


class UtteranceNorm(nn.Module):
    """Mean and variance normalisation over an utterance's own valid frames."""

    def __init__(self, config: UtteranceNormConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, x: Sequence, lengths: Lengths) -> Sequence:
        """(batch, time, channels) to the same shape."""
        lengths = checked_lengths(lengths, x.shape)
        mask = length_mask(lengths.to(x.device), x.shape[1])
        count = mask.sum(1).clamp(min=1)[:, None, None]
        clean = self._raised(at_least_float32(zero_padding(x, mask)), mask)
        centred = zero_padding(clean - clean.sum(1, keepdim=True) / count, mask)
        if self.config.variance:
            square = centred.square().sum(1, keepdim=True) / count
            if self.config.together:
                square = square.mean(2, keepdim=True)
            centred = centred / _deviation(square, self.config.floor)
        return centred.to(x.dtype)

    def _raised(self, clean: Tensor, mask: Tensor) -> Tensor:
        """What lies too deep, raised to where its depth begins."""
        heard = torch.where(mask[:, :, None], clean, float("-inf"))
        for depth, axes in ((self.config.depth, (1, 2)), (self.config.channel_depth, (1,))):
            if depth is not None:
                least = heard.amax(axes, keepdim=True) - depth
                clean = zero_padding(torch.maximum(clean, least), mask)
        return clean


class GlobalNorm(nn.Module):
    """(x - mean) · scale with the corpus' numbers, which are saved with the weights."""

    mean: Tensor
    scale: Tensor
    frames: Tensor

    def __init__(self, config: GlobalNormConfig, features: int) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))
        self.register_buffer("frames", torch.tensor(0))
        self._fitted = False

    def fit(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Measure mean and scale over (features (batch, time, channels), lengths (batch)).

        In float64, one pass; what was measured before is forgotten.

        Raises:
            DataError: no frames at all, another number of channels, or NaN or Inf among them.
        """
        total = _Moments(0, torch.zeros(()), torch.zeros(()))
        for features, lengths in batches:
            total = _joined(total, self._moments(features, lengths))
        if not total.frames:
            raise DataError("there are no frames to normalise by", "give fit the training features")
        deviation = _deviation(total.squares / total.frames, self.config.floor)
        self.mean.copy_(total.mean)
        self.scale.copy_(1 / deviation if self.config.variance else torch.ones_like(deviation))
        self.frames.fill_(total.frames)

    def forward(self, x: Sequence, lengths: Lengths) -> Sequence:
        """(batch, time, channels) to the same shape.

        Raises:
            ConfigError: it was neither fitted nor loaded.
        """
        self._check_fitted()
        lengths = checked_lengths(lengths, x.shape)
        mask = length_mask(lengths.to(x.device), x.shape[1])
        normed = (at_least_float32(zero_padding(x, mask)) - self.mean) * self.scale
        return zero_padding(normed, mask).to(x.dtype)

    def _check_fitted(self) -> None:
        if not self._fitted:  # once: to look at a number on a GPU takes waiting for it
            if int(self.frames) == 0:
                raise ConfigError(
                    "the global normalisation does not know its corpus yet",
                    "call its fit() with the training features, or load a checkpoint",
                )
            self._fitted = True

    def _moments(self, features: Tensor, lengths: Tensor) -> "_Moments":
        if features.shape[2] != len(self.mean):
            raise DataError(f"{features.shape[2]} features, the model has {len(self.mean)}")
        lengths = checked_lengths(lengths, features.shape)
        valid = features[length_mask(lengths.to(features.device), features.shape[1])]
        valid = valid.detach().cpu().double()
        if not bool(valid.isfinite().all()):
            raise DataError("features to normalise by have NaN or Inf", "mend or leave them out")
        mean = valid.sum(0) / max(len(valid), 1)
        return _Moments(len(valid), mean, (valid - mean).square().sum(0))


class StreamingState(NamedTuple):
    """What was heard so far: frames (batch), and of (x - prior mean) the sums and squares.

    Both (batch, channels), float64.
    """

    frames: Int[Tensor, " batch"]
    sums: Float[Tensor, "batch channels"]
    squares: Float[Tensor, "batch channels"]


class StreamingNorm(nn.Module):
    """Mean and variance normalisation by the past alone; chunks in a row give what the whole does.

    Behind a GlobalNorm its prior is that of the corpus.
    """

    def __init__(self, config: StreamingNormConfig, features: int) -> None:
        super().__init__()
        self.config, self.features = config, features

    def forward(self, x: Sequence, lengths: Lengths) -> Sequence:
        """(batch, time, channels) to the same shape, from silence on."""
        return self.advance(x, lengths, self.start(len(x), x.device))[0]

    def start(self, batch: int, device: torch.device | None = None) -> StreamingState:
        """The state before anything was heard."""
        none = torch.zeros(batch, self.features, dtype=torch.float64, device=device)
        return StreamingState(torch.zeros(batch, dtype=torch.int64, device=device), none, none)

    def advance(
        self, x: Sequence, lengths: Lengths, state: StreamingState
    ) -> tuple[Sequence, StreamingState]:
        """The next frames of each row, lengths[i] of them, normalised; and the state after them."""
        c = self.config
        lengths = checked_lengths(lengths, x.shape).to(x.device)
        mask = length_mask(lengths, x.shape[1])
        # sums of squares of long sounds need the room; around the prior mean they need less
        shifted = zero_padding(x.double() - c.prior_mean, mask)
        sums = state.sums.unsqueeze(1) + shifted.cumsum(1)
        squares = state.squares.unsqueeze(1) + shifted.square().cumsum(1)
        heard = state.frames.unsqueeze(1) + torch.arange(1, x.shape[1] + 1, device=x.device)
        count = (heard + c.prior_frames).unsqueeze(2)
        mean = sums / count
        normed = shifted - mean
        if c.variance:
            prior = c.prior_frames * c.prior_deviation**2
            normed = normed / _deviation((prior + squares) / count - mean.square(), c.floor)
        after = StreamingState(
            state.frames + lengths,
            state.sums + shifted.sum(1),
            state.squares + shifted.square().sum(1),
        )
        return zero_padding(normed, mask).to(x.dtype), after


class _Moments(NamedTuple):
    """Of a set of frames: how many, their mean, and the sum of squares around it."""

    frames: int
    mean: Tensor
    squares: Tensor


def _joined(a: _Moments, b: _Moments) -> _Moments:
    """Of both sets together (Chan, Golub and LeVeque 1979)."""
    frames = a.frames + b.frames
    share = b.frames / max(frames, 1)
    apart = b.mean - a.mean
    return _Moments(
        frames, a.mean + apart * share, a.squares + b.squares + apart.square() * (a.frames * share)
    )


def _deviation(variance: Tensor, floor: float) -> Tensor:
    """Its square root, at least `floor`, where its gradient is 0."""
    return variance.clamp(min=floor**2).sqrt()
