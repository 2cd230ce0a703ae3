"""An ARPA model read and scored as plainly as can be: the reference of the vectorised one."""

import math


def parse(text: str) -> dict[tuple[str, ...], tuple[float, float]]:
    """log10 probability and back-off of every n-gram."""
    found = {}
    order = 0
    for line in text.splitlines():
        if line.endswith("-grams:"):
            order = int(line[1])
        elif order and line and not line.startswith("\\"):
            fields = line.split()
            backoff = float(fields[order + 1]) if len(fields) > order + 1 else 0.0
            found[tuple(fields[1 : order + 1])] = (float(fields[0]), backoff)
    return found


def word_log_prob(model: dict, history: tuple[str, ...], word: str) -> float:
    """ln P(word | history) by the definition of back-off."""
    if (*history, word) in model:
        return model[(*history, word)][0] * math.log(10)
    if not history:
        return word_log_prob(model, (), "<unk>") if ("<unk>",) in model else -100 * math.log(10)
    backoff = model.get(history, (0.0, 0.0))[1] * math.log(10)
    return backoff + word_log_prob(model, history[1:], word)


def sentence_log_prob(model: dict, words: list[str]) -> float:
    """ln P of a sentence and its end."""
    known = [word if (word,) in model else "<unk>" for word in words]
    whole, longest = ["<s>", *known, "</s>"], max(map(len, model)) - 1
    return sum(
        word_log_prob(model, tuple(whole[max(0, i - longest) : i]), whole[i])
        for i in range(1, len(whole))
    )
