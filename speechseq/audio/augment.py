"""Augmentation: SpecAugment's masks and warps on features, changes of speed on waveforms."""

import dataclasses
from fractions import Fraction
from typing import Annotated

import torch
import torchaudio.functional
from jaxtyping import Bool, Float
from torch import Tensor

from speechseq.arguments import checked_lengths
from speechseq.audio.deltas import frames_at
from speechseq.config import Config
from speechseq.errors import ConfigError
from speechseq.ranges import Range, Share
from speechseq.shapes import FrameMask, Lengths, Mel, Waveform

Frames = Annotated[int, Range(0, 1_000_000)]
Masks = Annotated[int, Range(0, 100)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpecAugmentPolicy(Config):
    """How much SpecAugment hides; the defaults are Park's LD.

    Args:
        warp: how far in frames a frame is moved at most (W); 0 for none.
        band_width, band_masks: most bands of one mask (F), and how many masks (m_F).
        frame_width, frame_masks: most frames of one mask (T), and how many masks (m_T).
        frame_share: most of an utterance's frames that one mask takes, as a share (p).
    """

    warp: Frames = 80
    band_width: Frames = 27
    band_masks: Masks = 2
    frame_width: Frames = 100
    frame_share: Share = 1.0
    frame_masks: Masks = 2


# Park 2019, table 1: for LibriSpeech basic and double, for Switchboard mild and strong
POLICIES = {
    "LB": SpecAugmentPolicy(band_masks=1, frame_masks=1),
    "LD": SpecAugmentPolicy(),
    "SM": SpecAugmentPolicy(warp=40, band_width=15, frame_width=70, frame_share=0.2),
    "SS": SpecAugmentPolicy(warp=40, band_width=27, frame_width=70, frame_share=0.2),
}


def spec_augment(
    mel: Mel,
    frame_lengths: Lengths,
    policy: SpecAugmentPolicy,
    generator: torch.Generator | None = None,
    groups: int = 1,
    value: float | int | None = None,
) -> Mel:
    """Warp time, then hide bands and stretches of time: (batch, frames, mels) to the same shape.

    Each utterance draws its own within its own length, whatever the padding, which stays as it
    is; so does the tensor given. A mask's width is drawn from 0, 1, … its most, then its place
    from all where it fits. The warp moves one frame, drawn more than `warp` from the first and
    the last, by up to `warp` frames either way and stretches time evenly on its two sides (Park's
    spline, along time alone); an utterance too short to have such a frame is not warped.

    Args:
        mel: features of any kind; (batch, frames, mels).
        generator: where the draws come from; None is torch's own.
        groups: of equal channels side by side (mels, deltas, double deltas: 3), masked alike.
        value: what hidden places hold; 0 for normalised features; None is the utterance's own
            mean, of each channel over its valid frames.

    Raises:
        ConfigError: channels that cannot be divided into so many groups; lengths that are no
            integers (batch).
        DataError: a length below 0 or beyond the frames.

    Source: Park et al. 2019.
    """
    batch, frames, channels = mel.shape
    if groups < 1 or channels % groups:
        raise ConfigError(
            f"groups: {channels} channels cannot be divided into {groups} equal groups",
            "1, or 3 for mels with deltas and double deltas",
        )
    frame_lengths = checked_lengths(frame_lengths, mel.shape, "frame_lengths")
    lengths, bands = frame_lengths.to(mel.device), channels // groups
    warp, by_band, by_frame = _draws(batch, policy, generator, mel.device)
    every = torch.full_like(lengths, bands)
    widest = (lengths * policy.frame_share).long().clamp(max=policy.frame_width)
    in_band = _masks(by_band, every.clamp(max=policy.band_width), every, bands)
    in_time = _masks(by_frame, widest, lengths, frames)
    valid = torch.arange(frames, device=mel.device) < lengths.unsqueeze(1)
    hidden = in_time.unsqueeze(2) | in_band.repeat(1, groups).unsqueeze(1)
    fill = _mean(mel, valid) if value is None else torch.full_like(mel[:, :1], value)
    warped = _warp(mel, lengths, policy.warp, warp) if policy.warp else mel
    return torch.where(hidden & valid.unsqueeze(2), fill, warped)


def perturb_vocal_tract(
    mel: Mel, most: float, generator: torch.Generator | None = None, groups: int = 1
) -> Mel:
    """Each utterance as from a longer or a shorter vocal tract: its bands stretched by one factor.

    Band k takes what stood at band k·a, a drawn evenly from 1 - most … 1 + most; above a knee at
    0.8 of the range the stretch gives way, so that the highest band stays in its place.

    Args:
        mel: (batch, frames, mels); frame by frame, so that padding stays apart.
        groups: of equal channels side by side (mels, deltas, double deltas: 3), stretched alike.

    Source: Jaitly and Hinton 2013.
    """
    batch, frames, channels = mel.shape
    top = channels // groups - 1
    source = mel.device if generator is None else generator.device
    draws = torch.rand(batch, 1, generator=generator, device=source).to(mel.device)
    factor = 1 + most * (2 * draws - 1)
    knee = 0.8 * top / factor.clamp(min=1)
    band = torch.arange(top + 1, device=mel.device, dtype=mel.dtype)
    above = factor * knee + (band - knee) * ((top - factor * knee) / (top - knee))
    place = torch.where(band <= knee, band * factor, above).clamp(0, top).to(mel.dtype)
    lower = place.long().clamp(max=max(top - 1, 0))
    share = (place - lower)[:, None, None]
    bands = mel.view(batch, frames, groups, top + 1)
    low, high = (
        bands.gather(3, at[:, None, None].expand_as(bands))
        for at in (lower, (lower + 1).clamp(max=top))
    )
    return torch.lerp(low, high, share).view_as(mel)


def perturb_speed(waveform: Waveform, factor: float | int) -> Float[Tensor, "batch perturbed"]:
    """The waveform played `factor` times as fast, pitch and all: (batch, samples / factor).

    As sox's "speed": resampled, so that a tone of f Hz becomes one of f·factor. The factor is
    taken as the nearest fraction with a denominator of at most 1000; samples are rounded.

    Raises:
        ConfigError: a factor outside 0.1 … 10.

    Source: Ko et al. 2015, who train on 0.9, 1.0 and 1.1.
    """
    if not 0.1 <= factor <= 10:
        raise ConfigError(
            f"speed: {factor} is not between 0.1 and 10", "0.9, 1.0 and 1.1 are usual"
        )
    ratio = Fraction(factor).limit_denominator(1000)
    if ratio == 1:
        return waveform
    made = torchaudio.functional.resample(waveform, ratio.numerator, ratio.denominator)
    return made[:, : round(waveform.shape[1] / ratio)]


def _draws(
    batch: int, policy: SpecAugmentPolicy, generator: torch.Generator | None, device: torch.device
) -> list[Float[Tensor, "batch 2 masks"]]:
    """Pairs of numbers from 0 to 1 for the warp, the masks of bands and those of frames.

    As many for every utterance, whatever its length and the padding.
    """
    counts = (1, policy.band_masks, policy.frame_masks)
    source = device if generator is None else generator.device
    draws = torch.rand(batch, 2, sum(counts), generator=generator, device=source)
    return list(draws.to(device).split(counts, 2))


def _masks(
    draws: Float[Tensor, "batch 2 masks"], widest: Lengths, lengths: Lengths, size: int
) -> Bool[Tensor, "batch size"]:
    """True where any of the masks lies: 0 … widest places of the row's own length."""
    width = (draws[:, 0] * (widest + 1).unsqueeze(1)).long()
    start = (draws[:, 1] * (lengths.unsqueeze(1) - width + 1)).long()
    place = torch.arange(size, device=draws.device)
    inside = (place >= start.unsqueeze(2)) & (place < (start + width).unsqueeze(2))
    return inside.any(1)


def _mean(mel: Mel, valid: FrameMask) -> Float[Tensor, "batch 1 mels"]:
    total = torch.where(valid.unsqueeze(2), mel, 0).sum(1, keepdim=True)
    return total / valid.sum(1).clamp(min=1)[:, None, None]


def _warp(mel: Mel, lengths: Lengths, most: int, draws: Float[Tensor, "batch 2 1"]) -> Mel:
    """Each row with one of its frames moved, and time stretched evenly before and after it."""
    room = lengths - 2 * most - 2  # how many frames are more than `most` from the outermost
    point = most + 1 + (draws[:, 0, 0] * room.clamp(min=1)).long()
    target = point + (draws[:, 1, 0] * (2 * most + 1)).long() - most
    point, target, last = (x.unsqueeze(1) for x in (point, target, (lengths - 1).clamp(min=0)))
    time = torch.arange(mel.shape[1], device=mel.device).expand(len(mel), -1)
    before = time * point / target
    after = point + (time - target) * ((last - point) / (last - target).clamp(min=1))
    source = torch.minimum(torch.where(time <= target, before, after).clamp(min=0), last)
    earlier = source.long()
    later = torch.minimum(earlier + 1, last)
    share = (source - earlier).to(mel.dtype).unsqueeze(2)
    between = torch.lerp(frames_at(mel, earlier), frames_at(mel, later), share)
    moved = (time <= last) & (room > 0).unsqueeze(1)
    return torch.where(moved.unsqueeze(2), between, mel)
