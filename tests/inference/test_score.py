"""Errors are summed over the corpus, intervals cover, and a paired test is fair."""

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechseq.errors import DataError
from speechseq.evaluation.sclite import aligned, report
from speechseq.inference.score import Confusion, compare_systems, score
from speechseq.inference.wer import bootstrap
from speechseq.inference.wer.edits import Counts, Edit, total

texts = st.lists(st.sampled_from(["a", "b", "cc", "dd é"]), max_size=6).map(" ".join)
pairs = st.lists(st.tuples(texts, texts), max_size=5)


def fewest_edits(ref: list[str], hyp: list[str]) -> int:
    """Levenshtein's distance by his own recursion, row by row."""
    row = list(range(len(hyp) + 1))
    for i, one in enumerate(ref, 1):
        above, row = row, [i]
        for j, other in enumerate(hyp, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (one != other)))
    return row[-1]


@given(pairs)
@settings(max_examples=100, deadline=None)
def test_errors_are_the_fewest_edits_of_words_and_of_characters(pairs: list) -> None:
    for row, (ref, hyp) in zip(score(pairs).rows, pairs, strict=True):
        ref, hyp = " ".join(ref.split()), " ".join(hyp.split())
        assert row.words.errors == fewest_edits(ref.split(), hyp.split())
        assert row.characters.errors == fewest_edits(list(ref), list(hyp))
        assert row.words.ref == len(ref.split())
        assert row.characters.ref == len(ref)
        length = row.words.correct + row.words.substitutions + row.words.insertions
        assert length == len(hyp.split())


@given(pairs)
@settings(max_examples=50, deadline=None)
def test_the_edits_lead_from_the_reference_to_the_hypothesis(pairs: list) -> None:
    for row in score(pairs).rows:
        assert " ".join(e.ref for e in row.edits if e.ref) == row.ref
        assert " ".join(e.hyp for e in row.edits if e.hyp) == row.hyp
        assert all((e.kind == "equal") == (e.ref == e.hyp) for e in row.edits)


def test_trap_31_errors_are_summed_over_the_corpus_not_averaged() -> None:
    """1 of 1 wrong and 0 of 9 wrong are 0.1, not the mean 0.5."""
    found = score([("one", "two"), ("one " * 9, "one " * 9)])
    assert found.wer == pytest.approx(0.1)
    assert found.sentence_error_rate == 0.5
    assert [row.right for row in found.rows] == [False, True]
    halves = [score([("one", "two")]).words, score([("one " * 9, "one " * 9)]).words]
    assert total(halves) == found.words


def test_edits_tell_what_became_of_each_word() -> None:
    found = score([("one two three four", "one too three four five"), ("six", "")])
    assert found.rows[0].edits == (
        Edit("equal", "one", "one"),
        Edit("substitute", "two", "too"),
        Edit("equal", "three four", "three four"),
        Edit("insert", "", "five"),
    )
    assert found.rows[1].edits == (Edit("delete", "six", ""),)
    assert found.words == Counts(correct=3, substitutions=1, deletions=1, insertions=1)
    assert found.wer == pytest.approx(3 / 5)
    assert score([("abc d", "abd")]).characters == Counts(correct=3, deletions=2)


def test_empty_texts_count_by_definition() -> None:
    found = score([("", "a b"), ("a", ""), ("", ""), ("c d", "c d")])
    assert found.words == Counts(correct=2, deletions=1, insertions=2)
    assert found.wer == 1.0
    assert [row.right for row in found.rows] == [False, False, True, True]
    assert score([("", "a")]).wer == math.inf
    assert score([("", "")]).wer == 0.0
    assert score([("", "a")]).interval() is None
    nothing = score([])
    assert (nothing.wer, nothing.sentence_error_rate, nothing.by_length) == (0.0, 0.0, ())


def test_white_space_and_composed_accents_are_no_errors() -> None:
    assert score([(" a \t b\n", "a b"), ("caf\u00e9", "cafe\u0301")]).characters.errors == 0
    assert score([("A", "a")]).wer == 1.0


def test_groups_share_the_whole_out() -> None:
    pairs = [("a b", "a"), ("a", "a"), ("a b", "a b"), ("", "a")]
    found = score(pairs, speakers=["zoe", "amy", "zoe", "amy"])
    assert [group.name for group in found.by_speaker] == ["amy", "zoe"]
    assert [group.name for group in found.by_length] == ["0", "1", "2"]
    assert [group.utterances for group in found.by_length] == [1, 1, 2]
    for groups in (found.by_speaker, found.by_length):
        assert total(group.words for group in groups) == found.words
        assert sum(group.wrong for group in groups) == found.total.wrong


