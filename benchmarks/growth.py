"""Growth of time and memory with the size of the work, compared with the roofline.

    python benchmarks/growth.py [--quick] [--json growth.json] [--picture docs/growth.png]

A full-size Tacotron 2 trains and speaks with one number varied at a time; every point runs in its
own process. The limit is the least time on this machine, measured in the same run: FLOPs divided by
the rate of products, or bytes of weights per step divided by the rate of reads, whichever takes
longer. Run it on an idle machine, because beside other programs the threads wait for each other.
"""

import argparse
import concurrent.futures
import dataclasses
import json
import multiprocessing
import sys
import time
from pathlib import Path
from typing import Any

import torch
from growth_points import Found, Point, Ran, points, run
from machine import machine
from roofline import Roof, measure
from table import shown

PROCESSES = multiprocessing.get_context("forkserver")


def main() -> None:
    """Measure the points, and the roofline before and after; print, save and draw them."""
    options = _options()
    PROCESSES.set_forkserver_preload(["growth_points"])
    chosen = points(options.quick, options.threads)
    header: dict[str, Any] = machine(torch.device("cpu")) | {"seed": 0}
    print(", ".join(f"{name} {value}" for name, value in header.items()), flush=True)
    threads, patience = sorted({p.threads for p in chosen}), 0.1 if options.quick else 0.4
    before = {n: apart(measure, n, patience) for n in threads}
    ran = _ran(chosen, options.seconds)
    roofs = {n: roof.or_better(apart(measure, n, patience)) for n, roof in before.items()}
    found = [judged(point, ran[point], roofs[point.threads]) for point in ran]
    print("\n".join(described(n, roof) for n, roof in roofs.items()))
    print("\n| what | time | limit | share | memory |\n|---|---|---|---|---|")
    print("\n".join(line(f) for f in found))
    if options.json:
        options.json.write_text(json.dumps(plain(header, roofs, found), indent=1), "utf-8")
    if options.picture:
        from growth_picture import picture

        options.picture.write_bytes(picture(found))


def _ran(chosen: list[Point], patience: float) -> dict[Point, Ran]:
    """Measure the points until `patience` seconds are over; failures are printed."""
    began, found = time.monotonic(), {}
    for point in chosen:
        if time.monotonic() - began > patience:
            print(f"{patience:g} s are over: left out: {point.name}", file=sys.stderr)
            continue
        try:
            found[point] = apart(run, point)
        except (concurrent.futures.BrokenExecutor, RuntimeError) as error:  # most likely memory
            print(f"fell: {point.name}: {error}", file=sys.stderr)
        else:
            print(f"{point.name}: {shown(found[point].each)}", file=sys.stderr, flush=True)
    return found


def judged(point: Point, ran: Ran, roof: Roof) -> Found:
    """Combine a measurement with its limit."""
    limit = roof.seconds(ran.work, point.precision) / ran.items
    return Found(point, ran.each, ran.gigabytes, limit)


def apart(work: Any, *arguments: Any) -> Any:
    """Call a function in a new process, so that its peak memory is measured alone."""
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=PROCESSES) as pool:
        return pool.submit(work, *arguments).result()


def line(found: Found) -> str:
    """Format the row of the table for one point."""
    times = f"{shown(found.seconds)} | {shown(found.limit)} | {found.share:.0%}"
    return f"| {found.point.name} | {times} | {found.gigabytes:.2f} GB |"


def described(threads: int, roof: Roof) -> str:
    """Describe the machine's limits."""
    flops = ", ".join(f"{name} {rate / 1e9:.0f}" for name, rate in roof.flops.items())
    reads = ", ".join(f"{size} MB {rate / 1e9:.0f}" for size, rate in roof.reads.items())
    return f"{threads} threads: GFLOP/s: {flops}; reading GB/s: {reads}"


def plain(header: dict[str, Any], roofs: dict[int, Roof], found: list[Found]) -> dict[str, Any]:
    """Convert all results to data for JSON."""
    return {
        "header": header,
        "roofs": {threads: roof._asdict() for threads, roof in roofs.items()},
        "points": [
            {**dataclasses.asdict(f.point), **f._replace(point=None)._asdict(), "share": f.share}
            for f in found
        ],
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer and smaller points, a minute")
    parser.add_argument("--threads", type=int, default=2, help="where they do not vary")
    parser.add_argument("--seconds", type=float, default=330.0, help="begin no point after so many")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--picture", type=Path, help="a PNG")
    return parser.parse_args()


if __name__ == "__main__":
    main()
