"""Transcription of long audio in windows, in constant memory."""

import bisect
import dataclasses
import itertools
import os
from collections.abc import Sequence

from speechseq.audio import wav
from speechseq.errors import ConfigError, SpeechseqError
from speechseq.inference.search.beam import usual_beam
from speechseq.inference.search.interfaces import WeightedScorer
from speechseq.inference.search.recognise import Strategy
from speechseq.inference.stitching import stitch
from speechseq.inference.timestamps import Word
from speechseq.inference.transcriber import Transcriber
from speechseq.inference.transcript import LongTranscript, Transcript
from speechseq.inference.windows import WindowConfig, cut

WINDOWS = WindowConfig()
_SILENCE = 1e-4  # a window whose loudest sample is below -80 dB holds no words
_BEFORE = 2.0  # seconds before the overlap in which words may still change


def transcribe_long(
    transcriber: Transcriber,
    path: str | os.PathLike[str],
    windows: WindowConfig = WINDOWS,
    *,
    beam: int = 8,
    strategy: Strategy | None = None,
    scorers: Sequence[WeightedScorer] = (),
) -> LongTranscript:
    """Transcribe a long file: read it in blocks, transcribe overlapping windows, join their words.

    Memory holds one batch of windows at a time, and all words.

    Args:
        transcriber: recogniser with vocabulary and audio settings.
        path: sound file.
        windows: length and overlap of the windows.
        beam: width of the beam search.
        strategy: another search, such as Greedy(), instead of that beam.
        scorers: language models with their weights.

    Raises:
        DataError: see `wav.load`; also, the sound is shorter than one frame.
        ConfigError: windows are longer than `transcriber.longest_seconds`.
        CheckpointError, MachineError: see `Transcriber.transcribe`; the message has the time in the
            file.
    """
    if windows.seconds > transcriber.longest_seconds:
        raise ConfigError(
            f"windows of {windows.seconds:g} seconds, the transcriber takes "
            f"{transcriber.longest_seconds:g}",
            "take shorter windows (--window), or raise longest_seconds of the Transcriber",
        )
    rate = wav.header(path).rate
    search = strategy or usual_beam(beam)
    source = cut(wav.blocks(path), rate, windows)
    words: list[Word] = []
    count, unfinished, end, no_speech = 0, 0, 0.0, 0.0
    while batch := list(itertools.islice(source, transcriber.batch_size)):
        loud = [window for window in batch if float(window.waveform.abs().max()) > _SILENCE]
        results = transcriber.attempt(
            [(window.waveform, rate) for window in loud], strategy=search, scorers=scorers
        )
        found = {window.start: result for window, result in zip(loud, results, strict=True)}
        for window in batch:
            begin = window.start / rate
            result = _sound(found.get(window.start), path, begin)
            new = [] if result is None else _moved(result.words, begin)
            words = _joined(words, new, begin, end) if count else new
            unfinished += result is not None and not result.finished
            no_speech += 1.0 if result is None else result.no_speech
            count, end = count + 1, window.end / rate
    return LongTranscript(
        words=tuple(words),
        windows=count,
        unfinished=unfinished,
        seconds=end,
        no_speech=no_speech / max(count, 1),
    )


def _sound(
    result: Transcript | SpeechseqError | None, path: str | os.PathLike[str], begin: float
) -> Transcript | None:
    if isinstance(result, SpeechseqError):
        where = f"{os.fspath(path)}: from {begin:.1f} s: {result.problem}"
        raise type(result)(where, result.cure)
    return result


def _moved(words: Sequence[Word], seconds: float) -> list[Word]:
    return [
        dataclasses.replace(word, start=word.start + seconds, end=word.end + seconds)
        for word in words
    ]


def _joined(words: list[Word], new: list[Word], begin: float, end: float) -> list[Word]:
    """Join a window's words to all earlier ones, of which only the last few can change."""
    kept = bisect.bisect_left(words, begin - _BEFORE, key=lambda word: word.end)
    return words[:kept] + stitch(words[kept:], new, begin, end)
