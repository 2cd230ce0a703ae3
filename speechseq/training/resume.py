"""What a run needs, beside its checkpoint, to go on as if it had never stopped."""

import dataclasses
import io
import pickle
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from speechseq.errors import CheckpointError

FILE = "resume.pt"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResumeState:
    """The run at the end of an update, as plain data and tensors only.

    own_weights are the model's own when the checkpoint's are their running mean; batches is the
    place in the data, tally how far the run has come.
    """

    optimizer: dict[int, Any]
    own_weights: dict[str, Tensor] | None
    random_state: dict[str, Any]
    batches: dict[str, Any]
    tally: dict[str, Any]

    def to_bytes(self) -> bytes:
        """The content of `resume.pt`."""
        stream = io.BytesIO()
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        torch.save(fields, stream)
        return stream.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes, where: Path) -> "ResumeState":
        """Read `resume.pt` with a parser that makes tensors and plain data, and runs no code.

        Raises:
            CheckpointError: it holds something else.
        """
        try:
            fields = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
            return cls(**fields)
        except (pickle.UnpicklingError, RuntimeError, TypeError, ValueError, EOFError) as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise CheckpointError(
                f"{where}: not the state of a run: {reason}",
                "delete this checkpoint to go on from the one before",
            ) from None


def random_state() -> dict[str, Any]:
    """All random states of this process, as tensors and plain data."""
    name, keys, *rest = np.random.get_state(legacy=True)
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return {
        "torch": torch.get_rng_state(),
        "cuda": cuda,
        "numpy": [name, np.asarray(keys).tolist(), *rest],
        "python": random.getstate(),
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Put back what `random_state` gave; states of devices that are not here are left out."""
    torch.set_rng_state(state["torch"])
    for device, value in zip(range(torch.cuda.device_count()), state["cuda"], strict=False):
        torch.cuda.set_rng_state(value, device)
    np.random.set_state(tuple(state["numpy"]))
    version, keys, gauss = state["python"]
    random.setstate((version, tuple(keys), gauss))


def seed_everything(seed: int) -> None:
    """Seed torch on every device, NumPy and Python."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


@contextmanager
def aside(seed: int) -> Iterator[None]:
    """Inside, all is drawn from `seed`; after it, training goes on as if nothing had been drawn."""
    before = random_state()
    seed_everything(seed)
    try:
        yield
    finally:
        set_random_state(before)
