"""Normalisation of energies to weights: every option of every mechanism, and its gradient."""

import dataclasses
import json
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from attention_mechanisms import (
    LENGTHS,
    LOCATION,
    MECHANISMS,
    MEMORY,
    PREVIOUS,
    QUERY,
    READINGS,
    Mechanism,
    inputs,
    reading,
    reference,
    run,
    shown,
)
from hypothesis import given
from hypothesis import strategies as st
from padding_law import (
    Inputs,
    Lengths,
    Outputs,
    Part,
    Stream,
    assert_same_results,
    joined,
    make_items,
)
from padding_law import run as run_part
from torch import Tensor, nn

from speechseq.errors import ConfigError
from speechseq.nn.attention.location_sensitive import LocationSensitiveConfig
from speechseq.nn.attention.multi_head import MultiHeadConfig
from speechseq.nn.attention.reading import ReadingConfig, first_alignment, median, weigh
from speechseq.nn.masks import length_mask

MASK = length_mask(LENGTHS, 11)
ALL = ReadingConfig(sharpening=1.5, smoothing=True, keep_top=3, window=2, first="uniform")
SINGLY = [
    ReadingConfig(),
    ReadingConfig(sharpening=2.0),
    ReadingConfig(smoothing=True),
    ReadingConfig(keep_top=3),
    ReadingConfig(window=2),
    ReadingConfig(first="one_hot"),
    ReadingConfig(first="uniform"),
    ReadingConfig(through_previous=False),
    ALL,
]
VARIANTS = (  # of what others are, too
    *("location, wide", "dot, plain", "dot, deep", "heads of dot", "gmm, graves", "forward"),
)


def combined(readings: Callable[[Mechanism], list[ReadingConfig]]) -> pytest.MarkDecorator:
    pairs = [(m, o) for m in MECHANISMS for o in readings(m) if m.takes(o)]
    names = [f"{m.name}-{shown(o)}" for m, o in pairs]
    return pytest.mark.parametrize(("mechanism", "option"), pairs, ids=names)


every_combination = combined(lambda m: SINGLY if m.name in VARIANTS else READINGS)
each_option = combined(lambda m: SINGLY)


@every_combination
def test_agrees_with_numpy(mechanism, option):
    mechanism = dataclasses.replace(mechanism, config=reading(mechanism.config, option))
    module, (queries, memory, mask) = mechanism.config.build(QUERY, MEMORY).double(), inputs()
    queries = 2 * queries
    loud = memory.masked_fill(~mask.unsqueeze(-1), 1e4)
    with torch.no_grad():
        contexts, weights, _ = run(module, queries, module.start(loud, mask))
    assert not weights[~mask.unsqueeze(1).expand_as(weights)].any()
    parameters = {name: p.detach().numpy() for name, p in module.named_parameters()}
    for row, length in enumerate(LENGTHS.tolist()):
        own = queries[:, row].numpy(), memory[row, :length].numpy()
        context, weight = reference(mechanism, parameters, *own)
        np.testing.assert_allclose(weights[row, :, :length].numpy(), weight, rtol=0, atol=1e-6)
        np.testing.assert_allclose(contexts[row].numpy(), context, rtol=0, atol=1e-6)


ENERGIES = {
    "small": torch.randn(MASK.shape),
    "huge": 1e30 * torch.randn(MASK.shape),
    "the largest": torch.finfo(torch.float32).max * torch.randn(MASK.shape).sign(),
    "equal": torch.full(MASK.shape, 3.0),
    "rows of -inf": torch.full(MASK.shape, -math.inf),
    "one is -inf": torch.randn(MASK.shape).index_fill(1, torch.tensor([0]), -math.inf),
    "one is inf": torch.randn(MASK.shape).index_fill(1, torch.tensor([0]), math.inf),
    "both": math.inf * torch.randn(MASK.shape).sign(),
}
EXTREME = [
    dataclasses.replace(option, keep_top=keep_top, window=window, sharpening=sharpening)
    for option in (ReadingConfig(), ReadingConfig(smoothing=True))
    for keep_top in (None, 1, 3, 100)
    for window in (None, 0, 2, 100)
    for sharpening in (0.25, 1.0, 50.0)
]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("energies", ENERGIES)
def test_law_3_holds_for_every_reading_of_extreme_energies(energies, dtype):
    values = ENERGIES[energies].to(dtype).masked_fill(~MASK, 6e4)  # loudest in the padding
    previous = [torch.zeros(MASK.shape), torch.eye(11)[[10, 5, 3, 9]], MASK / MASK.sum(1, True)]
    for option in EXTREME:
        for before in previous:
            given = values.clone().requires_grad_()
            weights = weigh(given, MASK, option, before)
            sums = weights.sum(1)
            assert (weights >= 0).all(), option
            torch.testing.assert_close(sums, torch.ones_like(sums), rtol=0, atol=1e-5)
            assert not weights[~MASK].any()
            assert weights.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
            (weights * torch.arange(11)).sum().backward()
            assert torch.isfinite(given.grad).all(), option
            assert not given.grad[~MASK].any()


