"""The README's tree names every file, in the words of the file's own first line."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- tree -->\n", "<!-- /tree -->"
FOLDERS = ("speechseq", "recipes", "benchmarks")
SUFFIXES = (".py", ".cpp", ".h")


def about(path: Path) -> str:
    """The first line of a Python room's docstring, or of a kernel's comment."""
    text = path.read_text("utf-8")
    if path.suffix == ".py":
        text = ast.get_docstring(ast.parse(text)) or ""
    return text.split("\n")[0].removeprefix("// ")


def tree() -> str:
    """One line a file: its name and what it says of itself."""
    lines = []
    for folder in FOLDERS:
        paths = (ROOT / folder).rglob("*")
        for path in sorted(path for path in paths if path.suffix in SUFFIXES):
            name = path.relative_to(ROOT)
            shown = f"{name.parent}/" if path.name == "__init__.py" else f"  {name.name}"
            lines.append(f"{shown:26} {about(path)}")
    return "```\n" + "\n".join(lines) + "\n```\n"


def test_the_readme_shows_the_tree_as_it_is() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    shown = readme[readme.index(BEGIN) + len(BEGIN) : readme.index(END)]
    assert shown == tree(), "run: python tests/test_readme.py"


if __name__ == "__main__":
    text = (ROOT / "README.md").read_text("utf-8")
    before, after = text[: text.index(BEGIN)], text[text.index(END) :]
    (ROOT / "README.md").write_text(before + BEGIN + tree() + after, "utf-8")
