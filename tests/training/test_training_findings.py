"""Each finding: a run that has its cause is named, and its neighbour that has not is left alone."""

import re
from pathlib import Path

import pytest

from speechseq.cli.overlay import leaves
from speechseq.cli.train import load_recipe
from speechseq.training.doctor import diagnose

ROOT = Path(__file__).parents[2]
SOURCES = [ROOT / "speechseq/training" / f"{name}findings.py" for name in ("", "corpus_")]
FACTS = {
    "utterances": 40.0,
    "text_diversity": 1.0,
    "length_correlation": 0.9,
    "length_range": 2.0,
    "tempo_range": 1.4,
    "tokens_per_second": 14.0,
    "leading_silence": 0.05,
    "level_spread": 18.0,
    "centroid": 2500.0,
}
GOOD = FACTS | {
    "focus": 0.7,
    "coverage": 1.0,
    "monotonicity": 0.98,
    "entropy": 0.7,
    "stop_accuracy": 0.999,
    "stop_skill": 0.9,
    "text_gain": 0.3,
    "mel_skill": 0.9,
    "gap": 0.02,
    "moved_encoder": 0.05,
    "moved_decoder": 0.05,
    "skipped": 0.0,
    "learning_rate": 2e-3,
    "weight_size": 0.04,
}
EARLIER = GOOD | {"focus": 0.2, "stop_skill": -0.5, "mel_skill": 0.0, "text_gain": 0.0, "gap": 0.3}


def course(last: dict, *, updates: int = 1000, done: int = 10) -> list[tuple[int, dict]]:
    """History of `done` tenths of a run whose values go from EARLIER to `GOOD | last`."""
    middle = [
        (update, GOOD | last) for update in range(updates // 5, done * updates // 10 + 1, 100)
    ]
    return [(updates // 20, EARLIER | last), *middle]


def parts(history: list[tuple[int, dict]], updates: int = 1000) -> list[str]:
    return [finding.problem.partition(":")[0] for finding in diagnose(history, updates)]


def test_a_good_run_is_never_accused_at_any_of_its_updates():
    whole = course({})
    for end in range(1, len(whole) + 1):
        assert parts(whole[:end]) == [], whole[end - 1]


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"text_diversity": 0.0, "length_correlation": None}, "texts"),
        ({"length_correlation": 0.05}, "texts"),
        ({"length_correlation": 0.6, "tempo_range": 2.6}, "texts"),
        ({"leading_silence": 1.0}, "silence"),
        ({"tokens_per_second": 8.0, "centroid": 1400.0}, "sample rate"),
        ({"tokens_per_second": 30.0}, "sample rate"),
        ({"level_spread": 8.6}, "mels"),
        ({"level_spread": 43.0}, "mels"),
        ({"moved_encoder": 0.0}, "encoder"),
        ({"learning_rate": 6e-2}, "learning rate"),
        ({"skipped": 50.0}, "learning rate"),
        ({"stop_skill": -4.0, "stop_accuracy": 0.5}, "stop"),
        ({"focus": 0.05}, "attention"),
        ({"coverage": 0.1}, "attention"),
        ({"monotonicity": 0.2}, "attention"),
        ({"text_gain": 0.0}, "text"),
        ({"gap": 0.5}, "free-running"),
    ],
)
def test_one_cause_is_one_finding(change, part):
    assert parts(course(change)) == [part]


@pytest.mark.parametrize(
    "change",
    [
        {"tokens_per_second": 8.0},  # a slow reader
        {"centroid": 1400.0},  # a dull microphone
        {"length_correlation": 0.1, "length_range": 1.1},  # texts of one length
        {"length_correlation": 0.1, "utterances": 8.0},  # too few to say
        {"length_correlation": None},
        {"leading_silence": 0.3},
        {"learning_rate": 6e-2, "weight_size": 1.0},  # a model with large weights
        {"skipped": 2.0},
        {"focus": 0.45},  # four frames a step read two symbols
        {"tempo_range": 2.6, "style_active_units": 1.0},  # a corpus of styles
    ],
)
def test_what_only_resembles_a_cause_is_no_finding(change):
    assert parts(course(change)) == []


@pytest.mark.parametrize("tenths", [1, 2, 4])
def test_an_alignment_that_does_not_begin_is_named_early_and_one_that_grows_is_not(tenths):
    flat = [(50 * n, GOOD | {"focus": 0.06}) for n in range(1, 2 * tenths + 1)]
    assert parts(flat) == ["attention"]
    grows = [(50 * n, GOOD | {"focus": 0.06 * (1 + 0.3 * n)}) for n in range(1, 2 * tenths + 1)]
    assert parts(grows) == []


def test_a_collapse_is_another_finding_than_no_alignment():
    values = [0.1, 0.4, 0.7, 0.75, 0.1]
    (found,) = diagnose([(200 * n, GOOD | {"focus": f}) for n, f in enumerate(values, 1)], 1000)
    assert "collapsed" in found.problem


def test_the_cure_of_an_alignment_depends_on_the_guide():
    flat = [(100 * n, GOOD | {"focus": 0.06}) for n in range(1, 9)]
    (plain,) = diagnose(flat, 1000)
    (guided,) = diagnose([(u, v | {"guide": 0.1}) for u, v in flat], 1000)
    assert "set --loss.guide" in plain.cure
    assert "raise --loss.guide" in guided.cure


def test_every_flag_of_a_cure_exists():
    recipe = load_recipe(ROOT / "recipes/tts/ljspeech_tacotron2.py")
    known = {f"--{key}" for key, _ in leaves(recipe.Settings().to_dict())} | {"--freeze"}
    named = {flag for path in SOURCES for flag in re.findall(r"--[a-z][\w.]*\w", path.read_text())}
    assert named - known == set()
    assert len(named) > 5


def test_the_page_of_the_docs_names_every_part_with_a_finding():
    text = "".join(path.read_text() for path in SOURCES)
    found = set(re.findall(r'Finding\(\s*f?"([\w -]+):', text))
    page = (ROOT / "docs/doctor.md").read_text()
    assert len(found) > 8
    assert [part for part in sorted(found) if f"| `{part}:" not in page] == []
