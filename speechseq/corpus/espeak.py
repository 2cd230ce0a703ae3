"""Speech synthesis by espeak-ng: reproducible corpora of any text, without a download."""

import itertools
import json
import os
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from lhotse import CutSet

import speechseq
from speechseq.config import Config, nearest
from speechseq.corpus import generated_folder
from speechseq.corpus.recording import spoken
from speechseq.errors import ConfigError, DataError, MachineError
from speechseq.ranges import Count, Range, Text, checked
from speechseq.text.espeak_library import LOCK, library, set_voice

_HEADER_BYTES = 44  # a wav without samples
Rate = Annotated[int, Range(80, 449)]  # words a minute
Pitch = Annotated[int, Range(0, 99)]
Volume = Annotated[int, Range(0, 200)]
Processes = Annotated[int, Range(1, 256)]
_SAFE_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")


@dataclass(frozen=True, kw_only=True)
class Utterance(Config):
    """Text to be spoken by the synthesiser espeak-ng, with its settings; see `speak`.

    Attributes:
        id: name of the sound file.
        text: what is spoken.
        voice: name of a voice, see `voices`.
        rate: words per minute, 80 to 449.
        pitch: 0 (low) to 99 (high), in espeak's scale.

    Raises:
        ConfigError: the id cannot name a file, or a number is out of range.
        DataError: the text has no letter or digit.
    """

    id: str
    text: Annotated[str, Text(100_000)]
    voice: str = "en-us"
    rate: Rate = 175
    pitch: Pitch = 50

    def check(self) -> None:
        """Raise ConfigError or DataError for an utterance that espeak cannot speak correctly."""
        if not _SAFE_ID.fullmatch(self.id):
            raise ConfigError(
                f"utterance id {self.id!r} cannot name a file", "use letters, 0-9, -_"
            )
        if not any(map(str.isalnum, self.text)):
            raise DataError(f"{self.id}: nothing to say in {self.text!r}")


@dataclass(frozen=True, kw_only=True)
class ProsodyUtterance(Utterance):
    """Utterance that also sets the pitch range and the volume of espeak.

    Attributes:
        range: pitch range, 0 (monotone) to 99, in espeak's scale.
        volume: loudness, 0 to 200; 100 is espeak's usual one.

    Raises:
        ConfigError, DataError: see `Utterance`.
    """

    range: Pitch = 50
    volume: Volume = 100


def drawn(
    prefix: str,
    texts: Sequence[str],
    seed: int,
    voices: Sequence[str],
    rates: Sequence[int],
    pitches: Sequence[int],
) -> list[Utterance]:
    """Make an Utterance of each text, with voice, rate and pitch drawn from the given values.

    Args:
        prefix: beginning of the ids, <prefix>-00000, <prefix>-00001, ….
        texts: what is spoken.
        seed: seed of the draws.
        voices: names of espeak's voices.
        rates: words per minute (80 to 449).
        pitches: pitches in espeak's scale (0 to 99).

    Raises:
        ConfigError, DataError: see `Utterance`.
    """
    rng = random.Random(f"{seed} voices")
    return [
        Utterance(
            id=f"{prefix}-{i:05d}",
            text=text,
            voice=rng.choice(voices),
            rate=rng.choice(rates),
            pitch=rng.choice(pitches),
        )
        for i, text in enumerate(texts)
    ]


