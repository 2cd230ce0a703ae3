"""Contract of every style: four calls, alone as in a batch, repeatable by seed, set by hand."""

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from speechseq.config import Config
from speechseq.errors import ConfigError
from speechseq.models.style import builders
from speechseq.models.style.banks import LinearBankConfig, TokenBankConfig
from speechseq.models.style.matching import SinkhornConfig
from speechseq.models.style.posteriors import DirichletConfig, LaplaceConfig, PointConfig
from speechseq.models.style.priors import DirichletPriorConfig, GlowConfig, MAFConfig
from speechseq.models.style.reference import ReferenceConfig
from speechseq.models.style.style import Style, StyleConfig

MELS = 12
SMALL = ReferenceConfig(filters=(4, 6, 8), gru=10)
TOKENS = TokenBankConfig(tokens=5, heads=2, style_dim=8)
LINEAR = LinearBankConfig(style_dim=8)
# a stranger's joint enters here with one line
STYLES = {
    "gst": builders.gst(tokens=5, heads=2, style_dim=8),
    "prosody_transfer": builders.prosody_transfer(dim=6),
    "autoencoder": builders.autoencoder(dim=4, style_dim=8),
    "vae": builders.vae(dim=4, style_dim=8),
    "capacitron": builders.capacitron(capacity=3.0, dim=4, style_dim=8),
    "gmvae": builders.gmvae(components=3, dim=4, style_dim=8),
    "wae_mmd": builders.wae_mmd(dim=4, style_dim=8),
    "flow_vae": builders.flow_vae(dim=4, style_dim=8),
    "iaf_vae": builders.iaf_vae(dim=4, style_dim=8),
    "laplace": StyleConfig(posterior=LaplaceConfig(dim=4), bank=LINEAR, prior=MAFConfig()),
    "glow": StyleConfig(posterior=PointConfig(dim=4), bank=LINEAR, prior=GlowConfig()),
    "sinkhorn": StyleConfig(
        posterior=PointConfig(dim=4), bank=LINEAR, penalty=SinkhornConfig(weight=2.0)
    ),
    "dirichlet": StyleConfig(
        posterior=DirichletConfig(tokens=5, heads=2),
        bank=dataclasses.replace(TOKENS, queried=False),
        prior=DirichletPriorConfig(),
    ),
}
LENGTHS = torch.tensor([17, 1, 8, 24])
each_style = pytest.mark.parametrize("config", STYLES.values(), ids=STYLES)


def build(config: StyleConfig, dtype: torch.dtype = torch.float32) -> Style:
    torch.manual_seed(3)
    return dataclasses.replace(config, reference=SMALL).build(MELS).to(dtype).eval()


