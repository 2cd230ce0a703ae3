"""Cache of compiled libraries: only complete files of this user are loaded."""

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from speechseq.ops.cpp import cache, compiler, library

with_compiler = pytest.mark.skipif(
    compiler.compiler() is None, reason="this machine has no C++ compiler"
)
WHOLE = bytes(range(256)) * 40


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of a user whose home and temporary folder are empty."""
    for name in ("home", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(cache.tempfile, "gettempdir", lambda: str(tmp_path / "temporary"))
    return tmp_path / "cache" / "speechseq" / "native"


def _made(anew: bool = False) -> Path:
    return cache.kept("one.so", lambda target: target.write_bytes(WHOLE) and None, anew)


def _not_again(target: Path) -> None:
    raise AssertionError("it was there")


def test_a_file_is_made_once_and_all_is_private(folder: Path) -> None:
    before = os.umask(0)
    try:
        path = _made()
    finally:
        os.umask(before)
    assert path == folder / "one.so" == cache.kept("one.so", _not_again)
    for own in (folder, folder.parent, folder.parent.parent):
        assert stat.S_IMODE(own.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) & 0o077 for file in folder.iterdir()} == {0}
    assert sorted(file.name for file in folder.iterdir()) == ["one.so", "one.so.sha256"]


def _cut(path: Path) -> None:
    path.write_bytes(WHOLE[:-1])


def _zeroed(path: Path) -> None:
    path.write_bytes(WHOLE[:5000] + bytes(len(WHOLE) - 5000))


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _another(path: Path) -> None:
    """A whole library of another name, with its checksum."""
    other = cache.kept("other.so", lambda target: target.write_bytes(b"other") and None)
    other.replace(path)
    other.with_name("other.so.sha256").replace(path.with_name("one.so.sha256"))


def _link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _no_checksum(path: Path) -> None:
    path.with_name("one.so.sha256").unlink()


DAMAGE = (_cut, _zeroed, _empty, _another, _link, _pipe, _no_checksum)


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_made_anew(folder: Path, damage: Callable[[Path], None]) -> None:
    damage(_made())
    assert _made().read_bytes() == WHOLE
    assert not (folder / "one.so").is_symlink()
    assert cache.kept("one.so", _not_again) == folder / "one.so"


@pytest.mark.parametrize("name", ["one.so", "one.so.sha256"])
def test_a_file_that_others_may_write_is_made_anew(folder: Path, name: str) -> None:
    _made()
    (folder / name).chmod(0o720)
    assert _made() == folder / "one.so"
    assert stat.S_IMODE((folder / name).stat().st_mode) & 0o022 == 0


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
@pytest.mark.parametrize("which", ["native", "speechseq"])
def test_a_folder_that_others_may_write_is_refused(folder: Path, mode: int, which: str) -> None:
    folder.mkdir(parents=True)
    (folder if which == "native" else folder.parent).chmod(mode)
    with pytest.warns(RuntimeWarning, match=r"writable by others \(chmod go-w\)"):
        path = _made()
    assert "temporary" in path.parts
    assert list(folder.iterdir()) == []


def test_a_folder_of_another_user_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _made()
    cache._problem.cache_clear()
    monkeypatch.setattr(cache.os, "geteuid", lambda: folder.stat().st_uid + 1)
    with (
        pytest.warns(RuntimeWarning, match="belongs to another user"),
        pytest.raises(OSError, match="belongs to another user"),
    ):
        _made()


def test_a_file_of_another_user_is_made_anew(folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(_made(), 12345, 12345)
    assert _made().stat().st_uid == 0


def test_a_relative_cache_is_no_cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    monkeypatch.chdir(folder.parents[2])
    assert _made().is_relative_to(folder.parents[2] / "home" / ".cache")
    assert not folder.exists()


@pytest.mark.parametrize("home", [None, "/nonexistent/of/speechseq", "relative", "file"])
def test_no_home_is_no_obstacle(
    folder: Path, monkeypatch: pytest.MonkeyPatch, home: str | None
) -> None:
    (folder.parents[2] / "file").write_text("")
    monkeypatch.setenv("HOME", "" if home is None else home)
    if home == "file":
        monkeypatch.setenv("HOME", str(folder.parents[2] / "file"))
    monkeypatch.delenv("XDG_CACHE_HOME")
    if home is None:
        monkeypatch.delenv("HOME")
        monkeypatch.setattr(Path, "home", _no_home)
    assert "temporary" in _made().parts


def _no_home() -> Path:
    raise RuntimeError("Could not determine home directory.")


def test_a_cache_that_is_a_link_to_a_folder_of_ones_own_is_followed(folder: Path) -> None:
    target = folder.parents[2] / "scratch"
    target.mkdir()
    folder.parents[1].mkdir()
    folder.parent.symlink_to(target)
    assert _made().resolve() == target / "native" / "one.so"
    target.chmod(0o777)
    cache._problem.cache_clear()
    with pytest.warns(RuntimeWarning, match="writable by others"):
        assert "temporary" in _made(anew=True).parts


def test_two_processes_may_make_one_file_at_once(folder: Path) -> None:
    def slow(target: Path) -> None:
        _made()
        target.write_bytes(WHOLE)

    assert cache.kept("one.so", slow) == folder / "one.so" == cache.kept("one.so", _not_again)


SOURCE = """
#include <cstdint>
extern "C" void add(float* x, int64_t count, int64_t threads) {
    for (int64_t i = 0; i < count; i++) x[i] += 1;
}
"""
CHILD = """
import sys
from pathlib import Path
import torch
from speechseq.ops.cpp import cache
from speechseq.ops.cpp import library
from speechseq.ops.cpp.compiler import compile_library, compiler, digest

