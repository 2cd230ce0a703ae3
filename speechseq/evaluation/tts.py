"""A listening test: our saying of texts beside the recordings of them, heard by a judge."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from speechseq.evaluation.alignment import mean_scores
from speechseq.evaluation.judge import Judge
from speechseq.evaluation.report.page import Figure, Picture, Report, Section, curve_pictures, write
from speechseq.evaluation.report.player import Take
from speechseq.evaluation.report.tts import Spoken, VoiceSection
from speechseq.inference.score import Score
from speechseq.inference.speech import Speech
from speechseq.inference.synthesizer import Synthesizer
from speechseq.pictures import alignment_picture, mel_picture


@dataclasses.dataclass(frozen=True, kw_only=True)
class Listening:
    """What was said and what was heard: our speech, the recordings, the judge's words on both.

    scores: means of the alignments' focus, coverage and monotonicity over all texts.
    """

    speech: tuple[Speech, ...]
    recordings: tuple[Tensor, ...]
    ours: Score
    original: Score
    scores: dict[str, float]

    @property
    def stopped(self) -> int:
        """How many ended because the model said so."""
        return sum(speech.finished_reason == "stop" for speech in self.speech)

    def line(self) -> str:
        """The result in one line."""
        scores = ", ".join(f"{name} {value:.2f}" for name, value in self.scores.items())
        return (
            f"judged WER {self.ours.wer:.3f} ours, {self.original.wer:.3f} original audio "
            f"({self.ours.words.asked} words); {self.stopped} of {len(self.speech)} ended by stop; "
            f"alignment {scores}"
        )


def listen(
    synthesizer: Synthesizer,
    texts: Sequence[str],
    recordings: Sequence[Tensor],
    judge: Judge,
    *,
    seed: int = 0,
) -> Listening:
    """Speak the texts and let a judge hear them, and the recordings (1, samples) of the same.

    Raises:
        DataError: texts that cannot be spoken.
        MachineError: the extra `judge` is not installed.
    """
    rate = synthesizer.audio.sample_rate
    speech = synthesizer.synthesize(texts, seed=seed)
    return Listening(
        speech=tuple(speech),
        recordings=tuple(recordings),
        ours=judge.judge(texts, [item.waveform for item in speech], rate),
        original=judge.judge(texts, [recording[0] for recording in recordings], rate),
        scores=mean_scores([item.alignment for item in speech]),
    )


def write_report(
    path: Path,
    listening: Listening,
    *,
    title: str,
    summary: str,
    figures: Sequence[Figure] = (),
    curves: Mapping[str, Sequence[tuple[int, float]]],
    settings: Mapping[str, Any],
    further: Sequence[Section] = (),
) -> None:
    """Write the page that shows a listening test and the training before it.

    Args:
        figures: what stands first beside the judge's figures, such as time and updates.
        curves: (update, value) pairs by name, such as "loss/total" and "validation/loss".
        further: what stands below on the same page, such as a recogniser's section.

    Raises:
        MachineError: it cannot be written.
    """
    voice = VoiceSection(
        figures=(*figures, *_figures(listening)),
        spoken=tuple(_spoken(listening)),
        curves=tuple(curve_pictures(curves)),
        settings=settings,
    )
    write(path, Report(title=title, summary=summary, sections=(voice, *further)))


def _figures(listening: Listening) -> list[Figure]:
    ours, original = listening.ours, listening.original
    count = len(listening.speech)
    return [
        Figure(label="judged WER, ours", value=f"{ours.wer:.1%}", note=f"{ours.words.asked} words"),
        Figure(label="judged WER, original audio", value=f"{original.wer:.1%}"),
        Figure(
            label="ended by stop",
            value=f"{listening.stopped} of {count}",
            good=listening.stopped == count,
        ),
        *(Figure(label=name, value=f"{value:.2f}") for name, value in listening.scores.items()),
    ]


def _spoken(listening: Listening) -> list[Spoken]:
    rows = zip(
        listening.speech,
        listening.recordings,
        listening.ours.rows,
        listening.original.rows,
        strict=True,
    )
    return [
        Spoken(
            asked=speech.text,
            ours=Take(waveform=speech.waveform, sample_rate=speech.sample_rate, heard=heard.edits),
            original=Take(
                waveform=recording[0], sample_rate=speech.sample_rate, heard=heard_original.edits
            ),
            finished_reason=speech.finished_reason,
            pictures=(
                Picture(title="alignment", png=alignment_picture(speech.alignment, speech.symbols)),
                Picture(title="mel", png=mel_picture(speech.mel)),
            ),
        )
        for speech, recording, heard, heard_original in rows
    ]
