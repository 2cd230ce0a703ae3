"""The pre-net; its free-running dropout belongs to an utterance, not to a batch."""

import pytest
import torch

from speechseq.nn.prenet import Prenet, UtteranceNoise

CPU = torch.device("cpu")


def draws(seeds: list[int], steps: int = 150, **kwargs) -> torch.Tensor:
    """Multipliers (rows, steps, width) of all layers side by side."""
    noise = UtteranceNoise(seeds, (5, 3), 0.5, CPU, **kwargs)
    rows = torch.arange(len(seeds))
    return torch.stack([torch.cat(noise.keep(t, rows), -1) for t in range(steps)], 1)


def test_layers_are_those_of_the_paper_s_table():
    prenet = Prenet(80)
    assert [tuple(layer.weight.shape) for layer in prenet.layers] == [(256, 80), (128, 256)]
    assert prenet.output_dim == 128
    assert prenet.dropout == 0.5


def test_dropout_acts_in_training_alone():
    prenet, x = Prenet(4, (64, 64)), torch.randn(2, 3, 4)
    prenet.eval()
    assert torch.equal(prenet(x), prenet(x))
    prenet.train()
    assert not torch.equal(prenet(x), prenet(x))


def test_multipliers_act_after_each_layer():
    prenet, x = Prenet(4, (5, 3)).eval(), torch.randn(2, 4)
    keep = (torch.tensor([0.0, 2, 2, 0, 2]), torch.tensor([2.0, 0, 2]))
    first = torch.relu(prenet.layers[0](x)) * keep[0]
    assert torch.equal(prenet(x, keep), torch.relu(prenet.layers[1](first)) * keep[1])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_multipliers_leave_the_precision_of_the_network_as_it_is(dtype):
    prenet = Prenet(4, (5, 3)).to(dtype).eval()
    keep = UtteranceNoise([1, 2], (5, 3), 0.5, CPU).keep(0, torch.arange(2))
    assert prenet(torch.randn(2, 4, dtype=dtype), keep).dtype == dtype


def test_law_10_a_row_draws_the_same_alone_and_in_any_batch():
    together = draws([7, 8, 9])
    for row, seed in enumerate([7, 8, 9]):
        assert torch.equal(together[row], draws([seed])[0])
    assert torch.equal(draws([9, 7])[1], together[0])


def test_law_10_one_seed_for_all_rows_gives_each_what_it_gets_alone():
    assert torch.equal(draws([7, 7]), draws([7]).expand(2, -1, -1))
    assert not torch.equal(draws([7]), draws([8]))


def test_law_10_a_row_draws_the_same_when_its_neighbours_have_left():
    noise, whole = UtteranceNoise([7, 8, 9], (5, 3), 0.5, CPU), draws([7, 8, 9])
    for t in range(150):
        rows = torch.tensor([0, 2] if t < 100 else [2])
        assert torch.equal(torch.cat(noise.keep(t, rows), -1), whole[rows, t])


def test_steps_differ_within_a_block_and_between_blocks():
    steps = draws([7])[0]
    assert len({tuple(step.tolist()) for step in steps}) > 100  # of 256 patterns
    block = UtteranceNoise.block
    assert not torch.equal(steps[:block], steps[block : 2 * block])


def test_units_are_dropped_as_often_as_told_and_the_mean_is_kept():
    noise = UtteranceNoise([3], (4000,), 0.2, CPU)
    (keep,) = noise.keep(0, torch.arange(1))
    assert set(keep.unique().tolist()) == {0.0, 1.25}
    assert abs(float((keep == 0).float().mean()) - 0.2) < 0.025  # four sigma
