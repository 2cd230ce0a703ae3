"""Mean and variance normalisation of features: per utterance, per corpus, or streaming.

A module takes (batch, time, channels) and lengths and returns the same shape, with zeros in the
padding; each channel is normalised separately, and padding does not affect the statistics.
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
    """Settings of normalisation by an utterance's own mean and, optionally, standard deviation.

    Args:
        variance: divide by the standard deviation too.
        together: divide by one standard deviation of all channels, so that a channel of small
            variance stays small relative to the others.
        floor: minimum of the standard deviation, so that a constant channel becomes 0.
        depth: all values below the utterance's highest value minus `depth` are first raised to this
            level, so that the loudness of a recording's silence carries no information; a depth of
            9 is 39 dB for log-mels of power. None changes no value.
        channel_depth: values of a channel below the highest value of this channel minus
            `channel_depth` are raised to this level too, so that channels that a microphone does
            not record carry no information. None changes no value.
    """

    kind: ClassVar[str] = "utterance"
    variance: bool = True
    together: bool = False
    floor: Factor = 1e-3
    depth: Factor | None = None
    channel_depth: Factor | None = None

    def build(self, features: int) -> "UtteranceNorm":
        """Build the module; it has no parameters and takes any number of `features`."""
        return UtteranceNorm(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GlobalNormConfig(Config):
    """Settings of normalisation by mean and standard deviation of a corpus (`GlobalNorm.fit`).

    Args:
        variance: divide by the standard deviation too.
        floor: minimum of the standard deviation, so that a constant channel becomes 0.
    """

    kind: ClassVar[str] = "global"
    variance: bool = True
    floor: Factor = 1e-3

    def build(self, features: int) -> "GlobalNorm":
        """Build the module for `features` channels; `GlobalNorm.fit` must be called before use."""
        return GlobalNorm(self, features)


@dataclasses.dataclass(frozen=True, kw_only=True)
class StreamingNormConfig(Config):
    """Settings of streaming normalisation: frame t by mean and variance of the frames up to t.

    Few frames give a poor estimate, so it also counts `prior_frames` imaginary earlier frames, the
    prior, with mean `prior_mean` and standard deviation `prior_deviation` in every channel.

    Args:
        prior_frames: number of imaginary frames; with 0 the first frame of a sequence becomes 0.
        prior_mean, prior_deviation: statistics of the imaginary frames.
        variance: divide by the standard deviation too.
        floor: minimum of the standard deviation, so that a constant channel becomes 0.
    """

    kind: ClassVar[str] = "streaming"
    prior_frames: Annotated[float, Range(0, 1e9)] = 50.0
    prior_mean: Finite = 0.0
    prior_deviation: Annotated[float, Range(0, 1e9)] = 1.0
    variance: bool = True
    floor: Factor = 1e-3

    def build(self, features: int) -> "StreamingNorm":
        """Build the module for `features` channels; it has no parameters."""
        return StreamingNorm(self, features)


NormConfig = UtteranceNormConfig | GlobalNormConfig | StreamingNormConfig


class UtteranceNorm(nn.Module):
    """Normalisation of each channel by mean and deviation over an utterance's own valid frames.

    `UtteranceNormConfig().build(features)` makes it; call it with features and their lengths.
    """

    def __init__(self, config: UtteranceNormConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, x: Sequence, lengths: Lengths) -> Sequence:
        """Normalise x (batch, time, channels), valid for `lengths` (batch); padding becomes 0."""
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
        """Clamp values from below, as `depth` and `channel_depth` say."""
        valid = torch.where(mask[:, :, None], clean, float("-inf"))
        for depth, axes in ((self.config.depth, (1, 2)), (self.config.channel_depth, (1,))):
            if depth is not None:
                least = valid.amax(axes, keepdim=True) - depth
                clean = zero_padding(torch.maximum(clean, least), mask)
        return clean


class GlobalNorm(nn.Module):
    """Normalisation of each channel by statistics of a corpus, (x - mean) · scale.

    `GlobalNormConfig().build(features)` makes it. Call `fit` once before training, which measures
    `mean` and `scale`, both (features); then call the module with features and their lengths. The
    statistics, and the number of `frames` that they come from, are saved with the weights.
    """

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
        """Measure mean and scale over batches: features (batch, time, channels), lengths (batch).

        They are computed in float64 in one pass; an earlier fit is replaced.

        Raises:
            DataError: no frames at all, another number of channels, or NaN or Inf in the features.
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
        """Normalise x (batch, time, channels) with `lengths` (batch); padding becomes 0.

        Raises:
            ConfigError: the statistics were neither fitted nor loaded.
        """
        self._check_fitted()
        lengths = checked_lengths(lengths, x.shape)
        mask = length_mask(lengths.to(x.device), x.shape[1])
        normed = (at_least_float32(zero_padding(x, mask)) - self.mean) * self.scale
        return zero_padding(normed, mask).to(x.dtype)

    def _check_fitted(self) -> None:
        if not self._fitted:  # checked once, as reading a value from a GPU synchronises
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
    """Statistics that `StreamingNorm` keeps of the frames so far, without the prior.

    Attributes:
        frames: (batch), number of frames.
        sums: (batch, channels) float64, sums of x - prior_mean.
        squares: (batch, channels) float64, sums of (x - prior_mean)².
    """

    frames: Int[Tensor, " batch"]
    sums: Float[Tensor, "batch channels"]
    squares: Float[Tensor, "batch channels"]


