"""The table and the JSON say what was measured, and nothing that was not."""

import dataclasses
import json

import pytest
from contract import Aim, Contender, Needs, Report, Row
from growth_work import Work
from in_turn import Timing
from roofline import Roof
from table import HEAD, Reported, Result, markdown, plain, shown


def contender(name: str, **aims: Aim) -> Contender:
    return Contender(name=name, make=lambda data, device: None, aims=aims)


def result(mine: Timing, theirs: Timing, aim: Aim, size: str = "quick") -> Result:
    row = Row(
        name="toy",
        work="toy work",
        about="toy of {0}",
        threads=2,
        sizes={"quick": (4,), "full": (8,)},
        data=lambda size: size,
        ours=(),
        item="step",
        items=lambda size: size[0],
    )
    return Result(
        row, size, [(contender("float32", them=aim), mine)], [(contender("them"), theirs)]
    )


def cells(*results: Result) -> list[dict[str, str]]:
    """The table's lines under their heads, as whoever reads Markdown sees them."""
    head, line, *rest = (row.strip("|").split("|") for row in markdown(results).splitlines())
    assert tuple(cell.strip() for cell in head) == HEAD
    assert len(line) == len(HEAD)
    return [dict(zip(HEAD, (cell.strip() for cell in row), strict=True)) for row in rest]


def test_ratios_are_of_the_medians_and_times_of_one_item() -> None:
    mine, theirs = Timing([1.0, 9.0, 2.0], 1.0), Timing([6.0, 5.0, 7.0], 4.0)
    (line,) = cells(result(mine, theirs, Aim(speed=2.0, memory=0.5)))
    assert line["work"] == "toy of 4, per step, 2 threads"
    assert line["speed"] == "3.00 ×"  # 6 over 2; means would say 1.5
    assert line["memory"] == "0.25 ×"
    assert line["ours, time"].startswith("500 ms (250 ms to 2.25 s)")  # four items a step
    assert line["aim"] == "≥ 2 × met, memory ≤ 0.5 × met"


def test_a_rate_is_of_one_second_and_a_share_of_the_machine_s_limit() -> None:
    ran = result(Timing([2.0, 9.0, 1.0], 1.0), Timing([4.0], 1.0), Aim())
    mine = dataclasses.replace(
        ran.ours[0][0], needs=lambda sizes: Needs(Work(60.0 * sizes[0], 1.0, 1), "bf16")
    )
    ran = ran._replace(
        row=dataclasses.replace(ran.row, rate=("m/s", 3.0)),
        ours=[(mine, ran.ours[0][1])],
        roof=Roof({"float32": 1.0, "bf16": 480.0}, {1: 1e9}),
    )
    (line,) = cells(ran)
    # four items in 2 seconds, each of 3 m; 240 FLOPs take half a second at least
    assert line["ours, time"].endswith("1.00 GB, 6 m/s, 25% of the machine's limit")
    assert line["theirs"].endswith("1.00 GB, 3 m/s")


def test_an_aim_that_is_missed_says_so() -> None:
    mine, theirs = Timing([2.0], 3.0), Timing([3.0], 4.0)
    (line,) = cells(result(mine, theirs, Aim(speed=2.0, memory=0.5)))
    assert line["aim"] == "≥ 2 × missed, memory ≤ 0.5 × missed"


@pytest.mark.parametrize(("size", "said"), [("quick", "≤ 1 s"), ("full", "≤ 1 s met")])
def test_an_aim_in_seconds_is_judged_at_the_full_size_alone(size: str, said: str) -> None:
    (line,) = cells(result(Timing([2.0], 1.0), Timing([4.0], 1.0), Aim(seconds=1.0), size))
    assert line["aim"] == said


def test_a_contender_that_fell_is_shown_with_its_last_words() -> None:
    fallen = Timing([], 0.0, "ModuleNotFoundError: No module named 'espnet'")
    (line,) = cells(result(Timing([2.0], 1.0), fallen, Aim(speed=2.0)))
    assert "espnet" in line["theirs"]
    assert (line["speed"], line["memory"], line["aim"]) == ("–", "–", "≥ 2 ×")


REPORT = Report(
    name="toy", about="toy", threads=1, run=lambda size: [], aim=lambda figures: Aim(speed=2.0)
)


def test_a_report_s_comparisons_are_lines_of_the_same_table() -> None:
    figures = {"work": "hearing", "peer": "them", "ours_seconds": 0.001, "theirs_seconds": 0.003}
    (line,) = cells(Reported(REPORT, "quick", [figures]))
    assert (line["theirs"], line["ours, time"], line["speed"]) == ("3 ms", "1 ms", "3.00 ×")
    assert line["aim"] == "≥ 2 × met"
    data = json.loads(json.dumps(plain(Reported(REPORT, "quick", [figures]))))
    assert data["figures"] == [figures]


def test_a_report_that_fell_is_a_line_too() -> None:
    (line,) = cells(Reported(REPORT, "quick", [], "RuntimeError: no"))
    assert "RuntimeError: no" in line.values()


def test_the_json_holds_every_round_and_survives_a_round_trip() -> None:
    mine, theirs = Timing([1.0, 2.0], 1.5), Timing([], 0.0, "fell")
    data = json.loads(json.dumps(plain(result(mine, theirs, Aim(speed=2.0)))))
    assert [c["seconds"] for c in data["contenders"]] == [[1.0, 2.0], []]
    assert [c["side"] for c in data["contenders"]] == ["ours", "peer"]
    assert data["items"] == 4
    assert data["contenders"][0]["aims"]["them"]["speed"] == 2.0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1234.5, "1234 s"), (2.0, "2 s"), (0.0123, "12.3 ms"), (4.5e-5, "45 µs"), (1e-9, "0.001 µs")],
)
def test_three_digits_of_a_unit_that_fits(seconds: float, text: str) -> None:
    assert shown(seconds) == text
