"""The contract of attention, over every mechanism. A new one is one entry in MECHANISMS."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from speechseq.errors import ConfigError
from speechseq.nn.attention.content import ContentConfig
from speechseq.nn.attention.contract import AttentionConfig, attend
from speechseq.nn.attention.location_sensitive import LocationSensitiveConfig
from speechseq.nn.masks import length_mask

QUERY, MEMORY, STEPS = 3, 4, 5
LENGTHS = torch.tensor([6, 1, 9, 2])
Array = np.ndarray
Weights = dict[str, Array]


def softmax(energies: Array) -> Array:
    powers = np.exp(energies - energies.max())
    return powers / powers.sum()


def content_energies(w: Weights, query: Array, memory: Array, past: list[Array]) -> Array:
    """v · tanh(W q + V h_n) position by position (Bahdanau 2015)."""
    hidden = [np.tanh(w["query.weight"] @ query + w["key.weight"] @ h) for h in memory]
    return np.array([w["energy.weight"][0] @ h for h in hidden])


def location_energies(w: Weights, query: Array, memory: Array, past: list[Array]) -> Array:
    """v · tanh(W q + V h_n + U f_n), f the filtered last and summed weights (Chorowski 2015)."""
    filters, size = w["filters.weight"], len(memory)
    reach = filters.shape[2] // 2
    history = np.zeros((2, size + 2 * reach))
    if past:
        history[:, reach : reach + size] = past[-1], np.sum(past, axis=0)
    energies = np.empty(size)
    for n in range(size):
        window = history[:, n : n + 2 * reach + 1]
        located = w["location.weight"] @ np.einsum("fck,ck->f", filters, window)
        hidden = np.tanh(w["query.weight"] @ query + w["key.weight"] @ memory[n] + located)
        energies[n] = w["energy.weight"][0] @ hidden
    return energies


@dataclasses.dataclass(frozen=True)
class Mechanism:
    """A mechanism under the contract: its numbers, and its energies in plain NumPy."""

    config: AttentionConfig
    energies: Callable[[Weights, Array, Array, list[Array]], Array]


MECHANISMS = [
    Mechanism(ContentConfig(dim=5), content_energies),
    Mechanism(LocationSensitiveConfig(dim=5, filters=3, kernel=5), location_energies),
]
each_mechanism = pytest.mark.parametrize("mechanism", MECHANISMS, ids=lambda m: m.config.kind)


def built(mechanism: Mechanism, dtype: torch.dtype = torch.float64) -> nn.Module:
    return mechanism.config.build(QUERY, MEMORY).to(dtype)


def inputs(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """Queries (steps, batch, query_dim), memory and its mask."""
    mask = length_mask(LENGTHS, int(LENGTHS.max()) + 2)
    queries = torch.randn(STEPS, len(LENGTHS), QUERY, dtype=dtype)
    return queries, torch.randn(*mask.shape, MEMORY, dtype=dtype), mask


def run(module: nn.Module, queries: Tensor, state) -> tuple[Tensor, Tensor, tuple]:
    """Contexts and weights of all steps, and the last state."""
    contexts, weights = [], []
    for query in queries:
        context, weight, state = module(query, state)
        contexts.append(context)
        weights.append(weight)
    return torch.stack(contexts, 1), torch.stack(weights, 1), state


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
def test_agrees_with_numpy(mechanism):
    module, (queries, memory, mask) = built(mechanism), inputs()
    contexts, weights, _ = run(module, queries, module.start(memory, mask))
    parameters = {name: p.detach().numpy() for name, p in module.named_parameters()}
    for row, length in enumerate(LENGTHS.tolist()):
        own, past = memory[row, :length].numpy(), []
        for step in range(STEPS):
            query = queries[step, row].numpy()
            past.append(softmax(mechanism.energies(parameters, query, own, past)))
            made = weights[row, step, :length].detach().numpy()
            np.testing.assert_allclose(made, past[-1], rtol=0, atol=1e-6)
            context = contexts[row, step].detach().numpy()
            np.testing.assert_allclose(context, past[-1] @ own, rtol=0, atol=1e-6)


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

    def tensors() -> dict[str, int]:
        return {
            f"{name}.{key}": id(value)
            for name, part in module.named_modules()
            for key, value in {**vars(part), **part._parameters, **part._buffers}.items()
            if isinstance(value, Tensor)
        }

    before = tensors()
    first = run(module, queries, module.start(memory, mask))
    run(module, queries + 1, module.start(memory + 1, mask))  # another utterance in between
    second = run(module, queries, module.start(memory, mask))
    assert tensors() == before
    assert not list(module.buffers())
    for a, b in zip(first[:2], second[:2], strict=True):
        assert torch.equal(a, b)


@each_mechanism
def test_a_step_leaves_the_state_it_was_given_as_it_was(mechanism):
    module, (queries, memory, mask) = built(mechanism), inputs()
    _, _, state = run(module, queries, module.start(memory, mask))
    copies = [part.clone() for part in state]
    once, again = module(queries[0], state), module(queries[0], state)
    assert torch.equal(once[1], again[1])
    assert all(torch.equal(part, copy) for part, copy in zip(state, copies, strict=True))


@each_mechanism
def test_trap_19_a_state_is_a_tuple_of_batch_first_tensors_that_a_beam_may_reorder(mechanism):
    module, (queries, memory, mask) = built(mechanism), inputs()
    order = torch.tensor([2, 2, 0, 3, 1])
    _, _, state = run(module, queries[:2], module.start(memory, mask))
    assert isinstance(state, tuple)
    assert hasattr(state, "_fields")
    assert all(isinstance(part, Tensor) and len(part) == len(mask) for part in state)
    chosen = type(state)(*(part[order] for part in state))
    beam = run(module, queries[2:, order], chosen)[:2]
    whole = run(module, queries[:, order], module.start(memory[order], mask[order]))[:2]
    for part, expected in zip(beam, whole, strict=True):
        torch.testing.assert_close(part, expected[:, 2:], rtol=1e-12, atol=1e-12)


@each_mechanism
def test_trap_17_keys_are_projected_once_an_utterance(mechanism):
    module, (queries, memory, mask) = built(mechanism), inputs()
    seen = []
    for part in module.modules():
        if isinstance(part, nn.Linear) and part.in_features == MEMORY:
            part.register_forward_hook(lambda *_: seen.append(1))
    state = module.start(memory, mask)
    assert len(seen) == 1
    run(module, queries, state)
    assert len(seen) == 1


@pytest.mark.parametrize("channel", [0, 1], ids=["previous", "cumulative"])
def test_trap_16_the_gradient_flows_through_the_previous_alignment(channel):
    """The second step's weights depend on the first query, through nothing but the history."""
    module = LocationSensitiveConfig(dim=5, filters=3, kernel=5).build(QUERY, MEMORY).double()
    nn.init.zeros_(module.filters.weight[:, 1 - channel])
    queries, memory, mask = inputs()
    first = queries[0].requires_grad_()
    _, _, state = module(first, module.start(memory, mask))
    _, weights, _ = module(queries[1], state)
    weights[0, 0].backward()
    assert first.grad[0].abs().max() > 1e-8
    assert not first.grad[1:].any()  # and never through another item


@each_mechanism
def test_gradients_equal_finite_differences_through_several_steps(mechanism):
    module = built(mechanism)
    mask = length_mask(torch.tensor([3, 2]))

    def contexts(memory: Tensor, queries: Tensor) -> Tensor:
        return run(module, queries, module.start(memory, mask))[0]

    memory = torch.randn(2, 3, MEMORY, dtype=torch.float64, requires_grad=True)
    queries = torch.randn(3, 2, QUERY, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(contexts, (memory, queries))


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
    module = LocationSensitiveConfig(dim=5, filters=3, kernel=5).build(QUERY, MEMORY)
    memory, mask = torch.randn(1, 50, MEMORY).bfloat16(), torch.ones(1, 50, dtype=torch.bool)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        _, weights, state = run(module, torch.randn(800, 1, QUERY), module.start(memory, mask))
    torch.testing.assert_close(state.history[:, 1], weights.sum(1), rtol=1e-4, atol=0)


def test_an_even_kernel_is_refused():
    with pytest.raises(ConfigError, match="kernel: 30 is even"):
        LocationSensitiveConfig(kernel=30)
