"""Gradual training: a schedule of the reduction factor, large at first and smaller later on.

With few steps an utterance the attention aligns soon; smaller factors then refine the sound.
"""

import dataclasses
import itertools
import math
from typing import Annotated

from speechseq.config import Config
from speechseq.errors import ConfigError
from speechseq.ranges import Items, Range, Update

ReductionFactor = Annotated[int, Range(1, 100)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class GradualReductionConfig(Config):
    """Schedule of the reduction factor r, the number of frames per decoder step, in training.

    Attributes:
        steps: pairs (update, r), in the order of the updates; r holds from its update on, and the
            first r also before.

    Examples:
        >>> schedule = GradualReductionConfig(steps=((0, 6), (1000, 3)))
        >>> schedule.at(999), schedule.at(1000)
        (6, 3)
    """

    steps: Annotated[tuple[tuple[Update, ReductionFactor], ...], Items(1, 100)] = ((0, 1),)

    def check(self) -> None:
        """Raise ConfigError unless each update is later than the one before."""
        for (before, _), (update, _) in itertools.pairwise(self.steps):
            if update <= before:
                problem = f"steps: update {update} does not come after {before}"
                raise ConfigError(problem, "give the pairs (update, r) in the order of updates")

    def at(self, update: int) -> int:
        """Return the reduction factor at an optimizer update."""
        return next((r for first, r in reversed(self.steps) if update >= first), self.steps[0][1])

    @property
    def frame_multiple(self) -> int:
        """Smallest number of frames that every reduction factor of the schedule divides."""
        return math.lcm(*(r for _, r in self.steps))

    def check_frames(self, frames: int) -> None:
        """Raise ConfigError unless every reduction factor divides the frames of a batch."""
        if frames % self.frame_multiple:
            factors = sorted({r for _, r in self.steps})
            problem = f"gradual: a batch of {frames} frames, which not all of {factors} divide"
            cure = (
                "choose factors that divide the frames: --model.decoder.gradual, or collate "
                f"with frame_multiple={self.frame_multiple}"
            )
            raise ConfigError(problem, cure)
