"""Sound files: what is right comes through exactly, what is wrong is named and never half-done."""

import io
import os
import resource
import struct
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from speechseq.audio import wav
from speechseq.errors import ConfigError, DataError, MachineError

RATE = 22050


@pytest.fixture
def tone() -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE // 2) / RATE)).astype(np.float32)


def encoded(samples: np.ndarray, rate: int = RATE, **form: str) -> bytes:
    sound = io.BytesIO()
    soundfile.write(sound, samples, rate, **({"format": "WAV"} | form))
    return sound.getvalue()


def refused(path: Path, *words: str, **options: int) -> DataError:
    """load(path) raises a DataError that names the file, these words and a cure."""
    with pytest.raises(DataError) as caught:
        wav.load(path, **options)
    for word in (str(path), *words):
        assert word in caught.value.problem
    assert caught.value.cure
    return caught.value


# what is right


@pytest.mark.parametrize(
    ("subtype", "error"),
    [
        ("PCM_U8", 1 / 128),
        ("PCM_16", 1 / 32768),
        ("PCM_24", 2e-7),
        ("PCM_32", 1e-7),
        ("FLOAT", 0.0),
        ("DOUBLE", 0.0),
    ],
)
def test_every_sample_width_is_read(
    tmp_path: Path, tone: np.ndarray, subtype: str, error: float
) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(encoded(tone, subtype=subtype))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        waveform, rate = wav.load(path)
    assert rate == RATE
    assert waveform.dtype == torch.float32
    assert waveform.shape == (1, len(tone))
    assert float((waveform[0] - torch.from_numpy(tone)).abs().max()) <= error


@pytest.mark.parametrize("form", ["FLAC", "OGG", "RF64"])
@pytest.mark.parametrize("name", ["a.wav", "a.raw", "a"])
def test_the_content_tells_the_format(
    tmp_path: Path, tone: np.ndarray, form: str, name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(encoded(tone, format=form))
    waveform, rate = wav.load(str(path))
    assert (waveform.shape, rate) == ((1, len(tone)), RATE)
    assert float((waveform[0] - torch.from_numpy(tone)).abs().max()) < 0.05


def test_a_stream_of_unknown_length_is_read_to_its_end(tmp_path: Path, tone: np.ndarray) -> None:
    whole = encoded(tone)
    data = whole.index(b"data") + 4
    path = tmp_path / "a.wav"
    path.write_bytes(whole[:data] + b"\xff" * 4 + whole[data + 4 :])
    assert wav.load(path)[0].shape == (1, len(tone))


def test_stereo_is_mixed_down_and_said_so(tmp_path: Path, tone: np.ndarray) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(encoded(np.stack([tone, -0.5 * tone], 1), subtype="FLOAT"))
    with pytest.warns(wav.WavWarning, match=r"a\.wav: 2 channels mixed down"):
        waveform, _ = wav.load(path)
    torch.testing.assert_close(waveform[0], torch.from_numpy(0.25 * tone))


@pytest.mark.parametrize(("rate", "wanted"), [(16000, 22050), (48000, 16000), (44101, 22050)])
def test_other_rates_are_resampled_and_said_so(tmp_path: Path, rate: int, wanted: int) -> None:
    path = tmp_path / "a.wav"
    sound = 0.5 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)
    path.write_bytes(encoded(sound, rate, subtype="FLOAT"))
    with pytest.warns(wav.WavWarning, match=rf"a\.wav: resampled from {rate} to {wanted} Hz"):
        waveform, given = wav.load(path, wanted)
    assert given == wanted
    assert abs(waveform.shape[1] - wanted) <= 1
    truth = 0.5 * torch.sin(2 * torch.pi * 440 * torch.arange(waveform.shape[1]) / wanted)
    inside = slice(500, wanted - 500)
    assert float((waveform[0] - truth)[inside].abs().max()) < 5e-3


# what is wrong