def test_trap_18_a_row_of_minus_infinity_is_read_evenly():
    weights = weigh(torch.full(MASK.shape, -math.inf), MASK, ReadingConfig())
    torch.testing.assert_close(weights, MASK / MASK.sum(1, keepdim=True))


def test_a_broken_model_shows():
    assert (
        weigh(torch.full((1, 3), math.nan), torch.ones(1, 3) > 0, ALL, torch.eye(3)[:1])
        .isnan()
        .all()
    )


@each_option
def test_law_1_an_item_alone_is_its_row_in_a_batch(mechanism, option):
    config = reading(mechanism.config, option)
    part = Part(
        mechanism.name,
        lambda: config.build(QUERY, MEMORY),
        {"memory": Stream(MEMORY, tuple(LENGTHS.tolist()))},
        four_steps,
    )
    module = part.build().double()
    items = make_items(part, torch.float64)
    batch = run_part(part, module, items, 2, math.nan)
    assert_same_results(batch, joined([run_part(part, module, [item], 0, 0.0) for item in items]))


def four_steps(module: nn.Module, x: Inputs, lengths: Lengths) -> Outputs:
    """The same queries for every item; the weights of a step are a sequence of positions."""
    memory, queries = x["memory"], torch.linspace(-2, 2, 4 * QUERY, dtype=torch.float64)
    rows = queries.reshape(4, 1, QUERY).expand(4, len(memory), QUERY)
    mask = length_mask(lengths["memory"], memory.shape[1])
    contexts, weights, _ = run(module, rows, module.start(memory, mask))
    return [
        (weights.transpose(1, 2), lengths["memory"]),
        (contexts, torch.full_like(lengths["memory"], 4)),
    ]


@combined(lambda m: [ReadingConfig(), ALL])
def test_gradients_equal_finite_differences_through_several_steps(mechanism, option):
    module = reading(mechanism.config, option).build(QUERY, MEMORY).double()
    mask = length_mask(torch.tensor([4, 2]))

    def contexts(memory: Tensor, queries: Tensor) -> Tensor:
        return run(module, queries, module.start(memory, mask))[0]

    memory = torch.randn(2, 4, MEMORY, dtype=torch.float64, requires_grad=True)
    queries = torch.randn(3, 2, QUERY, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(contexts, (memory, queries), fast_mode=True)


LOCATED = [LOCATION, PREVIOUS, MultiHeadConfig(heads=2, head=LOCATION)]


@pytest.mark.parametrize("config", LOCATED, ids=["both", "previous", "heads"])
def test_trap_16_the_previous_alignment_is_detached_only_when_asked(config):
    """Through it, gradients are finite differences; without it, those of a past held still."""
    through = config.build(QUERY, MEMORY).double()
    queries, memory, mask = inputs()
    queries = (3 * queries).requires_grad_()
    states = [through.start(memory, mask)]
    for query in queries:
        states.append(through(query, states[-1])[2])

    def flowing(given: Tensor) -> Tensor:
        return run(through, given, states[0])[0]

    def held(given: Tensor) -> Tensor:
        return torch.stack([through(q, s)[0] for q, s in zip(given, held_states, strict=True)], 1)

    held_states = [detached(state) for state in states[:-1]]
    without = reading(config, ReadingConfig(through_previous=False)).build(QUERY, MEMORY).double()
    without.load_state_dict(through.state_dict())
    actual = run(without, queries, without.start(memory, mask))[0]
    torch.testing.assert_close(actual, flowing(queries), rtol=0, atol=0)
    for function in (flowing, held):
        assert torch.autograd.gradcheck(function, queries, fast_mode=True)
    found = [gradient(x, queries) for x in (actual, held(queries), flowing(queries))]
    torch.testing.assert_close(found[0], found[1], rtol=1e-10, atol=1e-12)
    assert (found[0] - found[2]).abs().max() > 1e-6


def detached(state: object) -> object:
    if isinstance(state, Tensor):
        return state.detach()
    parts = [detached(part) for part in state]
    return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)


