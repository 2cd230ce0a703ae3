"""Training step of the demo's voice: the small Tacotron 2 of recipes/tts/spoken_digits.py."""

import runpy
from pathlib import Path

import torch
from contract import Aim, Contender, Row, Step
from noise import MELS, Sizes, Speech, speech
from updates import trainers_update

from speechseq.batch import TTSBatch
from speechseq.models.losses import TacotronLoss

RECIPE = Path(__file__).parents[2] / "recipes" / "tts" / "spoken_digits.py"
SYMBOLS = 20


def speak_digits(sizes: Sizes) -> Speech:
    """Random texts of the few symbols in spelled digits."""
    data = speech(sizes)
    return data._replace(tokens=data.tokens % (SYMBOLS - 1) + 1)


def float32(data: Speech, device: torch.device) -> Step:
    """Training update with the recipe's model and loss."""
    settings = runpy.run_path(str(RECIPE))["Settings"]()
    model = settings.model.build(symbols=SYMBOLS, mels=MELS)
    frames = data.mel.shape[1]
    return trainers_update(
        model,
        TacotronLoss(settings.loss),
        TTSBatch(**data._asdict()),
        device,
        lambda out: out.mel_after[:, :frames],
    )


USUAL = Sizes(17, (14, 26), (125, 165))  # a typical batch of the recipe: 2,500 frames
ROWS = (
    Row(
        name="train-demo-voice",
        work="update the demo's voice",
        about="training step, the demo's voice, r = 4, batch {0}, {2[0]} to {2[1]} frames",
        threads=1,
        sizes={"toy": Sizes(2, (3, 5), (7, 10)), "quick": USUAL, "full": USUAL},
        data=speak_digits,
        ours=(
            Contender(name="float32", make=float32, aims={"torch operations only": Aim(speed=2.0)}),
        ),
        item="update",
        items=lambda sizes: 1,
    ),
)
