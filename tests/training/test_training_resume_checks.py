import io
import math
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from resealing import replace_file
from toy_run import toy_trainer

from speechseq.errors import CheckpointError
from speechseq.training import resume


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 3 updates with a running mean."""
    run = tmp_path_factory.mktemp("finished") / "run"
    toy_trainer(run, updates=3, ema_decay=0.9).run()
    return run


def moment(name: str, change: Callable[[Any], Any], index: int = 0) -> Callable[[dict], object]:
    def mutate(state: dict) -> None:
        entry = state["optimizer"][index]
        entry[name] = change(entry[name])

    return mutate


def put(*path: Any) -> Callable[[dict], object]:
    """Put the last of the path under the key before it."""

    def mutate(state: dict) -> None:
        *above, key, value = path
        place = state
        for step in above:
            place = place[step]
        place[key] = value

    return mutate


def as_list(name: str, place: int, value: Any) -> Callable[[dict], object]:
    def mutate(state: dict) -> None:
        words = list(state["random_state"][name])
        words[place] = value
        state["random_state"][name] = words

    return mutate


def drop(*path: Any) -> Callable[[dict], object]:
    def mutate(state: dict) -> None:
        place = state
        for step in path[:-1]:
            place = place[step]
        del place[path[-1]]

    return mutate


def share(state: dict) -> None:
    entry = state["optimizer"][0]
    entry["exp_avg_sq"] = entry["exp_avg"].abs_()


def twist(form: list) -> Callable[[dict], object]:
    return put("random_state", "numpy", form)


NO_MAPPING = "no mapping|Type-check"  # the checker of hints in tests may come first
WORDS = [1] * 624
MUTATIONS: dict[str, tuple[Callable[[dict], object], str]] = {
    "smaller": (moment("exp_avg", lambda x: x[:1]), "exp_avg: shape"),
    "larger": (moment("exp_avg_sq", lambda x: torch.zeros(99, 99)), "exp_avg_sq: shape"),
    "no dimension": (moment("exp_avg", lambda x: torch.tensor(0.0)), "exp_avg: shape"),
    "expanded": (moment("exp_avg", lambda x: torch.zeros(1).expand(x.shape)), "strides"),
    "transposed": (moment("exp_avg", lambda x: x.T.contiguous().T), "strides"),
    "float64": (moment("exp_avg", lambda x: x.double()), "dtype"),
    "int8": (moment("exp_avg_sq", lambda x: x.to(torch.int8)), "dtype"),
    "complex": (moment("exp_avg", lambda x: x.to(torch.complex64)), "dtype"),
    "sparse": (moment("exp_avg", lambda x: x.to_sparse()), "no dense tensor"),
    "meta": (moment("exp_avg", lambda x: x.to("meta")), "no dense tensor"),
    "a parameter": (moment("exp_avg", torch.nn.Parameter), "no dense tensor"),
    "a list": (moment("exp_avg", lambda x: x.tolist()), "no dense tensor"),
    "None": (moment("exp_avg", lambda x: None), "no dense tensor"),
    "NaN": (moment("exp_avg", lambda x: x * math.nan), "NaN or Inf"),
    "inf": (moment("exp_avg_sq", lambda x: x + math.inf), "NaN or Inf"),
    "negative squares": (moment("exp_avg_sq", lambda x: x - 9), "a mean of squares is negative"),
    "shared": (share, "share their memory"),
    "step NaN": (moment("step", lambda x: x * math.nan), "step: nan"),
    "step inf": (moment("step", lambda x: x * math.inf), "step: inf"),
    "step ahead": (moment("step", lambda x: x + 99), "step: 102"),
    "step 0": (moment("step", lambda x: x * 0), "step: 0"),
    "step half": (moment("step", lambda x: x - 0.5), "step: 2.5"),
    "step below": (moment("step", lambda x: -x), "step: -3"),
    "step of rows": (moment("step", lambda x: x.expand(3)), "no float32 scalar"),
    "step int": (moment("step", lambda x: 3), "no float32 scalar"),
    "step int64": (moment("step", lambda x: x.long()), "no float32 scalar"),
    "empty": (put("optimizer", {}), "no state in mid-run"),
    "all empty": (lambda s: s.update(optimizer={key: {} for key in s["optimizer"]}), "is missing"),
    "one missing": (drop("optimizer", 1), "is missing"),
    "one too many": (put("optimizer", 99, {}), "99 is no parameter"),
    "below 0": (put("optimizer", -1, {}), "-1 is no parameter"),
    "named": (put("optimizer", "0", {}), "'0' is no parameter"),
    "no entry": (put("optimizer", 0, None), "no mapping"),
    "no mapping": (put("optimizer", [1]), NO_MAPPING),
    "key missing": (drop("optimizer", 0, "step"), "step is missing"),
    "key foreign": (put("optimizer", 0, "max_exp_avg_sq", torch.zeros(2)), "unknown"),
    "another order": (lambda s: s["parameters"].__setitem__(0, "layers.9.bias"), "unknown"),
    "own missing": (lambda s: s["own_weights"].popitem(), "own_weights: .* is missing"),
    "own foreign": (put("own_weights", "x", torch.zeros(2)), "'x' is unknown"),
    "own NaN": (lambda s: next(iter(s["own_weights"].values())).fill_(math.nan), "NaN or Inf"),
    "own shape": (put("own_weights", "layers.0.bias", torch.zeros(2)), "shape"),
    "own list": (put("own_weights", [1]), NO_MAPPING),
    "tally update": (put("tally", "update", 2), "update is another"),
    "tally text": (put("tally", "update", "3"), "update is another"),
    "tally skipped": (put("tally", "skipped", 4), "skipped: 4"),
    "tally True": (put("tally", "skipped", True), "skipped: True"),
    "tally seconds": (put("tally", "seconds", math.nan), "seconds: nan"),
    "tally below": (put("tally", "seconds", -1.0), "seconds: -1.0"),
    "tally best": (put("tally", "best", math.inf), "best: inf"),
    "tally best text": (put("tally", "best", "1"), "best: '1'"),
    "tally best update": (put("tally", "best_update", 10**30), "best_update"),
    "tally missing": (drop("tally", "update"), "update is missing"),
    "tally foreign": (put("tally", "x", 1), "'x' is unknown"),
    "tally list": (put("tally", [3]), NO_MAPPING),
    "batches text": (put("batches", "3"), "does not fit|Type-check"),
    "batches empty": (put("batches", {}), "does not fit"),
    "torch short": (put("random_state", "torch", torch.zeros(9, dtype=torch.uint8)), "bytes"),
    "torch float": (put("random_state", "torch", torch.zeros(5056)), "bytes"),
    "torch zeros": (
        put("random_state", "torch", torch.zeros(5056, dtype=torch.uint8)),
        "does not fit",
    ),
    "torch sparse": (
        put("random_state", "torch", torch.zeros(5056, dtype=torch.uint8).to_sparse()),
        "bytes",
    ),
    "torch None": (put("random_state", "torch", None), "bytes"),
    "cuda short": (put("random_state", "cuda", [torch.zeros(2)]), "bytes"),
    "cuda None": (put("random_state", "cuda", None), "no list"),
    "numpy far": (twist(["MT19937", WORDS, 10**6, 0, 0.0]), "position: 1000000"),
    "numpy below": (twist(["MT19937", WORDS, -1, 0, 0.0]), "position: -1"),
    "numpy cut": (twist(["MT19937", WORDS[1:], 0, 0, 0.0]), "is cut"),
    "numpy wide": (twist(["MT19937", [2**32, *WORDS[1:]], 0, 0, 0.0]), "out of range"),
    "numpy other": (twist(["PCG64", WORDS, 0, 0, 0.0]), "another form"),
    "numpy NaN": (twist(["MT19937", WORDS, 0, 1, math.nan]), "spare: nan"),
    "python cut": (as_list("python", 1, (1, 2, 3)), "is cut"),
    "python far": (as_list("python", 1, (*WORDS, 10**6)), "position: 1000000"),
    "python below": (as_list("python", 1, (*WORDS, -1)), "out of range"),
    "python version": (as_list("python", 0, 2), "another form"),
    "random missing": (drop("random_state", "python"), "python is missing"),
    "random list": (put("random_state", [1]), NO_MAPPING),
    "field missing": (drop("tally"), "not the state of a run"),
    "field foreign": (put("bomb", 1), "not the state of a run"),
}


def resumed(run: Path, data: bytes) -> None:
    replace_file(run / "checkpoints" / "3", resume.FILE, data)
    toy_trainer(run, updates=5, ema_decay=0.9).run()


def content(run: Path) -> dict[str, Any]:
    data = (run / "checkpoints" / "3" / resume.FILE).read_bytes()
    return torch.load(io.BytesIO(data), weights_only=True)


def as_bytes(state: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(state, stream)
    return stream.getvalue()


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_state_that_is_not_the_runs_is_refused(finished: Path, tmp_path: Path, name: str) -> None:
    mutate, message = MUTATIONS[name]
    run, state = shutil.copytree(finished, tmp_path / "run", symlinks=True), content(finished)
    mutate(state)
    with pytest.raises(CheckpointError, match=message) as caught:
        resumed(run, as_bytes(state))
    assert caught.value.exit_code == 4
    assert "resume.pt: " in caught.value.problem
    # found before the model is filled, so that an older checkpoint may serve, or while it is
    assert any(words in caught.value.cure for words in ("--run DIR", "delete this checkpoint"))


def test_the_state_as_it_was_goes_on(finished: Path, tmp_path: Path) -> None:
    run = shutil.copytree(finished, tmp_path / "run", symlinks=True)
    resumed(run, as_bytes(content(finished)))


def test_the_state_of_an_older_version_without_names_goes_on(
    finished: Path, tmp_path: Path
) -> None:
    run, state = shutil.copytree(finished, tmp_path / "run", symlinks=True), content(finished)
    del state["parameters"]
    resumed(run, as_bytes(state))


class Room:
    """Unpickling it takes a terabyte."""

    def __reduce__(self) -> tuple[type, tuple[int]]:
        return bytearray, (1 << 40,)


def packed(data: bytes) -> bytes:
    """The same archive with its members compressed."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(stream, "w") as new:
        for member in old.infolist():
            new.writestr(member.filename, old.read(member), zipfile.ZIP_DEFLATED)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["bytearray", "packed", "no zip", "cut", "a number", "a list"])
def test_a_file_of_another_kind_is_refused(finished: Path, tmp_path: Path, kind: str) -> None:
    run, whole = shutil.copytree(finished, tmp_path / "run", symlinks=True), content(finished)
    data = {
        "bytearray": lambda: as_bytes(whole | {"tally": Room()}),
        "packed": lambda: packed(as_bytes(whole | {"own_weights": torch.zeros(10**6)})),
        "no zip": lambda: b"\x80\x02}.",
        "cut": lambda: as_bytes(whole)[:-40],
        "a number": lambda: as_bytes(3),
        "a list": lambda: as_bytes([1]),
    }[kind]()
    with pytest.raises(CheckpointError, match=r"resume\.pt: not the state of a run"):
        resumed(run, data)
