"""One length of a file for everyone: header, load, blocks and corpus agree on its samples."""

import io
import struct
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechseq.audio import wav
from speechseq.corpus.recording import spoken
from speechseq.errors import DataError

RATE, SAMPLES = 16000, 5001
SOUND = (9000 * np.sin(np.arange(SAMPLES) * 0.17)).astype("<i2")
PCM = SOUND.tobytes()
FMT = struct.pack("<HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16)
LIST = b"LIST" + struct.pack("<I", 10) + b"INFOISFTab"
ODD = b"LIST" + struct.pack("<I", 9) + b"INFOISFTa"
ID3 = b"ID3\x03\0\0" + bytes([0, 0, 1, 0]) + b"TIT2" + bytes([0, 0, 0, 5, 0, 0]) + b"\0song"
ID3 += bytes(138 - len(ID3))
FOOTED = (
    b"ID3\x04\0\x10" + bytes([0, 0, 0, 20]) + bytes(20) + b"3DI\x04\0\x10" + bytes([0, 0, 0, 20])
)
ID3V1 = b"TAG" + bytes(125)
APE = b"APETAGEX" + struct.pack("<IIII", 2000, 64, 1, 5 << 29) + bytes(8)
APE += bytes(32) + b"APETAGEX" + struct.pack("<IIII", 2000, 64, 1, 1 << 31) + bytes(8)


def riff(size: int, data: bytes = PCM, before: bytes = b"", after: bytes = b"") -> bytes:
    head = b"RIFF" + struct.pack("<I", 36) + b"WAVEfmt " + struct.pack("<I", len(FMT)) + FMT
    return head + before + b"data" + struct.pack("<I", size) + data + after


def rf64(size: int, magic: bytes = b"RF64") -> bytes:
    wide = b"ds64" + struct.pack("<IQQQI", 28, 0, size, 0, 0)
    fmt = b"fmt " + struct.pack("<I", len(FMT)) + FMT
    return magic + b"\xff" * 4 + b"WAVE" + wide + fmt + b"data" + b"\xff" * 4 + PCM


def w64(size: int) -> bytes:
    tail = bytes.fromhex("f3acd3118cd100c04f8edb8a")
    head = b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000") + struct.pack("<Q", size)
    fmt = b"fmt " + tail + struct.pack("<Q", 40) + FMT
    return head + b"wave" + tail + fmt + b"data" + tail + struct.pack("<Q", size) + PCM


def written(form: str, subtype: str | None = None, channels: int = 1) -> bytes:
    sound = np.repeat(SOUND[:, None], channels, 1) / 32768
    stream = io.BytesIO()
    soundfile.write(stream, sound, RATE, format=form, subtype=subtype)
    return stream.getvalue()


def flac(total: int | None = None, tail: int = 0) -> bytes:
    """A FLAC file that claims `total` samples, without its last bytes."""
    data = bytearray(written("FLAC"))
    if total is not None:
        packed = int.from_bytes(data[18:26], "big") >> 36 << 36 | total
        data[18:26] = packed.to_bytes(8, "big")
    return bytes(data[: len(data) - tail])


READABLE = {
    **{
        f"wav that promises {size:#x}": riff(size)
        for size in (0, 0x7FFFF000, 0x7FFFFFFF, 0x7FFFFFFF - 36, 0x80000000, 0x80000024)
    },
    **{f"wav that promises {size:#x}": riff(size) for size in (0xFFFFFFFF, 0xFFFFFFFF - 36)},
    "streamed, cut within a sample": riff(0xFFFFFFFF, PCM + b"\1"),
    "streamed, list before": riff(0xFFFFFFFF, before=LIST),
    "streamed, ID3v1 behind": riff(0, after=ID3V1),
    "list before": riff(len(PCM), before=LIST),
    "odd list before": riff(len(PCM), before=ODD + b"\0"),
    "odd list without its padding": riff(len(PCM), before=ODD),
    "list behind": riff(len(PCM), after=LIST),
    "tags behind": riff(len(PCM), after=APE + ID3V1),
    "wav behind ID3": ID3 + riff(len(PCM)),
    "wav behind ID3, list behind": ID3 + riff(len(PCM), after=LIST),
    "streamed wav behind ID3": ID3 + riff(0x7FFFF000),
    **{f"wav of {s}": written("WAV", s) for s in ("PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")},
    "wav of ulaw": written("WAV", "ULAW"),
    "extensible": written("WAVEX", "PCM_24"),
    "stereo": written("WAV", None, 2),
    "RF64": rf64(len(PCM)),
    "BW64": rf64(len(PCM), b"BW64"),
    "RF64 that was streamed": rf64(0),
    "RF64 that promises all ones": rf64(2**64 - 1),
    "RF64 of libsndfile": written("RF64"),
    "W64": w64(24 + len(PCM)),
    "W64 of libsndfile": written("W64"),
    "W64 that promises nothing": w64(0),
    "W64 that promises all ones": w64(2**64 - 1),
    "W64 that promises 2^63 - 1": w64(2**63 - 1),
    "FLAC": flac(),
    "FLAC of stereo": written("FLAC", "PCM_24", 2),
    "FLAC of unknown length": flac(0),
    "FLAC that promises all ones": flac(2**36 - 1),
    "FLAC behind ID3": ID3 + flac(),
    "FLAC behind two tags": ID3 + FOOTED + flac(),
    "FLAC before ID3v1": flac() + ID3V1,
    "FLAC between tags": ID3 + flac() + APE + ID3V1,
    "FLAC of unknown length between tags": ID3 + flac(0) + APE + ID3V1,
    "OGG": written("OGG"),
    "OGG behind ID3": ID3 + written("OGG"),
    "OGG before ID3v1": written("OGG") + ID3V1,
    "SPHERE": written("NIST"),
}
REFUSED = {
    "cut wav": riff(20000),
    "wav one sample short": riff(len(PCM) + 2),
    "cut RF64": rf64(20000),
    "cut W64": w64(20000),
    "wav of no samples": riff(0, b""),
    "wav of no samples before a list": riff(0, b"", after=LIST),
    "wav of half a sample": riff(0xFFFFFFFF, b"\1"),
    "cut FLAC": flac(tail=500),
    "FLAC without its last byte": flac(tail=1),
    "FLAC that promises too much": flac(SAMPLES + 1),
    "FLAC that promises years": flac(10**10),
    "FLAC of no frames": flac(0)[:42],
    "cut FLAC behind ID3": ID3 + flac(tail=500),
    "cut OGG": written("OGG")[:-40],
    "cut SPHERE": written("NIST")[:-40],
    "SPHERE with bytes behind": written("NIST") + bytes(2),
    "ID3 alone": ID3,
    "ID3 that reaches beyond": ID3[:6] + b"\x7f" * 4 + riff(len(PCM)),
    "MP3 behind ID3": ID3 + b"\xff\xfb\x90\0" * 100,
    **{form: written(form) for form in ("AIFF", "AU", "CAF")},
    "AU of unknown length": written("AU")[:8] + b"\xff" * 4 + written("AU")[12:],
}


def readings(path: Path) -> dict[str, Callable[[], int]]:
    return {
        "header": lambda: wav.header(path).samples,
        "load": lambda: wav.load(path)[0].shape[1],
        "blocks": lambda: sum(block.shape[1] for block in wav.blocks(path, seconds=0.1)),
        "corpus": lambda: spoken(path, "x", "text").num_samples,
    }


@pytest.mark.filterwarnings("ignore::speechseq.audio.wav.WavWarning")
@pytest.mark.parametrize("data", READABLE.values(), ids=READABLE)
def test_all_readers_give_the_same_length(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(data)
    assert {name: read() for name, read in readings(path).items()} == dict.fromkeys(
        readings(path), SAMPLES
    )
    loaded = wav.load(path)[0][0].numpy() * 32768
    coarse = data.find(b"vorbis") >= 0 or np.abs(loaded - SOUND).max() > 1
    assert np.corrcoef(loaded, SOUND)[0, 1] > (0.99 if coarse else 0.99999)
    assert spoken(path, "x", "text").duration == pytest.approx(SAMPLES / RATE)


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
def test_all_readers_refuse_the_same_files(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(data)
    for read in readings(path).values():
        with pytest.raises(DataError, match="x: ") as caught:
            read()
        assert caught.value.cure


@pytest.mark.parametrize("seed", range(4))
def test_damaged_files_are_read_alike_or_refused_alike(tmp_path: Path, seed: int) -> None:
    """Bytes changed anywhere, headers above all: no absurd hours, and nobody knows better."""
    chance = np.random.default_rng(seed)
    path = tmp_path / "x"
    for data in READABLE.values():
        spoiled = bytearray(data[: len(data) - int(chance.choice([0, 0, 100]))])
        for _ in range(3):
            place = int(chance.integers(60 if chance.random() < 0.7 else len(spoiled)))
            spoiled[place] = int(chance.choice([0, 0xFF, chance.integers(256)]))
        path.write_bytes(spoiled)
        found = []
        for read in readings(path).values():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    found.append(read())
                except DataError as error:
                    found.append(None if "NaN" not in str(error) else -1)
        # samples that are NaN or absurdly loud are seen by those alone that read them
        told, loaded, inside, corpus = found
        assert told == corpus
        assert loaded in (told, -1, None)
        assert inside in (told, -1, None)
        assert told is None or told <= 20 * len(spoiled)
