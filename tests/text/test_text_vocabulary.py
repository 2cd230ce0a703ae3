"""Symbols and ids: a round trip, nothing dropped in silence, no text that becomes a control."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechseq.errors import CheckpointError, ConfigError, DataError, MachineError
from speechseq.text.alphabet import ALPHABET
from speechseq.text.vocabulary import CHARACTERS, Vocabulary


@given(st.text(alphabet=ALPHABET))
def test_decode_undoes_encode_up_to_case(text: str) -> None:
    vocabulary = Vocabulary.characters()
    assert vocabulary.decode(vocabulary.encode(text)) == text.lower()


@given(st.text(alphabet="<>padeos AB|", min_size=1))
def test_no_text_becomes_a_control_id(text: str) -> None:
    vocabulary = Vocabulary.characters(symbols="<>padeos AB|")
    ids = vocabulary.encode(text)
    assert min(ids[:-1]) >= len(vocabulary.controls)
    assert (ids[-1], len(ids)) == (vocabulary.eos_id, len(text) + 1)


@pytest.mark.parametrize("literal", ["<eos>", "<pad>"])
def test_a_literal_control_is_reported_where_its_characters_are_unknown(literal: str) -> None:
    with pytest.raises(DataError, match=r"'<' .* × 1, '>' "):
        Vocabulary.characters().encode(f"the end {literal}")


def test_unknown_symbols_are_listed_with_their_counts_and_a_cure() -> None:
    vocabulary = Vocabulary.characters()
    assert vocabulary.unknown("5 x 5 = É") == {"5": 2, "=": 1, "É": 1}
    with pytest.raises(DataError) as caught:
        vocabulary.encode("5 x 5 = É")
    assert "'5' (U+0035) × 2" in caught.value.problem
    assert "'=' (U+003D) × 1" in caught.value.problem
    assert "normalize" in caught.value.cure
    assert vocabulary.unknown("known") == {}


def test_pad_and_eos_are_the_first_ids_and_end_decides_on_eos() -> None:
    assert Vocabulary.characters("ab").encode("abb") == [2, 3, 3, 1]
    assert Vocabulary.characters("ab", end=False).encode("abb") == [2, 3, 3]
    assert Vocabulary.characters("ab").decode([0, 2, 1, 3, 0]) == "ab"
    assert len(Vocabulary.characters("ab")) == 4


def test_further_controls_never_share_an_id_with_a_symbol() -> None:
    plain = Vocabulary.characters("ab")
    wide = Vocabulary(symbols=("a", "b"), controls=("<pad>", "<eos>", "<sos>", "<blank>"))
    assert plain.encode("ab") == [2, 3, 1]
    assert wide.encode("ab") == [4, 5, 1]
    assert wide.decode([2, 3, 4, 5, 1, 0]) == "ab"


def test_case_is_kept_where_symbols_have_case() -> None:
    vocabulary = Vocabulary.characters("aA")
    assert vocabulary.decode(vocabulary.encode("aAaA")) == "aAaA"


@pytest.mark.parametrize("wrong", [-1, 40, 10**9])
def test_an_id_outside_is_refused(wrong: int) -> None:
    vocabulary = Vocabulary.characters()
    assert len(vocabulary) == len(CHARACTERS) + 2 == 40
    with pytest.raises(DataError, match=str(wrong)):
        vocabulary.decode([2, wrong])


@pytest.mark.parametrize(
    "values",
    [
        {"symbols": ("ab",)},
        {"symbols": ("a", "a")},
        {"symbols": ()},
        {"symbols": ("a",), "controls": ("<eos>", "<pad>")},
        {"symbols": ("a",), "controls": ("<pad>", "<eos>", "<eos>")},
    ],
)
def test_symbols_that_make_no_sense_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="vocabulary"):
        Vocabulary(**values)


@given(
    symbols=st.sets(st.characters(), min_size=1).map(lambda s: tuple(sorted(s))),
    fold=st.booleans(),
    end=st.booleans(),
)
def test_plain_data_and_json_give_back_an_equal(
    symbols: tuple[str, ...], fold: bool, end: bool
) -> None:
    vocabulary = Vocabulary(symbols=symbols, fold_case=fold, end=end)
    again = json.loads(json.dumps(vocabulary.to_dict()))
    assert Vocabulary.from_dict(again) == vocabulary


def test_a_file_gives_back_an_equal_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    vocabulary = Vocabulary(symbols=("a", "é", "\ud800"), end=False, voice="en-gb")
    vocabulary.save(tmp_path / "vocabulary.json")
    assert Vocabulary.load(tmp_path / "vocabulary.json") == vocabulary
    assert [path.name for path in tmp_path.iterdir()] == ["vocabulary.json"]


def test_a_save_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "vocabulary.json"
    Vocabulary.characters("ab").save(path)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(MachineError, match="No space left"):
        Vocabulary.characters("cd").save(path)
    assert Vocabulary.load(path) == Vocabulary.characters("ab")
    assert [p.name for p in tmp_path.iterdir()] == ["vocabulary.json"]


def _damaged() -> list[str]:
    whole = json.dumps(Vocabulary.characters("ab").to_dict())
    edits: list[dict[str, Any]] = [
        {"symbols": "ab"},
        {"symbols": [1, 2]},
        {"symbols": ["ab"]},
        {"symbols": ["a", "a"]},
        {"end": 1},
        {"controls": []},
        {"voice": None},
        {"unknown_key": 1},
    ]
    broken = [json.dumps(json.loads(whole) | edit) for edit in edits]
    missing = {k: v for k, v in json.loads(whole).items() if k != "end"}
    return ["", whole[:-9], "[]", "null", "[" * 100_000, "\x00", json.dumps(missing), *broken]


@pytest.mark.parametrize("content", _damaged(), ids=range(len(_damaged())))
def test_a_damaged_file_is_refused_by_name_with_a_cure(tmp_path: Path, content: str) -> None:
    path = tmp_path / "vocabulary.json"
    path.write_text(content)
    with pytest.raises(CheckpointError, match=r"vocabulary\.json") as caught:
        Vocabulary.load(path)
    assert caught.value.cure


@pytest.mark.parametrize(
    ("name", "reason"), [("missing.json", "no such file"), (".", "is a directory")]
)
def test_a_missing_file_or_a_folder_is_refused(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(CheckpointError, match=reason):
        Vocabulary.load(tmp_path / name)
