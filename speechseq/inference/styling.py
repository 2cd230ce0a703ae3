"""Styles and speakers of texts to be synthesised, one per text even if it is spoken in pieces."""

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from speechseq.audio.mel import AudioConfig, log_mel
from speechseq.errors import ConfigError, DataError
from speechseq.inference.audio_input import Sound, read_sound
from speechseq.inference.speech import Reading
from speechseq.models import conditioning
from speechseq.models.style.latent import Latent
from speechseq.models.tacotron import Tacotron
from speechseq.nn.eval_mode import evaluating

LONGEST_REFERENCE = 60.0  # seconds of speech that a style is inferred from


def styled(
    model: Tacotron, readings: list[list[Reading]], latent: Latent | None, speaker: str | None
) -> list[list[Reading]]:
    """Add a style and a speaker to readings (prepared texts), the same for all pieces of a text.

    Args:
        model: the synthesiser's model.
        readings: pieces of each text.
        latent: one style per text; None for the default style.
        speaker: name of the speaker of all texts; None for a model of one voice.

    Raises:
        ConfigError: the model has no style or not this speaker, or the number of styles is not that
            of the texts.
    """
    latent = conditioning.checked_latent(model.style, latent, len(readings))
    one = speaker_id(model, speaker)
    rows = [None if latent is None else latent.row(i) for i in range(len(readings))]
    return [
        [dataclasses.replace(piece, latent=row, speaker=one) for piece in pieces]
        for pieces, row in zip(readings, rows, strict=True)
    ]


def speaker_id(model: Tacotron, speaker: str | None) -> int | None:
    """Return the id of a speaker, given by name; None for a model of one voice.

    Raises:
        ConfigError: the speaker is unknown, or None for a model with several speakers, or given
            for a model of one voice.
    """
    if model.speakers is None:
        if speaker is not None:
            raise ConfigError("speaker: the model has one voice", "leave the speaker out")
        return None
    config = model.speakers.config
    if speaker is None and len(config.names) > 1:
        names = ", ".join(config.names[:20])
        raise ConfigError("speaker: the model has several and none is given", f"one of: {names}")
    return 0 if speaker is None else config.index(speaker)


def stacked(readings: Sequence[Reading]) -> tuple[Latent | None, Tensor | None]:
    """Make a batch of the styles and of the speaker ids (batch) of readings (prepared texts).

    Each of the two results is None if the readings have none.
    """
    latents = [reading.latent for reading in readings if reading.latent is not None]
    ids = [reading.speaker for reading in readings if reading.speaker is not None]
    return _stacked(latents) if latents else None, torch.tensor(ids) if ids else None


@torch.no_grad()
def encode_references(
    model: Tacotron, audio: AudioConfig, sounds: Sequence[Sound], seed: int | None
) -> Latent:
    """Infer one style from each reference, a sound file or a pair (waveform, sample rate).

    Args:
        model: model with a style.
        audio: the model's audio settings.
        sounds: references, at most 60 seconds each.
        seed: seed of a draw from the style's posterior; None takes the posterior's mean.

    Raises:
        ConfigError: the model has no style.
        DataError: a reference is not sound, is silent, or is shorter than a frame.
    """
    style, device = conditioning.own_style(model.style), next(model.parameters()).device
    latents = []
    with evaluating(model):
        for sound in sounds:
            waveform = read_sound(sound, audio, LONGEST_REFERENCE)
            if not bool(waveform.any()):
                raise DataError("the reference is silent", "name a recording of speech")
            mel = log_mel(waveform.to(device), audio)
            length = torch.tensor([mel.shape[1]], device=device)
            latents.append(style.encode(model.inward(mel), length, seed=seed))
    return _stacked(latents)


def _stacked(latents: Sequence[Latent]) -> Latent:
    return Latent(
        torch.cat([x.code for x in latents]), torch.cat([x.vector for x in latents]), None
    )
