"""Files nested without end are refused as any other wrong file."""

from collections.abc import Callable
from pathlib import Path

import pytest

from speechseq.cli.overlay import read_file
from speechseq.errors import ConfigError


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 50_000, "- " * 100_000])
def test_yaml_nested_without_end(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"a\.yaml") as caught:
        read_file(path)
    assert caught.value.cure


def test_json_nested_without_end(tmp_path: Path, speechseq: Callable) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": "a", "text": ' + "[" * 100_000 + "\n")
    ended = speechseq("score", "--ref", path, "--hyp", path)
    assert ended.code == 3
    assert "a.jsonl:1: no JSON" in ended.err
