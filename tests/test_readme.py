"""The README's tree names every file, in the words of the file's own first line."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- tree -->\n", "<!-- /tree -->"
FOLDERS = ("speechseq", "recipes", "benchmarks")


def tree() -> str:
    """One line a file: its name and the first line of its docstring."""
    lines = []
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT)
            about = (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").split("\n")[0]
            shown = f"{name.parent}/" if path.name == "__init__.py" else f"  {name.name}"
            lines.append(f"{shown:26} {about}")
    return "```\n" + "\n".join(lines) + "\n```\n"


def test_the_readme_shows_the_tree_as_it_is() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    shown = readme[readme.index(BEGIN) + len(BEGIN) : readme.index(END)]
    assert shown == tree(), "run: python tests/test_readme.py"


if __name__ == "__main__":
    text = (ROOT / "README.md").read_text("utf-8")
    before, after = text[: text.index(BEGIN)], text[text.index(END) :]
    (ROOT / "README.md").write_text(before + BEGIN + tree() + after, "utf-8")
