import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from speechseq.nn.masks import length_mask, reverse_within, zero_padding

LENGTHS = st.lists(st.integers(1, 12), min_size=1, max_size=5)


@given(LENGTHS, st.integers(0, 4))
def test_a_mask_is_true_where_an_item_is_valid(lengths, extra):
    mask = length_mask(torch.tensor(lengths), max(lengths) + extra)
    expected = [[t < n for t in range(max(lengths) + extra)] for n in lengths]
    assert mask.tolist() == expected


def test_without_a_length_the_longest_row_decides():
    assert length_mask(torch.tensor([1, 3])).tolist() == [[True, False, False], [True] * 3]


@given(LENGTHS, st.integers(0, 4))
def test_rows_are_reversed_within_their_own_length(lengths, extra):
    size = max(lengths) + extra
    x = torch.arange(len(lengths) * size * 2).reshape(len(lengths), size, 2)
    reversed_ = reverse_within(x, torch.tensor(lengths))
    for row, back, n in zip(x, reversed_, lengths, strict=True):
        assert torch.equal(back[:n], row[:n].flip(0))
        assert torch.equal(back[n:], row[n:])
    assert torch.equal(reverse_within(reversed_, torch.tensor(lengths)), x)


@pytest.mark.parametrize("garbage", [1e4, float("inf"), float("nan")])
def test_padding_is_zeroed_in_value_and_in_gradient(garbage):
    x = torch.full((2, 3, 4), garbage)
    x[0, :2], x[1, :1] = 1.0, 2.0
    x.requires_grad_()
    mask = length_mask(torch.tensor([2, 1]), 3)
    zeroed = zero_padding(x, mask)
    zeroed.square().sum().backward()
    for values in (zeroed, x.grad):
        assert torch.isfinite(values).all()
        assert torch.equal(values != 0, mask.unsqueeze(-1).expand_as(values))
