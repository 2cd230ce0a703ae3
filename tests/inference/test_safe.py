"""Poor readings alone are tried again, the best of n is kept, whatever else is in the batch."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_voice import save_voice
from torch import Tensor

from speechseq.cli import main
from speechseq.errors import ConfigError
from speechseq.inference.slips import alignment_score
from speechseq.inference.synthesizer import Synthesizer
from speechseq.inference.tries import RETRIES, Manner
from speechseq.models.tacotron_output import Generated

TEXTS = ["three one four", "five", "one two"]


class Calls:
    """Stands before `model.generate`: notes every call, and may put other alignments in."""

    def __init__(self, synthesizer: Synthesizer, poor: Any = None) -> None:
        self.generate, self.poor = synthesizer.model.generate, poor
        self.rows: list[int] = []
        self.seeds: list[int] = []
        self.windows: list[int | None] = []
        self.outputs: list[Generated] = []
        synthesizer.model.generate = self  # type: ignore[method-assign,assignment]

    def __call__(self, tokens: Tensor, lengths: Tensor, **options: Any) -> Generated:
        output = self.generate(tokens, lengths, **options)
        self.rows.append(len(tokens))
        self.seeds += {*options["seed"]}
        self.windows.append(options["window"])
        if self.poor is not None:
            alignment = torch.zeros_like(output.alignment)
            for row, length in enumerate(lengths.tolist()):
                steps = int(output.step_lengths[row])
                end = 1 if self.poor(length, len(self.rows)) else length
                path = torch.linspace(0, end - 1, steps).round().long()
                alignment[row, torch.arange(steps), path] = 1.0
            reasons = ("stop",) * len(tokens)
            output = dataclasses.replace(output, alignment=alignment, finished_reason=reasons)
        self.outputs.append(output)
        return output


def test_only_poor_texts_are_read_again_and_at_most_so_often(synthesizer: Synthesizer) -> None:
    calls = Calls(synthesizer, poor=lambda length, call: length > 10)
    synthesizer.batch_size = 3
    spoken = synthesizer.synthesize(TEXTS, seed=0, safe=True)
    assert calls.rows == [3] + [1] * RETRIES
    assert len({*calls.seeds}) == 1 + RETRIES
    assert [speech.text for speech in spoken] == TEXTS


def test_a_text_that_is_read_again_looks_less_far_ahead(synthesizer: Synthesizer) -> None:
    calls = Calls(synthesizer, poor=lambda length, call: True)
    synthesizer.synthesize(TEXTS[:1], seed=0, safe=True, window=3)
    synthesizer.synthesize(TEXTS[:1], seed=0, safe=True, window=3, n=2)
    assert calls.windows == [3, 2, 1, 1, 1, 3, 3]


def test_reading_again_ends_with_the_first_good_one_which_is_kept(synthesizer: Synthesizer) -> None:
    calls = Calls(synthesizer, poor=lambda length, call: call < 3)
    (speech,) = synthesizer.synthesize(TEXTS[:1], seed=0, safe=True)
    assert calls.rows == [1, 1, 1]
    torch.testing.assert_close(speech.mel, calls.outputs[2].mel_after[0])


def test_a_good_text_is_read_once(synthesizer: Synthesizer) -> None:
    calls = Calls(synthesizer, poor=lambda length, call: False)
    synthesizer.synthesize(TEXTS[:1], seed=0, safe=True)
    assert calls.rows == [1]


@pytest.mark.parametrize("safe", [False, True])
def test_n_makes_n_readings_and_keeps_the_one_of_the_best_score(
    synthesizer: Synthesizer, safe: bool
) -> None:
    calls = Calls(synthesizer)
    (speech,) = synthesizer.synthesize(TEXTS[:1], seed=0, safe=safe, n=3, max_steps=12)
    assert calls.rows == [1, 1, 1]
    scores = [alignment_score(output.alignment[0]) for output in calls.outputs]
    assert len({*scores}) == 3
    torch.testing.assert_close(speech.mel, calls.outputs[scores.index(max(scores))].mel_after[0])


def test_one_reading_is_the_plain_one(synthesizer: Synthesizer) -> None:
    (plain,), (one,) = (synthesizer.synthesize(TEXTS[:1], seed=3, n=n) for n in (None, 1))
    assert torch.equal(plain.waveform, one.waveform)


@pytest.mark.parametrize("options", [{"safe": True}, {"n": 2}])
def test_safe_readings_repeat_and_do_not_depend_on_the_batch(
    synthesizer: Synthesizer, options: dict
) -> None:
    synthesizer.model.double()  # so that a difference is an error, not rounding
    together = synthesizer.synthesize(TEXTS, seed=5, max_steps=10, **options)
    for text, batched in zip(TEXTS, together, strict=True):
        (alone,) = synthesizer.synthesize([text], seed=5, max_steps=10, **options)
        torch.testing.assert_close(batched.mel, alone.mel)
        torch.testing.assert_close(batched.waveform, alone.waveform, rtol=0, atol=1e-6)


def test_safe_attention_reads_through_the_window(synthesizer: Synthesizer) -> None:
    (speech,) = synthesizer.synthesize(TEXTS[:1], seed=5, safe=True, window=2, n=1)
    assert not speech.alignment[0, 3:].any()
    assert speech.alignment[0, :3].all()


def test_a_long_text_is_streamed_as_safely(synthesizer: Synthesizer) -> None:
    calls = Calls(synthesizer, poor=lambda length, call: True)
    for _ in synthesizer.pieces(TEXTS[0], seed=0, manner=Manner(safe=True)):
        assert len(calls.rows) == 1 + RETRIES


@pytest.mark.parametrize(
    ("options", "named"),
    [({"n": 0}, "n: 0"), ({"window": 0}, "window: 0"), ({"length_scale": 0.0}, "length_scale: 0")],
)
def test_numbers_that_make_no_sense(synthesizer: Synthesizer, options: dict, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        synthesizer.synthesize(TEXTS[:1], **options)


def test_the_command_speaks_safely_and_refuses_what_cannot_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    voice, out = str(save_voice(tmp_path / "voice")), tmp_path / "x.wav"
    speak = ["synthesize", "--checkpoint", voice, "--text", "one", "--out", str(out)]
    assert main([*speak, "--safe", "--n", "2", "--window", "3"]) == 0
    assert out.exists()
    for flag, value in (("--n", "0"), ("--window", "0"), ("--length-scale", "0")):
        assert main([*speak, flag, value]) == 2
        assert f"{flag}: 0" in capsys.readouterr().err
    assert main([*speak, "--length-scale", "2"]) == 2
    assert "the speed of LocationSensitiveAttention" in capsys.readouterr().err
