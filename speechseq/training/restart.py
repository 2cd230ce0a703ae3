"""Restart of an attention whose alignment has collapsed: new random weights, the rest is kept."""

import torch
from torch import nn

from speechseq.models.tacotron import Tacotron
from speechseq.training.ema import EMA

RESTART = "restart"  # event in the log of a run: its alignment begins anew, and so its history
ATTENTION = "decoder.core.attention"


def restart_attention(model: nn.Module, optimizer: torch.optim.Optimizer, ema: EMA | None) -> bool:
    """Give a Tacotron's attention new random weights, and reset the optimizer's state for them.

    Encoder, decoder and post-net keep what they have learned. It is the cure of a collapsed
    alignment (`TrainerConfig.on_collapse`). The weights come from torch's global generator.

    Args:
        model: model in training.
        optimizer: its optimizer.
        ema: moving average of its weights, or None.

    Returns:
        False, and nothing is changed, if the model is no Tacotron or its attention is frozen.
    """
    if not isinstance(model, Tacotron):
        return False
    attention = model.get_submodule(ATTENTION)
    parameters = dict(attention.named_parameters(prefix=ATTENTION))
    if not any(parameter.requires_grad for parameter in parameters.values()):
        return False
    memory_dim = model.encoder.memory_dim if model.join is None else model.join.output_dim
    decoder = model.config.decoder
    fresh = decoder.attention.build(decoder.attention_rnn_dim, memory_dim)
    attention.load_state_dict(fresh.state_dict())
    for name, parameter in parameters.items():
        optimizer.state.pop(parameter, None)
        if ema is not None and name in ema.mean:
            ema.mean[name].copy_(parameter.detach())
    return True
