"""LAS: laws 1 and 5, the papers' tables, sampling, growth, and that it learns."""

import dataclasses
from contextlib import nullcontext

import pytest
import torch
from tiny_las import FEATURES, SYMBOLS, row_of, tiny_batch, tiny_config, tiny_las
from unchecked import unchecked

from speechseq.audio.augment import SpecAugmentPolicy
from speechseq.batch import ASRBatch
from speechseq.errors import ConfigError
from speechseq.models.backends.speller_cpp import CppSpeller
from speechseq.models.las import LAS, LASConfig, las_6_1280, las_paper, las_small
from speechseq.models.las_loss import LASLoss, LASLossConfig
from speechseq.models.listener import GrowthConfig, ListenerConfig
from speechseq.models.speller import SamplingConfig, SpellerConfig
from speechseq.nn.attention.content import ContentConfig
from speechseq.nn.attention.dot import DotConfig
from speechseq.nn.masks import length_mask
from speechseq.nn.normalization import UtteranceNormConfig
from speechseq.text.vocabulary import BLANK, EOS, PAD, SOS

VARIANTS = {
    "pyramid": tiny_config(),
    "max_pool": tiny_config(
        listener=ListenerConfig(hidden=5, joining="max_pool", pyramid_layers=2)
    ),
    "convolutions": tiny_config(
        listener=ListenerConfig(convolutions=(3, 2), hidden=5, base_layers=2, pyramid_layers=0)
    ),
    "dot": tiny_config(
        speller=SpellerConfig(embedding=4, layers=1, hidden=7, attention=DotConfig(dim=5), output=3)
    ),
    "growing": tiny_config(
        listener=ListenerConfig(
            hidden=5, growth=GrowthConfig(first_layers=2, layer_every=5, pool_until=5)
        )
    ),
}
variants = pytest.mark.parametrize("name", VARIANTS)


def outcome(model: LAS, batch: ASRBatch) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Each row's valid outputs, and the gradient of its features under a sum of them all."""
    features = batch.features.clone().requires_grad_()
    output = model(dataclasses.replace(batch, features=features))
    rows = []
    for row, (tokens, positions) in enumerate(
        zip(batch.token_lengths.tolist(), output.memory_lengths.tolist(), strict=True)
    ):
        rows.append(output.log_probs[row, :tokens].clamp(min=-100))
        rows.append(output.alignment[row, :tokens, :positions])
        rows.append(output.ctc_log_probs[row, :positions].clamp(min=-100))
        assert not output.alignment[row, :tokens, positions:].any()
    # every entry counts differently, so that no two errors cancel
    sum((x * torch.cos(torch.arange(x.numel()) * 1.0).view_as(x)).sum() for x in rows).backward()
    grads = [features.grad[i, :n] for i, n in enumerate(batch.feature_lengths.tolist())]
    return rows, grads


@variants
@pytest.mark.parametrize("garbage", [1e4, float("nan")])
def test_law_1_an_utterance_alone_equals_its_row_in_a_batch(name, garbage):
    model = tiny_las(VARIANTS[name]).eval()
    batch = tiny_batch()
    together, gradients = outcome(model, tiny_batch(extra=6, garbage=garbage))
    for row in range(len(batch)):
        alone, (gradient,) = outcome(model, row_of(batch, row))
        for actual, true in zip(together[3 * row : 3 * row + 3], alone, strict=True):
            torch.testing.assert_close(actual, true, rtol=0, atol=1e-10)
        torch.testing.assert_close(gradients[row], gradient, rtol=0, atol=1e-10)


@variants
def test_law_5_teacher_forced_equals_stepwise(name):
    model, batch = tiny_las(VARIANTS[name]).eval(), tiny_batch()
    forced = model(batch)
    memory, lengths = model.encode(batch.features, batch.feature_lengths)
    state = model.speller.start(memory, length_mask(lengths, memory.shape[1]))
    before = torch.full((len(batch),), SOS)
    for step in range(batch.tokens.shape[1]):
        spelled = model.speller.step(before, state)
        torch.testing.assert_close(spelled.log_probs, forced.log_probs[:, step])
        torch.testing.assert_close(spelled.weights, forced.alignment[:, step])
        state, before = spelled.state, batch.tokens[:, step]


