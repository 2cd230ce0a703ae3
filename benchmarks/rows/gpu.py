"""Tacotron 2 on a GPU: step by step, with CUDA graphs, and with fused kernels in graphs.

Lengths are spread evenly, so that the number of frames in a batch is fixed. On a CPU (`--rehearse
--size toy`, to check that everything runs) no graph is captured, and the CPU's kernels replace the
fused ones; graph_check.py emulates the graphs there.
"""

from collections.abc import Mapping

import torch
from contract import Aim, Contender, Make, Needs, Row, Step
from growth_work import Shape, free_running, teacher_forced
from noise import MELS, SYMBOLS, Sizes, Speech
from rows.speak_tacotron import SYMBOLS_EACH, Texts, decoder_steps, looping, speaker, texts
from torch import Tensor
from updates import trainers_update

from speechseq.batch import TTSBatch
from speechseq.models.losses import TacotronLoss, TacotronLossConfig
from speechseq.models.tacotron import Tacotron, tacotron2
from speechseq.shapes import Encoded

WAYS: dict[str, Mapping[str, str]] = {
    "step by step": {"SPEECHSEQ_NATIVE": "0", "SPEECHSEQ_CUDA_GRAPHS": "0"},
    "graphs": {"SPEECHSEQ_NATIVE": "0", "SPEECHSEQ_CUDA_GRAPHS": "1"},
    "fused": {"SPEECHSEQ_NATIVE": "1", "SPEECHSEQ_CUDA_GRAPHS": "1"},
}
FRAME = 256 / 22050  # seconds per frame
DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16}
KEPT_IN = {"float32": "float32", "bf16": "bfloat16"}


def spread(sizes: Sizes) -> Speech:
    """Random texts and mels, with lengths evenly spaced from the maximum to the minimum."""
    tokens, frames = (_paces(sizes.batch, within) for within in (sizes.tokens, sizes.frames))
    return Speech(
        torch.randint(1, SYMBOLS, (sizes.batch, sizes.tokens[1])),
        tokens,
        torch.randn(sizes.batch, sizes.frames[1], MELS) * 2 - 5,
        frames,
    )


def _paces(batch: int, within: tuple[int, int]) -> Tensor:
    return torch.linspace(within[1], within[0], batch).round().long()


def warmed(step: Step) -> Step:
    """Run a step twice, so that its graph is captured and only replays are timed; return it."""
    for _ in range(2):
        step()
    return step


def update(r: int, precision: str) -> Make:
    """Return a maker of the training update."""

    def make(data: Speech, device: torch.device) -> Step:
        model = tacotron2(reduction_factor=r).build(symbols=SYMBOLS, mels=MELS)
        loss, batch = TacotronLoss(TacotronLossConfig()), TTSBatch(**data._asdict())
        made, bf16 = data.mel.shape[1], precision == "bf16"
        return warmed(
            trainers_update(model, loss, batch, device, lambda x: x.mel_after[:, :made], bf16=bf16)
        )

    return make


def torchs_steps(precision: str) -> Make:
    """Decoder loop alone, by torch; in bf16 the weights, activations and memory are bfloat16."""

    def make(data: Texts, device: torch.device) -> Step:
        model = speaker(device)
        with torch.inference_mode():
            memory, lengths = model.encoder(data.tokens, data.token_lengths)
        model.decoder.to(DTYPES[precision])
        encoded = Encoded(memory.to(DTYPES[precision]), lengths)
        return warmed(looping(model.decoder, encoded, data.steps))

    return make


def fused_steps(precision: str) -> Make:
    """Decoder loop alone, by the fused step; in bf16 only the weights are bfloat16."""
    make = decoder_steps(KEPT_IN[precision])
    return lambda data, device: warmed(make(data, device))


def _weightless(r: int) -> Tacotron:
    with torch.device("meta"):
        return tacotron2(reduction_factor=r).build(symbols=SYMBOLS, mels=MELS)


def training_needs(sizes: Sizes, r: int, precision: str) -> Needs:
    """Estimate the needs of a training step, with all utterances at the mean length."""
    tokens, frames = (sum(within) // 2 for within in (sizes.tokens, sizes.frames))
    shape = Shape(sizes.batch, tokens, -(-frames // r), r)
    return Needs(teacher_forced(_weightless(r), shape, precision), precision)


def speaking_needs(sizes: tuple[int, int], precision: str) -> Needs:
    """Estimate the needs of free-running decoder steps, which all read the weights."""
    shape = Shape(sizes[0], SYMBOLS_EACH, sizes[1], 1)
    return Needs(free_running(_weightless(1), shape, precision), precision)


def training(batch: int, precision: str) -> Row:
    """Row for a training update of `batch` utterances."""
    whole = Sizes(batch, (60, 140), (300, 800))
    aims = {1: Aim(speed=10.0), 2: Aim()}
    if precision == "bf16":
        aims = {1: Aim(speed=10.0, seconds=1 / 150_000), 2: Aim(speed=18.0)}
    return Row(
        name=f"gpu-train-{batch}-{precision}",
        work="update a Tacotron 2",
        about="training step, GPU, batch {0}, {1[0]} to {1[1]} symbols, {2[0]} to {2[1]} frames",
        threads=2,
        sizes={"toy": Sizes(2, (3, 5), (7, 11)), "quick": whole, "full": whole},
        data=spread,
        ours=[
            Contender(
                name=f"{precision}, r = {r}, {way}",
                make=update(r, precision),
                environment=environment,
                aims={"torchaudio": aims[r]} if way == "fused" else {},
                needs=lambda sizes, r=r: training_needs(sizes, r, precision),
            )
            for r in (1, 2)
            for way, environment in WAYS.items()
        ],
        item="frame",
        items=lambda sizes: int(_paces(sizes.batch, sizes.frames).sum()),
        devices=("cuda",),
        rate=("mel frames/s", 1.0),
    )


def speaking(batch: int, aim: Aim) -> Row:
    """Row for decoder steps of `batch` utterances at once."""
    return Row(
        name=f"gpu-speak-{batch}",
        work="decoder steps of a Tacotron 2",
        about="free-running Tacotron 2 on a GPU, decoder, batch {0}, 100 symbols, {1} steps",
        threads=2,
        sizes={"toy": (batch, 3), "quick": (batch, 500), "full": (batch, 500)},
        data=texts,
        ours=[
            Contender(
                name=f"{precision}, {way}",
                make=fused_steps(precision) if way == "fused" else torchs_steps(precision),
                environment=environment,
                aims={"torchaudio": aim} if way == "fused" else {},
                needs=lambda sizes, precision=precision: speaking_needs(sizes, precision),
            )
            for precision in DTYPES
            for way, environment in WAYS.items()
        ],
        item="step",
        items=lambda sizes: sizes[1],
        devices=("cuda",),
        rate=("× real time", batch * FRAME),
    )


ROWS = (
    *(training(batch, precision) for batch in (64, 128) for precision in DTYPES),
    speaking(1, Aim(seconds=30e-6)),
    speaking(32, Aim(seconds=32 * FRAME / 500)),
)
