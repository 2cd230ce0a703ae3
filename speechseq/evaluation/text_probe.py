"""Linear probe of a style's codes: a test whether they contain the words of the utterance."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from speechseq.evaluation import speakers

_PLACES = (0, -1)  # the first and the last word, which say nothing about the text's length
_PERMUTATIONS = 50
_FEWEST = 2  # fitted texts with a word at a place, from which it counts


def text_probe(
    fitted: Tensor, fitted_texts: Sequence[str], held_out: Tensor, texts: Sequence[str]
) -> dict[str, float] | None:
    """Test whether style codes contain the text, by predicting words from them with a linear probe.

    Linear discriminant analyses predict the first and the last word of an utterance from its code.
    They are fitted on some utterances and tested on others. The number of words is not predicted,
    since it follows from rate and duration, which a style may contain.

    Args:
        fitted: (items, …), codes that the classifiers are fitted to.
        fitted_texts: texts of these codes.
        held_out: (items, …), codes of the test.
        texts: texts of the test.

    Returns:
        "accuracy": share of the tested words that are predicted. "permuted" and "spread": mean and
        standard deviation of the accuracy with permuted words in the fit, over 50 permutations.
        "words": number of tested words; only words that occur twice at their place in
        `fitted_texts` are tested. The result is None if no word can be tested.

    Source: Alain and Bengio 2017, "Understanding intermediate layers using linear classifiers".
    """
    codes = fitted.flatten(1), held_out.flatten(1)
    tasks = [_task(codes, (fitted_texts, texts), place) for place in _PLACES]
    tasks = [task for task in tasks if len(set(task[1])) > 1 and task[3]]
    if not tasks:
        return None
    generator = torch.Generator().manual_seed(0)
    null = torch.tensor([_accuracy(tasks, generator) for _ in range(_PERMUTATIONS)])
    return {
        "accuracy": _accuracy(tasks, None),
        "permuted": float(null.mean()),
        "spread": float(null.std()),
        "words": sum(len(words) for *_, words in tasks),
    }


def _task(
    codes: tuple[Tensor, Tensor], texts: tuple[Sequence[str], Sequence[str]], place: int
) -> tuple[Tensor, list[str], Tensor, list[str]]:
    """Codes and words to fit, codes and words to test, of words that are fitted often enough."""
    known, tested = ([text.split()[place] for text in group] for group in texts)
    words = {word for word in known if known.count(word) >= _FEWEST}
    parts: list[Any] = []
    for group, said in zip(codes, (known, tested), strict=True):
        rows = [i for i, word in enumerate(said) if word in words]
        parts += [group[rows], [said[i] for i in rows]]
    return parts[0], parts[1], parts[2], parts[3]


def _accuracy(
    tasks: Sequence[tuple[Tensor, list[str], Tensor, list[str]]],
    permuted: torch.Generator | None,
) -> float:
    right, total = 0.0, 0
    for known, words, tested, said in tasks:
        if permuted is not None:
            words = [words[i] for i in torch.randperm(len(words), generator=permuted)]
        right += speakers.fit(known, words).accuracy(tested, said) * len(said)
        total += len(said)
    return right / total
