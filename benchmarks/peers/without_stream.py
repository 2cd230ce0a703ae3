"""Our own Tacotron 2 without a stream: it makes the whole mel before its first frames are used."""

import torch
from contract import Step
from rows.speak_tacotron import FIRST_FRAMES, Texts, speaker
from torch import Tensor

NAME = "at once"


def first_frames(data: Texts, device: torch.device) -> Step:
    """Make a whole mel, and return its first frames."""
    model = speaker(device)
    tokens, lengths, steps = data

    def step() -> Tensor:
        made = model.generate(tokens, lengths, seed=0, max_steps=steps)
        return made.mel_after[:, :FIRST_FRAMES]

    return step


STEPS = {"first frames of a text with a Tacotron 2": first_frames}
