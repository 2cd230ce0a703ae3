"""One training step of Tacotron 2 beside torchaudio's, step by step in turn, and peak memory.

    python benchmarks/train_step.py [--rounds 3] [--batch 16] [--threads 2] [--frames 300 800]

Each contender lives in a process of its own, so that peak memory is its own; a round asks each for
one step (forward, backward, clipping, Adam) on the same batch. Quote the ratio of the medians.
"""

import argparse
import platform
import sys
from collections.abc import Callable

import torch
from in_turn import compare, report, serve
from torch import Tensor, nn
from torch.nn import functional as F

CONTENDERS = ("speechseq", "torchaudio")


def main() -> None:
    """Run the rounds and print the table."""
    options = _options()
    if options.worker:
        return work(options)
    measured = compare([sys.executable, __file__, *sys.argv[1:]], CONTENDERS, options.rounds)
    title = (
        f"training step, Tacotron 2, batch {options.batch}, r = 1, float32, {options.threads} "
        f"threads, {options.rounds} rounds, seed {options.seed}, torch {torch.__version__}, "
        f"{platform.machine()}"
    )
    return report(title, *CONTENDERS, measured)


def work(options: argparse.Namespace) -> None:
    """Answer each line on standard input with one timed step."""
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    data = make_batch(options)
    make = {"speechseq": ours, "torchaudio": theirs}[options.worker]
    model, loss = make(data)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-6, fused=True)

    def step() -> None:
        loss().backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    serve(step)


def make_batch(options: argparse.Namespace) -> dict[str, Tensor]:
    """Random texts of 60–140 symbols and mels of the given range, the longest first."""
    token_lengths = torch.randint(60, 141, (options.batch,)).sort(descending=True).values
    low, high = options.frames
    frame_lengths = torch.randint(low, high + 1, (options.batch,))
    frame_lengths[0] = high
    return {
        "tokens": torch.randint(1, 148, (options.batch, int(token_lengths[0]))),
        "token_lengths": token_lengths,
        "mel": torch.randn(options.batch, high, 80) * 2 - 5,
        "frame_lengths": frame_lengths,
    }


def ours(data: dict[str, Tensor]) -> tuple[nn.Module, Callable[[], Tensor]]:
    """speechseq's model, and its loss on the batch."""
    from speechseq.batch import TTSBatch
    from speechseq.models.losses import TacotronLoss, TacotronLossConfig
    from speechseq.models.tacotron import tacotron2

    model = tacotron2().build(symbols=148, mels=80)
    batch, criterion = TTSBatch(**data), TacotronLoss(TacotronLossConfig())
    return model, lambda: criterion(model(batch), batch).total


def theirs(data: dict[str, Tensor]) -> tuple[nn.Module, Callable[[], Tensor]]:
    """torchaudio's model, and NVIDIA's unmasked loss on the batch."""
    from torchaudio.models import Tacotron2

    model = Tacotron2()
    mel = data["mel"].transpose(1, 2).contiguous()
    steps = torch.arange(mel.shape[2])
    stop = (steps >= (data["frame_lengths"] - 1).unsqueeze(1)).float()

    def loss() -> Tensor:
        before, after, gate, _ = model(
            data["tokens"], data["token_lengths"], mel, data["frame_lengths"]
        )
        mels = F.mse_loss(before, mel) + F.mse_loss(after, mel)
        return mels + F.binary_cross_entropy_with_logits(gate, stop)

    return model, loss


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--frames", type=int, nargs=2, default=(300, 800))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--worker", choices=CONTENDERS, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
