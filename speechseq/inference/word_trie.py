"""Trie of a language model's words, which many rows traverse at once, one symbol per step."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from speechseq.errors import ConfigError, DataError
from speechseq.text.vocabulary import EOS, Vocabulary

_ASTRAY = 1  # the node of every character sequence that begins no word


class WordTrie(NamedTuple):
    """Trie (prefix tree) of words as tensors, which symbols follow from node 0, the root.

    `WordNGramScorer` follows the unfinished word of each hypothesis in it. Build it by `of`.

    Attributes:
        after: (nodes, characters + 1), the node that each character leads to; the last column is
            for padding and leads to the node itself.
        letters: (symbols, most), indices of the characters of each symbol, padded.
        closes: (symbols), True if the symbol completes the word before it.
        words: (nodes), index of the word that ends at a node, or of <unk>.
    """

    after: Int[Tensor, "nodes characters"]
    letters: Int[Tensor, "symbols most"]
    closes: Bool[Tensor, " symbols"]
    words: Int[Tensor, " nodes"]

    @staticmethod
    def of(words: Iterable[tuple[str, int]], vocabulary: Vocabulary, *, unknown: int) -> "WordTrie":
        """Build a trie of a language model's words.

        Words that the vocabulary cannot spell are left out.

        Args:
            words: pairs (word, index); of equal words the first counts.
            vocabulary: the recogniser's vocabulary, whose symbols spell the words.
            unknown: index of <unk>, given to nodes at which no word ends.

        Raises:
            ConfigError: the vocabulary can spell none of the words, or one of its symbols reaches
                over a space, such as "a b".
        """
        texts = vocabulary.texts(range(len(vocabulary)))
        inner = [text.removeprefix(" ") for text in texts]
        if wrong := [text for text in inner if text.split() != [text] and text]:
            problem = f"symbols that reach over a space cannot spell words: {wrong[:5]!r}"
            raise ConfigError(problem, "use an n-gram model over the symbols themselves")
        numbers = {c: i for i, c in enumerate(sorted(set("".join(inner))))}
        children: list[dict[int, int]] = [{}, {}]
        ends = [unknown, unknown]
        for word, number in words:
            node = 0
            for character in _spelled(word, vocabulary):
                step = numbers[character]
                if step not in children[node]:
                    children[node][step] = len(children)
                    children.append({})
                    ends.append(unknown)
                node = children[node][step]
            if node and ends[node] == unknown:
                ends[node] = number
        if len(children) == 2:
            problem = "the vocabulary can spell none of the language model's words"
            raise ConfigError(problem, "are they written in the same case, in the same script?")
        return WordTrie(
            after=_table(children, len(numbers)),
            letters=_padded([[numbers[c] for c in text] for text in inner], len(numbers)),
            closes=torch.tensor([t.startswith(" ") or i == EOS for i, t in enumerate(texts)]),
            words=torch.tensor(ends),
        )

    def to(self, device: torch.device | str) -> "WordTrie":
        """Return the same trie on another device."""
        return WordTrie(*(part.to(device) for part in self))

    def walk(self, nodes: Tensor, tokens: Tensor) -> Tensor:
        """Return the node (rows) that is reached from each node by the characters of a symbol.

        Args:
            nodes: (rows), node of each hypothesis.
            tokens: (rows), next symbol of each hypothesis.
        """
        for letters in self.letters[tokens].unbind(1):
            nodes = self.after[nodes, letters].long()
        return nodes


def _spelled(word: str, vocabulary: Vocabulary) -> str:
    """Spelling of a word by the vocabulary, case folded; "" if it has symbols that it lacks."""
    try:
        return vocabulary.decode(vocabulary.encode(word))
    except DataError:
        return ""


def _table(children: list[dict[int, int]], characters: int) -> Tensor:
    after = torch.full((len(children), characters + 1), _ASTRAY, dtype=torch.int32)
    steps = [(n, c, child) for n, found in enumerate(children) for c, child in found.items()]
    nodes, columns, targets = torch.tensor(steps).unbind(1)
    after[nodes, columns] = targets.int()
    after[:, characters] = torch.arange(len(children))
    return after


def _padded(rows: list[list[int]], padding: int) -> Tensor:
    longest = max(map(len, rows))
    return torch.tensor([row + [padding] * (longest - len(row)) for row in rows])
