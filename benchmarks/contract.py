"""Contract of the benchmark: a row of the table and a peer are one file each.

A row (rows/NAME.py) holds ROWS: shared data made from a seed, and our ways of doing the work. A
peer (peers/NAME.py) holds NAME and STEPS: for each work that it can do, a function which builds
from the same data a `step()`, called once a round and timed. It may hold ENVIRONMENT, variables for
its process. Both are found by standing in their folder; peers/torchaudio_tacotron2.py is a pattern.
What a peer's package needs is imported inside its functions, if not all who run the table have it:
a peer that fails is shown with its error, and the others go on.
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

# does the work once, and hands back what it made, batch first, so that tests see that all did the
# same work
Step = Callable[[], Tensor]
# from the shared data (a NamedTuple whose tensors already lie on the device)
Make = Callable[[Any, torch.device], Step]


class Aim(NamedTuple):
    """Times a peer's speed, times its memory at most, and seconds an item at most (full size)."""

    speed: float | None = None
    memory: float | None = None
    seconds: float | None = None


class Needs(NamedTuple):
    """The arithmetic and reading of one step, in one of roofline's precisions."""

    work: Work
    precision: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contender:
    """One way to do a row's work, with what its process needs in its environment.

    aims: by the name of the peer that they are measured against. needs: of the row's sizes, gives
    what no way to do it can save, to tell how far from the machine's limit it is.
    """

    name: str
    make: Make
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    aims: Mapping[str, Aim] = dataclasses.field(default_factory=dict)
    needs: Callable[[Any], Needs] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One comparison: the same work from the same data, in turn, on so many threads.

    name: what --only looks in. work: what a peer's STEPS name. about, item: for the table, `about`
    with places for the sizes, as str.format knows them.
    sizes: the argument of `data`, a tuple, for each of SIZES. items: how many of what seconds are
    counted for (`item`) one step does. rate: a unit, and how much of it an item is, to tell how
    much is made in a second.
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
        """Description of the work at one of the sizes."""
        return f"{self.about.format(*self.sizes[size])}, per {self.item}"

    def make_data(self, size: str, seed: int, device: torch.device) -> Any:
        """The shared data: of one seed the same in every process, and moved to the device."""
        torch.manual_seed(seed)
        return _moved(self.data(self.sizes[size]), device)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """Comparisons that a script beside this one makes by itself, in one process of its own.

    run: given one of SIZES, gives for each comparison `work`, `peer`, and seconds of one item:
    `ours_seconds`, `theirs_seconds`. aim: what was aimed at in such a comparison.
    """

    name: str
    about: str
    threads: int
    run: Callable[[str], list[dict[str, Any]]]
    aim: Callable[[Mapping[str, Any]], Aim]
    devices: tuple[str, ...] = ("cpu",)


def rows() -> list[Row | Report]:
    """All rows, in the order of their files' names."""
    return [row for module in _modules("rows") for row in module.ROWS]


def peers(row: Row) -> list[Contender]:
    """Everyone else who can do a row's work."""
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
