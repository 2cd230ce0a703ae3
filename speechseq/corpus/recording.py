"""A file of speech as a lhotse cut, told from its header alone."""

from pathlib import Path

import soundfile
from lhotse import AudioSource, MonoCut, Recording, SupervisionSegment

from speechseq.errors import DataError

SUFFIXES = (".wav", ".flac")
_BYTES = {"PCM_U8": 1, "PCM_S8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}


def wav_of(folder: Path, name: str) -> Path:
    """`folder`/`name`.wav, or .flac where there is no wav.

    Raises:
        DataError: neither is a file.
    """
    for suffix in SUFFIXES:
        path = folder / f"{name}{suffix}"
        if path.is_file():  # false for folders, pipes and dangling links
            return path
    raise DataError(f"{folder / name}.wav: no such file (nor .flac)")


def spoken(path: Path, name: str, text: str, *, raw_text: str = "") -> MonoCut:
    """The cut of a whole file and the text it speaks; only the header is read.

    Raises:
        DataError: the header is damaged, promises more than the file holds, or no sample at all.
    """
    try:
        info = soundfile.info(str(path))
    except (soundfile.LibsndfileError, OSError) as error:
        raise DataError(f"{path}: not readable as sound ({error})") from None
    if info.frames <= 0:
        raise DataError(f"{path}: 0 samples")
    promised = info.frames * info.channels * _BYTES.get(info.subtype, 0)
    if info.format == "WAV" and promised > (held := path.stat().st_size):
        raise DataError(f"{path}: cut short: its header promises {promised} bytes, it has {held}")
    recording = Recording(
        id=name,
        sources=[AudioSource("file", list(range(info.channels)), str(path))],
        sampling_rate=info.samplerate,
        num_samples=info.frames,
        duration=info.frames / info.samplerate,
    )
    supervision = SupervisionSegment(
        id=name,
        recording_id=name,
        start=0.0,
        duration=recording.duration,
        text=text,
        custom={"raw_text": raw_text} if raw_text else None,
    )
    return MonoCut(
        id=name,
        start=0.0,
        duration=recording.duration,
        channel=0,
        recording=recording,
        supervisions=[supervision],
    )
