"""JSON that the project writes and reads back, made hostile: read as absent, or refused."""

from pathlib import Path

import pytest

from speechseq.corpus import generated_folder
from speechseq.errors import DataError
from speechseq.evaluation import transcript_files
from speechseq.training import log

HOSTILE = ["[" * 100_000, "[1]", "3", "null", '{"sha256": 3}', "9" * 5000, "\ufeff{}", "{"]
hostile = pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:9])


@hostile
def test_a_manifest_that_makes_no_sense_is_made_anew(tmp_path: Path, text: str) -> None:
    plan = {"utterances": [{"id": "a"}]}
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "manifest.json").write_text(text)
    generated_folder.ensure(folder, plan, lambda wavs: (wavs / "a.wav").write_bytes(b"x") and None)
    assert (folder / "wavs" / "a.wav").read_bytes() == b"x"


@hostile
def test_a_line_of_a_log_that_makes_no_sense_is_left_out(tmp_path: Path, text: str) -> None:
    (tmp_path / "log.jsonl").write_text(f'{text}\n{{"update": 1}}\n')
    assert log.read(tmp_path) == [{"update": 1}]


def test_a_transcript_that_is_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "hyp.jsonl"
    path.write_text('{"path": ' + "[" * 50_000)
    with pytest.raises(DataError, match=r"hyp\.jsonl"):
        transcript_files.read(path)
