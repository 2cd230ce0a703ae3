"""Mutated configs and checkpoints, opened by the commands that people use.

    python tests/mutations.py COUNT [SEED]

Each case changes one of the project's files (config.json, vocabulary.json, model.safetensors,
resume.pt, an overlay in YAML) or the flags of a command, half of them with all checksums made anew,
as an attacker would. A case fails when it ends otherwise than with an exit code of the project, in
more than 10 seconds, or with more than 1 GB. Prints one JSON object. Runs on Linux.
"""

import contextlib
import io
import json
import os
import random
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from resealing import change_config, replace_file
from tiny_recogniser import AUDIO, MODEL, VOCABULARY
from tiny_voice import save_voice
from toy_run import toy_trainer

from speechseq import checkpoint
from speechseq.audio import wav
from speechseq.cli import main
from speechseq.cli.guard import guarded
from speechseq.cli.recipe import read_flags
from speechseq.cli.train import load_recipe

ROOT = Path(__file__).parent.parent
SECONDS, KILOBYTES = 10.0, 1_000_000
FRESH = 520_000  # kB that a command takes when it has imported what it needs
RECIPES = {
    "tts/ljspeech_tacotron2.py": "tacotron2_cpu.yaml",
    "tts/ljspeech_tacotron.py": "tacotron_cpu.yaml",
    "asr/librispeech_las.py": "las_cpu.yaml",
    "asr/spoken_digits.py": "digits_unseen_speaker.yaml",
    "lm/sentences.py": None,
}
NUMBERS = [0, -1, 1, 2, 3, 64, 10**4, 10**6, 10**9, 2**31, 2**63, 2**64, 10**30, -(10**9), 10**4000]
FLOATS = [-0.1, 0.5, 1.5, 1e-300, 1e308, -1e308, float("nan"), float("inf"), float("-inf")]
OTHERS: list[Any] = [
    None,
    True,
    False,
    "",
    "x",
    "\0",
    "\ud800",
    "x" * 10_000,
    [],
    {},
    [[]],
    [0] * 9,
]
YAML = ["~", "1e400", "0x" + "f" * 99, "9" * 5000, "2026-13-45", "*a", "&a [*a]", "{", "[" * 999]
YAML += ["!!binary x", "!!python/name:os.system", "\t", "'", "? [1]", "<<: 1", "%", ".nan", "1_0"]


def nonsense(chance: random.Random) -> Any:
    return chance.choice(chance.choice([NUMBERS, FLOATS, OTHERS]))


def places(data: Any, above: tuple = ()) -> list[tuple]:
    """Paths to every value in nested lists, tuples and dicts."""
    pairs: list[tuple[Any, Any]] = []
    if isinstance(data, dict):
        pairs = list(data.items())
    elif isinstance(data, (list, tuple)):
        pairs = list(enumerate(data))[:20]
    found = [above] if above else []
    return found + [path for key, value in pairs for path in places(value, (*above, key))]


def mutated(data: Any, path: tuple, change: Callable[[Any], Any]) -> Any:
    """A copy of nested data with one value changed."""
    if not path:
        return change(data)
    if isinstance(data, dict):
        return {k: mutated(v, path[1:], change) if k == path[0] else v for k, v in data.items()}
    items = [mutated(v, path[1:], change) if i == path[0] else v for i, v in enumerate(data)]
    return type(data)(items) if type(data) in (list, tuple) else data


def change_of(chance: random.Random) -> Callable[[Any], Any]:
    """Draw a function that changes one value of plain data."""

    def change(value: Any) -> Any:
        kind = chance.randrange(6)
        if isinstance(value, torch.Tensor) and kind < 5:
            return tensor_change(chance, value)
        if isinstance(value, dict) and value and kind < 4:
            key = chance.choice(list(value))
            rest = {k: v for k, v in value.items() if k != key}
            return rest if kind < 2 else rest | {f"{key}x": value[key]}
        if isinstance(value, list) and value and kind < 4:
            return value[:-1] if kind < 2 else value * 50
        if isinstance(value, (int, float)) and kind == 0 and not isinstance(value, bool):
            return -value
        return nonsense(chance)

    return change


