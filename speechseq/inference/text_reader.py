"""Text input of a synthesiser: normalised and encoded, long texts in pieces."""

import dataclasses
from collections.abc import Iterator, Sequence

from speechseq.errors import DataError
from speechseq.inference.speech import Reading
from speechseq.text.splitting import LONGEST, Piece, split
from speechseq.text.vocabulary import Vocabulary

MOST_AT_ONCE = 20_000  # characters of a text that is spoken into one waveform in memory
MOST_CHARACTERS = 1 << 20  # of a text; its sound, some 20 hours, still fits into one WAV file
_SHOWN = 5  # pieces of a text that an error names


class TextReader:
    """Prepares texts for a synthesiser's model: normalises, splits and encodes them.

    `read` treats a text as one piece; `readings` splits a long one into sentences.

    Args:
        vocabulary: symbols and normaliser of the synthesiser's model.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary

    def read(self, text: str) -> Reading:
        """Normalise and encode a text, as one piece, in the same way as in training.

        Raises:
            DataError: the text has nothing to say, or symbols that the vocabulary lacks.
        """
        normalized = self._vocabulary.normalize(text)
        if not any(map(str.isalnum, normalized)):
            raise DataError(f"nothing to say in the text {text[:60]!r}", "write a word or a number")
        try:
            ids = tuple(self._vocabulary.encode(normalized))
        except DataError as error:
            known = "".join(self._vocabulary.symbols)
            cure = f"this voice learned only these symbols (write numbers as words): {known!r}"
            raise DataError(error.problem, cure) from None
        return Reading(text=text, normalized=normalized, ids=ids)

    def readings(self, text: str) -> list[Reading]:
        """Normalise and encode a text; a long one is split into pieces at sentences.

        A text is long if it has more than `splitting.LONGEST` characters. Pieces without a word are
        left out.

        Raises:
            DataError: see `read`; the message has the first pieces that cannot be read. Also, the
                text is longer than `MOST_CHARACTERS`.
        """
        if len(text) <= LONGEST:
            return [self.read(text)]
        if len(text) > MOST_CHARACTERS:
            problem = f"the text has {len(text):,} characters, at most {MOST_CHARACTERS:,} are read"
            raise DataError(problem, "divide it into several texts")
        found, problems = [], []
        for piece in _pieces(text, self._vocabulary):
            try:
                found.append(dataclasses.replace(self.read(piece.text), pause=piece.pause))
            except DataError as error:
                problems.append(error)
        if problems or not found:
            named = "\n".join(error.problem for error in problems[:_SHOWN]) or "nothing to say"
            cure = problems[0].cure if problems else "write a word or a number"
            raise DataError(named, cure)
        return found

    def read_all(self, texts: Sequence[str]) -> list[list[Reading]]:
        """Normalise and encode several texts; return the pieces of each, only one if it is short.

        Raises:
            DataError: texts cannot be spoken; all are listed by index.
        """
        readings, problems, cure = [], [], ""
        for index, text in enumerate(texts):
            try:
                readings.append(self._whole(text))
            except DataError as error:
                problems.append(f"texts[{index}]: {error.problem}")
                cure = cure or error.cure
        if problems:
            raise DataError("\n  ".join(problems), cure)
        return readings

    def _whole(self, text: str) -> list[Reading]:
        """Read a text that is to become a single waveform."""
        if len(text) > MOST_AT_ONCE:
            problem = f"a text of {len(text):,} characters; {MOST_AT_ONCE:,} are spoken at once"
            raise DataError(problem, "speak it piece by piece with Synthesizer.stream")
        return self.readings(text)


def _pieces(text: str, vocabulary: Vocabulary) -> Iterator[Piece]:
    """Split a long text; pieces without a word are left out.

    A piece that normalisation makes longer than the limit is split once more.
    """
    for piece in split(text):
        normalized = vocabulary.normalize(piece.text)
        if any(map(str.isalnum, normalized)):
            inner = split(normalized) if len(normalized) > LONGEST else [piece]
            yield from inner[:-1]
            yield dataclasses.replace(inner[-1], pause=piece.pause)
