"""Base class of mechanisms with additive energies, whose layers kernels may read."""

import torch
from torch import Tensor, nn

from speechseq.nn.attention.contract import Attention
from speechseq.ops.additive import by_utterance
from speechseq.ops.plain import is_plain, is_plain_conv
from speechseq.shapes import Weights


class AdditiveAttention(Attention):
    """Mechanism whose energies are computed from its layers' weights, without calling them."""

    def read_layers(self) -> tuple[nn.Module, ...]:
        """Return the layers without biases whose weights kernels read."""
        raise NotImplementedError

    def is_readable(self) -> bool:
        """True if `read_layers` are plain and without biases, so that they need not be called."""
        layers = self.read_layers()
        return all(is_plain(x, nn.Linear) or is_plain_conv(x) for x in layers) and all(
            x.bias is None for x in layers
        )


def called_energies(
    query: Tensor, keys: Tensor, energy: nn.Module, around: Tensor | None = None
) -> Weights:
    """Compute the energies of `additive_energies` by calling the last layer.

    Args:
        query, keys: as in `additive_energies`.
        energy: the last layer, (batch × positions, dim) to (batch × positions, 1).
        around: (batch × positions, dim), the projected output of the location filters.
    """
    layer = (by_utterance(query, len(keys)).unsqueeze(2) + keys.unsqueeze(1)).flatten(0, 2)
    energies = energy(torch.tanh(layer if around is None else layer + around))
    return energies.view(len(query), keys.shape[1])
