"""Recordings as lhotse cuts, made by reading only the header of the sound file."""

import os
from collections.abc import Sequence
from pathlib import Path

from lhotse import AudioSource, MonoCut, Recording, SupervisionSegment
from lhotse.supervision import AlignmentItem

from speechseq.audio import wav
from speechseq.errors import DataError

_FASTEST, _LETTERS = 50.0, 30  # letters per second, plus a constant; espeak's fastest is 45
_SLOWEST, _SECONDS = 2.0, 10.0  # seconds per letter, plus a constant for pauses
SUFFIXES = (".wav", ".flac")
WORDLESS = "wordless"  # custom field of the supervision of a sound without speech


def wav_of(folder: Path, name: str, suffixes: Sequence[str] = SUFFIXES) -> Path:
    """Return the path of the sound file of an utterance.

    Args:
        folder: folder of the sounds.
        name: name of the file without suffix.
        suffixes: suffixes to try; the first one whose file exists is taken.

    Raises:
        DataError: no such file exists.
    """
    for suffix in suffixes:
        path = folder / f"{name}{suffix}"
        if os.path.lexists(path):  # also a folder, a pipe or a dangling link, for a clearer error
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
    wordless: bool = False,
) -> MonoCut:
    """Make a lhotse cut of a whole sound file with its text; only the file's header is read.

    Args:
        path: sound file.
        name: id of the cut, the recording and the supervision.
        text: text of the supervision.
        raw_text: text before normalisation, kept in `supervision.custom`; "" for none.
        speaker: name of the speaker, if known.
        words: words with times in seconds, which become the supervision's alignment "word".
        wordless: mark the cut as a sound without speech, whose text is empty on purpose.

    Raises:
        DataError: the header is damaged, or states more samples than the file holds, or none; or
            the duration is too short or too long for the text.
    """
    info = wav.info(path)
    _check_pace(path, text.strip(), info.samples / info.rate)
    recording = Recording(
        id=name,
        sources=[AudioSource("file", list(range(info.channels)), str(path))],
        sampling_rate=info.rate,
        num_samples=info.samples,
        duration=info.samples / info.rate,
    )
    custom = ({"raw_text": raw_text} if raw_text else {}) | ({WORDLESS: True} if wordless else {})
    supervision = SupervisionSegment(
        id=name,
        recording_id=name,
        start=0.0,
        duration=recording.duration,
        text=text,
        speaker=speaker,
        custom=custom or None,
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


def _check_pace(path: Path, text: str, seconds: float) -> None:
    """Raise DataError if the duration is too short or too long for the text."""
    told = f"{len(text)} letters of text and {seconds:.1f} seconds of sound"
    if len(text) > _FASTEST * seconds + _LETTERS:
        raise DataError(f"{path}: {told}: more than can be spoken in that time")
    if text and seconds > _SLOWEST * len(text) + _SECONDS:
        raise DataError(f"{path}: {told}: far less than is spoken in that time")
