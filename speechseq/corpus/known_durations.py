"""Speech of known durations: espeak's sound of a text, and the samples of its words and phonemes.

The times are espeak's own events, exact to a sample, so that an alignment is compared with the
truth, not judged by eye.
"""

import base64
import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from speechseq.corpus import espeak
from speechseq.corpus.espeak_worker import PHONEME, WORD, SpeechEvent
from speechseq.errors import DataError
from speechseq.text.espeak_library import SAMPLE_RATE

WORKER = "speechseq.corpus.known_durations_worker"
PAUSE = ""  # the name of a pause among phonemes


class Event(NamedTuple):
    """Word or phoneme with its time in the samples of a `Spoken`.

    Attributes:
        first: index of its first sample.
        last: index of the sample after its last.
        text: the word, or the phoneme in IPA.
    """

    first: int
    last: int
    text: str


class Spoken(NamedTuple):
    """Speech of one text by espeak, with the times of its words and phonemes; see `speak`.

    Words cover all samples without gaps, and so do phonemes: the `last` of each is the `first` of
    the next. A pause therefore belongs to the word before it.

    Attributes:
        samples: (samples,) int16.
        sample_rate: samples per second.
        events: words, in order.
        phonemes: phonemes in IPA, in order; a pause has the text "".
    """

    samples: np.ndarray
    sample_rate: int
    events: tuple[Event, ...]
    phonemes: tuple[Event, ...]


def speak(text: str, *, voice: str = "en-us", rate: int = 175, pitch: int = 50) -> Spoken:
    """Speak a text by espeak; return the speech with the time of each word and phoneme.

    Equal arguments give equal bytes, regardless of earlier calls; breathy variants such as "+f3"
    are the exception, because espeak seeds their noise by the clock. Words are those that espeak
    reports: a number is one word, and words that espeak contracts ("of the") may be one word.

    Args:
        text: text in the language of the voice.
        voice: a name of `corpus.espeak.voices()`.
        rate: words per minute, 80 to 449.
        pitch: 0 to 99, in espeak's scale.

    Raises:
        ConfigError: the voice is unknown, or a number is out of range.
        DataError: espeak finds nothing to say.
        MachineError: espeak is not installed, or crashed.
    """
    return speak_all([text], voice=voice, rate=rate, pitch=pitch)[0]


def speak_all(
    texts: Sequence[str], *, voice: str = "en-us", rate: int = 175, pitch: int = 50
) -> list[Spoken]:
    """Speak several texts in one process, which is faster than a call of `speak` for each.

    Args:
        texts: texts in the language of the voice.
        voice: a name of `corpus.espeak.voices()`.
        rate: words per minute, 80 to 449.
        pitch: 0 to 99, in espeak's scale.

    Returns:
        What `speak` returns for each text, in order.

    Raises:
        ConfigError, DataError, MachineError: see `speak`.
    """
    numbers = {"voice": voice, "rate": rate, "pitch": pitch}
    utterances = [
        espeak.Utterance(id=f"{i:04d}", text=text, voice=voice, rate=rate, pitch=pitch)
        for i, text in enumerate(texts)
    ]
    espeak.check(utterances)
    plan = {"utterances": [{"id": u.id, "text": u.text, **numbers} for u in utterances]}
    lines = espeak.run_worker(WORKER, plan).splitlines()
    return [_spoken(text, json.loads(line)) for text, line in zip(texts, lines, strict=True)]


def frame_positions(events: Sequence[Event], frames: int, hop: int | float) -> Tensor:
    """Return the index of the word or phoneme at each frame, (frames) int64.

    This is the true alignment of a text and a mel. Frame f is centred on sample f · hop. Frames
    after the end belong to the last word or phoneme.

    Args:
        events: words or phonemes of a Spoken.
        frames: number of frames.
        hop: samples from one frame to the next.
    """
    ends = torch.tensor([event.last for event in events[:-1]], dtype=torch.float64)
    return torch.searchsorted(ends, hop * torch.arange(frames, dtype=torch.float64), right=True)


def _spoken(text: str, said: dict) -> Spoken:
    samples = np.frombuffer(base64.b64decode(said["samples"]), dtype=np.int16)
    events = [SpeechEvent(*event) for event in said["events"]]
    words = _words(text, [event for event in events if event.type == WORD])
    phonemes = [(event.sample, event.name) for event in events if event.type == PHONEME]
    if not len(samples) or not words:
        raise DataError(f"espeak found nothing to say in {text[:80]!r}")
    return Spoken(samples, SAMPLE_RATE, _tiled(words, len(samples)), _tiled(phonemes, len(samples)))


def _words(text: str, events: Iterable[SpeechEvent]) -> list[tuple[int, str]]:
    """First sample and text of each word; events for parts of a number are joined."""
    words: list[tuple[int, int, int]] = []  # sample, first and last character
    for event in events:
        first, last = event.position, event.position + event.length
        if words and first < words[-1][2]:
            words[-1] = (*words[-1][:2], max(last, words[-1][2]))
        else:
            words.append((event.sample, first, last))
    starts = [*(first for _, first, _ in words[1:]), len(text)]
    return [
        (sample, text[first : _end(text, last, start)].strip())
        for (sample, first, last), start in zip(words, starts, strict=True)
    ]


def _end(text: str, last: int, following: int) -> int:
    """End of a word's text; words before the following one that have no event belong to it."""
    return following if any(map(str.isalnum, text[last:following])) else last


def _tiled(starts: Sequence[tuple[int, str]], end: int) -> tuple[Event, ...]:
    """Events that follow each other without a gap; those without samples join the next one."""
    firsts = [0, *(sample for sample, _ in starts[1:]), end]
    events: list[Event] = []
    waiting = ""
    for (_, text), first, last in zip(starts, firsts[:-1], firsts[1:], strict=True):
        if last > first:
            events.append(Event(first, last, f"{waiting} {text}".strip()))
            waiting = ""
        else:
            waiting = f"{waiting} {text}".strip()
    if waiting and events:
        events[-1] = events[-1]._replace(text=f"{events[-1].text} {waiting}")
    return tuple(events)
