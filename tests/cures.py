"""Every cure that the package's errors name, collected from its source without running it."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "speechseq").rglob("*.py"))


class Cure(NamedTuple):
    """The words of a cure, "…" where a value is put in, and where they stand."""

    where: str
    text: str


def all_cures() -> list[Cure]:
    """The cures of all source files."""
    trees = {path: ast.parse(path.read_text("utf-8")) for path in SOURCES}
    places = {
        node.name: [a.arg for a in node.args.args].index("cure")
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and "cure" in [a.arg for a in node.args.args]
    }
    return [
        Cure(f"{path.relative_to(ROOT)}:{node.lineno}", text)
        for path, tree in trees.items()
        for node in _nodes(tree, places)
        for text in words(node)
    ]


def defined() -> set[str]:
    """Names of functions, classes, their attributes and parameters, as `name` or `Class.name`."""
    found: set[str] = set()
    for path in SOURCES:
        found.add(path.stem)
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                found |= {node.name, *(f"{node.name}.{n}" for n in _members(node))}
                found |= set(_members(node))
            elif isinstance(node, ast.FunctionDef):
                found |= {node.name, f"{path.stem}.{node.name}"}
                found |= {a.arg for a in (*node.args.args, *node.args.kwonlyargs)}
    return found


def words(node: ast.expr) -> Iterator[str]:
    """The texts that an expression may come to; both sides of a choice."""
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str) and node.value:
            yield node.value
    elif isinstance(node, ast.JoinedStr):
        parts = (v.value if isinstance(v, ast.Constant) else "…" for v in node.values)
        yield "".join(str(part) for part in parts)
    elif isinstance(node, ast.IfExp):
        yield from (*words(node.body), *words(node.orelse))
    elif isinstance(node, ast.BoolOp):
        for value in node.values:
            yield from words(value)
    elif isinstance(node, ast.BinOp):
        left = [*words(node.left)] or [""]
        yield from (a + b for a in left for b in ([*words(node.right)] or ["…"]))


def _nodes(tree: ast.Module, places: dict[str, int]) -> Iterator[ast.expr]:
    """Cures as arguments, at the `places` where functions and errors take them, and as names."""
    used: set[str] = set()
    assigned: list[tuple[str, ast.expr]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            cures = [k.value for k in node.keywords if k.arg == "cure"]
            cures += _argument(node, places)
            used |= {cure.id for cure in cures if isinstance(cure, ast.Name)}
            yield from cures
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Name):
                assigned.append((target.id, node.value))
    for name, value in assigned:
        if name in used or "cure" in name.lower() or name == "offer":
            yield value


def _argument(call: ast.Call, places: dict[str, int]) -> list[ast.expr]:
    function, place = call.func, None
    if isinstance(function, ast.Name):
        place = 1 if function.id.endswith("Error") else places.get(function.id)
    elif isinstance(function, ast.Attribute):  # kind.error(…), metadata.refuse(…)
        place = 1 if function.attr == "error" else places.get(function.attr)
    elif isinstance(function, ast.Call):  # type(error)(…)
        place = 1
    return [] if place is None else call.args[place : place + 1]


def _members(node: ast.ClassDef) -> Iterator[str]:
    for item in ast.walk(node):
        if isinstance(item, ast.FunctionDef):
            yield item.name
        elif isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            yield item.target.id
        elif isinstance(item, ast.Attribute) and isinstance(item.ctx, ast.Store):
            yield item.attr
