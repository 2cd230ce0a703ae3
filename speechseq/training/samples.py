"""Samples of a model in training, written at every checkpoint: alignments, mels and sounds."""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from speechseq.audio import wav
from speechseq.errors import DataError
from speechseq.file_writing import cannot_write, replace_file
from speechseq.pictures import alignment_picture, mel_picture

_LONGEST_NAME = 120  # bytes of an utterance's name in the names of its files


@runtime_checkable
class Written(Protocol):
    """Protocol of a recogniser's transcript, of which `Sample.of_transcript` makes a sample.

    A `Transcript` has these attributes.

    Attributes:
        text: the transcript.
        alignment: (steps, positions), attention weights.
        symbols: name of each step of the alignment.
    """

    @property
    def text(self) -> str: ...
    @property
    def alignment(self) -> Tensor: ...
    @property
    def symbols(self) -> tuple[str, ...]: ...


@runtime_checkable
class Spoken(Written, Protocol):
    """Protocol of a synthesiser's speech, of which `Sample.of` makes a sample.

    A `Speech` has these attributes.

    Attributes:
        text: what was to be spoken.
        alignment: (steps, positions), attention weights.
        symbols: name of each position of the alignment.
        mel: (frames, mels).
        waveform: (samples) in [-1, 1].
        sample_rate: samples per second of the waveform.
    """

    @property
    def mel(self) -> Tensor: ...
    @property
    def waveform(self) -> Tensor: ...
    @property
    def sample_rate(self) -> int: ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """Output of a model in training for one utterance, to be looked at; `write` makes files of it.

    Fields that are None are left out.

    Attributes:
        name: name of the utterance, part of the names of its files.
        text: title of the pictures.
        alignment: (steps, positions), attention weights.
        symbols: name of each position of the alignment.
        across: label of the alignment's axis of steps.
        mel: (frames, mels).
        target: (frames, mels), mel of the recording, drawn below `mel`.
        waveform: (samples), in [-1, 1].
        sample_rate: samples per second of the waveform.
    """

    name: str
    text: str
    alignment: Float[Tensor, "steps positions"] | None = None
    symbols: tuple[str, ...] | None = None
    across: str = "decoder step"
    mel: Float[Tensor, "frames mels"] | None = None
    target: Float[Tensor, "other_frames mels"] | None = None
    waveform: Float[Tensor, " samples"] | None = None
    sample_rate: int = 0

    @classmethod
    def of(cls, name: str, spoken: Spoken) -> "Sample":
        """Make a sample of synthesised speech, such as a `Speech`: alignment, mel and waveform.

        `name` is part of the names of the files.
        """
        return cls(
            name=name,
            text=spoken.text,
            alignment=spoken.alignment,
            symbols=spoken.symbols,
            mel=spoken.mel,
            waveform=spoken.waveform,
            sample_rate=spoken.sample_rate,
        )

    @classmethod
    def of_transcript(cls, name: str, written: Written) -> "Sample":
        """Make the sample of a transcribed utterance: text and alignment, with time on the x axis.

        Args:
            name: part of the names of the sample's files.
            written: result of a recogniser, such as a `Transcript`.
        """
        return cls(
            name=name,
            text=written.text,
            alignment=written.alignment.T,
            symbols=written.symbols,
            across="position in the sound",
        )


def write(run: Path, update: int, samples: Sequence[Sample]) -> list[str]:
    """Write the pictures and the sound of each sample into the folder of a run.

    Files are RUN/pictures/<update>-<name>-….png and RUN/audio/<update>-<name>.wav.

    Args:
        run: folder of the run.
        update: number of the update.
        samples: what to write.

    Returns:
        A message for each waveform that cannot be written: an untrained model may make one without
        samples, or with samples that are not finite, which must not end the training.

    Raises:
        MachineError: the disk is full.
    """
    problems = []
    for item in samples:
        stem = f"{update}-{_file_name(item.name)}"
        title = f"update {update} · {item.text}"
        if item.alignment is not None:
            picture = alignment_picture(item.alignment, item.symbols, title, item.across)
            _write(run / "pictures" / f"{stem}-alignment.png", picture)
        if item.mel is not None:
            picture = mel_picture(item.mel, title, target=item.target)
            _write(run / "pictures" / f"{stem}-mel.png", picture)
        if item.waveform is not None:
            path = run / "audio" / f"{stem}.wav"
            _make(path.parent)
            try:
                wav.save(path, item.waveform, item.sample_rate)
            except DataError as error:
                problems.append(error.problem)
    return problems


def _file_name(name: str) -> str:
    """Replace characters that a file name cannot hold, and shorten to a valid length."""
    return re.sub(r"[^\w.-]+", "_", name).encode()[:_LONGEST_NAME].decode(errors="ignore")


def _write(path: Path, data: bytes) -> None:
    _make(path.parent)
    replace_file(path, data)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from None
