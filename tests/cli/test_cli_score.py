"""speechseq score: every form of file gives one figure, and every fault names its file and line."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

REF = {"u1": "one two three", "u2": "four", "u3": "five six"}
HYP = {"u1": "one too three", "u2": "", "u3": "five six seven"}  # S, D, I: 3 errors in 6 words

FORMS: dict[str, Callable[[dict[str, str]], str]] = {
    "text": lambda said: "".join(f"{i} {t}".rstrip() + "\n" for i, t in said.items()),
    "windows": lambda said: "\ufeff" + "".join(f"{i} {t}\r\n" for i, t in said.items()),
    "tsv": lambda said: "".join(f"{i}\t{t}\n" for i, t in said.items()),
    "header": lambda said: (
        "speaker\tpath\ttext\n" + "".join(f"amy\ta/{i}.wav\t{t}\n" for i, t in said.items())
    ),
    "trn": lambda said: "".join(f"{t} ({i})\n" for i, t in said.items()),
    "json": lambda said: "".join(json.dumps({"id": i, "text": t}) + "\n" for i, t in said.items()),
    "paths": lambda said: "\n".join(
        json.dumps({"path": f"/x.y/{i}.flac", "text": t, "words": []}) for i, t in said.items()
    ),
}


@pytest.fixture
def ref(tmp_path: Path) -> Path:
    return write(tmp_path / "ref", FORMS["text"](REF))


@pytest.fixture
def hyp(tmp_path: Path) -> Path:
    return write(tmp_path / "hyp", FORMS["text"](HYP))


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def data_of(speechseq: Callable, *argv: object) -> dict:
    ended = speechseq("score", *argv, "--json")
    assert (ended.code, ended.err) == (0, "")
    return json.loads(ended.out)


@pytest.mark.parametrize("heard", FORMS)
@pytest.mark.parametrize("asked", FORMS)
def test_every_form_of_file_gives_the_same_figures(
    asked: str, heard: str, speechseq: Callable, tmp_path: Path
) -> None:
    ref = write(tmp_path / "ref", FORMS[asked](REF))
    hyp = write(tmp_path / "hyp", FORMS[heard](HYP))
    (system,) = data_of(speechseq, "--ref", ref, "--hyp", hyp)["systems"]
    assert system["words"] == {"correct": 4, "substitutions": 1, "deletions": 1, "insertions": 1}
    assert system["wer"] == 0.5
    assert set(system["speakers"]) == ({"amy"} if asked == "header" else set())


def test_a_person_reads_rates_intervals_and_kinds_of_errors(
    speechseq: Callable, ref: Path, hyp: Path
) -> None:
    ended = speechseq("score", "--ref", ref, "--hyp", hyp)
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert lines[0] == f"{hyp}: 3 utterances"
    assert lines[1].startswith("  WER  50.00 % (33.33 to 100.00 at 95 %): of 6 words ")
    assert lines[1].endswith("1 substituted, 1 deleted, 1 inserted")
    assert lines[2] == "  SER  100.00 %: 3 of 3 utterances have an error"
    assert "CER" not in ended.out
    with_characters = speechseq("score", "--ref", ref, "--hyp", hyp, "--cer").out
    assert (
        "\n  CER  44.00 % (" in with_characters
    )  # 1 of "two", 4 of "four", 6 of " seven"; 25 in all


def test_details_align_every_utterance(speechseq: Callable, ref: Path, hyp: Path) -> None:
    speakers = write(ref.parent / "utt2spk", "u1 amy\nu2 amy\nu3 zoe\n")
    out = speechseq(*("score", "--ref", ref, "--hyp", hyp, "--details", "--speakers", speakers)).out
    assert "id: (u2)\nScores: (#C #S #D #I) 0 0 1 0\nREF:  four\nHYP:  ****\n" in out
    assert "| amy     |     2     4 |" in out
    assert "    1  two → too\n" in out
    (system,) = data_of(speechseq, "--ref", ref, "--hyp", hyp, "--details")["systems"]
    assert [row["id"] for row in system["rows"]] == ["u1", "u2", "u3"]
    assert system["rows"][0]["edits"][1] == {"kind": "substitute", "asked": "two", "heard": "too"}


def test_two_systems_are_compared(speechseq: Callable, ref: Path, hyp: Path) -> None:
    better = write(ref.parent / "better", FORMS["trn"](REF))
    ended = speechseq("score", "--ref", ref, "--hyp", hyp, "--hyp2", better)
    assert ended.code == 0
    assert "second against first, words: -50.00 points (-100.00 to -33.33 at 95 %)" in ended.out
    data = data_of(speechseq, "--ref", ref, "--hyp", better, "--hyp2", hyp, "--cer")
    assert set(data["comparison"]) == {"words", "characters"}
    assert data["comparison"]["words"]["difference"] == 0.5
    assert data["comparison"]["words"]["improvement"] == 0.0
    assert len(data["systems"]) == 2


def test_normalize_compares_what_is_spoken(speechseq: Callable, tmp_path: Path) -> None:
    ref = write(tmp_path / "ref", "u1 Twenty-one, please.\n")
    hyp = write(tmp_path / "hyp", "u1 21 PLEASE\n")
    assert data_of(speechseq, "--ref", ref, "--hyp", hyp)["systems"][0]["wer"] == 1.0
    (system,) = data_of(speechseq, "--ref", ref, "--hyp", hyp, "--normalize")["systems"]
    assert system["words"]["correct"] == 3
    assert system["wer"] == 0.0


def test_missing_and_surplus_ids_are_named_or_count_as_empty(
    speechseq: Callable, ref: Path
) -> None:
    hyp = write(ref.parent / "part", "u1 one two three\nu9 nine ten\n")
    ended = speechseq("score", "--ref", ref, "--hyp", hyp)
    assert (ended.code, ended.out) == (3, "")
    assert f"{hyp} and {ref}: 2 missing: u2, u3; 1 that no reference has: u9" in ended.err
    assert "--allow-missing" in ended.err
    (system,) = data_of(speechseq, "--ref", ref, "--hyp", hyp, "--allow-missing")["systems"]
    assert system["words"] == {"correct": 3, "substitutions": 0, "deletions": 3, "insertions": 2}
    assert system["utterances"] == 4
    both = data_of(speechseq, "--ref", ref, "--hyp", ref, "--hyp2", hyp, "--allow-missing")
    assert [system["utterances"] for system in both["systems"]] == [4, 4]


def test_references_without_words_have_no_rate(speechseq: Callable, tmp_path: Path) -> None:
    ref, hyp = write(tmp_path / "ref", "u1\n"), write(tmp_path / "hyp", "u1 oh\n")
    (system,) = data_of(speechseq, "--ref", ref, "--hyp", hyp)["systems"]
    assert (system["wer"], system["wer_interval"]) == (None, None)
    ended = speechseq("score", "--ref", ref, "--hyp", hyp, "--details", "--cer")
    assert ended.code == 0
    assert "WER  inf %: of 0 words 0 substituted, 0 deleted, 1 inserted" in ended.out


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("hyp", None, "hyp: no such file"),
        ("hyp", b"", "hyp: is empty"),
        ("hyp", b"\n \n", "hyp: is empty"),
        ("hyp", "u1 one\nu2 zw\xf6lf\n".encode("latin-1"), "hyp:2: not UTF-8"),
        ("hyp", b"u1 one\n\nu1 two\n", "hyp:3: id 'u1' stands already in line 1"),
        ("hyp.trn", b"one (u1)\ntwo\n", "hyp.trn:2: no (id) at the end"),
        ("hyp.tsv", b"u1\tone\nu2\n", "hyp.tsv:2: 1 columns, expected 2"),
        ("hyp.tsv", b"id\ttext\nu2\n", "hyp.tsv:2: 1 columns, the header has 2"),
        ("hyp.tsv", b"id\ttext\n", "holds no transcripts"),
        ("hyp.tsv", b"\tone\n", "hyp.tsv:1: no id"),
        ("hyp", b'{"id": "u1", "text": "one"}\n{"id": "u2", "te\n', "hyp:2: no JSON"),
        ("hyp.json", b"[1]\n", "hyp.json:1: no JSON object"),
        ("hyp", b'{"id": "u1"}\n', "hyp:1: no text"),
        ("hyp", b'{"path": "x.wav", "error": "is cut"}\n', "hyp:1: no text (is cut)"),
        ("hyp", b'{"text": "one"}\n', "hyp:1: no id"),
        ("hyp", b'{"id": 1, "text": null}\n', "hyp:1: id, text: no string"),
    ],
)
def test_what_cannot_be_read_is_code_3_and_names_file_and_line(
    name: str, content: bytes | None, expected: str, speechseq: Callable, ref: Path
) -> None:
    path = ref.parent / name
    if content is not None:
        path.write_bytes(content)
    ended = speechseq("score", "--ref", ref, "--hyp", path)
    assert (ended.code, ended.out) == (3, "")
    assert expected in ended.err
    assert "cure: " in ended.err


SAID = {"u1": "he said (softly)", "u2": "she sang (loudly)", "u3": "they left (early)"}
DOUBTFUL = {
    "both text": ("text", "text", SAID, SAID),
    "both trn": ("trn", "trn", REF, HYP),
    "trn, all words right": ("trn", "trn", SAID, SAID),
    "told by json": ("json", "text", SAID, SAID),
    "told by text": ("text", "text", REF, SAID),
    "told by text, trn": ("text", "trn", REF, REF),
    "trn in text": ("text", "text", SAID, {"u1": "", "u2": "x (a)", "u3": "(y)"}),
}


@pytest.mark.parametrize(("asked", "heard", "ref", "hyp"), DOUBTFUL.values(), ids=DOUBTFUL)
def test_parentheses_at_the_ends_of_lines_are_ids_only_where_they_are(
    speechseq: Callable, tmp_path: Path, asked: str, heard: str, ref: dict, hyp: dict
) -> None:
    files = ("--ref", write(tmp_path / "ref", FORMS[asked](ref)))
    files += ("--hyp", write(tmp_path / "hyp", FORMS[heard](hyp)))
    data = data_of(speechseq, *files, "--details")
    assert [row["id"] for row in data["systems"][0]["rows"]] == ["u1", "u2", "u3"]
    assert list(data["formats"].values()) == [asked, heard]


def test_a_form_that_was_told_by_ids_is_said(speechseq: Callable, tmp_path: Path) -> None:
    path = write(tmp_path / "ref", FORMS["text"](SAID))
    out = speechseq("score", "--ref", path, "--hyp", path).out
    assert out.startswith(f"{path}: read as text\n")


def test_a_form_that_ids_cannot_tell_is_asked_for(speechseq: Callable, tmp_path: Path) -> None:
    path = write(tmp_path / "ref", "one two (three)\nfour five (six)\n")
    ended = speechseq("score", "--ref", path, "--hyp", path)
    assert ended.code == 3
    assert "--format trn" in ended.err
    for form, ids in (("text", ["one", "four"]), ("trn", ["three", "six"])):
        data = data_of(speechseq, "--ref", path, "--hyp", path, "--format", form, "--details")
        assert [row["id"] for row in data["systems"][0]["rows"]] == ids


def test_a_tab_may_follow_an_id_and_an_id_may_stand_alone(speechseq: Callable, ref: Path) -> None:
    hyp = write(ref.parent / "hyp", "u2\nu1\tone two three\nu3  five six\n")
    (system,) = data_of(speechseq, "--ref", ref, "--hyp", hyp)["systems"]
    assert system["words"] == {"correct": 5, "substitutions": 0, "deletions": 1, "insertions": 0}


def test_ids_that_stand_twice_in_trn_are_no_text(speechseq: Callable, tmp_path: Path) -> None:
    ref = write(tmp_path / "ref", "one (u1)\ntwo (u2)\n")
    hyp = write(tmp_path / "hyp", "one (u1)\ntwo (u1)\n")
    ended = speechseq("score", "--ref", ref, "--hyp", hyp)
    assert ended.code == 3
    assert "id 'u1' stands already in line 1" in ended.err


def test_of_many_problems_the_first_are_named(speechseq: Callable, ref: Path) -> None:
    hyp = write(ref.parent / "hyp.trn", "no id\n" * 100)
    ended = speechseq("score", "--ref", ref, "--hyp", hyp)
    assert ended.code == 3
    assert "hyp.trn:20:" in ended.err
    assert "hyp.trn:21:" not in ended.err
    assert "… and 80 more" in ended.err


def test_wrong_use_is_code_2(speechseq: Callable, ref: Path) -> None:
    for argv, expected in (
        (("--ref", ref), "--hyp"),
        (("--ref", ref, "--hyp", ref, "--hpy2", ref), "did you mean '--hyp2'"),
    ):
        ended = speechseq("score", *argv)
        assert ended.code == 2
        assert expected in ended.err


def test_scoring_loads_no_torch(ref: Path, hyp: Path) -> None:
    program = (
        "import sys; from speechseq.cli import main; "
        f"assert main(['score', '--ref', {str(ref)!r}, '--hyp', {str(hyp)!r}]) == 0; "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
