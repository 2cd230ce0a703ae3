"""Finding of the doctor, and the course of a run's measures, from which findings are made."""

import dataclasses
import math
from typing import NamedTuple

MOVED = "moved_"  # before the name of a part: how far its weights have moved


class Finding(NamedTuple):
    """Problem of a training run that the doctor has found; see `doctor.diagnose`.

    Attributes:
        problem: what is wrong; it begins with the part concerned, such as "attention: …".
        cure: what to do about it.
    """

    problem: str
    cure: str


@dataclasses.dataclass(frozen=True)
class Course:
    """Validations of a run so far, from which the checks of the doctor make findings.

    Attributes:
        history: pairs of an update and the finite values of its validation by name, at least one,
            in order.
        updates: number of updates of the whole run.
    """

    history: list[tuple[int, dict[str, float]]]
    updates: int

    @property
    def share(self) -> float:
        """Share of the run's updates that are done, from 0 to 1."""
        return self.history[-1][0] / max(self.updates, 1)

    def series(self, name: str) -> list[float]:
        """Return the values called `name` of all validations that have it, in order."""
        return [values[name] for _, values in self.history if name in values]

    def last(self, name: str, default: float = math.nan) -> float:
        """Return the newest value called `name`; `default` if there is none."""
        series = self.series(name)
        return series[-1] if series else default

    def quality(self) -> list[float]:
        """Return the smallest of focus, coverage and monotonicity at each update that has them.

        Each of them can be perfect in a useless alignment, but not all three
        (`nn.attention.diagnostics`).
        """
        names = ("focus", "coverage", "monotonicity")
        return [
            min(values[name] for name in names)
            for _, values in self.history
            if all(name in values for name in names)
        ]
