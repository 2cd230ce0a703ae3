"""Errors that would end a run after its last update are raised before the first one."""

import builtins
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from speechseq.cli.preflight import check_start
from speechseq.config import Config
from speechseq.errors import ConfigError, MachineError
from speechseq.extras import need
from speechseq.file_writing import check_folder

RECIPE = '''"""A recipe that counts how often it worked."""
import dataclasses
from pathlib import Path
from speechseq.config import Config
from speechseq.extras import need

@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Config):
    device: str = "cpu"
    cache: str = "CACHE"

def main(settings, run):
    need("judge")
    run.mkdir(exist_ok=True)
    (run / "worked").touch()
'''


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(RECIPE.replace("CACHE", str(tmp_path / "cache")))
    return path


def test_nothing_is_left_behind_by_the_checks(tmp_path: Path) -> None:
    check_start(Config(), tmp_path / "new" / "run")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("extra", "module"), [("judge", "pocketsphinx"), ("espeak", "espeakng_loader")]
)
def test_a_missing_extra_names_its_command(
    monkeypatch: pytest.MonkeyPatch, extra: str, module: str
) -> None:
    need()
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MachineError, match=f"needs {module}") as caught:
        need(extra)
    assert caught.value.cure == f"pip install 'speechseq[{extra}]'"


def test_a_recipe_without_its_judge_ends_before_it_works(
    recipe: Path, tmp_path: Path, speechseq: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    ended = speechseq("train", recipe, "--run", tmp_path / "run")
    assert ended.code == 5
    assert "pip install 'speechseq[judge]'" in ended.err
    assert not (tmp_path / "run").exists()


def test_a_device_that_is_not_here(recipe: Path, tmp_path: Path, speechseq: Callable) -> None:
    ended = speechseq("train", recipe, "--run", tmp_path / "run", "--device", "cuda:63")
    assert ended.code == 5
    assert "--device: device cuda:63: not usable here" in ended.err
    assert "cure: give --device cpu" in ended.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["", "checkpoints", "pictures", "audio", "tensorboard"])
def test_a_file_where_a_folder_should_be(tmp_path: Path, name: str) -> None:
    (tmp_path / "run" / name).parent.mkdir(exist_ok=True)
    (tmp_path / "run" / name).touch()
    with pytest.raises(ConfigError, match="is no folder"):
        check_start(Config(), tmp_path / "run")


@pytest.mark.parametrize("name", [".lock", "log.jsonl", "report.html", "result.json"])
def test_a_folder_where_a_file_should_be(tmp_path: Path, name: str) -> None:
    (tmp_path / "run" / name).mkdir(parents=True)
    with pytest.raises(ConfigError, match=f"{name}: is a folder"):
        check_start(Config(), tmp_path / "run")


def test_a_folder_that_takes_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rights do not bind root, so the system call itself refuses."""
    opened = os.open

    def refuse(path: object, flags: int, *mode: int) -> int:
        if flags & os.O_CREAT:
            raise OSError(30, "Read-only file system")
        return opened(path, flags, *mode)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(MachineError, match="Read-only file system"):
        check_folder(tmp_path / "run")


def test_a_disk_with_room_for_names_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(MachineError, match=r"1 bytes needed, [0-9,]+ free"):
        check_folder(tmp_path)
    monkeypatch.undo()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "expected"), [("x" * 256, "File name too long"), ("a\x1b[31m\nb", "control character")]
)
def test_a_run_folder_that_cannot_be_named(
    recipe: Path, tmp_path: Path, speechseq: Callable, name: str, expected: str
) -> None:
    ended = speechseq("train", recipe, "--run", tmp_path / name)
    assert ended.code == 2
    assert expected in ended.err
    assert "\x1b" not in ended.err


def test_a_name_that_is_not_utf_8_is_no_obstacle(
    recipe: Path, tmp_path: Path, speechseq: Callable
) -> None:
    name = os.fsdecode(b"caf\xe9")
    assert speechseq("train", recipe, "--run", tmp_path / name).code == 0
    assert (tmp_path / name / "worked").exists()


@pytest.mark.parametrize(
    ("flags", "code", "expected"),
    [
        (["--out", "file/a.wav"], 2, "does not exist"),
        (["--out", "pipe.wav"], 2, "is a pipe"),
        (["--out", f"{'x' * 252}.wav"], 2, "File name too long"),
        (["--out", "a.wav", "--device", "cuda:63"], 5, "not usable here"),
    ],
)
def test_synthesize_looks_before_it_loads(
    tmp_path: Path,
    speechseq: Callable,
    monkeypatch: pytest.MonkeyPatch,
    flags: list[str],
    code: int,
    expected: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    os.mkfifo("pipe.wav")
    opened = builtins.open

    def watch(file: object, *rest: object, **named: object) -> object:
        assert "nothing-here" not in str(file)
        return opened(file, *rest, **named)  # type: ignore[call-overload]

    monkeypatch.setattr(builtins, "open", watch)
    ended = speechseq("synthesize", "--checkpoint", "nothing-here", "--text", "a", *flags)
    assert (ended.code, expected in ended.err) == (code, True)


def test_the_file_of_texts_is_not_overwritten(tmp_path: Path, speechseq: Callable) -> None:
    (tmp_path / "0001.wav").write_text("a text\n")
    flags = ["--text-file", tmp_path / "0001.wav", "--out-dir", tmp_path]
    ended = speechseq("synthesize", "--checkpoint", "nothing-here", *flags)
    assert ended.code == 2
    assert "is the file of texts" in ended.err
    assert (tmp_path / "0001.wav").read_text() == "a text\n"
