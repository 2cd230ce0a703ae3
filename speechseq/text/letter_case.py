"""Case folding towards the letters that a vocabulary has."""

_SIGMAS = {"ς": "σ"}
_TURKIC = {"I": "ı", "İ": "i"}


def fold_case(text: str, known: frozenset[str]) -> str:
    """Replace each character that is not in `known` by its lower case, where that is in `known`.

    The result has the length of the text. "I" is the capital of "ı", and "İ" of "i", for a
    vocabulary that has "ı" (Turkish); a capital sigma follows its place in the word.
    """
    capitals = _TURKIC if "ı" in known else {}
    lowered = text.replace("İ", "I").lower()  # "İ" alone would become two characters
    return "".join(
        [
            c if c in known else _lower(c, capitals.get(c, low), known)
            for c, low in zip(text, lowered, strict=True)
        ]
    )


def _lower(character: str, lower: str, known: frozenset[str]) -> str:
    if character == "İ" and "ı" not in known:  # no lower case of one character
        return character
    if lower not in known:
        lower = _SIGMAS.get(lower, lower)
    return lower if lower in known else character
