"""TTS evaluation: WER of synthesised speech and of the recordings, both transcribed by a judge."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from speechseq.config import Config
from speechseq.evaluation.alignment import mean_scores
from speechseq.evaluation.judge import Judge
from speechseq.evaluation.report.page import Figure, Picture, Report, curve_pictures, write
from speechseq.evaluation.report.player import Take
from speechseq.evaluation.report.tts import Spoken, TTSSection
from speechseq.inference.score import Score
from speechseq.inference.speech import Speech
from speechseq.inference.synthesizer import Synthesizer
from speechseq.pictures import alignment_picture, mel_picture
from speechseq.training.log import curves
from speechseq.training.trainer import Summary


@dataclasses.dataclass(frozen=True, kw_only=True)
class TTSEvaluation:
    """Result of `evaluate_tts`: synthesised speech and recordings, and word error rates of both.

    The transcripts of both are those of an external recogniser, the judge.

    Attributes:
        speech: synthesised speech of each text.
        recordings: recording (1, samples) of each text.
        ours: error rates of the synthesised speech.
        original: error rates of the recordings, for comparison.
        scores: means over all texts of focus, coverage and monotonicity of the alignments.
    """

    speech: tuple[Speech, ...]
    recordings: tuple[Tensor, ...]
    ours: Score
    original: Score
    scores: dict[str, float]

    @property
    def stopped(self) -> int:
        """Number of utterances that ended by the stop prediction, not by the limit of steps."""
        return sum(speech.finished_reason == "stop" for speech in self.speech)

    def line(self) -> str:
        """Format the result as one line: word error rates, reasons of ending, alignment scores."""
        scores = ", ".join(f"{name} {value:.2f}" for name, value in self.scores.items())
        return (
            f"judged WER {self.ours.wer:.3f} ours, {self.original.wer:.3f} original audio "
            f"({self.ours.words.ref} words); {self.stopped} of {len(self.speech)} ended by stop; "
            f"alignment {scores}"
        )

    def section(
        self,
        *,
        figures: Sequence[Figure] = (),
        curves: Mapping[str, Sequence[tuple[int, float]]] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> TTSSection:
        """Build a section of an HTML report: error rates, and the speech of every text.

        Args:
            figures: headline figures before those of the judge, such as time and updates.
            curves: (update, value) pairs by name, such as "loss/total" and "validation/loss".
            settings: nested plain data, the result of `Config.to_dict`.
        """
        return TTSSection(
            figures=(*figures, *_figures(self)),
            spoken=tuple(_spoken(self)),
            curves=tuple(curve_pictures(curves or {})),
            settings=settings or {},
        )


def evaluate_tts(
    synthesizer: Synthesizer,
    texts: Sequence[str],
    recordings: Sequence[Tensor],
    judge: Judge,
    *,
    seed: int = 0,
    speaker: str | None = None,
) -> TTSEvaluation:
    """Measure how intelligible a synthesiser is: word error rates of its speech by a recogniser.

    The judge, an external recogniser, transcribes the speech, and recordings of the same texts for
    comparison.

    Args:
        synthesizer: synthesiser to evaluate.
        texts: texts to speak.
        recordings: recordings (1, samples) of the same texts.
        judge: external recogniser.
        seed: seed of the synthesis.
        speaker: name of the voice, for a model with several speakers.

    Raises:
        ConfigError: `speaker` is unknown, or None for a model with several speakers, or given for
            a model of one voice.
        DataError: a text cannot be spoken.
        MachineError: the extra `judge` is not installed.
    """
    rate = synthesizer.audio.sample_rate
    speech = synthesizer.synthesize(texts, seed=seed, speaker=speaker)
    return TTSEvaluation(
        speech=tuple(speech),
        recordings=tuple(recordings),
        ours=judge.judge(texts, [item.waveform for item in speech], rate),
        original=judge.judge(texts, [recording[0] for recording in recordings], rate),
        scores=mean_scores([item.alignment for item in speech]),
    )


def report_tts(
    run: Path,
    evaluation: TTSEvaluation,
    settings: Config,
    training: Summary,
    *,
    title: str,
    text: str,
    seconds: float | None = None,
) -> None:
    """Write RUN/report.html about a synthesiser and its training, and print the result in one line.

    Args:
        run: folder of the run, whose training curves are shown.
        evaluation: result of `evaluate_tts`.
        settings: all settings of the run, which the page shows.
        training: summary of the training.
        title: headline of the page.
        text: sentence below the headline.
        seconds: duration of the whole run, shown next to the number of updates; None leaves it out.

    Raises:
        MachineError: the page cannot be written.
    """
    path, figures, took = run / "report.html", [], ""
    if seconds is not None:
        took, minutes = f"{seconds:.0f} s, ", f"{seconds / 60:.1f} min"
        figures = [
            Figure(label="time", value=minutes, note="corpus to judgement"),
            Figure(label="updates", value=str(training.updates)),
        ]
    section = evaluation.section(figures=figures, curves=curves(run), settings=settings.to_dict())
    write(path, Report(title=title, summary=text, sections=(section,)))
    print(f"{path}: {took}{training.updates} updates, {evaluation.line()}")


def _figures(evaluation: TTSEvaluation) -> list[Figure]:
    ours, original = evaluation.ours, evaluation.original
    count = len(evaluation.speech)
    return [
        Figure(label="judged WER, ours", value=f"{ours.wer:.1%}", note=f"{ours.words.ref} words"),
        Figure(label="judged WER, original audio", value=f"{original.wer:.1%}"),
        Figure(
            label="ended by stop",
            value=f"{evaluation.stopped} of {count}",
            good=evaluation.stopped == count,
        ),
        *(Figure(label=name, value=f"{value:.2f}") for name, value in evaluation.scores.items()),
    ]


def _spoken(evaluation: TTSEvaluation) -> list[Spoken]:
    rows = zip(
        evaluation.speech,
        evaluation.recordings,
        evaluation.ours.rows,
        evaluation.original.rows,
        strict=True,
    )
    return [
        Spoken(
            ref=speech.text,
            ours=Take(waveform=speech.waveform, sample_rate=speech.sample_rate, edits=ours.edits),
            original=Take(
                waveform=recording[0], sample_rate=speech.sample_rate, edits=original.edits
            ),
            finished_reason=speech.finished_reason,
            pictures=(
                Picture(title="alignment", png=alignment_picture(speech.alignment, speech.symbols)),
                Picture(title="mel", png=mel_picture(speech.mel)),
            ),
        )
        for speech, recording, ours, original in rows
    ]
