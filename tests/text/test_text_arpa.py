"""ARPA files come back as they went; damage is named; estimated models are distributions."""

import gzip
import itertools
import math
from pathlib import Path

import pytest
from plain_arpa import parse, sentence_log_prob, word_log_prob

from speechseq.errors import ConfigError, DataError, MachineError
from speechseq.text import arpa
from speechseq.text.ngrams import estimate

SMALL = """a comment
\\data\\
ngram 1=5
ngram 2=3
ngram 3=1

\\1-grams:
-99\t<s>\t-0.5
-0.8\t</s>
-0.6\tone\t-0.3
-0.5\ttwo\t-0.2
-1.5\t<unk>

\\2-grams:
-0.2\t<s> one\t-0.1
-0.4\tone two\t-0.7
-0.9\ttwo </s>

\\3-grams:
-0.1\t<s> one two

\\end\\
"""
TEXTS = ["one two", "one two two one", "two", "one", "three one two", "one two"]
SENTENCES = [text.split() for text in TEXTS]


def write(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def test_a_file_is_read_in_natural_logarithms(tmp_path: Path) -> None:
    model = arpa.read(write(tmp_path / "a.arpa", SMALL))
    assert model.words == ("<s>", "</s>", "one", "two", "<unk>")
    assert [len(ngrams.ids) for ngrams in model.orders] == [5, 3, 1]
    assert model.orders[2].ids.tolist() == [[0, 2, 3]]
    assert model.orders[0].log_probs[2] == pytest.approx(-0.6 * math.log(10))
    assert model.orders[1].backoffs.tolist() == pytest.approx(
        [-0.1 * math.log(10), -0.7 * math.log(10), 0.0]
    )


def test_a_gzipped_file_is_the_same_and_a_written_one_too(tmp_path: Path) -> None:
    (tmp_path / "a.arpa.gz").write_bytes(gzip.compress(SMALL.encode()))
    model = arpa.read(tmp_path / "a.arpa.gz")
    arpa.write(tmp_path / "b.arpa", model)
    again, true = parse((tmp_path / "b.arpa").read_text()), parse(SMALL)
    assert again.keys() == true.keys()
    for ngram, numbers in true.items():
        assert again[ngram] == pytest.approx(numbers, abs=1e-8)
    assert arpa.read(tmp_path / "b.arpa").words == model.words
    assert [path.name for path in tmp_path.glob(".*")] == []


DAMAGES = {
    "not at all": ("\\data\\", "data", "cut"),
    "a count too high": ("ngram 2=3", "ngram 2=4", r":19: 4 2-grams were promised, here are 3"),
    "a count too low": ("ngram 2=3", "ngram 2=2", r":17: expected .3-grams:, got"),
    "an order left out": ("ngram 2=3\n", "", r":4: expected 'ngram 2=COUNT'"),
    "cut in a line": ("two </s>", "two", r":17: expected a number, 2 words"),
    "no number": ("-0.2\t<s>", "x0.2\t<s>", r":15: no number"),
    "no probability": ("-0.2\t<s>", "0.2\t<s>", r":15: no logarithm of a probability"),
    "not finite": ("-0.2\t<s>", "nan\t<s>", r":15: no logarithm of a probability"),
    "an infinite back-off": ("one\t-0.3", "one\tinf", r":10: no logarithm"),
    "a stranger": ("one two\t", "one six\t", r":16: 'six' is no unigram"),
    "an n-gram twice": ("two </s>", "one two\t0", r":17: .* stands twice"),
    "a unigram twice": ("-0.5\ttwo", "-0.5\tone", r":11: .* stands twice"),
    "no end": ("\\end\\", "", r":22: ends here: the file was cut"),
    "no </s>": ("</s>", "end", "has no </s>"),
}


@pytest.mark.parametrize(("old", "new", "problem"), DAMAGES.values(), ids=DAMAGES)
def test_damage_is_named_by_file_and_line(tmp_path: Path, old: str, new: str, problem: str) -> None:
    path = write(tmp_path / "a.arpa", SMALL.replace(old, new))
    with pytest.raises(DataError, match=rf"a\.arpa.*{problem}") as caught:
        arpa.read(path)
    assert caught.value.cure


def test_every_cut_is_noticed(tmp_path: Path) -> None:
    lines = SMALL.splitlines(keepends=True)
    for kept in range(len(lines)):
        with pytest.raises(DataError, match=r"a\.arpa:\d+"):
            arpa.read(write(tmp_path / "a.arpa", "".join(lines[:kept])))


@pytest.mark.parametrize("data", [b"", b"\x00" * 5000, b"\x1f\x8b\x08", b"\n" * 3000])
def test_what_is_no_arpa_file_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.arpa").write_bytes(data)
    with pytest.raises(DataError, match=r"a\.arpa"):
        arpa.read(tmp_path / "a.arpa")


def test_a_word_that_is_no_utf_8_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.arpa").write_bytes(SMALL.replace("one", "\xe9").encode("latin-1"))
    with pytest.raises(DataError, match=r"a\.arpa:10: not UTF-8"):
        arpa.read(tmp_path / "a.arpa")


def test_a_folder_that_is_missing_cannot_be_written_to(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="cannot be written"):
        arpa.write(tmp_path / "nowhere" / "a.arpa", estimate(SENTENCES, 1))


def estimated(tmp_path: Path, order: int, **options: object) -> dict:
    arpa.write(tmp_path / "a.arpa", estimate(SENTENCES, order, **options))  # type: ignore[arg-type]
    arpa.read(tmp_path / "a.arpa")  # and ours is one that we accept
    return parse((tmp_path / "a.arpa").read_text())


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("unknown", [True, False])
def test_law_3_an_estimated_model_is_normalised_after_every_history(
    tmp_path: Path, order: int, unknown: bool
) -> None:
    model = estimated(tmp_path, order, unknown=unknown, words=["four"])
    words = ["</s>", "one", "two", "three", "four"] + ["<unk>"] * unknown
    for length in range(order):
        for history in itertools.product(["<s>", *words[1:]], repeat=length):
            total = sum(math.exp(word_log_prob(model, history, word)) for word in words)
            assert total == pytest.approx(1.0, abs=1e-7), history


def test_an_estimate_is_the_papers_formula(tmp_path: Path) -> None:
    """The counts by hand: 6 of 19 tokens are "one", 6 "two"; after "one" come "two" (4), the end
    (2).
    """
    model = estimated(tmp_path, 2, unknown=False)
    tokens, kinds, words = 19, 4, 4
    unigram = (6 + kinds / words) / (tokens + kinds)  # "two" comes 6 times
    expected = (4 + 2 * unigram) / (6 + 2)
    assert math.exp(word_log_prob(model, ("one",), "two")) == pytest.approx(expected, rel=1e-7)
    assert math.exp(word_log_prob(model, ("one",), "three")) == pytest.approx(
        2 / 8 * (1 + kinds / words) / (tokens + kinds), rel=1e-7
    )


def test_a_longer_history_fits_better_than_none_and_than_chance(tmp_path: Path) -> None:
    likelihoods = []
    for order in (1, 2, 3):
        model = estimated(tmp_path, order, unknown=False)
        likelihoods.append(sum(sentence_log_prob(model, words) for words in SENTENCES))
    chance = -math.log(4) * sum(len(words) + 1 for words in SENTENCES)
    assert chance < likelihoods[0] < likelihoods[1] < likelihoods[2]


def test_spaces_are_words_of_a_character_model(tmp_path: Path) -> None:
    model = estimate([list("a b"), list("b a b")], 3)
    arpa.write(tmp_path / "a.arpa", model)
    assert "<space>" in arpa.read(tmp_path / "a.arpa").words


@pytest.mark.parametrize("word", ["<s>", "</s>", "", "a b", "\t", "\u00a0"])
def test_words_that_a_file_cannot_hold_are_refused(word: str) -> None:
    with pytest.raises(DataError, match="cannot be a word"):
        estimate([["one", word]], 2)


def test_nothing_to_count_is_refused() -> None:
    with pytest.raises(DataError, match="no sentences"):
        estimate([], 2)
    with pytest.raises(ConfigError, match="order: 0"):
        estimate(SENTENCES, 0)
    assert estimate([[]], 2).words == ("<s>", "</s>", "<unk>")  # an empty sentence is one
