"""Benchmark of every row of the table: our code and its peers, one step at a time in turn.

    python benchmarks/bench.py [--full] [--only PATTERN] [--json PATH] [--device cuda] [--list]

Each contender runs in its own process, with the same data from the same seed; in a round, each
runs one step. The table gives medians, ranges and peak memory; quote the ratios. contract.py
explains how to add a row or a peer. The rows of --device cuda were never run.
"""

import argparse
import fnmatch
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from contract import SIZES, Contender, Report, Row, peers, rows
from in_turn import Command, compare, serve
from machine import machine
from roofline import Roof, measure_accelerator
from table import Reported, Result, markdown, plain

# per row: minimum rounds, seconds to spend on further ones, seconds after which none begins
PATIENCE = {"toy": (1, 0.0, 0.0), "quick": (3, 12.0, 100.0), "full": (5, 60.0, 1200.0)}


def main() -> None:
    """Run the rows and print the table; write JSON if requested."""
    options = _options()
    if options.worker:
        return work(options)
    kind = None if options.rehearse else torch.device(options.device).type
    chosen = choose(rows(), options.only, kind)
    if options.list:
        return print("\n".join(f"{row.name:20} {told(row, options.size)}" for row in chosen))
    if not chosen:
        raise SystemExit(f"no row is like {options.only!r} on {options.device}; see --list")
    roof = limits(chosen, options)
    header = {**machine(torch.device(options.device)), "seed": options.seed, "size": options.size}
    if roof is not None:
        header |= {f"{name} FLOP/s": f"{rate:.3g}" for name, rate in roof.flops.items()}
        header |= {f"bytes/s of {size} MB": f"{rate:.3g}" for size, rate in roof.reads.items()}
    print(", ".join(f"{name} {value}" for name, value in header.items()), flush=True)
    results = []
    for row in chosen:
        print(f"{row.name} …", file=sys.stderr, flush=True)
        results.append(run(row, options, roof) if isinstance(row, Row) else report(row, options))
        if options.json:  # after every row, so that an interrupted run keeps its results
            saved = {"header": header, "rows": [plain(result) for result in results]}
            options.json.write_text(json.dumps(saved, indent=1), "utf-8")
    return print(markdown(results))


def choose(known: list[Row | Report], pattern: str, kind: str | None) -> list[Row | Report]:
    """Return the rows whose name contains the pattern (with wildcards * and ?), by device kind."""
    wanted = f"*{pattern.lower()}*"
    named = [row for row in known if fnmatch.fnmatch(row.name.lower(), wanted)]
    return [row for row in named if kind is None or kind in row.devices]


def limits(chosen: list[Row | Report], options: argparse.Namespace) -> Roof | None:
    """Measure the limits of the accelerator, if a row is compared with them."""
    contenders = [c for row in chosen if isinstance(row, Row) for c in row.ours]
    if options.list or not any(c.needs for c in contenders):
        return None
    toy = options.size == "toy"
    return measure_accelerator(torch.device(options.device), *((0.01, 256, (1, 4)) if toy else ()))


def told(row: Row | Report, size: str) -> str:
    """Describe a row in one line, for the list."""
    return row.described(size) if isinstance(row, Row) else row.about


def run(row: Row, options: argparse.Namespace, roof: Roof | None = None) -> Result:
    """Time our contenders and the row's peers on the same work, in turn."""
    ours, others = list(row.ours), peers(row)
    everyone = {side(c, True): c for c in ours} | {side(c, False): c for c in others}
    rounds, seconds, limit = PATIENCE[options.size]
    timings = compare(
        {name: _command(row, name, options, c.environment) for name, c in everyone.items()},
        rounds=options.rounds or rounds,
        seconds=seconds,
        limit=limit,
    )
    return Result(
        row,
        options.size,
        [(c, timings[side(c, True)]) for c in ours],
        [(c, timings[side(c, False)]) for c in others],
        roof,
    )


def report(row: Report, options: argparse.Namespace) -> Reported:
    """Run a script that makes its own comparison, and read its results."""
    words, environment = _command(row, "report", options, {})
    done = subprocess.run(
        words, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        return Reported(row, options.size, [], (done.stderr.strip().splitlines() or ["fell"])[-1])
    return Reported(row, options.size, json.loads(done.stdout.splitlines()[-1]))


def side(contender: Contender, ours: bool) -> str:
    """Return a unique name of a contender in a row, as a peer and one of ours may share a name."""
    return f"{'ours' if ours else 'peer'}/{contender.name}"


def work(options: argparse.Namespace) -> None:
    """Run one contender: answer each line on standard input with one timed step."""
    row = next(row for row in rows() if row.name == options.only)
    torch.set_num_threads(row.threads)
    if isinstance(row, Report):
        return print(json.dumps(row.run(options.size)))
    everyone = {side(c, True): c for c in row.ours} | {side(c, False): c for c in peers(row)}
    device = torch.device(options.device)
    data = row.make_data(options.size, options.seed, device)
    torch.manual_seed(options.seed)
    return serve(everyone[options.worker].make(data, device), device)


def _command(
    row: Row | Report, worker: str, options: argparse.Namespace, environment: Mapping[str, str]
) -> Command:
    words = [sys.executable, __file__, "--worker", worker, "--only", row.name]
    words += ["--size", options.size, "--seed", str(options.seed), "--device", options.device]
    threads = {f"{kind}_NUM_THREADS": str(row.threads) for kind in ("OMP", "MKL", "OPENBLAS")}
    return Command(words, {**threads, **environment})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="quick")
    parser.add_argument(
        "--full", action="store_const", const="full", dest="size", help="the whole sizes, longer"
    )
    parser.add_argument("--only", default="", metavar="PATTERN", help="rows with it in their name")
    parser.add_argument("--json", type=Path, help="write every round's numbers there")
    parser.add_argument("--device", default="cpu", help="cuda: the rows that have a GPU form")
    parser.add_argument("--rounds", type=int, help="at least so many (quick 3, full 5)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--rehearse", action="store_true", help="rows of other devices too, to see that they run"
    )
    parser.add_argument("--list", action="store_true", help="name the rows and end")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
