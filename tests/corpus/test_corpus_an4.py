"""AN4 as published and as tables: who says what, which part it is in, and what is bad."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from lhotse import CutSet

from speechseq.corpus import an4
from speechseq.errors import DataError


def _sound(path: Path, form: str = "NIST") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 400)
    soundfile.write(path, noise, 16000, subtype="PCM_16", format=form)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The published layout: two utterances to train, one to test."""
    (tmp_path / "etc").mkdir()
    train = "<s> YES </s> (an251-fash-b)\n<s> P I T T S </s> (cen1-mwhw-b)\n"
    (tmp_path / "etc" / "an4_train.transcription").write_text(train)
    (tmp_path / "etc" / "an4_test.transcription").write_text("GO ON (an4-fcaw-b)\n")
    _sound(tmp_path / "wav" / "an4_clstk" / "fash" / "an251-fash-b.sph")
    _sound(tmp_path / "wav" / "an4_clstk" / "mwhw" / "cen1-mwhw-b.flac", "FLAC")
    _sound(tmp_path / "wav" / "an4test_clstk" / "fcaw" / "an4-fcaw-b.sph")
    return tmp_path


def _said(part: object) -> list[tuple]:
    return [(c.id, c.supervisions[0].text, c.supervisions[0].speaker, c.num_samples) for c in part]


def test_the_published_layout(root: Path) -> None:
    train, test = an4.read(root)
    assert _said(train) == [
        ("an251-fash-b", "yes", "fash", 400),
        ("cen1-mwhw-b", "p i t t s", "mwhw", 400),
    ]
    assert _said(test) == [("an4-fcaw-b", "go on", "fcaw", 400)]
    assert _said(an4.read(root, lower=False).test)[0][1] == "GO ON"


def test_the_layout_of_tables(tmp_path: Path) -> None:
    for part, name in (("train", "an251-fash-b"), ("test", "an4-fcaw-b")):
        _sound(tmp_path / "audio" / part / f"{name}.flac", "FLAC")
        row = f"audio/{part}/{name}.flac\tGO ON\t{name.split('-')[1]}\n"
        (tmp_path / f"{part}.tsv").write_text("path\ttext\tspeaker\n" + row)
    train, test = an4.read(tmp_path)
    assert _said(train) == [("an251-fash-b", "go on", "fash", 400)]
    assert _said(test) == [("an4-fcaw-b", "go on", "fcaw", 400)]
    assert _said(an4.read(tmp_path, lower=False).train)[0][1] == "GO ON"


def test_all_bad_rows_are_listed_with_their_lines(root: Path) -> None:
    path = root / "etc" / "an4_train.transcription"
    bad = [
        "<s> NO ID </s>",
        "<s> </s> (an1-fash-b)",
        "<s> NO SOUND </s> (an2-fash-b)",
        "<s> NOBODY </s> (an3)",
        "<s> YES </s> (an251-fash-b)",
    ]
    path.write_text(path.read_text() + "\n".join(bad))
    with pytest.raises(DataError, match="5 bad rows") as caught:
        an4.read(root)
    reasons = ["is not like", "empty text", "no such file (nor .wav, .flac)", "speaker", "twice"]
    for line, reason in enumerate(reasons, start=3):
        assert any(
            f"{path}:{line}:" in row and reason in row for row in caught.value.problem.split("\n")
        )


def test_a_damaged_sound_is_named(root: Path) -> None:
    path = root / "wav" / "an4_clstk" / "fash" / "an251-fash-b.sph"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(DataError, match=r"an4_train\.transcription:1: .*800 bytes.* 798 are"):
        an4.read(root)


def test_other_folders_are_refused(tmp_path: Path, root: Path) -> None:
    with pytest.raises(DataError, match="neither"):
        an4.read(tmp_path / "etc")
    (root / "etc" / "an4_test.transcription").write_text("\n")
    with pytest.raises(DataError, match="no transcripts"):
        an4.read(root)


def test_a_quarter_at_most_is_held_out_the_same_in_any_order(root: Path) -> None:
    cuts = [
        cut.with_id(f"cut-{i}") for i in range(8) for cut in an4.read(root).train.subset(first=1)
    ]
    rest, held_out = an4.hold_out(CutSet.from_cuts(cuts), 100, seed=3)
    again = an4.hold_out(CutSet.from_cuts(cuts[::-1]), 100, seed=3)
    assert len(held_out) == 2
    assert {cut.id for cut in rest} | {cut.id for cut in held_out} == {cut.id for cut in cuts}
    assert [cut.id for cut in again.test] == [cut.id for cut in held_out]
