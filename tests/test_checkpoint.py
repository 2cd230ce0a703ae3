import dataclasses
import errno
import json
import os
import pickle
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from resealing import change_config, replace_file
from torch import Tensor, nn

from speechseq import checkpoint
from speechseq.audio.mel import AudioConfig
from speechseq.checkpoint.description import parse_description, read_description
from speechseq.config import Config, choice
from speechseq.errors import CheckpointError, ConfigError, MachineError
from speechseq.text.vocabulary import Vocabulary


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ear(Config):
    kind: ClassVar[str] = "ear"
    size: int = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class OwnEar(Config):
    kind: ClassVar[str] = "own_ear"
    size: int = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Small(Config):
    kind: ClassVar[str] = "small"
    hidden: int = 4
    layers: int = 1
    part: Config = choice(Ear, default=Ear())

    def build(self) -> nn.Module:
        return nn.Sequential(*[nn.Linear(self.hidden, self.hidden) for _ in range(self.layers)])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Other(Config):
    kind: ClassVar[str] = "other"


def save(folder: Path, config: Config | None = None, **parts: object) -> Path:
    config = config or Small()
    model = config.build() if isinstance(config, Small) else nn.Linear(2, 2)
    whole = {
        "model": config,
        "audio": AudioConfig(hop=200),
        "vocabulary": Vocabulary.characters("abcß "),
        "weights": model.state_dict(),
        "update": 12,
    }
    return checkpoint.save(folder, **(whole | parts))  # type: ignore[arg-type]


def load(folder: Path) -> checkpoint.Checkpoint[Small]:
    return checkpoint.load(folder, Small)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save(tmp_path / "run" / "checkpoints" / "12")


def replace_weights(folder: Path, data: bytes) -> None:
    replace_file(folder, "model.safetensors", data)


# a round trip


def test_what_is_saved_comes_back_equal(tmp_path: Path) -> None:
    config = Small(hidden=5, layers=2)
    model = config.build()
    opened = load(save(tmp_path / "7", config, weights=model.state_dict(), update=7))
    assert opened.model == config
    assert opened.audio == AudioConfig(hop=200)
    assert opened.vocabulary == Vocabulary.characters("abcß ")
    assert opened.update == 7
    restored = checkpoint.restore(opened, opened.model.build)
    for name, tensor in model.state_dict().items():
        assert torch.equal(restored.state_dict()[name], tensor)


def test_tied_strided_and_odd_tensors_are_saved_whole(tmp_path: Path) -> None:
    base = torch.randn(4, 6, dtype=torch.float64)
    weights = {
        "one": base,
        "tied": base,
        "transposed": base.T,
        "view": base[1:3, ::2],
        "expanded": torch.ones(1).expand(3),
        "scalar": torch.tensor(5),
        "empty": torch.zeros(0, 3),
        "half": torch.randn(3).bfloat16(),
        "flags": torch.tensor([True, False]),
    }
    back = load(save(tmp_path / "1", weights=weights)).weights
    assert back.keys() == weights.keys()
    for name, tensor in weights.items():
        assert back[name].dtype == tensor.dtype
        assert torch.equal(back[name], tensor)


def test_a_mechanism_of_ones_own_is_named_by_the_caller(tmp_path: Path) -> None:
    saved = save(tmp_path / "1", Small(part=OwnEar()))
    with pytest.raises(CheckpointError, match="own_ear"):
        load(saved)
    assert checkpoint.load(saved, Small, also=(OwnEar,)).model.part == OwnEar()


def test_restoring_draws_nothing_from_the_random_state(folder: Path) -> None:
    opened = load(folder)
    before = torch.get_rng_state()
    checkpoint.restore(opened, opened.model.build)
    assert torch.equal(torch.get_rng_state(), before)


# where a checkpoint is looked for


def test_a_run_folder_stands_for_its_last_checkpoint(tmp_path: Path, folder: Path) -> None:
    save(folder.parent / "3", update=3)
    os.symlink("3", folder.parent / "last")
    for name in (tmp_path / "run", folder.parent, folder.parent / "last"):
        assert load(name).update == 3


def test_without_a_last_link_the_newest_counts_by_number(tmp_path: Path, folder: Path) -> None:
    save(folder.parent / "9", update=9)
    assert load(tmp_path / "run").update == 12


