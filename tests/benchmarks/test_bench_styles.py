"""Comparison of styles: the table says what the runs say, and the page has their players."""

import json
import math
from pathlib import Path

import pytest
import soundfile
import style_columns
import styles
import torch
from styled_voice import save_styled

RATE = 8000
TEXTS = ("ab cd", "efg", "hij kl")


def direction(span: float | None, size: int, centre_wer: float = 0.1) -> dict:
    steps = torch.ones(size) / size**0.5
    changes = [x / 7 for x in range(7)]
    return {
        "span": span,
        "rho": 0.8,
        "wer": centre_wer,
        "worst_wer": 0.13,
        "step": steps.tolist(),
        "asked": changes,
        "found": changes,
    }


def save_run(folder: Path, kind: str, span: float | None, **more: object) -> Path:
    """A run of an untrained voice, with results of our own."""
    save_styled(folder / "checkpoints/7", kind)
    (folder / "checkpoints/last").symlink_to("7")
    knobs = [{"name": str(i), "dead": i == 0} for i in range(4)]
    card = {"knobs": knobs, "active_units": 0.75, "dead": ["0"]}
    (folder / "checkpoints/last/style_card.json").write_text(json.dumps(card))
    size = 3 if kind == "vae" else 8
    found = {
        "recovered": {"f0": 0.9, "spread": 0.1, "energy": 0.9, "rate": 0.6},
        "directions": {
            "f0": direction(span, size),
            "energy": direction(-9.0, size),
            "rate": direction(0.9, size, centre_wer=0.05),
        },
        "same_text": {"f0": 0.4, "energy": 1.0, "rate": math.log2(1.2), "ffe": 0.1, "wer": 0.2},
        "other_text": {"f0": 0.95, "energy": 0.85, "rate": None},
        "text_probe": {"accuracy": 0.12, "permuted": 0.1, "spread": 0.03, "words": 120},
        "prior": {"distance": 1.0, "null": 0.5, "gap": 0.0, "undefined": 0.0, "wer": 0.2},
        "default": {"f0": 0.1, "spread": 0.0, "energy": -0.7, "rate": None},
        **more,
    }
    (folder / "style.json").write_text(json.dumps(found))
    test = folder / "corpus/test"
    (test / "wavs").mkdir(parents=True)
    rows = [{"id": f"x-{i}", "text": text} for i, text in enumerate(TEXTS)]
    (test / "manifest.json").write_text(json.dumps({"utterances": rows}))
    time = torch.arange(RATE // 2) / RATE
    for row in rows:
        sound = 0.3 * torch.sin(2 * math.pi * 200 * time).sign()
        soundfile.write(test / "wavs" / f"{row['id']}.wav", sound.numpy(), RATE)
    return folder


@pytest.fixture
def folders(tmp_path):
    return [
        save_run(tmp_path / "vae-0", "vae", 8.0, speakers={"ratio": 0.95}),
        save_run(tmp_path / "second", "vae", 10.0, style="vae", seed=1),
        save_run(tmp_path / "gst", "gst", None),
    ]


def cells(folders: list[Path]) -> dict:
    return style_columns.plain([style_columns.read_run(folder) for folder in folders])


def test_cells_are_means_and_spreads_over_seeds_beside_their_aims(folders):
    found = cells(folders)
    span = found["vae"]["Directions: F0 span, semitones"]
    assert span["values"] == [8.0, 10.0]
    assert (span["mean"], span["sd"], span["met"]) == (9.0, pytest.approx(2**0.5), True)
    assert found["vae"]["Directions: energy span, dB"]["mean"] == 9.0  # whichever sign
    assert found["vae"]["Directions: F0 ρ"]["met"] is False
    assert found["vae"]["Directions: WER rise"]["mean"] == pytest.approx(0.08)
    assert found["vae"]["Same text: duration, %"]["mean"] == pytest.approx(20)
    assert found["vae"]["Same text: duration, %"]["met"] is False
    assert found["vae"]["Code: text probe over chance"]["met"] is True
    assert found["vae"]["Prior: prosody distance over null"]["mean"] == 2.0
    rest = "Default and voices: "
    assert found["vae"][f"{rest}voices known, of the originals"]["values"] == [0.95]
    # what is undefined is no number, and no success either
    assert found["vae"][f"{rest}default off the corpus, sd"]["values"] == []
    assert found["gst"]["Directions: F0 span, semitones"]["met"] is None
    assert found["gst"]["Code: tokens alive"]["mean"] == 3
    assert found["vae"]["Code: tokens alive"]["values"] == []


def test_table_data_and_one_page_with_players_are_written(folders, tmp_path, capsys):
    styles.main([*map(str, folders), "--out", str(tmp_path / "out")])
    table = (tmp_path / "out/styles.md").read_text("utf-8")
    assert table in capsys.readouterr().out + "\n"
    assert "| vae | 9.00 ± 1.41 | **0.80 ± 0.00** |" in table
    assert table.index("| gst |") < table.index("| vae |")  # the order of the recipe
    assert set(json.loads((tmp_path / "out/styles.json").read_text())) == {"gst", "vae"}
    page = (tmp_path / "out/styles.html").read_text("utf-8")
    assert page.count("<audio") == 2 * (2 * 3 + 3 * 5)  # of each style one run
    assert 'src="http' not in page
    assert "asked +0.86 semitones, measured" in page
    assert "200 Hz" in page  # of the reference


def test_training_runs_the_recipe_for_each_style_and_seed(tmp_path, monkeypatch):
    commands = []

    def run(command):
        commands.append(command)
        style, folder = command[command.index("--style") + 1], command[command.index("--run") + 1]
        save_run(Path(folder), style, 7.0)

    monkeypatch.setattr(styles, "run_recipe", run)
    flags = ["--run", str(tmp_path), "--styles", "gst", "vae", "--seeds", "3", "4"]
    styles.main(["--train", *flags, "--", "--trainer.updates", "5"])
    assert [Path(c[c.index("--run") + 1]).name for c in commands] == [
        *("gst-3", "vae-3", "gst-4", "vae-4")
    ]
    assert all(c[-2:] == ["--trainer.updates", "5"] for c in commands)
    found = json.loads((tmp_path / "styles.json").read_text())
    assert found["vae"]["Directions: F0 span, semitones"]["seeds"] == 2
    assert styles.RECIPE.is_file()


def test_folders_without_results_are_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        styles.main([str(tmp_path)])
    assert "style.json" in capsys.readouterr().err
