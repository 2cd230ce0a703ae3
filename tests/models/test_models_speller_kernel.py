"""A search's step in one kernel: what torch's operations make, hypothesis for hypothesis."""

import copy
import math

import pytest
import torch
from torch import Tensor

from speechseq.models.backends import speller_cpp
from speechseq.models.backends.speller_cpp import KERNELS, CppSpelled, CppSpeller, CppState
from speechseq.models.speller import Spelled, Speller, SpellerConfig
from speechseq.nn.attention.content import ContentConfig
from speechseq.nn.attention.dot import DotConfig
from speechseq.nn.attention.location_sensitive import LocationSensitiveConfig
from speechseq.nn.attention.reading import ReadingConfig
from speechseq.nn.masks import length_mask
from speechseq.nn.rows import regroup_rows
from speechseq.ops.cpp.library import library
from speechseq.text.vocabulary import BLANK, PAD, SOS

there = pytest.mark.skipif(library(KERNELS) is None, reason="this machine has no C++ compiler")
SYMBOLS, MEMORY, LENGTHS = 37, 11, (19, 7, 12)


def speller(**numbers) -> Speller:
    config = SpellerConfig(**{"embedding": 6, "layers": 2, "hidden": 21, **numbers})
    return config.build(SYMBOLS, MEMORY).eval()


def located(history: str, **numbers) -> LocationSensitiveConfig:
    numbers = {"dim": 20, "filters": 5, "kernel": 9, **numbers}
    return LocationSensitiveConfig(history=history, **numbers)


SHARP = ReadingConfig(sharpening=2.0, first="one_hot")
VARIANTS = {
    "previous": {"attention": located("previous")},
    "cumulative": {"attention": located("previous_and_cumulative", filters=33, kernel=41)},
    "content": {"attention": ContentConfig(dim=37)},
    "sharp": {"attention": located("previous_and_cumulative", reading=SHARP)},
    "one layer": {"layers": 1, "hidden": 16, "attention": ContentConfig(dim=16)},
    "three layers, deep": {"layers": 3, "output": 35, "attention": located("previous", dim=5)},
    "wide": {"hidden": 70, "embedding": 9, "attention": located("previous", dim=128, kernel=3)},
}
variants = pytest.mark.parametrize("name", VARIANTS)
# (parents of the hypotheses, utterances that stay): grows to 4 hypotheses, loses the second
MOVES = [
    ([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2], None),
    ([1, 0, 1, 3, 4, 4, 4, 4, 11, 10, 9, 8], None),
    ([0, 3, 3, 0, 9, 8, 9, 9], [0, 2]),
    ([7, 7, 6, 4], [1]),
]


def memory(lengths: tuple[int, ...] = LENGTHS, garbage: float = 0.0) -> tuple[Tensor, Tensor]:
    generator, longest = torch.Generator().manual_seed(1), max(lengths) + (garbage != 0)
    memories = torch.full((len(lengths), longest, MEMORY), garbage)
    for row, length in enumerate(lengths):
        memories[row, :length] = torch.randn(length, MEMORY, generator=generator)
    return memories, length_mask(torch.tensor(lengths), longest)