def test_long_texts_are_grouped_by_ranges() -> None:
    lengths = [1, 5, 6, 20, 21, 51, 400]
    found = score([("a " * n, "a " * n) for n in lengths])
    names = ["1–5", "6–10", "16–20", "21–30", "51 and more"]
    assert [group.name for group in found.by_length] == names
    assert [group.utterances for group in found.by_length] == [2, 1, 1, 1, 2]


def test_the_most_frequent_confusions_come_first() -> None:
    found = score([("five one", "nine one"), ("five nine six", "nine nine"), ("a", "a oh")])
    assert found.confusions() == (
        Confusion("five", "nine", 2),
        Confusion("", "oh", 1),
        Confusion("six", "", 1),
    )
    assert len(found.confusions(1)) == 1


@pytest.mark.parametrize("names", [{"ids": ["a"]}, {"speakers": ["a", "b", "c"]}])
def test_names_that_are_not_as_many_are_refused(names: dict) -> None:
    with pytest.raises(DataError, match="for 2 pairs"):
        score([("a", "a"), ("b", "b")], **names)


def simulated(random: np.random.Generator, utterances: int) -> tuple[np.ndarray, np.ndarray]:
    """Errors and words of utterances of uneven length and difficulty; the true rate is 0.1."""
    words = random.integers(1, 12, size=utterances)
    difficulty = random.choice([0.02, 0.18], size=utterances)
    return random.binomial(words, difficulty), words


def test_the_interval_covers_the_true_rate_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    covered = 0
    for trial in range(400):
        errors, words = simulated(random, 150)
        found = bootstrap.interval(
            errors.tolist(), words.tolist(), level=0.9, resamples=400, seed=trial
        )
        assert found is not None
        covered += found.low <= 0.1 <= found.high
    assert (
        0.85 <= covered / 400 <= 0.94
    )  # four standard errors wide: 0.9 ± 0.06, less the known lack


def test_the_interval_is_as_wide_as_theory_has_it() -> None:
    """The rate of utterances of equal length is a mean, whose standard error is known."""
    random = np.random.default_rng(1)
    errors = random.binomial(10, 0.1, size=500)
    found = bootstrap.interval(errors.tolist(), [10] * 500)
    assert found is not None
    deviation = errors.std() / 10 / math.sqrt(500)
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * deviation, rel=0.05)


def test_utterances_are_drawn_whole() -> None:
    """Errors come in bunches: an interval that draws single words would be far too narrow."""
    bunched = bootstrap.interval([10, 0] * 20, [10] * 40)
    spread = bootstrap.interval([5] * 40, [10] * 40)
    assert bunched is not None
    assert spread is not None
    assert bunched.high - bunched.low > 0.25
    assert spread.high == spread.low == 0.5


def test_draws_of_empty_references_alone_are_drawn_again() -> None:
    found = bootstrap.interval([1, 0, 0], [0, 0, 2], resamples=2000)
    assert found is not None
    assert math.isfinite(found.low)
    assert math.isfinite(found.high)


def test_a_seed_gives_one_interval_and_parts_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    errors, words = [1, 0, 2, 5, 3, 1, 0], [4, 4, 4, 9, 7, 5, 6]
    once = bootstrap.interval(errors, words, seed=3)
    assert once == bootstrap.interval(errors, words, seed=3)
    assert once != bootstrap.interval(errors, words, seed=4)
    monkeypatch.setattr(bootstrap, "_AT_ONCE", 7 * 64)
    assert bootstrap.interval(errors, words, seed=3) == once


def test_the_p_value_of_equal_systems_is_uniform() -> None:
    random = np.random.default_rng(2)
    values = []
    for trial in range(400):
        words = random.integers(1, 12, size=100)
        difficulty = random.choice([0.05, 0.3], size=100)
        first, second = (random.binomial(words, difficulty).tolist() for _ in range(2))
        found = bootstrap.compare(first, second, words.tolist(), resamples=300, seed=trial)
        values.append(found.p_value)
    for threshold in (0.05, 0.25, 0.5, 0.75):
        share = np.mean(np.array(values) <= threshold)
        room = 4 * math.sqrt(threshold * (1 - threshold) / 400)
        assert abs(share - threshold) < room + 0.02  # 0.02: sums are whole numbers, ties count


