"""Words that begin with a dash: values, numbers and operands, or flags that do not exist."""

import argparse
from typing import Any

import pytest

from speechseq.cli.parser import Parser
from speechseq.errors import ConfigError


def parsed(*argv: str) -> dict[str, Any]:
    parser = Parser(prog="s")
    parser.checked = False
    commands = parser.add_subparsers(required=True)
    say = commands.add_parser("say")
    say.free = frozenset({"--text"})
    say.add_argument("--text")
    say.add_argument("--out")
    say.add_argument("--rate", type=float)
    commands.add_parser("info").add_argument("folder")
    train = commands.add_parser("train")
    train.checked = False
    train.add_argument("recipe")
    train.add_argument("flags", nargs=argparse.REMAINDER)
    return {k: v for k, v in vars(parser.parse_args(list(argv))).items() if v is not None}


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["say", "--text", "-5 degrees"], {"text": "-5 degrees"}),
        (["say", "--text", "-- he said"], {"text": "-- he said"}),
        (["say", "--text", "--hello", "--out", "x"], {"text": "--hello", "out": "x"}),
        (["say", "--text", "-x", "--out=-x.wav"], {"text": "-x", "out": "-x.wav"}),
        (["say", "--text=--out"], {"text": "--out"}),
        (["say", "--text", "a=b"], {"text": "a=b"}),
        (["say", "--rate", "-1e-3"], {"rate": -1e-3}),
        (["say", "--rate", "-.5"], {"rate": -0.5}),
        (["info", "--", "--odd"], {"folder": "--odd"}),
        (["info", "-", "--"], {"folder": "-"}),
        (["--", "info", "x"], {"folder": "x"}),
        (["train", "r", "--", "--a", "-1"], {"recipe": "r", "flags": ["--a", "-1"]}),
        (["train", "r", "--a", "--b"], {"recipe": "r", "flags": ["--a", "--b"]}),
    ],
)
def test_a_dash_is_taken_as_meant(argv: list[str], expected: dict[str, Any]) -> None:
    assert parsed(*argv) == expected


@pytest.mark.parametrize(
    ("argv", "problem"),
    [
        (["say", "--text", "--out", "x"], "--text: expected one argument"),
        (["say", "--text"], "--text: expected one argument"),
        (["say", "--tex", "x"], "unknown flag --tex"),
        (["say", "--out", "--text", "x"], "--out: expected one argument"),
        (["info", "--odd"], "unknown flag --odd"),
        (["say", "--", "--text"], "unrecognized arguments"),
    ],
)
def test_a_flag_that_is_wrong_is_refused(argv: list[str], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        parsed(*argv)
