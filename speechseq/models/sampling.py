"""Scheduled sampling (Bengio 2015): in training, some inputs are the model's own outputs."""

import dataclasses

from speechseq.config import Config
from speechseq.errors import ConfigError
from speechseq.ranges import Share, Update


@dataclasses.dataclass(frozen=True, kw_only=True)
class SamplingConfig(Config):
    """Settings of scheduled sampling (Bengio 2015).

    The rate is the share of training steps whose input comes from the model's own output instead of
    the target: a symbol drawn from a speller's distribution, or a decoder's last frame. It rises
    linearly from 0 at update `start` to `rate` at update `end`; LAS takes 0.1.

    Attributes:
        rate: share of the steps, from 0 to 1, in the end.
        start, end: optimizer updates between which the rate rises.
    """

    rate: Share = 0.0
    start: Update = 0
    end: Update = 0

    def check(self) -> None:
        """Raise ConfigError if `end` is before `start`."""
        if self.start > self.end:
            raise ConfigError(f"end: update {self.end} comes before start {self.start}")

    def at(self, update: int) -> float:
        """Return the share of steps, from 0 to 1, at an optimizer update."""
        if update >= self.end:
            return self.rate
        return self.rate * max(0, update - self.start) / (self.end - self.start)
