"""A file of speech as a lhotse cut, told from its header alone."""

from pathlib import Path

import soundfile
from lhotse import AudioSource, MonoCut, Recording, SupervisionSegment

from speechseq.errors import DataError

SUFFIXES = (".wav", ".flac")
_STREAMED = 0xFFFFFFFF  # the size that a writer leaves who could not seek back


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
    _refuse_cut(path)
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


def _refuse_cut(path: Path) -> None:
    """libsndfile reads a cut wav without a word, as if what is left were all there ever was."""
    with open(path, "rb") as file:
        head = file.read(8)
    claimed, held = int.from_bytes(head[4:], "little"), path.stat().st_size
    if head[:4] == b"RIFF" and claimed != _STREAMED and claimed + 8 > held:
        raise DataError(f"{path}: cut short: its header claims {claimed + 8} bytes, it has {held}")
