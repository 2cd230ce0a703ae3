"""Consistency of two alignments, against a plain loop; law 1; gradients of both."""

import math

import pytest
import torch
from torch import Tensor

from speechseq.errors import ConfigError, DataError
from speechseq.models.consistency import alignment_consistency

FINE, COARSE, POSITIONS = torch.tensor([8, 4]), torch.tensor([2, 1]), torch.tensor([5, 3])


def alignments(extra: int = 0) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    fine = torch.rand(2, 8, 5, generator=g, dtype=torch.float64)
    coarse = torch.rand(2, 2, 5, generator=g, dtype=torch.float64)
    return tuple(
        torch.nn.functional.pad(x, (0, extra, 0, extra), value=math.nan) for x in (fine, coarse)
    )


def plain(fine: Tensor, coarse: Tensor, ratio: int) -> float:
    total, count = 0.0, 0
    for row in range(len(fine)):
        for t in range(int(FINE[row])):
            for n in range(int(POSITIONS[row])):
                total += abs(float(fine[row, t, n] - coarse[row, t // ratio, n]))
                count += 1
    return total / count


@pytest.mark.parametrize("ratio", [None, 4])
def test_agrees_with_a_plain_loop_whatever_the_padding(ratio):
    for extra in (0, 3):
        made = alignment_consistency(*alignments(extra), FINE, COARSE, POSITIONS, ratio=ratio)
        assert float(made) == pytest.approx(plain(*alignments(), 4), rel=1e-12)


def test_equal_alignments_are_consistent():
    coarse = torch.eye(4)[None]
    fine = coarse.repeat_interleave(3, 1)
    lengths = torch.tensor([12]), torch.tensor([4]), torch.tensor([4])
    assert alignment_consistency(fine, coarse, *lengths) == 0
    assert alignment_consistency(fine.roll(1, 1), coarse, *lengths) > 0


def test_a_ratio_places_the_steps_of_an_incomplete_last_group():
    """7 frames at r = 1 beside r = 6: the coarse steps cover 6 and 1 of the fine ones."""
    fine = torch.eye(2)[[0] * 6 + [1]][None]
    lengths = torch.tensor([7]), torch.tensor([2]), torch.tensor([2])
    assert alignment_consistency(fine, torch.eye(2)[None], *lengths, ratio=6) == 0


def test_gradients_flow_to_both_and_never_into_the_padding():
    fine, coarse = (x.requires_grad_() for x in alignments(2))
    alignment_consistency(fine, coarse, FINE, COARSE, POSITIONS).backward()
    for x, lengths in ((fine, FINE), (coarse, COARSE)):
        assert x.grad.isfinite().all()
        for row in range(2):
            valid = x.grad[row, : lengths[row], : POSITIONS[row]]
            assert (valid != 0).any()
            assert valid.abs().sum() == x.grad[row].abs().sum()


def test_wrong_numbers_are_refused():
    with pytest.raises(ConfigError, match="ratio: 0"):
        alignment_consistency(*alignments(), FINE, COARSE, POSITIONS, ratio=0)
    with pytest.raises(DataError, match="coarse_lengths"):
        alignment_consistency(*alignments(), FINE, torch.tensor([2, 0]), POSITIONS)
