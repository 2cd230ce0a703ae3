"""`speechseq prepare CORPUS ROOT`: downloads a corpus, checks all of it and prints its size."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechseq.printable import printable

if TYPE_CHECKING:
    from lhotse import CutSet

_HELP = "fetch and check a corpus"


def add(commands: Any) -> None:
    """Add the command `speechseq prepare`, with a subcommand for each corpus, to `commands`."""
    parser = commands.add_parser("prepare", help=_HELP)
    parser.checked = False
    corpora = parser.add_subparsers(metavar="CORPUS", required=True)
    _ljspeech(_corpus(corpora, "ljspeech", "one reader, 24 hours, text to speech"))
    _librispeech(_corpus(corpora, "librispeech", "1,000 hours of read English, in parts"))
    for name, about in (
        ("fsdd", "the Free Spoken Digit Dataset, 3,000 recordings"),
        ("an4", "CMU's AN4, an hour of letters, digits and names"),
    ):
        _corpus(corpora, name, about).set_defaults(run=run_parts, corpus=name)


def run_ljspeech(arguments: argparse.Namespace) -> None:
    """Check every row of LJSpeech, or of a folder with its layout, and print its size.

    `arguments` are the parsed flags of the command: root, download, skip_bad and columns.
    """
    from speechseq.corpus import ljspeech

    root = ljspeech.download(arguments.root) if arguments.download else arguments.root
    cuts = ljspeech.read(root, skip_bad=arguments.skip_bad, columns=arguments.columns)
    print(f"{printable(root)}: {_size(cuts)}")


def run_librispeech(arguments: argparse.Namespace) -> None:
    """Check every utterance of the chosen parts of LibriSpeech; print the size of each part.

    `arguments` are the parsed flags of the command: root, parts and download.
    """
    from speechseq.corpus import librispeech

    root, parts = arguments.root, arguments.parts
    if arguments.download:
        root = librispeech.download(root, parts)
    for part in parts:
        print(f"{printable(root)}, {printable(part)}: {_size(librispeech.read(root, [part]))}")


def run_parts(arguments: argparse.Namespace) -> None:
    """Check every recording of a small corpus, such as AN4, and print the sizes of its two parts.

    `arguments` are the parsed flags of the command: root, and corpus, its name.
    """
    from speechseq.corpus import an4, fsdd

    read = {"fsdd": fsdd.read, "an4": an4.read}[arguments.corpus]
    for part, cuts in read(arguments.root)._asdict().items():
        print(f"{printable(arguments.root)}, {part}: {_size(cuts)}")


def _corpus(corpora: Any, name: str, about: str) -> Any:
    parser = corpora.add_parser(name, help=about)
    parser.add_argument("root", type=Path, metavar="ROOT", help="its folder")
    return parser


def _ljspeech(parser: Any) -> None:
    parser.add_argument(
        "--download",
        action="store_true",
        help="fetch LJSpeech-1.1 into ROOT first (2.7 GB, checksum verified)",
    )
    parser.add_argument(
        "--skip-bad", action="store_true", help="leave bad rows out instead of refusing the corpus"
    )
    parser.add_argument(
        "--columns",
        default="",
        metavar="NAMES",
        help="of metadata.csv: id, text, normalized, speaker, or - for one that is not read, such "
        "as id,text,speaker (default: a header line, id,text or id,text,normalized)",
    )
    parser.set_defaults(run=run_ljspeech)


def _librispeech(parser: Any) -> None:
    parser.add_argument(
        "--parts",
        nargs="+",
        default=["train-clean-100", "dev-clean", "test-clean"],
        metavar="PART",
        help="which parts (train-clean-100 dev-clean test-clean)",
    )
    parser.add_argument(
        "--download",
        action="store_true",
        help="fetch the parts into ROOT first (0.3 to 31 GB each, checksum verified)",
    )
    parser.set_defaults(run=run_librispeech)


def _size(cuts: "CutSet") -> str:
    seconds = [cut.duration for cut in cuts]
    speakers = {part.speaker for cut in cuts for part in cut.supervisions if part.speaker}
    of = f", {len(speakers)} speaker{'s' if len(speakers) > 1 else ''}" if speakers else ""
    return (
        f"{len(seconds):,} utterances, {sum(seconds) / 3600:.2f} hours, "
        f"{min(seconds):.1f} to {max(seconds):.1f} seconds each{of}"
    )
