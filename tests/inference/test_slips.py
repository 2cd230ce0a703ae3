"""Clean diagonals have no slips; every planted fault is found at its place."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from speechseq.errors import DataError
from speechseq.inference.slips import Slip, alignment_score, slips

SPEEDS = [0.1, 0.25, 0.5, 0.9, 1.0, 1.3, 2.0, 2.5, 3.0, 4.0]  # positions a step


def diagonal(speed: float, positions: int = 60) -> list[int]:
    """Position of each step at a constant speed, to the end."""
    return [int(step * speed) for step in range(-int(-positions // speed))]


def drawn(path: list[float], positions: int = 60, width: float = 0.4) -> Tensor:
    """An alignment of Gaussians of this width around a path."""
    distance = torch.arange(positions) - torch.tensor(path, dtype=torch.float32)[:, None]
    return torch.softmax(-0.5 * (distance / width).square(), dim=1)


@pytest.mark.parametrize("width", [0.1, 0.4, 2.0])
@pytest.mark.parametrize("speed", SPEEDS)
def test_clean_diagonals_of_every_speed_have_no_slips(speed: float, width: float) -> None:
    path = [step * speed for step in range(int(59 / speed) + 1)]
    assert slips(drawn(path, width=width)) == []
    one_hot = torch.eye(60)[diagonal(speed)]
    assert slips(one_hot) == []
    assert alignment_score(one_hot) > 0.7


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(SPEEDS), st.lists(st.integers(0, 59), max_size=4), st.integers(1, 18))
def test_pauses_at_any_positions_are_no_slips(speed: float, at: list[int], steps: int) -> None:
    path = paused(diagonal(speed), at, steps)
    assert slips(torch.eye(60)[path]) == []


def paused(path: list[int], at: list[int], steps: int) -> list[int]:
    """The path with a pause where it first reaches each of some positions."""
    held: list[int] = []
    for position in path:
        first = position not in held
        held += [position] * (1 + steps * (first and position in at))
    return held


@pytest.mark.parametrize("speed", [s for s in SPEEDS if s <= 2])
@pytest.mark.parametrize("width", [0.1, 0.4])
@pytest.mark.parametrize(("first", "last"), [(20, 27), (40, 52), (0, 9), (50, 59)])
def test_skipped_positions_are_named(speed: float, width: float, first: int, last: int) -> None:
    path = [p for p in diagonal(speed) if not first <= p <= last]
    (slip,) = slips(drawn(path, width=width))
    assert slip.kind == "skip"
    assert abs(slip.first - first) <= 2
    assert abs(slip.last - last) <= 2
    assert slip.step == next((t for t, p in enumerate(path) if p > last), len(path) - 1)


@pytest.mark.parametrize("speed", [s for s in SPEEDS if s <= 2])
@pytest.mark.parametrize(("first", "last"), [(20, 30), (0, 8), (40, 59)])
def test_repeated_positions_are_named(speed: float, first: int, last: int) -> None:
    path = diagonal(speed)
    until = max(t for t, p in enumerate(path) if p <= last)
    since = min(t for t, p in enumerate(path) if p >= first)
    (slip,) = slips(drawn([*path[: until + 1], *path[since:]], width=0.2))
    assert slip == Slip("repeat", path[since], path[until], until + 1)


def test_every_repetition_counts() -> None:
    path = [*range(30), *range(20, 30), *range(20, 60)]
    assert slips(torch.eye(60)[path]) == [
        Slip("repeat", 20, 29, 30),
        Slip("repeat", 20, 29, 40),
    ]


@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize("at", [0, 24, 59])
def test_a_stall_is_named(speed: float, at: int) -> None:
    path = diagonal(speed)
    step = min(range(len(path)), key=lambda t: abs(path[t] - at))
    stuck = [*path[:step], *[path[step]] * 300, *path[step:]]
    (slip,) = slips(torch.eye(60)[stuck])
    first = stuck.index(path[step])
    assert slip == Slip("stall", path[step], path[step], first)


def test_attention_that_sways_between_two_positions_stalls() -> None:
    stuck = [*range(30), *[30, 31] * 60, *range(30, 60)]
    (slip,) = slips(torch.eye(60)[stuck])
    assert slip[:3] == ("stall", 30, 31)


def test_slips_of_several_kinds_are_given_in_their_order() -> None:
    path = [*range(10), *range(20, 30), *range(24, 40), *[40] * 100, *range(41, 60)]
    assert slips(torch.eye(60)[path]) == [
        Slip("skip", 10, 19, 10),
        Slip("repeat", 24, 29, 20),
        Slip("stall", 40, 40, 36),
    ]


def test_small_moves_back_and_one_glance_back_are_no_repeats() -> None:
    path = [p - (step % 3 == 2) for step, p in enumerate(range(60))]
    path[30] = 4
    assert slips(drawn([float(p) for p in path], width=1.0)) == []


def test_the_score_falls_with_every_slip_and_with_quality() -> None:
    clean = alignment_score(torch.eye(60))
    blurred = alignment_score(drawn([float(p) for p in range(60)], width=2.0))
    one = [*range(30), *range(20, 60)]
    two = [*range(30), *range(20, 40), *range(30, 60)]
    scores = [clean, blurred, *(alignment_score(torch.eye(60)[path]) for path in (one, two))]
    assert clean == pytest.approx(1)
    assert scores == sorted(scores, reverse=True)
    assert scores[1] > 0 > scores[2]
    assert scores[2] - scores[3] > 0.9


def test_uniform_attention_is_worse_than_a_diagonal() -> None:
    uniform = torch.full((200, 60), 1 / 60)
    assert [slip.kind for slip in slips(uniform)] == ["stall"]
    assert alignment_score(uniform) < 0


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
def test_an_alignment_of_nothing_is_refused(shape: tuple[int, int]) -> None:
    for function in (slips, alignment_score):
        with pytest.raises(DataError, match="alignment: its shape"):
            function(torch.zeros(shape))
