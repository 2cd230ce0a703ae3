"""ASR evaluation of several test sets, such as seen and unseen voices, in one report."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lhotse import CutSet

from speechseq.config import Config
from speechseq.evaluation.asr import (
    ASREvaluation,
    Recogniser,
    evaluate_asr,
    items_of,
)
from speechseq.evaluation.report.page import Report, write
from speechseq.file_writing import replace_file
from speechseq.inference.search.interfaces import WeightedScorer
from speechseq.inference.search.recognise import Strategy
from speechseq.training.log import curves
from speechseq.training.trainer import Summary


def evaluate_tests(
    recogniser: Recogniser,
    tests: Mapping[str, CutSet],
    *,
    strategy: Strategy | None = None,
    scorers: Sequence[WeightedScorer] = (),
) -> dict[str, ASREvaluation]:
    """Evaluate a recogniser on several test sets, with the same search strategy.

    Args:
        recogniser: such as a `Transcriber`.
        tests: lhotse cuts of each test set, by name.
        strategy: search; None for the recogniser's default beam.
        scorers: language models with their weights.

    Returns:
        The evaluation of each test set, by name.

    Raises:
        DataError, CheckpointError, MachineError: see `items_of` and `evaluate_asr`.
    """
    return {
        name: evaluate_asr(
            recogniser, items_of(cuts, recogniser.audio), strategy=strategy, scorers=scorers
        )
        for name, cuts in tests.items()
    }


def report_tests(
    run: Path,
    tests: Mapping[str, ASREvaluation],
    settings: Config,
    training: Summary,
    *,
    title: str,
    text: str,
    sections: Mapping[str, str],
    result: str = "result.json",
) -> None:
    """Write an HTML report and a JSON file about several test sets, and print a line for each.

    Args:
        run: folder of the run; the report is RUN/report.html.
        tests: evaluations by name; the first one is at the top of the page.
        settings: all settings of the run, which the page shows.
        training: summary of the training.
        title: headline of the page.
        text: sentence below the headline.
        sections: for each further test, by name, the title of its section of the page.
        result: name of the JSON file of error rates in RUN.

    Raises:
        MachineError: a file cannot be written.
    """
    path = run / "report.html"
    rates: dict[str, Any] = {name: evaluation.score.wer for name, evaluation in tests.items()}
    rates |= {"updates": training.updates, "seconds": training.seconds}
    replace_file(run / result, json.dumps(rates).encode())
    first = next(iter(tests.values()))
    page = (
        first.section(curves=curves(run), settings=settings.to_dict()),
        *(tests[name].section(title=head) for name, head in sections.items()),
    )
    write(path, Report(title=title, summary=text, sections=page))
    for name, evaluation in tests.items():
        print(f"{name}: {evaluation.line()}")
    print(f"{path}: {training.updates} updates in {training.seconds:.0f} s")
