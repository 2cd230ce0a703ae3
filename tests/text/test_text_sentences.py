"""Sentences are told apart, quotations and brackets are never cut, and no character is lost."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechseq.text.quotations import Passages
from speechseq.text.splitting import split_sentences

WHOLE = {
    "title": "He met Dr. Watson, Mrs. Hudson and Prof. Moriarty at St. Albans.",
    "initials": "J. R. R. Tolkien, George W. Bush and J.K. Rowling wrote it.",
    "latin": "Some, e.g. cats, i.e. pets, etc. and so on vs. Dogs, cf. Smith et al. 1999.",
    "letters": "The U.S. Army and the Ph.D. Student met at 5 p.m. Eastern time.",
    "numbers": "It costs $1,234.56 at 9:05, 3.5 km away, at a rate of .5 %.",
    "references": "See fig. 5, Vol. 2, No. 7, pp. 3 and Nos. 8 of the list.",
    "date": "It was Dec. 5, Sept. 3 or Mon. Jan. 1 of that year.",
    "measure": "It was 5 ft. 3 in. tall and 12 lbs. Heavy.",
    "ellipsis": "Wait... what is… it?",
    "spaced ellipsis": "Wait . . . what is it?",
    "leading ellipsis": "...and then he left.",
    "marks": "You did what?!",
    "enumeration": "1. First come the lists.",
    "letter of a list": "B. Second comes this.",
    "web": "Ask www.example.com or me@site.org for v2.1.3 of it.",
    "double": '"Come here. Sit down," he said.',
    "nested straight": '"He said "Go. Now" and left. Then he came."',
    "inch": '"It is 5" wide. Really."',
    "curved": "“Come here. Sit down! Why?” he said.",
    "single": "'Come here. Sit down', he said.",
    "single with a plural": "‘The dogs’ bowl is here. Eat,’ he said.",
    "nested": "“She said ‘No. Never.’ and left. So did I,” he said.",
    "german": "„Komm her. Setz dich“, sagte er.",
    "german angles": "»Komm her. Setz dich«, sagte er.",
    "french": "« Viens ici. Assieds-toi », dit-il.",
    "japanese": "「来て。座って」と言った。",
    "without a space": 'He said,"Come in. Sit down."',
    "bracket": "He left (it was late. So late!) at once.",
    "all in brackets": "(He left. It was late.)",
    "square": "The end [sic. Or not. See below] came.",
    "quotation in brackets": '(He said "Go. Now." Then he left.)',
    "paragraphs": "“Come here. Sit down.” he said.",
}
APART = {
    "marks": ["It ended.", "He left!", "Why?", "Nobody knows…", "So it goes."],
    "no": ["She said no.", "Then he went at 5 p.m.", "The end came."],
    "pronoun": ["So do I.", "You go."],
    "quoted end": ['He asked "Why?"', "She left.", "“Yes!”", "It ended."],
    "bracketed end": ["He left (really!).", "(It was late.)", "So it was."],
    "year": ["It was 1984.", "Then came $3.50.", "It rained."],
    "list": ["1. First.", "2. Second.", "IV. Fourth.", "The end."],
    "lone marks": ['He has a 5" pipe.', "It is 6' long.", "The dogs' bowl.", "'Tis late.", "Go."],
    "lone brackets": ["1) A dog.", "2) A cat :).", "The end."],
    "unclosed": ["“It began.", "It ended."],
    "spaced ellipsis": ["Oh . . .", "Yes."],
    "chinese": ["今天。", "明天！", "后天？"],
}


@pytest.mark.parametrize("kind", WHOLE)
def test_what_belongs_together_stays_whole(kind: str) -> None:
    whole = WHOLE[kind]
    assert split_sentences(f"It began. {whole} Then it ended. So it goes.") == [
        *("It began.", whole, "Then it ended.", "So it goes.")
    ]


@pytest.mark.parametrize("kind", APART)
def test_sentences_are_told_apart(kind: str) -> None:
    assert split_sentences(" ".join(APART[kind])) == APART[kind]


def test_a_blank_line_ends_a_sentence_but_not_a_quotation() -> None:
    text = "A heading\n\nOne line\nis wrapped.\n \n“It began.\n\nIt ended,” he said."
    expected = ["A heading", "One line is wrapped.", "“It began. It ended,” he said."]
    assert split_sentences(text) == expected


def test_a_stray_mark_holds_only_until_the_end_of_its_paragraph() -> None:
    expected = ["(It began.", "It ended.", "A smile :) here.", "It goes on."]
    assert split_sentences("(It began. It ended.\n\nA smile :) here. It goes on.") == expected


@pytest.mark.parametrize("text", ["", " \n\n ", "\x1c"])
def test_nothing_has_no_sentences(text: str) -> None:
    assert split_sentences(text) == []


SIGNS = "aB Ié1.,!?…:;'\"“”„‘’«»()[]{}。？「」-—\n\t\xa0\x1c"


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from(SIGNS), max_size=60) | st.text(max_size=40))
def test_every_character_but_white_space_comes_back_in_order(text: str) -> None:
    sentences = split_sentences(text)
    assert "".join("".join(sentences).split()) == "".join(text.split())
    assert all(sentence == " ".join(sentence.split()) != "" for sentence in sentences)


PLAIN = st.sampled_from(
    ["It rained.", "Dr. No came!", "Why not?", "She paid $3.50.", "We waited…", "So do I."]
)
MARKS = st.sampled_from(["“”", "„“", "«»", "»«", '""', "''", "‘’", "()", "[]", "「」"])


@settings(max_examples=200, deadline=None)
@given(st.lists(PLAIN), MARKS, st.lists(PLAIN, min_size=1), st.lists(PLAIN))
def test_a_quotation_is_never_cut_inside(
    before: list[str], marks: str, inside: list[str], after: list[str]
) -> None:
    quotation = marks[0] + " ".join(inside) + marks[1]
    sentences = split_sentences(" ".join([*before, quotation, *after]))
    assert sum(quotation in sentence for sentence in sentences) == 1
    assert sentences[: len(before)] == before


def test_passages_are_told_from_stray_marks() -> None:
    text = "a (b [c] d) e) “f"
    inside = [Passages(text).contains(i) for i in range(len(text) + 1)]
    assert [i for i, within in enumerate(inside) if within] == list(range(3, 11))


HOSTILE = ["(", ")", '"', "'", "“", "”", "()", '" ', "' a", '5"', "s' ", "\n", ". ", "1. ", "«»"]


@pytest.mark.parametrize("part", HOSTILE)
def test_many_marks_take_linear_time(part: str) -> None:
    text = part * (20_000 // len(part))
    for _ in range(3):  # again if another process disturbed it
        began = time.process_time()
        split_sentences(text[: len(text) // 4])
        quarter = time.process_time()
        sentences = split_sentences(text)
        whole = time.process_time() - quarter
        growth = whole / max(quarter - began, 0.02)
        if growth < 9:
            break
    assert growth < 9  # 4 if linear, 16 if quadratic
    assert "".join("".join(sentences).split()) == "".join(text.split())
