"""ASR evaluation: WER, CER and alignment scores of a recogniser on sounds with known texts."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

from lhotse import CutSet
from torch import Tensor

from speechseq.audio import wav
from speechseq.audio.mel import AudioConfig
from speechseq.config import Config
from speechseq.corpus.features import load_waveform, one_warning
from speechseq.evaluation.alignment import mean_scores
from speechseq.evaluation.report.asr import ASRSection, TranscribedUtterance
from speechseq.evaluation.report.page import Figure, Picture, Report, curve_pictures, write
from speechseq.inference.score import Score, ScoredUtterance, score
from speechseq.inference.search.interfaces import WeightedScorer
from speechseq.inference.search.recognise import Strategy
from speechseq.inference.speech import Speech
from speechseq.inference.transcript import Transcript
from speechseq.pictures import alignment_picture
from speechseq.shapes import Waveform
from speechseq.training.log import curves
from speechseq.training.trainer import Summary

_AT_ONCE = 256  # sounds transcribed in one call


@runtime_checkable
class Recogniser(Protocol):
    """Protocol of a recogniser that `evaluate_asr` can evaluate, such as a `Transcriber`."""

    @property
    def audio(self) -> AudioConfig:
        """Audio settings of the model; sounds are passed at their sample rate."""

    def transcribe(
        self,
        sounds: Sequence[tuple[Tensor, int]],
        *,
        beam: int = 8,
        strategy: Strategy | None = None,
        scorers: Sequence[WeightedScorer] = (),
    ) -> list[Transcript]:
        """Return a Transcript for each sound.

        Args:
            sounds: pairs of a waveform (1, samples) and its samples per second.
            beam: width of the beam search.
            strategy: another search instead of that beam.
            scorers: language models with their weights.
        """


class Item(NamedTuple):
    """Sound with its reference text, an item of a test set for `evaluate_asr`.

    Attributes:
        text: the true transcript.
        waveform: (1, samples) at the recogniser's sample rate.
        id: name of the utterance; "" for none.
        speaker: name of the speaker; "" if unknown.
    """

    text: str
    waveform: Waveform
    id: str = ""
    speaker: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ASREvaluation:
    """Result of `evaluate_asr`: transcripts of a test set, and their error rates.

    Attributes:
        items: the sounds and their reference texts.
        sample_rate: samples per second of the sounds.
        transcripts: transcript of each item.
        score: word and character error rates.
        scores: means over all items of focus, coverage and monotonicity of the alignments.
    """

    items: tuple[Item, ...]
    sample_rate: int
    transcripts: tuple[Transcript, ...]
    score: Score
    scores: dict[str, float]

    @property
    def unfinished(self) -> int:
        """Number of transcripts that reached the length limit before the end symbol."""
        return sum(not transcript.finished for transcript in self.transcripts)

    def line(self) -> str:
        """Format the result as one line: error rates with a 95 % interval, and alignment scores."""
        within = self.score.interval()
        span = f" ({within.low:.3f} to {within.high:.3f} at 95 %)" if within else ""
        scores = ", ".join(f"{name} {value:.2f}" for name, value in self.scores.items())
        return (
            f"WER {self.score.wer:.4f}{span}, CER {self.score.cer:.4f} ({self.score.words.ref} "
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
    ) -> ASRSection:
        """Build a section of an HTML report: the error rates of all items, and some utterances.

        Args:
            title: headline of the section.
            summary: sentence below the headline.
            figures: headline figures before the error rates, such as time and updates.
            curves: (update, value) pairs by name, such as "loss/total" and "validation/wer".
            settings: nested plain data, the result of `Config.to_dict`.
            shown: number of utterances, from the first on, that the section shows.
        """
        return ASRSection(
            title=title,
            summary=summary,
            score=self.score,
            figures=(*figures, *self._figures()),
            utterances=tuple(self._utterances(shown)),
            curves=tuple(curve_pictures(curves or {})),
            settings=settings or {},
        )

    def _figures(self) -> Iterator[Figure]:
        if self.unfinished:
            yield Figure(label="unfinished", value=str(self.unfinished), good=False)
        for name, value in self.scores.items():
            yield Figure(label=name, value=f"{value:.2f}")

    def _utterances(self, shown: int) -> Iterator[TranscribedUtterance]:
        rows = zip(self.items, self.transcripts, self.score.rows, strict=True)
        for item, transcript, row in list(rows)[:shown]:
            yield _utterance(item, transcript, row, self.sample_rate)


def items_of(cuts: CutSet, audio: AudioConfig) -> list[Item]:
    """Load the sounds and texts of lhotse cuts as items of a test set.

    Sounds are mixed down, and resampled to the rate of `audio`, the recogniser's audio settings.

    Raises:
        DataError: a recording cannot be read; the message names it.
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


