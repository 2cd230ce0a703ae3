"""Synthesised speech of a text, and joining of the pieces of a long text."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from speechseq.audio.mel import AudioConfig, samples_of
from speechseq.models.style.latent import Latent
from speechseq.models.tacotron_output import Generated
from speechseq.shapes import Waveform

_MOST_ALIGNED = 10_000_000  # elements of a joined alignment, 40 MB
_REASONS = ("limit", "attention_end", "stop")  # the first that any piece has counts for the text


@dataclasses.dataclass(frozen=True, kw_only=True)
class Speech:
    """Synthesised speech of one text, a result of `Synthesizer.synthesize`.

    Attributes:
        text: the text as given.
        normalized: the text normalised for the vocabulary.
        symbols: symbols of the text, one per memory position.
        waveform: (samples,) float32 in [-1, 1].
        sample_rate: samples per second of the waveform.
        mel: (frames, mels), log-mel.
        alignment: (steps, positions), attention weights of the decoder's steps.
        finished_reason: why it ended: "stop" (stop probability), "attention_end" (attention stayed
            on the last symbol) or "limit" (the maximum number of steps: speech may be cut off).
        pause: seconds of silence that follow, if the text is a piece of a longer one.
    """

    text: str
    normalized: str
    symbols: tuple[str, ...]
    waveform: Float[Tensor, " samples"]
    sample_rate: int
    mel: Float[Tensor, "frames mels"]
    alignment: Float[Tensor, "steps positions"]
    finished_reason: str
    pause: float = 0.0

    @property
    def seconds(self) -> float:
        """Duration of the waveform in seconds, without the pause."""
        return len(self.waveform) / self.sample_rate

    def with_pause(self) -> Float[Tensor, " samples"]:
        """Return the waveform (samples,), followed by the silence of its `pause`."""
        return F.pad(self.waveform, (0, round(self.pause * self.sample_rate)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reading:
    """A text prepared for a synthesiser's model, as token ids; made by `TextReader`.

    Attributes:
        text: the text as given, which may be a piece of a longer one.
        normalized: the text normalised for the vocabulary.
        ids: token ids of the normalised text.
        pause: seconds of silence that follow it.
        latent: style of the speech, a batch of one; None for models without a style.
        speaker: id of the speaker; None for models without speakers.
    """

    text: str
    normalized: str
    ids: tuple[int, ...]
    pause: float = 0.0
    latent: Latent | None = None
    speaker: int | None = None


def speech(
    reading: Reading,
    symbols: tuple[str, ...],
    output: Generated,
    waveforms: Waveform,
    row: int,
    audio: AudioConfig,
) -> Speech:
    """Make the Speech of one text from a batch of a model's and a vocoder's output, unpadded.

    A waveform whose peak is above 1 is scaled down to 1.

    Args:
        reading: the text, as the model has read it.
        symbols: symbols of the text, one per token id.
        output: output of the model for the batch.
        waveforms: (batch, samples), output of the vocoder.
        row: index of the text in the batch.
        audio: the model's audio settings.
    """
    frames, steps = int(output.frame_lengths[row]), int(output.step_lengths[row])
    waveform = waveforms[row, : samples_of(frames, audio)].float().cpu()
    peak = float(waveform.abs().max()) if len(waveform) else 0.0
    return Speech(
        text=reading.text,
        normalized=reading.normalized,
        symbols=symbols,
        waveform=waveform / max(peak, 1.0),  # scaled down rather than clipped
        sample_rate=audio.sample_rate,
        mel=output.mel_after[row, :frames].float().cpu(),
        alignment=output.alignment[row, :steps, : len(reading.ids)].float().cpu(),
        finished_reason=output.finished_reason[row],
        pause=reading.pause,
    )


def joined(text: str, pieces: Sequence[Speech]) -> Speech:
    """Join the speech of the pieces of a long text into one Speech.

    The waveform includes the pauses; mel and alignment do not. The alignment (steps, positions) is
    block-diagonal: one block per piece, zeros elsewhere. Since its size grows with the square of
    the text's length, alignment and symbols are empty for a text of several pages.

    Args:
        text: the whole text.
        pieces: speech of its pieces; a single one is returned unchanged.
    """
    if len(pieces) == 1:
        return pieces[0]
    steps, positions = (sum(piece.alignment.shape[i] for piece in pieces) for i in (0, 1))
    aligned = pieces if steps * positions <= _MOST_ALIGNED else []
    return Speech(
        text=text,
        normalized=" ".join(piece.normalized for piece in pieces),
        symbols=tuple(symbol for piece in aligned for symbol in piece.symbols),
        waveform=torch.cat([piece.with_pause() for piece in pieces]),
        sample_rate=pieces[0].sample_rate,
        mel=torch.cat([piece.mel for piece in pieces]),
        alignment=torch.block_diag(*(piece.alignment for piece in aligned))
        if aligned
        else torch.zeros(0, 0),
        finished_reason=combined(piece.finished_reason for piece in pieces),
    )


def combined(reasons: Iterable[str]) -> str:
    """Return the worst of several finished reasons: "limit", else "attention_end", else "stop"."""
    found = set(reasons)
    return next(reason for reason in _REASONS if reason in found)


def batches(lengths: Sequence[int], most: int, budget: int) -> Iterator[list[int]]:
    """Iterate over batches of texts, each a list of consecutive indices.

    Args:
        lengths: number of symbols of each text.
        most: maximum number of texts of a batch.
        budget: maximum number of symbols of a batch, padding included; a longer text is a batch of
            its own.
    """
    held: list[int] = []
    longest = 0
    for place, length in enumerate(lengths):
        longest = max(longest, length)
        if held and (len(held) == most or longest * (len(held) + 1) > budget):
            yield held
            held, longest = [], length
        held.append(place)
    if held:
        yield held
