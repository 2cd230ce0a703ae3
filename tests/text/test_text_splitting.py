"""Long texts are cut where a reader would pause, and nothing of them is lost."""

import re
import time

import pytest

from speechseq.text.splitting import LONGEST, split

FILLER = "The quick brown fox jumps over the lazy dog, and the dog sleeps on. " * 10


def test_a_text_that_is_short_enough_is_left_as_it_is() -> None:
    text = ("  Two. \n\n Lines. " * 40)[:LONGEST]
    assert [(piece.text, piece.pause) for piece in split(text)] == [(text, 0.0)]


@pytest.mark.parametrize(
    "whole",
    [
        "He met Dr. Watson and Mrs. Hudson at 3.5 miles from St. Albans.",
        "It costs $1,234.56, or 9:05 hours, vs. nothing.",
        "J. R. R. Tolkien wrote it, e.g. in the U.S. and elsewhere.",
        '"Come here. Sit down." he said.',
        "“Come here. Sit down,” he said.",
        "See fig. 5 and No. 7 of the list.",
        "Wait... what is it?",
        "Yes!” she said.",
    ],
)
def test_what_belongs_together_stays_in_one_sentence(whole: str) -> None:
    pieces = [piece.text for piece in split(f"{FILLER}{whole} Then came more. {FILLER}")]
    assert whole in pieces
    assert "Then came more." in pieces


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It ended. He left! Why? Nobody knows…", ["It ended.", "He left!", "Why?"]),
        ("She said no. Then he went at 5 p.m. The end came.", ["She said no.", "The end came."]),
        ("So do I. You go.", ["So do I.", "You go."]),
        ('He asked "Why?" She left.', ['He asked "Why?"', "She left."]),
        ("One line\nis wrapped. Two.", ["One line is wrapped.", "Two."]),
    ],
)
def test_sentences_are_told_apart(text: str, expected: list[str]) -> None:
    pieces = [piece.text for piece in split(f"{text} {FILLER}")]
    assert [piece for piece in expected if piece not in pieces] == []


@pytest.mark.parametrize(
    ("mark", "pause"),
    [(".", 0.4), ("?", 0.4), ("!", 0.45), ("!”", 0.45), (".)", 0.4), ("…", 0.4)],
)
def test_the_mark_at_the_end_of_a_sentence_gives_its_pause(mark: str, pause: float) -> None:
    opening = {"!”": "“", ".)": "("}.get(mark, "")
    text = f"{opening}The lamp was lit{mark} Nobody spoke."
    assert [piece.pause for piece in split(text, 20)] == [pause, 0.0]


@pytest.mark.parametrize(
    ("mark", "pause"), [(",", 0.2), (";", 0.3), (":", 0.3), (" –", 0.15), ("", 0.05)]
)
def test_the_mark_at_the_end_of_a_clause_gives_its_pause(mark: str, pause: float) -> None:
    first, second = split(f"the lamp was all lit{mark} and nobody spoke.", 22)
    assert (first.text, first.pause, second.pause) == (f"the lamp was all lit{mark}", pause, 0.0)


def test_pauses_follow_paragraphs_sentences_clauses_and_words() -> None:
    text = "First one here.\n\nSecond, which is long; and goes on. Last words of it"
    assert [(piece.text, piece.pause) for piece in split(text, 20)] == [
        ("First one here.", 0.7),
        ("Second,", 0.2),
        ("which is long;", 0.3),
        ("and goes on.", 0.4),
        ("Last words of it", 0.0),
    ]


def test_numbers_keep_their_commas_and_points_in_clauses() -> None:
    for piece in split("about 1,234.56 and 7,890.12 and 3.14159 and 12:45 " * 20, 30):
        assert not re.search(r"\d[.,:]$|^[.,:]?\d\d\b(?! and)", piece.text.removesuffix("12:45"))


HOSTILE = {
    "one word": "a" * 200_000,
    "no stops": "word " * 40_000,
    "an open quote": '"' + "One two three. " * 12_000,
    "stops": "." * 200_000,
    "stops apart": ". " * 30_000,
    "new lines": "\n" * 30_000 + " \n" * 15_000,
    "spaces": "a" + " " * 199_999,
    "commas": "a," * 100_000,
    "closing": "." + ")" * 199_999,
    "dashes": "-" * 200_000,
    "many sentences": "Dr. No met J. Bond at 3.5. " * 8_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_many_characters_are_cut_in_linear_time_and_nothing_is_lost(name: str) -> None:
    text = HOSTILE[name][:100_000]
    began = time.process_time()
    split(text[: len(text) // 4])
    quarter = time.process_time()
    pieces = split(text)
    whole = time.process_time() - quarter
    assert whole < 9 * max(quarter - began, 0.05)  # 4 if linear, 16 if quadratic
    assert all(0 < len(piece.text) <= LONGEST for piece in pieces)
    kept = "".join("".join(piece.text for piece in pieces).split())
    assert kept == "".join(text.split())
