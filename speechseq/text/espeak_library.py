"""The espeak-ng library, loaded once per process, for phonemes and for speech."""

import ctypes
import functools
import itertools
import os
import tempfile
import threading
from typing import Any

from speechseq.errors import ConfigError, MachineError

SAMPLE_RATE = 22050  # returned by espeak_Initialize for the voices of the wheel
LOCK = threading.RLock()  # espeak has one voice and one sentence at a time per process

_SYNCHRONOUS = 2  # samples go to the callback before espeak_Synth returns; phonemes work the same
_PHONEME_EVENTS = 0x0003  # with names in IPA
_DO_NOT_EXIT = 0x8000  # a missing data file is an error code, not the end of the process
_LONGEST_PATH = 120  # espeak truncates its data path at 160 bytes, and crashes later


@functools.cache
def library() -> ctypes.CDLL:
    """Load the espeak-ng library, initialised for phonemes and for speech in memory.

    Every call returns the same `ctypes` library. Voice, rate and pitch are global to the process,
    so hold `LOCK` while a voice is chosen and used. Functions that return pointers have their C
    types declared. Whoever synthesises speech first sets a callback with `espeak_SetSynthCallback`,
    which then receives the samples.

    Raises:
        MachineError: the optional package is missing, or its data cannot be read.
    """
    try:
        import espeakng_loader
    except ImportError:
        raise MachineError(
            "phonemes and espeak voices need the package espeakng-loader",
            "pip install 'speechseq[espeak]'",
        ) from None
    try:
        opened = ctypes.CDLL(espeakng_loader.get_library_path())
    except (OSError, RuntimeError) as error:
        raise MachineError(f"espeak-ng cannot be opened: {error}", _REINSTALL) from None
    _declare(opened)
    _initialize(opened, 0)
    return opened


def report_phonemes() -> None:
    """Make espeak report each phoneme, in IPA, as an event during all later speech of this process.

    Without it only words are reported.

    Raises:
        MachineError: espeak is missing.
    """
    with LOCK:
        _initialize(library(), _PHONEME_EVENTS)


def set_voice(voice: str) -> None:
    """Choose espeak's voice for all later calls in this process; hold `LOCK` meanwhile.

    `voice` is a name such as "en-us", "en-gb" or "de".

    Raises:
        ConfigError: there is no such voice.
        MachineError: espeak is missing.
    """
    with LOCK:
        known = voice.isprintable() and voice.strip() == voice != ""
        if not known or not (_chosen(voice) or _chosen(_file_of(voice))):
            raise ConfigError(f"espeak has no voice {voice!r}", 'try "en-us", "en-gb" or "de"')


def _chosen(voice: str) -> bool:
    return voice != "" and library().espeak_SetVoiceByName(voice.encode()) == 0


def _file_of(voice: str) -> str:
    """Voice file of a language whose file has another name: "en-gb" is gmw/en."""
    language, plus, variant = voice.partition("+")
    listed = library().espeak_ListVoices(None)
    for entry in itertools.takewhile(bool, (listed[i] for i in itertools.count())):
        # an entry is one byte of priority, then the language's name
        if entry.contents.languages[1:].decode() == language.lower():
            return entry.contents.identifier.decode() + plus + variant
    return ""


def _initialize(opened: Any, options: int) -> None:
    import espeakng_loader

    try:
        data = _short_path(espeakng_loader.get_data_path())
    except (OSError, RuntimeError) as error:
        raise MachineError(f"espeak-ng cannot be opened: {error}", _REINSTALL) from None
    if opened.espeak_Initialize(_SYNCHRONOUS, 0, os.fsencode(data), _DO_NOT_EXIT | options) <= 0:
        raise MachineError(f"espeak-ng cannot read its data in {data}", _REINSTALL)


class _Voice(ctypes.Structure):
    """First fields of espeak_VOICE in speak_lib.h; the others are not used."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_char_p),
        ("identifier", ctypes.c_char_p),
    )


_REINSTALL = "pip install --force-reinstall 'speechseq[espeak]'"
_links: list[tempfile.TemporaryDirectory[str]] = []


def _short_path(data: str) -> str:
    """The data folder, or a short link to it if its path is too long for espeak."""
    if len(os.fsencode(data)) <= _LONGEST_PATH:
        return data
    folder = tempfile.TemporaryDirectory(prefix="espeak-")
    _links.append(folder)  # espeak loads voices on demand: keep the link as long as the process
    link = os.path.join(folder.name, "espeak-ng-data")
    os.symlink(data, link, target_is_directory=True)
    return link


def _declare(opened: Any) -> None:
    opened.espeak_Initialize.argtypes = [
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_int,
    ]
    opened.espeak_SetVoiceByName.argtypes = [ctypes.c_char_p]
    opened.espeak_TextToPhonemes.restype = ctypes.c_char_p
    opened.espeak_TextToPhonemes.argtypes = [
        ctypes.POINTER(ctypes.c_void_p),
        ctypes.c_int,
        ctypes.c_int,
    ]
    opened.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_Voice))
    opened.espeak_ListVoices.argtypes = [ctypes.c_void_p]
    opened.espeak_Info.restype = ctypes.c_char_p
