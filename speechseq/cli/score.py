"""`speechseq score`: error rates of transcripts, their confidence, and comparison of systems."""

import argparse
import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechseq.errors import DataError
from speechseq.printable import json_line, lines_of, printable

if TYPE_CHECKING:
    from speechseq.evaluation.transcript_files import Alike
    from speechseq.inference.score import Confusion, Group, Score, Unit
    from speechseq.inference.wer.bootstrap import Comparison
    from speechseq.inference.wer.edits import Counts, Edit

_HELP = "count the word and character errors of transcripts"
_FORMS = """files hold an utterance a line, in any of these forms:
  id word word …                   (Kaldi's text)
  id<TAB>word word …               (or a header with id or path, text, speaker)
  word word … (id)                 (sclite's trn)
  {"path": …, "text": …}           (JSON lines, as speechseq transcribe --json writes them)
a path stands for its file's name without folder and ending."""


def add(commands: Any) -> None:
    """Add the command `speechseq score` and its flags to `commands`, the subparsers of argparse."""
    parser = commands.add_parser("score", help=_HELP)
    parser.epilog = _FORMS
    parser.add_argument("--ref", required=True, type=Path, metavar="FILE", help="what was said")
    parser.add_argument(
        "--hyp", required=True, type=Path, metavar="FILE", help="the recogniser's transcripts"
    )
    parser.add_argument(
        "--hyp2", type=Path, metavar="FILE", help="another system's transcripts: compares the two"
    )
    parser.add_argument(
        "--speakers", type=Path, metavar="FILE", help="who said what, an `id speaker` a line"
    )
    parser.add_argument("--cer", action="store_true", help="show character errors as well")
    parser.add_argument(
        "--details", action="store_true", help="show every utterance aligned, speakers, lengths"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--normalize",
        action="store_true",
        help="compare English as it is spoken: numbers in words, no case, no punctuation",
    )
    parser.add_argument(
        "--format",
        default="",
        choices=("text", "tsv", "trn", "json"),
        help="the form of all files (default: told by their endings, lines and ids)",
    )
    parser.add_argument(
        "--allow-missing",
        action="store_true",
        help="count an utterance that one file lacks as empty instead of refusing the files",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Print the error rates of one system, or the comparison of two systems.

    `arguments` are the parsed flags of the command: files of references and hypotheses, and
    options.
    """
    from speechseq.inference.score import compare_systems

    paths = [path for path in (arguments.hyp, arguments.hyp2) if path]
    scores, read = _scores(arguments, paths)
    forms = dict(zip(map(str, (arguments.ref, *paths)), read.forms, strict=True))
    units: list[Unit] = ["words", "characters"] if arguments.cer else ["words"]
    comparisons = {
        unit: compare_systems(scores[0], second, unit) for second in scores[1:] for unit in units
    }
    if arguments.json:
        systems = [
            _plain(path, score, arguments.details)
            for path, score in zip(paths, scores, strict=True)
        ]
        verdicts = {unit: dataclasses.asdict(c) for unit, c in comparisons.items()}
        data = {"systems": systems, "comparison": verdicts, "formats": forms}
        print(json_line(data))
        return
    if read.by_ids:
        print("\n".join(f"{printable(path)}: read as {form}" for path, form in forms.items()))
    for path, score in zip(paths, scores, strict=True):
        print(lines_of("\n".join(_summary(path, score, units))))
        if arguments.details:
            print(lines_of(_details(path, score)))
    for unit, comparison in comparisons.items():
        print(_verdict(unit, comparison))


def _scores(arguments: argparse.Namespace, paths: list[Path]) -> "tuple[list[Score], Alike]":
    """Score each file of hypotheses, with the same utterances in the same order."""
    from speechseq.evaluation.transcript_files import read, read_alike, with_all_ids
    from speechseq.inference.score import score
    from speechseq.inference.wer.normalize import spoken_words

    found = read_alike([arguments.ref, *paths], arguments.format)
    ref, *systems = found.files
    if arguments.allow_missing:
        ref, *systems = with_all_ids([ref, *systems])
    speakers = read(arguments.speakers) if arguments.speakers else {}
    voices = [speakers[i].text if i in speakers else ref[i].speaker for i in ref]
    read_as = spoken_words if arguments.normalize else str
    scores = []
    for path, hyp in zip(paths, systems, strict=True):
        _check_same_ids((arguments.ref, path), ref, hyp)
        pairs = [(read_as(ref[i].text), read_as(hyp[i].text)) for i in ref]
        scores.append(score(pairs, ids=list(ref), speakers=voices))
    return scores, found


def _check_same_ids(paths: tuple[Path, Path], ref: dict[str, Any], hyp: dict[str, Any]) -> None:
    from speechseq.evaluation.transcript_files import check_same_ids

    try:
        check_same_ids(ref, hyp)
    except DataError as error:
        raise DataError(f"{paths[1]} and {paths[0]}: {error.problem}", error.cure) from None


def _summary(path: Path, score: "Score", units: "list[Unit]") -> list[str]:
    names: dict[Unit, str] = {"words": "WER", "characters": "CER"}
    lines = [f"{printable(path)}: {len(score.rows):,} utterances"]
    lines += [
        f"  {names[unit]}  {_percent(counts.rate)}{_within(score, unit)}: {_errors(counts, unit)}"
        for unit, counts in (("words", score.words), ("characters", score.characters))
        if unit in units
    ]
    wrong = f"{score.total.wrong:,} of {len(score.rows):,} utterances have an error"
    return [*lines, f"  SER  {_percent(score.sentence_error_rate)}: {wrong}"]


def _within(score: "Score", unit: "Unit") -> str:
    found = score.interval(unit)
    return f" ({100 * found.low:.2f} to {100 * found.high:.2f} at 95 %)" if found else ""


def _errors(counts: "Counts", unit: str) -> str:
    return (
        f"of {counts.ref:,} {unit} {counts.substitutions:,} substituted, "
        f"{counts.deletions:,} deleted, {counts.insertions:,} inserted"
    )


def _details(path: Path, score: "Score") -> str:
    """Details as text: every utterance, the table of speakers, lengths and confusions."""
    from speechseq.evaluation import sclite

    lines = ["words asked for  utterances     WER"]
    lines += [
        f"{group.name:>15}  {group.utterances:10,}  {_percent(group.words.rate):>9}"
        for group in score.by_length
    ]
    lines += ["", "times  asked for → heard"]
    lines += [f"{c.times:5,}  {c.ref or '***'} → {c.hyp or '***'}" for c in score.confusions()]
    return "\n".join(["", sclite.report(score, printable(path)), *lines, ""])


def _verdict(unit: str, comparison: "Comparison") -> str:
    within = comparison.interval
    points = f"{100 * comparison.difference:+.2f} points"
    span = f"({100 * within.low:+.2f} to {100 * within.high:+.2f} at 95 %)"
    return (
        f"second against first, {unit}: {points} {span}; it is the better with probability "
        f"{comparison.improvement:.3f}; p = {comparison.p_value:.4f}"
    )


def _percent(rate: float) -> str:
    return f"{100 * rate:.2f} %"


def _plain(path: Path, score: "Score", details: bool) -> dict[str, Any]:
    """Convert a score to plain data."""
    data = {
        "file": str(path),
        **_group(score.total),
        "wer_interval": _interval(score, "words"),
        "cer_interval": _interval(score, "characters"),
        "speakers": {group.name: _group(group) for group in score.by_speaker if group.name},
        "lengths": {group.name: _group(group) for group in score.by_length},
        "confusions": [_renamed(confusion) for confusion in score.confusions()],
    }
    if details:
        data["rows"] = [
            {
                "id": row.id,
                "speaker": row.speaker,
                "asked": row.ref,
                "heard": row.hyp,
                "words": dataclasses.asdict(row.words),
                "edits": [_renamed(edit) for edit in row.edits],
            }
            for row in score.rows
        ]
    return data


def _group(group: "Group") -> dict[str, Any]:
    return {
        "utterances": group.utterances,
        "wer": _finite(group.words.rate),
        "cer": _finite(group.characters.rate),
        "ser": group.sentence_error_rate,
        "words": dataclasses.asdict(group.words),
        "characters": dataclasses.asdict(group.characters),
    }


def _renamed(pair: "Confusion | Edit") -> dict[str, Any]:
    """Convert a named tuple to plain data; ref and hyp get the keys "asked" and "heard"."""
    keys = {"ref": "asked", "hyp": "heard"}
    return {keys.get(name, name): value for name, value in pair._asdict().items()}


def _interval(score: "Score", unit: "Unit") -> dict[str, float] | None:
    found = score.interval(unit)
    return dataclasses.asdict(found) if found else None


def _finite(rate: float) -> float | None:
    return rate if math.isfinite(rate) else None  # JSON has no infinity
