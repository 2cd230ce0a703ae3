"""A way to run the command in this process."""

from collections.abc import Callable
from typing import NamedTuple

import pytest

from speechseq.cli import main


class Ended(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def speechseq(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    def run(*argv: object) -> Ended:
        code = main([str(word) for word in argv])
        captured = capsys.readouterr()
        return Ended(code, captured.out, captured.err)

    return run
