"""Windows cover every sample, share what they should, and are cut where it is quiet."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speechseq.errors import ConfigError
from speechseq.inference.windows import Window, WindowConfig, cut, quietest

RATE = 1000


def blocks(samples: int, size: int) -> list[torch.Tensor]:
    torch.manual_seed(0)
    return list(torch.randn(1, samples).split(size, 1))


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 30_000), st.integers(100, 9000), st.sampled_from([(4, 1), (2, 1), (1, 0.2)]))
def test_windows_cover_every_sample(samples: int, size: int, numbers: tuple) -> None:
    config = WindowConfig(seconds=float(numbers[0]), overlap=float(numbers[1]))
    parts = blocks(samples, size)
    whole = torch.cat(parts, 1)
    windows = list(cut(iter(parts), RATE, config))
    assert windows[0].start == 0
    assert windows[-1].end == samples
    for window in windows:
        assert window.waveform.shape[1] <= config.seconds * RATE
        assert torch.equal(window.waveform, whole[:, window.start : window.end])
    for one, other in itertools.pairwise(windows):
        assert one.start < other.start
        assert one.end < other.end
        assert config.overlap / 2 * RATE <= one.end - other.start <= config.overlap * RATE


def test_short_sound_is_one_window_and_no_sound_none() -> None:
    sound = torch.randn(1, 4000)
    (window,) = cut([sound], RATE, WindowConfig(seconds=4.0, overlap=1.0))
    assert window.start == 0
    assert torch.equal(window.waveform, sound)
    assert list(cut([], RATE, WindowConfig())) == []


def test_windows_begin_and_end_in_the_pauses() -> None:
    sound = torch.randn(1, 12_000)
    for pause in (2300, 3800, 6800):
        sound[:, pause : pause + 60] = 0
    first, second, *_ = cut([sound], RATE, WindowConfig(seconds=4.0, overlap=2.0))
    assert 3800 <= first.end <= 3860
    assert 2300 <= second.start <= 2360


def test_quietest_looks_only_where_it_is_told() -> None:
    sound = torch.ones(1, 1000)
    sound[:, 100:150] = 0
    sound[:, 600:650] = 0.1
    assert 600 <= quietest(sound, 400, 900, RATE) < 650
    assert quietest(sound, 400, 410, RATE) == 410  # no room to choose


def test_memory_is_flat() -> None:
    """A source of any length is read only as far as the window that is wanted."""
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield torch.randn(1, 500)

    windows = cut(endless(), RATE, WindowConfig(seconds=4.0, overlap=1.0))
    for _ in range(5):
        window = next(windows)
        assert isinstance(window, Window)
        assert 500 * taken - window.end <= 1000 + 500


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ({"seconds": 0.5}, "seconds: 0.5 is out of range"),
        ({"seconds": float("nan")}, "seconds: nan is out of range"),
        ({"overlap": 11.0}, "overlap: 11 of 20 seconds"),
        ({"overlap": 0.0}, "overlap: 0.0 is out of range"),
    ],
)
def test_windows_that_would_not_go_forward(numbers: dict, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        WindowConfig(**numbers)
    assert WindowConfig.of(1.0).overlap == pytest.approx(0.2)
    assert WindowConfig.of(60.0).overlap == 4.0
