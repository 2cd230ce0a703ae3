"""Weights of one reduction factor in a model of another: frames keep their order."""

import pytest
import torch
from tiny_tacotron import MELS, TINY, tiny_model

from speechseq.errors import ConfigError
from speechseq.models.reduction import fit_reduction


@pytest.mark.parametrize(("before", "after"), [(5, 2), (2, 5), (1, 3), (3, 3)])
@pytest.mark.parametrize("name", TINY)
def test_frames_that_both_have_are_equal_and_further_ones_repeat_the_last(name, before, after):
    old, new = (tiny_model(TINY[name](reduction_factor=r)) for r in (before, after))
    state = old.state_dict()
    kept = {n: x.clone() for n, x in state.items()}
    new.load_state_dict(fit_reduction(state, before, after, MELS))
    assert all(torch.equal(kept[n], x) for n, x in old.state_dict().items())
    top = torch.randn(4, old.decoder.frames.in_features)
    made = new.decoder.frames(top).view(4, after, MELS)
    true = old.decoder.frames(top).view(4, before, MELS)
    for frame in range(after):
        torch.testing.assert_close(made[:, frame], true[:, min(frame, before - 1)])


def test_weights_of_another_factor_than_said_are_refused():
    state = tiny_model(TINY["tacotron2"](reduction_factor=3)).state_dict()
    with pytest.raises(
        ConfigError, match=r"decoder.frames.weight: 15 rows, not 2 frames of 5 mels"
    ):
        fit_reduction(state, 2, 4, MELS)
    with pytest.raises(ConfigError, match="reduction factors 3 and 0"):
        fit_reduction(state, 3, 0, MELS)
