"""Evaluation of a recogniser of connected digits: string lengths, ways of joining, word times."""

import dataclasses
import json
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lhotse import CutSet

from speechseq.corpus import fsdd
from speechseq.corpus.connected_digits import ConnectedDigitsConfig
from speechseq.evaluation.asr import ASREvaluation, Recogniser
from speechseq.evaluation.asr_tests import evaluate_tests
from speechseq.evaluation.joining import JoiningEvaluation, evaluate_joining
from speechseq.evaluation.report.page import Report, write
from speechseq.evaluation.word_times import boundary_errors
from speechseq.file_writing import replace_file
from speechseq.inference.search.recognise import Strategy
from speechseq.training.log import curves
from speechseq.training.trainer import Summary


@dataclasses.dataclass(frozen=True, kw_only=True)
class DigitStringsEvaluation:
    """Evaluation of a recogniser of connected digits, the result of `evaluate_digit_strings`.

    Attributes:
        tests: evaluation of each test set, by name.
        joining: evaluation of strings for each way of joining, and of sounds without speech.
        boundary_error: median error of word times in seconds; None if every transcript has errors.
        seconds: duration of the evaluation.
    """

    tests: Mapping[str, ASREvaluation]
    joining: JoiningEvaluation
    boundary_error: float | None
    seconds: float

    def data(self) -> dict[str, Any]:
        """Return error rates and all other results as plain data, to be written as JSON."""
        return {
            "wer": {name: evaluation.score.wer for name, evaluation in self.tests.items()},
            "joining": self.joining.data(),
            "boundary_error": self.boundary_error,
        }

    def lines(self) -> list[str]:
        """Format error rates and all other results as lines of text, one for each test."""
        milliseconds = 1000 * (self.boundary_error or 0)
        return [
            *(f"{name}: {evaluation.line()}" for name, evaluation in self.tests.items()),
            self.joining.line(),
            f"word times: median error {milliseconds:.0f} ms",
        ]


def evaluate_digit_strings(
    recogniser: Recogniser,
    tests: Mapping[str, CutSet],
    config: ConnectedDigitsConfig,
    folder: Path,
    *,
    seed: int,
    strategy: Strategy | None = None,
) -> DigitStringsEvaluation:
    """Evaluate a recogniser of connected digits on test sets and on differently joined strings.

    The strings are joined from the test's recordings of single digits in each way of
    `joining_ways`, to see whether the recogniser depends on the way.

    Args:
        recogniser: such as a `Transcriber`.
        tests: test sets "short" and "long"; word times are scored on the short strings.
        config: settings that the test sets were made with.
        folder: folder for the joined sounds.
        seed: seed of the joined strings.
        strategy: search; None for the recogniser's default beam.

    Raises:
        ConfigError, DataError, MachineError: see `evaluate_tests` and `evaluate_joining`.
    """
    began = time.monotonic()
    found = evaluate_tests(recogniser, tests, strategy=strategy)
    joining = evaluate_joining(
        recogniser,
        fsdd.read(config.root).test,
        folder,
        utterances=config.joined_utterances,
        seed=seed,
        longest=config.longest,
        speakers=config.test_speakers,
        strategy=strategy,
    )
    errors = boundary_errors(tests["short"], found["short"].transcripts)
    return DigitStringsEvaluation(
        tests=found,
        joining=joining,
        boundary_error=statistics.median(errors) if errors else None,
        seconds=time.monotonic() - began,
    )


def report_digit_strings(
    run: Path,
    evaluation: DigitStringsEvaluation,
    *,
    training: Summary,
    parameters: int,
    settings: ConnectedDigitsConfig,
) -> None:
    """Write RUN/result.json and RUN/report.html, and print all figures.

    Args:
        run: folder of the run.
        evaluation: result of `evaluate_digit_strings`.
        training: summary of the training.
        parameters: number of the model's parameters.
        settings: all settings of the run, which the page shows.

    Raises:
        MachineError: a file cannot be written.
    """
    result = evaluation.data() | {
        "updates": training.updates,
        "training_seconds": training.seconds,
        "reading_seconds": evaluation.seconds,
        "parameters": parameters,
    }
    replace_file(run / "result.json", json.dumps(result, indent=1).encode())
    path, figures = run / "report.html", evaluation.joining.figures()
    short, long = evaluation.tests["short"], evaluation.tests["long"]
    report = Report(
        title="speechseq: connected digits",
        summary=f"A LAS of {parameters / 1e6:.1f} M parameters learned connected digits "
        "of real speech; it heard none of these recordings before.",
        sections=(
            short.section(figures=figures, curves=curves(run), settings=settings.to_dict()),
            long.section(title="Ten times longer than learned"),
        ),
    )
    write(path, report)
    print(f"{path}: {training.updates} updates in {training.seconds:.0f} s")
    print("\n".join(evaluation.lines()))
