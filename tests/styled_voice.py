"""Small untrained voices with a style and two speakers, and checkpoints of them."""

import dataclasses
from pathlib import Path

import torch
from tiny_voice import AUDIO, MODEL, VOCABULARY

from speechseq import checkpoint
from speechseq.models.speakers import speakers
from speechseq.models.style import builders
from speechseq.models.style.reference import ReferenceConfig
from speechseq.models.style.style import StyleConfig

SMALL = ReferenceConfig(filters=(4, 4), gru=6)
STYLES: dict[str, StyleConfig | None] = {
    "vae": dataclasses.replace(builders.vae(dim=3, style_dim=6), reference=SMALL),
    "gst": dataclasses.replace(builders.gst(tokens=4, heads=2, style_dim=6), reference=SMALL),
    "none": None,
}


def save_styled(folder: Path, style: str) -> Path:
    """Save a checkpoint of a voice with this style whose default and spread are set."""
    config = dataclasses.replace(
        MODEL,
        style=STYLES[style],
        speakers=speakers(("anna", "boris")) if style != "none" else None,
    )
    torch.manual_seed(2)
    model = config.build(symbols=len(VOCABULARY), mels=AUDIO.mels)
    if model.style is not None:
        own = torch.rand(model.style.code_shape)
        own = own / own.sum(-1, keepdim=True) if own.dim() == 2 else own
        model.style.mean_code.copy_(own)
        model.style.code_sd.fill_(0.5)
    return checkpoint.save(
        folder,
        model=config,
        audio=AUDIO,
        vocabulary=VOCABULARY,
        weights=model.state_dict(),
        update=7,
    )
