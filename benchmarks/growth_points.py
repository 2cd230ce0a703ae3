"""Points at which growth is measured: work of a Tacotron 2, with one number varied at a time."""

import dataclasses
import resource
import statistics
import time
from typing import NamedTuple

import torch
from contract import Step
from growth_work import Shape, Work, free_running, teacher_forced
from noise import MELS, SYMBOLS, Sizes, speech
from rows.speak_tacotron import Texts, decoder_steps
from updates import trainers_update

from speechseq.batch import TTSBatch
from speechseq.models.decoder_stack import LSTMStackConfig
from speechseq.models.encoders import ConvEncoderConfig
from speechseq.models.losses import TacotronLoss, TacotronLossConfig
from speechseq.models.postnets import ConvPostnetConfig
from speechseq.models.tacotron import Tacotron, TacotronConfig, tacotron2

FILL = 1.5  # seconds: a short step is repeated for this long, at most MOST times
MOST = 5
TO_SPEAK = {"float32": "float32", "bf16": "bfloat16", "int8": "int8"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Point:
    """Point to measure: `axis` names the varied number, `work` is "train" or "speak".

    `width` is the scale of all layers, 1 for the full size; `frames` is the length of each
    utterance, without padding.
    """

    axis: str
    work: str = "train"
    batch: int = 8
    frames: int = 400
    tokens: int = 100
    reduction_factor: int = 1
    width: float = 1.0
    threads: int = 2
    precision: str = "float32"

    @property
    def value(self) -> float:
        """Value of the varied number."""
        return getattr(self, self.axis)

    @property
    def name(self) -> str:
        """Description of the point, the varied number first."""
        return (
            f"{self.work}, {self.axis} {self.value:g}, {self.precision} (batch {self.batch}, "
            f"{self.frames} frames, r {self.reduction_factor}, width {self.width:g}, "
            f"{self.threads} threads)"
        )


class Ran(NamedTuple):
    """Measurement: seconds of each repetition, peak memory above the libraries', and the work.

    `items` is the number of items in one repetition: 1 update, or the number of decoder steps.
    """

    seconds: list[float]
    gigabytes: float
    work: Work
    items: int

    @property
    def each(self) -> float:
        """Median of the seconds per item."""
        return statistics.median(self.seconds) / self.items


class Found(NamedTuple):
    """Result for a point: seconds per item, gigabytes, and the seconds of the limit."""

    point: Point
    seconds: float
    gigabytes: float
    limit: float

    @property
    def share(self) -> float:
        """Share of the machine's limit that was reached."""
        return self.limit / self.seconds


def points(quick: bool, threads: int) -> list[Point]:
    """Return all points, with `threads` threads unless varied; `quick` gives few and small ones."""
    frames = 100 if quick else 400
    base = Point(axis="batch", frames=frames, threads=threads)

    def varied(axis: str, values: list, **fixed: object) -> list[Point]:
        return [dataclasses.replace(base, axis=axis, **fixed, **{axis: v}) for v in values]

    batches = [1, 8] if quick else [1, 2, 4, 8, 16, 32, 64]
    spoken = {"work": "speak", "frames": 50 if quick else 300}
    return [
        *varied("batch", batches, frames=frames // 2),
        *varied("batch", batches[1::2], frames=frames // 2, precision="bf16"),
        *varied("frames", [50, 100] if quick else [200, 500, 1000, 2000, 4000], batch=2),
        *varied("reduction_factor", [1, 5] if quick else [1, 2, 3, 5]),
        *varied("width", [0.25, 1.0] if quick else [0.25, 0.5, 0.75, 1.0]),
        *varied("threads", sorted({1, threads})),
        *(p for kind in TO_SPEAK for p in varied("batch", batches, precision=kind, **spoken)),
    ]


def run(point: Point) -> Ran:
    """Measure a point, in a fresh process."""
    torch.set_num_threads(point.threads)
    torch.manual_seed(0)
    before = _peak()
    model = sized(point.width, point.reduction_factor).build(symbols=SYMBOLS, mels=MELS)
    r = point.reduction_factor
    shape = Shape(point.batch, point.tokens, -(-point.frames // r), r)
    if point.work == "train":
        work, items = teacher_forced(model, shape, point.precision), 1
        _training(model, point, frames=20)()  # warm-up, with less memory than the measured step
        step = _training(model, point, point.frames)
    else:
        work, items = free_running(model, shape, point.precision), shape.steps
        step = _speaking(point)
        step()
    seconds: list[float] = []
    while not seconds or (sum(seconds) < FILL and len(seconds) < MOST):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return Ran(seconds, _peak() - before, work, items)


def sized(width: float, reduction_factor: int) -> TacotronConfig:
    """Return a Tacotron 2 with all layers scaled by `width`."""

    def scaled(size: int) -> int:
        return max(8, int(size * width))

    plain = tacotron2(reduction_factor=reduction_factor)
    return dataclasses.replace(
        plain,
        encoder=ConvEncoderConfig(
            embedding=scaled(512), channels=scaled(512), lstm=scaled(256), dropout=0.5
        ),
        decoder=dataclasses.replace(
            plain.decoder,
            prenet=(scaled(256), scaled(256)),
            attention_rnn_dim=scaled(1024),
            stack=LSTMStackConfig(layers=1, dim=scaled(1024), dropout=0.1),
        ),
        postnet=ConvPostnetConfig(layers=5, channels=scaled(512), kernel=5, dropout=0.5),
    )


def _training(model: Tacotron, point: Point, frames: int) -> Step:
    """Training update on rows of equal length."""
    device, tokens = torch.device("cpu"), (point.tokens, point.tokens)
    batch = TTSBatch(**speech(Sizes(point.batch, tokens, (frames, frames)))._asdict())
    loss, bf16 = TacotronLoss(TacotronLossConfig()), point.precision == "bf16"
    return trainers_update(model, loss, batch, device, lambda out: out.mel_after, bf16=bf16)


def _speaking(point: Point) -> Step:
    """Decoder steps of a full-size model that never stops."""
    tokens = torch.randint(1, SYMBOLS, (point.batch, point.tokens))
    texts = Texts(tokens, torch.full((point.batch,), point.tokens), point.frames)
    return decoder_steps(TO_SPEAK[point.precision])(texts, torch.device("cpu"))


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
