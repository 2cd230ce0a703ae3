"""Griffin-Lim at equal spectral convergence, and log-mels, on one thread."""

from collections.abc import Mapping
from typing import Any

from contract import Aim, Report

THREADS = 1


def compare(size: str) -> list[dict[str, Any]]:
    """Compare Griffin-Lim on single sounds of 2 s (full size: 5 s and batches), log-mels on 6 s."""
    import signal_speed  # librosa takes a second to import, and every worker reads this file

    rounds = {"toy": 1, "quick": 3, "full": 7}[size]
    return signal_speed.rows(quick=size != "full", threads=THREADS, rounds=rounds)


def aim(figures: Mapping[str, Any]) -> Aim:
    """Return the aim for comparisons with torchaudio; other peers have none."""
    if not figures["peer"].startswith("torchaudio"):
        return Aim()
    return Aim(speed=2.0 if figures["work"].startswith("Griffin-Lim") else 1.5)


ROWS = (
    Report(
        name="signal",
        about="signal, per item",
        threads=THREADS,
        run=compare,
        aim=aim,
    ),
)
