"""SpecAugment: what may be hidden and never more; speed: a tone's frequency and the length."""

import dataclasses

import pytest
import scipy.stats
import torch
from torch import Tensor

from speechseq.audio.augment import (
    POLICIES,
    SpecAugmentPolicy,
    perturb_speed,
    perturb_vocal_tract,
    spec_augment,
)
from speechseq.errors import ConfigError

HIDDEN = -77.0


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def only(**numbers: float) -> SpecAugmentPolicy:
    """Nothing but what is named."""
    none = {"warp": 0, "band_masks": 0, "frame_masks": 0}
    return SpecAugmentPolicy(**none | numbers)


def hidden(policy: SpecAugmentPolicy, lengths: Tensor, mels: int, frames: int = 0) -> Tensor:
    """(batch, frames, mels): what a policy without its warp hides."""
    mel = torch.zeros(len(lengths), frames or int(lengths.max()), mels)
    policy = dataclasses.replace(policy, warp=0)
    return spec_augment(mel, lengths, policy, seeded(), value=HIDDEN) == HIDDEN


def runs(row: Tensor) -> list[tuple[int, int]]:
    """Start and width of each stretch of True."""
    edges = torch.diff(row.int(), prepend=torch.zeros(1), append=torch.zeros(1)).nonzero()[:, 0]
    return [(int(a), int(b - a)) for a, b in edges.view(-1, 2)]


# the policies


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("LB", (80, 27, 1, 100, 1.0, 1)),
        ("LD", (80, 27, 2, 100, 1.0, 2)),
        ("SM", (40, 15, 2, 70, 0.2, 2)),
        ("SS", (40, 27, 2, 70, 0.2, 2)),
    ],
)
def test_policies_are_the_papers_table(name: str, numbers: tuple) -> None:
    p = POLICIES[name]
    output = (p.warp, p.band_width, p.band_masks, p.frame_width, p.frame_share, p.frame_masks)
    assert output == numbers
    assert SpecAugmentPolicy.from_dict(p.to_dict()) == p


# masks


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_never_more_is_hidden_than_the_policy_allows(name: str) -> None:
    """Frames by T and by p of the own length, bands by F; all of a frame or of a band."""
    policy = POLICIES[name]
    lengths = torch.arange(1, 401)
    masks = hidden(policy, lengths, 80)
    for row, length in enumerate(lengths.tolist()):
        own = masks[row, :length]
        in_time, in_band = own.all(1), own.all(0)
        widest = min(policy.frame_width, int(policy.frame_share * length))
        assert torch.equal(own, in_time[:, None] | in_band[None])
        if not in_time.all():
            assert int(in_band.sum()) <= policy.band_masks * policy.band_width
            assert len(runs(in_band)) <= policy.band_masks
        if not in_band.all():
            assert int(in_time.sum()) <= policy.frame_masks * widest
            assert len(runs(in_time)) <= policy.frame_masks
    assert masks.any()


def test_widths_and_places_of_one_mask_are_uniform() -> None:
    """0 to F bands, each as often; and given its width, each place where it fits as often."""
    masks = hidden(only(band_masks=1, band_width=5), torch.full((30_000,), 1), 12)[:, 0]
    widths = masks.sum(1)
    counts = torch.bincount(widths, minlength=6)
    assert len(counts) == 6
    assert scipy.stats.chisquare(counts).pvalue > 1e-4
    for width in (1, 5):
        starts = masks[widths == width].int().argmax(1)
        places = torch.bincount(starts, minlength=13 - width)
        assert len(places) == 13 - width  # the last place too
        assert scipy.stats.chisquare(places).pvalue > 1e-4


def test_widths_and_places_in_time_follow_the_own_length() -> None:
    lengths = torch.tensor([30, 10]).repeat(20_000)
    policy = only(frame_masks=1, frame_width=8, frame_share=0.5)
    masks = hidden(policy, lengths, 1, frames=50)[:, :, 0]
    for length, widest in ((30, 8), (10, 5)):
        own = masks[lengths == length]
        counts = torch.bincount(own.sum(1), minlength=widest + 1)
        assert len(counts) == widest + 1
        assert scipy.stats.chisquare(counts).pvalue > 1e-4
        starts = own[own.sum(1) == widest].int().argmax(1)
        places = torch.bincount(starts, minlength=length - widest + 1)
        assert len(places) == length - widest + 1
        assert scipy.stats.chisquare(places).pvalue > 1e-4


def test_each_utterance_draws_its_own_and_each_mask_too() -> None:
    masks = hidden(POLICIES["LD"], torch.full((200,), 300), 80)
    assert len({tuple(m.flatten().tolist()) for m in masks}) > 190
    in_band = masks.all(1)
    assert sum(len(runs(row)) == 2 for row in in_band) > 50


