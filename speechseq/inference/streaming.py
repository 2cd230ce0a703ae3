"""Streaming synthesis: chunks of sound while the decoder runs."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from speechseq.inference import styling
from speechseq.inference.speech import Reading
from speechseq.inference.vocoding import StreamVocoder, check_finite
from speechseq.models.decoder_steps import Steering
from speechseq.models.streaming import MelStream
from speechseq.models.tacotron import Tacotron
from speechseq.shapes import Mel, Waveform

_FIRST = 16  # frames of the first chunk; the next ones double, so that sound begins early


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chunk:
    """Part of streamed speech, yielded by `Synthesizer.stream`; the parts joined are the speech.

    Attributes:
        waveform: (samples,) float32 in [-1, 1]. The pause after a piece of a long text is at the
            end of the piece's last chunk.
        mel: (frames, mels), without frames for pauses.
        finished_reason: "stop", "attention_end" or "limit" (see `Speech`) in the last chunk of a
            piece, None in others.
    """

    waveform: Float[Tensor, " samples"]
    mel: Float[Tensor, "frames mels"]
    finished_reason: str | None = None


def chunk_sizes(most: int) -> Iterator[int]:
    """Yield numbers of frames of successive chunks, without end: they double up to a maximum.

    The first chunk is small, so that sound begins early.

    Args:
        most: maximum number of frames.
    """
    size = min(_FIRST, most)
    while True:
        yield size
        size = min(2 * size, most)


def stream_readings(
    model: Tacotron,
    readings: Sequence[Reading],
    vocoder: Callable[[], StreamVocoder],
    chunk_frames: int,
    precision: str,
    seed: int,
    max_steps: int | None,
    steering: Steering,
) -> Iterator[Chunk]:
    """Yield the chunks of a text that was split into pieces, one piece after another.

    Args:
        model: the synthesiser's model.
        readings: the pieces, prepared for the model.
        vocoder: function that makes a new vocoder for each piece.
        chunk_frames: maximum number of frames of a chunk.
        precision: precision of the decoder's weights, see `Tacotron.generate`.
        seed: seed of the pre-net's dropout.
        max_steps: maximum number of decoder steps of a piece; None for the model's own limit.
        steering: window and speed of the attention.
    """
    device = next(model.parameters()).device
    for reading in readings:
        latent, speaker = styling.stacked([reading])
        mels = MelStream(
            model,
            torch.tensor([reading.ids], device=device),
            torch.tensor([len(reading.ids)], device=device),
            seed=seed,
            max_steps=max_steps,
            precision=precision,
            latent=latent,
            speaker=speaker if speaker is None else speaker.to(device),
            steering=steering,
        )
        yield from chunks(reading, mels, vocoder(), chunk_frames)


def chunks(
    reading: Reading, mels: MelStream, vocoder: StreamVocoder, chunk_frames: int
) -> Iterator[Chunk]:
    """Yield the chunks of one piece of a text.

    Sound above full scale is turned down, from the chunk in which it first occurs to the end of the
    piece; the whole piece cannot be scaled when parts of it have been yielded already.

    Args:
        reading: the piece, prepared for the model.
        mels: its mel, which the decoder makes while it is read.
        vocoder: a new vocoder.
        chunk_frames: maximum number of frames of a chunk.

    Raises:
        CheckpointError: the model's mel has NaN or Inf; earlier chunks have been given.
    """
    audio, level, held = vocoder.audio, _Level(), None
    for number, size in enumerate(chunk_sizes(chunk_frames)):
        mel, reason = mels.read(size + (0 if number else vocoder.look_ahead))
        check_finite(mel, [reading.text])
        waveform = vocoder.add(mel, last=reason is not None)
        held = mel if held is None else torch.cat([held, mel], dim=1)
        waveform = level.scaled(waveform.float().cpu())
        if reason is not None:
            pause = round(reading.pause * audio.sample_rate)
            yield from _last(F.pad(waveform, (0, pause)), held, reason, chunk_frames, audio.hop)
            return
        frames = waveform.shape[1] // audio.hop
        if frames:
            yield Chunk(waveform=waveform[0], mel=held[0, :frames].float().cpu())
            held = held[:, frames:]


def _last(
    waveform: Waveform, mel: Mel, reason: str, chunk_frames: int, hop: int
) -> Iterator[Chunk]:
    """The chunks of all that is left of a piece."""
    count = mel.shape[1]
    for begin in range(0, count, chunk_frames):
        end = begin + chunk_frames
        final = end >= count
        yield Chunk(
            waveform=waveform[0, begin * hop : None if final else end * hop],
            mel=mel[0, begin:end].float().cpu(),
            finished_reason=reason if final else None,
        )


class _Level:
    """Gain of a piece of speech, 1 until the sound exceeds full scale; it only falls."""

    def __init__(self) -> None:
        self.gain = 1.0

    def scaled(self, waveform: Waveform) -> Waveform:
        """Apply the gain, which slides to its new value until the first sample that is too loud."""
        loud = (waveform[0].abs() * self.gain > 1).nonzero()
        if not len(loud):
            return waveform * self.gain
        first, gain = int(loud[0]), 1 / float(waveform.abs().max())
        slide = torch.linspace(self.gain, gain, first + 2)[1:].clamp(min=gain)
        self.gain = gain
        return waveform * F.pad(slide, (0, waveform.shape[1] - first - 1), value=gain)
