"""Doctor of a training: measures its alignments, finds what is wrong, and names a cure."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from speechseq.arguments import checked_lengths
from speechseq.nn.attention.diagnostics import coverage, entropy, focus, monotonicity
from speechseq.nn.masks import length_mask
from speechseq.shapes import Alignment, Lengths, StopLogits
from speechseq.training import log
from speechseq.training.finding import Course, Finding
from speechseq.training.findings import CHECKS
from speechseq.training.restart import RESTART


def measure(
    alignment: Alignment, step_lengths: Lengths, token_lengths: Lengths, stop_logits: StopLogits
) -> dict[str, float]:
    """Measure alignments and stop decisions of a batch of a Tacotron, as numbers by name.

    "focus", "coverage", "monotonicity" and "entropy" (nats) are means over utterances, see
    `nn.attention.diagnostics`. "stop_accuracy" is the share of valid steps whose decision is right:
    the logit is above 0 at the last step of an utterance, and nowhere else. The padding is never
    read.

    Args:
        alignment: (batch, steps, positions), teacher-forced or free-running.
        step_lengths: (batch), number of valid decoder steps, at least 1.
        token_lengths: (batch), number of valid tokens, at least 1.
        stop_logits: (batch, steps).

    Examples:
        >>> lengths = torch.tensor([4])
        >>> measure(torch.eye(4)[None], lengths, lengths, torch.tensor([[-9.0, -9.0, -9.0, 9.0]]))
        {'focus': 1.0, 'coverage': 1.0, 'monotonicity': 1.0, 'entropy': 0.0, 'stop_accuracy': 1.0}
    """
    alignment, stop_logits = alignment.detach().float(), stop_logits.detach()
    steps = checked_lengths(step_lengths, alignment.shape, "step_lengths", least=1)
    scores = {
        "focus": focus(alignment, steps),
        "coverage": coverage(alignment, steps, token_lengths),
        "monotonicity": monotonicity(alignment, steps),
        "entropy": entropy(alignment, steps),
    }
    found = {name: float(score.mean()) for name, score in scores.items()}
    return found | {"stop_accuracy": _stop_accuracy(stop_logits, steps)}


def diagnose(history: Sequence[tuple[int, dict[str, Any]]], updates: int) -> list[Finding]:
    """Find out what is wrong with a run; a problem comes before those that it causes.

    A run that trains well gives []. Values that are missing, None or not finite are ignored.

    Args:
        history: pairs of an update and the values of its validation by name: those of `measure`,
            and more of `doctor_validation` where they are known.
        updates: number of updates of the whole run.
    """
    course = Course([(update, _finite(values)) for update, values in history], updates)
    return [finding for check in CHECKS for finding in check(course)] if history else []


def examine(run: Path | str) -> list[Finding]:
    """Diagnose the run of a folder from its log; see `diagnose`.

    Raises:
        DataError: the run has no log.
    """
    return diagnose(*read_history(run))


def read_history(run: Path | str) -> tuple[list[tuple[int, dict[str, float]]], int]:
    """Read the validations of a run and its total number of updates from its log, for `diagnose`.

    The first result has pairs of an update and the values of its validation by name. `run` is the
    run's folder.

    Raises:
        DataError: the run has no log.
    """
    history: list[tuple[int, dict[str, float]]] = []
    updates, known = 0, {}
    for line in log.read(run):
        loss, validation = line.get("loss"), line.get("validation")
        if line.get("event") == RESTART:
            history.clear()
        elif line.get("event") == "start":
            updates = _planned(line) or updates
            history += _beginning(line) if not history else []
        elif isinstance(loss, dict):
            known = {f"train_{name}": value for name, value in loss.items()}
            known |= {
                name: line.get(name) for name in ("gradient_norm", "learning_rate", "skipped")
            }
        elif isinstance(validation, dict):
            history.append((line["update"], _finite(known | validation)))
    return history, updates or (history[-1][0] if history else 1)


def _beginning(line: dict[str, Any]) -> list[tuple[int, dict[str, float]]]:
    """Size of the weights before the first update, and the highest learning rate."""
    config = line.get("config")
    if line["update"] or not isinstance(config, dict) or "weight_size" not in line:
        return []
    values = {"weight_size": line["weight_size"], "learning_rate": config.get("learning_rate")}
    return [(0, _finite(values))]


def _planned(line: dict[str, Any]) -> int:
    config = line.get("config")
    updates = config.get("updates") if isinstance(config, dict) else None
    return updates if isinstance(updates, int) else 0


def _stop_accuracy(stop_logits: Tensor, step_lengths: Tensor) -> float:
    valid = length_mask(step_lengths, stop_logits.shape[1])
    steps = torch.arange(stop_logits.shape[1], device=stop_logits.device)
    last = steps == (step_lengths - 1).unsqueeze(1)
    return float(((stop_logits > 0) == last)[valid].float().mean())


def _finite(values: dict[str, Any]) -> dict[str, float]:
    numbers = (int, float)
    return {k: float(v) for k, v in values.items() if isinstance(v, numbers) and math.isfinite(v)}
