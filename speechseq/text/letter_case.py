"""Case folding to the characters of a vocabulary."""

_SIGMAS = {"ς": "σ"}
_TURKIC = {"I": "ı", "İ": "i"}


def fold_case(text: str, known: frozenset[str]) -> str:
    """Replace each character that is not in `known` by its lower case, if that is in `known`.

    `known` are the characters of a vocabulary. The length of the text is preserved. For
    vocabularies with "ı" (Turkish), "I" folds to "ı" and "İ" to "i". A capital sigma folds
    according to its position in the word.
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
