"""Process in which espeak speaks a corpus: reads a plan from stdin, writes one wav per utterance.

espeak's output depends on everything that its process has said before. A new process that says the
same texts in the same order repeats it bit for bit. `speechseq.corpus.espeak` runs this module.
"""

import ctypes
import itertools
import json
import sys
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from speechseq.text.espeak_library import SAMPLE_RATE, library, set_voice

_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4  # espeak_PARAMETER
_UTF8 = 1
_QUIET = 32  # of 32768; espeak's pauses are exact zeros, except for a fading tail
WORD, PHONEME = 1, 7  # types of events that are kept


class _Event(ctypes.Structure):
    """espeak_EVENT of speak_lib.h; the list of a callback ends with an event of type 0."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("name", ctypes.c_char * 8),
    )


class SpeechEvent(NamedTuple):
    """Event that espeak reports while it speaks: the start of a word or a phoneme.

    Attributes:
        type: WORD or PHONEME, constants of this module.
        position: of a word, index of its first character in the text, from 0.
        length: of a word, number of its characters.
        sample: index in the sound of the first sample of the word or phoneme.
        name: name of a phoneme; "" for a word.
    """

    type: int
    position: int
    length: int
    sample: int
    name: str


_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


def main() -> None:
    """Speak utterances by espeak, in a process of its own; see `espeak.speak`.

    The plan comes from stdin: JSON with the keys "folder", "margin" and "utterances". Each
    utterance is written to <folder>/<id>.wav.
    """
    plan = json.load(sys.stdin)
    say = speaker()
    for utterance in plan["utterances"]:
        samples, _ = say(utterance)
        if plan["margin"] is not None:
            samples = _with_margin(samples, round(plan["margin"] * SAMPLE_RATE))
        _write(Path(plan["folder"]) / f"{utterance['id']}.wav", samples)


def speaker() -> Callable[[dict[str, Any]], tuple[np.ndarray, list[SpeechEvent]]]:
    """Return a function that speaks one utterance by espeak.

    It takes a dict with "id", "text", "voice", "rate" and "pitch", and optionally "range" and
    "volume"; see `Utterance` and `ProsodyUtterance` of `corpus.espeak`. It returns the samples
    (samples,) int16, and the events of words and phonemes.
    """
    espeak = library()
    pieces: list[bytes] = []
    events: list[SpeechEvent] = []

    @_CALLBACK
    def collect(samples: Any, count: int, listed: Any) -> int:
        if count > 0:
            pieces.append(ctypes.string_at(samples, 2 * count))
        for i in itertools.count() if listed else ():
            if not (event := listed[i]).type:
                break
            if event.type in (WORD, PHONEME):
                events.append(_kept(event))
        return 0

    espeak.espeak_SetSynthCallback(collect)

    def say(
        utterance: dict[str, Any], _keep: Any = collect
    ) -> tuple[np.ndarray, list[SpeechEvent]]:
        pieces.clear()
        events.clear()
        set_voice(utterance["voice"])
        espeak.espeak_SetParameter(_RATE, utterance["rate"], 0)
        espeak.espeak_SetParameter(_PITCH, utterance["pitch"], 0)
        espeak.espeak_SetParameter(_RANGE, utterance.get("range", 50), 0)
        espeak.espeak_SetParameter(_VOLUME, utterance.get("volume", 100), 0)
        text = utterance["text"].encode()
        failed = espeak.espeak_Synth(
            text, ctypes.c_size_t(len(text) + 1), 0, 0, 0, _UTF8, None, None
        )
        if failed:
            raise RuntimeError(f"{utterance['id']}: espeak_Synth answered {failed}")
        return np.frombuffer(b"".join(pieces), dtype=np.int16), list(events)

    return say


def _kept(event: Any) -> SpeechEvent:
    name = event.name.decode(errors="replace") if event.type == PHONEME else ""
    return SpeechEvent(event.type, event.text_position - 1, event.length, event.sample, name)


def _with_margin(samples: np.ndarray, margin: int) -> np.ndarray:
    """Trim the silence of a sound, and pad it with equal silence at both ends."""
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > _QUIET)
    speech = samples[loud[0] : loud[-1] + 1] if len(loud) else samples[:0]
    return np.pad(speech, margin) if len(speech) else speech


def _write(path: Path, samples: np.ndarray) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(samples.astype("<i2").tobytes())


if __name__ == "__main__":
    main()