def test_pairing_finds_what_two_intervals_would_hide() -> None:
    random = np.random.default_rng(3)
    hard = random.binomial(20, 0.4, size=200)
    better = np.maximum(hard - random.binomial(1, 0.3, size=200), 0)
    found = bootstrap.compare(hard.tolist(), better.tolist(), [20] * 200)
    apart = [bootstrap.interval(x.tolist(), [20] * 200) for x in (hard, better)]
    assert apart[0] is not None
    assert apart[1] is not None
    assert apart[0].low < apart[1].high  # they overlap
    assert found.p_value < 0.001
    assert found.improvement > 0.999
    assert found.interval.high < 0


def test_systems_that_change_places_mirror_the_comparison() -> None:
    random = np.random.default_rng(4)
    first, second = random.integers(0, 4, size=(2, 60)).tolist()
    words = random.integers(1, 9, size=60).tolist()
    one, other = bootstrap.compare(first, second, words), bootstrap.compare(second, first, words)
    assert one.difference == -other.difference
    assert one.interval.low == pytest.approx(-other.interval.high)
    assert one.interval.high == pytest.approx(-other.interval.low)
    assert one.improvement == pytest.approx(1 - other.improvement)
    assert one.p_value == other.p_value


def test_a_system_against_itself_shows_nothing() -> None:
    found = bootstrap.compare([1, 0, 2], [1, 0, 2], [3, 3, 3])
    assert (found.difference, found.improvement, found.p_value) == (0.0, 0.5, 1.0)


def test_the_permutation_test_agrees_with_all_swaps_counted() -> None:
    change = [3, -1, 2, 2, 0, 1]
    swaps = [sum(c if mask >> i & 1 else -c for i, c in enumerate(change)) for mask in range(2**6)]
    exact = np.mean([abs(s) >= abs(sum(change)) for s in swaps])
    found = bootstrap.compare([0, 1, 0, 0, 0, 0], [3, 0, 2, 2, 0, 1], [4] * 6, resamples=20_000)
    assert found.p_value == pytest.approx(exact, abs=0.015)


def test_systems_are_compared_on_the_same_utterances_only() -> None:
    first, second = score([("a b", "a"), ("c", "c")]), score([("a b", "a b"), ("c", "c")])
    found = compare_systems(first, second)
    assert found.difference == pytest.approx(-1 / 3)
    assert compare_systems(first, second, "characters").difference == pytest.approx(-2 / 4)
    for other in (score([("a b", "a")]), score([("a b", "a"), ("d", "c")])):
        with pytest.raises(DataError):
            compare_systems(first, other)
    with pytest.raises(DataError, match="no words"):
        compare_systems(score([("", "a")]), score([("", "")]))


def test_the_text_report_sets_word_under_word() -> None:
    found = score([("one two three a b c", "one too a b c nineteen")], ids=["lucas-7"])
    assert aligned(found.rows[0]).splitlines() == [
        "id: (lucas-7)",
        "Scores: (#C #S #D #I) 4 1 1 1",
        "REF:  one two three a b c ********",
        "HYP:  one too ***** a b c nineteen",
        "Eval:     S   D           I",
    ]


def test_an_utterance_of_nothing_is_laid_out_too() -> None:
    assert aligned(score([("", "")]).rows[0]).splitlines()[1:] == [
        "Scores: (#C #S #D #I) 0 0 0 0",
        "REF:",
        "HYP:",
        "Eval:",
    ]


def test_the_table_by_speaker_is_a_table() -> None:
    pairs = [("one two", "one two"), ("one two three", "nine two"), ("", "oh")]
    text = report(score(pairs, speakers=["amy", "a rather long name", ""]), "a/system/" * 20)
    lines = text[text.index(",---") :].splitlines()
    assert len({len(line) for line in lines}) == 1
    rows = {
        m[1].strip(): m[2].split()
        for line in lines
        if (m := re.match(r"\|(.*?)\| +(\d.*)\|", line))
    }
    assert " ".join(rows["amy"]) == "1 2 | 100.0 0.0 0.0 0.0 0.0 0.0"
    assert " ".join(rows["a rather long name"]) == "1 3 | 33.3 33.3 33.3 0.0 66.7 100.0"
    assert " ".join(rows["-"]) == "1 0 | 0.0 0.0 0.0 0.0 inf 100.0"
    assert " ".join(rows["Sum/Avg"]) == "3 5 | 60.0 20.0 20.0 20.0 60.0 66.7"
    assert lines[3].startswith("| SPKR  ")
    heads = [m.end() for m in re.finditer(r"\S+", lines[3][lines[3].index("Corr") :])]
    cells = [m.end() for m in re.finditer(r"\S+", lines[-2][lines[3].index("Corr") :])]
    assert heads[:-1] == cells[:-1]  # each figure ends under its head
