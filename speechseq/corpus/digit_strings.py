"""Connected strings of words, joined from recordings of single words, with known word times.

It was made for the Free Spoken Digit Dataset; any recordings of single words by named speakers
work.
"""

import hashlib
import random
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from lhotse import CutSet, MonoCut
from lhotse.supervision import AlignmentItem

from speechseq import files
from speechseq.audio import wav
from speechseq.audio.container import SOUND
from speechseq.config import nearest
from speechseq.corpus import generated_folder
from speechseq.corpus.joining import JoiningConfig, join, sound
from speechseq.corpus.recording import spoken
from speechseq.errors import ConfigError, DataError

PAUSE = JoiningConfig().pause  # seconds
GAIN = JoiningConfig().gain  # dB
_FORMAT = 1  # version: increased when the same plan gives other samples
_SAFE = re.compile(r"\w[\w.-]*")
_Words = dict[str, dict[str, list[MonoCut]]]


class _Draws(NamedTuple):
    """Settings for drawing a string: range of its number of words, ways to join, sample rate."""

    words: tuple[int, int]
    ways: tuple[JoiningConfig, ...]
    rate: int


def make(
    cuts: CutSet,
    folder: Path | str,
    *,
    utterances: int,
    seed: int = 0,
    shortest: int = 1,
    longest: int = 7,
    pause: tuple[float, float] = PAUSE,
    gain: tuple[float, float] = GAIN,
    snr: tuple[float, float] | None = None,
    ways: Sequence[JoiningConfig] = (),
    speakers: Collection[str] = (),
    without: Collection[str] = (),
) -> CutSet:
    """Join recordings of single words to strings such as "three one four"; one lhotse cut for each.

    The sounds are 16-bit WAV files in `folder`; a folder that holds the same ones already is
    reused. Each string has one speaker. The speaker, the number of words, each word and its
    recording are drawn uniformly. The alignment "word" of a cut's supervision has the time of each
    word. The same call gives the same sounds on every machine.

    Args:
        cuts: recordings of single words, with speakers; make training and test strings in separate
            calls, from different recordings.
        folder: folder of the sounds.
        utterances: number of strings.
        seed: seed of all draws. Every way of joining gets the same recordings.
        shortest: minimum number of words of a string.
        longest: maximum number of words of a string.
        pause: range of seconds between words; this and the next two are used if `ways` is empty.
        gain: range of the gain of a word in dB.
        snr: range of signal-to-noise ratios in dB; None adds no noise.
        ways: ways to join words, one of which is drawn for each string.
        speakers: use only these speakers; empty for all.
        without: speakers to leave out.

    Raises:
        ConfigError: a number is out of range, or a speaker is unknown.
        DataError: a recording lacks text or speaker, or is not a whole file; sample rates of the
            recordings differ; a speaker lacks a word; `folder` holds something else.
        MachineError: the disk is full.
    """
    ways = tuple(ways) or (JoiningConfig(pause=pause, gain=gain, snr=snr),)
    _check(utterances, seed, (shortest, longest))
    words = _by_speaker(cuts, speakers, without)
    sources = {cut.id: cut for of in words.values() for same in of.values() for cut in same}
    rate = _rate(sources)
    draws = _Draws((shortest, longest), ways, rate)
    plan: dict[str, Any] = {
        "format": _FORMAT,
        "seed": seed,
        "sample_rate": rate,
        "recordings": _digest(sources),
        "utterances": [_drawn(words, i, seed, draws) for i in range(utterances)],
    }
    folder = Path(folder).resolve()
    generated_folder.ensure(folder, plan, lambda wavs: _write(wavs, plan, sources))
    return CutSet.from_cuts(_cut(folder, utterance, rate) for utterance in plan["utterances"])


def _check(utterances: int, seed: int, words: tuple[int, int]) -> None:
    if utterances < 1 or seed < 0:
        raise ConfigError(f"utterances {utterances}, seed {seed}: they start at 1 and at 0")
    shortest, longest = words
    if not 1 <= shortest <= longest:
        raise ConfigError(f"lengths {shortest}–{longest} make no sense", "1 <= shortest <= longest")


def _by_speaker(cuts: CutSet, speakers: Collection[str], without: Collection[str]) -> _Words:
    """Group recordings by speaker and word, in an order that does not depend on the cuts' order."""
    words: _Words = {}
    for cut in sorted(cuts, key=lambda cut: cut.id):
        said = cut.supervisions[0] if cut.supervisions else None
        if said is None or not said.text or not said.speaker:
            raise DataError(f"{cut.id}: no text or no speaker")
        if not _SAFE.fullmatch(said.speaker):
            raise DataError(f"{cut.id}: speaker {said.speaker!r} cannot name a file")
        words.setdefault(said.speaker, {}).setdefault(said.text, []).append(cut)
    for name in (*speakers, *without):
        if name not in words:
            raise ConfigError(f"speakers: unknown {name!r}", nearest(name, words))
    kept = {
        name: dict(sorted(words[name].items()))
        for name in sorted(words)
        if name not in without and (not speakers or name in speakers)
    }
    if not kept:
        raise ConfigError("speakers: none is left")
    all_words = sorted({word for of in kept.values() for word in of})
    for name, of in kept.items():
        if lacking := [word for word in all_words if word not in of]:
            raise DataError(f"speaker {name!r} has no recording of {', '.join(lacking[:5])}")
    return kept


