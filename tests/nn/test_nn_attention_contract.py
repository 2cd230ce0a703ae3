"""The contract of attention, over every mechanism. A new one is one entry in MECHANISMS."""

import dataclasses
import inspect
from typing import ClassVar, NamedTuple

import pytest
import torch
from attention_mechanisms import (
    LENGTHS,
    LOCATION,
    MECHANISMS,
    MEMORY,
    QUERY,
    STEPS,
    Mechanism,
    inputs,
    run,
    shown,
    tensors,
)
from torch import Tensor, nn

from speechseq.errors import ConfigError
from speechseq.nn.attention.contract import Attention, AttentionConfig, attend
from speechseq.nn.attention.dot import DotConfig, dot_energies
from speechseq.nn.attention.location_sensitive import LocationSensitiveConfig
from speechseq.nn.attention.multi_head import MultiHeadConfig
from speechseq.nn.attention.reading import ReadingConfig
from speechseq.nn.masks import length_mask, zero_padding
from speechseq.nn.rows import PerUtterance, regroup_rows, select_rows

BEAM_READINGS = [
    ReadingConfig(sharpening=2.0, smoothing=True),
    ReadingConfig(keep_top=2),
    ReadingConfig(window=1, first="uniform"),
]
each_mechanism = pytest.mark.parametrize("mechanism", MECHANISMS, ids=lambda m: m.name)


def built(mechanism: Mechanism, dtype: torch.dtype = torch.float64) -> Attention:
    return mechanism.config.build(QUERY, MEMORY).to(dtype)


@each_mechanism
def test_law_3_weights_are_a_distribution_over_valid_positions(mechanism):
    module, (queries, memory, mask) = built(mechanism, torch.float32), inputs(torch.float32)
    _, weights, _ = run(module, 10 * queries, module.start(memory, mask))
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(len(mask), STEPS), rtol=0, atol=1e-5)
    assert (weights[:, :, :][~mask.unsqueeze(1).expand_as(weights)] == 0).all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("size", [1.0, 1e4, 1e30])
def test_law_3_holds_for_extreme_energies(dtype, size):
    mask = length_mask(LENGTHS)
    energies = (
        torch.randn(mask.shape).mul(size).clamp(-6e4, 6e4)
        if dtype == torch.float16
        else (torch.randn(mask.shape) * size)
    )
    energies = energies.to(dtype).masked_fill(~mask, 6e4).requires_grad_()  # loudest in padding
    read = attend(energies, torch.randn(*mask.shape, MEMORY, dtype=dtype), mask)
    assert (read.weights >= 0).all()
    sums = read.weights.sum(-1)
    torch.testing.assert_close(sums, torch.ones_like(sums), rtol=0, atol=1e-5)
    assert (read.weights[~mask] == 0).all()
    assert torch.isfinite(read.context).all()
    assert read.context.dtype == dtype
    read.context.float().sum().backward()
    assert torch.isfinite(energies.grad).all()


def test_weights_do_not_lose_their_precision_to_half_precision_energies():
    mask = torch.ones(1, 3000, dtype=torch.bool)
    energies = torch.randn(1, 3000)
    weights = attend(
        energies.bfloat16(), torch.ones(1, 3000, 2, dtype=torch.bfloat16), mask
    ).weights
    assert weights.dtype == torch.float32
    torch.testing.assert_close(weights, torch.softmax(energies.bfloat16().float(), -1))


@each_mechanism
def test_trap_12_13_14_nothing_in_the_padding_is_read(mechanism):
    module, (queries, memory, mask) = built(mechanism), inputs()
    contexts, weights, _ = run(module, queries, module.start(memory, mask))
    loud = memory.masked_fill(~mask.unsqueeze(-1), float("nan"))
    again, same, _ = run(module, queries, module.start(loud, mask))
    assert torch.equal(contexts, again)
    assert torch.equal(weights, same)


@each_mechanism
def test_trap_15_nothing_is_kept_on_the_module(mechanism):
    module, (queries, memory, mask) = built(mechanism), inputs()

    def kept() -> dict[str, int]:
        return {
            f"{name}.{key}": id(value)
            for name, part in module.named_modules()
            for key, value in {**vars(part), **part._parameters, **part._buffers}.items()
            if isinstance(value, Tensor)
        }

    before = kept()
    first = run(module, queries, module.start(memory, mask))
    run(module, queries + 1, module.start(memory + 1, mask))  # another utterance in between
    second = run(module, queries, module.start(memory, mask))
    assert kept() == before
    assert not list(module.buffers())
    for a, b in zip(first[:2], second[:2], strict=True):
        assert torch.equal(a, b)


@each_mechanism
def test_a_step_leaves_the_state_it_was_given_as_it_was(mechanism):
    module, (queries, memory, mask) = built(mechanism), inputs()
    _, _, state = run(module, queries, module.start(memory, mask))
    copies = [part.clone() for part in tensors(state)]
    once, again = module(queries[0], state), module(queries[0], state)
    assert torch.equal(once[1], again[1])
    assert all(torch.equal(*pair) for pair in zip(tensors(state), copies, strict=True))


