"""Word errors of a voice by a recogniser, over several seeds, with bootstrap intervals."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lhotse import CutSet

from speechseq.audio.mel import AudioConfig
from speechseq.corpus import spoken_digits
from speechseq.corpus.generated_folder import MANIFEST
from speechseq.evaluation.asr import items_of
from speechseq.evaluation.judge import Judge
from speechseq.inference.score import Score
from speechseq.inference.synthesizer import Synthesizer
from speechseq.inference.wer import bootstrap


class WordErrors(NamedTuple):
    """Word errors (seeds, texts), and the number of reference words (texts)."""

    errors: list[list[int]]
    ref: list[int]

    @classmethod
    def of(cls, scores: Sequence[Score]) -> "WordErrors":
        """Collect the word errors of the same texts, scored once for each seed."""
        errors = [[row.words.errors for row in score.rows] for score in scores]
        return cls(errors, [row.words.ref for row in scores[0].rows])

    @property
    def words(self) -> int:
        """Number of reference words of all seeds together."""
        return len(self.errors) * sum(self.ref)

    @property
    def wer(self) -> float:
        """Word error rate over all seeds."""
        return sum(map(sum, self.errors)) / self.words

    @property
    def wers(self) -> list[float]:
        """Word error rate of each seed."""
        return [sum(errors) / sum(self.ref) for errors in self.errors]

    def beside(self, other: "WordErrors") -> bootstrap.Comparison:
        """Compare the error rate with another voice's on the same texts and seeds.

        The bootstrap resamples texts, each with its errors of all seeds, which are dependent.
        """
        first, second = ([sum(text) for text in zip(*m.errors, strict=True)] for m in (other, self))
        return bootstrap.compare(first, second, [len(self.errors) * words for words in self.ref])

    def plain(self) -> dict[str, Any]:
        """Return the figures as data for JSON."""
        return {"wer": self.wer, "words": self.words, "wers": self.wers}

    def __str__(self) -> str:
        each = ", ".join(f"{wer:.1%}" for wer in self.wers)
        return f"judged WER {self.wer:.2%} of {self.words:,} words ({each})"


def of_voice(
    voice: Synthesizer, cuts: CutSet, seeds: Sequence[int], judge: Judge, precision: str
) -> WordErrors:
    """Count the errors on the cuts' texts, synthesised with weights of this precision."""
    rounded = Synthesizer(voice.model, voice.vocabulary, voice.audio, precision=precision)
    texts, rate = _texts(cuts), voice.audio.sample_rate
    spoken = ([item.waveform for item in rounded.synthesize(texts, seed=seed)] for seed in seeds)
    return WordErrors.of([judge.judge(texts, waveforms, rate) for waveforms in spoken])


def of_recordings(cuts: CutSet, audio: AudioConfig, judge: Judge) -> WordErrors:
    """Count the errors on the recordings themselves, for comparison: the judge is weak."""
    recordings = [item.waveform[0] for item in items_of(cuts, audio)]
    return WordErrors.of([judge.judge(_texts(cuts), recordings, audio.sample_rate)])


def unlearned_digits(corpus: Path, count: int) -> CutSet:
    """Return digit strings outside of the demo's `corpus`/train, spoken in the same way."""
    learned = json.loads((corpus / "train" / MANIFEST).read_text("utf-8"))["utterances"]
    return spoken_digits.make(
        corpus / "unlearned",
        utterances=count,
        seed=1,
        exclude=[utterance["text"] for utterance in learned],
        voices=[utterance["voice"] for utterance in learned],
        rates=[utterance["rate"] for utterance in learned],
        pitches=[utterance["pitch"] for utterance in learned],
    )


def _texts(cuts: CutSet) -> list[str]:
    return [cut.supervisions[0].text for cut in cuts]
