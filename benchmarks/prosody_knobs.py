"""Effects of espeak's settings on measured prosody, with one varied and the rest unchanged.

    python benchmarks/prosody_knobs.py [--texts 2] [--voices 24] [--settings 7] [--seed 0]

Every text is spoken by every voice at evenly spaced values of one setting (a "knob"), from the
lowest to the highest of the corpus of known prosody, while the others are in the middle of their
range. The table has the mean change of each measure from the lowest to the highest value, and
Spearman's rank correlation of the setting with the mean over texts and voices. The last JSON line
also has the mean of the correlations of single sweeps ("rho_each").
"""

import argparse
import json
import tempfile
from pathlib import Path

import torch
from scipy.stats import spearmanr
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from speechseq.audio import wav
from speechseq.audio.prosody import prosody
from speechseq.audio.prosody_summary import Summary, summary
from speechseq.corpus import known_prosody, spoken_digits
from speechseq.corpus.espeak import ProsodyUtterance, speak

MEASURES = {"f0": "semitones", "spread": "semitones", "energy": "dB", "rate": "octaves"}
Effect = dict[str, float]


def main() -> None:
    """Print the table, then one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, default=2)
    parser.add_argument("--voices", type=int, default=24)
    parser.add_argument("--settings", type=int, default=7)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    texts = spoken_digits.texts(options.texts, options.seed, shortest=4)
    found = {
        knob: effect(knob, texts, known_prosody.VOICES[: options.voices], options.settings)
        for knob in known_prosody.FACTORS
    }
    print("knob    " + "".join(f"{f'{name}, {unit}':>26}" for name, unit in MEASURES.items()))
    for knob, measures in found.items():
        cells = (f"{m['change']:+.2f} (rho {m['rho']:+.3f})" for m in measures.values())
        print(f"{knob:8}" + "".join(f"{cell:>26}" for cell in cells))
    print(json.dumps(found))


def effect(
    knob: str, texts: list[str], voices: tuple[str, ...], settings: int
) -> dict[str, Effect]:
    """Measure mean change and rank correlations of each measure over the sweeps of one knob."""
    low, high = known_prosody.FACTORS[knob]
    values = [round(low + (high - low) * step / (settings - 1)) for step in range(settings)]
    middle = {name: sum(ends) // 2 for name, ends in known_prosody.FACTORS.items()}
    plan = [
        ProsodyUtterance(id=f"{i}-{j}-{k}", text=text, voice=voice, **(middle | {knob: value}))
        for i, text in enumerate(texts)
        for j, voice in enumerate(voices)
        for k, value in enumerate(values)
    ]
    found = _measured(plan)
    effects = {}
    for name in MEASURES:
        sweeps = getattr(found, name).view(-1, settings)
        each = [_rho(values, sweep) for sweep in sweeps.tolist()]
        change = (sweeps[:, -1] - sweeps[:, 0]).mean().item()
        effects[name] = {
            "change": change,
            "rho": _rho(values, sweeps.mean(0).tolist()),
            "rho_each": sum(each) / len(each),
        }
    return effects


def _rho(values: list[int], sweep: list[float]) -> float:
    """Spearman's correlation; 0 where the measure does not change at all."""
    return float(spearmanr(values, sweep).statistic) if len(set(sweep)) > 1 else 0.0


def _measured(plan: list[ProsodyUtterance]) -> Summary:
    with tempfile.TemporaryDirectory() as folder:
        cuts = speak(plan, Path(folder) / "said", margin=known_prosody.MARGIN)
        sounds = [wav.load(cut.recording.sources[0].source) for cut in cuts]
    waveforms: list[Tensor] = [waveform[0] for waveform, _ in sounds]
    lengths = torch.tensor([len(waveform) for waveform in waveforms])
    return summary(prosody(pad_sequence(waveforms, batch_first=True), sounds[0][1], lengths))


if __name__ == "__main__":
    main()
