"""Training step of Tacotron 2 (r = 1, full size) and of Tacotron 1 (r = 5), on the same batch."""

import torch
from contract import Aim, Contender, Row, Step
from noise import MELS, SYMBOLS, Sizes, Speech, speech
from updates import trainers_update

from speechseq.batch import TTSBatch
from speechseq.models.losses import TacotronLoss, TacotronLossConfig
from speechseq.models.tacotron import tacotron1, tacotron2

BINS = 1025


def float32(data: Speech, device: torch.device) -> Step:
    """Training update of Tacotron 2 in float32."""
    return tacotron2_update(data, device, bf16=False)


def bf16(data: Speech, device: torch.device) -> Step:
    """Training update of Tacotron 2 under bfloat16 autocast."""
    return tacotron2_update(data, device, bf16=True)


def tacotron2_update(data: Speech, device: torch.device, *, bf16: bool) -> Step:
    """Training update of our Tacotron 2."""
    model = tacotron2().build(symbols=SYMBOLS, mels=MELS)
    loss, batch = TacotronLoss(TacotronLossConfig()), TTSBatch(**data._asdict())
    return trainers_update(model, loss, batch, device, lambda out: out.mel_after, bf16=bf16)


def first_tacotron(data: Speech, device: torch.device) -> Step:
    """Training update of our Tacotron 1, whose post-net also predicts the linear spectrum."""
    model = tacotron1(reduction_factor=5).build(symbols=SYMBOLS, mels=MELS, bins=BINS)
    linear = torch.randn(*data.mel.shape[:2], BINS, device=device) * 2 - 5
    batch = TTSBatch(**data._asdict(), log_magnitude=linear)
    made = data.mel.shape[1]
    loss = TacotronLoss(TacotronLossConfig(mse=0.0, l1=1.0))
    return trainers_update(model, loss, batch, device, lambda out: out.mel_before[:, :made])


ROWS = (
    Row(
        name="train-tacotron",
        work="update a Tacotron 2",
        about="training step, batch {0}, {1[0]} to {1[1]} symbols, {2[0]} to {2[1]} frames",
        threads=2,
        sizes={
            "toy": Sizes(2, (3, 5), (7, 11)),
            "quick": Sizes(16, (60, 140), (150, 400)),
            "full": Sizes(16, (60, 140), (300, 800)),
        },
        data=speech,
        ours=(
            Contender(
                name="Tacotron 2, float32",
                make=float32,
                aims={"torchaudio": Aim(speed=2.2, memory=0.55)},
            ),
            Contender(name="Tacotron 2, bf16", make=bf16, aims={"torchaudio": Aim(speed=3.5)}),
            Contender(
                name="Tacotron 1, r = 5",
                make=first_tacotron,
                aims={"torchaudio": Aim(seconds=1.2)},
            ),
        ),
        item="update",
        items=lambda sizes: 1,
        devices=("cpu", "cuda"),
    ),
)
