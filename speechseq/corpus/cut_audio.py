"""Loads the sound of a cut, a part of a file at some speed; computes its length without reading."""

from pathlib import Path
from typing import Annotated, Any

import torch.nn.functional as F
from lhotse import MonoCut
from lhotse.augmentation import Speed

from speechseq.audio import wav
from speechseq.audio.augment import perturb_speed
from speechseq.errors import DataError
from speechseq.ranges import Items, Range
from speechseq.shapes import Waveform

Speeds = Annotated[tuple[Annotated[float, Range(0.1, 10)], ...], Items(1, 100)]
_ROUNDING = 3  # samples by which roundings of rate, speed and span may differ


def load(cut: MonoCut, sample_rate: int) -> Waveform:
    """Load the sound of a lhotse cut as a waveform (1, samples), with its speed perturbation.

    Several channels are mixed down, and the sound is resampled to `sample_rate` (samples per
    second).

    Raises:
        DataError: see `wav.load`; also, the cut has effects other than lhotse's `perturb_speed`, or
            is longer than its file.
    """
    factors = speeds(cut)
    waveform, rate = wav.load(source(cut), sample_rate)
    for factor in factors:
        waveform = perturb_speed(waveform, factor)
    if _whole(cut) and not factors:
        return waveform
    first, wanted = round(cut.start * rate), samples(cut, rate)
    part = waveform[:, first : first + wanted]
    if (lacking := wanted - part.shape[1]) > _ROUNDING:
        raise DataError(f"{cut.id}: its file ends {lacking} samples before the cut does")
    return F.pad(part, (0, lacking))


def samples(cut: MonoCut, sample_rate: int) -> int:
    """Number of samples that `load` returns for a cut, computed without opening the file.

    `sample_rate` is the argument of `load`, in samples per second.
    """
    if cut.recording is not None and _whole(cut) and not cut.recording.transforms:
        return -(-cut.recording.num_samples * sample_rate // cut.recording.sampling_rate)
    return int(cut.duration * sample_rate + 0.5)


def speeds(cut: MonoCut) -> list[float]:
    """Return the factors of a cut's speed perturbations, 1.1 being faster, in order of application.

    Raises:
        DataError: the cut has no recording, or another kind of effect.
    """
    if cut.recording is None:
        raise DataError(f"{cut.id}: it has no recording")
    effects: list[Any] = cut.recording.transforms or []
    if not all(isinstance(effect, Speed) for effect in effects):
        raise DataError(
            f"{cut.id}: its sound is no plain file, and its effects are not only of speed",
            "save it first: cut.save_audio",
        )
    return [float(effect.factor) for effect in effects]


def source(cut: MonoCut) -> Path:
    """Return the path of the sound file of a lhotse cut."""
    return Path(cut.recording.sources[0].source)


def _whole(cut: MonoCut) -> bool:
    return cut.start == 0 and cut.num_samples == cut.recording.num_samples
