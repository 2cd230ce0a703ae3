"""`speechseq synthesize`: speaks texts to WAV files with a trained checkpoint."""

import argparse
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from speechseq import files
from speechseq.cli import streams, style_flags, synthesize_stream
from speechseq.errors import ConfigError, DataError, SpeechseqError
from speechseq.file_writing import check_folder, check_output
from speechseq.printable import printable
from speechseq.ranges import Count, DrawSeed, LengthScale, checked
from speechseq.text.splitting import LONGEST

if TYPE_CHECKING:
    from speechseq.inference.speech import Speech
    from speechseq.inference.synthesizer import Synthesizer
    from speechseq.models.decoder_steps import Steering

_HELP = "speak texts with a trained checkpoint"
_TEXTS = files.Kind(
    name="a file of texts", limit=64 << 20, cure="name a file with a text a line", streams=True
)
_AT_ONCE = 64  # lines spoken before their WAVs are written, so that a failure loses little


class Line(NamedTuple):
    """Text that `speechseq synthesize` speaks, and the file for its sound.

    Attributes:
        where: origin of the text for messages, such as file and line.
        text: what is spoken.
        out: the WAV file to write.
    """

    where: str
    text: str
    out: Path


def add(commands: Any) -> None:
    """Add the command `speechseq synthesize` and its flags to `commands`, argparse's subparsers."""
    parser = commands.add_parser("synthesize", help=_HELP)
    parser.add_argument(
        "--checkpoint", required=True, type=Path, metavar="DIR", help="a checkpoint or run folder"
    )
    parser.free = frozenset({"--text"})
    texts = parser.add_mutually_exclusive_group(required=True)
    texts.add_argument("--text", help="the text to speak, into --out")
    texts.add_argument(
        "--text-file", type=Path, metavar="FILE", help="a text a line (UTF-8), into --out-dir"
    )
    parser.add_argument("--out", type=Path, metavar="X.wav", help="where the wav of --text goes")
    parser.add_argument(
        "--out-dir", type=Path, metavar="DIR", help="where 0001.wav, 0002.wav, … of the lines go"
    )
    parser.add_argument(
        "--skip-bad",
        action="store_true",
        help="leave out lines that cannot be spoken instead of refusing the file",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="another seed, another reading (default: 0)"
    )
    parser.add_argument(
        "--precision",
        default="float32",
        help="float32, bfloat16 or int8 weights: fewer bits, a faster CPU (default: float32)",
    )
    parser.add_argument(
        "--safe",
        action="store_true",
        help="let attention only move forward, and read again with other seeds what still slips",
    )
    parser.add_argument(
        "--n", type=int, metavar="N", help="make N readings and keep the best-aligned one"
    )
    parser.add_argument(
        "--window",
        type=int,
        default=4,
        metavar="W",
        help="with --safe: symbols that attention may move ahead (default: 4)",
    )
    parser.add_argument(
        "--length-scale",
        type=float,
        default=1.0,
        metavar="X",
        help="factor of the duration, for voices with GMM attention (default: 1)",
    )
    parser.add_argument(
        "--stream",
        action="store_true",
        help="write the sound while it is made; with --out - to standard output, for a player",
    )
    style_flags.add(parser)
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, … (default: cpu)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Speak the text of the flags, or each line of a file, to WAV files.

    `arguments` are the parsed flags of the command.
    """
    checked("--seed", arguments.seed, DrawSeed)
    checked("--n", arguments.n, Count | None)
    checked("--window", arguments.window, Count)
    checked("--length-scale", arguments.length_scale, LengthScale)
    synthesize_stream.check(arguments)
    lines, wanted = _lines(arguments), style_flags.read(arguments)

    from speechseq.inference.synthesizer import Synthesizer
    from speechseq.inference.tries import Manner

    synthesizer = Synthesizer.load(
        arguments.checkpoint, arguments.device, precision=arguments.precision
    )
    lines = _speakable(lines, synthesizer, arguments.skip_bad)
    styles = wanted.of(synthesizer, len(lines), arguments.seed)
    if arguments.stream:
        options = {"seed": arguments.seed, **styles.take(1), "steering": _steering(arguments)}
        _stream(lines[0], synthesizer, options)
        return
    if arguments.out_dir:
        arguments.out_dir.mkdir(parents=True, exist_ok=True)
    manner = {name: getattr(arguments, name) for name in ("safe", "n", "window", "length_scale")}
    for part in _portions(lines):
        options = {"seed": arguments.seed, **styles.take(len(part))}
        if len(part[0].text) > LONGEST:
            _write_long(part[0], synthesizer, options | {"manner": Manner(**manner)})
            continue
        spoken = synthesizer.synthesize([line.text for line in part], **options, **manner)
        for line, speech in zip(part, spoken, strict=True):
            _write(line, speech)


def _steering(arguments: argparse.Namespace) -> "Steering":
    from speechseq.models.decoder_steps import Steering

    return Steering(arguments.window if arguments.safe else None, arguments.length_scale)


def _portions(lines: list[Line]) -> Iterator[list[Line]]:
    """Group neighbouring lines to batches; a long line, which has many pieces, is alone."""
    held: list[Line] = []
    for line in lines:
        long = len(line.text) > LONGEST
        if held and (long or len(held) == _AT_ONCE):
            yield held
            held = []
        if long:
            yield [line]
        else:
            held.append(line)
    if held:
        yield held


def _lines(arguments: argparse.Namespace) -> list[Line]:
    """Texts to speak and their output files, checked before the model is loaded."""
    if arguments.text is not None:
        return [Line("--text", _decoded(arguments.text), _checked_out(arguments))]
    if arguments.out_dir is None or arguments.out is not None:
        raise ConfigError("--text-file: a file of texts makes many wavs", "give --out-dir DIR")
    if arguments.out_dir.exists() and not arguments.out_dir.is_dir():
        raise ConfigError(f"--out-dir: {arguments.out_dir} is not a folder", "name a folder")
    check_folder(arguments.out_dir)
    path = arguments.text_file
    lines = [(i, files.decoded(path, _TEXTS, i, line)) for i, line in files.lines(path, _TEXTS)]
    if not lines:
        raise DataError(f"{path}: is empty", "write a text a line")
    spoken = [Line(f"{path}:{i}", text, arguments.out_dir / f"{i:04d}.wav") for i, text in lines]
    for line in spoken:
        check_output(line.out)
        if line.out.exists() and line.out.samefile(path):
            raise ConfigError(f"--out-dir: {line.out} is the file of texts", "name another folder")
    return spoken


def _decoded(text: str) -> str:
    """Decode an argument as UTF-8, even if Python read it in another encoding."""
    try:
        return os.fsencode(text).decode("utf-8")
    except UnicodeError:
        raise DataError("--text: is not UTF-8 text", "put it in a file for --text-file") from None


def _checked_out(arguments: argparse.Namespace) -> Path:
    out = arguments.out
    if out is None or arguments.out_dir is not None:
        raise ConfigError("--text: one text makes one wav", "give --out X.wav")
    if out == synthesize_stream.STDOUT:
        return out
    if out.suffix.lower() != ".wav":
        raise ConfigError(f"--out: {out} does not end in .wav", "only wav files are written")
    if not out.parent.is_dir():
        raise ConfigError(f"--out: the folder {out.parent} does not exist", "make it first")
    if out.is_dir():
        raise ConfigError(f"--out: {out} is a folder", "name a file in it")
    check_folder(out.parent)
    check_output(out)
    return out


def _speakable(lines: list[Line], synthesizer: "Synthesizer", skip_bad: bool) -> list[Line]:
    """Lines that can be spoken; the others are reported together."""
    import warnings

    good, problems, cure = [], [], ""
    for line in lines:
        try:
            synthesizer.readings(line.text)
            good.append(line)
        except DataError as error:
            problems.append(f"{line.where}: {error.problem}")
            cure = cure or error.cure
    if problems and (not skip_bad or not good):
        offer = "" if skip_bad or len(lines) == 1 else "; or speak the others with --skip-bad"
        raise DataError("\n  ".join(problems), cure + offer)
    for problem in problems:
        warnings.warn(f"{problem}; left out", stacklevel=2)
    return good


def _write(line: Line, speech: "Speech") -> None:
    from speechseq.audio import wav

    with _naming(line):
        wav.save(line.out, speech.waveform, speech.sample_rate)
    _tell(line, speech.seconds, speech.finished_reason)


def _write_long(line: Line, synthesizer: "Synthesizer", options: dict[str, Any]) -> None:
    """Speak a text piece by piece to its WAV, so that memory holds only a few pieces."""
    from speechseq.audio import wav
    from speechseq.inference.speech import combined

    samples, rate, reasons = 0, synthesizer.audio.sample_rate, set()
    with _naming(line), wav.writer(line.out, rate) as append:
        for piece in synthesizer.pieces(line.text, **options):
            waveform = piece.with_pause()
            append(waveform)
            samples += len(waveform)
            reasons.add(piece.finished_reason)
    _tell(line, samples / rate, combined(reasons))


def _stream(line: Line, synthesizer: "Synthesizer", options: dict[str, Any]) -> None:
    with _naming(line):
        seconds, reason = synthesize_stream.write(line.out, line.text, synthesizer, options)
    _tell(line, seconds, reason)


@contextlib.contextmanager
def _naming(line: Line) -> Iterator[None]:
    """Context manager that adds the source of the text to errors."""
    try:
        yield
    except SpeechseqError as error:
        raise type(error)(f"{line.where}: {error.problem}", error.cure) from None


def _tell(line: Line, seconds: float, reason: str) -> None:
    note = "" if reason == "stop" else ": listen whether it is whole"
    told = f"{seconds:.2f} s, ended by {reason}{note}"
    if line.out == synthesize_stream.STDOUT:  # which holds the sound
        streams.say(told)
    else:
        print(f"{printable(line.out)}: {told}", flush=True)
