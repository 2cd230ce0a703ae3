"""`speechseq synthesize` and `info` with styles and speakers: what each flag does, and refuses."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from styled_voice import save_styled

from speechseq.audio.wav import load
from speechseq.cli import main
from speechseq.inference.synthesizer import Synthesizer


@pytest.fixture(scope="module")
def voices(tmp_path_factory):
    folder = tmp_path_factory.mktemp("voices")
    return {name: save_styled(folder / name, name) for name in ("vae", "gst", "none")}


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("reference") / "tone.wav"
    time = np.arange(8000) / 16000
    soundfile.write(path, 0.3 * np.sign(np.sin(2 * math.pi * 150 * time)), 16000)
    return path


def say(voice: Path, out: Path, *flags: str) -> torch.Tensor:
    speaker = () if voice.name == "none" else ("--speaker", "anna")
    words = ["--checkpoint", str(voice), "--text", "abc", "--out", str(out), *speaker, *flags]
    assert main(["synthesize", *words]) == 0
    return load(out)[0]


@pytest.mark.parametrize("voice", ["vae", "gst"])
def test_every_way_of_choosing_a_style_sounds_otherwise_and_repeats(
    voices, voice, reference, tmp_path
):
    knobs = "0=1.5,2=-1" if voice == "vae" else "0=.25,3=.75"
    ways = [
        (),
        ("--style-scale", "3"),
        ("--style", knobs),
        ("--style-from", str(reference)),
        ("--style-sample",),
        ("--style-sample", "--seed", "5"),
    ]
    if voice == "vae":
        ways.append(("--style-move", "1=+2"))
    heard = [say(voices[voice], tmp_path / "a.wav", *way) for way in ways]
    for way, one in zip(ways, heard, strict=True):
        assert torch.equal(one, say(voices[voice], tmp_path / "b.wav", *way))
    assert len({tuple(one.flatten().tolist()) for one in heard}) == len(ways)


def test_flags_are_the_calls_of_the_library(voices, tmp_path):
    synthesizer = Synthesizer.load(voices["vae"])
    style = synthesizer.model.style
    code = style.mean_code.clone()
    code[2] += 1.5 * style.code_sd[2]
    latent = style.by_hand(code.unsqueeze(0), scale=2.0)
    (expected,) = synthesizer.synthesize(["abc"], seed=0, latent=latent, speaker="anna")
    heard = say(voices["vae"], tmp_path / "a.wav", "--style-move", "2=+1.5", "--style-scale", "2")
    torch.testing.assert_close(heard[0], expected.waveform, rtol=0, atol=1e-4)


def test_each_line_of_a_file_is_sampled_and_spoken_as_alone(voices, tmp_path):
    texts = tmp_path / "texts"
    texts.write_text("abc\nabc\n")
    words = ["--text-file", str(texts), "--out-dir", str(tmp_path / "out"), "--speaker", "boris"]
    assert main(["synthesize", "--checkpoint", str(voices["vae"]), *words, "--style-sample"]) == 0
    one, two = (load(tmp_path / "out" / f"000{i}.wav")[0] for i in (1, 2))
    assert one.shape != two.shape or not torch.equal(one, two)


@pytest.mark.parametrize(
    ("voice", "flags", "code", "said"),
    [
        ("none", ["--style", "0=1"], 2, "no style"),
        ("none", ["--speaker", "anna"], 2, "one voice"),
        ("vae", ["--style", "3=1", "--speaker", "anna"], 2, "use 0 to 2"),
        ("vae", ["--style", "0=1,0=2", "--speaker", "anna"], 2, "named twice"),
        ("vae", ["--style", "0=nan", "--speaker", "anna"], 2, "no knob and number"),
        ("vae", ["--style=-1=1", "--speaker", "anna"], 2, "no knob and number"),
        ("vae", ["--style", "", "--speaker", "anna"], 2, "no knob and number"),
        ("vae", ["--style-scale", "nan", "--speaker", "anna"], 2, "--style-scale"),
        ("vae", ["--style-sample", "--style-move", "0=1", "--speaker", "anna"], 2, "one way"),
        ("vae", ["--style-from", "none.wav", "--speaker", "anna"], 3, "no such file"),
        ("vae", [], 2, "anna, boris"),
        ("vae", ["--speaker", "ana"], 2, "did you mean 'anna'"),
        ("gst", ["--style", "0=.5,1=.4", "--speaker", "anna"], 2, "sum to 0.9"),
        ("gst", ["--style", "0=1.5,1=-.5", "--speaker", "anna"], 2, "sum to 1"),
        ("gst", ["--style-move", "0=1", "--speaker", "anna"], 2, "no standard deviation"),
    ],
)
def test_bad_requests_are_refused_with_a_cure(voices, capsys, tmp_path, voice, flags, code, said):
    words = ["--checkpoint", str(voices[voice]), "--text", "a", "--out", str(tmp_path / "a.wav")]
    try:
        found = main(["synthesize", *words, *flags])
    except SystemExit as error:
        found = error.code
    shown = capsys.readouterr().err
    assert (found, said in shown, "Traceback" in shown) == (code, True, False), shown
    assert not (tmp_path / "a.wav").exists()


@pytest.mark.parametrize(
    ("samples", "code", "said"),
    [
        (np.zeros(4000), 3, "silent"),
        (np.zeros(20), 3, "too short"),
        (np.random.default_rng(0).normal(0, 0.1, 4000), 0, "nothing is voiced"),
    ],
)
def test_unusual_references_are_named(voices, capsys, tmp_path, samples, code, said):
    path = tmp_path / "reference.wav"
    soundfile.write(path, samples, 8000)
    flags = ["--style-from", str(path), "--speaker", "anna", "--out", str(tmp_path / "a.wav")]
    command = ["synthesize", "--checkpoint", str(voices["vae"]), "--text", "abc", *flags]
    assert main(command) == code
    assert said in capsys.readouterr().err


def test_a_resampled_reference_is_named(voices, reference, tmp_path, capsys):
    say(voices["vae"], tmp_path / "a.wav", "--style-from", str(reference))
    assert "resampled from 16,000 to 8,000 Hz" in capsys.readouterr().err


CARD = {
    "knobs": [
        {
            "name": "0",
            "f0": {"change": 5.25, "monotone": 1.0},
            "spread": {"change": None, "monotone": None},
            "energy": {"change": -3.5, "monotone": -0.9},
            "rate": {"change": 12.0, "monotone": 1.0},
            "wer": None,
            "dead": False,
        }
    ],
    "active_units": 1.0,
    "dead": [],
}


def test_info_prints_the_card_and_the_speakers(voices, capsys):
    assert main(["info", str(voices["vae"])]) == 0
    assert "'anna' 'boris'" in (shown := capsys.readouterr().out)
    assert "not measured" in shown
    (voices["vae"] / "style_card.json").write_text(json.dumps(CARD))
    assert main(["info", str(voices["vae"])]) == 0
    shown = capsys.readouterr().out
    for part in ("+5.25 st", "undefined", "-3.50 dB", "+12.00 %", "dead: none"):
        assert part in shown
    for wrong in ("[]", "{", '{"knobs": [{}]}'):
        (voices["vae"] / "style_card.json").write_text(wrong)
        assert main(["info", str(voices["vae"])]) == 4
    (voices["vae"] / "style_card.json").unlink()
