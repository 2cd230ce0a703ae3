"""What holds for each mechanism that continues where it was: its first numbers, moves and ends."""

import math
import os

import pytest
import torch
from attention_mechanisms import MECHANISMS, MEMORY, QUERY, inputs, run
from relative_mechanisms import beta_binomial
from torch import Tensor
from torch.nn import functional as F

from speechseq.errors import ConfigError
from speechseq.nn.attention import dynamic_convolution
from speechseq.nn.attention.dynamic_convolution import DynamicConvolutionConfig
from speechseq.nn.attention.forward import ForwardConfig
from speechseq.nn.attention.gmm import GMMConfig
from speechseq.nn.attention.reading import ReadingConfig
from speechseq.nn.attention.stepwise_monotonic import StepwiseMonotonicConfig
from speechseq.nn.masks import length_mask

UPDATES = int(os.environ.get("SPEECHSEQ_ATTENTION_UPDATES", "60"))
BY_WEIGHTS = [m for m in MECHANISMS if m.weights is not None]
each_relative = pytest.mark.parametrize("mechanism", BY_WEIGHTS, ids=lambda m: m.name)
STEPWISE = StepwiseMonotonicConfig(dim=5)


def text(positions: int, batch: int = 1) -> tuple[Tensor, Tensor]:
    """A random memory without padding."""
    mask = torch.ones(batch, positions, dtype=torch.bool)
    return torch.randn(batch, positions, MEMORY), mask


@each_relative
def test_gradients_are_finite_over_many_random_updates(mechanism):
    """The queries grow and shrink by orders of magnitude; 10,000 updates by the variable."""
    module = mechanism.config.build(QUERY, MEMORY)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.02)
    for update in range(UPDATES):
        queries, memory, mask = inputs(torch.float32)
        queries = (10.0 ** (update % 5 - 2) * queries).requires_grad_()
        memory.requires_grad_()
        contexts, weights, _ = run(module, queries, module.start(memory, mask))
        loss = (contexts * torch.randn_like(contexts)).sum() + weights.clamp(min=1e-9).log().mean()
        optimizer.zero_grad()
        loss.backward()
        parameters = {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
        for name, gradient in {
            **parameters,
            "queries": queries.grad,
            "memory": memory.grad,
        }.items():
            assert gradient.isfinite().all(), (update, name)
        optimizer.step()


@each_relative
@pytest.mark.parametrize("size", [1e2, 1e6, 1e30])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_queries_of_any_size_give_a_distribution_and_finite_gradients(mechanism, size, dtype):
    module, (queries, memory, mask) = (
        mechanism.config.build(QUERY, MEMORY).to(dtype),
        inputs(dtype),
    )
    queries = (size * queries).requires_grad_()
    contexts, weights, _ = run(module, queries, module.start(memory, mask))
    assert weights.dtype == torch.float32
    torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:2]), rtol=0, atol=1e-5)
    assert not weights[~mask.unsqueeze(1).expand_as(weights)].any()
    contexts.float().sum().backward()
    assert queries.grad.isfinite().all()


@each_relative
def test_all_weight_stays_within_a_short_text_over_many_steps(mechanism):
    """A row whose text has long been left keeps a distribution on its valid positions."""
    module, (memory, _) = mechanism.config.build(QUERY, MEMORY), text(9, batch=2)
    mask = length_mask(torch.tensor([2, 9]))
    with torch.no_grad():
        _, weights, _ = run(module, torch.randn(400, 2, QUERY), module.start(memory, mask))
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 400), rtol=0, atol=1e-5)
    assert not weights[0, :, 2:].any()


