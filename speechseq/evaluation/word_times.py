"""Errors of word times against known alignments."""

from collections.abc import Sequence

from lhotse import CutSet

from speechseq.inference.transcript import Transcript


def boundary_errors(cuts: CutSet, transcripts: Sequence[Transcript]) -> list[float]:
    """Absolute errors in seconds of the starts and ends of all words in transcripts free of errors.

    Args:
        cuts: with the true times as their supervision's alignment "word".
        transcripts: of the same sounds in the same order.
    """
    errors = []
    for cut, transcript in zip(cuts, transcripts, strict=True):
        true = cut.supervisions[0].alignment["word"]
        if [item.symbol for item in true] != [word.text for word in transcript.words]:
            continue
        for item, word in zip(true, transcript.words, strict=True):
            errors += [abs(word.start - item.start), abs(word.end - item.end)]
    return errors