def gradient(contexts: Tensor, queries: Tensor) -> Tensor:
    weights = torch.arange(contexts.numel()).reshape(contexts.shape).cos()
    return torch.autograd.grad((contexts * weights).sum(), queries)[0]


@each_option
def test_a_reading_put_on_a_trained_module_is_the_one_it_could_have_been_built_with(
    mechanism, option
):
    trained = mechanism.config.build(QUERY, MEMORY).double()
    built = reading(mechanism.config, option).build(QUERY, MEMORY).double()
    built.load_state_dict(trained.state_dict())  # strict: a reading owns no parameters
    trained.reading = option
    assert trained.reading == option
    queries, memory, mask = inputs()
    actual, true = (run(m, queries, m.start(memory, mask))[1] for m in (trained, built))
    assert torch.equal(actual, true)


def test_a_window_stays_with_what_was_read_before():
    """Energies call for the far end; the window lets the median go three positions a step."""
    energies, mask = torch.linspace(0, 100, 20)[None], torch.ones(1, 20, dtype=torch.bool)
    option, previous, seen = ReadingConfig(window=3), torch.zeros(1, 20), []
    for _ in range(8):
        previous = weigh(energies, mask, option, previous)
        seen.append(int(previous.argmax()))
    assert seen == [3, 6, 9, 12, 15, 18, 19, 19]


@pytest.mark.parametrize("first", ["zeros", "one_hot", "uniform"])
def test_the_first_window_lies_around_the_first_alignment_s_median(first):
    option = ReadingConfig(first=first, window=1)
    memory = torch.full((*MASK.shape, MEMORY), math.nan)
    before = first_alignment(memory, MASK, option)
    read = weigh(torch.zeros(MASK.shape), MASK, option, before) > 0
    middles = [2, 0, 4, 0] if first == "uniform" else [0, 0, 0, 0]
    for row, centre, length in zip(read.tolist(), middles, LENGTHS.tolist(), strict=True):
        near = range(max(0, centre - 1), min(length, centre + 2))
        assert [n for n, seen in enumerate(row) if seen] == list(near)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.integers(0, 5))
def test_the_median_is_the_first_position_up_to_which_half_lies(parts, padding):
    alignment = torch.tensor([*parts, *[0] * padding], dtype=torch.float32)[None]
    total = sum(parts)
    halves = [n for n in range(len(parts)) if 2 * sum(parts[: n + 1]) >= total]
    expected = halves[0] if total else 0
    assert median(alignment / max(total, 1)).tolist() == [expected]


@pytest.mark.parametrize("size", [2, 6, 10, 14, 1000, 2500])
def test_rounding_does_not_decide_a_tie_of_the_median(size):
    """An even alignment of even length: the sum of its first half may round to less than 1/2."""
    for dtype in (torch.float32, torch.float64):
        alignment = torch.full((1, size), 1 / size, dtype=dtype)
        assert median(alignment).tolist() == [size // 2 - 1]


def test_of_equal_energies_the_same_are_kept_whatever_the_padding():
    energies, option = torch.tensor([[1.0, 3.0, 1.0, 1.0, 0.0]]), ReadingConfig(keep_top=2)
    for padding in (0, 1, 20):
        padded = torch.nn.functional.pad(energies, (0, padding), value=9.0)
        mask = length_mask(torch.tensor([5]), 5 + padding)
        kept = weigh(padded, mask, option)[0, :5] > 0
        assert kept.tolist() == [True, True, True, True, False]


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"sharpening": 0.0}, "sharpening: 0.0"),
        ({"sharpening": -2.0}, "sharpening: -2.0"),
        ({"sharpening": math.inf}, "sharpening: inf"),
        ({"sharpening": math.nan}, "sharpening: nan"),
        ({"keep_top": 0}, "keep_top: 0"),
        ({"window": -1}, "window: -1"),
    ],
)
def test_readings_that_make_no_sense_are_refused(numbers, message):
    with pytest.raises(ConfigError, match=message):
        ReadingConfig(**numbers)


@each_option
def test_a_reading_goes_to_plain_data_and_back(mechanism, option):
    config = reading(mechanism.config, option)
    assert type(config).from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_a_config_from_before_there_were_readings_reads_plainly():
    config = LocationSensitiveConfig.from_dict({"kind": "location_sensitive", "dim": 128})
    assert config == LocationSensitiveConfig()
    assert config.reading == ReadingConfig()