def test_v2b_begins_with_steps_of_one_position_and_widths_of_ten():
    config = GMMConfig(mixtures=4)
    module, (memory, mask) = config.build(512, MEMORY), text(30, batch=50)
    query = torch.randn(50, 512)
    _, _, state = module(query, module.start(memory, mask))
    torch.testing.assert_close(state.means, torch.ones(50, 4), rtol=0, atol=0.3)
    raw = module.mixture(torch.tanh(module.hidden(query)))
    torch.testing.assert_close(F.softplus(raw[:, 8:]), torch.full((50, 4), 10.0), rtol=0, atol=0.5)


@pytest.mark.parametrize("version", ["graves", "v2b"])
def test_means_of_a_gmm_move_forward_alone_and_end_on_the_last_position(version):
    module, (memory, mask) = GMMConfig(version=version).build(QUERY, MEMORY), text(6)
    state, before = module.start(memory, mask), torch.zeros(1, 5)
    for query in 3 * torch.randn(60, 1, QUERY):
        _, weights, state = module(query, state)
        assert (state.means > before).all()
        before = state.means
    assert weights.argmax() == 5


def test_the_prior_of_dynamic_convolution_is_a_beta_binomial():
    like = torch.zeros(1, dtype=torch.float64)
    prior = dynamic_convolution.beta_binomial(11, 0.1, 0.9, like)
    expected = torch.tensor(beta_binomial(10, 0.1, 0.9), dtype=torch.float64)
    torch.testing.assert_close(prior, expected, rtol=1e-12, atol=0)
    assert float(prior.sum()) == pytest.approx(1)
    assert float(prior @ torch.arange(11.0).double()) == pytest.approx(1)  # positions a step


def test_dynamic_convolution_begins_at_the_first_position_and_moves_within_its_prior():
    config = DynamicConvolutionConfig(dim=5)
    module, (memory, mask) = config.build(QUERY, MEMORY).double(), text(40)
    torch.nn.init.zeros_(module.energy.weight)  # the prior alone
    state = module.start(memory.double(), mask)
    assert state.previous[0].tolist() == [1.0] + [0.0] * 39
    _, weights, _ = module(torch.randn(1, QUERY).double(), state)
    expected = torch.full((40,), 1e-6, dtype=torch.float64)
    expected[:11] = torch.tensor(beta_binomial(10, 0.1, 0.9), dtype=torch.float64)
    torch.testing.assert_close(weights[0], expected / expected.sum(), rtol=1e-9, atol=0)


@pytest.mark.parametrize("agent", [False, True])
def test_forward_attention_reaches_one_position_more_each_step(agent):
    config = ForwardConfig(dim=5, filters=3, kernel=5, transition_agent=agent)
    module, (memory, mask) = config.build(QUERY, MEMORY), text(12)
    _, weights, _ = run(module, torch.randn(8, 1, QUERY), module.start(memory, mask))
    for step in range(8):
        assert (weights[0, step, : step + 2] > 0).all()
        assert not weights[0, step, step + 2 :].any()


def test_a_transition_agent_decides_on_the_next_step_alone():
    config = ForwardConfig(dim=5, filters=3, kernel=5, transition_agent=True)
    module, (memory, mask) = config.build(QUERY, MEMORY), text(6)
    torch.nn.init.zeros_(module.energy.weight)
    torch.nn.init.zeros_(module.transition.weight)
    state, query = module.start(memory, mask), torch.randn(1, QUERY)
    for bias, now in ((20.0, [0.5, 0.5, 0]), (-20.0, [0, 0.5, 0.5])):
        torch.nn.init.constant_(module.transition.bias, bias)
        _, weights, state = module(query, state)
        torch.testing.assert_close(weights[0, :3], torch.tensor(now), rtol=0, atol=1e-6)
    _, weights, _ = module(query, state)  # now the one of -20 serves: attention stays
    torch.testing.assert_close(weights[0, :3], torch.tensor([0, 0.5, 0.5]), rtol=0, atol=1e-6)


