"""Free-running Tacotron 2: 100 symbols to a fixed number of decoder steps, without a stop."""

import dataclasses
from typing import NamedTuple

import torch
from contract import Aim, Contender, Make, Row, Step
from noise import MELS, SYMBOLS
from torch import Tensor

from speechseq.models.frame_decoder import FrameDecoder
from speechseq.models.generation import free_run
from speechseq.models.streaming import MelStream
from speechseq.models.tacotron import Tacotron, TacotronConfig, tacotron2, tacotron2_small
from speechseq.nn.prenet import UtteranceNoise
from speechseq.shapes import Encoded

LONG = 10**6
SYMBOLS_EACH = 100
FIRST_FRAMES = 16
WINDOW = 4  # positions ahead


class Texts(NamedTuple):
    """Texts: tokens (batch, 100), their lengths, and the number of decoder steps for each."""

    tokens: Tensor
    token_lengths: Tensor
    steps: int


def texts(sizes: tuple[int, int]) -> Texts:
    """Draw random texts; sizes are batch and steps."""
    batch, steps = sizes
    tokens = torch.randint(1, SYMBOLS, (batch, SYMBOLS_EACH))
    return Texts(tokens, torch.full((batch,), SYMBOLS_EACH), steps)


def speaker(device: torch.device, config: TacotronConfig | None = None) -> Tacotron:
    """Build a model, of full size by default, that never stops by itself."""
    config = config or tacotron2()
    endless = dataclasses.replace(config.decoder, attention_end_steps=LONG)
    model = dataclasses.replace(config, decoder=endless).build(symbols=SYMBOLS, mels=MELS)
    with torch.no_grad():
        model.decoder.stop.bias.fill_(-1e4)
    return model.eval().to(device)


def looping(
    decoder: FrameDecoder, encoded: Encoded, steps: int, precision: str = "float32"
) -> Step:
    """Decoder loop alone, for a number of steps on each row of a memory."""
    config, device, batch = decoder.config, encoded.memory.device, len(encoded.memory)
    limits = torch.full((batch,), steps, device=device)

    @torch.inference_mode()
    def step() -> Tensor:
        noise = UtteranceNoise([0] * batch, config.prenet, config.prenet_dropout, device)
        return free_run(decoder, encoded, limits, noise, precision=precision).mel

    return step


def decoder_steps(precision: str) -> Make:
    """Decoder loop alone, with weights of this precision; the memory is computed before."""

    def make(data: Texts, device: torch.device) -> Step:
        model = speaker(device)
        with torch.inference_mode():
            encoded = model.encoder(data.tokens, data.token_lengths)
        return looping(model.decoder, encoded, data.steps, precision)

    return make


def whole(precision: str) -> Make:
    """Encoder, decoder and post-net: text to mel."""

    def make(data: Texts, device: torch.device) -> Step:
        model = speaker(device)
        tokens, lengths, steps = data

        def step() -> Tensor:
            made = model.generate(tokens, lengths, seed=0, max_steps=steps, precision=precision)
            return made.mel_after

        return step

    return make


def first_frames(data: Texts, device: torch.device) -> Step:
    """First frames after the post-net of a stream, with which a vocoder can begin."""
    model = speaker(device)
    tokens, lengths, steps = data

    def step() -> Tensor:
        stream = MelStream(model, tokens, lengths, seed=0, max_steps=steps)
        return stream.read(FIRST_FRAMES).mel

    return step


def windowed(data: Texts, device: torch.device) -> Step:
    """Text to mel through an attention window, as in safe synthesis, with a small model."""
    model = speaker(device, tacotron2_small(reduction_factor=4))
    tokens, lengths, steps = data

    def step() -> Tensor:
        made = model.generate(tokens, lengths, seed=0, max_steps=steps, window=WINDOW)
        return made.mel_after

    return step


def row(batch: int, aims: dict[str, Aim]) -> Row:
    """Row for decoder steps of `batch` utterances at once, in the precisions that have aims."""
    return Row(
        name=f"speak-tacotron-{batch}",
        work="decoder steps of a Tacotron 2",
        about="free-running Tacotron 2, decoder, batch {0}, 100 symbols, {1} steps",
        threads=2,
        sizes={"toy": (batch, 3), "quick": (batch, 500), "full": (batch, 500)},
        data=texts,
        ours=[
            Contender(name=name, make=decoder_steps(name), aims={"torchaudio": aim})
            for name, aim in aims.items()
        ],
        item="step",
        items=lambda sizes: sizes[1],
        devices=("cpu", "cuda"),
    )


ROWS = (
    row(1, {"float32": Aim(speed=4.0), "bfloat16": Aim(speed=7.5), "int8": Aim(speed=10.0)}),
    row(8, {"float32": Aim(speed=3.5), "bfloat16": Aim(speed=6.0), "int8": Aim()}),
    Row(
        name="text-to-mel",
        work="text to mel with a Tacotron 2",
        about="text to mel, Tacotron 2, encoder and post-net too, 100 symbols, {1} steps",
        threads=2,
        sizes={"toy": (1, 3), "quick": (1, 500), "full": (1, 500)},
        data=texts,
        ours=[Contender(name=name, make=whole(name)) for name in ("float32", "bfloat16", "int8")],
        item="utterance",
        items=lambda sizes: sizes[0],
        devices=("cpu", "cuda"),
    ),
    Row(
        name="first-frames",
        work="first frames of a text with a Tacotron 2",
        about="first 16 frames of a Tacotron 2, of 100 symbols in {1} steps",
        threads=2,
        sizes={"toy": (1, 20), "quick": (1, 500), "full": (1, 500)},
        data=texts,
        ours=[Contender(name="stream", make=first_frames, aims={"at once": Aim(speed=5.0)})],
        item="utterance",
        items=lambda sizes: sizes[0],
    ),
    Row(
        name="speak-window",
        work="text to mel with a small Tacotron 2 and an attention window",
        about="text to mel, small Tacotron 2, r = 4, attention window, 100 symbols, {1} steps",
        threads=1,
        sizes={"toy": (1, 3), "quick": (1, 200), "full": (1, 500)},
        data=texts,
        ours=[
            Contender(name="float32", make=windowed, aims={"torch operations only": Aim(speed=8.0)})
        ],
        item="step",
        items=lambda sizes: sizes[1],
    ),
)