@each_mechanism
def test_trap_19_a_state_is_a_tuple_of_batch_first_tensors_that_a_beam_may_reorder(mechanism):
    module, (queries, memory, mask) = built(mechanism), inputs()
    order = torch.tensor([2, 2, 0, 3, 1])
    _, _, state = run(module, queries[:2], module.start(memory, mask))
    assert isinstance(state, tuple)
    assert hasattr(state, "_fields")
    assert all(len(part) == len(mask) for part in tensors(state))
    beam = run(module, queries[2:, order], select_rows(state, order))[:2]
    whole = run(module, queries[:, order], module.start(memory[order], mask[order]))[:2]
    for part, expected in zip(beam, whole, strict=True):
        torch.testing.assert_close(part, expected[:, 2:], rtol=1e-12, atol=1e-12)


BEAM = torch.tensor([0, 0, 0, 1, 1, 1])  # three hypotheses of each of two utterances


def asked_by_a_beam(module: Attention) -> tuple[Tensor, Tensor, tuple]:
    """Run six queries on two shared memories, and on a memory for each; return both results.

    Two steps run with one hypothesis per utterance; then the beam has three, and is re-ordered
    once. The last state of the shared run is returned, too.
    """
    _, memory, mask = inputs()
    memory, mask = memory[[0, 2]], mask[[0, 2]]
    queries = torch.randn(STEPS, 6, QUERY, dtype=torch.float64)
    order = torch.tensor([2, 2, 0, 4, 3, 4])
    _, _, state = run(module, queries[:1, [0, 3]], module.start(memory, mask))
    first, seen, state = run(module, queries[1:3], regroup_rows(state, BEAM, None))
    then, looked, state = run(module, queries[3:], regroup_rows(state, order, None))
    own = module.start(memory[BEAM], mask[BEAM])
    _, _, own = run(module, queries[:1, [0, 0, 0, 3, 3, 3]], own)
    one = run(module, queries[1:3], own)
    other = run(module, queries[3:], select_rows(one[2], order))
    shared = torch.cat([first, then], 1), torch.cat([seen, looked], 1)
    true = torch.cat([one[0], other[0]], 1), torch.cat([one[1], other[1]], 1)
    return torch.cat(shared, 2), torch.cat(true, 2), state


@pytest.mark.parametrize("option", [ReadingConfig(), *BEAM_READINGS], ids=shown)
@each_mechanism
def test_trap_20_all_queries_of_a_beam_read_the_memory_of_their_utterance(mechanism, option):
    module = built(mechanism)
    if not mechanism.takes(option):
        with pytest.raises(ConfigError, match="reading: stepwise"):
            module.reading = option
        return
    module.reading = option
    actual, true, _ = asked_by_a_beam(module)
    torch.testing.assert_close(actual, true, rtol=1e-12, atol=1e-12)


def with_keys(state: tuple) -> int:
    """Count the states of a mechanism and its heads that hold projected memory."""
    nested = (part for part in state if isinstance(part, tuple))
    return hasattr(state, "keys") + sum(map(with_keys, nested))


@each_mechanism
def test_a_beam_holds_one_memory_an_utterance(mechanism):
    _, _, state = asked_by_a_beam(built(mechanism))
    lengths = [len(part) for part in tensors(state)]
    assert set(lengths) <= {2, 6}
    if with_keys(state):
        assert lengths.count(2) == 3 * with_keys(state)  # memory, mask and keys


@each_mechanism
def test_gradients_of_a_shared_memory_are_the_sum_over_its_queries(mechanism):
    module, (queries, memory, mask) = built(mechanism), inputs()
    memory.requires_grad_()
    index = torch.arange(len(mask)).repeat_interleave(3)
    queries = queries[:, index] + torch.randn(STEPS, len(index), QUERY, dtype=torch.float64)
    found = []
    for utterances in (None, index):
        state = regroup_rows(module.start(memory, mask), index, utterances)
        contexts, weights, _ = run(module, queries, state)
        loss = (contexts * torch.arange(MEMORY)).sum() + weights.square().sum()
        found.append(torch.autograd.grad(loss, memory)[0])
    torch.testing.assert_close(found[0], found[1], rtol=1e-10, atol=1e-12)


class StrangerState(NamedTuple):
    memory: Tensor
    mask: Tensor
    previous: Tensor


@dataclasses.dataclass(frozen=True, kw_only=True)
class StrangerConfig(AttentionConfig):
    kind: ClassVar[str] = "stranger"

    def build(self, query_dim, memory_dim):
        return Stranger(query_dim, memory_dim)


class Stranger(Attention):
    def __init__(self, query_dim, memory_dim):
        super().__init__()
        self.query = nn.Linear(query_dim, memory_dim)

    def start(self, memory, memory_mask):
        return StrangerState(zero_padding(memory, memory_mask), memory_mask, memory_mask.float())

    def forward(self, query, state):
        energies = (state.memory @ self.query(query).unsqueeze(2)).squeeze(2)
        read = attend(energies, state.memory, state.mask, self.reading, state.previous)
        return *read, state._replace(previous=read.weights)


