"""Files are written whole or not at all, and never through a link."""

import errno
import os
import resource
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from speechseq.errors import ConfigError, MachineError
from speechseq.file_writing import cannot_write, open_to_append, replace_file


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "victim"
    path.write_bytes(b"years of work")
    return path


def test_a_link_is_replaced_and_not_followed(tmp_path: Path, victim: Path) -> None:
    os.symlink(victim, tmp_path / "out")
    os.link(victim, tmp_path / "hard")
    for name in ("out", "hard"):
        replace_file(tmp_path / name, b"new")
        assert (tmp_path / name).read_bytes() == b"new"
    assert victim.read_bytes() == b"years of work"
    assert sorted(os.listdir(tmp_path)) == ["hard", "out", "victim"]


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_only_a_regular_file_is_written(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "taken")
    for write in (open_to_append, lambda path: replace_file(path, b"new")):
        with pytest.raises(ConfigError, match=r"is a (folder|pipe), and only a regular file"):
            write(tmp_path / "taken")
    assert os.listdir(tmp_path) == ["taken"]


def test_nothing_is_appended_through_a_link(tmp_path: Path, victim: Path) -> None:
    os.symlink(victim, tmp_path / "log")
    os.symlink(tmp_path / "nowhere", tmp_path / "dangling")
    for name in ("log", "dangling"):
        with pytest.raises(ConfigError, match=r"is a link to .*\n  cure: remove it"):
            open_to_append(tmp_path / name)
    assert victim.read_bytes() == b"years of work"
    assert not (tmp_path / "nowhere").exists()


def test_a_name_of_255_bytes_can_be_written(tmp_path: Path) -> None:
    replace_file(tmp_path / ("x" * 255), b"new")
    assert os.listdir(tmp_path) == ["x" * 255]
    with pytest.raises(MachineError, match="File name too long"):
        replace_file(tmp_path / ("x" * 256), b"new")


def test_rights_are_those_of_any_new_file(tmp_path: Path) -> None:
    replace_file(tmp_path / "a", b"", durable=True)
    (tmp_path / "b").touch()
    assert stat.S_IMODE(os.stat(tmp_path / "a").st_mode) == os.stat(tmp_path / "b").st_mode & 0o777


def test_a_disk_that_takes_no_more_keeps_the_old_file(tmp_path: Path, victim: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(MachineError, match=r"File too large: 100,000 bytes needed\n.*ulimit"):
            replace_file(victim, bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert victim.read_bytes() == b"years of work"
    assert os.listdir(tmp_path) == ["victim"]


@pytest.mark.parametrize(("number", "cure"), [(errno.ENOSPC, "disk"), (errno.EDQUOT, "quota")])
def test_a_full_disk_says_the_bytes_needed_and_free(tmp_path: Path, number: int, cure: str) -> None:
    error = cannot_write(tmp_path / "no" / "such" / "a", OSError(number, "full"), 12_345)
    free = os.statvfs(tmp_path)
    assert "full: 12,345 bytes needed, " in error.problem
    said = int(error.problem.rpartition("needed, ")[2].removesuffix(" free").replace(",", ""))
    assert said == pytest.approx(free.f_bavail * free.f_frsize, rel=0.2)
    assert f"make room {'on' if cure == 'disk' else 'within'} the {cure}" in error.cure
