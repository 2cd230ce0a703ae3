"""`speechseq transcribe`: converts sound files to texts with a trained checkpoint."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from speechseq.errors import ConfigError, SpeechseqError
from speechseq.printable import json_line, printable
from speechseq.ranges import Factor, checked

if TYPE_CHECKING:
    from speechseq.inference.search.beam import Beam
    from speechseq.inference.search.interfaces import WeightedScorer
    from speechseq.inference.transcriber import Transcriber
    from speechseq.inference.transcript import LongTranscript, Transcript
    from speechseq.inference.windows import WindowConfig

_HELP = "write down sound files with a trained checkpoint"
_LM = 0.3
_AT_ONCE = 64  # files read before their texts are printed, so that a failure loses little


def add(commands: Any) -> None:
    """Add the command `speechseq transcribe` and its flags to `commands`, argparse's subparsers."""
    parser = commands.add_parser("transcribe", help=_HELP)
    parser.add_argument(
        "--checkpoint", required=True, type=Path, metavar="DIR", help="a checkpoint or run folder"
    )
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="WAV, FLAC or OGG, at any sample rate"
    )
    parser.add_argument("--beam", type=int, default=8, help="width of the search (default: 8)")
    parser.add_argument(
        "--n-best", type=int, default=1, metavar="N", help="readings of each file (default: 1)"
    )
    parser.add_argument(
        "--timestamps", action="store_true", help="a line a word: start, end, confidence"
    )
    parser.add_argument("--json", action="store_true", help="all that is known, one object a line")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, … (default: cpu)")
    parser.add_argument(
        "--window",
        type=float,
        default=20.0,
        metavar="SECONDS",
        help="longer files are read in overlapping windows; best no longer than what the model "
        "was trained on (default: 20)",
    )
    parser.add_argument(
        "--sharpen", type=float, metavar="FACTOR", help="of the attention's energies, e.g. 2"
    )
    parser.add_argument(
        "--attention-window",
        type=int,
        metavar="N",
        help="let the attention look only N positions around where it looked last",
    )
    parser.add_argument(
        "--lm",
        type=Path,
        metavar="DIR|FILE",
        help="a language model beside the search: a checkpoint, or an ARPA file",
    )
    parser.add_argument(
        "--lm-weight", type=float, metavar="W", help=f"of the language model (default: {_LM:g})"
    )
    parser.set_defaults(run=run)


class Options(NamedTuple):
    """Options of `speechseq transcribe`, read from its flags.

    Attributes:
        search: beam search.
        scorers: language models with their weights.
        windows: length and overlap of the windows of long files.
        as_json: print JSON instead of text.
        timestamps: print the time of each word.
    """

    search: "Beam"
    scorers: "tuple[WeightedScorer, ...]"
    windows: "WindowConfig"
    as_json: bool
    timestamps: bool


def run(arguments: argparse.Namespace) -> None:
    """Transcribe the files; files that fail are reported at the end, after the transcripts.

    `arguments` are the parsed flags of the command.
    """
    options = _options(arguments)
    transcriber = _load(arguments, options)
    if arguments.lm is not None:
        options = options._replace(scorers=(_language_model(arguments, transcriber),))
    failed: dict[Path, SpeechseqError] = {}
    for path, result in _results(arguments.files, transcriber, options):
        if isinstance(result, SpeechseqError):
            failed[path] = result
        else:
            _print(path, result, options)
    if failed:
        _refuse(failed, len(arguments.files))


def _options(arguments: argparse.Namespace) -> Options:
    from speechseq.inference.search.beam import usual_beam
    from speechseq.inference.windows import WindowConfig

    try:
        search = usual_beam(arguments.beam, arguments.n_best)
    except ConfigError as error:
        raise ConfigError(f"--beam, --n-best: {error.problem}", error.cure) from None
    try:
        windows = WindowConfig.of(arguments.window)
    except ConfigError as error:
        raise ConfigError(f"--window: {error.problem}", error.cure) from None
    if arguments.lm is None and arguments.lm_weight is not None:
        raise ConfigError("--lm-weight: there is no language model", "name it with --lm")
    return Options(search, (), windows, arguments.json, arguments.timestamps)


