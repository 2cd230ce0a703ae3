import io
import subprocess
import sys

import numpy as np
import pytest
import torch
from matplotlib.image import imread

from speechseq.pictures import alignment_picture, curves_picture, mel_picture


def pixels(png: bytes) -> np.ndarray:
    """(height, width, 3) in [0, 1]."""
    assert png.startswith(b"\x89PNG")
    return imread(io.BytesIO(png), format="png")[..., :3]


def inside(image: np.ndarray) -> np.ndarray:
    """The part that an alignment covers: between the first and last dark pixel."""
    dark = image.sum(2) < 0.2
    rows, columns = np.flatnonzero(dark.mean(1) > 0.3), np.flatnonzero(dark.mean(0) > 0.3)
    return image[rows[0] : rows[-1], columns[0] : columns[-1]]


def test_an_alignment_climbs_from_the_lower_left_to_the_upper_right() -> None:
    picture = inside(pixels(alignment_picture(torch.eye(40), None, "title")))
    height, width = picture.shape[:2]
    bright = picture.sum(2) > 1.5
    rows, columns = np.nonzero(bright)
    slope = np.polyfit(columns / width, 1 - rows / height, 1)
    assert slope == pytest.approx([1.0, 0.0], abs=0.08)


def test_a_louder_mel_band_is_brighter_where_it_lies() -> None:
    mel = torch.full((50, 80), -11.0)
    mel[:, 60:] = 0.0  # high bands stand above
    picture = pixels(mel_picture(mel))
    column = picture[:, picture.shape[1] // 3].sum(1)
    middle = len(column) // 2
    light = np.flatnonzero((column > 2.0) & (column < 2.99))
    assert light.size
    assert light.mean() < middle


def test_a_target_takes_a_row_of_its_own() -> None:
    mel = torch.randn(50, 80)
    alone, beside = pixels(mel_picture(mel)), pixels(mel_picture(mel, target=mel[:40]))
    assert beside.shape[0] > 1.4 * alone.shape[0]


@pytest.mark.parametrize(
    "alignment",
    [
        torch.ones(1, 1),
        torch.zeros(3, 2),
        torch.zeros(0, 2),
        torch.rand(1500, 3),
        torch.rand(2, 400),
        torch.full((4, 4), float("nan")),
        torch.rand(5, 4).to(torch.bfloat16).requires_grad_(),
    ],
)
def test_odd_alignments_are_drawn_too(alignment: torch.Tensor) -> None:
    symbols = ["$", "^_\\", " ", "ʃ"][: alignment.shape[1]] * 100
    picture = pixels(alignment_picture(alignment, symbols[: alignment.shape[1]], "$5 \\frac{" * 40))
    assert max(picture.shape) < 3000


@pytest.mark.parametrize(
    "mel",
    [
        torch.zeros(1, 1),
        torch.zeros(0, 80),
        torch.full((9, 80), -11.5),
        torch.full((3, 4), float("-inf")),
    ],
)
def test_odd_mels_are_drawn_too(mel: torch.Tensor) -> None:
    pixels(mel_picture(mel, "a\nb"))


@pytest.mark.filterwarnings("error")
def test_curves_of_any_kind_are_drawn() -> None:
    curves = {
        "falling": [(1, 2.0), (5, 1.0), (9, float("nan"))],
        "one": [(3, 1.0)],
        "none": [],
        "zero": [(1, 0.0), (2, 0.0)],
        "$": [(1, -1.0), (2, 1e9)],
    }
    for log in (False, True):
        pixels(curves_picture(curves, "losses", log=log))
    pixels(curves_picture({}))


def test_all_names_of_curves_stand_within_the_picture() -> None:
    curves = {f"loss number {i}": [(1, 1.0), (2, 1.0)] for i in range(12)}
    picture = pixels(curves_picture(curves))
    assert picture[:3].min() > 0.99
    assert picture[-3:].min() > 0.99
    assert picture[:, -3:].min() > 0.99


def test_nothing_global_is_touched_and_nothing_imported_before_it_is_needed() -> None:
    script = """
import sys
import torch
from speechseq.pictures import alignment_picture
assert "matplotlib" not in sys.modules
alignment_picture(torch.eye(3))
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)