class StreamingNorm(nn.Module):
    """Mean and variance normalisation of each channel by the present and past frames only.

    `StreamingNormConfig().build(features)` makes it. Call the module with whole sequences, or
    `start` and then `advance` for sequences that arrive in chunks; both give the same result. The
    statistics start from imaginary earlier frames, by default with mean 0 and deviation 1, which
    suits features that a `GlobalNorm` has normalised before.

    Args:
        config: a `StreamingNormConfig`.
        features: number of channels.
    """

    def __init__(self, config: StreamingNormConfig, features: int) -> None:
        super().__init__()
        self.config, self.features = config, features

    def forward(self, x: Sequence, lengths: Lengths) -> Sequence:
        """Normalise whole sequences x (batch, time, channels), of `lengths` (batch)."""
        return self.advance(x, lengths, self.start(len(x), x.device))[0]

    def start(self, batch: int, device: torch.device | None = None) -> StreamingState:
        """Return the state before the first frame, for `batch` sequences."""
        none = torch.zeros(batch, self.features, dtype=torch.float64, device=device)
        return StreamingState(torch.zeros(batch, dtype=torch.int64, device=device), none, none)

    def advance(
        self, x: Sequence, lengths: Lengths, state: StreamingState
    ) -> tuple[Sequence, StreamingState]:
        """Normalise x (batch, time, channels), the next chunk of sequences that arrive in chunks.

        `lengths` (batch) counts the chunk's valid frames in each row; `state` is the result of
        `start` or of the previous chunk. Returns the normalised frames, zeros in the padding, and
        the new state.
        """
        c = self.config
        lengths = checked_lengths(lengths, x.shape).to(x.device)
        mask = length_mask(lengths, x.shape[1])
        # float64 for sums of squares of long sounds; subtracting the prior mean reduces rounding
        shifted = zero_padding(x.double() - c.prior_mean, mask)
        sums = state.sums.unsqueeze(1) + shifted.cumsum(1)
        squares = state.squares.unsqueeze(1) + shifted.square().cumsum(1)
        frames_so_far = state.frames.unsqueeze(1) + torch.arange(1, x.shape[1] + 1, device=x.device)
        count = (frames_so_far + c.prior_frames).unsqueeze(2)
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
    """Moments of a set of frames: their number, mean, and sum of squared deviations."""

    frames: int
    mean: Tensor
    squares: Tensor


def _joined(a: _Moments, b: _Moments) -> _Moments:
    """Combine the moments of two sets (Chan, Golub and LeVeque 1979)."""
    frames = a.frames + b.frames
    share = b.frames / max(frames, 1)
    difference = b.mean - a.mean
    return _Moments(
        frames,
        a.mean + difference * share,
        a.squares + b.squares + difference.square() * (a.frames * share),
    )


def _deviation(variance: Tensor, floor: float) -> Tensor:
    """Standard deviation, at least `floor`; the gradient is 0 where it is clamped."""
    return variance.clamp(min=floor**2).sqrt()
