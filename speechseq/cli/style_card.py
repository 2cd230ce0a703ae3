"""Reads and prints the style card of a checkpoint, without the packages that made it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from speechseq import files
from speechseq.errors import CheckpointError

_CARD = files.Kind(name="a style card", limit=1 << 20, cure="train again, or delete it")
_UNITS = {"f0": "st", "spread": "st", "energy": "dB", "rate": "%"}


def read_card(folder: Path) -> dict[str, Any] | None:
    """Read the style card of a checkpoint folder; None if it has none.

    Raises:
        CheckpointError: the file is not a style card.
    """
    from speechseq.checkpoint.folder import STYLE_CARD

    path = folder / STYLE_CARD
    if not path.exists():
        return None
    try:
        card = json.loads(files.read_text(path, _CARD))
        list(card_lines(card))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise CheckpointError(f"{path}: is no style card", "train again, or delete it") from None
    return card


def card_lines(card: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of a style card, as text for a terminal.

    A knob is a dimension of the style's code, or a style token. Each has a line with what it
    changes in the speech; the last line names the knobs without an effect. `card` is a result of
    `read_card`.
    """
    for knob in card["knobs"]:
        parts = [f"{knob['name']:>3}:"]
        parts += [_change(knob[key]["change"], unit) for key, unit in _UNITS.items()]
        if knob["wer"] is not None:
            parts.append(f"WER {knob['wer']:.3f}")
        yield "  ".join([*parts, "dead"] if knob["dead"] else parts)
    yield f"active {card['active_units']:.0%}; dead: {', '.join(card['dead']) or 'none'}"


def _change(value: float | None, unit: str) -> str:
    return f"{'undefined':>10}" if value is None else f"{value:+7.2f} {unit}"
