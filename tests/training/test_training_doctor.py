"""The doctor: measures of known alignments, and what it says of runs that go well and badly."""

import json
import math
from pathlib import Path

import pytest
import torch

from speechseq.cli import main
from speechseq.nn.attention.diagnostics import coverage, entropy, focus, monotonicity
from speechseq.training.doctor import diagnose, measure

GOOD = {
    "focus": 0.8,
    "coverage": 1.0,
    "monotonicity": 0.98,
    "entropy": 0.5,
    "stop_accuracy": 0.999,
}
DIFFUSE = GOOD | {"focus": 0.06, "entropy": 2.9, "monotonicity": 0.6, "stop_accuracy": 0.97}


def batch_of_alignments(padding: float = 0.0):
    """Two items of 6 steps on 3 tokens, and of 3 steps on 2, with the given padding."""
    alignment = torch.full((2, 6, 3), padding)
    alignment[0] = torch.eye(3).repeat_interleave(2, 0)
    alignment[1, :3, :2] = torch.tensor([[0.5, 0.5], [0.5, 0.5], [0.25, 0.75]])
    alignment[1, :3, 2] = 0.0
    stop = torch.full((2, 6), padding)
    stop[0] = torch.tensor([-1.0, -1.0, 1.0, -1.0, -1.0, 1.0])  # one wrong
    stop[1, :3] = torch.tensor([-1.0, -1.0, -1.0])  # one wrong
    return alignment, torch.tensor([6, 3]), torch.tensor([3, 2]), stop


@pytest.mark.parametrize("padding", [0.0, 1e4, math.nan])
def test_measures_are_those_of_the_diagnostics_whatever_the_padding_holds(padding):
    alignment, steps, tokens, stop = batch_of_alignments(padding)
    found = measure(alignment, steps, tokens, stop)
    assert list(found) == ["focus", "coverage", "monotonicity", "entropy", "stop_accuracy"]
    clean = batch_of_alignments()[0]
    assert found["focus"] == pytest.approx(focus(clean, steps).mean().item())
    assert found["coverage"] == pytest.approx(coverage(clean, steps, tokens).mean().item())
    assert found["monotonicity"] == pytest.approx(monotonicity(clean, steps).mean().item())
    assert found["entropy"] == pytest.approx(entropy(clean, steps).mean().item())
    assert found["stop_accuracy"] == pytest.approx(7 / 9)


def test_the_entropy_is_the_logarithm_of_the_positions_read():
    even = torch.full((1, 5, 8), 1 / 8)
    assert entropy(even, torch.tensor([5])).item() == pytest.approx(math.log(8))
    assert entropy(torch.eye(4)[None], torch.tensor([4])).item() == 0.0


def test_a_run_that_goes_well_has_no_findings():
    history = [(100 * n, GOOD | {"focus": min(0.8, 0.2 * n)}) for n in range(2, 11)]
    assert diagnose(history, 1000) == []
    assert diagnose([], 1000) == []


def test_a_run_that_does_not_align_says_so_within_its_first_tenth():
    history = [(500, DIFFUSE), (1000, DIFFUSE)]
    (finding,) = diagnose(history, 10_000)
    assert finding.problem.startswith("attention:")
    assert "--model.decoder.reduction_factor" in finding.cure


def test_an_alignment_that_grows_too_slowly_to_be_there_in_time_is_named():
    def growing(pace: float, updates: int) -> list:
        history = [(n, DIFFUSE | {"focus": 0.08 + pace * n / 1000}) for n in range(50, updates, 50)]
        return diagnose(history, 1000)

    assert growing(0.28, 300) == []  # it may become faster
    (finding,) = growing(0.27, 450)  # 0.21 at half of the run
    assert finding.problem.startswith("attention: it does not align")
    assert growing(0.36, 450) == []


def test_a_stop_head_that_is_wrong_more_often_than_one_that_never_stops_is_named():
    (finding,) = diagnose([(500, GOOD | {"stop_accuracy": 0.5})], 1000)
    assert finding.problem.startswith("stop:")


def test_one_noisy_stop_skill_is_no_finding_and_three_are():
    def skilled(*late: float) -> list:
        skills = [-2.0, -0.5, 0.3, 0.5, *late]
        return diagnose([(125 * n, GOOD | {"stop_skill": s}) for n, s in enumerate(skills)], 1000)

    assert skilled(0.4, -0.1) == []
    assert skilled(-0.1, 0.2, -0.1) == []
    assert [found.problem[:5] for found in skilled(-0.1, -0.2, -0.1)] == ["stop:"]


def test_a_text_that_begins_to_be_used_is_no_finding_and_one_that_is_never_used_is():
    def gaining(*gains: float) -> list:
        return diagnose([(100 * n, GOOD | {"text_gain": g}) for n, g in enumerate(gains)], 1000)

    assert gaining(0.0, 0.001, 0.003, 0.004, 0.006, 0.009, 0.012) == []
    assert gaining(0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6) == []
    for unused in ((0.0, 0.001, 0.0, -0.001, 0.001, 0.0, 0.001), (0.01,) * 7):
        assert [found.problem[:5] for found in gaining(*unused)] == ["text:"]


@pytest.mark.parametrize("value", [None, math.nan, "much", math.inf])
def test_values_that_are_no_numbers_are_ignored(value):
    assert diagnose([(500, dict.fromkeys(GOOD, value))], 1000) == []


def log_of(run: Path, values: dict) -> Path:
    run.mkdir()
    lines = [
        {"update": 0, "event": "start", "config": {"updates": 1000}},
        {"update": 500, "loss": {"total": 1.0}, "gradient_norm": None},
        {"update": 500, "validation": values},
    ]
    (run / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return run


def test_the_command_prints_each_finding_with_its_cure(tmp_path, capsys):
    assert main(["doctor", str(log_of(tmp_path / "bad", DIFFUSE))]) == 0
    text = capsys.readouterr().out
    assert "update 500 of 1,000" in text
    assert "problem  attention:" in text
    assert "cure" in text
    assert main(["doctor", str(log_of(tmp_path / "good", GOOD))]) == 0
    assert "nothing is wrong" in capsys.readouterr().out


def test_the_command_prints_json(tmp_path, capsys):
    assert main(["doctor", str(log_of(tmp_path / "bad", DIFFUSE)), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["update"], found["updates"]) == (500, 1000)
    assert found["last"]["focus"] == DIFFUSE["focus"]
    assert set(found["findings"][0]) == {"problem", "cure"}


@pytest.mark.parametrize("lines", [None, "", '{"update": 3, "loss": {"total": 1}}\n'])
def test_a_run_without_a_validation_is_refused_with_a_cure(tmp_path, capsys, lines):
    if lines is not None:
        (tmp_path / "log.jsonl").write_text(lines)
    assert main(["doctor", str(tmp_path)]) == 3
    assert capsys.readouterr().err


def test_lines_of_another_form_do_not_break_it(tmp_path, capsys):
    odd = [
        '{"update": 1, "event": "start", "config": 7}',
        '{"update": 1, "event": "start", "config": {"updates": "many"}}',
        '{"update": 2, "loss": 3}',
        '{"update": 3, "validation": [1]}',
        json.dumps({"update": 4, "validation": DIFFUSE | {"focus": "x", "\x1b[31m": 1}}),
    ]
    (tmp_path / "log.jsonl").write_text("\n".join(odd) + "\n")
    assert main(["doctor", str(tmp_path)]) == 0
    assert "\x1b" not in capsys.readouterr().out
