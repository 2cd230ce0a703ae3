"""`speechseq info DIR`: prints the contents of a checkpoint."""

import argparse
from pathlib import Path
from typing import Any

from speechseq.cli.style_card import card_lines, read_card
from speechseq.printable import message, printable

_HELP = "print what a checkpoint holds"
_LONGEST = 40  # most characters of a symbol; words and pieces are shorter
_SHOWN = 200  # most symbols printed: there are 113 phonemes, maybe thousands of pieces
_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


def add(commands: Any) -> None:
    """Add the command `speechseq info` and its flags to `commands`, the subparsers of argparse."""
    parser = commands.add_parser("info", help=_HELP)
    parser.add_argument("checkpoint", type=Path, metavar="DIR", help="a checkpoint or run folder")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Print kind, size, update, audio settings, vocabulary and configuration of a checkpoint.

    `arguments` are the parsed flags of the command.
    """
    import yaml

    from speechseq import checkpoint

    contents = checkpoint.read(arguments.checkpoint)
    config = contents.config
    audio, vocabulary = contents.audio(), contents.read_vocabulary()
    parameters = sum(
        tensor.numel() for name, tensor in contents.weights.items() if not name.endswith(_BUFFERS)
    )
    kind = config["model"].get("kind", "unknown")
    print(f"checkpoint  {printable(contents.folder.resolve())}")
    print(f"model       {message(kind)}, {parameters:,} parameters")
    print(f"update      {config['update']:,}")
    print(f"audio       {_hears(audio) if audio else 'none: a model of text alone'}")
    print(f"vocabulary  {len(vocabulary)} entries, {message(_reads(vocabulary))}")
    print(f"symbols     {printable(_shown(vocabulary.symbols))}")
    _print_style(contents.folder, config["model"])
    print("configuration")
    shown = {"model": config["model"], "audio": config["audio"]}
    text = yaml.safe_dump(shown, sort_keys=False, default_flow_style=None, width=96)
    for line in text.splitlines():
        print(f"  {message(line)}")


def _print_style(folder: Path, model: Any) -> None:
    """Print the speakers, and the style card that training wrote beside the weights."""
    speakers = (model.get("speakers") or {}).get("names", ())
    if speakers:
        print(f"speakers    {printable(_shown(tuple(map(str, speakers))))}")
    if not model.get("style"):
        return
    card = read_card(folder)
    if card is None:
        print("style       no style_card.json: not measured")
        return
    print("style       knob: change over its range of F0, F0 spread (semitones), energy (dB), rate")
    for line in card_lines(card):
        print(f"  {message(line)}")


def _shown(symbols: tuple[str, ...]) -> str:
    more = len(symbols) - _SHOWN
    listed = " ".join(repr(symbol[:_LONGEST]) for symbol in symbols[:_SHOWN])
    return f"{listed} and {more} more" if more > 0 else listed


def _hears(audio: Any) -> str:
    frame = 1000 * audio.hop / audio.sample_rate
    return (
        f"{audio.sample_rate:,} Hz, {audio.mels} mels of {audio.fmin:g}–{audio.fmax:g} Hz, "
        f"a frame each {frame:.1f} ms"
    )


def _reads(vocabulary: Any) -> str:
    voice, normalizer = vocabulary.voice, vocabulary.normalizer
    units = f"phonemes of espeak's {voice}" if voice else vocabulary.spelling.name
    return units if normalizer == "english" else f"{units}, normalizer {normalizer}"
