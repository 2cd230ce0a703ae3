"""Case folding to the characters of a vocabulary."""

_SIGMAS = {"ς": "σ"}
_TURKIC = {"I": "ı", "İ": "i"}


def fold_case(text: str, known: frozenset[str]) -> str:
    """Replace each character that is not in `known` by its lower case, if that is in `known`.

    The length of the text is preserved. If `known` has the Turkish "ı", "I" becomes "ı" and "İ"
    becomes "i". A capital sigma becomes "σ" or, at the end of a word, "ς".

    Args:
        text: any text.
        known: the characters of a vocabulary.
    """
    capitals = _TURKIC if "ı" in known else {}
    lowered = text.replace("İ", "I").lower()  # lower() turns "İ" into two characters
    return "".join(
        [
            c if c in known else _lower(c, capitals.get(c, low), known)
            for c, low in zip(text, lowered, strict=True)
        ]
    )


def _lower(character: str, lower: str, known: frozenset[str]) -> str:
    if character == "İ" and "ı" not in known:  # has no lower case of one character
        return character
    if lower not in known:
        lower = _SIGMAS.get(lower, lower)
    return lower if lower in known else character
