"""Names in backticks, in docstrings, comments and docs, are names that exist."""

import ast
import functools
import io
import pydoc
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "speechseq"
FILES = sorted(PACKAGE.rglob("*.py"))
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
OTHERS = "sys", "torch", "torchaudio"  # installed packages, whose names are looked up there
OUTSIDE = {"Flow"}  # classes of other projects
NAME = re.compile(r"`([A-Za-z_][\w.]*)(?:\([^`]*\))?`")
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def module_of(path: Path) -> str:
    """The dotted name of a file of the package."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path): path for path in FILES}


def references(path: Path) -> set[str]:
    """Names in backticks that have a dot or begin with a capital; of a call, the function."""
    source = path.read_text("utf-8")
    nodes = (node for node in ast.walk(tree_of(path)) if isinstance(node, DOCUMENTED))
    texts = [ast.get_docstring(node) or "" for node in nodes]
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    texts += [token.string for token in tokens if token.type == tokenize.COMMENT]
    found = {name for text in texts for name in NAME.findall(text)}
    return {name for name in found if "." in name or name[0].isupper()}


def defined(body: list[ast.stmt]) -> Iterator[str]:
    """Names that statements define: functions, classes, variables and imports."""
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from (alias.asname or alias.name for alias in node.names)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            yield from (n.id for n in ast.walk(node) if isinstance(n, ast.Name))
        else:
            yield from defined([n for n in ast.iter_child_nodes(node) if isinstance(n, ast.stmt)])


@functools.cache
def names_of(module: str) -> frozenset[str]:
    return frozenset(defined(tree_of(MODULES[module]).body))


@functools.cache
def classes() -> dict[str, list[ast.ClassDef]]:
    """All classes by name, those of recipes included."""
    found: dict[str, list[ast.ClassDef]] = {}
    for path in (*FILES, *(ROOT / "recipes").rglob("*.py")):
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(node)
    return found


@functools.cache
def attributes(name: str) -> frozenset[str]:
    """Methods, fields and attributes of the classes of a name, and of their bases."""
    found: set[str] = set()
    for node in classes().get(name, []):
        for base in node.bases:
            found |= attributes(ast.unparse(base).partition("[")[0].rpartition(".")[2])
        found |= set(defined(node.body))
        inner = (n for n in ast.walk(node) if isinstance(n, ast.Attribute))
        found |= {n.attr for n in inner if isinstance(n.ctx, ast.Store)}
    return frozenset(found)


@functools.cache
def files() -> frozenset[str]:
    """Names of files in the package's code."""
    nodes = (node for path in FILES for node in ast.walk(tree_of(path)))
    found = {str(n.value) for n in nodes if isinstance(n, ast.Constant)}
    return frozenset(name for name in found if re.fullmatch(r"\w+\.\w+", name))


@functools.cache
def structs() -> frozenset[str]:
    """Structs of the C++ sources."""
    sources = (PACKAGE / "ops" / "csrc").glob("*.*")
    return frozenset(
        name for path in sources for name in re.findall(r"struct (\w+)", path.read_text("utf-8"))
    )


def is_in_module(parts: list[str]) -> bool:
    """True for a module, a name in a module, or an attribute of a class in a module."""
    for length in range(len(parts), 0, -1):
        head, rest = "." + ".".join(parts[:length]), parts[length:]
        for module in (module for module in MODULES if f".{module}".endswith(head)):
            known = not rest or rest[0] in names_of(module)
            if known and (len(rest) < 2 or rest[1] in attributes(rest[0])):
                return True
    return False


def arguments(path: Path) -> set[str]:
    return {n.arg for n in ast.walk(tree_of(path)) if isinstance(n, ast.arg)}


def is_of_value(name: str, path: Path) -> bool:
    """True for `value.attribute`, such as of an argument, that some class of the package has.

    A value whose name is no module's may be another project's: it is not looked up.
    """
    first, *rest = parts = name.removeprefix("self.").split(".")
    if first == name.split(".")[0] and not any(first in module.split(".") for module in MODULES):
        return True
    inner = {n.attr for n in ast.walk(tree_of(path)) if isinstance(n, ast.Attribute)}
    is_value = name != ".".join(parts) or first in arguments(path) | inner
    return is_value and len(rest) < 2 and any(parts[-1] in attributes(x) for x in classes())


def exists(name: str, path: Path) -> bool:
    """True if a name in a file leads somewhere: to a file, a module, a class or a part of one."""
    first, *rest = name.split(".")
    if first in OTHERS:
        return pydoc.locate(name) is not None
    if name in OUTSIDE:
        return True
    if name.endswith(".py"):
        return any(file.name == name for file in FILES)
    if first in classes() and (not rest or rest[0] in attributes(first)):
        return True
    if not rest and any(name in names_of(module) for module in MODULES):
        return True
    if first[0].isupper():
        return name in structs() | arguments(path)
    if name in files() or is_in_module(name.split(".")):
        return True
    return is_of_value(name, path)


def test_references_are_found_and_wrong_ones_are_told() -> None:
    path = PACKAGE / "models" / "tacotron.py"
    there = "nn.masks", "masks.length_mask", "Tacotron.generate", "torch.compile", "LAS"
    for name in there:
        assert exists(name, path), name
    gone = "nn.shapeless", "masks.length_masks", "Tacotron.speak", "torch.compilers", "CoreLoop"
    for name in (*gone, "nn.shapeless.MOST_PARAMETERS"):
        assert not exists(name, path), name
    assert "Tacotron.generate" in references(PACKAGE / "inference" / "synthesizer.py")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_parts_of_classes_that_pages_name_exist(page: Path) -> None:
    found = re.findall(r"`([A-Z][a-z]\w*\.\w+)(?:\([^`]*\))?`", page.read_text("utf-8"))
    assert not [name for name in found if not exists(name, page)]


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_names_in_backticks_exist(path: Path) -> None:
    assert not [name for name in sorted(references(path)) if not exists(name, path)]
