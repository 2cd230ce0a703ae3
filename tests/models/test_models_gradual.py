"""Gradual training: a schedule of the reduction factor changes a Tacotron while it learns."""

import dataclasses

import pytest
import torch
from tiny_tacotron import MELS, TINY, tiny_batch, tiny_model

from speechseq.errors import ConfigError
from speechseq.models.gradual import GradualReductionConfig
from speechseq.models.losses import TacotronLoss, TacotronLossConfig
from speechseq.models.tacotron import TacotronConfig

SCHEDULE = GradualReductionConfig(steps=((0, 4), (3, 2), (6, 1)))


def test_a_factor_holds_from_its_update_on():
    schedule = GradualReductionConfig(steps=((2, 6), (10, 3), (11, 2)))
    factors = [schedule.at(update) for update in (0, 2, 9, 10, 11, 10**9)]
    assert factors == [6, 6, 6, 3, 2, 2]


@pytest.mark.parametrize("steps", [((5, 4), (5, 2)), ((5, 4), (4, 2)), ((0, 0),), ()])
def test_a_schedule_out_of_order_or_of_no_frames_is_refused(steps):
    with pytest.raises(ConfigError, match="steps"):
        GradualReductionConfig(steps=steps)


def test_a_schedule_is_plain_data():
    config = TINY["tacotron2"](gradual=SCHEDULE)
    assert TacotronConfig.from_dict(config.to_dict()) == config
    assert config.to_dict()["decoder"]["gradual"] == {"steps": [[0, 4], [3, 2], [6, 1]]}


@pytest.mark.parametrize("name", TINY)
def test_the_model_follows_the_schedule_and_its_frames_keep_their_order(name):
    model = tiny_model(TINY[name](reduction_factor=4, gradual=SCHEDULE)).train()
    parameter, top = model.decoder.frames.weight, torch.randn(3, model.decoder.frames.in_features)
    before = model.decoder.frames(top).view(3, 4, MELS)
    for update, r in ((2, 4), (3, 2), (5, 2), (6, 1)):
        model.at_update(update)
        assert model.decoder.frames.weight is parameter
        assert model.config.decoder.reduction_factor == model.decoder.config.reduction_factor == r
        assert model.decoder.frames.out_features == r * MELS
        torch.testing.assert_close(model.decoder.frames(top).view(3, r, MELS), before[:, :r])
        batch = tiny_batch((3, 4), (8, 6))
        output = model(batch)
        assert output.step_lengths.tolist() == [-(-8 // r), -(-6 // r)]
        TacotronLoss(TacotronLossConfig())(output, batch).total.backward()
        assert parameter.grad.shape == parameter.shape


@pytest.mark.parametrize("name", TINY)
def test_a_model_of_a_changed_factor_speaks_like_one_built_with_it(name):
    model = tiny_model(TINY[name](reduction_factor=4, gradual=SCHEDULE)).eval()
    tokens, lengths = torch.tensor([[2, 3, 4, 1], [5, 2, 1, 0]]), torch.tensor([4, 3])
    model.generate(tokens, lengths, seed=1, max_steps=6)  # kernels have packed the first weights
    model.at_update(3)
    twin = tiny_model(dataclasses.replace(model.config)).eval()
    twin.load_state_dict(model.state_dict())
    ours, theirs = (m.generate(tokens, lengths, seed=1, max_steps=6) for m in (model, twin))
    assert torch.equal(ours.mel_after, theirs.mel_after)
    assert torch.equal(ours.frame_lengths, theirs.frame_lengths)
    assert ours.frame_lengths.max() <= 6 * 2


def test_frames_that_a_factor_does_not_divide_are_refused_in_training_with_the_cure():
    schedule = GradualReductionConfig(steps=((0, 3), (10, 2)))
    model = tiny_model(TINY["tacotron2"](reduction_factor=3, gradual=schedule)).train()
    batch = tiny_batch((3, 4), (9, 6))
    with pytest.raises(ConfigError, match=r"a batch of 9 frames, which not all of \[2, 3\] divide"):
        model(batch)
    with pytest.raises(ConfigError) as refused:
        model(batch)
    assert "frame_multiple=6" in refused.value.cure
    model.eval()(batch)
    assert model.config.decoder.frame_multiple == 6
    assert TINY["tacotron2"](reduction_factor=5).decoder.frame_multiple == 5
