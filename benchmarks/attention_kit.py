"""Ablation of the attention's options on short and long strings, after Chorowski 2015.

    python benchmarks/attention_kit.py runs/content runs/location runs/smoothing

The arguments are runs of recipes/asr/spoken_digits.py, with equal corpus settings. Every model
transcribes the first run's test strings, of the usual and of ten times the length, with each
`ReadingConfig`, by greedy search without a language model. The table is printed, and written to the
first run's kit.json.
"""

import argparse
import json
from pathlib import Path

import torch

from speechseq.corpus.features import load_waveform
from speechseq.corpus.recording import spoken
from speechseq.evaluation.asr import Item, evaluate_asr
from speechseq.inference.search.greedy import Greedy
from speechseq.inference.transcriber import Transcriber
from speechseq.nn.attention.reading import ReadingConfig

READINGS = {
    "as trained": {},
    "sharpening 2": {"sharpening": 2.0},
    "keep top 5": {"keep_top": 5},
    "window ±40": {"window": 40},
    "window ±40, sharpening 2": {"window": 40, "sharpening": 2.0},
}


def items(corpus: Path, transcriber: Transcriber) -> list[Item]:
    """Utterances of a generated folder, with texts from its manifest."""
    manifest = json.loads((corpus / "manifest.json").read_text("utf-8"))
    found = []
    for utterance in manifest["utterances"]:
        name = utterance["id"]
        cut = spoken(corpus / "wavs" / f"{name}.wav", name, utterance["text"])
        found.append(Item(cut.supervisions[0].text, load_waveform(cut, transcriber.audio), name))
    return found


def main() -> None:
    """Transcribe, count errors and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    table = []
    for run in arguments.runs:
        transcriber = Transcriber.load(run)
        transcriber.longest_seconds = 120.0
        attention = transcriber.model.speller.core.attention
        trained = transcriber.model.config.speller.attention.reading.to_dict()
        tests = {n: items(arguments.runs[0] / "corpus" / n, transcriber) for n in ("short", "long")}
        for name, options in READINGS.items():
            attention.reading = ReadingConfig.from_dict(trained | options)
            wer = {
                n: evaluate_asr(transcriber, t, strategy=Greedy()).score.wer
                for n, t in tests.items()
            }
            table.append({"run": run.name, "reading": name, **wer})
            print(f"| {run.name} | {name} | {wer['short']:.2%} | {wer['long']:.2%} |", flush=True)
    (arguments.runs[0] / "kit.json").write_text(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
