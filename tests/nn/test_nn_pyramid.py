"""The pyramid against the paper's formula (Chan 2015, eq. 5), frame by frame; laws 1 and 4."""

import pytest
import torch
from padding_law import Part, Stream, assert_same_results, joined, make_items, run
from torch import nn

from speechseq.errors import ConfigError
from speechseq.nn.masks import length_mask
from speechseq.nn.pyramid import PyramidBiLSTM, join_frames


def numbered(batch: int, time: int) -> torch.Tensor:
    """(batch, time, 2): frame t of row b holds 100 b + t + 1 and its negative."""
    t = torch.arange(time) + 1.0 + 100 * torch.arange(batch)[:, None]
    return torch.stack([t, -t], -1)


@pytest.mark.parametrize("join", [1, 2, 3, 5])
def test_law_4_and_trap_10_frames_ki_to_ki_plus_k_become_frame_i_zeros_complete_the_tail(join):
    lengths = torch.tensor([7, 1, 4, 9])
    x = numbered(4, 11).masked_fill(~length_mask(lengths, 11)[..., None], float("nan"))
    joined, fewer = join_frames(x, lengths, join)
    for row, n in enumerate(lengths.tolist()):
        assert fewer[row] == -(-n // join)  # (n + 1) // k is ceil for k = 2 only
        for i in range(int(fewer[row])):
            frames = [
                x[row, t] if t < n else torch.zeros(2) for t in range(join * i, join * (i + 1))
            ]
            assert torch.equal(joined[row, i], torch.cat(frames))
    assert not joined.isnan().any()


def test_trap_8_an_odd_tail_never_meets_the_padding_behind_it():
    lengths = torch.tensor([3, 6])
    x = torch.ones(2, 6, 2)
    x[0, 3:] = 1e4
    joined, _ = join_frames(x, lengths, 2)
    assert torch.equal(joined[0, 1], torch.tensor([1.0, 1, 0, 0]))
    assert not joined[0, 2:].any()


def test_trap_9_the_last_real_frame_is_not_masked_away():
    pyramid = PyramidBiLSTM(2, 3, layers=3).double()
    x = torch.randn(1, 9, 2, dtype=torch.float64)
    memory, lengths = pyramid(x, torch.tensor([9]))
    other = x.clone()
    other[0, 8] += 1
    assert lengths.tolist() == [2]
    assert not torch.equal(memory, pyramid(other, torch.tensor([9])).memory)


def test_subsampling_keeps_the_first_frame_and_pooling_the_largest_that_is_there():
    lengths = torch.tensor([5, 2])
    x = -numbered(2, 6)
    x[:, 5:] = 1e4
    kept = join_frames(x, lengths, 2, "subsample")
    assert torch.equal(kept.x[0, :, 0], -torch.tensor([1.0, 3, 5]))
    pooled = join_frames(x, lengths, 2, "max_pool")
    # all values are negative: a zero that stood for a missing frame would win
    assert torch.equal(pooled.x[0, :, 0], -torch.tensor([1.0, 3, 5]))
    assert torch.equal(pooled.x[0, :, 1], torch.tensor([2.0, 4, 5]))
    assert not pooled.x[1, 1:].any()
    assert kept.lengths.tolist() == pooled.lengths.tolist() == [3, 1]


@pytest.mark.parametrize("joining", ["concatenate", "subsample", "max_pool"])
@pytest.mark.parametrize(("layers", "join"), [(3, 2), (2, 3), (0, 2)])
def test_law_4_every_length_from_1_to_64_passes(layers, join, joining):
    pyramid = PyramidBiLSTM(3, 2, layers, join, joining=joining, layer_norm=True)
    lengths = torch.arange(1, 65)
    memory, fewer = pyramid(torch.randn(64, 64, 3), lengths)
    expected = lengths
    for _ in range(layers):
        expected = (expected + join - 1) // join
    assert torch.equal(fewer, expected)
    assert memory.shape == (64, int(expected.max()), 4)
    assert pyramid.reduction == join**layers
    assert torch.isfinite(memory).all()
    assert (memory.abs().sum(-1) > 0).equal(length_mask(fewer))


def test_a_pyramid_is_a_bilstm_over_joined_frames_as_torch_packs_them():
    """Chan 2015, eq. 5, by nn.LSTM over a packed sequence, which never sees padding."""
    pyramid = PyramidBiLSTM(4, 3, layers=2, join=2).double()
    x, lengths = torch.randn(3, 11, 4, dtype=torch.float64), torch.tensor([11, 6, 3])
    memory = pyramid(x, lengths)
    for row, n in enumerate(lengths.tolist()):
        y = x[row, :n]
        for i, layer in enumerate(pyramid.layers):
            if i:
                if len(y) % 2:
                    y = torch.cat([y, torch.zeros_like(y[:1])])
                y = torch.cat([y[0::2], y[1::2]], dim=1)
            y = packed_bilstm(layer, y)
        torch.testing.assert_close(memory.memory[row, : len(y)], y, rtol=0, atol=1e-10)


def packed_bilstm(layer: nn.Module, y: torch.Tensor) -> torch.Tensor:
    both = nn.LSTM(y.shape[1], layer.ahead.hidden_size, bidirectional=True).double()
    for name, value in layer.ahead.named_parameters():
        getattr(both, name).data = value.data
    for name, value in layer.back.named_parameters():
        getattr(both, f"{name}_reverse").data = value.data
    packed = nn.utils.rnn.pack_sequence([y])
    return nn.utils.rnn.pad_packed_sequence(both(packed)[0])[0][:, 0]


@pytest.mark.parametrize("joining", ["concatenate", "subsample", "max_pool"])
@pytest.mark.parametrize("garbage", [1e4, float("nan")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_law_1_and_trap_11_padding_changes_nothing(joining, garbage, dtype):
    norm = dtype == torch.float64  # over so few channels it blows up single precision's rounding
    part = Part(
        joining,
        lambda: PyramidBiLSTM(3, 2, layers=2, joining=joining, layer_norm=norm),
        {"x": Stream(3, (6, 1, 9, 3))},
        lambda module, x, lengths: [tuple(module(x["x"], lengths["x"]))],
    )
    torch.manual_seed(0)
    module = part.build().to(dtype)
    items = make_items(part, dtype)
    alone = joined([run(part, module, [item], 0, 0.0) for item in items])
    assert_same_results(run(part, module, items, 4, garbage), alone)


def test_layers_above_the_active_ones_only_pool():
    pyramid = PyramidBiLSTM(3, 2, layers=2, base_layers=2)
    x, lengths = torch.randn(2, 9, 3), torch.tensor([9, 4])
    low = PyramidBiLSTM(3, 2, layers=1, base_layers=2)
    low.load_state_dict(pyramid.state_dict(), strict=False)
    memory, fewer = low(x, lengths)
    pooled = join_frames(memory, fewer, 2, "max_pool")
    encoded = pyramid(x, lengths, 3)
    assert torch.equal(encoded.memory, pooled.x)
    assert torch.equal(encoded.memory_lengths, pooled.lengths)


@pytest.mark.parametrize("numbers", [{"base_layers": 0}, {"layers": -1}, {"join": 0}])
def test_a_pyramid_of_nothing_is_refused(numbers):
    with pytest.raises(ConfigError, match="pyramid"):
        PyramidBiLSTM(3, 2, **numbers)
