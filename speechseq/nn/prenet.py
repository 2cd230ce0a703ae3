"""Pre-net: ReLU layers with dropout, a bottleneck without which attention is hardly learned."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from speechseq.ops.dropout import dropout
from speechseq.ops.linear import project


class Prenet(nn.Module):
    """Pre-net of a decoder: ReLU layers with dropout (Tacotron, table 1; Tacotron 2, §2.2).

    Calling it maps x (…, input_dim) to (…, the last of `sizes`).

    Args:
        input_dim: channels of the input.
        sizes: width of each layer.
        dropout: probability of dropping a unit after each layer.
        bias: True if the layers have biases (NVIDIA's Tacotron 2 has none).

    Examples:
        >>> prenet = Prenet(80, sizes=(256, 128))
        >>> prenet(torch.randn(2, 7, 80)).shape
        torch.Size([2, 7, 128])
    """

    def __init__(
        self,
        input_dim: int,
        sizes: Sequence[int] = (256, 128),
        dropout: float = 0.5,
        bias: bool = True,
    ) -> None:
        super().__init__()
        widths = (input_dim, *sizes)
        layers = [nn.Linear(a, b, bias=bias) for a, b in zip(widths, sizes, strict=False)]
        for layer in layers:
            nn.init.xavier_uniform_(layer.weight)
        self.layers = nn.ModuleList(layers)
        self.sizes, self.dropout, self.output_dim = tuple(sizes), dropout, widths[-1]

    def forward(
        self, x: Float[Tensor, "*rest input_dim"], keep: Sequence[Tensor] | None = None
    ) -> Float[Tensor, "*rest output_dim"]:
        """Apply the layers over the last axis.

        Args:
            x: (…, input_dim).
            keep: dropout multipliers of each layer (…, size), 0 or 1 / (1 - dropout), for
                free-running synthesis; `UtteranceNoise.keep` gives them. None applies dropout in
                training only, so that evaluation is deterministic.

        Returns:
            The output of the last layer, (…, output_dim).
        """
        for i, layer in enumerate(self.layers):
            x = F.relu(project(layer, x))
            x = dropout(x, self.dropout, self.training) if keep is None else x * keep[i].to(x)
        return x


class UtteranceNoise:
    """Dropout masks of a pre-net that depend on each utterance's seed alone, not on the batch.

    Every seed has its own generator on the CPU, so the masks are the same alone, in any batch and
    on any device. A decoder calls `keep` or `steps` with step 0, 1, 2, … in order, because the
    masks are drawn for `block` steps at once.

    Args:
        seeds: one seed per row.
        sizes: widths of the pre-net's layers.
        dropout: probability of dropping a unit.
        device: device of the multipliers.
    """

    block = 64

    def __init__(
        self, seeds: Sequence[int], sizes: Sequence[int], dropout: float, device: torch.device
    ) -> None:
        self.sizes, self.dropout, self.device = tuple(sizes), dropout, device
        self.generators = {seed: torch.Generator().manual_seed(seed) for seed in seeds}
        self.rows = [list(self.generators).index(seed) for seed in seeds]
        self.drawn = -1  # index of the current block
        self.blocks = torch.empty(0)

    def keep(self, step: int, rows: Tensor) -> tuple[Tensor, ...]:
        """Return each layer's dropout multipliers at a step: 0, or 1 / (1 - dropout) if kept.

        Args:
            step: index of the decoder step; steps must be requested in order.
            rows: (rows), indices of the utterances.

        Returns:
            One tensor (rows, size) for each layer.
        """
        return self.steps(step)[rows, step % self.block].split(self.sizes, dim=-1)

    def steps(self, step: int) -> Tensor:
        """Return the dropout multipliers of all utterances for several steps at once.

        Args:
            step: index of a decoder step; the result is for the block of steps that contains it.

        Returns:
            (batch, block, sum of sizes): the units of all layers, one layer after another.
        """
        if step // self.block != self.drawn:
            self.drawn = step // self.block
            self.blocks = self._draw()[self.rows].to(self.device)
        return self.blocks

    def _draw(self) -> Tensor:
        shape = (self.block, sum(self.sizes))
        draws = [torch.rand(shape, generator=g) for g in self.generators.values()]
        return (torch.stack(draws) >= self.dropout).float() / max(1.0 - self.dropout, 1e-8)
