"""Frames keep their order through whole decoders; teacher-forced equals stepwise, and is causal."""

import dataclasses

import pytest
import torch
from tiny_tacotron import MELS, TINY, tiny_batch, tiny_model, without_dropout
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from speechseq.models.decoder_stack import DecoderStack, LSTMStackConfig
from speechseq.models.frame_decoder import FrameDecoder
from speechseq.models.generation import free_run
from speechseq.models.tacotron import Tacotron
from speechseq.nn.frames import teacher_inputs
from speechseq.nn.masks import length_mask
from speechseq.nn.rows import select_rows
from speechseq.shapes import Encoded

each_tacotron = pytest.mark.parametrize("name", TINY)


class CountingStack(DecoderStack):
    """Gives the number of the step in every channel, whatever goes in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.output_dim = width

    def forward(self, inputs, rows):
        step = (rows.positions % rows.shape[1]).to(inputs.dtype)
        return step.unsqueeze(1).expand(-1, self.output_dim)

    def start(self, batch, like):
        return (like.new_zeros(batch, self.output_dim),)

    def step(self, inputs, state):
        return state[0], (state[0] + 1,)


def counting(name: str, r: int) -> Tacotron:
    """A Tacotron whose step t, frame j, band m holds 10000 t + 100 j + m; it never stops."""
    model = tiny_model(TINY[name](reduction_factor=r))
    decoder = model.decoder
    decoder.stack = CountingStack(decoder.stack.output_dim)
    for layer in (decoder.frames, decoder.stop):
        nn.init.zeros_(layer.weight)
    nn.init.constant_(decoder.frames.weight[:, 0], 10000)
    nn.init.constant_(decoder.stop.bias, -9)
    j, m = torch.meshgrid(torch.arange(r), torch.arange(MELS), indexing="ij")
    decoder.frames.bias.data.copy_((100 * j + m).flatten())
    return model


def numbered(frames: int, r: int) -> Tensor:
    f, m = torch.meshgrid(torch.arange(frames), torch.arange(MELS), indexing="ij")
    return (10000 * (f // r) + 100 * (f % r) + m).float()


@each_tacotron
@pytest.mark.parametrize("r", [2, 3, 5])
def test_law_2_frames_keep_their_order_through_the_whole_model(name, r):
    model = counting(name, r)
    with torch.no_grad():
        batch = tiny_batch()
        forced = model(batch).mel_before
        encoded = model.encoder(*tokens())
        free = free_run(model.decoder, encoded, torch.tensor([4, 3, 6]), None)
    forced_steps = -(-batch.frame_lengths // r)
    for mel, lengths in ((forced, forced_steps), (free.mel, free.step_lengths)):
        for row, steps in zip(mel, lengths.tolist(), strict=True):
            assert torch.equal(row[: steps * r], numbered(steps * r, r))
            assert not row[steps * r :].any()


@each_tacotron
@pytest.mark.parametrize("r", [2, 3, 5])
def test_law_2_a_free_running_step_is_fed_the_last_frame_of_the_step_before(name, r):
    model = counting(name, r)
    encoded = model.encoder(*tokens())
    decoder = model.decoder
    state = decoder.start(encoded.memory, length_mask(encoded.memory_lengths))
    assert not state.frame.any()
    for step in range(3):
        _, state = decoder.step(state, decoder.core.prepare())
        assert torch.equal(state.frame[0], numbered(step * r + r, r)[-1])


def tokens() -> tuple[Tensor, Tensor]:
    batch = tiny_batch()
    return batch.tokens, batch.token_lengths


def deciding(name: str, r: int, zoneout: float) -> FrameDecoder:
    config = without_dropout(TINY[name](reduction_factor=r, attention_rnn_zoneout=zoneout))
    stack = config.decoder.stack
    if isinstance(stack, LSTMStackConfig):
        stack = dataclasses.replace(stack, layers=2, zoneout=zoneout)
    config = dataclasses.replace(config.decoder, stack=stack)
    return FrameDecoder(6, MELS, config).double().eval()


def heard(batch: int = 3) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """mel with 7 valid frames at most, its mask, a memory and its mask."""
    frame_lengths, memory_lengths = torch.tensor([7, 4, 1]), torch.tensor([3, 5, 4])
    mel = torch.randn(batch, 7, MELS, dtype=torch.float64)
    memory = torch.randn(batch, 5, 6, dtype=torch.float64)
    return mel, length_mask(frame_lengths), memory, length_mask(memory_lengths)


@each_tacotron
@pytest.mark.parametrize("r", [1, 2, 3])
@pytest.mark.parametrize("zoneout", [0.0, 0.2])
def test_law_5_teacher_forced_equals_stepwise(name, r, zoneout):
    decoder = deciding(name, r, zoneout)
    mel, frame_mask, memory, memory_mask = heard()
    whole = decoder(mel, frame_mask, memory, memory_mask)
    fed = teacher_inputs(mel * frame_mask.unsqueeze(-1), r)
    state, weights, steps = decoder.start(memory, memory_mask), decoder.core.prepare(), []
    for frame in fed.unbind(1):
        output, state = decoder.step(state._replace(frame=frame), weights)
        steps.append(output)
    frames, stop, weights = (torch.stack(part, 1) for part in zip(*steps, strict=True))
    exactly = {"rtol": 0, "atol": 1e-10}
    taken = length_mask((frame_mask.sum(1) + r - 1) // r)  # teacher-forced, a row's steps then end
    whole_frames, frames = whole.mel.reshape(3, stop.shape[1], -1)[taken], frames[taken]
    whole_stop, stop = whole.stop_logits[taken], stop[taken]
    torch.testing.assert_close(whole_frames, frames, **exactly)
    torch.testing.assert_close(whole_stop, stop, **exactly)
    torch.testing.assert_close(whole.alignment[taken], weights[taken], **exactly)
    loss = whole_frames.square().sum() + whole_stop.square().sum()
    by_step = frames.square().sum() + stop.square().sum()
    parameters = [p for p in decoder.parameters() if p.numel()]
    pairs = zip(
        torch.autograd.grad(loss, parameters),
        torch.autograd.grad(by_step, parameters),
        strict=True,
    )
    for a, b in pairs:
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@each_tacotron
@pytest.mark.parametrize("r", [1, 2, 3])
def test_law_5_a_target_changes_nothing_at_or_before_its_step(name, r):
    model = tiny_model(TINY[name](reduction_factor=r))
    batch = tiny_batch(frame_lengths=(12, 12, 12))
    with torch.no_grad():
        before = model(batch)
        for step in range(12 // r):
            mel = batch.mel.clone()
            mel[:, step * r : step * r + r] += 3.0
            after = model(dataclasses.replace(batch, mel=mel))
            assert torch.equal(*(x.mel_before[:, : step * r + r] for x in (before, after)))
            assert torch.equal(*(x.stop_logits[:, : step + 1] for x in (before, after)))
            assert torch.equal(*(x.alignment[:, : step + 1] for x in (before, after)))
            rest = [x.mel_before[:, step * r + r :] for x in (before, after)]
            if rest[0].numel():  # and what comes after did hear it, so the test could fail
                assert not torch.equal(*rest)


@each_tacotron
def test_an_alignment_is_a_distribution_within_its_row_s_steps_and_zero_behind(name):
    with torch.no_grad():
        batch = tiny_batch()
        output = tiny_model(TINY[name]())(batch)
    for row, n in enumerate(output.step_lengths.tolist()):
        torch.testing.assert_close(output.alignment[row, :n].sum(-1), torch.ones(n))
        assert not output.alignment[row, n:].any()
        assert not output.alignment[row, :, int(batch.token_lengths[row]) :].any()


@pytest.mark.parametrize(("frames", "r", "steps"), [(1, 1, 1), (1, 3, 1), (4, 3, 2), (6, 3, 2)])
def test_an_incomplete_last_step_counts_as_a_step(frames, r, steps):
    model = tiny_model(TINY["tacotron2"](reduction_factor=r))
    output = model(tiny_batch((3,), (frames,)))
    assert output.step_lengths.tolist() == [steps]
    assert output.mel_before.shape == (1, steps * r, MELS)
    assert output.stop_logits.shape == (1, steps)


@each_tacotron
def test_the_network_sees_mels_through_the_affine_map_and_speaks_through_its_inverse(name):
    """A mel of twice the size and shifted, told so, is the same to the network."""
    plain = without_dropout(TINY[name]())
    mapped = dataclasses.replace(plain, mel_mean=-5.0, mel_scale=2.0)
    model, other = tiny_model(plain), tiny_model(mapped)
    other.load_state_dict(model.state_dict())
    batch = tiny_batch()
    with torch.no_grad():
        a = model(batch)
        b = other(dataclasses.replace(batch, mel=batch.mel * 2 - 5))
        free_a, free_b = (m.generate(*tokens(), seed=1, max_steps=5) for m in (model, other))
    torch.testing.assert_close(a.mel_before * 2 - 5, b.mel_before)
    torch.testing.assert_close(a.mel_after * 2 - 5, b.mel_after)
    torch.testing.assert_close(a.alignment, b.alignment)
    longest = int(free_a.frame_lengths[0])
    torch.testing.assert_close(free_a.mel_after[0, :longest] * 2 - 5, free_b.mel_after[0, :longest])


def test_rows_of_a_state_are_selected_at_every_depth():
    decoder = deciding("tacotron2", 1, 0.0)
    _, _, memory, mask = heard()
    _, state = decoder.step(decoder.start(memory, mask), decoder.core.prepare())
    order = torch.tensor([2, 0])
    chosen = select_rows(state, order)
    assert type(chosen) is type(state)
    assert torch.equal(chosen.frame, state.frame[order])
    assert torch.equal(chosen.core.rnn[0].cell, state.core.rnn[0].cell[order])
    assert torch.equal(chosen.core.attention.history, state.core.attention.history[order])
    assert torch.equal(chosen.stack[1].hidden, state.stack[1].hidden[order])


def test_a_memory_of_its_own_is_all_that_a_decoder_needs():
    """Used alone by a stranger: any memory, no tokens, no encoder."""
    decoder = deciding("tacotron1", 2, 0.0)
    memory = torch.randn(2, 5, 6, dtype=torch.float64)
    run = free_run(decoder, Encoded(memory, torch.tensor([5, 3])), torch.tensor([2, 4]), None)
    assert len(run.finished_reason) == 2


class Counting(TorchDispatchMode):
    """Counts the numbers that every operation gives, backwards too: work, whatever the machine."""

    made = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        outputs = func(*args, **(kwargs or {}))
        if not func.is_view:
            every = outputs if isinstance(outputs, (tuple, list)) else (outputs,)
            self.made += sum(x.numel() for x in every if isinstance(x, Tensor))
        return outputs


@each_tacotron
@pytest.mark.parametrize("zoneout", [0.0, 0.1])
def test_trap_37_twice_the_steps_are_twice_the_work(name, zoneout):
    """A gradient of one step's slice as large as all steps would make training quadratic."""
    decoder = deciding(name, 1, zoneout).train()
    work = []
    for frames in (40, 80):
        mel = torch.randn(2, frames, MELS, dtype=torch.float64, requires_grad=True)
        memory = torch.randn(2, 4, 6, dtype=torch.float64, requires_grad=True)
        masks = length_mask(torch.tensor([frames, 9]), frames), length_mask(torch.tensor([4, 3]))
        with Counting() as count:
            decoder(mel, masks[0], memory, masks[1]).mel.sum().backward()
        work.append(count.made)
    assert work[1] / work[0] < 2.1
