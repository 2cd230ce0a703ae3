"""SPHERE files: sample for sample in each coding, and headers that do not fit are refused."""

from pathlib import Path

import numpy as np
import pytest
import torch

from speechseq.audio import wav
from speechseq.errors import DataError

SAMPLES = np.array([0, 1, -1, 1000, -1000, 32767, -32768, 256], np.int16)
FIELDS = {
    "sample_count": "-i 8",
    "sample_rate": "-i 16000",
    "sample_n_bytes": "-i 2",
    "sample_byte_format": "-s2 01",
    "channel_count": "-i 1",
    "sample_coding": "-s3 pcm",
}
LAW = {"sample_n_bytes": "-i 1", "sample_byte_format": "-s1 1", "sample_coding": "-s4 ulaw"}


def _sphere(path: Path, data: bytes, *, length: int = 1024, **changed: str | None) -> Path:
    fields = {key: value for key, value in {**FIELDS, **changed}.items() if value is not None}
    lines = ["NIST_1A", f"{length:7d}", *(f"{key} {value}" for key, value in fields.items())]
    head = "\n".join([*lines, "end_head", ""]).encode()
    path.write_bytes(head.ljust(length, b" ") + data)
    return path


def _mu_law(code: int) -> int:
    """One byte as a 14-bit sample times four, by the book (G.711)."""
    flipped = ~code & 0xFF
    exponent, mantissa = flipped >> 4 & 7, flipped & 15
    magnitude = ((mantissa << 3) + 0x84 << exponent) - 0x84
    return -magnitude if flipped & 0x80 else magnitude


@pytest.mark.parametrize("length", [1024, 2048])
@pytest.mark.parametrize(("order", "kind"), [("01", "<i2"), ("10", ">i2")])
def test_both_byte_orders_are_exact(tmp_path: Path, order: str, kind: str, length: int) -> None:
    data = SAMPLES.astype(kind).tobytes()
    path = _sphere(tmp_path / "a.sph", data, sample_byte_format=f"-s2 {order}", length=length)
    waveform, rate = wav.load(path)
    assert rate == 16000
    assert torch.equal(waveform[0] * 32768, torch.tensor(SAMPLES, dtype=torch.float32))


def test_every_byte_of_mu_law_is_exact(tmp_path: Path) -> None:
    codes = bytes(range(256))
    path = _sphere(tmp_path / "a.sph", codes, sample_count="-i 256", **LAW)
    expected = torch.tensor([_mu_law(code) for code in codes], dtype=torch.float32)
    assert torch.equal(wav.load(path)[0][0] * 32768, expected)


def test_a_name_does_not_matter_and_comments_are_skipped(tmp_path: Path) -> None:
    path = _sphere(tmp_path / "a.wav", SAMPLES.tobytes(), speaker_id="-s4 fash ; a comment")
    assert wav.load(path)[0].shape == (1, 8)


@pytest.mark.parametrize("empty", ["-s0 ", "-s0", "-s4     ", "-s0 ; no speaker"])
def test_a_field_without_characters_is_empty(tmp_path: Path, empty: str) -> None:
    path = _sphere(tmp_path / "a.sph", SAMPLES.tobytes(), speaker_id=empty)
    assert wav.load(path)[0].shape == (1, 8)


@pytest.mark.parametrize(
    ("changed", "data", "reason"),
    [
        ({"sample_coding": "-s26 pcm,embedded-shorten-v2.00"}, 16, "embedded-shorten-v2.00"),
        ({"sample_coding": "-s5 adpcm"}, 16, "'adpcm'"),
        ({"sample_count": None}, 16, "'nothing' as sample_count"),
        ({"sample_count": "-i many"}, 16, "'many' as sample_count"),
        ({"sample_count": "-i 0"}, 0, "'0' as sample_count"),
        ({"sample_rate": "-i 3"}, 16, "3 samples a second"),
        ({"channel_count": "-i -1"}, 16, "'-1' as channel_count"),
        ({"sample_n_bytes": "-i 4"}, 32, "samples of 4 bytes"),
        ({"sample_byte_format": None}, 16, "order of bytes"),
        ({"sample_byte_format": "-s4 0123"}, 16, "order of bytes"),
        ({"sample_rate": ""}, 16, "holds the line"),
        ({"sample_rate": "-s0"}, 16, "'' as sample_rate"),
        ({"speaker_id": "-i"}, 16, "holds the line"),
        ({}, 15, "claims 16 bytes of sound, 15 are there"),
        ({}, 0, "claims 16 bytes of sound, 0 are there"),
        ({}, 18, "damaged: the header claims 16"),  # libsndfile would read nine samples
    ],
)
def test_headers_that_do_not_fit_are_refused(
    tmp_path: Path, changed: dict, data: int, reason: str
) -> None:
    with pytest.raises(DataError) as caught:
        wav.load(_sphere(tmp_path / "a.sph", bytes(data), **changed))
    assert reason in caught.value.problem
    assert str(tmp_path / "a.sph") in caught.value.problem


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"NIST_1A\n   1024\nsample_count -i 8\n", "no end_head"),
        (b"NIST_1A\n", "does not say its length"),
        (b"NIST_1A\n   many\nend_head\n", "does not say its length"),
        (b"NIST_1A\n    100\nend_head\n", "of 100 bytes makes no sense"),
        (b"NIST_1A\n9999999\nend_head\n", "makes no sense"),
    ],
)
def test_damaged_headers_are_refused(tmp_path: Path, head: bytes, reason: str) -> None:
    path = tmp_path / "a.sph"
    path.write_bytes(head)
    with pytest.raises(DataError, match=reason):
        wav.load(path)
