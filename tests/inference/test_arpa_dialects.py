"""ARPA files as others write them score as a plain reader scores them, or are refused by line."""

import gzip
from pathlib import Path

import pytest
import torch
from plain_arpa import parse, sentence_log_prob

from speechseq.errors import DataError
from speechseq.inference.arpa_lm import NGramScorer, WordNGramScorer
from speechseq.inference.lm.scorer import log_prob
from speechseq.inference.search.interfaces import Scorer
from speechseq.text import arpa
from speechseq.text.vocabulary import Vocabulary

PLAIN = """\\data\\
ngram 1=6
ngram 2=5
ngram 3=3

\\1-grams:
-99\t<s>\t-0.5
-0.8\t</s>
-0.6\tone\t-0.3
-0.5\ttwo\t-0.2
-0.7\tthree\t-0.4
-1.5\t<unk>\t-0.1

\\2-grams:
-0.2\t<s> one\t-0.1
-0.4\tone two\t-0.7
-0.9\ttwo </s>
-0.3\ttwo one\t-0.25
-0.6\t<unk> two\t-0.15

\\3-grams:
-0.1\t<s> one two
-0.35\tone two one
-0.45\ttwo one two

\\end\\
"""
NAMES = ["one", "two", "three", "zebra"]
WORDS = Vocabulary.words(NAMES)
LETTERS = Vocabulary.transcripts("abcdefghijklmnopqrstuvwxyz ")
TEXTS = ["one two one two", "zebra two", "one zebra", "three three", "two one two one", ""]


def scores(path: Path) -> torch.Tensor:
    """ln P of the texts, by both scorers (2, texts)."""

    def of(scorer: Scorer, vocabulary: Vocabulary) -> torch.Tensor:
        rows = [torch.tensor(vocabulary.encode(text)) for text in TEXTS]
        tokens = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        return log_prob(scorer, tokens, torch.tensor([len(row) for row in rows]))

    return torch.stack(
        [of(NGramScorer.load(path, WORDS), WORDS), of(WordNGramScorer.load(path, LETTERS), LETTERS)]
    )


def plainly(text: str) -> torch.Tensor:
    model = parse(text)
    one = torch.tensor([sentence_log_prob(model, text.split()) for text in TEXTS])
    return one.double().expand(2, -1)


def same(path: Path, plain: str) -> None:
    torch.testing.assert_close(scores(path), plainly(plain), rtol=1e-5, atol=1e-5)


DIALECTS = {
    "as it is": PLAIN,
    "<UNK>": PLAIN.replace("<unk>", "<UNK>"),
    "<Unk>": PLAIN.replace("<unk>", "<Unk>"),
    "<S> and </S>": PLAIN.replace("<s>", "<S>").replace("</s>", "</S>"),
    "byte order mark": "\ufeff" + PLAIN,
    "CRLF": PLAIN.replace("\n", "\r\n"),
    "spaces for tabs": PLAIN.replace("\t", " "),
    "trailing white space": PLAIN.replace("\n", " \t\n"),
    "no blank lines": "\n".join(filter(None, PLAIN.splitlines())) + "\n",
    "more blank lines": PLAIN.replace("\n", "\n\n"),
    "spaces in the counts": PLAIN.replace("=", " = "),
    "no newline at the end": PLAIN.rstrip(),
    "back-off on the highest order": PLAIN.replace("one two one", "one two one\t-0.6"),
    "comments before": "made by a tool\n# order 3\n" + PLAIN,
    "-inf": PLAIN.replace("-99\t<s>", "-inf\t<s>"),
    "more after the end": PLAIN + "anything\n",
}


@pytest.mark.parametrize("text", DIALECTS.values(), ids=DIALECTS)
def test_a_dialect_scores_as_the_plain_form(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.arpa").write_bytes(text.encode())
    same(tmp_path / "a.arpa", PLAIN)


def test_a_gzipped_file_needs_no_ending_and_an_ending_no_gzip(tmp_path: Path) -> None:
    (tmp_path / "a.arpa").write_bytes(gzip.compress(PLAIN.encode()))
    (tmp_path / "b.arpa.gz").write_bytes(PLAIN.encode())
    same(tmp_path / "a.arpa", PLAIN)
    same(tmp_path / "b.arpa.gz", PLAIN)


@pytest.mark.parametrize("gone", ["one two", "two one", "<s> one"])
def test_a_prefix_that_was_pruned_is_supplied_by_back_off(tmp_path: Path, gone: str) -> None:
    lines = [line for line in PLAIN.splitlines() if f"\t{gone}\t" not in line]
    assert len(lines) == len(PLAIN.splitlines()) - 1
    text = "\n".join(lines).replace("ngram 2=5", "ngram 2=4")
    (tmp_path / "a.arpa").write_text(text)
    same(tmp_path / "a.arpa", text)
    model = arpa.read(tmp_path / "a.arpa")
    assert [len(ngrams.ids) for ngrams in model.orders] == [6, 5, 3]


def test_prefixes_of_supplied_prefixes_are_supplied(tmp_path: Path) -> None:
    text = PLAIN.replace("\\end\\", "\\4-grams:\n-0.05\tthree one three two\n\n\\end\\")
    text = text.replace("ngram 3=3", "ngram 3=3\nngram 4=1")
    (tmp_path / "a.arpa").write_text(text)
    same(tmp_path / "a.arpa", text)
    model = arpa.read(tmp_path / "a.arpa")
    assert [len(ngrams.ids) for ngrams in model.orders] == [6, 6, 4, 1]


@pytest.mark.parametrize("zero", ["-inf", "-Infinity", "-99", "-1e300"])
def test_a_probability_of_zero_is_finite(tmp_path: Path, zero: str) -> None:
    (tmp_path / "a.arpa").write_text(PLAIN.replace("-0.4\tone two", f"{zero}\tone two"))
    found = scores(tmp_path / "a.arpa")
    assert found.isfinite().all()
    torch.testing.assert_close(found, plainly(PLAIN.replace("-0.4\tone two", "-99\tone two")))


REFUSED = {
    "+inf": (PLAIN.replace("-0.6\tone", "inf\tone"), r":9: no logarithm"),
    "NaN": (PLAIN.replace("-0.6\tone", "nan\tone"), r":9: no logarithm"),
    "a back-off of NaN": (PLAIN.replace("one\t-0.3", "one\tnan"), r":9: no logarithm"),
    "fewer than promised": (PLAIN.replace("ngram 2=5", "ngram 2=6"), r":21: 6 2-grams were"),
    "more than promised": (PLAIN.replace("ngram 1=6", "ngram 1=5"), r":12: expected .2-grams:"),
    "no end": (PLAIN.replace("\\end\\\n", ""), r":25: ends here"),
    "twice": (PLAIN.replace("two one\t", "one two\t"), r":18: .* stands twice"),
    "no counts": ("\\data\\\n\n\\1-grams:\n", r":3: expected 'ngram 1=COUNT'"),
}


@pytest.mark.parametrize(("text", "problem"), REFUSED.values(), ids=REFUSED)
def test_what_means_nothing_is_refused_by_line(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "a.arpa").write_text(text)
    with pytest.raises(DataError, match=problem) as caught:
        arpa.read(tmp_path / "a.arpa")
    assert caught.value.cure
