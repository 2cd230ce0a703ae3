"""A TTS evaluation scores synthesised speech and recordings apart, and reports both."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from speechseq.evaluation.alignment import alignment_scores, mean_scores
from speechseq.evaluation.judge import Judge
from speechseq.evaluation.report.page import Report, write
from speechseq.evaluation.tts import evaluate_tts
from speechseq.inference.synthesizer import Synthesizer


class TellingJudge(Judge):
    """Hears "right" in the recordings, which are all ones, and "wrong" in everything else."""

    def __init__(self) -> None:
        super().__init__(None, 0.0)

    def transcribe(self, waveform: Tensor, sample_rate: int) -> str:
        return "right" if bool((waveform == 1).all()) else "wrong"


def test_ours_and_the_recordings_are_judged_apart(synthesizer: Synthesizer, tmp_path: Path) -> None:
    texts, recordings = ["right", "right"], [torch.ones(1, 800), torch.ones(1, 900)]
    evaluation = evaluate_tts(synthesizer, texts, recordings, TellingJudge())
    assert evaluation.original.wer == 0.0
    assert evaluation.ours.wer == 1.0
    assert evaluation.stopped == sum(s.finished_reason == "stop" for s in evaluation.speech)
    assert "1.000 ours, 0.000 original" in evaluation.line()
    curves = {"loss/total": [(1, 2.0), (2, 1.0)], "seconds": [(1, 9.0)]}
    section = evaluation.section(curves=curves, settings={"seed": 3})
    report = Report(title="A title", summary="What was done.", sections=(section,))
    write(tmp_path / "report.html", report)
    page = (tmp_path / "report.html").read_text("utf-8")
    assert page.count("<audio") == 4
    assert "100.0%" in page
    assert "A title" in page


def test_a_diagonal_reading_scores_one_and_a_stuck_one_covers_little() -> None:
    assert alignment_scores(torch.eye(5)) == pytest.approx(
        {"focus": 1.0, "coverage": 1.0, "monotonicity": 1.0}
    )
    stuck = torch.zeros(5, 5)
    stuck[:, 2] = 1.0
    assert alignment_scores(stuck)["coverage"] == pytest.approx(0.2)
    assert alignment_scores(torch.eye(5).flip(0))["monotonicity"] == 0.0
    assert mean_scores([torch.eye(5), stuck])["coverage"] == pytest.approx(0.6)
    assert mean_scores([]) == {}
