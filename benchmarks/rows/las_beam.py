"""Beam search of width 8 with a large LAS, and a loop over hypotheses, on one thread."""

from collections.abc import Mapping
from typing import Any

import las_beam
from contract import Aim, Report

THREADS = 1


def compare(size: str) -> list[dict[str, Any]]:
    """Compare at 1,200 frames and 150 characters in the full size, otherwise at 160 and 20."""
    rounds = {"toy": 1, "quick": 3, "full": 3}[size]
    return las_beam.rows(quick=size != "full", threads=THREADS, rounds=rounds)


def aim(figures: Mapping[str, Any]) -> Aim:
    """Return the aim, which is the same for every batch size."""
    return Aim(speed=10.0, seconds=0.5)


ROWS = (
    Report(
        name="las-beam",
        about="beam of 8, LAS, per utterance",
        threads=THREADS,
        run=compare,
        aim=aim,
    ),
)
