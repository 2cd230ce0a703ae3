"""Post-nets of the frame decoder: to a refined mel (Tacotron 2) or a linear spectrum (Tacotron)."""

import dataclasses
from typing import Annotated, ClassVar, NamedTuple

from torch import nn

from speechseq.config import Config
from speechseq.errors import ConfigError
from speechseq.nn.cbhg import CBHG
from speechseq.nn.on_rows import on_rows
from speechseq.nn.postnet import Postnet
from speechseq.ops.linear import project
from speechseq.ops.varlen import Varlen
from speechseq.ranges import Depth, DepthOrNone, Dropout, Items, Kernel, Range, Width
from speechseq.shapes import Magnitude, Mask, Mel


class Refined(NamedTuple):
    """Output of a post-net.

    Attributes:
        mel: (batch, frames, mels), refined.
        log_magnitude: (batch, frames, bins), linear spectrum, or None.
    """

    mel: Mel
    log_magnitude: Magnitude | None


class OutputNet(nn.Module):
    """Base class of post-nets, which map the decoder's mel to the features of the vocoder.

    `OutputNetConfig.build(mels, bins)` makes one. A Tacotron calls it once with all decoded frames,
    `MelStream` with a few at a time. A subclass implements `forward`, and sets `reach` if it can
    stream.

    Attributes:
        reach: (before, after), numbers of frames around a frame that its result depends on, and
            which streaming therefore waits for; None if a frame depends on all others, as in this
            class.
    """

    reach: tuple[int, int] | None = None

    def forward(self, mel: Mel, mask: Mask) -> Refined:
        """Refine a mel, after the decoder.

        Args:
            mel: (batch, frames, mels), output of the decoder on the network's scale.
            mask: (batch, frames), True at valid frames.

        Returns the mel (batch, frames, mels) and a log magnitude (batch, frames, bins) or None.
        """
        raise NotImplementedError


@dataclasses.dataclass(frozen=True, kw_only=True)
class OutputNetConfig(Config):
    """Base class of the settings of post-nets; a subclass implements `build`.

    `TacotronConfig.postnet` takes one; building the Tacotron calls `build`.
    """

    def build(self, mels: int, bins: int | None) -> OutputNet:
        """Build the post-net.

        Args:
            mels: number of mel bands.
            bins: width of the linear spectrum; None for no spectrum.
        """
        raise NotImplementedError


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConvPostnetConfig(OutputNetConfig):
    """Settings of Tacotron 2's post-net (Shen 2018, §2.2): a residual added to the mel.

    Attributes:
        layers: number of convolutions.
        channels: channels between the convolutions.
        kernel: width of a convolution in frames.
        dropout: probability of dropping an output of a convolution, in training.
    """

    kind: ClassVar[str] = "conv"
    layers: Annotated[int, Range(2, 256)] = 5
    channels: Width = 512
    kernel: Kernel = 5
    dropout: Dropout = 0.5

    def build(self, mels: int, bins: int | None) -> "ConvPostnet":
        """Build the post-net.

        Args:
            mels: number of mel bands.
            bins: width of a linear spectrum, which this net does not make.
        """
        net = Postnet(mels, self.layers, self.channels, self.kernel, self.dropout)
        return ConvPostnet(net)


class ConvPostnet(OutputNet):
    """Tacotron 2's post-net: the mel plus a residual that convolutions predict.

    `ConvPostnetConfig().build(mels, bins)` makes it. Calling it maps mels (batch, frames, mels) and
    their mask (batch, frames) to mels of the same shape.

    Args:
        net: convolutions (`nn.postnet`), which map mels and their mask to the residual.
    """

    def __init__(self, net: Postnet) -> None:
        super().__init__()
        self.net = net
        self.reach = net.reach

    def forward(self, mel: Mel, mask: Mask) -> Refined:
        """Add the predicted residual to a mel; there is no linear spectrum.

        Args:
            mel: (batch, frames, mels), the decoder's output.
            mask: (batch, frames), True for valid frames.
        """
        return Refined(mel + self.net(mel, mask), None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LinearPostnetConfig(OutputNetConfig):
    """Settings of Tacotron's post-processing net: CBHG (K = 8), projection to the linear spectrum.

    Attributes:
        bank: K, the width in frames of the widest convolution in the CBHG's bank.
        channels: channels of the bank's convolutions and of the highway layers.
        projections: channels of the CBHG's convolutions after the bank, before a last one that
            returns to the width of the mel.
        highways: number of highway layers.
        gru: units of the bidirectional GRU, per direction.
    """

    kind: ClassVar[str] = "linear"
    bank: Depth = 8
    channels: Width = 128
    projections: Annotated[tuple[Width, ...], Items(0, 256)] = (256,)
    highways: DepthOrNone = 4
    gru: Width = 128

    def build(self, mels: int, bins: int | None) -> "LinearPostnet":
        """Build the post-net.

        Args:
            mels: number of mel bands.
            bins: number of frequencies of the linear spectrum.

        Raises:
            ConfigError: `bins` is None.
        """
        if bins is None:
            problem = "bins: missing, and this post-net makes a linear spectrum"
            raise ConfigError(problem, "give the bins of the audio settings")
        return LinearPostnet(mels, bins, self)


class LinearPostnet(OutputNet):
    """Tacotron's post-processing net: a CBHG predicts the log magnitude; the mel is unchanged.

    `LinearPostnetConfig().build(mels, bins)` makes it. Calling it maps mels (batch, frames, mels)
    and their mask (batch, frames) to log magnitudes (batch, frames, bins).

    Args:
        mels: number of mel bands.
        bins: number of frequencies of the linear spectrum.
        config: settings of the CBHG.
    """

    def __init__(self, mels: int, bins: int, config: LinearPostnetConfig) -> None:
        super().__init__()
        self.cbhg = CBHG(
            mels,
            config.bank,
            config.channels,
            (*config.projections, mels),
            config.highways,
            config.gru,
        )
        self.project = nn.Linear(self.cbhg.output_dim, bins)

    def forward(self, mel: Mel, mask: Mask) -> Refined:
        """Predict the linear spectrum; the mel stays unchanged.

        Args:
            mel: (batch, frames, mels), the decoder's output.
            mask: (batch, frames), True for valid frames.

        Returns:
            The mel, and log magnitudes (batch, frames, bins).
        """
        rows = Varlen.of(mask)
        refined = on_rows(self.cbhg, rows.unpad(mel), rows, "lengths")
        return Refined(mel, rows.pad(project(self.project, refined)))
