"""What rounding a trained voice's weights does to its mels and to what a judge hears.

    python benchmarks/precision.py RUN/checkpoints/last --root LJSpeech-1.1 [--dev 20 --test 20]

Every held-out utterance is fed to the decoder's packed loop frame by frame, without dropout, at
each precision; the mels behind the post-net are compared with those of float32: the error's norm
over the mel's own, and over what is left of it without its mean. Then the voice speaks the same
texts freely, with each of some seeds, and a recogniser judges them (extra `judge`).
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import torch
from lhotse import CutSet
from torch import Tensor

from speechseq.batch import TTSBatch
from speechseq.corpus import features, ljspeech
from speechseq.corpus.collate import TTSCollate
from speechseq.inference.judge import Judge
from speechseq.inference.synthesizer import Synthesizer
from speechseq.models.free_running import evaluating, free_run
from speechseq.models.packed_weights import PRECISIONS
from speechseq.models.tacotron import Tacotron
from speechseq.nn.frames import teacher_inputs
from speechseq.nn.masks import length_mask


def main() -> None:
    """Print a table, then one JSON line."""
    options = _options()
    torch.set_num_threads(options.threads)
    voice = Synthesizer.load(options.checkpoint)
    splits = ljspeech.read_split(options.root, dev=options.dev, test=options.test)
    with torch.inference_mode():
        made = {
            precision: torch.cat(list(_mels(voice, splits.dev, options.cache, precision)))
            for precision in PRECISIONS
        }
    true = made["float32"]
    texts = [cut.supervisions[0].text for cut in splits.dev][: options.judged]
    found = []
    for precision, mel in made.items():
        off = float((mel - true).norm())
        row = {
            "precision": precision,
            "frames": len(mel),
            "error": off / float(true.norm()),
            "centred_error": off / float((true - true.mean()).norm()),
            "wer": _judged(options.checkpoint, precision, texts, options.seeds),
        }
        print(
            f"{precision}: mel off by {row['error']:.3%} over {row['frames']} frames "
            f"({row['centred_error']:.3%} of what varies), judged WER {row['wer']}"
        )
        found.append(row)
    print(json.dumps(found))


def _mels(voice: Synthesizer, cuts: CutSet, cache: Path, precision: str) -> Iterator[Tensor]:
    """Of each utterance (frames, mels), teacher-forced."""
    model, audio = voice.model, voice.audio
    assert isinstance(model, Tacotron)
    collate = TTSCollate(voice.vocabulary, audio)
    with evaluating(model):
        for cut in features.compute(cuts, audio, cache):
            yield _forced(model, collate([cut]), precision)


def _forced(model: Tacotron, batch: TTSBatch, precision: str) -> Tensor:
    config = model.config
    r = config.decoder.reduction_factor
    fed = teacher_inputs((batch.mel - config.mel_mean) / config.mel_scale, r)
    encoded = model.encoder(batch.tokens, batch.token_lengths)
    steps = torch.tensor([fed.shape[1]])
    run = free_run(model.decoder, encoded, steps, None, precision=precision, fed=fed)
    after = model.postnet(run.mel, length_mask(steps * r)).mel
    return (after * config.mel_scale + config.mel_mean)[0, : int(batch.frame_lengths)]


def _judged(checkpoint: Path, precision: str, texts: list[str], seeds: int) -> list[float]:
    if not texts or not seeds:
        return []
    voice, judge = Synthesizer.load(checkpoint, precision=precision), Judge.sentences()
    rates = []
    for seed in range(seeds):
        spoken = [item.waveform for item in voice.synthesize(texts, seed=seed)]
        rates.append(round(judge.judge(texts, spoken, voice.audio.sample_rate).wer, 4))
    return rates


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument(
        "--root", type=Path, required=True, help="a folder laid out as LJSpeech-1.1"
    )
    parser.add_argument("--cache", type=Path, default=Path("data/cache"))
    parser.add_argument("--dev", type=int, default=100, help="as in the recipe that trained it")
    parser.add_argument("--test", type=int, default=500)
    parser.add_argument("--judged", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