def test_forward_attention_stays_on_the_last_position_however_sure_the_agent_is_to_move():
    config = ForwardConfig(dim=5, filters=3, kernel=5, transition_agent=True)
    module, (memory, mask) = config.build(QUERY, MEMORY), text(3)
    torch.nn.init.constant_(module.transition.bias, 1e4)
    _, weights, _ = run(module, torch.randn(9, 1, QUERY), module.start(memory, mask))
    torch.testing.assert_close(weights[0, -1], torch.tensor([0.0, 0.0, 1.0]), rtol=0, atol=1e-5)


def test_stepwise_attention_is_hard_in_evaluation_and_moves_by_one_position_at_most():
    module, (memory, mask) = STEPWISE.build(QUERY, MEMORY).eval(), text(7, batch=5)
    module.stay.data.zero_()
    with torch.no_grad():
        start = module.start(memory, mask)
        _, weights, _ = run(module, 5 * torch.randn(40, 5, QUERY), start)
    assert set(weights.unique().tolist()) == {0.0, 1.0}
    places = torch.cat([torch.zeros(5, 1), weights.argmax(2)], 1).diff(dim=1)
    assert set(places.unique().tolist()) == {0.0, 1.0}  # the first step may move already
    assert (weights[:, -1].argmax(1) == 6).all()


@pytest.mark.parametrize(("stay", "expected"), [(0.1, 0), (0.0, 1), (-0.1, 1)])
def test_stepwise_attention_stays_where_staying_is_likelier(stay, expected):
    module, (memory, mask) = STEPWISE.build(QUERY, MEMORY).eval(), text(3)
    torch.nn.init.zeros_(module.energy.weight)
    torch.nn.init.constant_(module.stay, stay)
    _, weights, _ = module(torch.randn(1, QUERY), module.start(memory, mask))
    assert weights[0].argmax() == expected


def test_noise_of_stepwise_attention_is_there_in_training_only():
    module, (memory, mask) = STEPWISE.build(QUERY, MEMORY), text(5)
    queries, start = torch.randn(6, 1, QUERY), module.start(memory, mask)
    noisy = [run(module, queries, start)[1] for _ in range(2)]
    assert module.draws
    assert not torch.equal(*noisy)
    module.eval()
    before = torch.get_rng_state()
    quiet = [run(module, queries, start)[1] for _ in range(2)]
    assert torch.equal(*quiet)
    assert torch.equal(torch.get_rng_state(), before)


def test_rounding_of_stepwise_attention_does_not_add_up():
    module, (memory, mask) = STEPWISE.build(QUERY, MEMORY), text(500)
    with torch.no_grad():
        _, weights, _ = run(module, torch.randn(1500, 1, QUERY), module.start(memory, mask))
    torch.testing.assert_close(weights.sum(-1), torch.ones(1, 1500), rtol=0, atol=1e-6)


@pytest.mark.parametrize("config", [m.config for m in BY_WEIGHTS], ids=lambda c: c.kind)
def test_what_can_only_move_forward_says_so(config):
    assert config.build(QUERY, MEMORY).monotonic == (config.kind != "dynamic_convolution")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DynamicConvolutionConfig(static_kernel=4), "static_kernel: 4 is even"),
        (lambda: DynamicConvolutionConfig(dynamic_kernel=4), "dynamic_kernel: 4 is even"),
        (lambda: DynamicConvolutionConfig(prior_length=0), "prior_length: 0"),
        (lambda: DynamicConvolutionConfig(prior_alpha=0.0), "prior_alpha: 0"),
        (lambda: ForwardConfig(kernel=4), "kernel: 4 is even"),
        (lambda: GMMConfig.from_dict({"version": "v3"}), "version: 'v3' is none of"),
        (lambda: GMMConfig(mixtures=0), "mixtures: 0"),
        (lambda: StepwiseMonotonicConfig(noise=-1.0), "noise: -1"),
        (lambda: StepwiseMonotonicConfig(stay=math.nan), "stay: nan"),
        (lambda: StepwiseMonotonicConfig(reading=ReadingConfig(window=3)), "reading: stepwise"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
