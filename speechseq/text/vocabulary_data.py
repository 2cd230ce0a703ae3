"""Vocabularies as plain data: checks keys and types, and builds the spelling."""

from collections.abc import Mapping
from typing import Any

from speechseq.errors import ConfigError
from speechseq.text.normalizers import checked
from speechseq.text.pieces import Pieces
from speechseq.text.spelling import Characters, Spelling, Words

CURE = "copy the vocabulary again from the run that trained the model, or train anew"
_TYPES = {"symbols": list, "controls": list, "fold_case": bool, "end": bool, "voice": str}
_UNITS = ("characters", "words", "pieces")  # without the key: characters, as in older files


def read(data: Any) -> tuple[dict[str, Any], Spelling]:
    """Check the plain data of a vocabulary, and build its spelling.

    Args:
        data: output of `Vocabulary.to_dict`.

    Returns:
        Arguments of `Vocabulary` by name, without the spelling; and the spelling, which splits
        texts into symbols.

    Raises:
        ConfigError: a key is missing or unknown, a type is wrong, or the sentencepiece model is
            damaged.
    """
    if not isinstance(data, Mapping):
        raise ConfigError(f"expected the keys {sorted(_TYPES)}, got {type(data).__name__}")
    units = data.get("units", "characters")
    if not isinstance(units, str) or units not in _UNITS:
        raise ConfigError(f"units: {short(units)} is none of {', '.join(_UNITS)}")
    types = _TYPES | {key: str for key in ("units", "normalizer") if key in data}
    if units == "pieces":
        types["model"] = str
    if set(data) != set(types):
        raise ConfigError(f"expected the keys {sorted(types)}, got {sorted(map(str, data))}")
    for key, kind in types.items():
        value = data[key]
        listed = type(value) is not list or all(isinstance(item, str) for item in value)
        if type(value) is not kind or not listed:
            raise ConfigError(f"{key} has the wrong type: {short(value)}")
    if "normalizer" in data:
        checked(data["normalizer"])
    kept = {key: data[key] for key in (*_TYPES, "normalizer") if key in data}
    return kept, _spelling(units, data)


def _spelling(units: str, data: Mapping[str, Any]) -> Spelling:
    if units == "pieces":
        return Pieces.from_base64(data["model"])
    return Words() if units == "words" else Characters()


def short(value: object) -> str:
    """Format a value for errors, with at most 60 characters."""
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."


def named(symbol: str) -> str:
    """Format a symbol for errors; a single character is shown with its code point."""
    return f"{symbol!r} (U+{ord(symbol):04X})" if len(symbol) == 1 else repr(symbol)