def test_no_samples(tmp_path: Path, tone: np.ndarray) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(encoded(tone[:0]))
    refused(path, "0 samples")
    path.write_bytes(b"")
    refused(path, "empty")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_nan_and_inf(tmp_path: Path, tone: np.ndarray, value: float) -> None:
    tone[1234:1236] = value
    path = tmp_path / "a.wav"
    path.write_bytes(encoded(tone, subtype="FLOAT"))
    refused(path, "2 samples are NaN or Inf", "1234")


def test_floats_scaled_like_integers(tmp_path: Path, tone: np.ndarray) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(encoded(tone * 32768, subtype="FLOAT"))
    assert "32768" in refused(path, "[-1, 1]").cure


@pytest.mark.parametrize("kept", [2, 8, 12, 20, 30, 36, 43])
def test_cut_header(tmp_path: Path, tone: np.ndarray, kept: int) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(encoded(tone)[:kept])
    refused(path)


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG", "RF64"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_cut_data(tmp_path: Path, tone: np.ndarray, form: str, share: float) -> None:
    whole = encoded(tone, format=form)
    path = tmp_path / "a.wav"
    path.write_bytes(whole[: int(share * len(whole))])
    refused(path)


@pytest.mark.parametrize("share", [0.6, 0.8, 0.95])
def test_a_cut_ogg_that_still_decodes(tmp_path: Path, share: float) -> None:
    """Its decoder gives the pages that are there and says nothing; the end mark is missing."""
    noise = 0.1 * np.random.default_rng(0).standard_normal(3 * RATE)
    whole = encoded(noise, format="OGG")
    path = tmp_path / "a.ogg"
    path.write_bytes(whole)
    assert wav.load(path)[0].shape == (1, 3 * RATE)
    path.write_bytes(whole[: int(share * len(whole))])
    refused(path, "cut")


def test_cut_data_says_both_numbers(tmp_path: Path, tone: np.ndarray) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(encoded(tone)[:1044])
    refused(path, str(2 * len(tone)), "1000")


def test_ten_hours_claimed_in_sixty_bytes_allocate_nothing(
    tmp_path: Path, tone: np.ndarray
) -> None:
    whole = encoded(tone)
    data = whole.index(b"data") + 4
    path = tmp_path / "a.wav"
    claim = 10 * 3600 * RATE * 2
    path.write_bytes((whole[:data] + struct.pack("<I", claim) + whole[data + 4 :])[:60])
    tracemalloc.start()
    refused(path, str(claim), "16")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e6


@pytest.mark.parametrize("rate", [0, 1, 4_000_000_000])
def test_absurd_rates(tmp_path: Path, tone: np.ndarray, rate: int) -> None:
    whole = encoded(tone)
    path = tmp_path / "a.wav"
    path.write_bytes(whole[:24] + struct.pack("<I", rate) + whole[28:])
    refused(path, f"{rate} samples a second", sample_rate=22050)