def walk(
    module: Speller, given: tuple[Tensor, Tensor], dtype: torch.dtype = torch.float32
) -> list[Spelled] | list[CppSpelled]:
    """The steps of a search that goes as MOVES say."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        speller = module.prepare()
        state = speller.start(given[0].to(dtype), given[1])
        token, spelled = torch.full((len(given[0]),), SOS), []
        for parents, stay in [*MOVES, (None, None)]:
            spelled.append(speller.step(token, state))
            state = spelled[-1].state
            if parents:
                utterances = None if stay is None else torch.tensor(stay)
                state = regroup_rows(state, torch.tensor(parents), utterances)
                token = torch.randint(4, SYMBOLS, (len(parents),), generator=generator)
    return spelled


def assert_same(actual: list, true: list, tolerance: float = 1e-5) -> None:
    for own, other in zip(actual, true, strict=True):
        for part in ("log_probs", "weights"):
            a, b = getattr(own, part), getattr(other, part)
            assert a.dtype == torch.float32
            torch.testing.assert_close(a.double(), b.double(), rtol=tolerance, atol=tolerance)


@there
@variants
def test_every_step_is_that_of_torch_s_operations(name):
    module = speller(**VARIANTS[name])
    steps = walk(module, memory())
    assert isinstance(steps[0].state, CppState)
    true = walk(copy.deepcopy(module).double(), memory(), torch.float64)
    assert not isinstance(true[0].state, CppState)
    assert_same(steps, true)
    assert float(steps[-1].weights.std()) > 1e-3  # not all the same, whatever goes in


@there
@variants
@pytest.mark.parametrize("garbage", [1e4, math.nan])
def test_law_1_what_stands_in_the_padding_changes_nothing(name, garbage):
    module = speller(**VARIANTS[name])
    actual, true = walk(module, memory(garbage=garbage)), walk(module, memory())
    assert not any(spelled.weights[:, -1].any() for spelled in actual)
    assert_same([own._replace(weights=own.weights[:, :-1]) for own in actual], true, 1e-6)


@there
@variants
def test_threads_change_no_bit(name):
    module, results = speller(**VARIANTS[name]), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        results.append(walk(module, memory()))
    for own, other in zip(*results, strict=True):
        assert torch.equal(own.log_probs, other.log_probs)
        assert torch.equal(own.weights, other.weights)


@there
@torch.no_grad()
def test_hypotheses_alone_are_those_of_a_beam_bit_for_bit():
    """Also where several continue one, whose products are made once for all of them."""
    module, given = speller(attention=located("previous_and_cumulative")), memory()
    own, sos = module.prepare(), torch.full((3,), SOS)
    first = own.step(sos, own.start(*given))
    rows, tokens = torch.tensor([0, 0, 1, 1, 2, 2]), torch.arange(4, 10)
    beam = own.step(tokens, regroup_rows(first.state, rows, None))
    for row in range(6):
        utterance = rows[row : row + 1]
        one = regroup_rows(first.state, utterance, utterance)
        alone = own.step(tokens[row : row + 1], one)
        assert torch.equal(alone.log_probs[0], beam.log_probs[row])
        assert torch.equal(alone.weights[0], beam.weights[row])


@there
@torch.no_grad()
def test_a_state_is_a_value_that_no_later_step_changes():
    module, given = speller(), memory()
    own, tokens = module.prepare(), torch.tensor([SOS] * 3)
    state = own.step(tokens, own.start(*given)).state
    first = own.step(tokens, state)
    again = own.step(tokens, state)
    assert torch.equal(first.log_probs, again.log_probs)


@there
@torch.no_grad()
@pytest.mark.parametrize("count", [2, 4, 6])
def test_tokens_that_do_not_fit_the_hypotheses_are_refused(count):
    """The kernel trusts its counts: with others it would read beyond its rows."""
    module, given = speller(), memory()
    own = module.prepare()
    state = own.step(torch.tensor([SOS] * 3), own.start(*given)).state
    with pytest.raises(ValueError, match=f"{count} tokens for 3 hypotheses of 3 utterances"):
        own.step(torch.full((count,), SOS), state)


@there
@torch.no_grad()
@pytest.mark.parametrize("size", [30.0, 1e3, 1e30, math.inf, math.nan])
@pytest.mark.parametrize("parts", [["query"], ["key"], ["query", "key"]], ids=" and ".join)
def test_huge_and_broken_numbers_end_as_in_torch(size, parts, monkeypatch):
    """e^2x of what is large is infinite, or zero, and their product is no number."""
    module, results = speller(attention=ContentConfig(dim=8)), []
    for part in parts:
        weight = getattr(module.core.attention, part).weight
        weight.copy_(size * torch.randn_like(weight).sign())
    for _ in range(2):
        results.append(walk(module, memory())[1])
        monkeypatch.setattr(speller_cpp, "supported", lambda *parts: False)
    own, other = results
    valid = memory()[1].repeat_interleave(4, 0)  # padding has no weight in a broken row either
    assert not own.weights[~valid].any()
    pairs = [(own.log_probs, other.log_probs), (own.weights[valid], other.weights[valid])]
    for ours, theirs in pairs:
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4, equal_nan=True)


@there
@torch.no_grad()
def test_what_is_never_written_has_no_probability_and_all_else_sums_to_one():
    for spelled in walk(speller(), memory()):
        assert (spelled.log_probs[:, [PAD, SOS, BLANK]] < -1e29).all()
        total = spelled.log_probs.double().exp().sum(1)
        torch.testing.assert_close(total, torch.ones_like(total), rtol=1e-6, atol=1e-6)


@there
def test_everything_else_goes_torch_s_way():
    def kernel_of(module: Speller) -> bool:
        return isinstance(module.prepare(), CppSpeller)

    assert not kernel_of(speller())  # gradients are asked for
    with torch.no_grad():
        assert kernel_of(speller())
        assert not kernel_of(speller().train())
        drops_outputs = speller(dropout=0.5)
        drops_outputs.training = True
        assert not kernel_of(drops_outputs)
        assert not kernel_of(speller().double())
        assert not kernel_of(speller().bfloat16())
        assert not kernel_of(speller(attention=DotConfig(dim=4)))
        for reading in (ReadingConfig(window=3), ReadingConfig(smoothing=True)):
            assert not kernel_of(speller(attention=ContentConfig(reading=reading)))
        with torch.autocast("cpu", torch.bfloat16):
            assert not kernel_of(speller())


@there
def test_without_a_compiler_a_search_is_the_same(monkeypatch):
    module = speller(attention=located("previous"))
    steps = walk(module, memory())
    for room in ("models.backends.speller_cpp", "ops.deferred_linear", "ops.additive"):
        monkeypatch.setattr(f"speechseq.{room}.library", lambda name: None)
        monkeypatch.setattr(f"speechseq.{room}.call", None)
    plain = walk(module, memory())
    assert not isinstance(plain[0].state, CppState)
    assert_same(steps, plain, 2e-5)
