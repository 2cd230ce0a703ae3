"""Style card: measures what each knob of a trained style changes in the speech, in units.

A knob is a dimension of the style's code, or a style token. It is set to several values, about ten
texts are spoken with each, and F0, its spread, energy and rate of the speech are measured.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor
from torch.nn import functional as F

from speechseq.audio.prosody import prosody
from speechseq.audio.prosody_summary import summary
from speechseq.checkpoint.folder import STYLE_CARD
from speechseq.errors import DataError
from speechseq.evaluation.judge import Judge
from speechseq.file_writing import replace_file
from speechseq.inference.speech import Speech
from speechseq.inference.synthesizer import Synthesizer
from speechseq.models import conditioning
from speechseq.models.style.latent import Latent
from speechseq.models.style.style import Style
from speechseq.pictures import LINES, empty_figure, png, style

PICTURE = "style_card.png"
_SHORTEST = 0.2  # seconds, of which F0 can be measured; less is padded with silence
SETTINGS = (-2.0, -1.0, 0.0, 1.0, 2.0)  # standard deviations of the training's codes
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of a token; the others share the rest as in the default
LEAST = {"f0": 0.5, "spread": 0.25, "energy": 0.5, "rate": 2.0}  # a sweep below all is dead
UNITS = {"f0": "semitones", "spread": "semitones", "energy": "dB", "rate": "%"}


class Sweep(NamedTuple):
    """Measures of speech while one knob of a style is turned; see `measure` for knobs.

    Attributes:
        name: name of the knob.
        values: (settings, 4), mean F0, F0 spread, energy and rate of the speech at each setting of
            the knob.
        wer: word error rate over all settings; None without a judge.
    """

    name: str
    values: np.ndarray
    wer: float | None


def measure(
    synthesizer: Synthesizer,
    texts: Sequence[str],
    *,
    judge: Judge | None = None,
    speaker: str | None = None,
) -> dict[str, Any]:
    """Measure what each knob of a style changes in the speech; the result is the style card.

    A knob is a dimension of the style's code, or a style token. Texts are spoken at several
    settings of every knob, with the others at their default.

    Args:
        synthesizer: synthesiser whose model has a style.
        texts: texts to speak at each setting; results are means over them.
        judge: recogniser for the word error rate over all settings; None leaves it out.
        speaker: name of the voice, for a model with several speakers.

    Returns:
        "knobs": for each knob its name, "wer", "dead" (True if it changes nothing), and "f0",
        "spread" (semitones), "energy" (dB) and "rate" (per cent). Each of these four has the
        "change" from the first to the last setting, and "monotone", Spearman's correlation with the
        setting; both are None where F0 is undefined. "active_units": share of knobs that are not
        dead. "dead": names of the dead knobs.

    Raises:
        ConfigError: the model has no style, or the speaker is unknown.
        DataError: there are no texts, or one cannot be spoken.
    """
    if not texts:
        raise DataError("there are no texts to sweep a style over", "give some, 10 are enough")
    own = conditioning.own_style(synthesizer.model.style)
    knobs = []
    for knob in range(own.code_shape[-1]):
        codes = _codes(own, knob)
        takes = [_speak(synthesizer, own, texts, code, speaker) for code in codes]
        values = np.array([_mean(take) for take in takes])
        knobs.append(_knob(Sweep(str(knob), values, _wer(judge, texts, takes))))
    dead = [knob["name"] for knob in knobs if knob["dead"]]
    return {"knobs": knobs, "active_units": 1 - len(dead) / len(knobs), "dead": dead}


def write(folder: Path, card: dict[str, Any]) -> None:
    """Write a style card and its picture into a checkpoint's folder.

    Args:
        folder: the checkpoint's folder.
        card: result of `measure`.

    Raises:
        MachineError: the folder cannot be written.
    """
    text = json.dumps(card, indent=1, allow_nan=False) + "\n"
    replace_file(folder / STYLE_CARD, text.encode())
    replace_file(folder / PICTURE, picture(card))


def picture(card: dict[str, Any]) -> bytes:
    """Draw a style card as a PNG: bars of the change in the speech that each knob makes.

    There is one chart for each of F0, its spread, energy and rate. `card` is a result of `measure`,
    which says what a knob is.
    """
    figure = empty_figure(10.0, 3.2)
    for i, (key, unit) in enumerate(UNITS.items()):
        axes = figure.add_subplot(1, len(UNITS), i + 1)
        style(axes)
        changes = [knob[key]["change"] or 0.0 for knob in card["knobs"]]
        axes.bar([knob["name"] for knob in card["knobs"]], changes, color=LINES[i])
        axes.set_title(f"{key}, {unit}", fontsize=9)
        axes.set_xlabel("knob", fontsize=8)
    return png(figure)


def _codes(own: Style, knob: int) -> list[Tensor]:
    """Codes of one knob's settings around the default."""
    if len(own.code_shape) == 2:
        token = torch.zeros_like(own.mean_code)
        token[:, knob] = 1.0
        return [own.mean_code.lerp(token, share) for share in SHARES]
    move = torch.zeros_like(own.mean_code)
    move[knob] = own.code_sd[knob]
    return [own.mean_code + setting * move for setting in SETTINGS]


