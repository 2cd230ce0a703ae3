"""A file of speech as a lhotse cut, told from its header alone."""

import os
from collections.abc import Sequence
from pathlib import Path

import soundfile
from lhotse import AudioSource, MonoCut, Recording, SupervisionSegment
from lhotse.supervision import AlignmentItem

from speechseq.audio.container import check_content, check_regular
from speechseq.errors import DataError

SUFFIXES = (".wav", ".flac")


def wav_of(folder: Path, name: str, suffixes: Sequence[str] = SUFFIXES) -> Path:
    """`folder`/`name`.wav, or .flac where there is no wav; or so with other suffixes.

    Raises:
        DataError: there is none of them.
    """
    for suffix in suffixes:
        path = folder / f"{name}{suffix}"
        if os.path.lexists(path):  # of a folder, a pipe or a dangling link more can be said
            return path
    others = ", ".join(suffixes[1:])
    raise DataError(f"{folder / name}{suffixes[0]}: no such file (nor {others})")


def spoken(
    path: Path,
    name: str,
    text: str,
    *,
    raw_text: str = "",
    speaker: str | None = None,
    words: Sequence[AlignmentItem] = (),
) -> MonoCut:
    """The cut of a whole file and the text it speaks; only the header is read.

    `words` says where each word lies, in seconds; it becomes the supervision's "word" alignment.

    Raises:
        DataError: the header is damaged, promises more than the file holds, or no sample at all.
    """
    check_regular(str(path))
    try:
        with open(path, "rb") as file:  # libsndfile reads a cut wav as if it had never been longer
            check_content(str(path), file)
        info = soundfile.info(str(path))
    except (soundfile.LibsndfileError, OSError) as error:
        raise DataError(f"{path}: not readable as sound ({error})") from None
    if info.frames <= 0:
        raise DataError(f"{path}: 0 samples")
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
        speaker=speaker,
        custom={"raw_text": raw_text} if raw_text else None,
        alignment={"word": list(words)} if words else None,
    )
    return MonoCut(
        id=name,
        start=0.0,
        duration=recording.duration,
        channel=0,
        recording=recording,
        supervisions=[supervision],
    )