def tensor_change(chance: random.Random, value: torch.Tensor) -> Any:
    wide = value.detach().clone()
    changes: list[Callable[[], Any]] = [
        lambda: wide.double(),
        lambda: wide.long(),
        lambda: wide.flatten()[: wide.numel() // 2].clone(),
        lambda: torch.zeros(()).expand(wide.shape),
        lambda: wide * float("nan"),
        lambda: -wide.abs() - 1 if wide.is_floating_point() else wide,
        lambda: wide.to_sparse() if wide.ndim and wide.layout == torch.strided else wide,
        lambda: wide.to(torch.bfloat16),
        lambda: torch.full_like(wide, 200) if wide.dtype == torch.uint8 else wide * 1e30,
    ]
    return chance.choice(changes)()


def bytes_changed(data: bytes, chance: random.Random) -> bytes:
    place, kind = chance.randrange(len(data)), chance.randrange(5)
    if kind == 0:
        return data[:place]
    if kind == 1:
        return data[:place] + chance.randbytes(chance.randrange(1, 40)) + data[place:]
    if kind == 2:
        return data[:place] + data[place + chance.randrange(1, 40) :]
    changed = bytearray(data)
    for _ in range(1 if kind == 3 else 20):
        changed[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def change_checkpoint(folder: Path, name: str, chance: random.Random) -> str:
    """Change one file of a checkpoint; what was done."""
    path, change = folder / name, change_of(chance)
    if chance.randrange(3) == 0:
        data = bytes_changed(path.read_bytes(), chance)
        if name == "config.json" or chance.randrange(2):
            path.write_bytes(data)
        else:
            replace_file(folder, name, data)
        return f"{name}: bytes"
    if name == "config.json":
        found: list[tuple] = []

        def change_values(config: dict) -> None:
            found.append(chance.choice(places(config)))
            fresh = mutated(config, found[0], change)
            config.clear()
            config.update(fresh)

        change_config(folder, change_values)
        return f"{name}: {found[0]}"
    if name == "model.safetensors":
        weights = safetensors.torch.load(path.read_bytes())
        key = chance.choice(list(weights))
        value = tensor_change(chance, weights[key])
        weights[key] = value.to_dense().contiguous().clone()
        replace_file(folder, name, safetensors.torch.save(weights))
        return f"{name}: {key}"
    if name == "vocabulary.json":
        content = json.loads(path.read_text("utf-8"))
        where = chance.choice(places(content))
        text = json.dumps(mutated(content, where, change))
        replace_file(folder, name, text.encode())
        return f"{name}: {where}"
    state = torch.load(io.BytesIO(path.read_bytes()), weights_only=True)
    where = chance.choice(places(state))
    stream = io.BytesIO()
    torch.save(mutated(state, where, change), stream)
    replace_file(folder, name, stream.getvalue())
    return f"{name}: {where}"


class World:
    """The files that are mutated, made once, and a case of each kind."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.work = folder, folder / "work"
        self.voice = save_voice(folder / "voice")
        torch.manual_seed(0)
        self.ears = checkpoint.save(
            folder / "ears",
            model=MODEL,
            audio=AUDIO,
            vocabulary=VOCABULARY,
            weights=MODEL.build(len(VOCABULARY), AUDIO.mels).state_dict(),
            update=5,
        )
        self.run = folder / "run"
        toy_trainer(self.run, updates=3, ema_decay=0.9).run()
        self.sound = folder / "sound.wav"
        wav.save(self.sound, torch.randn(1, 4000).clamp(-1, 1) * 0.1, 8000)
        self.recipes = {name: load_recipe(ROOT / "recipes" / name) for name in RECIPES}

    def case(self, chance: random.Random) -> tuple[str, Callable[[], int]]:
        """Draw a change, and return its description and the command that reads the changed file."""
        shutil.rmtree(self.work, ignore_errors=True)
        kind = chance.choice(["voice", "ears", "run", "overlay", "overlay", "flags", "command"])
        if kind in ("overlay", "flags"):
            return self.recipe_case(kind, chance)
        if kind == "command":
            return self.command_case(chance)
        return self.checkpoint_case(kind, chance)

    def checkpoint_case(self, kind: str, chance: random.Random) -> tuple[str, Callable[[], int]]:
        shutil.copytree(getattr(self, kind), self.work, symlinks=True)
        folder = self.work / "checkpoints" / "3" if kind == "run" else self.work
        names = ["config.json", "vocabulary.json", "model.safetensors"]
        done = change_checkpoint(
            folder, chance.choice(names + ["resume.pt"] * (kind == "run")), chance
        )
        if kind == "run":
            trainer = toy_trainer(self.work, updates=4, ema_decay=0.9)
            return f"run: {done}", lambda: guarded(trainer.run)
        use = ["info", str(folder)]
        if chance.randrange(4) and kind == "voice":
            use = ["synthesize", "--checkpoint", str(folder), "--text", "one", "--out"]
            use.append(str(self.folder / "out.wav"))
        elif chance.randrange(4) and kind == "ears":
            use = ["transcribe", "--checkpoint", str(folder), str(self.sound)]
        return f"{use[0]}: {done}", lambda: main(use)

    def recipe_case(self, kind: str, chance: random.Random) -> tuple[str, Callable[[], int]]:
        name = chance.choice(list(RECIPES))
        module, overlay = self.recipes[name], RECIPES[name]
        settings = module.Settings().to_dict()
        path = chance.choice([p for p in places(settings) if p[-1] != "kind"])
        token = chance.choice([*YAML, *map(str, NUMBERS[:-1]), *map(str, FLOATS), ".inf", "''"])
        flags = [f"--{'.'.join(map(str, path))}", token]
        if kind == "overlay":
            text = "".join(f"{'  ' * i}{key}:\n" for i, key in enumerate(path))[:-1] + f" {token}\n"
            if overlay and chance.randrange(2):
                whole = (ROOT / "recipes" / "overlays" / overlay).read_bytes()
                text = bytes_changed(whole, chance).decode("latin-1")
            file = self.folder / "overlay.yaml"
            file.write_bytes(text.encode("latin-1"))
            flags = ["--config", str(file)]
        if overlay:  # models small enough to be built for real where a change is accepted
            flags = ["--config", str(ROOT / "recipes" / "overlays" / overlay), *flags]
        return f"{name} {flags[-2:]}"[:300], lambda: guarded(lambda: build(module, flags))

    def command_case(self, chance: random.Random) -> tuple[str, Callable[[], int]]:
        value = str(chance.choice([*NUMBERS[:-1], *FLOATS, "9" * 5000, "", "x", "\0", "-"]))
        spoken = ["synthesize", "--checkpoint", str(self.voice), "--text", "one"]
        spoken += ["--out", str(self.folder / "out.wav")]
        heard = ["transcribe", "--checkpoint", str(self.ears), str(self.sound)]
        flags = ("beam", "n-best", "window", "sharpen", "attention-window", "lm-weight", "device")
        use = [*spoken, f"--{chance.choice(['seed', 'precision', 'device'])}={value}"]
        if chance.randrange(2):
            use = [*heard, f"--{chance.choice(flags)}={value}"]
        return f"{use[0]} {use[-1]}"[:200], lambda: main(use)


def build(module: Any, flags: list[str]) -> None:
    settings, _ = read_flags(module.main, module.Settings, flags)
    if hasattr(settings, "audio"):
        given = (settings.model.kind == "las" and settings.audio.features) or settings.audio.mels
        settings.model.build(30, given)
    else:
        settings.model.build(30)


def outcome(action: Callable[[], int]) -> tuple[str, str]:
    """ "" or the fault of a case, and what was printed."""
    said, before = io.StringIO(), kilobytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    began = time.monotonic()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            code: object = action()
        except BaseException:
            code = traceback.format_exc()
    seconds = time.monotonic() - began
    if code not in (0, 2, 3, 4, 5):
        return f"traceback ({code})", said.getvalue()
    if seconds > SECONDS:
        return f"{seconds:.1f} seconds", said.getvalue()
    taken = kilobytes("VmHWM") - before
    if FRESH + taken > KILOBYTES:
        return f"{taken:,} kB more than before", said.getvalue()
    if len(said.getvalue()) > 20_000:
        return f"{len(said.getvalue())} characters printed", said.getvalue()[:2000]
    return "", said.getvalue()


def kilobytes(name: str) -> int:
    """A line of /proc/self/status: VmRSS is what the process takes now, VmHWM at its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def run(count: int, seed: int, folder: Path) -> dict[str, Any]:
    """Try cases; the faults, how many ended with each code's kind, and the slowest."""
    world, faults, refused, slowest = World(folder), [], 0, 0.0
    for number in range(count):
        chance = random.Random(f"{seed} {number}")
        what, action = world.case(chance)
        began = time.monotonic()
        fault, said = outcome(action)
        slowest = max(slowest, time.monotonic() - began)
        refused += "error: " in said
        if fault:
            faults.append({"case": number, "what": what, "fault": fault, "said": said[-1500:]})
    return {"cases": count, "refused": refused, "slowest": slowest, "faults": faults}


if __name__ == "__main__":
    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_AS, (24 << 30, 24 << 30))
    report = os.fdopen(os.dup(1), "w")  # a command may give up its standard output
    cases, first = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    with tempfile.TemporaryDirectory() as temporary:
        print(json.dumps(run(cases, first, Path(temporary))), file=report, flush=True)