@pytest.mark.parametrize("name", ["run/checkpoints/13", "run/chekpoints/12", "rnu", "run/x/y"])
def test_a_missing_folder_is_answered_with_the_nearest(
    tmp_path: Path, folder: Path, name: str
) -> None:
    with pytest.raises(CheckpointError) as caught:
        load(tmp_path / name)
    assert str(tmp_path / name) in caught.value.problem
    assert "no such checkpoint" in caught.value.problem
    assert str(folder) in caught.value.cure


def test_a_dangling_link_says_where_it_leads(folder: Path) -> None:
    os.symlink("999", folder.parent / "last")
    with pytest.raises(CheckpointError, match=r"dangling link to 999\n  cure: .*12"):
        load(folder.parent / "last")


@pytest.mark.parametrize("name", ["a\0b", "x" * 300, "config.json/deeper", ""])
def test_names_that_no_file_can_have_are_missing_too(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parents[1] / "checkpoints")
    with pytest.raises(CheckpointError):
        load(Path("nowhere") / name)


def test_a_file_is_no_checkpoint_folder(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="a file, not a checkpoint folder"):
        load(folder / "model.safetensors")


# damage: every kind has its message, and every one leaves with exit code 4


def empty(path: Path) -> None:
    path.write_bytes(b"")


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_the_last_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def replace_by_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def dangle(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


DAMAGE: list[tuple[str, Callable[[Path], object], str]] = [
    ("model.safetensors", empty, "model.safetensors: 0 bytes, [0-9]+ were written"),
    ("model.safetensors", half, "model.safetensors: [0-9]+ bytes, [0-9]+ were written"),
    ("model.safetensors", flip_the_last_byte, "model.safetensors: its bytes were changed"),
    ("model.safetensors", Path.unlink, "model.safetensors: no such file"),
    ("model.safetensors", replace_by_fifo, "model.safetensors: is a FIFO"),
    ("model.safetensors", replace_by_folder, "model.safetensors: is a directory"),
    ("model.safetensors", dangle, "model.safetensors: is a link to nowhere"),
    ("model.safetensors", lambda p: p.write_bytes(p.read_bytes() * 2), "expected at most"),
    ("vocabulary.json", half, "vocabulary.json: [0-9]+ bytes, [0-9]+ were written"),
    ("vocabulary.json", Path.unlink, "vocabulary.json: no such file"),
    ("config.json", empty, "config.json: not JSON"),
    ("config.json", half, "config.json: not JSON"),
    ("config.json", Path.unlink, "config.json is missing"),
    ("config.json", dangle, "config.json is missing"),
    ("config.json", replace_by_fifo, "config.json: is a FIFO"),
    ("config.json", lambda p: p.write_bytes(b"\xff\xfe\x00"), "config.json: not JSON"),
    ("config.json", lambda p: p.write_text("[" * 100_000), "config.json: not JSON"),
    ("config.json", lambda p: p.write_text("[1]"), "not the description of a checkpoint"),
    ("config.json", lambda p: os.truncate(p, 1 << 40), "bytes, expected at most"),
]


@pytest.mark.parametrize(
    ("name", "damage", "message"), DAMAGE, ids=[f"{n}-{i}" for i, (n, _, _) in enumerate(DAMAGE)]
)
def test_damage_is_named_with_its_file(
    folder: Path, name: str, damage: Callable[[Path], object], message: str
) -> None:
    damage(folder / name)
    with pytest.raises(CheckpointError, match=message) as caught:
        load(folder)
    assert caught.value.exit_code == 4
    assert caught.value.cure


CHANGES: list[tuple[Callable[[dict], object], str]] = [
    (lambda c: c["model"].update(hiden=4), "model.hiden: unknown key\n  cure: did you mean 'hidd"),
    (lambda c: c["model"].update(hidden="4"), "config.json: model.hidden: expected int, got '4'"),
    (lambda c: c["model"].update(kind="other"), "holds a model of kind 'other', not 'small'"),
    (lambda c: c.update(model=[]), "model: has the wrong type"),
    (lambda c: c["model"]["part"].update(kind="os.system"), "part.kind: unknown 'os.system'"),
    (lambda c: c["audio"].update(hop=0), "config.json: .*hop"),
    (lambda c: c.update(version=3), "format version 3, this program reads 1 to 2"),
    (lambda c: c.update(version=True), "format version True"),
    (lambda c: c.update(version=1), "sha256: unknown key"),
    (lambda c: c.update(weigths=1), "weigths: unknown key"),
    (lambda c: c.pop("audio"), "missing keys: audio"),
    (lambda c: c.update(update=-1), "update"),
    (lambda c: c.update(update=True), "update"),
    (lambda c: c["files"].pop("model.safetensors"), "files: no size of model.safetensors"),
    (lambda c: c["files"].update({"vocabulary.json": 3}), "files: no size of vocabulary.json"),
]


@pytest.mark.parametrize(("change", "message"), CHANGES)
def test_a_changed_description_is_named_with_its_key(
    folder: Path, change: Callable[[dict], object], message: str
) -> None:
    change_config(folder, change)
    with pytest.raises(CheckpointError, match=message):
        load(folder)


def test_the_version_before_checksums_of_config_json_still_opens(folder: Path) -> None:
    def as_version_1(config: dict) -> None:
        config.update(version=1)
        config.pop("sha256")

    expected = load(folder)
    change_config(folder, as_version_1)
    opened = load(folder)
    assert opened.model == expected.model
    assert all(torch.equal(opened.weights[name], w) for name, w in expected.weights.items())


def test_no_flipped_bit_of_config_json_is_read_as_another_value(folder: Path) -> None:
    path = folder / "config.json"
    whole, expected = path.read_bytes(), read_description(folder)
    accepted = 0
    for bit in range(8 * len(whole)):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        try:
            found = parse_description(path, bytes(data))
        except CheckpointError:
            continue
        accepted += 1  # such as 1E-05 for 1e-05
        assert found == expected, f"bit {bit}"
    assert accepted < 50


@pytest.mark.parametrize("name", ["model.safetensors", "vocabulary.json"])
def test_every_flipped_bit_of_another_file_is_refused(folder: Path, name: str) -> None:
    whole, config = (folder / name).read_bytes(), read_description(folder)
    for bit in range(0, 8 * len(whole), 7):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        (folder / name).write_bytes(data)
        with pytest.raises(CheckpointError, match="SHA-256 differs"):
            checkpoint.read_file(folder, name, config)


def test_a_key_that_stands_twice_is_refused(folder: Path) -> None:
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text.replace('"update": 12', '"update": 3, "update": 12'))
    with pytest.raises(CheckpointError, match="a key stands twice"):
        load(folder)