def items_of_speech(speech: Sequence[Speech], sample_rate: int) -> list[Item]:
    """Convert synthesised speech to items of a test set, to evaluate a recogniser on it.

    The items are named "string 1", "string 2", …. `sample_rate` is the recogniser's, to which the
    speech is resampled.
    """
    return [
        Item(
            text=one.text,
            waveform=wav.resample(one.waveform[None], one.sample_rate, sample_rate),
            id=f"string {number}",
        )
        for number, one in enumerate(speech, 1)
    ]


def evaluate_asr(
    recogniser: Recogniser,
    items: Sequence[Item],
    *,
    beam: int = 8,
    strategy: Strategy | None = None,
    scorers: Sequence[WeightedScorer] = (),
    normalizer: Callable[[str], str] | None = None,
) -> ASREvaluation:
    """Transcribe a test set, and compute error rates of the transcripts and alignment scores.

    Args:
        recogniser: such as a `Transcriber`.
        items: sounds with their reference texts.
        beam: width of the beam search.
        strategy: another search instead of that beam.
        scorers: language models with their weights.
        normalizer: function that converts reference texts to the form that the recogniser writes,
            such as lower case; None leaves them unchanged.

    Raises:
        DataError, CheckpointError, MachineError: see `Transcriber.transcribe`.
    """
    rate = recogniser.audio.sample_rate
    transcripts: list[Transcript] = []
    for begin in range(0, len(items), _AT_ONCE):
        sounds = [(item.waveform, rate) for item in items[begin : begin + _AT_ONCE]]
        transcripts += recogniser.transcribe(sounds, beam=beam, strategy=strategy, scorers=scorers)
    texts = [normalizer(item.text) if normalizer else item.text for item in items]
    return ASREvaluation(
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


def report_asr(
    run: Path,
    evaluation: ASREvaluation,
    settings: Config,
    training: Summary,
    *,
    title: str,
    text: str,
) -> None:
    """Write RUN/report.html about a recogniser and its training, and print the result in one line.

    Args:
        run: folder of the run, whose training curves are shown.
        evaluation: result of `evaluate_asr`.
        settings: all settings of the run, which the page shows.
        training: summary of the training.
        title: headline of the page.
        text: sentence below the headline.

    Raises:
        MachineError: the page cannot be written.
    """
    path = run / "report.html"
    section = evaluation.section(curves=curves(run), settings=settings.to_dict())
    write(path, Report(title=title, summary=text, sections=(section,)))
    print(f"{path}: {training.updates} updates, {evaluation.line()}")


def _utterance(
    item: Item, transcript: Transcript, row: ScoredUtterance, sample_rate: int
) -> TranscribedUtterance:
    sure = [word.confidence for word in transcript.words]
    picture = alignment_picture(
        transcript.alignment.T, transcript.symbols, across="position in the sound"
    )
    return TranscribedUtterance(
        id=row.id,
        ref=row.ref,
        waveform=item.waveform[0],
        sample_rate=sample_rate,
        edits=row.edits,
        confidence=sum(sure) / len(sure) if sure else None,
        picture=Picture(title=transcript.text or "nothing", png=picture),
    )
