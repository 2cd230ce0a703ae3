"""Findings of the doctor: each check, with the principle behind it, its problem and its cure."""

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple


class Finding(NamedTuple):
    """What is wrong with a training run (`problem`), and what to do about it (`cure`)."""

    problem: str
    cure: str


@dataclasses.dataclass(frozen=True)
class Course:
    """What the validations of a run have measured so far; the input of each check.

    Attributes:
        history: pairs of an update and its finite values by name, in order, at least one.
        updates: number of updates of the whole run.
    """

    history: list[tuple[int, dict[str, float]]]
    updates: int

    @property
    def share(self) -> float:
        """Share of the run's updates that are done, from 0 to 1."""
        return self.history[-1][0] / max(self.updates, 1)

    def series(self, name: str) -> list[float]:
        """Return the values called `name`, in order, of the updates that have one."""
        return [values[name] for _, values in self.history if name in values]

    def last(self, name: str) -> float | None:
        """Return the newest value called `name`; None if there is none."""
        series = self.series(name)
        return series[-1] if series else None


Check = Callable[[Course], Iterator[Finding]]

EARLY = 0.05  # share of a run before which nothing is said of what it has not learned yet
ALIGNED = 0.5


def unaligned(course: Course) -> Iterator[Finding]:
    """Find attention that reads many symbols at once, later than the first 5 % of a run."""
    focus = course.last("focus")
    if course.share < EARLY or focus is None:
        return
    if focus < 0.3:
        entropy = course.last("entropy")
        width = 1 / focus if entropy is None else math.exp(entropy)
        yield Finding(
            f"attention: it does not align: a step reads about {width:.0f} symbols at once "
            f"(focus {focus:.2f}) at {course.share:.0%} of the run",
            "raise --loss.guide, or --model.decoder.reduction_factor",
        )


def never_stops(course: Course) -> Iterator[Finding]:
    """Find stop decisions that are often wrong, as those of a head that never stops are."""
    accuracy = course.last("stop_accuracy")
    if accuracy is not None and course.share >= EARLY and accuracy < 0.9:
        yield Finding(
            f"stop: {1 - accuracy:.0%} of the stop decisions are wrong",
            "set --loss.stop 1 and --loss.stop_positive_weight 5",
        )


CHECKS: tuple[Check, ...] = (unaligned, never_stops)
