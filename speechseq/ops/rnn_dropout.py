"""What chance does to the units of a recurrent cell, drawn for all steps beforehand, as bits."""

from typing import NamedTuple

import torch
from torch import Tensor

from speechseq.ops.dropout import happens

DROPPED, HIDDEN_KEPT, CELL_KEPT = 1, 2, 4


class Chance(NamedTuple):
    """What acts on the states inside the recurrence, of one direction.

    drawn (steps, batch, hidden): the bits of `draw`, or None where nothing was drawn; the
    multiplier of what dropout leaves; the share of the old states that zoneout keeps without bits.
    """

    drawn: Tensor | None = None
    multiplier: float = 1.0
    zoneout: float = 0.0


NO_CHANCE = Chance()


def draw(
    shape: tuple[int, int, int], dropout: float, zoned: dict[int, float], device: torch.device | str
) -> Tensor | None:
    """Bits (steps, batch, hidden): DROPPED at a rate, the states' bits at theirs; None for none."""
    rates = {bit: rate for bit, rate in {DROPPED: dropout, **zoned}.items() if rate}
    if not rates:
        return None
    drawn = torch.zeros(shape, dtype=torch.uint8, device=device)
    for bit, rate in rates.items():
        drawn.add_(happens(shape, rate, device), alpha=bit)
    return drawn
