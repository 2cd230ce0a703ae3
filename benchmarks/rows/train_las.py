"""Training step of a LAS: a BiLSTM of 256, three that halve the time, a speller of 2 × 512."""

import torch
from contract import Aim, Contender, Row, Step
from noise import Recordings, lengths
from updates import trainers_update

from speechseq.batch import ASRBatch
from speechseq.models.las import LASConfig
from speechseq.models.las_loss import LASLoss, LASLossConfig
from speechseq.models.listener import ListenerConfig
from speechseq.models.speller import SpellerConfig
from speechseq.nn.attention.location_sensitive import LocationSensitiveConfig

FEATURES, SYMBOLS = 80, 34
CONFIG = LASConfig(
    listener=ListenerConfig(hidden=256, base_layers=1, pyramid_layers=3),
    speller=SpellerConfig(
        embedding=128,
        layers=2,
        hidden=512,
        attention=LocationSensitiveConfig(dim=128, filters=10, kernel=101, history="previous"),
    ),
)


def recordings(sizes: tuple[int, int, int]) -> Recordings:
    """Draw features of half to all frames; sizes are batch, frames, and characters of each."""
    batch, frames, characters = sizes
    frame_lengths = lengths(batch, (frames // 2, frames))
    return Recordings(
        torch.randn(batch, frames, FEATURES),
        frame_lengths,
        torch.randint(4, SYMBOLS, (batch, characters)),
        torch.full((batch,), characters),
    )


def float32(data: Recordings, device: torch.device) -> Step:
    """Training update of our LAS in float32."""
    return las_update(data, device, bf16=False)


def bf16(data: Recordings, device: torch.device) -> Step:
    """Training update of our LAS under bfloat16 autocast."""
    return las_update(data, device, bf16=True)


def las_update(data: Recordings, device: torch.device, *, bf16: bool) -> Step:
    """Training update of our LAS."""
    model = CONFIG.build(symbols=SYMBOLS, features=FEATURES)
    loss, batch = LASLoss(LASLossConfig()), ASRBatch(**data._asdict())
    return trainers_update(model, loss, batch, device, lambda out: out.log_probs, bf16=bf16)


ROWS = (
    Row(
        name="train-las",
        work="update a LAS",
        about="training step, LAS, batch {0}, {1} frames, {2} characters",
        threads=1,
        sizes={"toy": (2, 16, 4), "quick": (16, 400, 50), "full": (16, 1200, 150)},
        data=recordings,
        ours=(
            Contender(
                name="float32",
                make=float32,
                aims={"plain torch, exact lengths": Aim(speed=2.0, seconds=6.0)},
            ),
            Contender(name="bf16", make=bf16),
        ),
        item="update",
        items=lambda sizes: 1,
        devices=("cpu", "cuda"),
    ),
)
