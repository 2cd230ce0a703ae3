"""The house rules, walked over the syntax trees of the package."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "speechseq"
ROOMS = sorted(PACKAGE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in ROOMS}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


each_room = pytest.mark.parametrize("path", ROOMS, ids=relative)


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, FUNCTIONS))


def public(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    """Functions and classes that a stranger may use."""
    kinds = (*FUNCTIONS, ast.ClassDef)
    return (n for n in tree.body if isinstance(n, kinds) and not n.name.startswith("_"))


def test_there_are_rooms_to_look_at():
    assert len(ROOMS) > 30


@each_room
def test_a_room_is_at_most_300_lines_and_a_function_60(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300
    long = {f.name: f.end_lineno - f.lineno + 1 for f in functions(TREES[path])}
    assert not {name: n for name, n in long.items() if n > 60}


@each_room
def test_a_room_is_named_for_what_is_in_it(path):
    assert path.name not in {"utils.py", "common.py", "base.py", "helpers.py", "misc.py"}


@each_room
def test_a_room_says_what_it_is_for(path):
    assert ast.get_docstring(TREES[path])


@each_room
def test_what_is_public_has_a_docstring(path):
    assert not [node.name for node in public(TREES[path]) if not ast.get_docstring(node)]


@each_room
def test_annotations_are_not_strings(path):
    """`from __future__ import annotations` would blind the executed shapes."""
    imports = (n for n in ast.walk(TREES[path]) if isinstance(n, ast.ImportFrom))
    assert not [n for n in imports if n.module == "__future__"]


@pytest.mark.parametrize("path", [p for p in ROOMS if p.name == "__init__.py"], ids=relative)
def test_one_name_has_one_address(path):
    """An __init__ imports only names that it uses itself; it re-exports none."""
    tree = TREES[path]
    imports = [n for n in ast.walk(tree) if isinstance(n, (ast.Import, ast.ImportFrom))]
    imported = {(a.asname or a.name).split(".")[0] for node in imports for a in node.names}
    used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    assert not imported - used
    assert "__all__" not in used


@each_room
def test_no_star_star_tunnels(path):
    tunnels = [f.name for f in functions(TREES[path]) if f.args.kwarg is not None]
    assert not tunnels


@each_room
def test_asserts_narrow_types_and_check_nothing_of_people_s(path):
    """`python -O` drops them; what people give is checked with an error that names the cure."""
    asserts = [n for n in ast.walk(TREES[path]) if isinstance(n, ast.Assert)]
    assert not [ast.unparse(n) for n in asserts if not _narrows(n.test)]


def _narrows(test: ast.expr) -> bool:
    if isinstance(test, ast.BoolOp):
        return all(map(_narrows, test.values))
    if isinstance(test, ast.Call):
        return ast.unparse(test.func) == "isinstance"
    return isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.IsNot)


@each_room
def test_a_mask_is_never_negated(path):
    negations = [
        ast.unparse(node)
        for node in ast.walk(TREES[path])
        if (isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert))
        or (isinstance(node, ast.Attribute) and node.attr in {"logical_not", "bitwise_not"})
    ]
    network = any(path.is_relative_to(PACKAGE / layer) for layer in ("ops", "nn", "models"))
    assert not [text for text in negations if "mask" in text or network]


@each_room
def test_no_registry_no_class_by_name(path):
    calls = [n for n in ast.walk(TREES[path]) if isinstance(n, ast.Call)]
    names = {ast.unparse(call.func) for call in calls}
    compiled = path == PACKAGE / "ops" / "cpp" / "signature.py"  # its own declarations, to checks
    assert not names & ({"eval", "globals"} if compiled else {"eval", "exec", "globals"})


@each_room
def test_no_place_of_one_machine(path):
    text = path.read_text(encoding="utf-8")
    assert not re.findall(r"""["'](?:/work|/root|/home|/tmp)\b""", text)


@each_room
def test_nothing_unpickles_code(path):
    """`torch.load` runs code unless told otherwise; pickle always does."""
    nodes = list(ast.walk(TREES[path]))
    touched = {ast.unparse(n) for n in nodes if isinstance(n, ast.Attribute)}
    assert {name for name in touched if name.startswith("pickle.")} <= {"pickle.UnpicklingError"}
    assert not [n for n in nodes if isinstance(n, ast.ImportFrom) and n.module == "pickle"]
    for call in (n for n in nodes if isinstance(n, ast.Call)):
        if ast.unparse(call.func) == "torch.load":
            assert [ast.unparse(k) for k in call.keywords if k.arg == "weights_only"] == [
                "weights_only=True"
            ]


def test_tests_have_names_of_their_own():
    """Two files of one name in tests/, which has no packages, would be one module."""
    names = [p.name for p in (ROOT / "tests").rglob("*.py") if p.name != "conftest.py"]
    assert sorted(names) == sorted(set(names))


def test_every_floor_is_in_the_import_contract():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    named = {name for layer in layers for name in re.findall(r"\w+", layer)}
    rooms = {p.stem for p in PACKAGE.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert rooms - {"__init__"} <= named


def test_the_import_contract_is_kept():
    command = [
        sys.executable,
        "-c",
        "import sys; from importlinter import cli; sys.exit(cli.lint_imports(is_debug_mode=False))",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