@variants
@pytest.mark.parametrize("few", [0, 1024], ids=["many symbols", "few symbols"])
def test_law_5_what_a_search_prepares_changes_no_step(name, few, monkeypatch):
    """Packed weights and the gates of every symbol, which a search makes once."""
    monkeypatch.setattr("speechseq.models.speller.FEW", few)
    model, batch = tiny_las(VARIANTS[name]).float().eval(), tiny_batch()
    with torch.no_grad():
        memory, lengths = model.encode(batch.features.float(), batch.feature_lengths)
        mask = length_mask(lengths, memory.shape[1])
        forced = model.speller(batch.tokens, memory, mask)
        speller = model.speller.prepare()
        state = speller.start(memory, mask)
        prepared = speller if isinstance(speller, CppSpeller) else speller.weights
        assert (prepared.gates is None) == (few == 0)
        before = torch.full_like(batch.tokens[:, 0], SOS)
        for step, token in enumerate(batch.tokens.unbind(1)):
            spelled = speller.step(before, state)
            true = forced.log_probs[:, step]
            torch.testing.assert_close(spelled.log_probs, true, rtol=1e-4, atol=1e-4)
            state, before = spelled.state, token


@variants
def test_law_5_a_changed_symbol_changes_nothing_at_or_before_its_step(name):
    model, batch = tiny_las(VARIANTS[name]).eval(), tiny_batch()
    true = model(batch).log_probs
    tokens = batch.tokens.clone()
    tokens[0, 2] = 4 + (tokens[0, 2] - 3) % (SYMBOLS - 4)
    log_probs = model(dataclasses.replace(batch, tokens=tokens)).log_probs
    assert torch.equal(log_probs[0, :3], true[0, :3])
    assert not torch.allclose(log_probs[0, 3], true[0, 3])


def test_trap_25_controls_are_apart_and_only_eos_is_ever_written():
    assert len({PAD, EOS, SOS, BLANK}) == 4
    output = tiny_las().eval()(tiny_batch())
    assert (output.log_probs[..., [PAD, SOS, BLANK]] < -1e29).all()
    assert (output.ctc_log_probs[..., [PAD, SOS, EOS]] < -1e29).all()
    for log_probs in (output.log_probs, output.ctc_log_probs):
        assert torch.isfinite(log_probs).all()
        ones = torch.ones(log_probs.shape[:2], dtype=torch.float64)
        torch.testing.assert_close(log_probs.exp().sum(-1), ones)


def test_las_paper_is_the_paper_s_table():
    model = las_paper().build(symbols=30 + 4, features=40)
    lstms = [layer.ahead for layer in model.listener.pyramid.layers]
    assert [(lstm.input_size, lstm.hidden_size) for lstm in lstms] == [
        (40, 256),
        *[(2 * 2 * 256, 256)] * 3,
    ]
    assert model.reduction == 8
    assert [cell.hidden for cell in model.speller.core.cells] == [512, 512]
    assert model.speller.core.cells[0].context_dim == 512
    assert all(float(p.detach().abs().max()) <= 0.1 for p in model.parameters())
    model.at_update(0)
    assert model.speller.sampling_rate == 0.1


def test_las_6_1280_is_the_paper_s_table():
    with torch.device("meta"):
        model = las_6_1280().build(symbols=16_000 + 4, features=240)
    assert [layer.ahead.hidden_size for layer in model.listener.pyramid.layers] == [1280] * 6
    assert model.listener.front.reduction == model.reduction == 4
    assert [cell.hidden for cell in model.speller.core.cells] == [1280, 1280]


def test_las_small_has_about_two_million_parameters():
    model = las_small().build(symbols=14, features=40)
    assert 1.5e6 < sum(p.numel() for p in model.parameters()) < 2.5e6


def test_the_top_layer_asks_and_the_bottom_one_hears_the_answer():
    """Trap: attention asked by the bottom layer would not feel the top one's weights."""
    model, batch = tiny_las().eval(), tiny_batch()
    before = model(batch).alignment
    with torch.no_grad():
        model.speller.core.upper[0].weight_hh.add_(0.5)
    after = model(batch).alignment
    assert not torch.allclose(before[0, :4], after[0, :4])


def fed(model: LAS, batch: ASRBatch) -> torch.Tensor:
    """The tokens that the speller's steps were fed with, (batch, steps)."""
    seen = []
    hook = model.speller.embedding.register_forward_hook(
        lambda module, inputs, output: seen.append(inputs[0])
    )
    model(batch)
    hook.remove()
    return torch.stack(seen, 1) if seen[0].dim() == 1 else seen[0]


def sampling(rate: float, **numbers: int) -> LAS:
    config = SamplingConfig(rate=rate, **numbers)
    speller = dataclasses.replace(tiny_config().speller, sampling=config)
    return tiny_las(tiny_config(speller=speller))


