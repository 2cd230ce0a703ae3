"""One espeak a process, missing packages told apart from unknown voices."""

import builtins
import os
from pathlib import Path

import pytest

from speechseq.errors import ConfigError, MachineError
from speechseq.text import espeak_library


def test_the_library_is_opened_once() -> None:
    pytest.importorskip("espeakng_loader", reason="needs the extra espeak")
    assert espeak_library.library() is espeak_library.library()


def test_a_missing_package_names_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: object, **named: object) -> object:
        if name == "espeakng_loader":
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MachineError) as caught:
        espeak_library.library.__wrapped__()
    assert "pip install 'speechseq[espeak]'" in caught.value.cure


@pytest.mark.parametrize("voice", ["", "klingon-xx", "en\x00us", " en-us", "\ud800"])
def test_an_unknown_voice_is_refused(voice: str) -> None:
    pytest.importorskip("espeakng_loader", reason="needs the extra espeak")
    with pytest.raises(ConfigError, match="no voice"):
        espeak_library.set_voice(voice)


def test_data_too_deep_for_espeak_is_reached_by_a_short_link(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120) / "espeak-ng-data"
    deep.mkdir(parents=True)
    short = espeak_library._short_path(str(deep))
    assert len(short) <= 120
    assert os.path.samefile(short, deep)
