"""Highway, convolution, CBHG and post-net: sizes of the papers, formulas by hand."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from speechseq.nn.cbhg import CBHG, pool_pairs
from speechseq.nn.conv import MaskedBatchNorm, MaskedConv
from speechseq.nn.highway import Highway
from speechseq.nn.masks import length_mask
from speechseq.nn.postnet import Postnet
from speechseq.nn.recurrent import BiGRU, BiLSTM
from speechseq.ops.varlen import Varlen


def full(x: torch.Tensor) -> torch.Tensor:
    return torch.ones(x.shape[:2], dtype=torch.bool)


def test_a_highway_starts_close_to_the_identity():
    highway = Highway(16)
    assert (highway.gate.bias == -1).all()
    assert (highway.transform.bias == 0).all()


def test_a_highway_is_its_formula():
    highway, x = Highway(6), torch.randn(2, 3, 6)
    g = torch.sigmoid(highway.gate(x))
    expected = g * torch.relu(highway.transform(x)) + (1 - g) * x
    torch.testing.assert_close(highway(x), expected)


def test_batch_norm_without_padding_is_torch_s():
    ours, theirs = MaskedBatchNorm(4), nn.BatchNorm1d(4)
    for norm in (ours, theirs):
        nn.init.uniform_(norm.weight, 0.5, 2, generator=torch.Generator().manual_seed(1))
        nn.init.uniform_(norm.bias, -1, 1, generator=torch.Generator().manual_seed(2))
    for _ in range(3):
        x = 3 * torch.randn(2, 7, 4) + 1
        output = ours(x, full(x))
        torch.testing.assert_close(output, theirs(x.transpose(1, 2)).transpose(1, 2))
    for (name, a), (other, b) in zip(ours.named_buffers(), theirs.named_buffers(), strict=True):
        assert name == other
        torch.testing.assert_close(a, b)
    ours.eval(), theirs.eval()
    torch.testing.assert_close(ours(x, full(x)), theirs(x.transpose(1, 2)).transpose(1, 2))


def test_batch_norm_of_a_single_position_leaves_the_running_statistics_finite():
    norm = MaskedBatchNorm(4)
    x = torch.randn(1, 5, 4)
    normalised = norm(x, length_mask(torch.tensor([1]), 5))
    assert torch.isfinite(normalised).all()
    assert all(torch.isfinite(buffer).all() for buffer in norm.buffers())


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5, 8])
def test_a_convolution_keeps_its_length(kernel):
    conv, x = MaskedConv(3, 4, kernel), torch.randn(2, 6, 3)
    assert conv(x, full(x)).shape == (2, 6, 4)


def test_an_even_convolution_reaches_one_further_to_the_right():
    conv = MaskedConv(1, 1, 4, activation="linear", bias=False).eval()
    nn.init.ones_(conv.conv.weight)
    x = torch.zeros(1, 9, 1)
    x[0, 4] = 1.0
    assert conv(x, full(x))[0, :, 0].nonzero().squeeze(1).tolist() == [2, 3, 4, 5]


@pytest.mark.parametrize("norm_last", [True, False])
def test_a_convolution_is_its_parts_in_order(norm_last):
    conv = MaskedConv(3, 4, 5, norm_last=norm_last).eval()
    conv.norm.running_mean.uniform_(-1, 1)
    conv.norm.running_var.uniform_(0.5, 2)
    x = torch.randn(2, 6, 3)
    y = F.conv1d(x.transpose(1, 2), conv.conv.weight, conv.conv.bias, padding=2)
    arguments = conv.norm.running_mean, conv.norm.running_var, conv.norm.weight, conv.norm.bias
    y = F.batch_norm(y.relu(), *arguments) if norm_last else F.batch_norm(y, *arguments).relu()
    torch.testing.assert_close(conv(x, full(x)), y.transpose(1, 2))


def test_pairs_are_pooled_and_the_last_valid_position_has_no_next():
    x = torch.tensor([[1.0, 3, 2, 99, 99], [5, 4, 6, 7, 1]]).unsqueeze(-1)
    rows = Varlen.of(length_mask(torch.tensor([3, 5]), 5))
    pooled = rows.pad(pool_pairs(rows.unpad(x), rows)).squeeze(-1)
    assert pooled[0].tolist() == [3, 3, 2, 0, 0]
    assert pooled[1].tolist() == [5, 6, 7, 7, 1]


def test_pairs_are_torch_s_max_pool_where_nothing_is_padded():
    x = torch.randn(2, 7, 3)
    theirs = F.max_pool1d(F.pad(x.transpose(1, 2), (0, 1), value=float("-inf")), 2, 1)
    rows = Varlen.of(full(x))
    assert torch.equal(rows.pad(pool_pairs(rows.unpad(x), rows)), theirs.transpose(1, 2))


def test_cbhg_has_the_sizes_of_the_paper_s_encoder():
    cbhg = CBHG(128)
    widths = [tuple(conv.conv.weight.shape) for conv in cbhg.bank]
    assert widths == [(128, 128, k) for k in range(1, 17)]
    assert all(conv.activation == "relu" for conv in cbhg.bank)
    projections = [(tuple(c.conv.weight.shape), c.activation) for c in cbhg.projections]
    assert projections == [((128, 16 * 128, 3), "relu"), ((128, 128, 3), "linear")]
    assert len(cbhg.highways) == 4
    assert isinstance(cbhg.widen, nn.Identity)
    assert cbhg(torch.randn(1, 3, 128), torch.tensor([3])).shape == (1, 3, 256)


def test_cbhg_has_the_sizes_of_the_paper_s_post_net():
    cbhg = CBHG(80, bank=8, projections=(256, 80))
    assert [tuple(conv.conv.weight.shape) for conv in cbhg.bank] == [
        (128, 80, k) for k in range(1, 9)
    ]
    assert [tuple(c.conv.weight.shape) for c in cbhg.projections] == [(256, 1024, 3), (80, 256, 3)]
    assert tuple(cbhg.widen.weight.shape) == (128, 80)


def test_cbhg_carries_its_input_past_the_convolutions():
    """The highways read the input itself if all projections are zero."""
    cbhg = CBHG(4, bank=2, channels=4, projections=(4,), highways=0, gru=3).eval()
    nn.init.zeros_(cbhg.projections[0].conv.weight)
    nn.init.zeros_(cbhg.projections[0].conv.bias)
    x, lengths = torch.randn(1, 5, 4), torch.tensor([5])
    assert torch.equal(cbhg(x, lengths), cbhg.gru(x, lengths))


def test_cbhg_refuses_a_projection_that_cannot_be_added():
    with pytest.raises(ValueError, match="last projection 64"):
        CBHG(128, projections=(128, 64))


def test_the_post_net_has_the_sizes_of_the_paper():
    net = Postnet(80)
    shapes = [(tuple(c.conv.weight.shape), c.activation, c.dropout) for c in net.convs]
    assert shapes == [
        ((512, 80, 5), "tanh", 0.5),
        ((512, 512, 5), "tanh", 0.5),
        ((512, 512, 5), "tanh", 0.5),
        ((512, 512, 5), "tanh", 0.5),
        ((80, 512, 5), "linear", 0.5),
    ]


@pytest.mark.parametrize(("ours", "theirs"), [(BiLSTM, nn.LSTM), (BiGRU, nn.GRU)])
def test_trap_11_two_one_way_layers_equal_torch_s_packed_sequence(ours, theirs):
    net = ours(3, 4)
    reference = theirs(3, 4, batch_first=True, bidirectional=True)
    for name, parameter in net.ahead.named_parameters():
        getattr(reference, name).data.copy_(parameter.data)
        getattr(reference, f"{name}_reverse").data.copy_(getattr(net.back, name).data)
    x, lengths = torch.randn(3, 7, 3), torch.tensor([4, 7, 1])
    packed = nn.utils.rnn.pack_padded_sequence(x, lengths, True, enforce_sorted=False)
    expected, _ = nn.utils.rnn.pad_packed_sequence(reference(packed)[0], batch_first=True)
    torch.testing.assert_close(net(x, lengths), expected)
