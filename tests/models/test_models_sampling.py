"""Scheduled sampling of a frame decoder: steps that read the decoder's own last frame."""

import pytest
import torch
from tiny_tacotron import MELS, TINY, tiny_batch, tiny_model, without_dropout

from speechseq.errors import ConfigError
from speechseq.models.losses import TacotronLoss, TacotronLossConfig
from speechseq.models.sampling import SamplingConfig
from speechseq.models.tacotron import Tacotron
from speechseq.nn.frames import ungroup_frames


def model_of(name: str, sampling: SamplingConfig, r: int = 2) -> Tacotron:
    torch.manual_seed(0)
    config = without_dropout(TINY[name](reduction_factor=r, sampling=sampling))
    return tiny_model(config).train()


@pytest.mark.parametrize("r", [1, 3])
@pytest.mark.parametrize("name", TINY)
def test_at_rate_1_every_step_reads_the_last_frame_of_the_step_before(name: str, r: int) -> None:
    decoder = model_of(name, SamplingConfig(rate=1.0), r).decoder
    memory, frames = torch.randn(2, 4, decoder.core.cell.context_dim), 6
    memory_mask = torch.tensor([[True] * 4, [True, True, False, False]])
    frame_mask = torch.ones(2, frames, dtype=torch.bool)
    output = decoder(torch.randn(2, frames, MELS), frame_mask, memory, memory_mask)
    state, ready, made = decoder.start(memory, memory_mask), decoder.core.prepare(), []
    for _ in range(-(-frames // r)):
        step, state = decoder.step(state, ready)
        made.append(step.frames)
    expected = ungroup_frames(torch.stack(made, 1), r)
    torch.testing.assert_close(output.mel, expected)


@pytest.mark.parametrize("name", TINY)
def test_the_share_of_own_frames_is_the_rate_per_row_and_step(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder, read = model_of(name, SamplingConfig(rate=0.3), r=1).decoder, []
    prenet = decoder.prenet.forward
    monkeypatch.setattr(decoder.prenet, "forward", lambda x, k=None: (read.append(x), prenet(x))[1])
    rows, frames = 40, 50
    mel = torch.full((rows, frames, MELS), 7.0)
    memory = torch.randn(rows, 3, decoder.core.cell.context_dim)
    whole = torch.ones(rows, 3, dtype=torch.bool)
    decoder(mel, torch.ones(rows, frames, dtype=torch.bool), memory, whole)
    own = torch.stack(read, 1)[:, 1:, 0] != 7.0  # the first step reads zeros
    assert (read[0] == 0).all()
    assert 0.25 < own.float().mean() < 0.35  # 1,960 draws: 4 standard deviations are .041
    assert own.float().mean(1).std() > 0  # rows differ
    assert own.float().mean(0).std() > 0  # steps differ


@pytest.mark.parametrize("name", TINY)
def test_without_a_rate_or_in_evaluation_nothing_is_drawn_or_changed(name: str) -> None:
    batch = tiny_batch()
    plain, late = (model_of(name, SamplingConfig(rate=r, start=5, end=9)) for r in (0.0, 1.0))
    late.load_state_dict(plain.state_dict())
    expected = plain(batch).mel_after
    late.at_update(5)
    before = torch.get_rng_state()
    torch.testing.assert_close(late(batch).mel_after, expected, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), before)
    late.at_update(9)
    assert not torch.allclose(late(batch).mel_after, expected)
    late.load_state_dict(plain.state_dict())  # the forward passes moved running statistics
    pair = [model.eval()(batch).mel_after for model in (plain, late)]
    assert torch.equal(*pair)


@pytest.mark.parametrize("name", TINY)
def test_the_draws_come_from_the_global_generator_and_gradients_are_finite(name: str) -> None:
    model, batch = model_of(name, SamplingConfig(rate=0.5)), tiny_batch(fill=float("nan"), extra=2)
    outputs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        outputs.append(model(batch))
    assert torch.equal(outputs[0].mel_before, outputs[1].mel_before)
    assert not torch.equal(outputs[0].mel_before, outputs[2].mel_before)
    TacotronLoss(TacotronLossConfig(guide=1.0))(outputs[0], batch).total.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    assert (outputs[0].alignment.sum(2) - 1).abs()[0, : outputs[0].step_lengths[0]].max() < 1e-5


def test_an_end_before_the_start_is_refused() -> None:
    with pytest.raises(ConfigError, match="end: update 3 comes before start 4"):
        SamplingConfig(rate=0.5, start=4, end=3)
