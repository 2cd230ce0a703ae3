"""Encoding of texts and padding of items, for the batches of both model families."""

from collections.abc import Callable

import torch
from lhotse import CutSet, MonoCut
from torch import Tensor

from speechseq.corpus.metadata import SHOWN
from speechseq.corpus.recording import WORDLESS
from speechseq.errors import DataError
from speechseq.text.vocabulary import Vocabulary


class Texts:
    """Encodes the texts of lhotse cuts to token ids; the result for each text is cached.

    Call `ids` for one cut, or `check` to find all bad texts in advance.

    Args:
        vocabulary: vocabulary that encodes the text of each cut's supervisions.
        normalizer: function that normalises a text before encoding; None leaves texts unchanged.
    """

    def __init__(self, vocabulary: Vocabulary, normalizer: Callable[[str], str] | None) -> None:
        self.vocabulary = vocabulary
        self.normalizer = normalizer
        self._encoded: dict[str, Tensor] = {}

    def ids(self, cut: MonoCut) -> Tensor:
        """Return the token ids of a cut's text, (tokens) int64.

        Raises:
            DataError: the text is empty and the cut not marked as wordless, or symbols are unknown;
                the message names the cut.
        """
        text = " ".join(part.text or "" for part in cut.supervisions)
        if not text and any((part.custom or {}).get(WORDLESS) for part in cut.supervisions):
            return torch.tensor(self.vocabulary.encode(""), dtype=torch.int64)
        if text not in self._encoded:
            try:
                self._encoded[text] = self._encode(text)
            except DataError as error:
                raise DataError(f"{cut.id}: {error.problem}", error.cure) from None
        return self._encoded[text]

    def check(self, cuts: CutSet) -> None:
        """Encode the text of every cut, so that a bad one is reported before training.

        Raises:
            DataError: texts are empty or have unknown symbols; at most 50 are listed.
        """
        problems = []
        for cut in cuts:
            try:
                self.ids(cut)
            except DataError as error:
                problems.append(error)
        if problems:
            listed = "\n  ".join(error.problem for error in problems[:SHOWN])
            raise DataError(f"{len(problems)} texts cannot be used:\n  {listed}", problems[0].cure)

    def _encode(self, text: str) -> Tensor:
        ready = self.normalizer(text) if self.normalizer else text
        if not ready.strip():
            raise DataError("no text", "give it a text, or leave it out")
        return torch.tensor(self.vocabulary.encode(ready), dtype=torch.int64)


def padded(items: list[Tensor], value: float | int) -> Tensor:
    """Stack tensors (length, …) of different lengths to (batch, longest, …), padded by `value`."""
    return torch.nn.utils.rnn.pad_sequence(items, batch_first=True, padding_value=value)


def lengths(items: list[Tensor]) -> Tensor:
    """Return the lengths of tensors (length, …) as a tensor (batch), int64."""
    return torch.tensor([len(item) for item in items])
