"""Effect of rounded weights on a trained voice: errors of mels, and word errors by a recogniser.

    python benchmarks/precision.py RUN/checkpoints/last --root LJSpeech-1.1 [--dev 20 --test 20]
    python benchmarks/precision.py RUN/checkpoints/last --root RUN/corpus --judge digits \\
        --judged 60 --seeds 0 1 2 3

The second form is for the demo's voice (recipes/tts/spoken_digits.py), with strings outside of the
training set, spoken by espeak. Every held-out utterance is run teacher-forced through the decoder's
C++ loop, without dropout, at each precision. The mels after the post-net are compared with those of
float32: the norm of the error, relative to the norm of the mel, with and without its mean. Then the
voice speaks the same texts with each of the seeds, and a recogniser transcribes them and the
recordings (extra `judge`).
"""

import argparse
import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import judged_voice
import torch
from lhotse import CutSet
from torch import Tensor

from speechseq.batch import TTSBatch
from speechseq.corpus import features, ljspeech
from speechseq.corpus.collate import TTSCollate
from speechseq.corpus.generated_folder import MANIFEST
from speechseq.evaluation.judge import Judge
from speechseq.inference.synthesizer import Synthesizer
from speechseq.models.generation import free_run
from speechseq.models.tacotron import Tacotron
from speechseq.nn.eval_mode import evaluating
from speechseq.nn.frames import teacher_inputs
from speechseq.nn.masks import length_mask
from speechseq.ops.quantize import PRECISIONS

EXACT = "float32"
JUDGES = {"digits": Judge.digits, "sentences": Judge.sentences}


def main() -> None:
    """Print a line for each precision, then one JSON line."""
    options = _options()
    torch.set_num_threads(options.threads)
    voice = Synthesizer.load(options.checkpoint)
    cuts = features.compute(_held_out(options), voice.audio, options.cache)
    found = mel_errors(voice, cuts)
    for precision, row in found.items():
        print(
            f"{precision}: mel off by {row['error']:.3%} over {row['frames']:,} frames "
            f"({row['centred_error']:.3%} of what varies)"
        )
    if options.judged and options.seeds:
        judge, some = JUDGES[options.judge](), cuts.subset(first=options.judged)
        print(f"recordings: {judged_voice.of_recordings(some, voice.audio, judge)}")
        scored = judged(voice, some, options.seeds, judge)
        found = {precision: row | scored[precision] for precision, row in found.items()}
    print(json.dumps(found))


def mel_errors(voice: Synthesizer, cuts: CutSet) -> dict[str, dict[str, Any]]:
    """Measure errors of teacher-forced mels relative to float32, by precision."""
    with torch.inference_mode(), evaluating(voice.model):
        made = {name: torch.cat(list(_mels(voice, cuts, name))) for name in PRECISIONS}
    true = made[EXACT]
    off = {name: float((mel - true).norm()) for name, mel in made.items()}
    whole, varying = float(true.norm()), float((true - true.mean()).norm())
    return {
        name: {
            "frames": len(true),
            "error": off[name] / whole,
            "centred_error": off[name] / varying,
        }
        for name in PRECISIONS
    }


def forced_mel(model: Tacotron, batch: TTSBatch, precision: str) -> Tensor:
    """Return the teacher-forced mel (frames, mels) of a batch of one, in this precision."""
    config = model.config
    r = config.decoder.reduction_factor
    fed = teacher_inputs((batch.mel - config.mel_mean) / config.mel_scale, r)
    encoded = model.encoder(batch.tokens, batch.token_lengths)
    steps = torch.tensor([fed.shape[1]])
    run = free_run(model.decoder, encoded, steps, None, precision=precision, fed=fed)
    after = model.postnet(run.mel, length_mask(steps * r)).mel
    return (after * config.mel_scale + config.mel_mean)[0, : int(batch.frame_lengths)]


def judged(
    voice: Synthesizer, cuts: CutSet, seeds: Sequence[int], judge: Judge
) -> dict[str, dict[str, Any]]:
    """Count word errors by a recogniser for each precision, and compare them with float32."""
    scored = {name: judged_voice.of_voice(voice, cuts, seeds, judge, name) for name in PRECISIONS}
    found = {}
    for precision, errors in scored.items():
        beside = errors.beside(scored[EXACT])
        found[precision] = errors.plain() | {"beside": dataclasses.asdict(beside)}
        low, high = beside.interval.low, beside.interval.high
        print(
            f"{precision}: {errors}; {beside.difference:+.2%} beside {EXACT} "
            f"({low:+.2%} to {high:+.2%} at {beside.interval.level:.0%}, p = {beside.p_value:.2f})"
        )
    return found


def _held_out(options: argparse.Namespace) -> CutSet:
    if options.judge == "digits":
        return judged_voice.unlearned_digits(options.root, options.judged)
    return ljspeech.read_split(options.root, dev=options.dev, test=options.test).dev


def _mels(voice: Synthesizer, cuts: CutSet, precision: str) -> Iterator[Tensor]:
    """Teacher-forced mels (frames, mels) of the utterances."""
    collate = TTSCollate(voice.vocabulary, voice.audio)
    for cut in cuts:
        yield forced_mel(voice.model, collate([cut]), precision)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument(
        "--root",
        type=Path,
        required=True,
        help="a folder laid out as LJSpeech-1.1, or the RUN/corpus of the demo's voice",
    )
    parser.add_argument(
        "--judge", choices=JUDGES, default="sentences", help="digits: strings of the demo's voice"
    )
    parser.add_argument("--cache", type=Path, default=Path("data/cache"))
    parser.add_argument("--dev", type=int, default=100, help="as in the recipe that trained it")
    parser.add_argument("--test", type=int, default=500)
    parser.add_argument("--judged", type=int, default=20, help="texts; of digits, strings made")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    if options.judge == "digits" and not (options.root / "train" / MANIFEST).is_file():
        parser.error(f"--root {options.root}: give the folder `corpus` of the demo's run")
    return options


if __name__ == "__main__":
    main()
