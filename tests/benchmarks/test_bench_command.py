"""`python benchmarks/bench.py` from its flags to its table."""

import json
import sys
from pathlib import Path

import bench
import pytest
from contract import Row, rows


def row_of(name: str) -> Row:
    return next(row for row in rows() if isinstance(row, Row) and row.name == name)


def test_a_row_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = tmp_path / "bench.json"
    flags = ["--size", "toy", "--only", "train-demo-voice", "--seed", "5", "--json", str(saved)]
    monkeypatch.setattr(sys, "argv", ["bench.py", *flags])
    bench.main()
    header, head, _, *lines = capsys.readouterr().out.splitlines()
    assert "seed 5" in header
    assert "torch" in header
    assert head.startswith("| work |")
    assert len(lines) == len(row_of("train-demo-voice").ours)
    data = json.loads(saved.read_text())
    assert data["header"]["seed"] == 5
    (row,) = data["rows"]
    assert [len(c["seconds"]) for c in row["contenders"]] == [1] * (len(lines) + 1), row


def test_a_pattern_without_rows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["bench.py", "--only", "vocoder"])
    with pytest.raises(SystemExit, match="--list"):
        bench.main()


def test_patterns_choose_by_name() -> None:
    known = rows()
    assert bench.choose(known, "", None) == known
    assert {row.name for row in bench.choose(known, "SPEAK", "cpu")} == {
        row.name for row in known if row.name.startswith("speak")
    }
    assert all("cuda" in row.devices for row in bench.choose(known, "", "cuda"))
    assert not any(row.name.startswith("gpu") for row in bench.choose(known, "", "cpu"))
