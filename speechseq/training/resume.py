"""State of a run that resuming needs in addition to a checkpoint."""

import dataclasses
import io
import random
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from speechseq.errors import CheckpointError

FILE = "resume.pt"
DELETE = "delete this checkpoint to go on from the one before"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResumeState:
    """State of a run that resuming needs besides weights and settings; the file `resume.pt`.

    It holds plain data and tensors only.

    Attributes:
        optimizer: the optimizer's moments, by index of the parameter.
        own_weights: the weights in training, if the checkpoint has their moving average instead;
            otherwise None.
        random_state: result of `random_state`.
        batches: position in the data, the `state_dict` of the batches.
        tally: number of updates and other totals, see `Counters`.
        parameters: names of the parameters that the optimizer has a state for; None in files of
            older versions.
    """

    optimizer: dict[int, Any]
    own_weights: dict[str, Tensor] | None
    random_state: dict[str, Any]
    batches: dict[str, Any]
    tally: dict[str, Any]
    parameters: list[str] | None = None

    def to_bytes(self) -> bytes:
        """Serialise to the content of the file `resume.pt`; `from_bytes` is the inverse."""
        stream = io.BytesIO()
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        torch.save(fields, stream)
        return stream.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes, where: Path) -> "ResumeState":
        """Parse the content of `resume.pt`, as tensors and plain data; no code is run.

        Args:
            data: content of the file.
            where: its path, for messages.

        Raises:
            CheckpointError: the data holds something else.
        """
        try:
            _check_archive(data)
            fields = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
            return cls(**fields)
        except Exception as error:  # an unpickler may raise any exception on unexpected data
            reason = (str(error) or type(error).__name__).splitlines()[0][:200]
            raise CheckpointError(f"{where}: not the state of a run: {reason}", DELETE) from None


def _check_archive(data: bytes) -> None:
    """Raise ValueError for data that would unpack to more than its size, before it is parsed."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
        pickled = [member for member in members if member.filename.endswith("/data.pkl")]
        packed = any(member.compress_type != zipfile.ZIP_STORED for member in members)
        if packed or sum(member.file_size for member in members) > len(data):
            raise ValueError("its parts are larger than the file")
        if any(b"bytearray" in archive.read(member) for member in pickled):
            raise ValueError("it asks for room that it does not fill")


def random_state() -> dict[str, Any]:
    """Return all random states of this process (torch, CUDA, NumPy, Python), as plain data."""
    name, keys, *rest = np.random.get_state(legacy=True)
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return {
        "torch": torch.get_rng_state(),
        "cuda": cuda,
        "numpy": [name, np.asarray(keys).tolist(), *rest],
        "python": random.getstate(),
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Restore the random states that `random_state` returned; those of absent GPUs are ignored."""
    torch.set_rng_state(state["torch"])
    for device, value in zip(range(torch.cuda.device_count()), state["cuda"], strict=False):
        torch.cuda.set_rng_state(value, device)
    np.random.set_state(tuple(state["numpy"]))
    version, keys, gauss = state["python"]
    random.setstate((version, tuple(keys), gauss))


def seed_everything(seed: int) -> None:
    """Seed torch on every device, NumPy and Python with `seed`."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


@contextmanager
def aside(seed: int) -> Iterator[None]:
    """Context manager: a block with its own seed, after which all random states are restored.

    The generators are those of torch on every device, of NumPy and of Python.
    """
    before = random_state()
    seed_everything(seed)
    try:
        yield
    finally:
        set_random_state(before)
