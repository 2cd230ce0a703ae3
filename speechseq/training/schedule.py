"""Learning-rate schedules as functions of the update's number, so they have no state to resume.

`factor(update)` is multiplied by the configured learning rate; updates count from 1. The factor
does not depend on epochs, time or the number of machines.
"""

import dataclasses
import math
from typing import Annotated, ClassVar

from speechseq.config import Config
from speechseq.errors import ConfigError
from speechseq.ranges import Every, Factor, Range, Share, Update


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConstantConfig(Config):
    """Constant learning rate after a linear warm-up, for `TrainerConfig.schedule`.

    The learning rate is multiplied by min(update / warmup, 1), or by 1 if `warmup` is 0.
    """

    kind: ClassVar[str] = "constant"
    warmup: Update = 0

    def factor(self, update: int) -> float:
        """Factor of the learning rate at an update, counted from 1."""
        return _rise(update, self.warmup)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExponentialConfig(Config):
    """Exponential decay of the learning rate after a linear warm-up, for `TrainerConfig.schedule`.

    Tacotron 2 (Shen 2018, §3.1) decays from 1e-3 to 1e-5 after 50,000 updates; the paper does not
    say when the decay ends, so the default `end` is a choice. The methods `basic`, `double` and
    `long` return SpecAugment's schedules B, D and L (Park 2019, §3), except that no noise is added
    to the weights.

    Attributes:
        warmup: updates over which the factor of the learning rate rises from 0 to 1.
        start: update until which the factor is 1; it then decays.
        end: update at which the factor reaches `floor`, where it stays.
        floor: smallest factor.
    """

    kind: ClassVar[str] = "exponential"
    warmup: Update = 0
    start: Update = 50_000
    end: Every = 150_000
    floor: Annotated[float, Range(0, 1, above=True)] = 0.01

    @classmethod
    def basic(cls) -> "ExponentialConfig":
        """Return schedule B of SpecAugment (Park 2019, §3): decay from update 20,000 to 80,000."""
        return cls(warmup=500, start=20_000, end=80_000)

    @classmethod
    def double(cls) -> "ExponentialConfig":
        """Return schedule D of SpecAugment (Park 2019, §3): decay from update 40,000 to 160,000."""
        return cls(warmup=1_000, start=40_000, end=160_000)

    @classmethod
    def long(cls) -> "ExponentialConfig":
        """Return schedule L of SpecAugment (Park 2019, §3): decay from 140,000 to 320,000."""
        return cls(warmup=1_000, start=140_000, end=320_000)

    def check(self) -> None:
        """Raise ConfigError unless the decay starts before it ends."""
        if self.start >= self.end:
            raise ConfigError(f"start: the decay from {self.start} to {self.end} takes no updates")

    def factor(self, update: int) -> float:
        """Factor of the learning rate at an update, counted from 1."""
        return _rise(update, self.warmup) * _decay(update, self.start, self.end, self.floor)


@dataclasses.dataclass(frozen=True, kw_only=True)
class InverseSquareRootConfig(Config):
    """Noam schedule: the learning rate rises linearly, then falls with the root of the update.

    The learning rate, which is the peak, is multiplied by update / warmup up to update `warmup`,
    and by sqrt(warmup / update) afterwards. Set it as `TrainerConfig.schedule`.

    Source: Vaswani et al. 2017, §5.3, which scales by the width of the model instead.
    """

    kind: ClassVar[str] = "inverse_square_root"
    warmup: Every = 4000

    def factor(self, update: int) -> float:
        """Factor of the learning rate at an update, counted from 1."""
        return min(update / self.warmup, math.sqrt(self.warmup / max(update, 1)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepsConfig(Config):
    """Learning rate that changes at given updates, for `TrainerConfig.schedule`.

    The default is Tacotron's (Wang 2017, §4.2).

    Attributes:
        warmup: updates over which the learning rate rises linearly from 0.
        at: updates at which the factor of the learning rate changes; before the first one it is 1.
        factors: factor from each of these updates on; factors replace one another.
    """

    kind: ClassVar[str] = "steps"
    warmup: Update = 0
    at: tuple[Update, ...] = (500_000, 1_000_000, 2_000_000)
    factors: tuple[Factor, ...] = (0.5, 0.3, 0.1)

    def check(self) -> None:
        """Raise ConfigError unless the updates `at` increase and each has one factor."""
        if len(self.at) != len(self.factors):
            raise ConfigError(f"factors: {len(self.factors)} for {len(self.at)} updates")
        if list(self.at) != sorted(set(self.at)):
            raise ConfigError("at: updates must rise")

    def factor(self, update: int) -> float:
        """Factor of the learning rate at an update, counted from 1."""
        past = sum(update >= step for step in self.at)
        return _rise(update, self.warmup) * (1.0, *self.factors)[past]


@dataclasses.dataclass(frozen=True, kw_only=True)
class CosineConfig(Config):
    """Learning rate that falls along half a cosine, for `TrainerConfig.schedule`.

    Attributes:
        warmup: updates over which the factor of the learning rate rises linearly from 0 to 1.
        end: update at which the factor has fallen to `floor`, where it stays.
        floor: smallest factor.

    Source: Loshchilov and Hutter 2017, without restarts.
    """

    kind: ClassVar[str] = "cosine"
    warmup: Update = 0
    end: Every = 10_000
    floor: Share = 0.0

    def check(self) -> None:
        """Raise ConfigError unless the warm-up ends before update `end`."""
        if self.warmup >= self.end:
            raise ConfigError(f"end: {self.end} is not after the warm-up of {self.warmup} updates")

    def factor(self, update: int) -> float:
        """Factor of the learning rate at an update, counted from 1."""
        if update < self.warmup:
            return _rise(update, self.warmup)
        gone = min((update - self.warmup) / (self.end - self.warmup), 1.0)
        return self.floor + (1 - self.floor) * (1 + math.cos(math.pi * gone)) / 2


ScheduleConfig = (
    ConstantConfig | ExponentialConfig | InverseSquareRootConfig | StepsConfig | CosineConfig
)


def _rise(update: int, warmup: int) -> float:
    return min(update / warmup, 1.0) if warmup else 1.0


def _decay(update: int, start: int, end: int, floor: float) -> float:
    gone = min(max(update - start, 0) / (end - start), 1.0)
    return float(floor**gone)