def _speak(
    synthesizer: Synthesizer, own: Style, texts: Sequence[str], code: Tensor, speaker: str | None
) -> list[Speech]:
    latent: Latent = own.by_hand(code.expand(len(texts), *own.code_shape))
    return synthesizer.synthesize(texts, seed=0, latent=latent, speaker=speaker)


def measured(waveforms: Sequence[Tensor], sample_rate: int) -> np.ndarray:
    """Measure the prosody of waveforms, each (samples,): an array (items, 4).

    The columns are F0 (median, in semitones above 100 Hz), F0 spread (standard deviation in
    semitones), energy (mean in dB) and rate. Rate is log2 of 1 / duration, in seconds from the
    first to the last active frame: one octave more is half the duration. A value that is undefined,
    such as the F0 of whispering, is NaN.
    """
    rows = []
    for waveform in waveforms:
        long = lengthened(waveform, sample_rate)
        found = summary(prosody(long.unsqueeze(0), sample_rate))
        rows.append(torch.cat(found).double().numpy())
    return np.array(rows)


def lengthened(waveform: Tensor, sample_rate: int) -> Tensor:
    """Pad a waveform (samples,) shorter than 0.2 s with silence, so that F0 can be measured."""
    return F.pad(waveform, (0, max(0, int(_SHORTEST * sample_rate) - len(waveform))))


def _mean(take: Sequence[Speech]) -> np.ndarray:
    """Mean over texts; NaN if no text has a defined value."""
    values = measured([speech.waveform for speech in take], take[0].sample_rate)
    defined = np.isfinite(values)
    total = np.where(defined, values, 0).sum(0)
    return np.where(defined.any(0), total / np.maximum(defined.sum(0), 1), np.nan)


def _wer(judge: Judge | None, texts: Sequence[str], takes: Sequence[Sequence[Speech]]) -> Any:
    if judge is None:
        return None
    speech = [item for take in takes for item in take]
    waveforms = [item.waveform for item in speech]
    return judge.judge(list(texts) * len(takes), waveforms, speech[0].sample_rate).wer


def _knob(sweep: Sweep) -> dict[str, Any]:
    results, moved = {}, False
    for i, key in enumerate(UNITS):
        values = sweep.values[:, i]
        if key == "rate":
            values = 100 * np.exp2(values - values[0])  # octaves to per cent of the first
        defined = values[np.isfinite(values)]
        moved |= len(defined) > 1 and float(np.ptp(defined)) >= LEAST[key]
        results[key] = _change(values)
    return {"name": sweep.name, **results, "wer": sweep.wer, "dead": not moved}


def _change(values: np.ndarray) -> dict[str, float | None]:
    if not np.isfinite(values).all():
        return {"change": None, "monotone": None}
    change = float(values[-1] - values[0])
    if np.ptp(values) == 0:
        return {"change": change, "monotone": 0.0}
    monotone = float(spearmanr(range(len(values)), values).statistic)
    return {"change": change, "monotone": 0.0 if math.isnan(monotone) else monotone}
