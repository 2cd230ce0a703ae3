"""A dictation: sounds whose words are known are transcribed, and the errors are counted."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

from lhotse import CutSet
from torch import Tensor

from speechseq.audio.mel import AudioConfig
from speechseq.corpus.features import load_waveform, one_warning
from speechseq.evaluation.alignment import mean_scores
from speechseq.evaluation.report.asr import Recognised, RecognitionSection
from speechseq.evaluation.report.page import Figure, Picture, Report, Section, curve_pictures, write
from speechseq.inference.score import Heard, Score, score
from speechseq.inference.search.interfaces import Fused
from speechseq.inference.search.recognise import Strategy
from speechseq.inference.transcript import Transcript
from speechseq.pictures import alignment_picture
from speechseq.shapes import Waveform

_AT_ONCE = 256  # sounds read before their transcripts are kept and they are let go


@runtime_checkable
class Writer(Protocol):
    """Who writes down, such as `speechseq.inference.transcriber.Transcriber`."""

    @property
    def audio(self) -> AudioConfig:
        """Settings of the features; sounds are handed over at their sample rate."""

    def transcribe(
        self,
        sounds: Sequence[tuple[Tensor, int]],
        *,
        beam: int = 8,
        strategy: Strategy | None = None,
        scorers: Sequence[Fused] = (),
    ) -> list[Transcript]:
        """A Transcript of each (waveform (1, samples), rate)."""


class Item(NamedTuple):
    """A sound (1, samples) and the words that are said in it."""

    text: str
    waveform: Waveform
    id: str = ""
    speaker: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dictation:
    """What was said, what was written down, and the errors.

    scores: means of the alignments' focus, coverage and monotonicity over all items.
    """

    items: tuple[Item, ...]
    sample_rate: int
    transcripts: tuple[Transcript, ...]
    score: Score
    scores: dict[str, float]

    @property
    def unfinished(self) -> int:
        """How many transcripts met their limit before the model ended them."""
        return sum(not transcript.finished for transcript in self.transcripts)

    def line(self) -> str:
        """The result in one line."""
        within = self.score.interval()
        span = f" ({within.low:.3f} to {within.high:.3f} at 95 %)" if within else ""
        scores = ", ".join(f"{name} {value:.2f}" for name, value in self.scores.items())
        return (
            f"WER {self.score.wer:.4f}{span}, CER {self.score.cer:.4f} ({self.score.words.asked} "
            f"words in {len(self.items)} utterances, {self.score.total.wrong} with an error, "
            f"{self.unfinished} unfinished); alignment {scores}"
        )

    def section(
        self,
        *,
        title: str = "",
        summary: str = "",
        figures: Sequence[Figure] = (),
        curves: Mapping[str, Sequence[tuple[int, float]]] | None = None,
        settings: Mapping[str, Any] | None = None,
        shown: int = 20,
    ) -> RecognitionSection:
        """The part of a page that shows it: all counts, and the first `shown` utterances."""
        return RecognitionSection(
            title=title,
            summary=summary,
            score=self.score,
            figures=(*figures, *self._figures()),
            recognised=tuple(self._recognised(shown)),
            curves=tuple(curve_pictures(curves or {})),
            settings=settings or {},
        )

    def _figures(self) -> Iterator[Figure]:
        if self.unfinished:
            yield Figure(label="unfinished", value=str(self.unfinished), good=False)
        for name, value in self.scores.items():
            yield Figure(label=name, value=f"{value:.2f}")

    def _recognised(self, shown: int) -> Iterator[Recognised]:
        rows = zip(self.items, self.transcripts, self.score.rows, strict=True)
        for item, transcript, row in list(rows)[:shown]:
            yield _recognised(item, transcript, row, self.sample_rate)


def items_of(cuts: CutSet, audio: AudioConfig) -> list[Item]:
    """The sounds and texts of cuts, mixed down and brought to the settings' sample rate.

    Raises:
        DataError: a recording that cannot be read; it is named.
    """
    with one_warning():
        return [
            Item(
                text=cut.supervisions[0].text,
                waveform=load_waveform(cut, audio),
                id=cut.id,
                speaker=cut.supervisions[0].speaker or "",
            )
            for cut in cuts
        ]


def dictate(
    writer: Writer,
    items: Sequence[Item],
    *,
    beam: int = 8,
    strategy: Strategy | None = None,
    scorers: Sequence[Fused] = (),
    normalizer: Callable[[str], str] | None = None,
) -> Dictation:
    """Have every item written down and count the errors.

    Args:
        beam, strategy, scorers: how the writer searches.
        normalizer: makes of an item's text what the recogniser was taught to write.

    Raises:
        DataError, CheckpointError, MachineError: as the writer's `transcribe`.
    """
    rate = writer.audio.sample_rate
    transcripts: list[Transcript] = []
    for begin in range(0, len(items), _AT_ONCE):
        sounds = [(item.waveform, rate) for item in items[begin : begin + _AT_ONCE]]
        transcripts += writer.transcribe(sounds, beam=beam, strategy=strategy, scorers=scorers)
    texts = [normalizer(item.text) if normalizer else item.text for item in items]
    return Dictation(
        items=tuple(items),
        sample_rate=rate,
        transcripts=tuple(transcripts),
        score=score(
            [(text, found.text) for text, found in zip(texts, transcripts, strict=True)],
            ids=[item.id or str(number) for number, item in enumerate(items, 1)],
            speakers=[item.speaker for item in items],
        ),
        scores=mean_scores([found.alignment for found in transcripts]),
    )


def write_recognition_report(
    path: Path,
    dictation: Dictation,
    *,
    title: str,
    summary: str,
    figures: Sequence[Figure] = (),
    curves: Mapping[str, Sequence[tuple[int, float]]],
    settings: Mapping[str, Any],
    further: Sequence[Section] = (),
) -> None:
    """Write the page that shows a dictation and the training before it.

    Args:
        figures: what stands beside the error rates, such as time and updates.
        curves: (update, value) pairs by name, such as "loss/total" and "validation/wer".
        further: what stands below on the same page, such as other test sets' sections.

    Raises:
        MachineError: it cannot be written.
    """
    section = dictation.section(figures=figures, curves=curves, settings=settings)
    write(path, Report(title=title, summary=summary, sections=(section, *further)))


def _recognised(item: Item, transcript: Transcript, row: Heard, sample_rate: int) -> Recognised:
    sure = [word.confidence for word in transcript.words]
    picture = alignment_picture(
        transcript.alignment.T, transcript.symbols, across="position in the sound"
    )
    return Recognised(
        id=row.id,
        asked=row.asked,
        waveform=item.waveform[0],
        sample_rate=sample_rate,
        edits=row.edits,
        confidence=sum(sure) / len(sure) if sure else None,
        picture=Picture(title=transcript.text or "nothing", png=picture),
    )
