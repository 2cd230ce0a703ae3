"""Words in a sequence of decoded symbols, with their positions."""

from collections.abc import Iterable


def word_spans(texts: Iterable[str]) -> list[tuple[str, int, int]]:
    """Find the words in the texts of successive ids; white space separates words.

    Args:
        texts: text of each id, "" for controls.

    Returns:
        Each word, with the positions of its first and last id.
    """
    spans: list[tuple[str, int, int]] = []
    inside = False
    for place, text in enumerate(texts):
        for character in text:
            if character.isspace():
                inside = False
            elif inside:
                word, first, _ = spans[-1]
                spans[-1] = (word + character, first, place)
            else:
                spans.append((character, place, place))
                inside = True
    return spans
