"""`speechseq prepare ljspeech ROOT`: fetch a corpus, check it and say what is in it."""

import argparse
from pathlib import Path
from typing import Any

_HELP = "fetch and check a corpus"


def add(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser("prepare", help=_HELP)
    parser.add_argument("corpus", choices=["ljspeech"], help="which corpus")
    parser.add_argument(
        "root", type=Path, metavar="ROOT", help="its folder; with --download, the folder above it"
    )
    parser.add_argument(
        "--download",
        action="store_true",
        help="fetch LJSpeech-1.1 into ROOT first (2.7 GB, checksum verified)",
    )
    parser.add_argument(
        "--skip-bad", action="store_true", help="leave bad rows out instead of refusing the corpus"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Check every row of the corpus and print its size."""
    from speechseq.corpus import ljspeech

    root = ljspeech.download(arguments.root) if arguments.download else arguments.root
    cuts = ljspeech.read(root, skip_bad=arguments.skip_bad)
    seconds = [cut.duration for cut in cuts]
    print(
        f"{root}: {len(seconds):,} utterances, {sum(seconds) / 3600:.2f} hours, "
        f"{min(seconds):.1f} to {max(seconds):.1f} seconds each"
    )
