"""Peak memory and real-time factor of transcribing a long file in windows.

    python benchmarks/long_audio.py [--minutes 10] [--beam 8] [--window 20] [--threads 2]
    python benchmarks/long_audio.py --checkpoint RUN --wav long.wav

Without a checkpoint, an untrained `las_small` that cannot end early transcribes noise with the
rhythm of speech and emits 15 characters a second, about as many as in speech. Each length runs in
its own process, to measure its peak memory.
"""

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import torch

RATE = 16_000


def main() -> None:
    """Transcribe files of a tenth of the length and of the full length; print memory and time."""
    options = _options()
    if options.worker:
        return work(options)
    with tempfile.TemporaryDirectory() as folder:
        files = [options.wav] if options.wav else make_files(Path(folder), options.minutes)
        answers = [ask(path) for path in files]
    print(
        f"long audio, beam {options.beam}, windows of {options.window:g} s, {options.threads} "
        f"threads, torch {torch.__version__}, {platform.machine()}"
    )
    for answer in answers:
        print(
            f"  {answer['audio']:7.1f} s of sound   {answer['seconds']:7.1f} s   real-time factor "
            f"{answer['seconds'] / answer['audio']:.3f}   peak {answer['gigabytes']:.2f} GB   "
            f"{answer['words']} words"
        )
    print(json.dumps(answers))
    return None


def make_files(folder: Path, minutes: float) -> list[Path]:
    """Write two WAVs of noise with four swells a second and pauses, block by block."""
    draw, paths = np.random.default_rng(0), []
    for length in (minutes / 10, minutes):
        paths.append(folder / f"{length:g}.wav")
        with soundfile.SoundFile(paths[-1], "w", RATE, 1, "PCM_16") as file:
            for _ in range(round(60 * length)):
                swell = np.abs(np.sin(4 * np.pi * np.arange(RATE) / RATE)) ** 2
                level = 0.1 * (draw.random() > 0.2) + 0.001
                file.write(level * swell * draw.standard_normal(RATE))
    return paths


def ask(path: Path) -> dict[str, float]:
    """Measure time and memory for this file in a separate process."""
    command = [sys.executable, __file__, *sys.argv[1:], "--worker", str(path)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout))


def work(options: argparse.Namespace) -> None:
    """Transcribe one file and print its time and memory."""
    from speechseq.audio.mel import AudioConfig
    from speechseq.inference.long_audio import transcribe_long
    from speechseq.inference.search.beam import Beam
    from speechseq.inference.search.limits import LimitConfig
    from speechseq.inference.transcriber import Transcriber
    from speechseq.inference.windows import WindowConfig
    from speechseq.models.las import las_small
    from speechseq.text.vocabulary import CHARACTERS, EOS, Vocabulary

    torch.set_num_threads(options.threads)
    if options.checkpoint:
        transcriber = Transcriber.load(options.checkpoint)
    else:
        torch.manual_seed(0)
        vocabulary, audio = Vocabulary.transcripts(CHARACTERS), AudioConfig.preset("las")
        model = las_small().build(symbols=len(vocabulary), features=audio.features)
        with torch.no_grad():
            model.speller.symbols.bias[EOS] = -30.0
        transcriber = Transcriber(model.eval(), vocabulary, audio)
    search, windows = Beam(size=options.beam), WindowConfig.of(options.window)
    if not options.checkpoint:
        position = transcriber.model.reduction * transcriber.audio.hop / RATE
        search = Beam(size=options.beam, limit=LimitConfig(tokens_per_position=15 * position))
    start = time.perf_counter()
    read = transcribe_long(transcriber, options.worker, windows, strategy=search)
    taken = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    answer = {"audio": read.seconds, "seconds": taken, "gigabytes": peak, "words": len(read.words)}
    print(json.dumps(answer))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--beam", type=int, default=8)
    parser.add_argument("--window", type=float, default=20.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--wav", type=Path)
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
