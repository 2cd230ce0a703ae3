"""Losses against a loop over items in NumPy; padding never counts."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from padding_law import TOLERANCE
from tiny_tacotron import BINS, MELS, TINY, tiny_batch, tiny_model, without_dropout
from torch import Tensor

from speechseq.batch import TTSBatch
from speechseq.errors import ConfigError
from speechseq.models.loss_terms import fade, guided_attention_loss
from speechseq.models.losses import TacotronLoss, TacotronLossConfig, stop_loss
from speechseq.models.tacotron_output import TacotronOutput
from speechseq.nn.masks import length_mask

TOKENS, FRAMES = (4, 2, 3), (7, 9, 4)
EVERYTHING = TacotronLossConfig(
    mse=1.0,
    l1=0.5,
    linear=0.7,
    low_frequency_share=0.25,
    low_frequency_bins=4,
    stop=0.9,
    stop_positive_weight=5.0,
    guide=2.0,
    guide_sigma=0.3,
)


def made_up(r: int, linear: bool, dtype=torch.float64, seed: int = 0) -> tuple:
    """A random output of r frames a step, and the batch that it was made for."""
    g = torch.Generator().manual_seed(seed)
    batch = tiny_batch(TOKENS, FRAMES)
    steps = torch.tensor([math.ceil(n / r) for n in FRAMES])
    size, longest = int(steps.max()), int(steps.max()) * r

    def noise(*shape: int) -> Tensor:
        return torch.randn(len(FRAMES), *shape, generator=g, dtype=dtype)

    energies = noise(size, max(TOKENS))
    mask = length_mask(batch.token_lengths)[:, None]
    output = TacotronOutput(
        mel_before=noise(longest, MELS),
        mel_after=noise(longest, MELS),
        log_magnitude=noise(longest, BINS) if linear else None,
        stop_logits=noise(size),
        alignment=energies.masked_fill(mask.logical_not(), -torch.inf).softmax(-1),
        step_lengths=steps,
    )
    return output, in_type(batch, dtype)


def in_type(batch: TTSBatch, dtype: torch.dtype) -> TTSBatch:
    return dataclasses.replace(
        batch, mel=batch.mel.to(dtype), log_magnitude=batch.log_magnitude.to(dtype)
    )


def by_hand(output: TacotronOutput, batch: TTSBatch, config: TacotronLossConfig) -> dict:
    """Every term, item by item over valid positions, by its definition."""
    after, before, low, whole, stops, guides = [], [], [], [], [], []
    low_bins = config.low_frequency_bins
    for i, (frames, tokens) in enumerate(zip(FRAMES, TOKENS, strict=True)):
        true = batch.mel[i, :frames].numpy()
        before.append(output.mel_before[i, :frames].numpy() - true)
        after.append(output.mel_after[i, :frames].numpy() - true)
        if output.log_magnitude is not None:
            linear = output.log_magnitude[i, :frames] - batch.log_magnitude[i, :frames]
            whole.append(linear.abs().numpy())
            low.append(whole[-1][:, :low_bins])
        steps = int(output.step_lengths[i])
        for t in range(steps):
            p = 1 / (1 + math.exp(-float(output.stop_logits[i, t])))
            last = t == steps - 1
            stops.append(-config.stop_positive_weight * math.log(p) if last else -math.log(1 - p))
            for n in range(tokens):
                distance = (n / tokens - t / steps) ** 2
                penalty = 1 - math.exp(-distance / (2 * config.guide_sigma**2))
                guides.append(float(output.alignment[i, t, n]) * penalty)

    def mel(differences: list) -> float:
        d = np.concatenate(differences)
        return config.mse * (d**2).mean() + config.l1 * np.abs(d).mean()

    terms = {"mel_before": mel(before)}
    if output.log_magnitude is None:
        terms["mel_after"] = mel(after)
    else:
        share = config.low_frequency_share
        mean = (1 - share) * np.concatenate(whole).mean()
        mean += share * np.concatenate(low).mean() if share else 0.0
        terms["linear"] = config.linear * mean
    terms["stop"] = config.stop * np.mean(stops)
    terms["guide"] = config.guide * np.mean(guides)
    return terms


@pytest.mark.parametrize("r", [1, 2, 3, 5])
@pytest.mark.parametrize("linear", [False, True])
def test_every_term_is_its_definition_item_by_item(r, linear):
    output, batch = made_up(r, linear)
    losses = TacotronLoss(EVERYTHING)(output, batch)
    expected = by_hand(output, batch, EVERYTHING)
    assert losses.terms.keys() == expected.keys()
    for name, value in expected.items():
        assert float(losses.terms[name]) == pytest.approx(value, rel=1e-6), name
    assert float(losses.total) == pytest.approx(sum(expected.values()), rel=1e-6)


@pytest.mark.parametrize(
    "numbers",
    [
        {"low_frequency_share": 0.0},
        {"low_frequency_share": 0.5, "low_frequency_bins": 1},
        {"low_frequency_share": 1.0, "low_frequency_bins": BINS},
    ],
    ids=str,
)
def test_the_low_frequencies_get_their_share(numbers):
    config = dataclasses.replace(EVERYTHING, **numbers)
    output, batch = made_up(2, True)
    loss = TacotronLoss(config)(output, batch).terms["linear"]
    assert float(loss) == pytest.approx(by_hand(output, batch, config)["linear"], rel=1e-6)


def padded_with(output: TacotronOutput, batch: TTSBatch, garbage: float, extra: int, r: int):
    """Garbage everywhere behind the lengths, and `extra` more steps of it."""

    def behind(x: Tensor, lengths: Tensor, more: int) -> Tensor:
        whole = torch.cat([x, x.new_zeros(len(x), more, *x.shape[2:])], 1)
        valid = length_mask(lengths, whole.shape[1])
        valid = valid.reshape(*valid.shape, *[1] * (x.dim() - 2))
        return torch.where(valid, whole, garbage)

    frames, steps, r_extra = batch.frame_lengths, output.step_lengths, extra * r
    padded = TacotronOutput(
        mel_before=behind(output.mel_before, frames, r_extra),
        mel_after=behind(output.mel_after, frames, r_extra),
        log_magnitude=None
        if output.log_magnitude is None
        else behind(output.log_magnitude, frames, r_extra),
        stop_logits=behind(output.stop_logits, steps, extra),
        alignment=behind(output.alignment, steps, extra),
        step_lengths=steps,
    )
    loud = dataclasses.replace(
        batch,
        mel=behind(batch.mel, frames, r_extra),
        log_magnitude=behind(batch.log_magnitude, frames, r_extra),
    )
    return padded, loud


def parts(output: TacotronOutput) -> dict[str, Tensor]:
    names = ("mel_before", "mel_after", "log_magnitude", "stop_logits", "alignment")
    return {n: x for n in names if (x := getattr(output, n)) is not None}


def loss_and_gradients(output: TacotronOutput, batch: TTSBatch) -> tuple[Tensor, dict]:
    leaves = {n: x.clone().requires_grad_() for n, x in parts(output).items()}
    total = TacotronLoss(EVERYTHING)(dataclasses.replace(output, **leaves), batch).total
    total.backward()
    return total.detach(), {n: x.grad for n, x in leaves.items()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("garbage", [1e4, math.nan])
@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("r", [1, 3])
def test_law_1_trap_3_4_5_padding_never_counts(dtype, garbage, linear, r):
    output, batch = made_up(r, linear, dtype)
    true, gradients = loss_and_gradients(output, batch)
    actual, others = loss_and_gradients(*padded_with(output, batch, garbage, 2, r))
    torch.testing.assert_close(actual, true, rtol=TOLERANCE[dtype], atol=0)
    for name, gradient in gradients.items():
        if gradient is None:  # the mel after the post-net, where that makes a linear spectrum
            assert others[name] is None
            continue
        size = gradient.shape[1]
        torch.testing.assert_close(others[name][:, :size], gradient, rtol=0, atol=TOLERANCE[dtype])
        assert not others[name][:, size:].any(), name


@pytest.mark.parametrize("garbage", [math.inf, math.nan])
def test_trap_6_garbage_in_the_padding_leaves_every_gradient_finite(garbage):
    output, batch = padded_with(*made_up(2, True), garbage, 1, 2)
    total, gradients = loss_and_gradients(output, batch)
    assert torch.isfinite(total)
    assert all(torch.isfinite(g).all() for g in gradients.values() if g is not None)


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("r", [1, 3])
def test_trap_6_nan_in_a_batch_s_padding_leaves_the_model_s_gradients_as_they_are(name, r):
    config = without_dropout(TINY[name](reduction_factor=r))
    gradients = []
    for fill, extra in ((0.0, 0), (math.nan, 5)):
        torch.manual_seed(0)
        model = tiny_model(config).train()
        batch = tiny_batch(TOKENS, FRAMES, fill=fill, extra=extra)
        TacotronLoss(EVERYTHING)(model(batch), batch).total.backward()
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.numel()})
    for parameter, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][parameter], gradient, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", TINY)
def test_every_parameter_learns(name):
    model = tiny_model(TINY[name]()).train()
    batch = tiny_batch()
    TacotronLoss(EVERYTHING)(model(batch), batch).total.backward()
    # what a batch norm takes away again, a bias before it, has no gradient but rounding errors
    asked = {n: p for n, p in model.named_parameters() if not n.endswith("conv.bias")}
    assert not [n for n, p in asked.items() if p.grad is None or not p.grad.any()]


@pytest.mark.parametrize("length", [1, 2, 5])
def test_stop_is_asked_for_at_the_last_valid_step_alone(length):
    """Logits that say so are nearly free, and ones shifted by a step are not."""
    logits = torch.full((1, 6), -20.0)
    logits[0, length - 1] = 20.0
    assert stop_loss(logits, torch.tensor([length])) < 1e-6
    if length > 1:
        assert stop_loss(logits.roll(-1, 1), torch.tensor([length])) > 3
    assert stop_loss(logits.roll(1, 1), torch.tensor([length])) > 3


def test_the_positive_weight_acts_on_the_one_step_that_ends():
    logits, lengths = torch.zeros(1, 4), torch.tensor([4])
    once, tenfold = stop_loss(logits, lengths), stop_loss(logits, lengths, 10.0)
    assert float(once) == pytest.approx(math.log(2))
    assert float(tenfold) == pytest.approx(math.log(2) * (3 + 10) / 4)


def test_guided_attention_is_least_on_the_diagonal():
    lengths = torch.tensor([8])
    diagonal, reverse = torch.eye(8)[None], torch.eye(8).flip(0)[None]
    assert guided_attention_loss(diagonal, lengths, lengths, 0.2) < 1e-6
    assert guided_attention_loss(reverse, lengths, lengths, 0.2) > 0.05


def test_guided_attention_of_a_row_follows_its_own_lengths():
    """Trap 4's cousin: a diagonal drawn from the padded sizes would punish short rows."""
    short = torch.zeros(2, 8, 8)
    short[0, :8, :8], short[1, :4, :4] = torch.eye(8), torch.eye(4)
    lengths = torch.tensor([8, 4])
    assert guided_attention_loss(short, lengths, lengths, 0.2) < 1e-6


