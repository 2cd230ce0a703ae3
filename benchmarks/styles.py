"""Comparison of styles on known prosody: what was asked and measured, and players.

    python benchmarks/styles.py runs/styles/*
    python benchmarks/styles.py --train --run runs/styles --seeds 0 1 2 -- --trainer.updates 2200

The script reads run folders of recipes/tts/known_prosody.py, also of several seeds of a style, and
writes styles.md (rows: styles; columns: measures with their aims; mean ± standard deviation over
seeds, in bold where the mean misses the aim), styles.json and styles.html, one page with players.
With --train it first runs the recipe for every style and seed into DIR/STYLE-SEED; flags after --
are passed to the recipe. A run that has ended is measured again, not trained again. It needs the
extras `demo` and `style`.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from style_columns import STYLES, Run, markdown, plain, read_run
from style_page import sections

from speechseq.evaluation.report.page import Report, write
from speechseq.file_writing import replace_file

RECIPE = Path(__file__).parents[1] / "recipes/tts/known_prosody.py"


def main(argv: Sequence[str] | None = None) -> None:
    """Train if asked to, then read all runs and write table, data and page."""
    given = list(sys.argv[1:] if argv is None else argv)
    cut = given.index("--") if "--" in given else len(given)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN")
    parser.add_argument("--train", action="store_true", help="run the recipe first")
    parser.add_argument("--run", type=Path, default=Path("runs/styles"), metavar="DIR")
    parser.add_argument("--styles", nargs="+", default=list(STYLES), choices=STYLES)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: the runs' own folder")
    options = parser.parse_args(given[:cut])
    folders = list(options.runs)
    if options.train:
        folders += train(options.run, options.styles, options.seeds, given[cut + 1 :])
    runs = [read_run(folder) for folder in folders if (folder / "style.json").is_file()]
    if not runs:
        parser.error("no run with a style.json; name some, or --train")
    out = options.out or runs[0].folder.parent
    out.mkdir(parents=True, exist_ok=True)
    report(runs, out)
    print(markdown(runs))
    print(out / "styles.html")


def train(
    folder: Path, styles: Sequence[str], seeds: Sequence[int], flags: Sequence[str]
) -> list[Path]:
    """Run the recipe for every style and seed, one after the other; return the runs' folders."""
    runs = []
    for seed in seeds:
        for style in styles:
            runs.append(folder / f"{style}-{seed}")
            run_recipe(["--style", style, "--seed", str(seed), "--run", str(runs[-1]), *flags])
    return runs


def run_recipe(flags: Sequence[str]) -> None:
    """Run the recipe in a new process."""
    subprocess.run([sys.executable, str(RECIPE), *flags], check=True)


def report(runs: Sequence[Run], out: Path) -> None:
    """Write styles.md, styles.json and styles.html into a folder."""
    torch.set_num_threads(1)
    replace_file(out / "styles.md", f"{markdown(runs)}\n".encode())
    text = json.dumps(plain(runs), indent=1, ensure_ascii=False, allow_nan=False)
    replace_file(out / "styles.json", f"{text}\n".encode())
    summary = (
        "A small Tacotron 2 with each style, on digit strings of known prosody. Figures are means "
        "over runs ± their standard deviation, with the aim below; texts and references are "
        "unseen, speech is free-running, by Griffin-Lim."
    )
    page = Report(title="Styles on known prosody", summary=summary, sections=tuple(sections(runs)))
    write(out / "styles.html", page)


if __name__ == "__main__":
    main()
