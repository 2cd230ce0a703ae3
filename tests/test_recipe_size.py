"""Recipes stay short, and what two of them share is in the package."""

import itertools
from pathlib import Path

import pytest

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*/*.py"))
LINES, SHARED = 115, 10


def code(path: Path) -> list[str]:
    """The lines of a recipe that are neither blank nor an import."""
    lines = (line.strip() for line in path.read_text("utf-8").splitlines())
    return [line for line in lines if line and not line.startswith(("import ", "from "))]


def longest_run(first: list[str], second: list[str]) -> list[str]:
    """The longest run of consecutive lines that two recipes have in common."""
    best: list[str] = []
    lengths = [0] * (len(second) + 1)
    for i, line in enumerate(first):
        before = lengths
        lengths = [0] * (len(second) + 1)
        for j, other in enumerate(second):
            if line == other:
                lengths[j + 1] = before[j] + 1
                if lengths[j + 1] > len(best):
                    best = first[i + 1 - lengths[j + 1] : i + 1]
    return best


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_at_most_115_lines(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= LINES


@pytest.mark.parametrize(
    "pair", itertools.combinations(RECIPES, 2), ids=lambda p: f"{p[0].stem}-{p[1].stem}"
)
def test_two_recipes_share_at_most_10_lines(pair: tuple[Path, Path]) -> None:
    shared = longest_run(*map(code, pair))
    assert len(shared) <= SHARED, "\n".join(shared)


def test_a_run_of_equal_lines_is_found() -> None:
    assert longest_run(list("abcdxyz"), list("qbcdxabc")) == list("bcdx")
    assert longest_run(list("ab"), list("cd")) == []
