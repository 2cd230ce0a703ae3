"""Tacotron 2 of torchaudio, derived from NVIDIA's, with NVIDIA's unmasked loss."""

import warnings

import torch
from contract import Step
from noise import Speech
from rows.speak_tacotron import Texts
from torch import Tensor
from torch.nn import functional as F
from torchaudio.models import Tacotron2
from updates import plain_update

NAME = "torchaudio"


def update(data: Speech, device: torch.device) -> Step:
    """Return a step that makes one training update."""
    model, mel = Tacotron2(), data.mel.transpose(1, 2).contiguous()
    steps = torch.arange(mel.shape[2], device=device)
    stop = (steps >= (data.frame_lengths - 1).unsqueeze(1)).float()

    def forward() -> tuple[Tensor, Tensor]:
        before, after, gate, _ = model(data.tokens, data.token_lengths, mel, data.frame_lengths)
        mels = F.mse_loss(before, mel) + F.mse_loss(after, mel)
        return after.transpose(1, 2), mels + F.binary_cross_entropy_with_logits(gate, stop)

    return plain_update(model, forward, device)


def whole(data: Texts, device: torch.device) -> Step:
    """Return a step from text to mel by `infer`, with a stop threshold above all probabilities."""
    model = endless(data.steps, device)

    @torch.inference_mode()
    def step() -> Tensor:
        return model.infer(data.tokens, data.token_lengths)[0].transpose(1, 2)

    return step


def decoder_steps(data: Texts, device: torch.device) -> Step:
    """Return a step that runs the decoder's loop alone; the memory is computed before."""
    model = endless(data.steps, device)
    with torch.inference_mode():
        memory = model.encoder(model.embedding(data.tokens).transpose(1, 2), data.token_lengths)

    @torch.inference_mode()
    def step() -> Tensor:
        return model.decoder.infer(memory, data.token_lengths)[0].transpose(1, 2)

    return step


def endless(steps: int, device: torch.device) -> Tacotron2:
    """Build a model that runs a fixed number of steps and ignores its stop token."""
    warnings.filterwarnings("ignore", "Reached max decoder steps")
    return Tacotron2(decoder_max_step=steps, gate_threshold=1.0).eval().to(device)


STEPS = {
    "update a Tacotron 2": update,
    "decoder steps of a Tacotron 2": decoder_steps,
    "text to mel with a Tacotron 2": whole,
}
