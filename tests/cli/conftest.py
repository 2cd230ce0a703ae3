"""A small untrained voice, and a way to run the command in this process."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from tiny_voice import save_voice

from speechseq.cli import main


class Ended(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def voice(tmp_path: Path) -> Path:
    return save_voice(tmp_path / "voice")


@pytest.fixture
def speechseq(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    def run(*argv: object) -> Ended:
        code = main([str(word) for word in argv])
        captured = capsys.readouterr()
        return Ended(code, captured.out, captured.err)

    return run
