"""Errors of word times against known alignments."""

from collections.abc import Sequence

from lhotse import CutSet

from speechseq.inference.transcript import Transcript


def boundary_errors(cuts: CutSet, transcripts: Sequence[Transcript]) -> list[float]:
    """Absolute errors in seconds of the starts and ends of words in transcripts.

    Transcripts with word errors are left out.

    Args:
        cuts: lhotse cuts with the true times in the alignment "word" of their supervision.
        transcripts: transcripts of the same sounds in the same order.
    """
    errors = []
    for cut, transcript in zip(cuts, transcripts, strict=True):
        true = cut.supervisions[0].alignment["word"]
        if [item.symbol for item in true] != [word.text for word in transcript.words]:
            continue
        for item, word in zip(true, transcript.words, strict=True):
            errors += [abs(word.start - item.start), abs(word.end - item.end)]
    return errors
