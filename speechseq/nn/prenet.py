"""The pre-net: small ReLU layers with dropout, the bottleneck that makes attention learn."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from speechseq.ops.dropout import dropout
from speechseq.ops.linear import project


class Prenet(nn.Module):
    """Fully connected ReLU layers with dropout (Tacotron, table 1; Tacotron 2, §2.2).

    Args:
        input_dim: channels of the input.
        sizes: width of each layer.
        dropout: probability of dropping a unit after each layer.
        bias: whether the layers have biases (NVIDIA's Tacotron 2 has none).
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
        """Layers over the last axis.

        `keep` holds one multiplier a layer, drawn by UtteranceNoise: dropout for free-running
        synthesis. Without it dropout acts in training only, so evaluation is deterministic.
        """
        for i, layer in enumerate(self.layers):
            x = F.relu(project(layer, x))
            x = dropout(x, self.dropout, self.training) if keep is None else x * keep[i].to(x)
        return x


class UtteranceNoise:
    """Dropout draws that belong to an utterance and not to its batch (one seed, one result).

    Every seed has a generator of its own on the CPU, so the draws are the same alone, in any batch
    and on any device. They are made for `block` steps at once, and so steps must be asked in order.

    Args:
        seeds: one seed a row.
        sizes: widths of the pre-net's layers.
        dropout: probability of dropping a unit.
        device: where the multipliers are wanted.
    """

    block = 64

    def __init__(
        self, seeds: Sequence[int], sizes: Sequence[int], dropout: float, device: torch.device
    ) -> None:
        self.sizes, self.dropout, self.device = tuple(sizes), dropout, device
        self.generators = {seed: torch.Generator().manual_seed(seed) for seed in seeds}
        self.rows = [list(self.generators).index(seed) for seed in seeds]
        self.drawn = -1  # the block at hand
        self.blocks = torch.empty(0)

    def keep(self, step: int, rows: Tensor) -> tuple[Tensor, ...]:
        """Multipliers (rows, size) of each layer at a step, for the rows that still run."""
        return self.steps(step)[rows, step % self.block].split(self.sizes, dim=-1)

    def steps(self, step: int) -> Tensor:
        """Multipliers (all rows, block, sum of sizes) of the block in which a step lies."""
        if step // self.block != self.drawn:
            self.drawn = step // self.block
            self.blocks = self._draw()[self.rows].to(self.device)
        return self.blocks

    def _draw(self) -> Tensor:
        shape = (self.block, sum(self.sizes))
        draws = [torch.rand(shape, generator=g) for g in self.generators.values()]
        return (torch.stack(draws) >= self.dropout).float() / max(1.0 - self.dropout, 1e-8)
