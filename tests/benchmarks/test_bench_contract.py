"""Every row and every peer keeps the contract, and does the same work as the others of its row."""

import subprocess
import sys
from pathlib import Path

import contract
import pytest
import signal_speed
import torch
from contract import SIZES, Aim, Contender, Report, Row, peers, rows

CPU, ROOT = torch.device("cpu"), Path(__file__).parents[2]
EVERYTHING = rows()
ROWS = [row for row in EVERYTHING if isinstance(row, Row)]
REPORTS = [row for row in EVERYTHING if isinstance(row, Report)]
each_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
# the rows for a GPU differ in numbers alone
ALIKE = [row for row in ROWS if row.name.startswith("gpu-") and "64-bf16" not in row.name]
each_kind = pytest.mark.parametrize(
    "row", [row for row in ROWS if row not in ALIKE[:-1]], ids=lambda row: row.name
)


def everyone(row: Row) -> list[Contender]:
    return [*row.ours, *peers(row)]


def test_rows_have_names_of_their_own() -> None:
    names = [row.name for row in EVERYTHING]
    assert len(names) > 4
    assert sorted(names) == sorted(set(names))


@each_row
def test_a_row_has_what_the_command_needs(row: Row) -> None:
    assert set(row.sizes) == set(SIZES)
    assert row.threads in (1, 2)
    assert all("{" not in row.described(size) for size in SIZES)
    assert row.item
    assert all(row.items(row.sizes[size]) >= 1 for size in SIZES)
    for side in (row.ours, peers(row)):
        names = [contender.name for contender in side]
        assert names
        assert len(names) == len(set(names))


PEER = """
import torch

def update(data, device):
    model = torch.nn.Linear(data.features.shape[2], 34).to(device)
    return lambda: model(data.features)[:, : data.tokens.shape[1]]

NAME = "a stranger's LAS"
STEPS = {"update a LAS": update}
"""


def test_a_stranger_s_peer_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "peers").mkdir()
    (tmp_path / "peers" / "strangers_las.py").write_text(PEER)
    monkeypatch.setattr(contract, "HERE", tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    row = next(row for row in ROWS if row.name == "train-las")
    (peer,) = peers(row)
    data = row.make_data("toy", 0, CPU)
    assert peer.name == "a stranger's LAS"
    assert peer.make(data, CPU)().shape == row.ours[0].make(data, CPU)().shape
    assert not peers(next(row for row in ROWS if row.name == "train-tacotron"))


@each_row
def test_an_aim_names_a_peer_that_is_there(row: Row) -> None:
    there = {peer.name for peer in peers(row)}
    assert {peer for ours in row.ours for peer in ours.aims} <= there


@each_row
def test_one_seed_gives_every_process_the_same_data(row: Row) -> None:
    first, again, other = (row.make_data("toy", seed, CPU) for seed in (3, 3, 4))
    assert all(map(_equal, first, again))
    assert not all(map(_equal, first, other))


@each_kind
def test_all_of_a_row_make_the_same_shapes(row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = {}
    # step by step or from graphs: on a CPU it is the same
    for contender in (c for c in everyone(row) if not c.name.endswith("step by step")):
        with monkeypatch.context() as patch:
            for name, value in contender.environment.items():
                patch.setenv(name, value)
            step = contender.make(row.make_data("toy", 0, CPU), CPU)
            shapes[contender.name] = step().shape
    assert len(set(shapes.values())) == 1, shapes
    assert next(iter(shapes.values())).numel() > 0


@each_kind
def test_a_step_can_be_asked_for_again(row: Row) -> None:
    ours = row.ours[0]
    step = ours.make(row.make_data("toy", 0, CPU), CPU)
    assert step().shape == step().shape


ABSENT = "soundfile lhotse librosa jiwer jsonargparse beartype hypothesis pocketsphinx safetensors"
WITHOUT = f"""
import sys
sys.modules.update(dict.fromkeys({ABSENT.split()!r}))  # so that importing them fails
sys.path.insert(0, "benchmarks")
import bench, graph_check, contract
print(*(peer.name for row in contract.rows() if "gpu" in row.name for peer in contract.peers(row)))
"""


def test_a_borrowed_machine_needs_little_more_than_torch() -> None:
    words = [sys.executable, "-c", WITHOUT]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stdout.split() == ["torchaudio"] * 6, done.stderr


@pytest.fixture
def _short_sounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two sounds of a third of a second, inverted by few iterations, in the place of sixteen."""
    long = signal_speed.sounds
    monkeypatch.setattr(signal_speed, "sounds", lambda count, seconds: long(2, 0.3))
    monkeypatch.setattr(signal_speed, "ITERATIONS", 16)


@pytest.mark.usefixtures("_short_sounds")
@pytest.mark.parametrize("report", REPORTS, ids=lambda report: report.name)
def test_a_report_gives_what_the_table_needs(report: Report) -> None:
    found = report.run("toy")
    assert found
    for figures in found:
        assert figures["work"]
        assert figures["peer"]
        assert min(figures["ours_seconds"], figures["theirs_seconds"]) > 0
        assert isinstance(report.aim(figures), Aim)
    assert any(report.aim(figures).speed for figures in found)


def _equal(a: object, b: object) -> bool:
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b