def test_text_named_wav(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_text("LJ001-0001|Printing, in the only sense", encoding="utf-8")
    refused(path, "text", "LJ001")


@pytest.mark.parametrize("tagged", [False, True])
def test_mp3_named_wav(tmp_path: Path, tone: np.ndarray, tagged: bool) -> None:
    path = tmp_path / "a.wav"
    tag = b"ID3\x04\x00\x00\x00\x00\x00\x00" if tagged else b""
    path.write_bytes(tag + encoded(tone, format="MP3"))
    refused(path, "MP3")


@pytest.mark.parametrize(
    ("head", "word"),
    [
        (b"\0\0\0\x20ftypM4A ", "MP4"),
        (b"FORM\0\0\0\x20AIFF", "AIFF"),
        (b"RIFF\0\0\0\x20AVI ", "foreign header"),
        (bytes(range(100)), "unknown data"),
    ],
)
def test_other_data_named_wav(tmp_path: Path, head: bytes, word: str) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(head + bytes(100))
    refused(path, word)


def test_a_directory_a_missing_file_and_a_dangling_link(tmp_path: Path) -> None:
    refused(tmp_path, "directory")
    refused(tmp_path / "none.wav", "no such file")
    refused(tmp_path / "none" / "a.wav", "no such file")
    link = tmp_path / "link.wav"
    link.symlink_to(tmp_path / "gone.wav")
    refused(link, "link to", "gone.wav")


def test_a_path_through_a_file_and_one_with_a_null(tmp_path: Path, tone: np.ndarray) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(encoded(tone))
    refused(path / "b.wav", "cannot be read")
    refused(tmp_path / "a\0b.wav", "cannot be read")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a system with FIFOs")
@pytest.mark.timeout(10)
def test_a_fifo_never_blocks(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    os.mkfifo(path)
    refused(path, "FIFO")


def test_a_device(tmp_path: Path) -> None:
    if not Path("/dev/zero").exists():
        pytest.skip("needs /dev/zero")
    refused(Path("/dev/zero"), "device")


def test_a_rate_that_is_none(tmp_path: Path, tone: np.ndarray) -> None:
    with pytest.raises(ConfigError, match="sample_rate: 0"):
        wav.load(tmp_path / "a.wav", 0)
    with pytest.raises(ConfigError, match="rate: 0"):
        wav.save(tmp_path / "a.wav", torch.from_numpy(tone), 0)


# writing


@pytest.mark.parametrize("shape", [(-1,), (1, -1)])
def test_saved_is_16_bit_wav_within_half_a_step(
    tmp_path: Path, tone: np.ndarray, shape: tuple[int, ...]
) -> None:
    path = tmp_path / "a.wav"
    wav.save(path, torch.from_numpy(tone).view(shape), RATE)
    info = soundfile.info(path)
    assert (info.format, info.subtype, info.channels) == ("WAV", "PCM_16", 1)
    waveform, rate = wav.load(path)
    assert rate == RATE
    assert float((waveform[0] - torch.from_numpy(tone)).abs().max()) <= 0.5 / 32768 + 1e-8


def test_all_65536_values_survive_a_round_trip_bit_for_bit(tmp_path: Path) -> None:
    values = torch.arange(-32768, 32768) / 32768
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wav.save(tmp_path / "a.wav", values, RATE)
        assert torch.equal(wav.load(tmp_path / "a.wav")[0][0], values)


def test_clipping_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with pytest.warns(wav.WavWarning, match=r"a\.wav: clipped.*1\.5"):
        wav.save(path, torch.tensor([0.0, 1.5, -1.5]), RATE)
    torch.testing.assert_close(
        wav.load(path)[0], torch.tensor([[0.0, 1.0, -1.0]]), atol=4e-5, rtol=0
    )


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        (torch.tensor([0.0, float("nan")]), "NaN"),
        (torch.tensor([0.0, float("inf")]), "Inf"),
        (torch.zeros(0), "0 samples"),
        (torch.zeros(2, 100), r"\(2, 100\)"),
    ],
)
def test_what_is_refused_leaves_the_old_file_as_it_was(
    tmp_path: Path, bad: torch.Tensor, word: str
) -> None:
    path = tmp_path / "a.wav"
    wav.save(path, torch.zeros(100), RATE)
    before = path.read_bytes()
    with pytest.raises(DataError, match=word):
        wav.save(path, bad, RATE)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.wav"]


def test_a_missing_folder_and_a_directory_as_target(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match=r"a\.wav: cannot be written"):
        wav.save(tmp_path / "none" / "a.wav", torch.zeros(100), RATE)
    with pytest.raises(DataError, match="is a directory"):
        wav.save(tmp_path, torch.zeros(100), RATE)
    assert os.listdir(tmp_path) == []


def test_a_full_disk_leaves_the_old_file_and_no_scraps(tmp_path: Path) -> None:
    """A limit on file size stands for the full disk: write() fails half-way."""
    path = tmp_path / "a.wav"
    wav.save(path, torch.zeros(100), RATE)
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(MachineError, match="cannot be written"):
            wav.save(path, torch.zeros(100_000), RATE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.wav"]
