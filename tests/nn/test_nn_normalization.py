"""Normalisation: NumPy beside it, padding counts nowhere, and no future is heard."""

import dataclasses

import numpy as np
import pytest
import torch
from padding_law import Part, Stream, assert_same_results, joined, make_items, run
from torch import Tensor, nn

from speechseq.config import Config
from speechseq.errors import ConfigError, DataError
from speechseq.nn.masks import length_mask
from speechseq.nn.normalization import (
    GlobalNorm,
    GlobalNormConfig,
    NormConfig,
    StreamingNormConfig,
    UtteranceNormConfig,
)

FEATURES = 5
LENGTHS = torch.tensor([30, 1, 17, 2])
CONFIGS: dict[str, NormConfig] = {
    "utterance": UtteranceNormConfig(),
    "utterance mean": UtteranceNormConfig(variance=False),
    "global": GlobalNormConfig(),
    "global mean": GlobalNormConfig(variance=False),
    "streaming": StreamingNormConfig(prior_frames=7.0, prior_mean=-2.0, prior_deviation=3.0),
    "streaming mean": StreamingNormConfig(variance=False),
    "streaming, no prior": StreamingNormConfig(prior_frames=0.0),
}
each_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)


def batch(dtype: torch.dtype = torch.float64) -> Tensor:
    """Channels far apart in mean and spread, always the same; NaN in the padding."""
    generator = torch.Generator().manual_seed(1)
    spread = torch.tensor([0.1, 1.0, 3.0, 10.0, 0.5], dtype=dtype)
    noise = torch.randn(4, 33, FEATURES, generator=generator, dtype=dtype)
    x = -6 + noise * spread + 4 * torch.arange(FEATURES)
    return x.masked_fill(~length_mask(LENGTHS, 33)[:, :, None], float("nan"))


def built(config: NormConfig) -> nn.Module:
    module = config.build(FEATURES).double()
    if isinstance(module, GlobalNorm):
        module.fit([(batch(), LENGTHS)])
    return module


# laws


@each_config
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("garbage", [1e4, float("nan")])
def test_law_1_padding_changes_nothing(
    config: NormConfig, garbage: float, dtype: torch.dtype
) -> None:
    part = Part(
        name=config.kind,
        build=lambda: built(config).to(dtype),
        streams={"x": Stream(FEATURES, (9, 1, 4, 2))},
        call=lambda module, inputs, lengths: [(module(inputs["x"], lengths["x"]), lengths["x"])],
    )
    module, items = part.build(), make_items(part, dtype)
    alone = joined([run(part, module, [item], 0, 0.0) for item in items])
    assert_same_results(run(part, module, items, 6, garbage), alone)


@each_config
def test_the_padding_comes_out_as_zeros_and_the_shape_and_dtype_stay(config: NormConfig) -> None:
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        x = batch().to(dtype)
        normalised = built(config)(x, LENGTHS)
        assert normalised.shape == x.shape
        assert normalised.dtype == dtype
        assert normalised.isfinite().all()
        assert (normalised[~length_mask(LENGTHS, 33)] == 0).all()


@each_config
def test_gradients_are_finite_for_constant_features(config: NormConfig) -> None:
    module = built(config)
    x = torch.full((2, 9, FEATURES), -18.4, dtype=torch.float64, requires_grad=True)
    normalised = module(x, torch.tensor([9, 1]))
    assert normalised.isfinite().all()
    (normalised * torch.randn_like(normalised)).sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@each_config