def _load(arguments: argparse.Namespace, options: Options) -> "Transcriber":
    import dataclasses

    from speechseq.inference.transcriber import Transcriber

    transcriber = Transcriber.load(arguments.checkpoint, arguments.device)
    transcriber.longest_seconds = max(transcriber.longest_seconds, options.windows.seconds)
    attention = transcriber.model.speller.core.attention
    asked = {"sharpening": arguments.sharpen, "window": arguments.attention_window}
    given = {name: value for name, value in asked.items() if value is not None}
    try:
        attention.reading = dataclasses.replace(attention.reading, **given)
    except ConfigError as error:
        raise ConfigError(f"--sharpen, --attention-window: {error.problem}", error.cure) from None
    return transcriber


def _language_model(arguments: argparse.Namespace, transcriber: "Transcriber") -> "WeightedScorer":
    from speechseq.inference.lm import scorer as lm_scorer
    from speechseq.inference.search.interfaces import WeightedScorer

    given = arguments.lm_weight
    weight = _LM if given is None else checked("--lm-weight", given, Factor)
    scorer = lm_scorer.load(arguments.lm, transcriber.vocabulary, arguments.device)
    return WeightedScorer("lm", scorer, weight)


def _results(
    files: list[Path], transcriber: "Transcriber", options: Options
) -> "Iterator[tuple[Path, Transcript | LongTranscript | SpeechseqError]]":
    """Yield each file with its transcript or error, in order; short files are batched."""
    for begin in range(0, len(files), _AT_ONCE):
        part = files[begin : begin + _AT_ONCE]
        long = {path for path in part if _is_long(path, options)}
        short = [path for path in part if path not in long]
        results = transcriber.attempt(short, strategy=options.search, scorers=options.scorers)
        known = dict(zip(short, results, strict=True))
        for path in part:
            yield path, known[path] if path in known else _long(path, transcriber, options)


def _is_long(path: Path, options: Options) -> bool:
    from speechseq.audio import wav

    try:
        return wav.header(path).seconds > options.windows.seconds
    except SpeechseqError:
        return False  # the error is raised when the file is read


def _long(
    path: Path, transcriber: "Transcriber", options: Options
) -> "LongTranscript | SpeechseqError":
    from speechseq.inference.long_audio import transcribe_long

    try:
        return transcribe_long(
            transcriber, path, options.windows, strategy=options.search, scorers=options.scorers
        )
    except SpeechseqError as error:
        return error


def _print(path: Path, result: "Transcript | LongTranscript", options: Options) -> None:
    if options.as_json:
        print(json_line(_plain(path, result)), flush=True)
        return
    doubt = f"  [no speech: {result.no_speech:.2f}]" if _is_doubtful(result) else ""
    print(f"{printable(path)}: {printable(result.text)}{doubt}", flush=True)
    if options.timestamps:
        for word in result.words:
            times = f"{word.start:8.2f} {word.end:8.2f} {word.confidence:6.3f}"
            print(f"  {times}  {printable(word.text)}")
    readings = getattr(result, "n_best", ())
    for place, reading in enumerate(readings if len(readings) > 1 else (), 1):
        print(f"  {place:3d} {reading.score:10.4f}  {printable(reading.text)}")


def _is_doubtful(result: "Transcript | LongTranscript") -> bool:
    """Return True if the transcript has words although silence is more likely."""
    from speechseq.inference.transcript import NO_SPEECH

    return bool(result.text) and result.no_speech > NO_SPEECH


def _plain(path: Path, result: "Transcript | LongTranscript") -> dict[str, Any]:
    """Convert a result to plain data, without the alignment."""
    import dataclasses

    kept = {
        f.name: getattr(result, f.name)
        for f in dataclasses.fields(result)
        if f.name not in ("alignment", "words", "n_best")
    }
    lists = {
        name: [dataclasses.asdict(item) for item in getattr(result, name)]
        for name in ("words", "n_best")
        if hasattr(result, name)
    }
    return {"path": str(path), "text": result.text, **kept, **lists}


def _refuse(failed: dict[Path, SpeechseqError], files: int) -> None:
    lines = []
    for path, error in failed.items():
        named = error.problem if str(path) in error.problem else f"{path}: {error.problem}"
        lines.append(named + (f" ({error.cure})" if error.cure else ""))
    first = min(failed.values(), key=lambda error: error.exit_code)
    if files == 1:
        raise first if str(next(iter(failed))) in first.problem else type(first)(lines[0])
    raise type(first)(f"{len(failed)} of {files} files not transcribed:\n  " + "\n  ".join(lines))
