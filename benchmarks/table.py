"""Benchmark results as a Markdown table, and as plain data for JSON."""

import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

from contract import Aim, Contender, Report, Row
from in_turn import Timing
from roofline import Roof

HEAD = ("work", "ours", "peer", "theirs", "ours, time", "speed", "memory", "aim")


class Result(NamedTuple):
    """Results of a row: the timings of our contenders and of the peers, in their order."""

    row: Row
    size: str
    ours: Sequence[tuple[Contender, Timing]]
    peers: Sequence[tuple[Contender, Timing]]
    roof: Roof | None = None


class Reported(NamedTuple):
    """Results of a report, or its failure."""

    report: Report
    size: str
    figures: Sequence[dict[str, Any]]
    failure: str = ""


def markdown(results: Sequence[Result | Reported]) -> str:
    """Format a table with one line for each pair of ours and a peer."""
    lines = [f"| {' | '.join(HEAD)} |", "|" + "---|" * len(HEAD)]
    for result in results:
        if isinstance(result, Reported):
            lines += [f"| {' | '.join(cells)} |" for cells in _reported_cells(result)]
            continue
        for mine in result.ours:
            for peer in result.peers or [None]:
                lines.append(f"| {' | '.join(_cells(result, mine, peer))} |")
    return "\n".join(lines)


def plain(result: Result | Reported) -> dict[str, Any]:
    """Return the numbers of a row for JSON, with the seconds of every round."""
    if isinstance(result, Reported):
        report = result.report
        about = {"row": report.name, "about": report.about, "threads": report.threads}
        found = {"figures": result.figures, "failure": result.failure}
        return {**about, "size": result.size, **found}
    sides = [("ours", contender) for contender in result.ours]
    sides += [("peer", contender) for contender in result.peers]
    return {
        "row": result.row.name,
        "about": result.row.described(result.size),
        "size": result.size,
        "threads": result.row.threads,
        "item": result.row.item,
        "items": _items(result),
        "contenders": [
            {
                "side": side,
                "name": contender.name,
                "seconds": timing.seconds,
                "gigabytes": timing.gigabytes,
                "failure": timing.failure,
                "aims": {peer: aim._asdict() for peer, aim in contender.aims.items()},
            }
            for side, (contender, timing) in sides
        ],
    }


def shown(seconds: float) -> str:
    """Format seconds with three digits, in s, ms or µs."""
    for unit, scale in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if seconds * scale >= 1 or unit == "µs":
            return f"{_digits(seconds * scale)} {unit}"
    raise AssertionError


def _digits(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def _cells(
    result: Result, mine: tuple[Contender, Timing], peer: tuple[Contender, Timing] | None
) -> list[str]:
    (ours, my_timing), items = mine, _items(result)
    about = f"{result.row.described(result.size)}, {_threads(result.row.threads)}"
    first = [about, ours.name]
    if peer is None:
        return [*first, "–", "–", _our_time(result, mine), "–", "–", "–"]
    theirs, their_timing = peer
    aim = ours.aims.get(theirs.name, Aim())
    speed = memory = None
    if my_timing.seconds and their_timing.seconds:
        speed = statistics.median(their_timing.seconds) / statistics.median(my_timing.seconds)
        memory = my_timing.gigabytes / their_timing.gigabytes
    return [
        *first,
        theirs.name,
        _time(their_timing, items) + _rate(result, their_timing),
        _our_time(result, mine),
        "–" if speed is None else f"{speed:.2f} ×",
        "–" if memory is None else f"{memory:.2f} ×",
        _aim(aim, speed, memory, _each(my_timing, items) if result.size == "full" else None),
    ]


def _reported_cells(result: Reported) -> list[list[str]]:
    report, threads = result.report, _threads(result.report.threads)
    if result.failure:
        return [[f"{report.about}, {threads}", result.failure, *"–" * (len(HEAD) - 2)]]
    lines = []
    for figures in result.figures:
        mine, theirs = figures["ours_seconds"], figures["theirs_seconds"]
        aim = _aim(
            report.aim(figures), theirs / mine, None, mine if result.size == "full" else None
        )
        times = [shown(theirs), shown(mine), f"{theirs / mine:.2f} ×", "–", aim]
        lines.append(
            [f"{report.about}: {figures['work']}, {threads}", "float32", figures["peer"], *times]
        )
    return lines


def _threads(count: int) -> str:
    return f"{count} thread{'s' * (count > 1)}"


def _items(result: Result) -> int:
    return result.row.items(result.row.sizes[result.size])


def _each(timing: Timing, items: int) -> float | None:
    return statistics.median(timing.seconds) / items if timing.seconds else None


def _time(timing: Timing, items: int) -> str:
    """Median and range of the rounds."""
    if not timing.seconds:
        return f"– ({timing.failure or 'did not run'})"
    middle, low, high = (
        shown(value / items)
        for value in (statistics.median(timing.seconds), min(timing.seconds), max(timing.seconds))
    )
    return f"{middle} ({low} to {high}), {timing.gigabytes:.2f} GB"


def _our_time(result: Result, mine: tuple[Contender, Timing]) -> str:
    """Time, rate, and share of the machine's limit."""
    contender, timing = mine
    told = _time(timing, _items(result)) + _rate(result, timing)
    if not timing.seconds or contender.needs is None or result.roof is None:
        return told
    needs = contender.needs(result.row.sizes[result.size])
    share = result.roof.seconds(*needs) / statistics.median(timing.seconds)
    return f"{told}, {share:.0%} of the machine's limit"


def _rate(result: Result, timing: Timing) -> str:
    each = _each(timing, _items(result))
    if result.row.rate is None or each is None:
        return ""
    unit, of_an_item = result.row.rate
    return f", {_digits(of_an_item / each)} {unit}"


def _aim(aim: Aim, speed: float | None, memory: float | None, seconds: float | None) -> str:
    """Each aim, and if it was met, where it was measured."""
    parts = []
    if aim.speed is not None:
        parts.append(f"≥ {aim.speed:g} ×{_verdict(speed and speed >= aim.speed)}")
    if aim.memory is not None:
        parts.append(f"memory ≤ {aim.memory:g} ×{_verdict(memory and memory <= aim.memory)}")
    if aim.seconds is not None:
        parts.append(f"≤ {shown(aim.seconds)}{_verdict(seconds and seconds <= aim.seconds)}")
    return ", ".join(parts) or "–"


def _verdict(met: bool | float | None) -> str:
    return "" if met is None else " met" if met else " missed"