def mels(padding: float, extra: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    own = torch.Generator().manual_seed(5)
    mel = torch.randn(4, int(LENGTHS.max()), MELS, dtype=dtype, generator=own)
    mel = torch.cat([mel, mel.new_zeros(4, extra, MELS)], dim=1)
    for row, length in enumerate(LENGTHS.tolist()):
        mel[row, length:] = padding
    return mel


@each_style
@pytest.mark.parametrize("padding", [1e4, math.nan])
@pytest.mark.parametrize("seed", [None, 7])
def test_a_reference_alone_is_its_row_in_any_batch(config, padding, seed):
    style = build(config, torch.float64)
    mel = mels(padding, extra=9, dtype=torch.float64).requires_grad_()
    batch = style.encode(mel, LENGTHS, seed=seed)
    (gradient,) = torch.autograd.grad(batch.vector.square().sum(), mel)
    for row, length in enumerate(LENGTHS.tolist()):
        own = mel[row : row + 1, :length].detach().clone().requires_grad_()
        alone = style.encode(own, LENGTHS[row : row + 1], seed=seed)
        torch.testing.assert_close(alone.code[0], batch.code[row], rtol=0, atol=1e-10)
        torch.testing.assert_close(alone.vector[0], batch.vector[row], rtol=0, atol=1e-10)
        (own_gradient,) = torch.autograd.grad(alone.vector.square().sum(), own)
        torch.testing.assert_close(own_gradient[0], gradient[row, :length], rtol=0, atol=1e-10)
        assert not gradient[row, length:].any()


@each_style
def test_in_training_padding_changes_no_statistics(config):
    results = []
    for padding, extra in ((0.0, 0), (1e4, 5), (math.nan, 40)):
        style = build(config, torch.float64).train()
        torch.manual_seed(1)
        latent = style.encode(mels(padding, extra, torch.float64), LENGTHS)
        results.append((latent.code, latent.vector, *style.state_dict().values()))
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            torch.testing.assert_close(one, two, rtol=0, atol=1e-9)


@each_style
def test_setting_a_code_by_hand_gives_its_vector(config):
    style = build(config)
    latent = style.encode(mels(0.0), LENGTHS, seed=2)
    by_hand = style.by_hand(latent.code)
    torch.testing.assert_close(by_hand.vector, latent.vector, rtol=0, atol=1e-6)
    torch.testing.assert_close(style.by_hand(latent.code, scale=2.5).vector, 2.5 * latent.vector)
    assert latent.code.shape == (4, *style.code_shape)
    assert latent.vector.shape == (4, style.style_dim)


@each_style
def test_samples_repeat_by_seed_and_row_and_leave_the_global_generator(config):
    style, mel = build(config), mels(0.0)
    state = torch.random.get_rng_state()
    many, few = style.sample(6, seed=11), style.sample(3, seed=11)
    assert torch.equal(many.code[:3], few.code)
    assert len({tuple(row.flatten().tolist()) for row in many.code}) == 6
    assert not torch.equal(style.sample(3, seed=12).code, few.code)
    chosen = style.sample(2, seed=[5, 5])
    assert torch.equal(chosen.code[0], chosen.code[1])
    style.encode(mel, LENGTHS, seed=4)
    assert torch.equal(state, torch.random.get_rng_state())
    torch.testing.assert_close(style.by_hand(many.code).vector, many.vector)


@each_style
def test_without_a_seed_evaluation_takes_the_mean_and_training_draws(config):
    style = build(config)
    with torch.no_grad():
        one, two = (style.encode(mels(0.0), LENGTHS) for _ in range(2))
        assert torch.equal(one.code, two.code)
        if one.posterior is None:
            return
        style.train()
        drawn = [style.encode(mels(0.0), LENGTHS).code for _ in range(2)]
    assert not torch.equal(*drawn)


@each_style
def test_the_default_is_the_exact_mean_of_the_codes_of_training(config):
    style, codes = build(config).train(), []
    with torch.no_grad():
        for size in (4, 1, 3):
            codes.append(style.encode(mels(0.0)[:size], LENGTHS[:size]).code)
    every = torch.cat(codes)
    torch.testing.assert_close(style.mean_code, every.mean(0))
    torch.testing.assert_close(style.code_sd, every.std(0, correction=0), rtol=1e-4, atol=1e-6)
    before = {name: value.clone() for name, value in style.state_dict().items()}
    style.eval()
    with torch.no_grad():
        style.encode(mels(0.0), LENGTHS, seed=1)
        style.sample(2, seed=1)
    assert all(torch.equal(before[name], value) for name, value in style.state_dict().items())
    default = style.default(2)
    torch.testing.assert_close(default.code, every.mean(0).expand(2, *style.code_shape))
    torch.testing.assert_close(style.by_hand(default.code).vector, default.vector)


@each_style
def test_penalties_are_finite_and_reach_the_encoder(config):
    style = build(config).train()
    latent = style.encode(mels(math.nan), LENGTHS)
    terms = style.penalty(latent, update=10**6)
    assert set(terms) <= {"kl", "mmd", "capacity", "sinkhorn"}
    if not terms:
        return
    sum(terms.values()).backward()
    gradients = [p.grad for p in style.reference.parameters()]
    assert all(g is not None and bool(g.isfinite().all()) for g in gradients)
    assert any(bool(g.any()) for g in gradients)


@each_style
def test_plain_data_describes_a_style(config):
    joints = (config.reference, config.posterior, config.bank, config.prior, config.penalty)
    assert StyleConfig.from_dict(config.to_dict(), also=[type(j) for j in joints]) == config


@each_style
@pytest.mark.parametrize("wrong", ["size", "nan", "flat"])
def test_a_wrong_code_is_refused(config, wrong):
    style = build(config)
    code = style.default(2).code.clone()
    code = {
        "size": lambda: torch.cat([code, code], dim=-1),
        "nan": lambda: code * math.nan,
        "flat": lambda: code[0, ..., 0].flatten(),
    }[wrong]()
    with pytest.raises(ConfigError):
        style.by_hand(code)


def test_weights_of_tokens_lie_on_the_simplex():
    style = build(STYLES["gst"])
    one = torch.tensor([[0.0, 0.25, 0.75, 0.0, 0.0]])
    both = one.unsqueeze(1).expand(1, 2, 5)
    torch.testing.assert_close(style.by_hand(one).vector, style.by_hand(both).vector)
    style.by_hand(one + 5e-5 * torch.tensor([1.0, 0, 0, 0, 0]))
    for wrong in (one * 1.01, one + torch.tensor([[-0.1, 0.1, 0, 0, 0]])):
        with pytest.raises(ConfigError, match="sum to"):
            style.by_hand(wrong)


def test_a_token_that_has_all_the_weight_is_that_token():
    style = build(STYLES["gst"])
    with torch.no_grad():
        value = style.bank.value(style.bank.tokens.tanh())
        alone = style.by_hand(torch.eye(5)).vector
    torch.testing.assert_close(alone, value)


def test_random_token_weights_of_the_prior_are_no_uniform_mean():
    style = build(builders.gst())
    weights = style.sample(200, seed=0).code
    entropy = -(weights * weights.clamp(min=1e-30).log()).sum(-1).mean()
    softmax = torch.softmax(torch.randn(200, 4, 10), -1)
    near_uniform = -(softmax * softmax.log()).sum(-1).mean()
    assert float(entropy) < 1.5 < 1.8 < float(near_uniform)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Halved(Config):
    """A stranger's posterior: half of the summary."""

    kind = "halved"

    def build(self, summary_dim: int) -> torch.nn.Module:
        """Build the module."""
        return HalvedPoint(summary_dim)


class HalvedPoint(torch.nn.Module):
    """The first half of the summary as the code."""

    def __init__(self, summary_dim: int) -> None:
        super().__init__()
        self.code_shape = (summary_dim // 2,)

    def forward(self, summary: Tensor):
        """Map summaries to codes."""
        from speechseq.models.style.posteriors import Inferred

        return Inferred(summary[:, : self.code_shape[0]], None)


def test_a_stranger_adds_a_joint_without_an_edit_elsewhere():
    config = StyleConfig(reference=SMALL, posterior=Halved(), bank=LINEAR)
    latent = build(config).encode(mels(0.0), LENGTHS)
    assert latent.code.shape == (4, 5)
    assert StyleConfig.from_dict(config.to_dict(), also=[Halved]) == config


@pytest.mark.parametrize(
    "joints",
    [
        {"posterior": PointConfig(), "bank": dataclasses.replace(TOKENS, queried=False)},
        {"posterior": DirichletConfig(tokens=5, heads=2), "bank": TOKENS},
        {"posterior": LaplaceConfig(), "bank": TOKENS},
    ],
)
def test_tokens_without_weights_are_refused(joints):
    with pytest.raises(ConfigError, match="queried"):
        StyleConfig(**joints)


def test_joints_of_other_shapes_are_refused():
    with pytest.raises(ConfigError, match="prior"):
        build(StyleConfig(prior=DirichletPriorConfig()))
    with pytest.raises(ConfigError, match="prior"):
        build(StyleConfig(posterior=PointConfig(), bank=TOKENS, prior=GlowConfig()))
    wrong = dataclasses.replace(TOKENS, queried=False, tokens=6)
    with pytest.raises(ConfigError, match="same numbers"):
        build(StyleConfig(posterior=DirichletConfig(tokens=5, heads=2), bank=wrong))
