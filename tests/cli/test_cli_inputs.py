"""Every input of every command: FIFOs, devices, huge and missing files are errors, at once."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny_las import tiny_config
from tiny_recogniser import AUDIO, VOCABULARY
from tiny_voice import save_voice

from speechseq import checkpoint

SECONDS, MEGABYTES = 2.0, 500
KINDS = ("missing", "dangling", "FIFO", "zero", "null", "directory", "huge", "empty", "nuls")

CHILD = """
import json, resource, signal, sys, time
from speechseq.cli import main

def late(*_):
    raise TimeoutError("not ended in time")

signal.signal(signal.SIGALRM, late)
for name, argv in json.loads(sys.stdin.read()):
    begin, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    signal.alarm(0 if name == "warm" else 20)
    try:
        code = main(argv)
    except SystemExit as error:
        code = error.code
    signal.alarm(0)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(json.dumps([name, code, time.process_time() - begin, grown / 1024]), flush=True)
"""


def spoil(path: Path, kind: str) -> Path:
    """Put a file of this kind there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "dangling":
        path.symlink_to("nowhere")
    elif kind == "FIFO":
        os.mkfifo(path)
    elif kind == "zero":
        path.symlink_to("/dev/zero")
    elif kind == "null":
        path.symlink_to("/dev/null")
    elif kind == "directory":
        path.mkdir()
    elif kind == "huge":
        path.touch()
        os.truncate(path, 1 << 41)
    elif kind == "empty":
        path.touch()
    elif kind == "nuls":
        path.write_bytes(bytes(1 << 20))
    return path


def inputs(folder: Path, kind: str) -> Iterator[tuple[str, list[str], int]]:
    """Each input that a command reads from a file: its name, the command, its exit code."""
    shared, bad = folder.parent, spoil(folder / "bad", kind)
    good, voice, las = shared / "good.txt", shared / "voice", shared / "las"
    sound = shared / "a.wav"
    yield "text-file", ["synthesize", f"--checkpoint={voice}", f"--text-file={bad}",
                        f"--out-dir={folder / 'out'}"], 3  # fmt: skip
    yield "voice", ["synthesize", f"--checkpoint={bad}", "--text=a", f"--out={folder}/a.wav"], 4
    yield "sound", ["transcribe", f"--checkpoint={las}", str(bad)], 3
    lm = 4 if kind == "directory" else 3
    yield "lm", ["transcribe", f"--checkpoint={las}", f"--lm={bad}", str(sound)], lm
    yield "recogniser", ["transcribe", f"--checkpoint={bad}", str(sound)], 4
    for flag in ("ref", "hyp", "hyp2", "speakers"):
        files = {"ref": good, "hyp": good, flag: bad}
        yield flag, ["score", *(f"--{name}={path}" for name, path in files.items())], 3
    yield "recipe", ["train", str(bad)], 2
    yield "config", ["train", str(shared / "recipe.py"), "--config", str(bad)], 2
    yield "info", ["info", str(bad)], 4
    for part in ("config.json", "vocabulary.json", "model.safetensors"):
        yield part, ["info", str(_checkpoint_with(folder / f"has-{part}", voice, part, kind))], 4
    yield from _corpora(folder, sound, kind)


def _checkpoint_with(folder: Path, voice: Path, part: str, kind: str) -> Path:
    folder.mkdir()
    for path in voice.iterdir():
        if path.name != part:
            (folder / path.name).write_bytes(path.read_bytes())
    spoil(folder / part, kind)
    return folder


def _corpora(folder: Path, sound: Path, kind: str) -> Iterator[tuple[str, list[str], int]]:
    spoil(folder / "lj" / "metadata.csv", kind)
    yield "metadata.csv", ["prepare", "ljspeech", str(folder / "lj")], 3
    spoil(folder / "lj2" / "wavs" / "a.wav", kind)
    (folder / "lj2" / "metadata.csv").write_text("a|a text\n")
    yield "wavs", ["prepare", "ljspeech", str(folder / "lj2")], 3
    spoil(folder / "libri" / "p" / "1" / "2" / "1-2.trans.txt", kind)
    yield "trans.txt", ["prepare", "librispeech", str(folder / "libri"), "--parts", "p"], 3
    spoil(folder / "an4" / "etc" / "an4_train.transcription", kind)
    yield "transcription", ["prepare", "an4", str(folder / "an4")], 3
    spoil(folder / "fsdd" / "train.tsv", kind)
    yield "train.tsv", ["prepare", "fsdd", str(folder / "fsdd")], 3
    spoil(folder / "fsdd2" / "recordings" / "0_theo_0.wav", kind)
    yield "recordings", ["prepare", "fsdd", str(folder / "fsdd2")], 3


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    save_voice(folder / "voice")
    model = tiny_config()
    las = model.build(symbols=len(VOCABULARY), features=AUDIO.features)
    checkpoint.save(
        folder / "las",
        model=model,
        audio=AUDIO,
        vocabulary=VOCABULARY,
        weights=las.state_dict(),
        update=1,
    )
    (folder / "good.txt").write_text("u1 one\nu2 two\n")
    soundfile.write(folder / "a.wav", 0.1 * np.sin(np.arange(8000) * 0.1), AUDIO.sample_rate)
    (folder / "recipe.py").write_text(
        "import dataclasses\nfrom speechseq.config import Config\n"
        "@dataclasses.dataclass(frozen=True, kw_only=True)\nclass Settings(Config):\n"
        "    a: int = 1\n"
        "def main(settings, run):\n    pass\n"
    )
    return folder


Ended = dict[str, tuple[int, float, float]]


@pytest.fixture(scope="module")
def ended(shared: Path) -> tuple[dict[str, int], Ended, str]:
    """The codes that should be; each command's code, seconds and megabytes; and what was said.

    One process runs them all; a first command of each that is right has it import what it needs.
    """
    inputs = [(f"{kind} {name}", *rest) for kind in KINDS for name, *rest in _made(shared, kind)]
    calls, codes = (
        [(name, argv) for name, argv, _ in inputs],
        {name: code for name, _, code in inputs},
    )
    voice, las, sound = shared / "voice", shared / "las", str(shared / "a.wav")
    warm = [
        ["synthesize", f"--checkpoint={voice}", "--text=a", f"--out={shared / 'out.wav'}"],
        ["transcribe", f"--checkpoint={las}", sound],
        ["prepare", "an4", str(shared)],
        ["score", f"--ref={shared / 'good.txt'}", f"--hyp={shared / 'good.txt'}"],
    ]
    done = subprocess.run(
        [sys.executable, "-c", CHILD],
        input=json.dumps([("warm", argv) for argv in warm] + calls),
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=250,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    return codes, {name: (code, time, size) for name, code, time, size in lines}, done.stderr


def _made(shared: Path, kind: str) -> list[tuple[str, list[str], int]]:
    (shared / kind).mkdir()
    return list(inputs(shared / kind, kind))


@pytest.mark.parametrize("kind", KINDS)
def test_every_input_refuses_what_is_no_file_of_its_kind(
    ended: tuple[dict[str, int], Ended, str], kind: str
) -> None:
    codes, found, said = ended
    expected = {name: code for name, code in codes.items() if name.startswith(f"{kind} ")}
    assert {name: found.get(name, (None,))[0] for name in expected} == expected, said[-3000:]
    assert {name: found[name] for name in expected if found[name][1] > SECONDS} == {}
    assert {name: found[name] for name in expected if found[name][2] > MEGABYTES} == {}
    assert "Traceback" not in said
