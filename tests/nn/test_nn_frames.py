"""Law 2, frames keep their order. Shapes alone prove nothing: the wrong view fits too."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from speechseq.nn.frames import group_frames, teacher_inputs, ungroup_frames

MELS = 7
each_r = pytest.mark.parametrize("r", [2, 3, 5])


def numbered_steps(steps: int, r: int) -> Tensor:
    """Step t, frame j, band m holds 10000 t + 100 j + m, laid out as a projection emits it."""
    t, j, m = torch.meshgrid(
        torch.arange(steps), torch.arange(r), torch.arange(MELS), indexing="ij"
    )
    return (10000 * t + 100 * j + m).float().reshape(1, steps, r * MELS)


def numbered_frames(frames: int, r: int) -> Tensor:
    """Frame f, band m holds 10000 (f // r) + 100 (f % r) + m."""
    f, m = torch.meshgrid(torch.arange(frames), torch.arange(MELS), indexing="ij")
    return (10000 * (f // r) + 100 * (f % r) + m).float().unsqueeze(0)


@each_r
def test_law_2_trap_1_steps_come_apart_in_the_order_of_time(r):
    assert torch.equal(ungroup_frames(numbered_steps(6, r), r), numbered_frames(6 * r, r))


@each_r
def test_law_2_trap_1_frames_come_together_in_the_order_of_time(r):
    assert torch.equal(group_frames(numbered_frames(6 * r, r), r), numbered_steps(6, r))


@each_r
def test_trap_1_a_transposed_tensor_keeps_its_order_too(r):
    """A mel that was transposed from channels first is not contiguous; a view would be wrong."""
    mel = numbered_frames(6 * r, r).transpose(1, 2).contiguous().transpose(1, 2)
    assert not mel.is_contiguous()
    assert torch.equal(group_frames(mel, r), numbered_steps(6, r))
    steps = numbered_steps(6, r).transpose(1, 2).contiguous().transpose(1, 2)
    assert torch.equal(ungroup_frames(steps, r), numbered_frames(6 * r, r))


@given(st.integers(1, 40), st.integers(1, 7), st.floats(-12, 12, width=32))
def test_law_2_ungroup_undoes_group_for_every_length(frames, r, filling):
    mel = torch.randn(2, frames, 3)
    back = ungroup_frames(group_frames(mel, r, filling), r)
    assert back.shape[1] == -(-frames // r) * r
    assert torch.equal(back[:, :frames], mel)
    assert (back[:, frames:] == filling).all()


@given(st.integers(1, 40), st.integers(1, 7))
def test_a_step_is_fed_zeros_and_then_the_last_frame_of_the_group_before(frames, r):
    mel = torch.randn(2, frames, 3)
    fed = teacher_inputs(mel, r)
    assert fed.shape[1] == -(-frames // r)
    assert not fed[:, 0].any()
    for step in range(1, fed.shape[1]):
        assert torch.equal(fed[:, step], mel[:, step * r - 1])


@pytest.mark.parametrize("r", [1, 2, 3])
def test_what_teacher_forcing_feeds_is_what_group_frames_puts_last(r):
    mel = torch.randn(2, 8, 3)
    assert torch.equal(teacher_inputs(mel, r)[:, 1:], group_frames(mel, r)[:, :-1, -3:])
