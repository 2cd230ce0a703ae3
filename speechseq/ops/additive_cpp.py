"""Additive energies of a search's step in one kernel, filters and tanh included."""

import torch
from torch import Tensor

from speechseq.eager import has_memory
from speechseq.ops.cpp.library import call, library

KERNELS = "search_step"


def runs(*parts: Tensor | None) -> bool:
    """Whether the kernel can take these: float32 on a CPU, where no gradient is asked for."""
    return (
        not torch.is_grad_enabled()
        and has_memory(*parts)
        and all(x is None or (x.dtype == torch.float32 and x.device.type == "cpu") for x in parts)
        and library(KERNELS) is not None
    )


def kernel_energies(
    query: Tensor,
    keys: Tensor,
    direction: Tensor,
    history: Tensor | None = None,
    filters: Tensor | None = None,
    location: Tensor | None = None,
) -> Tensor:
    """Energies (batch, positions), as `additive_energies` of what the filters find.

    Args:
        query, keys, direction: as there; k queries for each row of the keys.
        history: (batch, histories, positions), what the filters read.
        filters: (filters, histories, kernel), of an odd kernel.
        location: (dim, filters).
    """
    rows, (utterances, positions, dim) = len(query), keys.shape
    count, histories, kernel = (0, 0, 1) if filters is None else filters.shape
    energies = query.new_empty(rows, positions)
    parts = (query, keys, direction, history, filters, location)
    whole = (None if x is None else x.contiguous() for x in parts)
    sizes = (rows, utterances, positions, dim, histories, count, kernel)
    call(KERNELS, "additive_energies", *whole, energies, *sizes)
    return energies
