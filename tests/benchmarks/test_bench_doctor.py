"""The benchmark of the doctor: every case is made and trained; verdicts count what was named."""

import json
from pathlib import Path

import doctor
import doctor_cases
import pytest
import torch

from speechseq.corpus import spoken_digits
from speechseq.training.corpus_facts import corpus_facts, utterance_facts
from speechseq.training.doctor import diagnose

TEXTS = spoken_digits.texts(16, 0, shortest=2, longest=4)
GOOD = {"focus": 0.8, "coverage": 1.0, "monotonicity": 1.0}


def said(count: int, seed: int, voice: str, rate: int) -> tuple[doctor_cases.Pair, ...]:
    """Noise that is as long as its text, in the place of espeak."""
    generator = torch.Generator().manual_seed(seed)
    lengths = [1500 * len(text) for text in TEXTS[:count]]
    return tuple(
        (text, 0.1 * torch.randn(length, generator=generator))
        for text, length in zip(TEXTS, lengths, strict=False)
    )


DATA = ("texts", "silence", "sample rate", "mels")


@pytest.fixture
def without_espeak(monkeypatch):
    monkeypatch.setattr(doctor, "spoken", said)


@pytest.mark.parametrize(
    "name", [n for n, case in doctor_cases.CASES.items() if case.named in (*DATA, "")]
)
def test_texts_and_sounds_of_a_voice_are_diagnosed_without_a_model(name):
    pytest.importorskip("espeakng_loader")
    case = doctor_cases.CASES[name]
    items = doctor.corpus(case, 24)
    seen = [
        u for batch in doctor.batches(items) for u in utterance_facts(batch, doctor_cases.AUDIO)
    ]
    found = diagnose([(1, corpus_facts(seen, doctor_cases.AUDIO))], 100)
    assert [finding.problem.partition(":")[0] for finding in found] == [case.named] * bool(
        case.named
    )


@pytest.mark.usefixtures("without_espeak")
@pytest.mark.parametrize("name", ["shuffled texts", "silence of 1 s in front", "one text for all"])
def test_a_spoiled_corpus_is_named_after_a_few_updates(tmp_path, name):
    case, sizes = doctor_cases.CASES[name], {"planned": 5, "utterances": 2, "held_out": 14}
    for folder, spoil in (("spoiled", case.spoil), ("good", doctor_cases.unchanged)):
        doctor.train(case._replace(spoil=spoil), tmp_path / folder, **sizes)
        named = case.named in doctor.parts(tmp_path / folder, 5)
        assert named == (folder == "spoiled"), folder


@pytest.mark.usefixtures("without_espeak")
def test_every_case_has_a_model_and_a_corpus():
    for case in doctor_cases.CASES.values():
        items = doctor.corpus(case, 3)
        model = case.model.build(symbols=len(doctor.VOCABULARY), mels=doctor_cases.AUDIO.mels)
        output = model(doctor.collate(items))
        assert output.mel_after.isfinite().all()
    assert sum(bool(case.named) for case in doctor_cases.CASES.values()) == 10
    assert sum(not case.named for case in doctor_cases.CASES.values()) == 5


@pytest.mark.usefixtures("without_espeak")
def test_a_frozen_encoder_does_not_move(tmp_path):
    doctor.train(
        doctor_cases.CASES["frozen encoder"], tmp_path, planned=10, utterances=4, held_out=2
    )
    assert "encoder" in doctor.parts(tmp_path, 10)


def log_of(run: Path, focus: list[float]) -> Path:
    lines = [{"update": n, "validation": GOOD | {"focus": f}} for n, f in enumerate(focus, 1)]
    (run / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return run


def test_a_good_run_must_be_spared_at_every_validation(tmp_path):
    fine = log_of(tmp_path, [0.1, 0.2, 0.4, 0.8, 0.8])
    assert doctor.verdict(doctor_cases.Case(), fine, 20) == (True, True, [])
    once = log_of(tmp_path, [0.1, 0.2, 0.8, 0.1, 0.8])
    assert doctor.verdict(doctor_cases.Case(), once, 20) == (False, True, ["attention"])


def test_a_spoiled_run_must_have_its_own_finding_first(tmp_path):
    flat = log_of(tmp_path, [0.05] * 4)
    assert doctor.verdict(doctor_cases.Case("attention"), flat, 20).right
    assert not doctor.verdict(doctor_cases.Case("texts"), flat, 20).right
