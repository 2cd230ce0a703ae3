"""Connected strings of words, joined from recordings of single ones, so that each place is known.

Made for the Free Spoken Digit Dataset; any recordings of single words by named speakers will do.
"""

import hashlib
import random
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from lhotse import CutSet, MonoCut
from lhotse.supervision import AlignmentItem

from speechseq.audio import wav
from speechseq.config import nearest
from speechseq.corpus import made_folder
from speechseq.corpus.recording import spoken
from speechseq.errors import ConfigError, DataError

PAUSE = (0.0, 0.15)  # seconds
GAIN = (-6.0, 0.0)  # dB
_FORMAT = 1  # raised when the same plan makes other samples
_FRAME = 0.01  # seconds: the quietest such stretch of a recording is its background
_DITHER = 1 / 32768  # the least background: a pause of zeros would tell where words are
_SAFE = re.compile(r"\w[\w.-]*")
_Words = dict[str, dict[str, list[MonoCut]]]


class _Ranges(NamedTuple):
    """What is drawn from: how many words, seconds of pause, dB of gain, dB of speech over noise."""

    words: tuple[int, int]
    pause: tuple[float, float]
    gain: tuple[float, float]
    snr: tuple[float, float] | None


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
    speakers: Collection[str] = (),
    without: Collection[str] = (),
) -> CutSet:
    """Join recordings of single words to strings such as "three one four", 16-bit wavs in `folder`.

    Each string is of one speaker; speaker, number of words (`shortest` to `longest`), each word
    and its recording are drawn evenly. Before, between and after the words stands a pause of
    noise, as long as drawn from `pause` (seconds) and as loud as the background of its
    neighbours; each word is made louder or softer by `gain` (dB). The supervision's alignment
    "word" says where each recording lies. With `snr` each string also stands in steady noise,
    white to pink, so many dB below its speech: another room and microphone. The same call gives
    the same folder anywhere; one that fits is used as it stands (`made_folder.ensure`).

    Args:
        cuts: recordings of single words, with speakers; the test's and the training's apart.
        speakers: only these; none named are all.
        without: all but these.

    Raises:
        ConfigError: numbers that make no sense, or an unknown speaker.
        DataError: a recording without text or speaker, of another rate, or not a whole file; a
            speaker who lacks a word; `folder` holds something else.
        MachineError: no room on the disk.
    """
    ranges = _Ranges((shortest, longest), pause, gain, snr)
    _check(utterances, seed, ranges)
    words = _by_speaker(cuts, speakers, without)
    sources = {cut.id: cut for of in words.values() for same in of.values() for cut in same}
    rate = _rate(sources)
    plan: dict[str, Any] = {
        "format": _FORMAT,
        "seed": seed,
        "sample_rate": rate,
        "recordings": _digest(sources),
        "utterances": [
            _drawn(words, i, random.Random(f"{seed} {i}"), ranges, rate) for i in range(utterances)
        ],
    }
    folder = Path(folder).resolve()
    made_folder.ensure(folder, plan, lambda wavs: _write(wavs, plan, sources))
    return CutSet.from_cuts(_cut(folder, utterance, rate) for utterance in plan["utterances"])


def _check(utterances: int, seed: int, ranges: _Ranges) -> None:
    if utterances < 1 or seed < 0:
        raise ConfigError(f"utterances {utterances}, seed {seed}: they start at 1 and at 0")
    shortest, longest = ranges.words
    if not 1 <= shortest <= longest:
        raise ConfigError(f"lengths {shortest}–{longest} make no sense", "1 <= shortest <= longest")
    if not 0 <= ranges.pause[0] <= ranges.pause[1]:
        raise ConfigError(f"pause: {ranges.pause} makes no sense", "seconds, from 0 up")
    if not ranges.gain[0] <= ranges.gain[1] <= 0:
        raise ConfigError(f"gain: {ranges.gain} makes no sense", "dB, at most 0")
    if ranges.snr is not None and not ranges.snr[0] <= ranges.snr[1]:
        raise ConfigError(f"snr: {ranges.snr} makes no sense", "dB, lowest <= highest")


def _by_speaker(cuts: CutSet, speakers: Collection[str], without: Collection[str]) -> _Words:
    """Of each speaker, each word's recordings; all in an order that the cuts' does not change."""
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
    """Changes with the sound of any recording."""
    total = hashlib.sha256()
    for name, cut in sources.items():
        sound = Path(cut.recording.sources[0].source).read_bytes()
        total.update(name.encode() + b"\0" + hashlib.sha256(sound).digest())
    return total.hexdigest()


