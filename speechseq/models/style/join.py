"""Joins one vector per utterance to its memory, by addition or by concatenation."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from speechseq.models.style.latent import StyleVector
from speechseq.nn.masks import zero_padding
from speechseq.shapes import Memory, MemoryMask

Joined = Float[Tensor, "batch positions output_dim"]
Join = Literal["add", "concat"]


class MemoryJoin(nn.Module):
    """Joins one vector per row, such as a style or a speaker, to all valid positions of a memory.

    Calling it with memory (batch, positions, memory_dim), mask and vector (batch, vector_dim)
    returns the joined memory (batch, positions, output_dim).

    Args:
        memory_dim: width of the memory.
        vector_dim: width of the vector.
        how: "add" projects the vector to memory_dim and adds it; "concat" appends it.

    Attributes:
        output_dim: width of the joined memory.
    """

    def __init__(self, memory_dim: int, vector_dim: int, how: Join) -> None:
        super().__init__()
        added = how == "add"
        self.projection = nn.Linear(vector_dim, memory_dim, bias=False) if added else None
        self.output_dim = memory_dim if added else memory_dim + vector_dim

    def forward(self, memory: Memory, memory_mask: MemoryMask, vector: StyleVector) -> Joined:
        """Return the joined memory (batch, positions, output_dim), zero in the padding.

        Args:
            memory, memory_mask: (batch, positions, memory_dim) and (batch, positions), True =
                valid.
            vector: (batch, vector_dim), such as a style or a speaker.
        """
        if self.projection is not None:
            joined = memory + self.projection(vector).unsqueeze(1)
        else:
            joined = torch.cat([memory, vector.unsqueeze(1).expand(*memory.shape[:2], -1)], dim=2)
        return zero_padding(joined, memory_mask)
