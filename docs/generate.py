"""Writes what the docs hold of the code: the tree in architecture.md, the commands in cli.md.

    python docs/generate.py

tests/test_docs.py fails when either is out of date.
"""

import argparse
import ast
from collections.abc import Iterator
from pathlib import Path

from speechseq.cli import command_parser

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
FOLDERS = ("speechseq", "recipes", "benchmarks")
SUFFIXES = (".py", ".cpp", ".h")
COLUMN = 34  # of the tree, where descriptions begin


def tree() -> str:
    """One line a file: its name and the first line of its docstring or leading comment."""
    lines: list[str] = []
    for top in FOLDERS:
        paths = [path for path in (ROOT / top).rglob("*") if path.suffix in SUFFIXES]
        for folder in sorted({path.parent for path in paths}):
            name = f"{folder.relative_to(ROOT)}/"
            package = folder / "__init__.py"
            about = _first_line(package) if package.exists() else ""
            lines.append(f"{name:{COLUMN}}{about}".rstrip())
            files = sorted(p for p in paths if p.parent == folder and p != package)
            lines += [f"  {path.name:{COLUMN - 2}}{_first_line(path)}".rstrip() for path in files]
    return "```text\n" + "\n".join(lines) + "\n```\n"


def commands() -> str:
    """A section for each command, in Markdown: what it does, its usage and its arguments."""
    sections = []
    for parser, about in _leaves(command_parser()):
        usage = [parser.prog, *_usage(parser)]
        rows = [f"| {_names(a)} | {_help(a)} |" for a in _arguments(parser)]
        table = "\n".join(["| argument | meaning |", "|---|---|", *rows])
        epilog = f"\n\n```text\n{parser.epilog.strip()}\n```" if parser.epilog else ""
        title = f"## {parser.prog}\n\n{about[:1].upper()}{about[1:]}."
        sections.append(f"{title}\n\n```text\n{_wrapped(usage)}\n```\n\n{table}{epilog}")
    return "\n\n".join(sections) + "\n"


GENERATED = {"architecture.md": ("tree", tree), "cli.md": ("commands", commands)}


def generated(page: str) -> str:
    """A page as it should be: its own text, and the generated part between its markers."""
    name, make = GENERATED[page]
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    text = (DOCS / page).read_text("utf-8")
    before, after = text[: text.index(begin)], text[text.index(end) :]
    return f"{before}{begin}\n{make()}\n{after}"


def _first_line(path: Path) -> str:
    text = path.read_text("utf-8")
    if path.suffix == ".py":
        text = ast.get_docstring(ast.parse(text)) or ""
    return text.split("\n")[0].removeprefix("// ")


def _leaves(
    parser: argparse.ArgumentParser, about: str = ""
) -> Iterator[tuple[argparse.ArgumentParser, str]]:
    """Parsers without further commands below them, and the line that says what each does."""
    below = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    for action in below:
        for choice in action._choices_actions:
            inner = f"{about}: {choice.help}" if about else str(choice.help)
            yield from _leaves(action.choices[choice.dest], inner)
    if not below:
        yield parser, about


def _arguments(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """All arguments but --help, positional ones first."""
    actions = [a for a in parser._actions if not isinstance(a, argparse._HelpAction)]
    return sorted(actions, key=lambda action: bool(action.option_strings))


def _value(action: argparse.Action) -> str:
    if action.nargs == 0:
        return ""
    if action.choices:
        return "{" + ",".join(map(str, action.choices)) + "}"
    shown = str(action.metavar or action.dest.upper())
    return f"{shown} …" if action.nargs == "+" else shown


def _usage(parser: argparse.ArgumentParser) -> Iterator[str]:
    """A word for each argument, or for each group of which one is given."""
    groups = {id(a): g for g in parser._mutually_exclusive_groups for a in g._group_actions}
    for action in _arguments(parser):
        group = groups.get(id(action))
        if group is None:
            yield _word(action) if action.required else f"[{_word(action)}]"
        elif action is group._group_actions[0]:
            words = " | ".join(map(_word, group._group_actions))
            yield f"({words})" if group.required else f"[{words}]"


def _word(action: argparse.Action) -> str:
    return " ".join(filter(None, [*action.option_strings[:1], _value(action)]))


def _names(action: argparse.Action) -> str:
    """Flags and value as code; a table's code cannot hold a pipe on every renderer."""
    words = filter(None, [", ".join(action.option_strings), _value(action)])
    return f"`{' '.join(words).replace('|', ' or ')}`"


def _help(action: argparse.Action) -> str:
    text = (action.help or "") % {"default": action.default}
    required = "; required" if action.required and action.option_strings else ""
    return f"{text}{required}".replace("|", "\\|")


def _wrapped(words: list[str]) -> str:
    """The usage in lines of at most 96 characters, the following ones indented."""
    lines = words[:1]
    for word in words[1:]:
        if len(lines[-1]) + 1 + len(word) > 96:
            lines.append(f"    {word}")
        else:
            lines[-1] += f" {word}"
    return "\n".join(lines)


if __name__ == "__main__":
    for page in GENERATED:
        (DOCS / page).write_text(generated(page), "utf-8")