def test_gradients_are_those_of_finite_differences(config: NormConfig) -> None:
    module = built(config)
    x = torch.randn(2, 6, FEATURES, dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([6, 4])
    assert torch.autograd.gradcheck(lambda x: module(x, lengths), x)


# the utterance's own


def test_an_utterance_has_mean_0_and_variance_1() -> None:
    x = batch()
    normalised, centred = (
        UtteranceNormConfig(variance=variance).build(FEATURES)(x, LENGTHS)
        for variance in (True, False)
    )
    for row, length in enumerate(LENGTHS.tolist()):
        own = x[row, :length].numpy()
        around = own - own.mean(0)
        np.testing.assert_allclose(centred[row, :length], around, atol=1e-12)
        np.testing.assert_allclose(
            normalised[row, :length], around / own.std(0).clip(1e-3), atol=1e-9
        )  # of length 1: zeros


def test_a_loud_offset_does_not_cost_the_precision_of_float32() -> None:
    """The variance is taken around the mean, not as a difference of squares."""
    x = torch.randn(1, 200, FEATURES)
    norm = UtteranceNormConfig().build(FEATURES)
    plain, shifted = (norm(y, torch.tensor([200])) for y in (x, x + 1024))
    torch.testing.assert_close(plain, shifted, atol=1e-3, rtol=0)


# the corpus'


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_a_corpus_in_batches_is_measured_as_numpy_measures_it_whole(offset: float) -> None:
    """However it is cut into batches and padded; far from 0 too, where a sum of squares fails."""
    generator = torch.Generator().manual_seed(3)
    frames = [
        torch.randn(length, FEATURES, generator=generator, dtype=torch.float64) + offset
        for length in (40, 3, 1, 25, 7, 64)
    ]
    whole = torch.cat(frames).numpy()
    for size in (1, 2, 6):
        norm = GlobalNormConfig().build(FEATURES).double()
        norm.fit(padded(frames[i : i + size]) for i in range(0, 6, size))
        np.testing.assert_allclose(norm.mean, whole.mean(0), rtol=1e-12)
        np.testing.assert_allclose(norm.scale, 1 / whole.std(0), rtol=1e-9)
        normalised = norm(*padded(frames))
        for row, own in enumerate(frames):
            expected = (own.numpy() - whole.mean(0)) / whole.std(0)
            np.testing.assert_allclose(normalised[row, : len(own)], expected, atol=1e-6)


def padded(frames: list[Tensor]) -> tuple[Tensor, Tensor]:
    lengths = torch.tensor([len(own) for own in frames])
    whole = torch.full((len(frames), int(lengths.max()) + 2, FEATURES), float("nan"))
    whole = whole.double()
    for row, own in zip(whole, frames, strict=True):
        row[: len(own)] = own
    return whole, lengths


def test_a_second_fit_forgets_the_first() -> None:
    norm, fresh = (GlobalNormConfig().build(FEATURES) for _ in range(2))
    norm.fit([(torch.randn(3, 20, FEATURES) * 9, torch.tensor([20, 20, 20]))])
    for module in (norm, fresh):
        module.fit([(batch(), LENGTHS)])
    assert torch.equal(norm.mean, fresh.mean)
    assert torch.equal(norm.scale, fresh.scale)
    assert int(norm.frames) == int(LENGTHS.sum())


def test_a_constant_channel_of_the_corpus_becomes_0_not_infinite() -> None:
    norm = GlobalNormConfig().build(FEATURES)
    norm.fit([(torch.full((1, 9, FEATURES), -11.5), torch.tensor([9]))])
    assert (norm(torch.full((1, 4, FEATURES), -11.5), torch.tensor([4])).abs() < 1e-3).all()


def test_what_was_fitted_is_saved_with_the_weights_and_an_unfitted_one_refuses() -> None:
    fitted, loaded = built(GlobalNormConfig()), GlobalNormConfig().build(FEATURES).double()
    with pytest.raises(ConfigError, match="does not know its corpus"):
        loaded(batch(), LENGTHS)
    loaded.load_state_dict(fitted.state_dict())
    assert torch.equal(loaded(batch(), LENGTHS), fitted(batch(), LENGTHS))


def test_a_corpus_that_cannot_be_measured_is_refused() -> None:
    norm = GlobalNormConfig().build(FEATURES)
    with pytest.raises(DataError, match="no frames"):
        norm.fit([])
    with pytest.raises(DataError, match="3 features, the model has 5"):
        norm.fit([(torch.zeros(1, 4, 3), torch.tensor([4]))])
    with pytest.raises(DataError, match="NaN"):
        norm.fit([(batch(), LENGTHS + 1)])


# the past's


def one_by_one(item: np.ndarray, config: StreamingNormConfig) -> np.ndarray:
    """Frame after frame: the prior's frames and those heard, as one population."""
    out = np.zeros_like(item)
    for t in range(len(item)):
        heard = item[: t + 1]
        count = config.prior_frames + t + 1
        mean = (config.prior_frames * config.prior_mean + heard.sum(0)) / count
        around = config.prior_deviation**2 + (config.prior_mean - mean) ** 2
        variance = (config.prior_frames * around + ((heard - mean) ** 2).sum(0)) / count
        deviation = np.sqrt(variance).clip(config.floor) if config.variance else 1.0
        out[t] = (item[t] - mean) / deviation
    return out


STREAMING = [name for name in CONFIGS if name.startswith("streaming")]


@pytest.mark.parametrize("name", STREAMING)
def test_a_stream_is_what_a_loop_over_its_frames_gives(name: str) -> None:
    config, x = CONFIGS[name], batch()
    normalised = built(config)(x, LENGTHS)
    assert isinstance(config, StreamingNormConfig)
    for row, length in enumerate(LENGTHS.tolist()):
        expected = one_by_one(x[row, :length].numpy(), config)
        np.testing.assert_allclose(normalised[row, :length], expected, atol=1e-9)


@pytest.mark.parametrize("name", STREAMING)
@pytest.mark.parametrize("sizes", [[1] * 33, [10, 10, 13], [0, 5, 0, 28]])
def test_chunks_with_the_state_carried_are_the_whole(name: str, sizes: list[int]) -> None:
    """Rows end in different chunks; later chunks have none of their frames."""
    module, x = built(CONFIGS[name]), batch()
    state, left, parts = module.start(4), LENGTHS.clone(), []
    for chunk in x.split(sizes, 1):
        own = left.clamp(max=chunk.shape[1])
        normalised, state = module.advance(chunk, own, state)
        parts.append(normalised)
        left = left - own
    torch.testing.assert_close(torch.cat(parts, 1), module(x, LENGTHS), atol=1e-10, rtol=0)
    assert state.frames.tolist() == LENGTHS.tolist()


def test_what_is_yet_to_come_changes_nothing() -> None:
    module, x = built(CONFIGS["streaming"]), batch().nan_to_num()
    later = x.clone()
    later[:, 12:] = 1e3
    lengths = torch.full((4,), 33)
    assert torch.equal(module(x, lengths)[:, :12], module(later, lengths)[:, :12])


def test_the_prior_speaks_first_and_the_sound_in_the_end() -> None:
    config = StreamingNormConfig(prior_frames=20.0, prior_mean=-6.0, prior_deviation=2.0)
    x = -9 + 0.5 * torch.randn(1, 20_000, FEATURES, dtype=torch.float64)
    normalised = config.build(FEATURES)(x, torch.tensor([20_000]))
    by_prior = (x[:, 0] + 6) / 2
    torch.testing.assert_close(normalised[:, 0], by_prior, atol=0.35, rtol=0)
    tail = normalised[0, -5000:]
    torch.testing.assert_close(tail.mean(0), torch.zeros(FEATURES).double(), atol=0.05, rtol=0)
    torch.testing.assert_close(tail.std(0), torch.ones(FEATURES).double(), atol=0.05, rtol=0)


# configs


@each_config
def test_a_config_survives_plain_data(config: Config) -> None:
    assert type(config).from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    ("kind", "numbers", "words"),
    [
        (UtteranceNormConfig, {"floor": 0.0}, "floor: 0.0"),
        (UtteranceNormConfig, {"depth": 0.0}, "depth: 0.0"),
        (UtteranceNormConfig, {"channel_depth": -1.0}, "channel_depth: -1.0"),
        (GlobalNormConfig, {"floor": -1.0}, "floor: -1.0"),
        (StreamingNormConfig, {"floor": float("nan")}, "floor: nan"),
        (StreamingNormConfig, {"prior_frames": -1.0}, "prior_frames: -1.0"),
        (StreamingNormConfig, {"prior_deviation": float("inf")}, "prior_deviation: inf"),
    ],
)
def test_numbers_without_sense_are_refused(kind: type, numbers: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        kind(**numbers)


def test_depth_hides_how_deep_a_silence_is():
    speech = torch.linspace(-6.0, 3.0, 40).view(1, 10, 4)
    lengths = torch.tensor([14])
    output = []
    for silence in (-8.0, -11.0, -18.0):
        x = torch.cat([speech, torch.full((1, 4, 4), silence)], 1)
        output.append(UtteranceNormConfig(depth=9.0).build(4)(x, lengths))
    assert torch.equal(output[0], output[1])
    assert torch.equal(output[0], output[2])
    x = torch.cat([speech, torch.full((1, 4, 4), -6.0)], 1)
    plain, deep = (UtteranceNormConfig(depth=d).build(4)(x, lengths) for d in (None, 9.0))
    torch.testing.assert_close(plain, deep)  # nothing lies so deep


def test_a_channels_own_depth_hides_a_microphone_deaf_to_it():
    x, lengths = 6 * torch.randn(1, 50, 3, dtype=torch.float64), torch.tensor([50])
    x[0, 0] = 20.0
    x[0, 1:, 1] = torch.where(x[0, 1:, 1] < 13.0, -30.0, x[0, 1:, 1])
    deaf = x.clone()
    deaf[:, :, 1] -= 15.0  # all of it lies below the utterance's highest less 7
    config = UtteranceNormConfig(variance=False, channel_depth=7.0)
    torch.testing.assert_close(config.build(3)(x, lengths), config.build(3)(deaf, lengths))
    both = dataclasses.replace(config, depth=13.0).build(3)
    assert float(both(deaf, lengths)[0, :, 1].abs().max()) == 0  # so quiet that it is noise alone


@pytest.mark.parametrize("name", ["depth", "channel_depth"])
@pytest.mark.parametrize("garbage", [1e4, float("nan")])
def test_law_1_the_highest_value_is_looked_for_among_valid_frames_alone(garbage, name):
    module = UtteranceNormConfig.from_dict({name: 3.0}).build(3)
    x, lengths = 5 * torch.randn(3, 9, 3, dtype=torch.float64) - 20, torch.tensor([9, 1, 4])
    padded = x.clone()
    for row, n in enumerate(lengths.tolist()):
        padded[row, n:] = garbage
    normalised = module(padded.requires_grad_(), lengths)
    for row, n in enumerate(lengths.tolist()):
        torch.testing.assert_close(
            normalised[row, :n], module(x[row : row + 1, :n], lengths[row : row + 1])[0]
        )
    normalised.sum().backward()
    assert padded.grad.isfinite().all()


def test_one_deviation_for_all_channels_keeps_their_proportions():
    lengths = torch.tensor([7, 4])
    x = torch.randn(2, 7, 3, dtype=torch.float64) * torch.tensor([5.0, 1.0, 0.1]) + 3
    normalised = UtteranceNormConfig(together=True).build(3)(x, lengths)
    for row, n in enumerate(lengths.tolist()):
        centred = x[row, :n] - x[row, :n].mean(0)
        torch.testing.assert_close(normalised[row, :n], centred / centred.square().mean().sqrt())
