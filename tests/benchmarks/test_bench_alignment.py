"""The alignment benchmark: every system trains at both sizes; rows count what aligned."""

import json

import alignment
import pytest
import torch

from speechseq.corpus.known_durations import Event, Spoken

TOY = alignment.Plan(texts=3, held_out=2, updates=2, every=1, batch=2)


def data() -> list[alignment.Item]:
    """Made utterances: no espeak is needed."""
    torch.manual_seed(0)
    return [alignment._item(said(n), {"a": 1, "b": 2, "": 3}) for n in (5, 4, 6, 5, 3)]


def said(words: int) -> Spoken:
    samples = torch.randint(-9000, 9000, (2000 * words,), dtype=torch.int16).numpy()
    texts = ["a", "b", ""] * words
    events = [Event(2000 * i, 2000 * i + 2000, texts[i]) for i in range(words)]
    return Spoken(samples, 22050, tuple(events), tuple(events))


@pytest.mark.parametrize("name", alignment.SYSTEMS)
def test_every_system_trains_and_is_measured(name):
    run = alignment.train(name, 0, data(), TOY)
    assert 1 <= len(run.curve) <= 2
    assert all(0 <= share <= 1 for _, share in run.curve)


def test_a_medium_model_is_wider():
    plan = alignment.dataclasses.replace(TOY, size="medium")
    for system in alignment.SYSTEMS.values():
        small, medium = (
            alignment.config_of(system, p).build(symbols=4, mels=80) for p in (TOY, plan)
        )
        sizes = [sum(p.numel() for p in m.parameters()) for m in (small, medium)]
        assert sizes[1] > 2 * sizes[0]


def test_the_truth_of_an_item_covers_its_tokens():
    item = alignment._item(said(6), {"a": 1, "b": 2, "": 3})
    assert item.truth.unique().tolist() == list(range(6))
    assert len(item.truth) == len(item.mel)


def test_a_row_counts_the_seeds_that_aligned():
    runs = [
        alignment.Run("x", 0, 100, 2.0, [(50, 0.5), (100, 0.9)]),
        alignment.Run("x", 1, 300, 4.0, [(300, 0.95)]),
        alignment.Run("x", 2, None, None, [(400, 0.25)]),
    ]
    assert alignment.row(runs) == "| x | 2 of 3 | 200 ± 141 | 3 ± 1 | 70.0% |"
    assert alignment.row(runs[2:]) == "| x | 0 of 1 | – | – | 25.0% |"


def test_trainings_that_a_file_has_are_not_made_again(tmp_path):
    path = tmp_path / "runs.json"
    assert alignment.read(None, TOY) == alignment.read(path, TOY) == []
    runs = [
        alignment.Run("content, guided", 0, 2, 0.5, [(1, 0.1), (2, 0.9)]),
        alignment.Run("forward", 1, None, None, [(1, 0.0)]),
    ]
    saved = {"plan": vars(TOY), "runs": [run._asdict() for run in runs]}
    path.write_text(json.dumps(saved))
    assert alignment.read(path, TOY) == runs
    with pytest.raises(SystemExit, match="other settings"):
        alignment.read(path, alignment.QUICK)
