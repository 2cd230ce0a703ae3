"""Contract of the benchmark: a row of the table and a peer are one file each.

A row (rows/NAME.py) defines ROWS: shared data made from a seed, and our ways to do the work. A peer
(peers/NAME.py) defines NAME and STEPS: for each work that it supports, a function that builds a
`step()` from the same data, called once a round and timed. It may define ENVIRONMENT, variables for
its process. All files in the two folders are used; peers/torchaudio_tacotron2.py is an example.
A peer imports optional packages inside its functions: if it fails, the table shows its error, and
the others continue.
"""

import dataclasses
import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from growth_work import Work
from torch import Tensor

HERE = Path(__file__).parent
SIZES = ("toy", "quick", "full")

# does the work once and returns its result, batch first, so that tests can check that all
# contenders did the same work
Step = Callable[[], Tensor]
# builds a step from the shared data (a NamedTuple with tensors on the device)
Make = Callable[[Any, torch.device], Step]


class Aim(NamedTuple):
    """Aims of a comparison: minimum speed and maximum memory relative to a peer, maximum seconds.

    The seconds are those of an item, at the full size.
    """

    speed: float | None = None
    memory: float | None = None
    seconds: float | None = None


class Needs(NamedTuple):
    """Arithmetic and memory reads of one step, in one of roofline's precisions."""

    work: Work
    precision: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contender:
    """One way to do a row's work, with environment variables for its process.

    `aims` has an Aim by the name of each peer to compare with. `needs` is a function from the row's
    sizes to a lower bound of the work, by which the time is compared with the machine's limit.
    """

    name: str
    make: Make
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    aims: Mapping[str, Aim] = dataclasses.field(default_factory=dict)
    needs: Callable[[Any], Needs] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """Comparison of contenders: the same work on the same data, in turn, with a number of threads.

    Attributes:
        name: name that --only matches.
        work: key in the STEPS of peers.
        about, item: descriptions for the table; `about` is a str.format template for the sizes.
        sizes: for each of SIZES, the argument of `data`, a tuple.
        items: number of items (described by `item`) in one step.
        rate: unit and amount per item, to report an amount per second.
    """

    name: str
    work: str
    about: str
    threads: int
    sizes: Mapping[str, tuple[Any, ...]]
    data: Callable[[Any], Any]
    ours: Sequence[Contender]
    item: str
    items: Callable[[Any], int]
    devices: tuple[str, ...] = ("cpu",)
    rate: tuple[str, float] | None = None

    def described(self, size: str) -> str:
        """Describe the work at one of the sizes."""
        return f"{self.about.format(*self.sizes[size])}, per {self.item}"

    def make_data(self, size: str, seed: int, device: torch.device) -> Any:
        """Make the shared data on the device; one seed gives the same data in every process."""
        torch.manual_seed(seed)
        return _moved(self.data(self.sizes[size]), device)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """Comparisons made by another script, in its own process.

    `run` is a function from one of SIZES to a list of comparisons, dicts with `work`, `peer`, and
    the seconds of one item, `ours_seconds` and `theirs_seconds`. `aim` returns the aim of a
    comparison.
    """

    name: str
    about: str
    threads: int
    run: Callable[[str], list[dict[str, Any]]]
    aim: Callable[[Mapping[str, Any]], Aim]
    devices: tuple[str, ...] = ("cpu",)


def rows() -> list[Row | Report]:
    """Return all rows, in the order of their files' names."""
    return [row for module in _modules("rows") for row in module.ROWS]


def peers(row: Row) -> list[Contender]:
    """Return all peers that support a row's work."""
    return [
        Contender(
            name=module.NAME,
            make=module.STEPS[row.work],
            environment=getattr(module, "ENVIRONMENT", {}),
        )
        for module in _modules("peers")
        if row.work in module.STEPS
    ]


def _modules(folder: str) -> list[Any]:
    names = sorted(found.name for found in pkgutil.iter_modules([str(HERE / folder)]))
    return [importlib.import_module(f"{folder}.{name}") for name in names]


def _moved(data: Any, device: torch.device) -> Any:
    return type(data)(*(x.to(device) if isinstance(x, Tensor) else x for x in data))
