"""`speechseq synthesize --stream`: writes the sound of a text while it is made."""

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechseq.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

    from speechseq.inference.synthesizer import Synthesizer

STDOUT = Path("-")


def check(arguments: argparse.Namespace) -> None:
    """Check the flags of `speechseq synthesize --stream`, before the model is loaded.

    `arguments` are the parsed flags.

    Raises:
        ConfigError: a flag does not go with --stream, or --out - has no pipe or no --stream.
    """
    if arguments.out == STDOUT and not arguments.stream:
        raise ConfigError("--out: - is standard output, for a stream", "add --stream")
    if not arguments.stream:
        return
    if arguments.text is None:
        raise ConfigError("--stream: one text is streamed", "give it with --text")
    if arguments.n is not None:
        problem = "--n: what is streamed is read once, for its sound is out before its end"
        raise ConfigError(problem, "leave out --n or --stream")
    if arguments.out == STDOUT and sys.stdout.isatty():
        raise ConfigError("--out: standard output is a terminal", "pipe it: … --out - | aplay")


def write(
    out: Path, text: str, synthesizer: "Synthesizer", options: dict[str, Any]
) -> tuple[float, str]:
    """Speak a text, and write its sound part by part to a WAV file or to standard output.

    Args:
        out: the file; "-" is standard output.
        text: text to speak.
        synthesizer: speaks the text.
        options: further arguments of `Synthesizer.stream`.

    Returns:
        Duration in seconds, and why the speech ended: "stop", "attention_end" or "limit".
    """
    from speechseq.inference.speech import combined

    samples, rate, reasons = 0, synthesizer.audio.sample_rate, set()
    chunks = synthesizer.stream(text, **options)
    with _opened(out, rate) as append:
        for chunk in chunks:
            if len(chunk.waveform):
                append(chunk.waveform)
            samples += len(chunk.waveform)
            reasons |= {chunk.finished_reason} - {None}
    return samples / rate, combined(map(str, reasons))


@contextlib.contextmanager
def _opened(out: Path, rate: int) -> Iterator[Callable[["Tensor"], None]]:
    from speechseq.audio import wav, wav_stream

    if out == STDOUT:
        yield wav_stream.writer(sys.stdout.buffer, rate)
    else:
        with wav.writer(out, rate) as append:
            yield append