def test_a_large_file_is_judged_by_its_header_before_it_is_read(folder: Path) -> None:
    path = folder / "model.safetensors"
    os.truncate(path, 200 << 30)  # sparse: it takes no room on the disk
    described = {"size": 200 << 30, "sha256": "0" * 64}
    change_config(folder, lambda c: c["files"].update({"model.safetensors": described}))
    with pytest.raises(CheckpointError, match="its header describes other sizes"):
        load(folder)
    os.truncate(path, 0)
    os.truncate(path, 200 << 30)
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        load(folder)


def test_a_checkpoint_of_another_model_says_which(tmp_path: Path) -> None:
    saved = save(tmp_path / "1", Other())
    with pytest.raises(CheckpointError, match="holds a model of kind 'other', not 'small'"):
        load(saved)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    saved = save(tmp_path / "1", weights={"0.weight": torch.tensor([1.0, float("nan")])})
    with pytest.raises(CheckpointError, match=r"0.weight holds NaN or Inf"):
        load(saved)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.floats(0, 0.999), flip=st.integers(1, 255), cut=st.booleans())
@pytest.mark.parametrize("name", ["model.safetensors", "vocabulary.json", "config.json"])
def test_any_cut_or_flipped_byte_ends_in_a_checkpoint_error(
    folder: Path, name: str, place: float, flip: int, cut: bool
) -> None:
    folder = Path(shutil.copytree(folder, folder.with_name("copy"), dirs_exist_ok=True))
    data = bytearray((folder / name).read_bytes())
    at = int(place * len(data))
    if cut:
        del data[at:]
    else:
        data[at] ^= flip
    (folder / name).write_bytes(data)
    try:
        opened = load(folder)
        checkpoint.restore(opened, opened.model.build)
    except CheckpointError:
        return
    finally:
        shutil.rmtree(folder)
    assert name == "config.json"  # the only file that no other vouches for: its numbers may differ


