"""Generated sounds without speech, whose transcripts are empty."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from lhotse import CutSet

from speechseq.audio import wav
from speechseq.corpus import generated_folder
from speechseq.corpus.joining import coloured, room_tone
from speechseq.corpus.recording import spoken
from speechseq.errors import ConfigError

Kind = Literal["zeros", "noise", "tone", "music", "room"]

KINDS: tuple[Kind, ...] = ("zeros", "noise", "tone", "music", "room")
_FORMAT = 1  # version: increased when the same plan gives other samples
_LEVEL = (-70.0, -10.0)  # dB below full scale
_SCALE = (0, 2, 4, 5, 7, 9, 11)  # semitones


def make(
    folder: Path | str,
    *,
    utterances: int,
    sample_rate: int,
    seed: int = 0,
    seconds: tuple[float, float] = (0.5, 6.0),
    kinds: Sequence[Kind] = (*KINDS, "music"),
    recordings: CutSet | None = None,
) -> CutSet:
    """Make sounds without speech, with empty transcripts, as 16-bit WAV files in `folder`.

    A recogniser learns from them to write nothing. Kinds and lengths are drawn uniformly. "zeros"
    is digital silence, "noise" is white to pink, "tone" a sine, "music" chords that decay, "room"
    noise with the spectrum of a recording's edge; loudness is drawn from -70 to -10 dB. The
    supervisions are marked as "wordless", so that `Texts` accepts empty transcripts.

    Args:
        folder: folder of the sounds.
        utterances: number of sounds.
        sample_rate: samples per second.
        seed: seed of all draws.
        seconds: shortest and longest duration.
        kinds: kinds to draw from; music, the most similar to speech, is twice in the default.
        recordings: recordings of speech, whole files, whose edges "room" imitates; None makes no
            "room".

    Returns:
        A lhotse cut for each sound.

    Raises:
        ConfigError: a number is out of range.
        DataError: a recording cannot be read; `folder` holds something else.
        MachineError: the disk is full.
    """
    if utterances < 1 or seed < 0 or not 0.1 <= seconds[0] <= seconds[1] <= 600:
        raise ConfigError(
            f"{utterances} utterances of {seconds} seconds, seed {seed}: make no sense"
        )
    edges = _paths(recordings)
    known = [kind for kind in kinds if edges or kind != "room"]
    plan: dict[str, Any] = {
        "format": _FORMAT,
        "kind": "wordless",
        "seed": seed,
        "sample_rate": sample_rate,
        "utterances": [
            _drawn(i, random.Random(f"{seed} {i} wordless"), known, seconds, list(edges))
            for i in range(utterances)
        ],
    }
    folder = Path(folder).resolve()
    generated_folder.ensure(folder, plan, lambda wavs: _write(wavs, plan, edges))
    return CutSet.from_cuts(
        spoken(folder / "wavs" / f"{u['id']}.wav", u["id"], "", wordless=True)
        for u in plan["utterances"]
    )


def _paths(recordings: CutSet | None) -> dict[str, str]:
    cuts = sorted(recordings or (), key=lambda cut: cut.id)
    return {cut.id: cut.recording.sources[0].source for cut in cuts}


def _drawn(
    number: int,
    rng: random.Random,
    kinds: Sequence[Kind],
    seconds: tuple[float, float],
    edges: Sequence[str],
) -> dict[str, Any]:
    kind = rng.choice(kinds)
    drawn: dict[str, Any] = {
        "id": f"{kind}-{number:05d}",
        "kind": kind,
        "seconds": round(rng.uniform(*seconds), 3),
        "level": round(rng.uniform(*_LEVEL), 2),
    }
    return drawn | ({"room": rng.choice(edges)} if kind == "room" else {})


def _write(wavs: Path, plan: dict[str, Any], edges: dict[str, str]) -> None:
    rate = plan["sample_rate"]
    for number, utterance in enumerate(plan["utterances"]):
        rng = np.random.default_rng([plan["seed"], number])
        samples = round(utterance["seconds"] * rate)
        if utterance["kind"] == "room":
            recording = wav.load(edges[utterance["room"]], rate)[0][0].numpy()
            waveform = room_tone(recording, samples, rate, rng)
        else:
            waveform = _sound(utterance["kind"], samples, rate, rng)
            waveform *= 10 ** (utterance["level"] / 20)
        waveform = waveform.clip(-1, 1).astype(np.float32)
        wav.save(wavs / f"{utterance['id']}.wav", torch.from_numpy(waveform), rate)


def _sound(kind: Kind, samples: int, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Make (samples,) of root mean square 1, or zeros."""
    if kind == "zeros":
        return np.zeros(samples)
    if kind == "noise":
        return coloured(samples, rng)
    time = np.arange(samples) / rate
    if kind == "tone":
        hertz = np.exp(rng.uniform(np.log(60), np.log(0.45 * rate)))
        return np.sqrt(2) * np.sin(2 * np.pi * hertz * time)
    return _music(time, rate, rng)


def _music(time: np.ndarray, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Chords of a major scale, one every 0.15 to 0.8 seconds; each note has harmonics."""
    music, key, beat = np.zeros(len(time)), rng.uniform(80, 320), rng.uniform(0.15, 0.8)
    since = np.arange(rate) / rate  # a note lasts a second
    for start in np.arange(0, time[-1], beat):
        chord = music[round(start * rate) :][:rate]
        steps = rng.choice(_SCALE, size=rng.integers(1, 4), replace=False)
        notes = key * 2 ** (steps[:, None] / 12) * np.arange(1, 9)
        notes = notes[notes < 0.45 * rate][:, None]
        struck = np.exp(-since * rng.uniform(2, 6))
        waves = np.sin(2 * np.pi * notes * since) * (key / notes)
        chord += (struck * waves.sum(0))[: len(chord)]
    return music / np.sqrt(np.square(music).mean())
