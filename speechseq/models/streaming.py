"""Streaming of mels: the decoder runs a few steps at a time, the post-net follows it."""

import math
from collections.abc import Generator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from speechseq.errors import ConfigError
from speechseq.models import conditioning
from speechseq.models.decoder_steps import UNSTEERED, Steering
from speechseq.models.frame_decoder import FrameDecoder
from speechseq.models.generation import REASONS, kernel_run, torch_steps
from speechseq.models.postnets import OutputNet
from speechseq.models.run_inputs import RunInputs
from speechseq.models.speakers import Speaker
from speechseq.models.style.latent import Latent
from speechseq.models.tacotron import Tacotron
from speechseq.models.text_inputs import text_inputs
from speechseq.nn.eval_mode import evaluating
from speechseq.nn.frames import ungroup_frames
from speechseq.shapes import Lengths, Mel, Tokens


class _Block(NamedTuple):
    """Steps of a free run (1, steps, r * mels), and the reason of its end, or -1."""

    frames: Tensor
    ending: int


_NOTHING = _Block(torch.empty(1, 0, 0), -1)


class MelPart(NamedTuple):
    """Consecutive frames of a streamed mel.

    Attributes:
        mel: (1, frames, mels), log-mels after the post-net.
        finished_reason: None if more frames follow, else why speech ended: "stop" (stop
            probability), "attention_end" (attention stayed on the last symbol) or "limit" (the
            maximum number of steps).
    """

    mel: Mel
    finished_reason: str | None


class MelStream:
    """Mel of one text, read in parts while the decoder runs.

    Call `read` until its result has a `finished_reason`. All parts together are the `mel_after` of
    `Tacotron.generate` with the same arguments. The decoder only makes the frames that have been
    asked for and those that the post-net needs after them (its `reach`), rounded up to a whole
    block of steps.

    Args:
        model: Tacotron whose post-net can stream: it sees a bounded number of frames.
        tokens: (1, tokens), ids of the text's symbols.
        token_lengths: (1), number of valid tokens.
        seed: seed of the pre-net's dropout; None draws one.
        max_steps: maximum number of decoder steps, besides the model's own limit.
        precision: "float32", "bfloat16" or "int8" weights in the decoder's loop, on a CPU.
        latent: style, a batch of one; None for the default style.
        speaker: id of the speaker (1); None for a model of one voice.
        steering: window and speed of the attention.

    Raises:
        ConfigError: a frame after the post-net depends on all others (as in Tacotron), an argument
            has another shape or range, or the model lacks a style or speakers.
        DataError: the text is empty, or the vocabulary lacks a token.

    Examples:
        >>> from speechseq.models.tacotron import tacotron2_small
        >>> model = tacotron2_small().build(symbols=40, mels=80)
        >>> stream = MelStream(model, torch.tensor([[7, 8, 9, 1]]), torch.tensor([4]), seed=0)
        >>> stream.read(4).mel.shape
        torch.Size([1, 4, 80])
    """

    @torch.inference_mode()
    def __init__(
        self,
        model: Tacotron,
        tokens: Tokens,
        token_lengths: Lengths,
        *,
        seed: int | Sequence[int] | None = None,
        max_steps: int | None = None,
        precision: str = "float32",
        latent: Latent | None = None,
        speaker: Speaker | None = None,
        steering: Steering = UNSTEERED,
    ) -> None:
        self.model, self.refined = model, _Refined(model.postnet, check_streams(model))
        lengths = token_lengths, seed, max_steps, steering.length_scale
        texts = text_inputs(model.config.decoder, tokens, *lengths)
        decoder, limits, noise = model.decoder, texts.limits, texts.noise
        with evaluating(model):
            latent = conditioning.checked_latent(model.style, latent, 1)
            encoded = model.encode(texts.text(latent, speaker))
            inputs = RunInputs.checked(
                decoder.core.cell.context_dim, encoded, limits, noise, precision, None, steering
            )
            self.blocks = _blocks(decoder, inputs)
            next(self.blocks)
        self.finished_reason: str | None = None

    @torch.inference_mode()
    def read(self, frames: int) -> MelPart:
        """Return the next frames of the mel.

        Args:
            frames: number of frames to return; fewer are returned if speech ends before.

        Returns:
            Log-mels (1, frames, mels), and the reason for the end if these are the last.
        """
        r = self.model.config.decoder.reduction_factor
        with evaluating(self.model):
            while self.finished_reason is None and self.refined.ready < frames:
                missing = frames - self.refined.ready
                grouped, ending = self.blocks.send(math.ceil(missing / r))
                self.finished_reason = None if ending < 0 else REASONS[ending]
                self.refined.add(ungroup_frames(grouped, r), last=ending >= 0)
        mel = self.model.outward(self.refined.take(frames))
        left = self.finished_reason is None or self.refined.ready
        return MelPart(mel, None if left else self.finished_reason)