# loading runs no code, and sizes of one's own choosing take no memory


class Bomb:
    """Unpickling it makes a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self.path,)


def test_law_9_the_bomb_goes_off_when_unpickled(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Bomb(str(tmp_path / "boom"))))
    assert (tmp_path / "boom").exists()


@pytest.mark.parametrize("described", [False, True])
@pytest.mark.parametrize("dump", ["pickle", "torch"])
def test_law_9_a_pickle_named_safetensors_is_never_opened(
    tmp_path: Path, folder: Path, described: bool, dump: str
) -> None:
    weights = folder / "model.safetensors"
    bomb = Bomb(str(tmp_path / "boom"))
    if dump == "pickle":
        weights.write_bytes(pickle.dumps(bomb))
    else:
        torch.save(bomb, weights)
    if described:
        replace_weights(folder, weights.read_bytes())
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        load(folder)
    assert not (tmp_path / "boom").exists()


def test_a_pickle_in_the_place_of_weights_is_told_by_its_look(folder: Path) -> None:
    replace_weights(folder, pickle.dumps([1]))
    with pytest.raises(CheckpointError, match="looks like a Python pickle, never opened"):
        load(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [("hidden", 10**9), ("hidden", 10**18), ("hidden", 5), ("layers", 10**9), ("layers", 2)],
)
def test_law_9_tampered_sizes_allocate_nothing(folder: Path, key: str, value: int) -> None:
    change_config(folder, lambda c: c["model"].update({key: value}))
    opened = load(folder)
    built_on = []

    def build() -> nn.Module:
        built_on.append(torch.empty(0).device.type)
        return opened.model.build()

    with pytest.raises(CheckpointError):
        checkpoint.restore(opened, build)
    assert built_on == ["meta"]


def test_tensors_that_do_not_fit_are_listed_with_both_shapes(folder: Path) -> None:
    change_config(folder, lambda c: c["model"].update(hidden=5))
    opened = load(folder)
    with pytest.raises(CheckpointError, match=r"0.weight is \(4, 4\), expected \(5, 5\)"):
        checkpoint.restore(opened, opened.model.build)
    with pytest.raises(CheckpointError, match=r"missing 1.bias; missing 1.weight"):
        checkpoint.restore(opened, Small(layers=2).build)
    with pytest.raises(CheckpointError, match=r"missing weight; unexpected 0.bias"):
        checkpoint.restore(opened, lambda: nn.Linear(4, 4, bias=False))


def test_safetensors_that_claim_more_than_they_hold_are_refused(folder: Path) -> None:
    header = {"w": {"dtype": "F32", "shape": [10**9], "data_offsets": [0, 4 * 10**9]}}
    text = json.dumps(header).encode()
    replace_weights(folder, len(text).to_bytes(8, "little") + text + b"\0" * 16)
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        load(folder)


# a save is atomic


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_save_that_fails_anywhere_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save(tmp_path / "5", update=1)
    before = snapshot(tmp_path)
    real = os.fsync
    for allowed in range(4):  # three files and their folder are synced before the name changes
        left = [allowed]

        def fsync(handle: int, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            real(handle)

        monkeypatch.setattr(os, "fsync", fsync)
        with pytest.raises(MachineError, match="No space left on device") as caught:
            save(folder, update=2)
        assert caught.value.exit_code == 5
        assert snapshot(tmp_path) == before
        assert os.listdir(tmp_path) == ["5"]
    monkeypatch.undo()
    assert load(save(folder, update=2)).update == 2
    assert os.listdir(tmp_path) == ["5"]


def test_a_disk_that_takes_no_more_bytes_leaves_nothing_behind(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    weights: dict[str, Tensor] = {"w": torch.zeros(10_000)}
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(MachineError, match="cannot be written"):
            save(tmp_path / "5", weights=weights)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert os.listdir(tmp_path) == []


def test_a_folder_with_other_things_in_it_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match="exists and is no checkpoint"):
        save(tmp_path / "mine")
    assert snapshot(tmp_path) == {"mine/thesis.txt": b"years of work"}
