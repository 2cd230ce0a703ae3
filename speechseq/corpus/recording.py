"""A file of speech as a lhotse cut, made from its header alone."""

import os
from collections.abc import Sequence
from pathlib import Path

from lhotse import AudioSource, MonoCut, Recording, SupervisionSegment
from lhotse.supervision import AlignmentItem

from speechseq.audio import wav
from speechseq.errors import DataError

_FASTEST, _LETTERS = 50.0, 30  # letters a second, and so many more: espeak's fastest makes 45
_SLOWEST, _SECONDS = 2.0, 10.0  # seconds a letter, and so many more of pauses
SUFFIXES = (".wav", ".flac")
WORDLESS = "wordless"  # the supervision's custom field of a sound in which nobody speaks


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
    wordless: bool = False,
) -> MonoCut:
    """The cut of a whole file and the text it speaks; its length is that of `wav.load`.

    `words` says where each word lies, in seconds; it becomes the supervision's "word" alignment.
    `wordless` marks a sound in which nobody speaks: its text is empty on purpose.

    Raises:
        DataError: the header is damaged, promises more than the file holds, or no sample at all;
            or nobody could speak the text in that time, or would take so long.
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
    """Refuse a text and a sound that cannot belong together."""
    told = f"{len(text)} letters of text and {seconds:.1f} seconds of sound"
    if len(text) > _FASTEST * seconds + _LETTERS:
        raise DataError(f"{path}: {told}: more than can be spoken in that time")
    if text and seconds > _SLOWEST * len(text) + _SECONDS:
        raise DataError(f"{path}: {told}: far less than is spoken in that time")
