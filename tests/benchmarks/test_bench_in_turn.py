"""Contenders are asked in turn, and one that falls takes nobody with it."""

import io
import json
import sys
from pathlib import Path

import pytest
import torch
from in_turn import Command, compare, serve

WORKER = """
import json, pathlib, sys
name, seconds, log = sys.argv[1], float(sys.argv[2]), pathlib.Path(sys.argv[3])
for turn, line in enumerate(sys.stdin):
    if name == "falls" and turn == 2:
        raise ValueError("no such thing")
    with log.open("a") as opened:
        opened.write(name + chr(10))
    print(json.dumps({"seconds": seconds + turn, "gigabytes": turn}), flush=True)
"""


def commands(log: Path, **contenders: float) -> dict[str, Command]:
    def words(name: str, seconds: float) -> list[str]:
        return [sys.executable, "-S", "-c", WORKER, name, str(seconds), str(log)]

    return {name: Command(words(name, seconds), {}) for name, seconds in contenders.items()}


def test_rounds_interleave_and_the_first_only_warms_up(tmp_path: Path) -> None:
    found = compare(commands(tmp_path / "log", a=10, b=20), rounds=2, seconds=0)
    assert (tmp_path / "log").read_text().split() == ["a", "b"] * 3
    assert found["a"].seconds == [11, 12]
    assert found["b"].seconds == [21, 22]
    assert found["a"].gigabytes == 2


def test_quick_steps_get_more_rounds_until_the_time_is_spent(tmp_path: Path) -> None:
    found = compare(commands(tmp_path / "log", a=0), rounds=1, seconds=12)
    assert len(found["a"].seconds) == 5  # 0 + 1 + … + 5 seconds are 15
    found = compare(commands(tmp_path / "log", a=0), rounds=1, seconds=1e9, most=3)
    assert len(found["a"].seconds) == 3


def test_who_is_slow_is_asked_once_after_warming_up(tmp_path: Path) -> None:
    found = compare(commands(tmp_path / "log", a=0, slow=100), rounds=3, seconds=0)
    assert [len(found[name].seconds) for name in ("a", "slow")] == [3, 1]


def test_no_round_begins_after_the_limit_when_all_were_measured(tmp_path: Path) -> None:
    found = compare(commands(tmp_path / "log", a=10, b=10), rounds=9, seconds=0, limit=5)
    assert [len(found[name].seconds) for name in "ab"] == [1, 1]


def test_one_that_falls_leaves_its_last_words_and_the_others_go_on(tmp_path: Path) -> None:
    found = compare(commands(tmp_path / "log", falls=0, a=0), rounds=4, seconds=0)
    assert found["falls"].failure == "ValueError: no such thing"
    assert len(found["falls"].seconds) == 1
    assert len(found["a"].seconds) == 4


def test_a_worker_s_environment_is_its_own(tmp_path: Path) -> None:
    says = (
        "import json, os, sys\n"
        "for line in sys.stdin:\n"
        "    value = float(os.environ.get('BENCH_TOY', -1))\n"
        "    print(json.dumps({'seconds': value, 'gigabytes': 0}), flush=True)\n"
    )
    words = [sys.executable, "-S", "-c", says]
    both = {"with": Command(words, {"BENCH_TOY": "7"}), "without": Command(words, {})}
    found = compare(both, rounds=1, seconds=0)
    assert (found["with"].seconds, found["without"].seconds) == ([7], [-1])


def test_a_served_step_runs_once_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = []
    monkeypatch.setattr(sys, "stdin", io.StringIO("step\nstep\n"))
    serve(lambda: ran.append(1), torch.device("cpu"))
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(ran) == len(answers) == 2
    assert all(answer["seconds"] >= 0 and answer["gigabytes"] > 0.05 for answer in answers)
