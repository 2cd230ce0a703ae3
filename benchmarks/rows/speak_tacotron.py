"""Tacotron 2 speaks freely: 100 symbols to so many decoder steps, none of which may be the last."""

import dataclasses
from typing import NamedTuple

import torch
from contract import Aim, Contender, Row, Step
from noise import MELS, SYMBOLS
from torch import Tensor

from speechseq.models.tacotron import Tacotron, tacotron2

LONG = 10**6
SYMBOLS_EACH = 100


class Texts(NamedTuple):
    """tokens (batch, 100) and their lengths, and how many steps to make of each."""

    tokens: Tensor
    token_lengths: Tensor
    steps: int


def texts(sizes: tuple[int, int]) -> Texts:
    """Random texts; sizes: batch and steps."""
    batch, steps = sizes
    tokens = torch.randint(1, SYMBOLS, (batch, SYMBOLS_EACH))
    return Texts(tokens, torch.full((batch,), SYMBOLS_EACH), steps)


def speaker(device: torch.device) -> Tacotron:
    """A full-size model that ends no utterance by itself."""
    config = tacotron2()
    endless = dataclasses.replace(config.decoder, attention_end_steps=LONG)
    model = dataclasses.replace(config, decoder=endless).build(symbols=SYMBOLS, mels=MELS)
    with torch.no_grad():
        model.decoder.stop.bias.fill_(-1e4)
    return model.eval().to(device)


def speak(data: Texts, device: torch.device) -> Step:
    """Encoder, decoder and post-net in float32."""
    model = speaker(device)

    def step() -> Tensor:
        return model.generate(
            data.tokens, data.token_lengths, seed=0, max_steps=data.steps
        ).mel_after

    return step


def row(batch: int, aims: dict[str, Aim]) -> Row:
    """The row for so many utterances at once."""
    return Row(
        name=f"speak-tacotron-{batch}",
        work="speak with a Tacotron 2",
        about=f"free-running Tacotron 2, batch {batch}, 100 symbols, 500 steps",
        threads=2,
        sizes={"toy": (batch, 3), "quick": (batch, 500), "full": (batch, 500)},
        data=texts,
        ours=[
            Contender(name=name, make=MAKES[name], aims={"torchaudio": aim})
            for name, aim in aims.items()
        ],
        item="step",
        items=lambda sizes: sizes[1],
        devices=("cpu", "cuda"),
    )


MAKES = {"float32": speak}
ROWS = (
    row(1, {"float32": Aim(speed=4.0)}),
    row(8, {"float32": Aim(speed=3.5)}),
)