def _drawn(
    words: _Words, number: int, chance: random.Random, ranges: _Ranges, rate: int
) -> dict[str, Any]:
    """One string as plain data: where each recording begins, in samples, and how loud it is."""
    speaker = chance.choice(list(words))
    text = chance.choices(list(words[speaker]), k=chance.randint(*ranges.words))
    place, pieces = 0, []
    for word in text:
        cut = chance.choice(words[speaker][word])
        place += round(chance.uniform(*ranges.pause) * rate)
        level = round(chance.uniform(*ranges.gain), 2)
        pieces.append(
            {"word": word, "id": cut.id, "start": place, "samples": cut.num_samples, "gain": level}
        )
        place += cut.num_samples
    drawn = {
        "id": f"{speaker}-{number:05d}",
        "text": " ".join(text),
        "speaker": speaker,
        "samples": place + round(chance.uniform(*ranges.pause) * rate),
        "words": pieces,
    }
    return drawn | ({"snr": round(chance.uniform(*ranges.snr), 2)} if ranges.snr else {})


def _write(wavs: Path, plan: dict[str, Any], sources: dict[str, MonoCut]) -> None:
    rate = plan["sample_rate"]
    used = {piece["id"] for utterance in plan["utterances"] for piece in utterance["words"]}
    sounds = {name: _sound(sources[name], rate) for name in used}
    for number, utterance in enumerate(plan["utterances"]):
        chance = np.random.default_rng([plan["seed"], number])
        joined = _joined(utterance, sounds, chance)
        if "snr" in utterance:
            joined = _in_noise(joined, utterance["snr"], chance)
        samples = torch.from_numpy(joined)
        wav.save(wavs / f"{utterance['id']}.wav", samples, rate)


def _sound(cut: MonoCut, rate: int) -> tuple[np.ndarray, float]:
    """Samples of a recording and the level (root mean square) of its background."""
    samples = wav.load(cut.recording.sources[0].source)[0][0].numpy()
    frame = min(len(samples), max(1, round(_FRAME * rate)))
    power = np.square(samples[: len(samples) // frame * frame].reshape(-1, frame)).mean(1)
    return samples, float(np.sqrt(power.min()))


def _joined(
    utterance: dict[str, Any],
    sounds: dict[str, tuple[np.ndarray, float]],
    chance: np.random.Generator,
) -> np.ndarray:
    """The words in a stream of noise that is as loud as what they themselves stand on."""
    noise = chance.standard_normal(utterance["samples"], dtype=np.float32)
    factors = [10 ** (piece["gain"] / 20) for piece in utterance["words"]]
    levels = [
        max(factor * sounds[piece["id"]][1], _DITHER)
        for factor, piece in zip(factors, utterance["words"], strict=True)
    ]
    place = 0
    for i, (factor, piece) in enumerate(zip(factors, utterance["words"], strict=True)):
        start, end = piece["start"], piece["start"] + piece["samples"]
        noise[place:start] *= (levels[max(i - 1, 0)] + levels[i]) / 2
        noise[start:end] = factor * sounds[piece["id"]][0]
        place = end
    noise[place:] *= levels[-1]
    return noise


def _in_noise(samples: np.ndarray, snr: float, chance: np.random.Generator) -> np.ndarray:
    """The samples in noise that falls by 0 (white) to 3 dB (pink) an octave."""
    spectrum = np.fft.rfft(chance.standard_normal(len(samples)))
    tilt = np.maximum(1, np.arange(len(spectrum))) ** (-0.5 * chance.uniform())
    noise = np.fft.irfft(spectrum * tilt, len(samples))
    ratio = np.sqrt(np.square(samples).mean() / np.square(noise).mean()) * 10 ** (-snr / 20)
    noisy = samples + ratio * noise
    return (noisy / max(1.0, np.abs(noisy).max())).astype(np.float32)


def _cut(folder: Path, utterance: dict[str, Any], rate: int) -> MonoCut:
    words = [
        AlignmentItem(piece["word"], piece["start"] / rate, piece["samples"] / rate)
        for piece in utterance["words"]
    ]
    path = folder / "wavs" / f"{utterance['id']}.wav"
    name, text, speaker = utterance["id"], utterance["text"], utterance["speaker"]
    return spoken(path, name, text, speaker=speaker, words=words)