def test_sampling_feeds_the_model_s_own_symbols_by_utterance_and_step():
    batch = tiny_batch()
    wide = ASRBatch(
        features=batch.features[:1].repeat(500, 1, 1),
        feature_lengths=batch.feature_lengths[:1].repeat(500),
        tokens=torch.full((500, 6), 8),
        token_lengths=torch.full((500,), 6),
    )
    model = sampling(0.25).train()
    with torch.no_grad():
        model.speller.symbols.bias[8] = -1e9  # what is fed as 8 is the truth, never a sample
    tokens = fed(model, wide)
    assert (tokens[:, 0] == SOS).all()
    replaced = (tokens[:, 1:] != 8).double()
    assert abs(float(replaced.mean()) - 0.25) < 0.03
    assert (replaced.mean(1) > 0).double().mean() > 0.6  # steps differ within an utterance
    assert not (tokens[:, 1:] <= SOS).logical_and(tokens[:, 1:] != EOS).any()


def test_sampling_at_rate_1_is_free_running_and_eval_never_samples():
    model, batch = sampling(1.0), tiny_batch()
    with torch.no_grad():
        model.speller.symbols.weight.mul_(1e6)  # so sure of itself that a sample is the argmax
    tokens = fed(model.train(), batch)
    output = model(batch)
    assert torch.equal(output.log_probs.argmax(-1)[:, :-1], tokens[:, 1:])
    true = torch.nn.functional.pad(batch.tokens[:, :-1], (1, 0), value=SOS)
    assert torch.equal(fed(model.eval(), batch), true)


def test_the_sampling_rate_follows_the_updates():
    model = sampling(0.2, start=100, end=300)
    rates = []
    for update in (1, 100, 200, 300, 5000):
        model.at_update(update)
        rates.append(model.speller.sampling_rate)
    assert rates == pytest.approx([0, 0, 0.1, 0.2, 0.2])


def test_a_listener_grows_layers_and_loses_its_pooling():
    config = tiny_config(
        listener=ListenerConfig(
            hidden=5,
            pyramid_layers=2,
            growth=GrowthConfig(first_layers=1, layer_every=10, pool=2, pool_until=15),
        )
    )
    model, batch = tiny_las(config), tiny_batch()
    shapes = []
    for update in (0, 9, 10, 15, 20, 99):
        model.at_update(update)
        shapes.append((model.listener.grown.tolist(), int(model(batch).memory_lengths.max())))
    assert shapes == [
        ([1, 2], 4),
        ([1, 2], 4),
        ([2, 2], 4),
        ([2, 1], 8),
        ([3, 1], 8),
        ([3, 1], 8),
    ]
    model.at_update(10)
    again = tiny_las(config, seed=3)
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.eval()(batch).log_probs, model.eval()(batch).log_probs)


def test_augmentation_acts_in_training_only():
    policy = SpecAugmentPolicy(warp=0, band_width=3, band_masks=2, frame_width=4, frame_masks=1)
    model, batch = tiny_las(tiny_config(augment=policy)), tiny_batch()
    plain = tiny_las()
    assert torch.equal(model.eval()(batch).log_probs, plain.eval()(batch).log_probs)
    torch.manual_seed(1)
    assert not torch.allclose(model.train()(batch).log_probs, plain.train()(batch).log_probs)


def test_features_that_fall_into_no_groups_are_refused():
    with pytest.raises(ConfigError, match="feature_groups"):
        LASConfig(feature_groups=4).build(symbols=SYMBOLS, features=FEATURES)


def test_the_configuration_goes_to_data_and_back():
    for config in (*VARIANTS.values(), las_paper(), las_6_1280(), las_small()):
        assert LASConfig.from_dict(config.to_dict()) == config


def test_a_small_las_learns_tones_by_heart():
    """Each symbol is 8 frames of one band; strings of up to 4 are read without an error."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(5)
    lengths = torch.randint(1, 5, (24,), generator=generator)
    tokens = torch.randint(4, SYMBOLS, (24, 5), generator=generator)
    frames = torch.randn(24, 40, FEATURES, generator=generator) * 0.1
    for row, n in enumerate(lengths.tolist()):
        tokens[row, n] = EOS
        for i in range(n):
            frames[row, 8 * i : 8 * i + 8, int(tokens[row, i]) - 4] += 2
    batch = ASRBatch(
        features=frames, feature_lengths=8 * lengths, tokens=tokens, token_lengths=lengths + 1
    )
    config = LASConfig(
        normalization=UtteranceNormConfig(variance=False),
        listener=ListenerConfig(hidden=16, pyramid_layers=2),
        speller=SpellerConfig(embedding=8, layers=1, hidden=24, attention=ContentConfig(dim=16)),
    )
    model, loss = config.build(symbols=SYMBOLS, features=FEATURES), LASLoss(LASLossConfig())
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for update in range(150):
        with unchecked() if update else nullcontext():
            optimizer.zero_grad()
            loss(model(batch), batch).total.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
    written = model.eval()(batch).log_probs.argmax(-1)
    mask = length_mask(batch.token_lengths, tokens.shape[1])
    assert torch.equal(written[mask], tokens[mask])
