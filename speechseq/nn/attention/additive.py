"""Base class of attention mechanisms with additive energies."""

import torch
from torch import Tensor, nn

from speechseq.nn.attention.contract import Attention
from speechseq.ops.additive import by_utterance
from speechseq.ops.plain import is_plain, is_plain_conv
from speechseq.shapes import Weights


class AdditiveAttention(Attention):
    """Base class of attention mechanisms with energies v · tanh(query + keys + location).

    v is the weight vector of the last layer and `location` the projected output of location
    filters, if the mechanism has them. Besides `start` and `forward`, a subclass implements
    `read_layers`, which returns the layers of query, location and v. Kernels compute the energies
    from the weights of these layers without calling them, so hooks do not run.
    """

    def read_layers(self) -> tuple[nn.Module, ...]:
        """Return the layers whose weights kernels read; these layers must have no biases."""
        raise NotImplementedError

    def is_readable(self) -> bool:
        """Return True if kernels may read the weights of all `read_layers` instead of calling them.

        The layers must then be plain torch layers without hooks, parametrizations and bias.
        """
        layers = self.read_layers()
        return all(is_plain(x, nn.Linear) or is_plain_conv(x) for x in layers) and all(
            x.bias is None for x in layers
        )


def called_energies(
    query: Tensor, keys: Tensor, energy: nn.Module, around: Tensor | None = None
) -> Weights:
    """Compute the energies of additive attention by calling the last layer, so its hooks run.

    Args:
        query: (batch, dim), projected to the width of the keys.
        keys: (utterances, positions, dim), the projected memory. In a beam search, batch is
            utterances × k, and the k queries of an utterance are adjacent rows.
        energy: last layer, (batch × positions, dim) to (batch × positions, 1).
        around: (batch × positions, dim), projected output of the location filters; None for
            mechanisms without location filters.

    Returns:
        Energies (batch, positions).
    """
    layer = (by_utterance(query, len(keys)).unsqueeze(2) + keys.unsqueeze(1)).flatten(0, 2)
    energies = energy(torch.tanh(layer if around is None else layer + around))
    return energies.view(len(query), keys.shape[1])
