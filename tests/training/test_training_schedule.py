import math
from collections.abc import Callable

import pytest
import torch
from torch.optim import lr_scheduler

from speechseq.config import Config
from speechseq.errors import ConfigError
from speechseq.training.config import TrainerConfig
from speechseq.training.schedule import (
    ConstantConfig,
    CosineConfig,
    ExponentialConfig,
    InverseSquareRootConfig,
    StepsConfig,
)

ALL = (
    ConstantConfig(warmup=5),
    ExponentialConfig(warmup=2, start=4, end=9),
    InverseSquareRootConfig(warmup=6),
    StepsConfig(at=(3, 7), factors=(0.5, 0.1)),
    CosineConfig(warmup=2, end=10),
)


def rates_of_torch(make: Callable[[torch.optim.Optimizer], object], count: int) -> list[float]:
    """The rates that a scheduler of torch gives to updates 1, 2, …, with a base of 1."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make(optimizer)
    rates = []
    for _ in range(count):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()  # type: ignore[attr-defined]
    return rates


def ours(schedule: Config, count: int, first: int = 1) -> list[float]:
    return [schedule.factor(update) for update in range(first, first + count)]  # type: ignore[attr-defined]


def test_the_linear_rise_is_that_of_torch() -> None:
    theirs = rates_of_torch(
        lambda o: lr_scheduler.LinearLR(o, start_factor=1 / 8, end_factor=1.0, total_iters=7), 12
    )
    assert ours(ConstantConfig(warmup=8), 12) == pytest.approx(theirs, rel=1e-9)


def test_the_exponential_decay_is_that_of_torch() -> None:
    theirs = rates_of_torch(lambda o: lr_scheduler.ExponentialLR(o, 0.01 ** (1 / 50)), 51)
    schedule = ExponentialConfig(start=20, end=70)
    assert ours(schedule, 51, first=20) == pytest.approx(theirs, rel=1e-9)
    assert schedule.factor(1) == schedule.factor(20) == 1.0
    assert schedule.factor(70) == schedule.factor(10**6) == pytest.approx(0.01)


def test_tacotron_2_goes_from_a_thousandth_to_a_hundred_thousandth_after_50000_updates() -> None:
    rate = [1e-3 * ExponentialConfig().factor(u) for u in (50_000, 100_000, 150_000)]
    assert rate == pytest.approx([1e-3, 1e-4, 1e-5])


def test_the_inverse_square_root_is_the_papers_formula() -> None:
    schedule = InverseSquareRootConfig(warmup=4000)
    for update in (1, 100, 3999, 4000, 4001, 100_000):
        paper = min(update**-0.5, update * 4000**-1.5)  # Vaswani 2017, eq. 3, without d_model
        assert schedule.factor(update) == pytest.approx(paper * math.sqrt(4000))


def test_the_steps_are_those_of_tacotron() -> None:
    at = (1, 499_999, 500_000, 999_999, 1_000_000, 1_999_999, 2_000_000, 9_000_000)
    rates = [1e-3 * StepsConfig().factor(update) for update in at]
    assert rates == pytest.approx([1e-3, 1e-3, 5e-4, 5e-4, 3e-4, 3e-4, 1e-4, 1e-4])


def test_the_cosine_is_that_of_torch() -> None:
    theirs = rates_of_torch(lambda o: lr_scheduler.CosineAnnealingLR(o, 30, eta_min=0.1), 31)
    schedule = CosineConfig(warmup=10, end=40, floor=0.1)
    assert ours(schedule, 31, first=10) == pytest.approx(theirs, rel=1e-9)
    assert schedule.factor(5) == 0.5
    assert schedule.factor(10_000) == pytest.approx(0.1)


def test_the_ramp_the_hold_and_the_decay_are_those_of_torch() -> None:
    ramp, hold, end = 8, 20, 70
    schedule = ExponentialConfig(warmup=ramp, start=hold, end=end)
    rise = rates_of_torch(
        lambda o: lr_scheduler.LinearLR(o, start_factor=1 / ramp, total_iters=ramp - 1), hold
    )
    decay = rates_of_torch(lambda o: lr_scheduler.ExponentialLR(o, 0.01 ** (1 / (end - hold))), 51)
    assert ours(schedule, hold) == pytest.approx(rise, rel=1e-9)
    assert ours(schedule, 51, first=hold) == pytest.approx(decay, rel=1e-9)
    assert schedule.factor(end) == schedule.factor(10**6) == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("schedule", "ramp", "hold", "end"),
    [
        (ExponentialConfig.basic(), 500, 20_000, 80_000),
        (ExponentialConfig.double(), 1_000, 40_000, 160_000),
        (ExponentialConfig.long(), 1_000, 140_000, 320_000),
    ],
)
def test_b_d_and_l_are_those_of_specaugment(
    schedule: ExponentialConfig, ramp: int, hold: int, end: int
) -> None:
    """Peak 1e-3, reached, left and divided by 100 where the paper says."""
    at = (ramp // 2, ramp, hold, (hold + end) // 2, end, 2 * end)
    rates = [1e-3 * schedule.factor(update) for update in at]
    assert rates == pytest.approx([5e-4, 1e-3, 1e-3, 1e-4, 1e-5, 1e-5])
    assert schedule.factor(hold + 1) < 1 < schedule.factor(ramp - 1) + 0.01


@pytest.mark.parametrize("schedule", ALL, ids=lambda s: s.kind)
def test_a_trainer_takes_every_schedule_from_plain_data(schedule: Config) -> None:
    config = TrainerConfig.from_dict({"schedule": schedule.to_dict()})
    assert config.schedule == schedule


@pytest.mark.parametrize("schedule", ALL, ids=lambda s: s.kind)
def test_trap_30_a_schedule_counts_updates_and_no_gpus(
    schedule: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = ours(schedule, 20)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("WORLD_SIZE", "8")
    # backwards, and twice: what came before plays no part either
    after = [schedule.factor(update) for _ in range(2) for update in range(20, 0, -1)]  # type: ignore[attr-defined]
    assert after == 2 * before[::-1]


@pytest.mark.parametrize("schedule", ALL, ids=lambda s: s.kind)
def test_factors_stay_within_0_and_1(schedule: Config) -> None:
    assert all(0 <= factor <= 1 for factor in ours(schedule, 50))


@pytest.mark.parametrize(
    ("kind", "numbers", "message"),
    [
        (ConstantConfig, {"warmup": -1}, "warmup: -1"),
        (ExponentialConfig, {"start": 9, "end": 9}, "start: the decay from 9 to 9"),
        (ExponentialConfig, {"warmup": -1}, "warmup: -1"),
        (ExponentialConfig, {"floor": 0.0}, "floor: 0.0"),
        (InverseSquareRootConfig, {"warmup": 0}, "warmup: 0"),
        (StepsConfig, {"at": (5,), "factors": ()}, "factors: 0 for 1"),
        (StepsConfig, {"at": (5, 5), "factors": (0.5, 0.1)}, "at: updates must rise"),
        (CosineConfig, {"warmup": 10, "end": 10}, "end: 10"),
        (CosineConfig, {"floor": 2.0}, "floor: 2.0"),
    ],
)
def test_numbers_without_sense_are_refused(kind: type, numbers: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        kind(**numbers)
