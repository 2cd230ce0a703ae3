"""The best of many scores, the same ones every time."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from speechseq.eager import has_memory
from speechseq.ops.cpp.library import call, library

KERNELS = "search_step"

Scores = Float[Tensor, "utterances candidates"]
Indices = Int[Tensor, "utterances best"]


def best(scores: Scores, count: int) -> Indices:
    """Where the `count` highest scores of each row stand, best first; of equals the first.

    A row's scores count by their distance to its highest, in single precision.
    """
    on_cpu = scores.device.type == "cpu" and scores.dtype == torch.float64
    if not on_cpu or not has_memory(scores) or library(KERNELS) is None:
        return _best(scores, count)
    places = torch.empty(len(scores), count, dtype=torch.long)
    call(KERNELS, "best", scores.contiguous(), places, *scores.shape, count)
    return places


def _best(scores: Tensor, count: int) -> Tensor:
    """The same in torch's operations.

    torch.topk may take any of equals. Here score and place together make one integer, so no two
    are equal.
    """
    below = (scores.amax(dim=1, keepdim=True) - scores).float()
    bits = below.view(torch.int32)  # of numbers from 0 on: they rise with the numbers
    places = torch.arange(scores.shape[1], device=scores.device)
    return torch.topk(places.add(bits, alpha=1 << 32), count, dim=1, largest=False).indices
