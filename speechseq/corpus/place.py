"""Position of a training run in its batches: saved and restored, even if the batches changed."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any


def save(epoch: int, position: int, fingerprint: int, numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Return a training run's position in its batches, as plain data for a checkpoint.

    Args:
        epoch: epoch of the next batch.
        position: index in the epoch of the next batch.
        fingerprint: hash of all that determines the batches; equal for two runs only if all their
            batches are equal.
        numbers: settings and counts by name, to tell in a message what has changed.
    """
    return {
        "epoch": epoch,
        "position": position,
        "corpus": fingerprint,
        "numbers": dict(numbers),
    }


def find(
    state: Mapping[str, Any],
    fingerprint: int,
    numbers: Mapping[str, Any],
    batches_of: Callable[[int], int],
) -> tuple[int, int]:
    """Return the epoch and the position in it at which a resumed run continues.

    If the batches have not changed, this is the saved position. If they have (a larger corpus,
    another batch size), the saved epoch starts again, and a warning names the changes.

    Args:
        state: result of `save`.
        fingerprint: see `save`, for the batches of the resumed run.
        numbers: see `save`, for the batches of the resumed run.
        batches_of: function that returns the number of batches of an epoch.

    Raises:
        ValueError: the state holds no position, or one outside the epoch.
    """
    epoch, position = state["epoch"], state["position"]
    if type(epoch) is not int or type(position) is not int or min(epoch, position) < 0:
        raise ValueError(f"no epoch {epoch!r}, batch {position!r}")
    if state["corpus"] == fingerprint:
        if position >= (count := batches_of(epoch)):
            raise ValueError(f"epoch {epoch} has {count} batches, not {position}")
        return epoch, position
    warnings.warn(
        f"resumed with other batches ({_changes(state.get('numbers', {}), numbers)}): "
        f"epoch {epoch} begins anew; the result will not equal an uninterrupted run bit for bit",
        stacklevel=4,
    )
    return epoch, 0


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    changed = [
        f"{name}: {before[name]} before, {now[name]} now"
        for name in now
        if name in before and before[name] != now[name]
    ]
    return "; ".join(changed) or f"the utterances, or one of {', '.join(now)}"