def test_the_guide_fades():
    assert fade(500, 0.0) == 1.0
    assert fade(0, 100.0) == 1.0
    assert fade(200, 100.0) == 0.25
    output, batch = made_up(1, False)
    loss = TacotronLoss(dataclasses.replace(EVERYTHING, guide_half_life=100.0))
    first, later = (loss(output, batch, update=u).terms["guide"] for u in (0, 300))
    torch.testing.assert_close(later, first / 8)


def test_a_term_without_weight_is_not_computed():
    output, batch = made_up(1, False)
    assert "guide" not in TacotronLoss(TacotronLossConfig())(output, batch).terms


def test_a_linear_spectrum_without_a_target_is_refused_not_skipped():
    output, batch = made_up(2, True)
    bare = dataclasses.replace(batch, log_magnitude=None)
    with pytest.raises(ConfigError, match="the batch has none"):
        TacotronLoss(EVERYTHING)(output, bare)
    assert "linear" not in TacotronLoss(TacotronLossConfig(linear=0.0))(output, bare).terms


def test_a_linear_target_of_another_width_is_refused():
    output, batch = made_up(2, True)
    batch = dataclasses.replace(batch, log_magnitude=batch.log_magnitude[..., :-1])
    with pytest.raises(ConfigError, match=f"{BINS - 1} bins, the model {BINS}"):
        TacotronLoss(TacotronLossConfig())(output, batch)


def test_a_low_frequency_share_needs_bins():
    with pytest.raises(ConfigError, match="low_frequency_bins"):
        TacotronLossConfig(low_frequency_share=0.5)


def test_losses_are_float32_at_least_under_mixed_precision():
    output, batch = made_up(1, False)
    half = dataclasses.replace(output, **{n: x.bfloat16() for n, x in parts(output).items()})
    losses = TacotronLoss(EVERYTHING)(half, in_type(batch, torch.float32))
    assert {term.dtype for term in losses.terms.values()} == {torch.float32}
