"""Downloading from a server that breaks off, lies, or is not there: nothing half is left behind."""

import functools
import hashlib
import http.server
import io
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from speechseq.corpus import download
from speechseq.errors import DataError, MachineError


class _Server(http.server.BaseHTTPRequestHandler):
    """Serves one file; `cut` ends the first answer early, Range is honoured."""

    def __init__(self, content: bytes, state: dict, *args: object) -> None:
        self.content, self.state = content, state
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
        self.state["starts"].append(start)
        self.send_response(206 if start else 200)
        body = self.content[start:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.state.pop("cut", None)])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def archive() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:bz2") as tar:
        for name in ("Corpus-1/metadata.csv", "Corpus-1/wavs/a.wav"):
            entry = tarfile.TarInfo(name)
            entry.size = 5
            tar.addfile(entry, io.BytesIO(b"hello"))
    return packed.getvalue()


@pytest.fixture
def server(archive: bytes) -> Iterator[tuple[str, dict]]:
    state: dict = {"starts": []}
    handler = functools.partial(_Server, archive, state)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/c.tar.bz2", state
        running.shutdown()


def test_a_broken_transfer_is_resumed(
    server: tuple[str, dict], archive: bytes, tmp_path: Path
) -> None:
    url, state = server
    state["cut"] = 50
    path, sha256 = tmp_path / "new" / "c.tar.bz2", hashlib.sha256(archive).hexdigest()
    with pytest.raises(MachineError, match="cannot be fetched"):
        download.fetch(url, path, sha256=sha256, size=len(archive))
    assert not path.exists()
    download.fetch(url, path, sha256=sha256, size=len(archive))
    assert state["starts"] == [0, 50]
    assert path.read_bytes() == archive
    download.fetch(url, path, sha256=sha256, size=len(archive))
    assert len(state["starts"]) == 2
    assert list(path.parent.iterdir()) == [path]


def test_a_wrong_checksum_leaves_nothing(
    server: tuple[str, dict], archive: bytes, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="SHA-256"):
        download.fetch(server[0], tmp_path / "c", sha256="0" * 64, size=len(archive))
    assert list(tmp_path.iterdir()) == []


def test_no_network_and_no_room_are_said_with_a_cure(tmp_path: Path) -> None:
    with pytest.raises(MachineError) as caught:
        download.fetch("http://127.0.0.1:9/c", tmp_path / "c", sha256="", size=1)
    assert str(tmp_path / "c") in caught.value.cure
    with pytest.raises(MachineError, match="GB are needed"):
        download.fetch("http://127.0.0.1:9/c", tmp_path / "c", sha256="", size=1 << 60)


def test_an_archive_is_unpacked_whole_or_not_at_all(archive: bytes, tmp_path: Path) -> None:
    packed, folder = tmp_path / "c.tar.bz2", tmp_path / "Corpus-1"
    packed.write_bytes(archive[: len(archive) // 2])
    with pytest.raises(DataError, match="cannot be unpacked"):
        download.unpack(packed, folder, size=10)
    assert list(tmp_path.iterdir()) == [packed]
    packed.write_bytes(archive)
    assert download.unpack(packed, folder, size=10) == folder
    assert (folder / "wavs" / "a.wav").read_text() == "hello"
    assert sorted(tmp_path.iterdir()) == [folder, packed]


def test_an_archive_that_climbs_out_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "c.tar", "w") as tar:
        entry = tarfile.TarInfo("../outside.txt")
        tar.addfile(entry, io.BytesIO(b""))
    (tmp_path / "in").mkdir()
    with pytest.raises(DataError, match="cannot be unpacked"):
        download.unpack(tmp_path / "c.tar", tmp_path / "in" / "Corpus-1", size=10)
    assert not (tmp_path / "in" / "outside.txt").exists()
    assert not (tmp_path / "outside.txt").exists()