def test_nothing_is_hidden_outside_the_true_length() -> None:
    lengths = torch.tensor([200, 3, 77, 1, 120])
    mel = torch.randn(5, 260, 80)
    for row, length in enumerate(lengths):
        mel[row, length:] = float("nan")
    given = mel.clone()
    masked = spec_augment(mel, lengths, POLICIES["LD"], seeded())
    for row, length in enumerate(lengths.tolist()):
        assert masked[row, :length].isfinite().all()
        assert masked[row, length:].isnan().all()
    torch.testing.assert_close(mel, given, atol=0, rtol=0, equal_nan=True)  # nor is it written to


@pytest.mark.parametrize("value", [None, 0.0])
def test_padding_changes_nothing(value: float | None) -> None:
    """Batches padded to 200 and to 500, with any garbage, draw and give the same."""
    lengths = torch.tensor([200, 170, 9])
    short = torch.randn(3, 200, 12)
    policy = SpecAugmentPolicy(warp=30, band_width=4, frame_width=20)
    results = []
    for padding, junk in ((0, 0.0), (300, 1e4), (300, float("nan"))):
        mel = torch.cat([short, torch.zeros(3, padding, 12)], 1)
        for row, length in enumerate(lengths):
            mel[row, length:] = junk
        masked = spec_augment(mel, lengths, policy, seeded(), value=value)
        results.append([masked[row, :length] for row, length in enumerate(lengths)])
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            torch.testing.assert_close(a, b)


