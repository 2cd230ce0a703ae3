"""Top-k with a fixed order among equal scores."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from speechseq.eager import has_memory
from speechseq.ops.cpp.library import call, library

KERNELS = "speller"

Scores = Float[Tensor, "utterances candidates"]
Indices = Int[Tensor, "utterances best"]


def stable_topk(scores: Scores, count: int) -> Indices:
    """Return the indices of the highest scores of each row, best first.

    Unlike torch.topk, equal scores are ordered by index, the lowest first. Scores are compared in
    single precision, as differences from the row's highest score.

    Args:
        scores: (rows, candidates).
        count: number of indices per row.

    Returns:
        Indices of candidates (rows, count), int64.
    """
    on_cpu = scores.device.type == "cpu" and scores.dtype == torch.float64
    if not on_cpu or not has_memory(scores) or library(KERNELS) is None:
        return _torch_topk(scores, count)
    places = torch.empty(len(scores), count, dtype=torch.long)
    call(KERNELS, "best", scores.contiguous(), places, *scores.shape, count)
    return places


def _torch_topk(scores: Tensor, count: int) -> Tensor:
    """Reference by torch operations.

    torch.topk's choice among equal scores is arbitrary. Here score and index form one integer, so
    no two are equal.
    """
    gaps = (scores.amax(dim=1, keepdim=True) - scores).float()
    bits = gaps.view(torch.int32)  # for numbers ≥ 0, the order of the bits is that of the numbers
    places = torch.arange(scores.shape[1], device=scores.device)
    return torch.topk(places.add(bits, alpha=1 << 32), count, dim=1, largest=False).indices
