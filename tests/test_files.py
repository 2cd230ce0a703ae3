"""Files that people name: nothing is waited on, nothing is read without end, errors say why."""

import ast
import gzip
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from speechseq import files
from speechseq.errors import CheckpointError, ConfigError

TEXT = files.Kind(name="a text", limit=1000, longest_line=100, cure="name a text", gzipped=True)
STREAM = files.Kind(name="a text", limit=1000, streams=True)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


SPECIAL: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "no such file"),
    "dangling link": (lambda path: path.symlink_to("nowhere"), "is a link to nowhere"),
    "FIFO": (os.mkfifo, "is a FIFO"),
    "link to a device": (lambda path: path.symlink_to("/dev/zero"), "is a device"),
    "socket": (_socket, "is a device or socket"),
    "directory": (Path.mkdir, "is a directory, not a text"),
    "huge": (lambda path: (path.touch(), os.truncate(path, 1 << 40)), "1,099,511,627,776 bytes"),
    "too large": (lambda path: path.write_bytes(b"a\n" * 501), "1,002 bytes, expected at most"),
}


@pytest.mark.parametrize(("make", "reason"), SPECIAL.values(), ids=SPECIAL)
@pytest.mark.parametrize("read", [files.read_bytes, files.read_text])
def test_what_is_no_regular_file_of_a_sensible_size_is_refused(
    tmp_path: Path, make: Callable, reason: str, read: Callable
) -> None:
    path = tmp_path / "x"
    make(path)
    begin = time.monotonic()
    with pytest.raises(CheckpointError, match=reason) as caught:
        read(path, files.Kind(name="a text", limit=1000, error=CheckpointError))
    assert time.monotonic() - begin < 1
    assert str(path) in caught.value.problem
    assert caught.value.cure


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"ab\n\xff\n", ":2: not UTF-8 text: byte 1"),
        (b"ab\nc\0d\n", ":2: holds NUL bytes"),
        (b"a" * 101, ":1: the line is longer than 100 bytes"),
        ("a\n".encode("utf-16"), "the text is UTF-16"),
        (gzip.compress(b"a" * 10**5, mtime=0), "the line is longer"),
        (gzip.compress(b"a\n" * 10**5, mtime=0), "more than 1,000 bytes"),
        (gzip.compress(b"a\nb\n", mtime=0)[:-6], "the gzip file is damaged"),
        (gzip.compress(b"a\nb\n", mtime=0)[:-8] + bytes(8), "the gzip file is damaged"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(files.DataError, match=reason):
        files.read_text(path, TEXT)


@pytest.mark.parametrize(
    "content", [b"\xef\xbb\xbfa\r\nb", b"a\nb\n", gzip.compress(b"a\r\nb\n", mtime=0)]
)
def test_byte_order_marks_and_line_ends_are_taken_off(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    assert list(files.lines(path, TEXT)) == [(1, b"a"), (2, b"b")]
    assert files.read_text(path, TEXT) == "a\nb\n"


@pytest.mark.parametrize("name", ["a\0b", "a\ud800b"])
def test_a_name_that_cannot_be_one_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        files.read_bytes(name, files.Kind(name="a text", limit=10, error=ConfigError))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.touch(mode=0)
    with pytest.raises(files.DataError, match="Permission denied"):
        files.read_bytes(path, TEXT)


@pytest.mark.parametrize("name", ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"])
@pytest.mark.parametrize(("content", "says"), [(b"a\nb", "a\nb\n"), (b"a" * 1001, "at most 1,000")])
def test_a_stream_is_read_up_to_the_limit(name: str, content: bytes, says: str) -> None:
    program = (
        "import sys; from speechseq import files\n"
        f"kind = files.Kind(name='a text', limit=1000, streams=True)\n"
        f"try: print(files.read_text({name!r}, kind), end='')\n"
        "except files.DataError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], input=content, capture_output=True)
    assert says in done.stdout.decode()


def test_a_stream_is_read_only_where_it_is_expected() -> None:
    with pytest.raises(files.DataError):
        files.read_bytes("/dev/stdin", TEXT)


# no reader but these

SOURCES = sorted(Path(files.__file__).parent.rglob("*.py"))
OWN_FILES = {  # what they open is the package's own, or comes from its own process
    "files.py": "the one place",
    "file_writing.py": "what was just written, to wait for the disk; nothing is read",
    "ops/cpp/cache.py": "compiled kernels, whose owner and checksum are judged there",
    "ops/cpp/compiler.py": "the kernels' sources and the compiler's",
    "evaluation/report/page.py": "the page's style, inside the package",
    "corpus/espeak_worker.py": "a plan on a pipe from its parent",
    "corpus/known_durations_worker.py": "a plan on a pipe from its parent",
    "corpus/download.py": "an archive whose checksum was compared",
}
READING = {"read_text", "read_bytes", "open", "load", "memmap", "fromfile", "loadtxt", "genfromtxt"}
MODULES = {"np", "json", "gzip", "tarfile", "torch", "os", "io", "zipfile"}


def _readings(path: Path) -> list[str]:
    calls = [n for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.Call)]
    return [ast.unparse(call) for call in calls if _reads(call)]


def _reads(call: ast.Call) -> bool:
    """A call that opens a file for reading by itself, as far as its words tell."""
    words = [str(a.value) for a in [*call.args, *(k.value for k in call.keywords)] if _is_text(a)]
    writes = any(set(word) <= set("wxab+") and set(word) & set("wxa") for word in words)
    if isinstance(call.func, ast.Name):
        return call.func.id == "open" and not writes and "devnull" not in ast.unparse(call)
    if not isinstance(call.func, ast.Attribute) or call.func.attr not in READING or writes:
        return False
    owner = ast.unparse(call.func.value)
    text = ast.unparse(call)
    if call.func.attr in ("read_text", "read_bytes"):
        return owner != "files"
    if call.func.attr == "open" and ("O_WRONLY" in text or "O_RDWR" in text or "flags" in text):
        return False
    checked = "BytesIO" in text or "mmap_mode" in text  # `check_regular` stands before the latter
    return owner in MODULES and not checked and "os.open(folder" not in text


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(SOURCES[0].parent)))
def test_nobody_opens_people_s_files_but_the_one_place(path: Path) -> None:
    if str(path.relative_to(Path(files.__file__).parent)) not in OWN_FILES:
        assert not _readings(path)


def test_the_eye_for_readings_sees_them() -> None:
    program = "open(p); open(p, 'rb'); p.read_text(); p.read_bytes(); np.load(p); gzip.open(p)"
    calls = [n for n in ast.walk(ast.parse(program)) if isinstance(n, ast.Call)]
    assert all(map(_reads, calls))
    program = "open(p, 'xb'); files.read_text(p, K); os.open(p, os.O_WRONLY)"
    calls = [n for n in ast.walk(ast.parse(program)) if isinstance(n, ast.Call)]
    assert not any(map(_reads, calls))
