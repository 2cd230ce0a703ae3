"""What mechanisms with additive energies share: the layers that kernels read, and calling them."""

import torch
from torch import Tensor, nn

from speechseq.nn.attention.contract import Attention
from speechseq.ops.additive import by_utterance
from speechseq.ops.plain import is_plain, is_plain_conv
from speechseq.shapes import Weights


class AdditiveAttention(Attention):
    """A mechanism whose energies are made of some of its layers' weights, read and not called."""

    def read_layers(self) -> tuple[nn.Module, ...]:
        """The layers whose weights kernels read; none of them has a bias."""
        raise NotImplementedError

    def is_readable(self) -> bool:
        """True if those are plain layers without biases, so that they need not be called."""
        layers = self.read_layers()
        return all(is_plain(x, nn.Linear) or is_plain_conv(x) for x in layers) and all(
            x.bias is None for x in layers
        )


def called_energies(
    query: Tensor, keys: Tensor, energy: nn.Module, around: Tensor | None = None
) -> Weights:
    """The energies of `additive_energies` by calling the last layer.

    Args:
        query, keys: as there.
        energy: the last layer, (batch × positions, dim) to (batch × positions, 1).
        around: (batch × positions, dim), what filters found, projected.
    """
    layer = (by_utterance(query, len(keys)).unsqueeze(2) + keys.unsqueeze(1)).flatten(0, 2)
    energies = energy(torch.tanh(layer if around is None else layer + around))
    return energies.view(len(query), keys.shape[1])