def test_a_generator_makes_it_repeatable_and_leaves_torchs_own_alone() -> None:
    mel, lengths = torch.randn(4, 200, 40), torch.tensor([200, 180, 90, 30])
    state = torch.get_rng_state()
    first, again, other = (
        spec_augment(mel, lengths, POLICIES["SS"], seeded(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    torch.manual_seed(1)
    drawn = spec_augment(mel, lengths, POLICIES["SS"])
    torch.manual_seed(1)
    assert torch.equal(spec_augment(mel, lengths, POLICIES["SS"]), drawn)


# what stands in the masks


def test_masks_carry_each_channels_mean_over_valid_frames() -> None:
    """Masking with the mean equals removing the mean, masking with 0 and adding the mean again."""
    lengths = torch.tensor([150, 90])
    mel = 3 + torch.randn(2, 150, 20)
    policy = SpecAugmentPolicy(warp=20, band_width=5, frame_width=20)
    mean = torch.stack([mel[row, :length].mean(0) for row, length in enumerate(lengths)])[:, None]
    masked = spec_augment(mel, lengths, policy, seeded())
    centred = spec_augment(mel - mean, lengths, policy, seeded(), value=0.0)
    torch.testing.assert_close(masked - mean, centred, atol=1e-5, rtol=0)


def test_groups_hide_the_same_bands_of_mels_and_deltas() -> None:
    mel, lengths = torch.zeros(50, 100, 60), torch.full((50,), 100)
    policy = only(band_masks=2, band_width=9)
    masked = spec_augment(mel, lengths, policy, seeded(), groups=3, value=HIDDEN)
    statics, deltas, doubles = masked.chunk(3, 2)
    assert torch.equal(statics, deltas)
    assert torch.equal(statics, doubles)
    assert torch.equal(
        statics, spec_augment(mel[:, :, :20], lengths, policy, seeded(), value=HIDDEN)
    )
    assert (statics == HIDDEN).any()
    assert int((statics[:, 0] == HIDDEN).sum(1).max()) <= 18


# warp


def test_a_warp_moves_one_point_and_stretches_evenly() -> None:
    """A ramp of time becomes two straight pieces with the same ends and one bend."""
    batch, length, most = 300, 120, 15
    ramp = torch.arange(float(length)).expand(batch, -1)[:, :, None]
    warped = spec_augment(ramp, torch.full((batch,), length), only(warp=most), seeded())[:, :, 0]
    torch.testing.assert_close(warped[:, 0], torch.zeros(batch))
    torch.testing.assert_close(warped[:, -1], torch.full((batch,), length - 1.0))
    assert (warped.diff(dim=1) >= 0).all()
    moved = (warped - ramp[:, :, 0]).abs().amax(1)
    assert float(moved.max()) <= most + 1e-3
    assert float(moved.max()) > most - 1
    bends = warped.diff(dim=1).diff(dim=1).abs() > 1e-3
    for row in bends[moved > 1]:
        where = row.nonzero()[:, 0]
        assert len(where) in (1, 2)  # a bend within a frame touches both differences
        assert int(where.max() - where.min()) <= 1


def test_a_warp_goes_both_ways_by_every_distance_alike() -> None:
    batch, length, most = 20_000, 40, 3
    ramp = torch.arange(float(length)).expand(batch, -1)[:, :, None]
    warped = spec_augment(ramp, torch.full((batch,), length), only(warp=most), seeded())[:, :, 0]
    offset = ramp[:, :, 0] - warped
    furthest = offset.gather(1, offset.abs().argmax(1, keepdim=True))[:, 0]
    counts = torch.bincount((furthest.round() + most).long(), minlength=2 * most + 1)
    assert len(counts) == 2 * most + 1
    assert scipy.stats.chisquare(counts).pvalue > 1e-4


def test_an_utterance_too_short_for_the_warp_keeps_its_time() -> None:
    lengths = torch.tensor([62, 60, 1] + [63] * 9)
    mel = torch.randn(12, 100, 3)
    warped = spec_augment(mel, lengths, only(warp=30), seeded())
    assert torch.equal(warped[:3], mel[:3])
    assert not torch.equal(warped[3:], mel[3:])
    assert torch.equal(warped[:, [0]], mel[:, [0]])
    torch.testing.assert_close(warped[3:, 62:], mel[3:, 62:])


def test_a_policy_of_nothing_changes_nothing() -> None:
    mel = torch.randn(3, 50, 8)
    assert torch.equal(spec_augment(mel, torch.tensor([50, 20, 1]), only()), mel)


# speed


@pytest.mark.parametrize("factor", [0.9, 1.0, 1.1, 0.5, 2, 1.037])
def test_a_tone_is_raised_by_the_factor_and_lasts_as_much_less(factor: float) -> None:
    rate, tone = 16_000, 440.0
    for samples in (16_000, 15_991, 12_345):
        sine = torch.sin(2 * torch.pi * tone * torch.arange(samples) / rate)[None]
        perturbed = perturb_speed(sine, factor)
        assert perturbed.shape == (1, round(samples / factor))
        time = torch.arange(perturbed.shape[1]) / rate
        expected = torch.sin(2 * torch.pi * tone * factor * time)
        inner = slice(100, -100)  # the filter sees silence beyond the ends
        assert float((perturbed[0] - expected)[inner].abs().max()) < 0.01


def test_speed_works_row_by_row_and_leaves_the_waveform() -> None:
    waveform = torch.randn(3, 4000, dtype=torch.float64)
    before = waveform.clone()
    perturbed = perturb_speed(waveform, 1.1)
    assert perturbed.dtype == torch.float64
    for row in range(3):
        torch.testing.assert_close(
            perturbed[row : row + 1], perturb_speed(waveform[row : row + 1], 1.1)
        )
    assert torch.equal(waveform, before)


# what is refused


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ({"warp": -1}, "warp: -1"),
        ({"band_masks": -2}, "band_masks: -2"),
        ({"frame_share": 1.5}, "frame_share: 1.5"),
        ({"frame_share": float("nan")}, "frame_share: nan"),
    ],
)
def test_policies_without_sense_are_refused(numbers: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        SpecAugmentPolicy(**numbers)


@pytest.mark.parametrize("groups", [0, 3])
def test_groups_that_do_not_divide_the_channels_are_refused(groups: int) -> None:
    with pytest.raises(ConfigError, match="groups: 80 channels"):
        spec_augment(torch.zeros(1, 9, 80), torch.tensor([9]), POLICIES["LD"], groups=groups)


@pytest.mark.parametrize("factor", [0.0, -1.0, 11, float("nan")])
def test_speeds_without_sense_are_refused(factor: float) -> None:
    with pytest.raises(ConfigError, match="speed"):
        perturb_speed(torch.zeros(1, 100), factor)


def test_a_vocal_tract_moves_a_peak_by_its_own_factor_and_keeps_the_ends():
    bands = torch.arange(40.0)
    mel = torch.exp(-0.5 * (bands - 20) ** 2 / 4).repeat(200, 3, 1)
    output = perturb_vocal_tract(mel, 0.2, torch.Generator().manual_seed(0))
    peaks = (output[:, 0] * bands).sum(1) / output[:, 0].sum(1)
    assert 20 / 1.2 - 0.3 < float(peaks.min()) < 17.5
    assert 23 < float(peaks.max()) < 20 / 0.8 + 0.3
    assert torch.equal(output[:, 0], output[:, 2])  # one factor an utterance
    ramp = bands.repeat(50, 1, 1)
    stretched = perturb_vocal_tract(ramp, 0.3, torch.Generator().manual_seed(1))
    torch.testing.assert_close(stretched[..., 0], ramp[..., 0])
    torch.testing.assert_close(stretched[..., -1], ramp[..., -1])
    assert (stretched.diff(dim=2) >= 0).all()  # no band overtakes another
    assert torch.equal(perturb_vocal_tract(mel, 0.0), mel)


def test_a_vocal_tract_stretches_deltas_alike_and_leaves_the_padding_apart():
    mel = torch.randn(4, 5, 6)
    three = torch.cat([mel, 2 * mel, -mel], 2)
    three[1, 3:] = float("nan")
    stretched = perturb_vocal_tract(three, 0.3, torch.Generator().manual_seed(2), groups=3)
    alone = perturb_vocal_tract(mel, 0.3, torch.Generator().manual_seed(2))
    torch.testing.assert_close(stretched[0], torch.cat([alone, 2 * alone, -alone], 2)[0])
    assert stretched[1, :3].isfinite().all()