def check_streams(model: Tacotron) -> tuple[int, int]:
    """Return the `reach` of a model's post-net, or refuse a model that cannot be streamed.

    The reach is the numbers of frames before and after a frame that its result depends on.

    Args:
        model: the Tacotron to be streamed.

    Returns:
        Numbers of frames before and after a frame that its result depends on.

    Raises:
        ConfigError: a frame after the post-net depends on all frames, as in Tacotron, whose
            post-net is bidirectional.
    """
    reach = model.postnet.reach
    if reach is None:
        raise ConfigError(
            f"stream: the post-net {model.config.postnet.kind!r} reads an utterance to its end "
            "before it makes the first frame",
            "speak without a stream, or train a model with the post-net 'conv', such as tacotron2",
        )
    return reach


def _blocks(decoder: FrameDecoder, inputs: RunInputs) -> Generator[_Block, int, None]:
    """Iterate over the decoder's steps; each `send` asks for a number of further steps.

    At most as many are made, or one block of a CUDA graph. The first `next` makes none.
    """
    kernel = kernel_run(decoder, inputs)
    if kernel is None:
        yield from _torch_blocks(decoder, inputs)
        return
    steps = yield _NOTHING
    while True:
        before = kernel.step
        frames = kernel.advance(steps)[0]
        valid = int(kernel.step_lengths) - before
        steps = yield _Block(frames[:, :valid], int(kernel.ending))


def _torch_blocks(decoder: FrameDecoder, inputs: RunInputs) -> Generator[_Block, int, None]:
    found = torch_steps(decoder, inputs)
    steps, held = (yield _NOTHING), []
    for _, output, ended in found:
        held.append(output.frames[:, : int(ended.steps)])
        if (ending := int(ended.reason)) >= 0 or sum(x.shape[1] for x in held) >= steps:
            steps, held = (yield _Block(torch.cat(held, dim=1), ending)), []


class _Refined:
    """Frames of the decoder on their way through the post-net.

    Each call of the post-net sees the frames that are taken and its reach around them, so every
    frame is made as in a call with the whole mel.

    Attributes:
        ready: number of frames that can be taken.
    """

    def __init__(self, postnet: OutputNet, reach: tuple[int, int]) -> None:
        self.postnet = postnet
        self.before, self.after = reach
        self.held: Tensor | None = None  # (1, frames, mels)
        self.taken = self.ready = 0  # of the frames held

    def add(self, mel: Mel, last: bool) -> None:
        """Add frames of the decoder; after the `last` ones, no frame waits for others."""
        self.held = mel if self.held is None else torch.cat([self.held, mel], dim=1)
        self.ready = max(0, self.held.shape[1] - (0 if last else self.after) - self.taken)

    def take(self, frames: int) -> Mel:
        """Return the next frames after the post-net, (1, frames, mels)."""
        assert self.held is not None, "add frames first"
        begin, end = self.taken, self.taken + min(frames, self.ready)
        window = self.held[:, max(0, begin - self.before) : end + self.after]
        mask = torch.ones(window.shape[:2], dtype=torch.bool, device=window.device)
        first = min(begin, self.before)
        refined = self.postnet(window, mask).mel[:, first : first + end - begin]
        self.ready -= end - begin
        drop = max(0, end - self.before)
        self.held, self.taken = self.held[:, drop:], end - drop
        return refined