def _rate(sources: dict[str, MonoCut]) -> int:
    rate = next(iter(sources.values())).sampling_rate
    for cut in sources.values():
        if cut.sampling_rate != rate:
            raise DataError(f"{cut.id}: {cut.sampling_rate} Hz, others have {rate}")
        if cut.start or cut.num_samples != cut.recording.num_samples or cut.recording.transforms:
            raise DataError(f"{cut.id}: is not a whole file", "save it first: cut.save_audio")
    return int(rate)


def _digest(sources: dict[str, MonoCut]) -> str:
    """Digest of the sound of all recordings."""
    total = hashlib.sha256()
    for name, cut in sources.items():
        sound = files.sha256(cut.recording.sources[0].source, SOUND)
        total.update(name.encode() + b"\0" + bytes.fromhex(sound))
    return total.hexdigest()


def _drawn(words: _Words, number: int, seed: int, draws: _Draws) -> dict[str, Any]:
    """Draw one string as plain data: start, in samples, and gain of each recording."""
    rng, further = random.Random(f"{seed} {number}"), random.Random(f"{seed} {number} way")
    rate = draws.rate
    way = further.choice(draws.ways)
    speaker = rng.choice(list(words))
    text = rng.choices(list(words[speaker]), k=rng.randint(*draws.words))
    place = 0
    pieces: list[dict[str, Any]] = []
    for word in text:
        cut = rng.choice(words[further.choice(list(words)) if way.mixed else speaker][word])
        pause = way.pause if pieces or way.edges is None else way.edges
        place += round(rng.uniform(*pause) * rate)
        level = round(rng.uniform(*way.gain), 2)
        pieces.append(
            {"word": word, "id": cut.id, "start": place, "samples": cut.num_samples, "gain": level}
        )
        place += cut.num_samples
    samples = place + round(rng.uniform(*(way.edges or way.pause)) * rate)
    drawn: dict[str, Any] = {
        "id": f"{speaker}-{number:05d}",
        "text": " ".join(text),
        "speaker": speaker,
        "samples": samples,
        "words": pieces,
    }
    if way.snr:
        drawn["snr"] = round(rng.uniform(*way.snr), 2)
    return drawn | _further(words, speaker, samples / rate, further, draws, way)


def _further(
    words: _Words,
    speaker: str,
    seconds: float,
    rng: random.Random,
    draws: _Draws,
    way: JoiningConfig,
) -> dict[str, Any]:
    """Draw the parts of a string that only some ways have: background, offset, clicks."""
    drawn: dict[str, Any] = {} if way.background == "words" else {"background": way.background}
    if way.background == "noise":
        drawn["level"] = round(rng.uniform(*way.level), 2)
    if way.background == "room":
        others = [name for name in words if name != speaker] or [speaker]
        drawn["room"] = rng.choice(rng.choice(list(words[rng.choice(others)].values()))).id
    if any(way.offset):
        drawn["offset"] = round(rng.uniform(*way.offset), 4)
    if way.clicks:
        count = round(rng.uniform(0.5, 1.5) * way.clicks * seconds)
        places = [rng.randrange(int(seconds * draws.rate)) for _ in range(count)]
        drawn["clicks"] = [[place, round(rng.uniform(-0.5, 0.5), 3)] for place in places]
    return drawn


def _write(wavs: Path, plan: dict[str, Any], sources: dict[str, MonoCut]) -> None:
    rate, utterances = plan["sample_rate"], plan["utterances"]
    used = {piece["id"] for utterance in utterances for piece in utterance["words"]}
    used |= {utterance["room"] for utterance in utterances if "room" in utterance}
    loaded = {name: wav.load(sources[name].recording.sources[0].source)[0][0] for name in used}
    sounds = {name: sound(samples.numpy(), rate) for name, samples in loaded.items()}
    for number, utterance in enumerate(utterances):
        rng = np.random.default_rng([plan["seed"], number])
        samples = torch.from_numpy(join(utterance, sounds, rng, rate))
        wav.save(wavs / f"{utterance['id']}.wav", samples, rate)


def _cut(folder: Path, utterance: dict[str, Any], rate: int) -> MonoCut:
    words = [
        AlignmentItem(piece["word"], piece["start"] / rate, piece["samples"] / rate)
        for piece in utterance["words"]
    ]
    path = folder / "wavs" / f"{utterance['id']}.wav"
    name, text, speaker = utterance["id"], utterance["text"], utterance["speaker"]
    return spoken(path, name, text, speaker=speaker, words=words)