def speak(
    texts: Sequence[str | Utterance],
    folder: Path | str,
    *,
    voice: str = "en-us",
    rate: int = 175,
    pitch: int = 50,
    margin: float | None = None,
    batch: int | None = None,
    processes: int = 1,
) -> CutSet:
    """Speak texts by espeak into `folder`/wavs (22,050 Hz, 16 bits); return a lhotse cut for each.

    The same call gives the same bytes on every machine: espeak's output depends only on what its
    process has spoken before, and each process is new. Breathy variants (+f2, +f3, +f5) are the
    exception: the library seeds their noise by the clock. A folder that has the same sounds already
    is reused; `folder`/manifest.json has a SHA-256 of each.

    Args:
        texts: strings, which get ids 0000, 0001, …, or an `Utterance` each.
        folder: folder of the corpus.
        voice: name of espeak's voice for strings; the voice is the speaker of a cut.
        rate: words per minute for strings, 80 to 449.
        pitch: pitch for strings, 0 to 99 in espeak's scale.
        margin: seconds of silence at both ends; None keeps espeak's own, at most 50 ms.
        batch: number of texts that one process speaks; None for all.
        processes: number of processes that run at the same time.

    Raises:
        ConfigError: a voice is unknown (the message gives the nearest), an id is repeated, or a
            number is out of range.
        DataError: espeak finds nothing to say, or `folder` holds something else.
        MachineError: espeak is not installed or crashed, or the disk is full.
    """
    utterances = [
        text
        if isinstance(text, Utterance)
        else Utterance(id=f"{i:04d}", text=text, voice=voice, rate=rate, pitch=pitch)
        for i, text in enumerate(texts)
    ]
    check(utterances)
    processes = checked("processes", processes, Processes)
    batch = checked("batch", batch, Count | None)
    folder = Path(folder).resolve()
    plan: dict[str, Any] = {
        "espeak": _version(),
        "margin": margin,
        "utterances": [utterance.to_dict() for utterance in utterances],
    }
    if batch is not None:
        plan["batch"] = batch

    def fill(wavs: Path) -> None:
        _run_workers(wavs, plan, processes)
        _refuse_silence(wavs)

    generated_folder.ensure(folder, plan, fill)
    return CutSet.from_cuts(
        spoken(folder / "wavs" / f"{u.id}.wav", u.id, u.text, speaker=u.voice) for u in utterances
    )


def voices() -> list[str]:
    """Return the names of espeak's voices, such as "en-us" and its variant "en-us+f3".

    Raises:
        MachineError: espeak is not installed.
    """
    with LOCK:
        listed = library().espeak_ListVoices(None)
        entries = itertools.takewhile(bool, (listed[i] for i in itertools.count()))
        # voices are named by file, which always loads; several files may share a language
        names = [entry.contents.identifier.decode().split("/")[-1].lower() for entry in entries]
    return sorted(set(names))


def check(utterances: Sequence[Utterance]) -> None:
    """Check that espeak can speak a list of utterances, before any is spoken.

    Raises:
        ConfigError: the list is empty, an id occurs twice, or a voice is unknown.
        MachineError: espeak is not installed.
    """
    if not utterances:
        raise ConfigError("no texts to speak")
    if twice := [id for id, count in Counter(u.id for u in utterances).items() if count > 1]:
        raise ConfigError(f"utterance ids stand twice: {', '.join(twice[:5])}")
    for name in sorted({utterance.voice for utterance in utterances}):
        try:
            set_voice(name)
        except ConfigError as error:
            raise ConfigError(error.problem, nearest(name, voices())) from None


def _version() -> str:
    return (library().espeak_Info(None) or b"").decode()


def _refuse_silence(wavs: Path) -> None:
    silent = [path.stem for path in sorted(wavs.iterdir()) if path.stat().st_size <= _HEADER_BYTES]
    if silent:
        listed = ", ".join(silent[:10])
        raise DataError(f"espeak found nothing to say in {len(silent)} texts: {listed}")


def _run_workers(folder: Path, plan: dict[str, Any], processes: int) -> None:
    """Speak each batch of the plan in a process of its own, `processes` at a time."""
    utterances = plan["utterances"]
    size = plan.get("batch", len(utterances))
    batches = [
        plan | {"utterances": utterances[first : first + size]}
        for first in range(0, len(utterances), size)
    ]
    with ThreadPoolExecutor(processes) as pool:
        worker, to = "speechseq.corpus.espeak_worker", {"folder": str(folder)}
        list(pool.map(lambda batch: run_worker(worker, batch | to), batches))


def run_worker(module: str, plan: dict[str, Any]) -> str:
    """Run a Python module in a new process, and return what it prints to stdout.

    Args:
        module: dotted name, such as "speechseq.corpus.espeak_worker".
        plan: plain data, which the module reads as JSON from stdin.

    Raises:
        MachineError: the process failed.
    """
    source = str(Path(speechseq.__file__).parents[1])
    paths = [source, *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-m", module],
        input=json.dumps(plan),
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode == 0:
        return done.stdout
    last = (done.stderr.strip().splitlines() or [""])[-1]
    raise MachineError(f"espeak's process ended with {done.returncode}: {last}", "run it again")