library._HERE = Path(sys.argv[1])
command = compiler()
for name in ("cut", "zeroed", "garbage", "text"):
    source = library._HERE / f"{name}.cpp"
    path = cache.kept(f"{name}-{digest(source, command)}.so",
                      lambda target: compile_library(source, command, target))
    whole = path.read_bytes()
    half = len(whole) // 2
    damaged = {"cut": whole[:half], "zeroed": whole[:half] + bytes(len(whole) - half),
               "garbage": b"\\x7fELF" + whole[8:], "text": b"INPUT(/etc/passwd)"}
    path.write_bytes(damaged[name])
    x = torch.zeros(3)
    assert library.library(name) is not None
    library.call(name, "add", x, 3)
    assert x.tolist() == [1, 1, 1] and path.read_bytes() == whole, name
print("whole")
"""


@with_compiler
def test_a_damaged_library_never_ends_the_process(tmp_path: Path) -> None:
    for name in ("cut", "zeroed", "garbage", "text"):
        (tmp_path / f"{name}.cpp").write_text(SOURCE)
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    command = [sys.executable, "-c", CHILD, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "whole"), done.stderr[-2000:]


@with_compiler
@pytest.mark.parametrize("words", ["wrapper {}", "{} -O1", "  {}  ", "'{}' -g0"])
def test_cxx_may_be_several_words(
    folder: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    own = compiler.compiler()
    assert own is not None
    sources = folder.parents[2]
    (sources / "wrapper").write_text('#!/bin/sh\nexec "$@"\n')
    (sources / "wrapper").chmod(0o755)
    (sources / "adding.cpp").write_text(SOURCE)
    monkeypatch.setattr(library, "_HERE", sources)
    monkeypatch.setenv("PATH", f"{sources}:{os.environ['PATH']}")
    monkeypatch.setenv("CXX", words.format(own[0]))
    monkeypatch.delenv("SPEECHSEQ_NATIVE", raising=False)
    library.library.cache_clear()
    assert library.library("adding") is not None
    library.library.cache_clear()


@pytest.mark.parametrize("words", ["no-such-compiler", "g++ 'unclosed", "'' x"])
def test_a_cxx_that_cannot_run_is_said_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    monkeypatch.setenv("CXX", words)
    monkeypatch.delenv("SPEECHSEQ_NATIVE", raising=False)
    compiler._named.cache_clear()
    library.library.cache_clear()
    with pytest.warns(RuntimeWarning, match=r"CXX names no compiler(.|\n)*Unset CXX") as said:
        assert [library.library(name) for name in ("gemm", "pointwise")] == [None, None]
    assert len(said) == 1
    library.library.cache_clear()
