"""`speechseq doctor RUN`: says what is wrong with a training, and what to do about it."""

import argparse
from pathlib import Path
from typing import Any

from speechseq.printable import json_line, printable

_HELP = "say what is wrong with a training run, and what to do about it"
_SHOWN = ("focus", "coverage", "monotonicity", "entropy", "stop_accuracy", "gap", "loss")


def add(commands: Any) -> None:
    """Add the command `speechseq doctor` and its flags to `commands`, argparse's subparsers."""
    parser = commands.add_parser("doctor", help=_HELP)
    parser.add_argument("folder", type=Path, metavar="RUN", help="the folder of a run")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Print the last measures of a run, and each problem found, with its cure.

    `arguments` are the parsed flags of the command.
    """
    from speechseq.errors import DataError
    from speechseq.training.doctor import diagnose, read_history

    history, updates = read_history(arguments.folder)
    if not history or not history[-1][0]:  # before the first update
        raise DataError(
            f"{arguments.folder}: the log has no validation yet",
            "wait for the first one, or train with --trainer.validate_every 100",
        )
    findings = diagnose(history, updates)
    update, values = history[-1]
    if arguments.json:
        found = [finding._asdict() for finding in findings]
        print(json_line({"update": update, "updates": updates, "last": values, "findings": found}))
        return
    numbers = [f"{name} {values[name]:.3g}" for name in _SHOWN if name in values]
    print(f"{printable(arguments.folder)}: update {update:,} of {updates:,}")
    print(f"  {', '.join(numbers)}")
    for finding in findings:
        print(f"problem  {printable(finding.problem)}\n  cure   {printable(finding.cure)}")
    if not findings:
        print("nothing is wrong")
