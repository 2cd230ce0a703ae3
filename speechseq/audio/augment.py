"""Data augmentation: SpecAugment and vocal tract perturbation on features, speed on waveforms."""

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
    """Settings of `spec_augment`; the defaults are the policy LD of Park 2019.

    Args:
        warp: largest shift of the time warp, in frames (W in the paper); 0 for no time warp.
        band_width: maximum width of a frequency mask, in channels (F).
        band_masks: number of frequency masks per utterance (m_F).
        frame_width: maximum width of a time mask, in frames (T).
        frame_share: a time mask covers at most this share of the utterance's frames, too (p).
        frame_masks: number of time masks per utterance (m_T).
    """

    warp: Frames = 80
    band_width: Frames = 27
    band_masks: Masks = 2
    frame_width: Frames = 100
    frame_share: Share = 1.0
    frame_masks: Masks = 2


# Park 2019, table 1: LibriSpeech basic and double, Switchboard mild and strong
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
    """Apply SpecAugment: time warp, then frequency and time masks; the shape is unchanged.

    Each utterance is warped and masked independently, within its own length. The padding and the
    input tensor are not modified. A mask's width is drawn uniformly from 0 to its maximum, then its
    start from all positions at which the mask fits. The warp picks a frame that is more than `warp`
    frames away from both ends, shifts it by up to `warp` frames and stretches time linearly on both
    sides of it (Park's image warp, along time only). Utterances too short for this are not warped.

    Args:
        mel: features of any kind, (batch, frames, channels).
        frame_lengths: (batch), number of valid frames.
        policy: sizes and numbers of masks, and the largest shift `warp`.
        generator: source of random numbers; None uses torch's default generator.
        groups: number of equal groups of channels (3 for mels, deltas and double deltas); all
            groups get the same masks.
        value: fill value of masked elements: 0 for normalised features; None fills with the
            utterance's mean of each channel over its valid frames.

    Raises:
        ConfigError: channels are not divisible by `groups`; lengths are not integers (batch).
        DataError: a length is negative or exceeds the number of frames.

    Source: Park et al. 2019.

    Examples:
        >>> mel, lengths = torch.ones(2, 400, 80), torch.tensor([400, 250])
        >>> masked = spec_augment(mel, lengths, SpecAugmentPolicy(warp=0), value=0.0)
        >>> masked.shape, bool((masked[1, 250:] == 1).all())  # padding stays as it is
        (torch.Size([2, 400, 80]), True)
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
    """Apply vocal tract length perturbation: stretch each utterance's bands by a random factor.

    For each utterance a factor a is drawn uniformly from 1 - most to 1 + most. Band k of the result
    takes the value of band k·a of the input. Above 0.8 of the range the mapping is linear up to the
    highest band, which keeps its value.

    Args:
        mel: (batch, frames, mels); frames are processed independently, padding included.
        most: maximum of |a - 1|, such as 0.1.
        generator: source of random numbers; None uses torch's default generator.
        groups: number of equal groups of channels (3 for mels, deltas and double deltas); all
            groups are stretched by the same factor.

    Returns:
        The stretched mels, (batch, frames, mels).

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
    """Change speed and pitch by resampling: (batch, samples) to (batch, samples / factor).

    Equivalent to sox's "speed": a tone of f Hz in `waveform` becomes one of f·factor Hz.

    Args:
        waveform: (batch, samples).
        factor: speed, 0.1 to 10; above 1 is faster, higher and shorter. It is approximated by a
            fraction with a denominator of at most 1000.

    Returns:
        Waveforms of samples / factor samples, rounded to a whole number.

    Raises:
        ConfigError: the factor is outside 0.1 … 10.

    Source: Ko et al. 2015, who train on 0.9, 1.0 and 1.1.
    """
    if not 0.1 <= factor <= 10:
        raise ConfigError(
            f"speed: {factor} is not between 0.1 and 10", "0.9, 1.0 and 1.1 are usual"
        )
    ratio = Fraction(factor).limit_denominator(1000)
    if ratio == 1:
        return waveform
    resampled = torchaudio.functional.resample(waveform, ratio.numerator, ratio.denominator)
    return resampled[:, : round(waveform.shape[1] / ratio)]


def _draws(
    batch: int, policy: SpecAugmentPolicy, generator: torch.Generator | None, device: torch.device
) -> list[Float[Tensor, "batch 2 masks"]]:
    """Random pairs in [0, 1) for the warp, the frequency masks and the time masks.

    The number of draws per utterance does not depend on its length or on the padding.
    """
    counts = (1, policy.band_masks, policy.frame_masks)
    source = device if generator is None else generator.device
    draws = torch.rand(batch, 2, sum(counts), generator=generator, device=source)
    return list(draws.to(device).split(counts, 2))


def _masks(
    draws: Float[Tensor, "batch 2 masks"], widest: Lengths, lengths: Lengths, size: int
) -> Bool[Tensor, "batch size"]:
    """Union of a row's masks, each 0 … `widest` positions wide and inside the row's length."""
    width = (draws[:, 0] * (widest + 1).unsqueeze(1)).long()
    start = (draws[:, 1] * (lengths.unsqueeze(1) - width + 1)).long()
    place = torch.arange(size, device=draws.device)
    inside = (place >= start.unsqueeze(2)) & (place < (start + width).unsqueeze(2))
    return inside.any(1)


def _mean(mel: Mel, valid: FrameMask) -> Float[Tensor, "batch 1 mels"]:
    total = torch.where(valid.unsqueeze(2), mel, 0).sum(1, keepdim=True)
    return total / valid.sum(1).clamp(min=1)[:, None, None]


def _warp(mel: Mel, lengths: Lengths, most: int, draws: Float[Tensor, "batch 2 1"]) -> Mel:
    """Time warp: move one frame of each row and stretch time linearly before and after it."""
    room = lengths - 2 * most - 2  # number of frames more than `most` from the first and last
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
