"""One seed, one result; padding changes nothing in whole models that run free; modes, precision."""

import pytest
import torch
from padding_law import TOLERANCE
from tiny_tacotron import TINY, never_stopping, speak, texts
from torch import nn

from speechseq.errors import ConfigError
from speechseq.models.conditioning import Text, encoded_alone
from speechseq.models.tacotron import tacotron2_small
from speechseq.nn.eval_mode import evaluating


@pytest.fixture
def one_thread():
    """One thread, since a product may be divided among several in another way each time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


each_tacotron = pytest.mark.parametrize("name", TINY)
LENGTHS = [4, 1, 6, 2]


@each_tacotron
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_law_1_and_10_an_utterance_alone_equals_its_row_in_a_batch(name, dtype):
    model = never_stopping(name, frames_per_token=4.0, spare_frames=6).to(dtype)
    seeds = [3, 8, 3, 5]
    together = speak(model, LENGTHS, extra=3, seed=seeds)
    for row, (text, n) in enumerate(zip(texts(LENGTHS), LENGTHS, strict=True)):
        alone = model.generate(text[None], torch.tensor([n]), seed=seeds[row])
        frames, steps = int(alone.frame_lengths), int(alone.step_lengths)
        assert frames == int(together.frame_lengths[row])
        pairs = [
            (together.mel_after[row, :frames], alone.mel_after[0]),
            (together.alignment[row, :steps, :n], alone.alignment[0]),
            (together.stop_logits[row, :steps], alone.stop_logits[0]),
        ]
        if together.log_magnitude is not None:
            pairs.append((together.log_magnitude[row, :frames], alone.log_magnitude[0]))
            assert not together.log_magnitude[row, frames:].any()
        for batched, single in pairs:
            torch.testing.assert_close(batched, single, rtol=0, atol=TOLERANCE[dtype])
        assert not together.mel_after[row, frames:].any()


def test_law_10_a_text_is_encoded_as_if_it_were_alone(one_thread):
    """A difference of 1e-6 in an encoding of the batch grew to 1e-3 in 264 frames of speech."""
    torch.manual_seed(0)
    model = tacotron2_small().build(symbols=40, mels=80).eval()
    lengths, tokens = torch.tensor([45, 19, 50, 33]), torch.randint(40, (4, 50))
    text = Text(tokens, lengths, None, None)
    together = encoded_alone(model.encode, text)
    assert torch.equal(together.memory_lengths, lengths)
    for row, n in enumerate(lengths.tolist()):
        alone = model.encode(text.row(row)).memory[0]
        assert torch.equal(together.memory[row, :n], alone)
        assert not together.memory[row, n:].any()


def test_law_10_a_long_run_hardly_depends_on_the_batch():
    torch.manual_seed(0)
    model = tacotron2_small().build(symbols=40, mels=80)
    nn.init.constant_(model.decoder.stop.bias, -9.0)
    lengths, tokens = torch.tensor([45, 19, 50, 33]), torch.randint(40, (4, 50))
    together = model.generate(tokens, lengths, seed=0, max_steps=60)
    for row, n in enumerate(lengths.tolist()):
        one = tokens[row : row + 1, :n], lengths[row : row + 1]
        alone = model.generate(*one, seed=0, max_steps=60)
        frames = int(alone.frame_lengths)
        torch.testing.assert_close(
            together.mel_after[row, :frames], alone.mel_after[0], rtol=0, atol=1e-5
        )


@each_tacotron
def test_law_10_one_seed_one_result(name):
    model = never_stopping(name)
    first = speak(model, LENGTHS, seed=7, max_steps=9).mel_after
    torch.manual_seed(99)  # of no importance
    assert torch.equal(first, speak(model, LENGTHS, seed=7, max_steps=9).mel_after)
    assert not torch.equal(first, speak(model, LENGTHS, seed=8, max_steps=9).mel_after)


@each_tacotron
def test_law_10_without_a_seed_torch_s_own_decides(name):
    model = never_stopping(name)
    results = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        results.append(speak(model, LENGTHS, max_steps=9).mel_after)
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


@each_tacotron
def test_law_10_a_seed_leaves_torch_s_own_generator_alone(name):
    model = never_stopping(name)
    torch.manual_seed(1)
    speak(model, LENGTHS, seed=7, max_steps=3)
    after = torch.rand(3)
    torch.manual_seed(1)
    assert torch.equal(after, torch.rand(3))


@each_tacotron
def test_trap_26_the_dropout_free_option_needs_no_seed(name):
    model = never_stopping(name, free_running_dropout=False)
    quiet = [speak(model, LENGTHS, seed=seed, max_steps=9).mel_after for seed in (1, 2, None)]
    assert torch.equal(quiet[0], quiet[1])
    assert torch.equal(quiet[0], quiet[2])


@each_tacotron
def test_dropout_of_the_pre_net_alone_acts_when_free_running(name):
    """A model left in training mode speaks as in evaluation: batch norm and other dropout too."""
    model = never_stopping(name)
    quiet = speak(model, LENGTHS, seed=1, max_steps=9).mel_after
    model.train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    assert torch.equal(quiet, speak(model, LENGTHS, seed=1, max_steps=9).mel_after)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_every_part_gets_its_own_mode_back():
    model = never_stopping("tacotron2").train()
    model.encoder.eval()  # frozen, say
    modes = [part.training for part in model.modules()]
    speak(model, [2], seed=1, max_steps=2)
    assert [part.training for part in model.modules()] == modes
    with pytest.raises(ConfigError, match="2 seeds for 1 utterances"):
        speak(model, [2], seed=[1, 2])
    model.postnet.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        speak(model, [2], seed=1, max_steps=2)
    assert [part.training for part in model.modules()] == modes


def test_evaluating_sets_every_part():
    model = nn.Sequential(nn.Dropout(), nn.Sequential(nn.Dropout()))
    with evaluating(model):
        assert not any(part.training for part in model.modules())
    assert all(part.training for part in model.modules())


def test_less_than_one_step_is_refused():
    with pytest.raises(ConfigError, match="max_steps: 0"):
        speak(never_stopping("tacotron2"), [2], max_steps=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@each_tacotron
def test_a_model_in_half_precision_speaks(name, dtype):
    speech = speak(never_stopping(name).to(dtype), LENGTHS, seed=1, max_steps=4)
    assert speech.mel_after.dtype == dtype
    assert torch.isfinite(speech.mel_after).all()


@each_tacotron
def test_what_is_heard_can_be_learned_from_again(name):
    """The output enters a graph, for instance to train a vocoder on it."""
    mel = speak(never_stopping(name), LENGTHS, seed=1, max_steps=3).mel_after
    (mel.clone() * torch.ones((), requires_grad=True)).sum().backward()