class SharingState(NamedTuple):
    memory: PerUtterance
    mask: PerUtterance
    previous: Tensor


class Sharing(Stranger):
    """The same, of one memory an utterance."""

    def start(self, memory, memory_mask):
        return SharingState(*super().start(memory, memory_mask))

    def forward(self, query, state):
        energies = dot_energies(self.query(query), state.memory)
        read = attend(energies, state.memory, state.mask, self.reading, state.previous)
        return *read, state._replace(previous=read.weights)


def test_a_stranger_s_mechanism_is_under_20_lines_and_reads_in_every_way():
    parts = (StrangerState, StrangerConfig, Stranger)
    lines = [line for part in parts for line in inspect.getsource(part).splitlines() if line]
    assert len(lines) < 20
    for kind, rows in ((Stranger, 6), (Sharing, 2)):
        torch.manual_seed(0)
        module = kind(QUERY, MEMORY).double()
        module.reading = ReadingConfig(window=0)
        actual, true, state = asked_by_a_beam(module)
        torch.testing.assert_close(actual, true, rtol=1e-12, atol=1e-12)
        assert len(state.memory) == rows
        assert (actual[..., MEMORY:].sort(2).values[..., -1] == 1).all()


def test_a_window_needs_a_mechanism_that_keeps_its_weights():
    memory, mask = torch.randn(2, 3, MEMORY), torch.ones(2, 3, dtype=torch.bool)
    with pytest.raises(ConfigError, match=r"reading\.window: this mechanism does not keep"):
        attend(torch.randn(2, 3), memory, mask, ReadingConfig(window=2))


@each_mechanism
def test_trap_17_keys_are_projected_once_an_utterance(mechanism):
    module, (queries, memory, mask) = built(mechanism), inputs()
    seen = []

    def saw(part: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        seen.extend([part] * (given[0].dim() == 3))  # all positions went in

    for part in module.modules():
        if isinstance(part, nn.Linear):
            part.register_forward_hook(saw)
    state = module.start(memory, mask)
    once = list(seen)
    assert bool(once) == bool(with_keys(state))  # a mechanism may have no keys
    assert len(set(once)) == len(once)
    run(module, queries, state)
    assert seen == once


@pytest.mark.parametrize("channel", [0, 1], ids=["previous", "cumulative"])
def test_trap_16_the_gradient_flows_through_the_previous_alignment(channel):
    """The second step's weights depend on the first query, through nothing but the history."""
    module = LOCATION.build(QUERY, MEMORY).double()
    nn.init.zeros_(module.filters.weight[:, 1 - channel])
    queries, memory, mask = inputs()
    first = queries[0].requires_grad_()
    _, _, state = module(first, module.start(memory, mask))
    _, weights, _ = module(queries[1], state)
    weights[0, 0].backward()
    assert first.grad[0].abs().max() > 1e-8
    assert not first.grad[1:].any()  # and never through another item


@each_mechanism
def test_numbers_go_to_plain_data_and_back(mechanism):
    config = mechanism.config
    assert type(config).from_dict(config.to_dict()) == config


@each_mechanism
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_module_in_half_precision_runs(mechanism, dtype):
    module, (queries, memory, mask) = built(mechanism, dtype), inputs(dtype)
    contexts, weights, _ = run(module, queries, module.start(memory, mask))
    assert contexts.dtype == dtype
    assert torch.isfinite(weights).all()


def test_summed_weights_stay_exact_under_mixed_precision():
    """800 steps of small weights: bfloat16 sums would stand still at 256 times a weight."""
    module = LOCATION.build(QUERY, MEMORY)
    memory, mask = torch.randn(1, 50, MEMORY).bfloat16(), torch.ones(1, 50, dtype=torch.bool)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        _, weights, state = run(module, torch.randn(800, 1, QUERY), module.start(memory, mask))
    torch.testing.assert_close(state.history[:, 1], weights.sum(1), rtol=1e-4, atol=0)


def test_an_even_kernel_is_refused():
    with pytest.raises(ConfigError, match="kernel: 30 is even"):
        LocationSensitiveConfig(kernel=30)


def test_networks_without_layers_are_refused():
    with pytest.raises(ConfigError, match="layers: 0"):
        DotConfig(layers=0)


def test_no_heads_are_refused():
    with pytest.raises(ConfigError, match="heads: 0"):
        MultiHeadConfig(heads=0)


def test_a_head_with_a_reading_of_its_own_is_refused():
    with pytest.raises(ConfigError, match=r"head\.reading: "):
        MultiHeadConfig(head=DotConfig(reading=ReadingConfig(window=3)))


def test_more_heads_than_channels_read_one_channel_each():
    module = MultiHeadConfig(heads=MEMORY + 2, head=DotConfig(dim=5)).build(QUERY, MEMORY).double()
    queries, memory, mask = inputs()
    assert run(module, queries, module.start(memory, mask))[0].shape == (4, STEPS, MEMORY)
