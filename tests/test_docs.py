"""README and docs: generated parts up to date, links and paths that exist, examples that run."""

import ast
import contextlib
import importlib
import importlib.util
import re
import shlex
import shutil
import subprocess
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_recogniser import save_recogniser
from tiny_voice import save_voice

from speechseq.cli import main
from speechseq.nn.attention.reading import ReadingConfig
from speechseq.nn.masks import length_mask
from speechseq.ops.cpp import compiler, library
from speechseq.ops.cpp.signatures import SIGNATURES

ROOT = Path(__file__).parents[1]
README, LIBRARY = ROOT / "README.md", ROOT / "docs" / "library.md"
EXTENDING = ROOT / "docs" / "extending.md"
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *(ROOT / name for name in ("recipes/README.md", "data/README.md", "benchmarks/NOTES.md")),
]
LINK = re.compile(r"(?<!`)!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(<?([^)\s>]+)>?\)")
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
FOLDERS = "speechseq|tests|recipes|benchmarks|docs"
PATH = re.compile(rf"(?<![\w./~-])(?:{FOLDERS})/[\w./-]*[\w/]")
RECIPES = re.compile(r"^speechseq (?:train|prepare) [^\[\n…]*$", re.MULTILINE)

_spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
assert _spec is not None
assert _spec.loader is not None
generate = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(generate)


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


each_page = pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=named
)  # a changelog names what is gone


def text_of(page: Path) -> str:
    """A page without what is generated from the code."""
    return re.sub(r"<!-- (\w+) -->.*<!-- /\1 -->", "", page.read_text("utf-8"), flags=re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    return [
        textwrap.dedent(code) for _, kind, code in BLOCK.findall(text_of(page)) if kind == language
    ]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page that links may name, both on a forge and in the site."""
    text = BLOCK.sub("", page.read_text("utf-8"))
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    plain = [re.sub(r"[^\w\s-]", "", title.replace("`", "")).strip().lower() for title in titles]
    forge = {re.sub(r"\s", "-", title) for title in plain}
    return forge & {re.sub(r"[-\s]+", "-", title) for title in plain}


@pytest.mark.parametrize("page", generate.GENERATED)
def test_what_is_generated_is_up_to_date(page: str) -> None:
    written = (ROOT / "docs" / page).read_text("utf-8")
    assert written == generate.generated(page), "run: python docs/generate.py"


def test_the_readme_is_read_in_five_minutes() -> None:
    assert len(README.read_text("utf-8").splitlines()) <= 150
    assert README.stat().st_size <= 9000


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    wrong = []
    for link in LINK.findall(BLOCK.sub("", text_of(page))):
        name, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            wrong.append(link)
    assert not wrong


@each_page
def test_files_that_are_named_exist(page: Path) -> None:
    found = {name for name in PATH.findall(text_of(page)) if "NAME" not in name}
    assert not {name for name in found if not (ROOT / name).exists()}


@each_page
def test_modules_that_are_named_exist(page: Path) -> None:
    names = set(re.findall(r"(?:`|^::: )(speechseq(?:\.\w+)+)", text_of(page), re.MULTILINE))
    assert not {name for name in names if not is_there(name)}


def is_there(name: str) -> bool:
    """True if a dotted name is a module, or a name at the top level of a module."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        path = ROOT.joinpath(*parts[:count])
        for module in (path / "__init__.py", path.with_suffix(".py")):
            if module.exists():
                rest, tree = parts[count:], ast.parse(module.read_text("utf-8"))
                assigned = [n for n in tree.body if isinstance(n, ast.Assign)]
                names = {getattr(node, "name", "") for node in tree.body}
                names |= {ast.unparse(target) for node in assigned for target in node.targets}
                return not rest or rest[0] in names
    return False


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder in which the demo has run, its models replaced by tiny ones."""
    directory = tmp_path_factory.mktemp("docs")
    save_voice(directory / "runs" / "demo" / "voice")
    save_recogniser(directory / "runs" / "demo" / "ears")
    (directory / "recipes").symlink_to(ROOT / "recipes")
    return directory


@pytest.mark.parametrize("page", [README, LIBRARY, EXTENDING], ids=named)
def test_python_examples_run(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    found = blocks(page, "python")
    assert found
    for code in found:
        exec(compile(code, named(page), "exec"), {"__name__": "example"})


def test_the_example_of_a_mechanism_attends() -> None:
    found: dict[str, Any] = {"__name__": "example"}
    exec(blocks(EXTENDING, "python")[0], found)
    module = found["BilinearConfig"](reading=ReadingConfig(window=2)).build(3, 4)
    memory, mask = torch.randn(2, 5, 4), length_mask(torch.tensor([5, 3]))
    _, weights, state = module(torch.randn(2, 3), module.start(memory, mask))
    assert weights[1, 3:].eq(0).all()
    torch.testing.assert_close(weights.sum(1), torch.ones(2))
    assert state.previous is weights


@pytest.mark.skipif(compiler.compiler() is None, reason="this machine has no C++ compiler")
def test_the_example_of_a_kernel_compiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPEECHSEQ_NATIVE", raising=False)
    for header in (ROOT / "speechseq" / "ops" / "csrc").glob("*.h"):
        shutil.copy(header, tmp_path)
    (tmp_path / "scaled.cpp").write_text(blocks(EXTENDING, "cpp")[0], "utf-8")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(library, "_HERE", tmp_path)
    found: dict[str, Any] = {"__name__": "example"}
    for code in blocks(EXTENDING, "python")[1:]:
        exec(code, found)
    monkeypatch.setitem(SIGNATURES, "scaled", found["SCALED"])
    library.library.cache_clear()
    x, factors = torch.randn(3, 4), torch.randn(3)
    with torch.no_grad():
        scaled = found["scaled"](x, factors)
    assert library.library("scaled") is not None
    library.library.cache_clear()
    assert torch.equal(scaled, found["_scaled"](x, factors))
    monkeypatch.syspath_prepend(ROOT / "tests" / "ops")
    found |= vars(importlib.import_module("op_cases"))
    case = found["scales"]()
    assert case.kernel == "inference"
    assert torch.equal(case.op(x, factors), case.formula(x, factors))


def lines(page: Path) -> Iterator[list[str]]:
    """The words of each shell line, comments left out."""
    for code in blocks(page, "bash"):
        for line in code.replace("\\\n", " ").splitlines():
            if words := shlex.split(line, comments=True):
                yield words


@pytest.mark.parametrize("page", [README, ROOT / "CONTRIBUTING.md"], ids=named)
def test_shell_lines_run(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands that take minutes, a network or a package index are only parsed."""
    monkeypatch.chdir(folder)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    for words in lines(page):
        words = [word for word in words if "=" not in word or word.startswith("-")]
        if words[0] == "speechseq":
            with contextlib.suppress(SystemExit):
                long = words[1] in ("train", "prepare")
                assert main([*words[1:], *["--help"] * long]) == 0, words
        elif words[0] == "make":
            subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, check=True, capture_output=True)
        elif words[:2] == ["pip", "install"]:
            wanted = re.findall(r"\[([\w,]+)\]", words[-1])
            assert set(",".join(wanted).split(",")) <= set(extras)
        else:
            assert Path(words[0]).parts[0] == ".venv", words
            assert all((ROOT / word).exists() for word in words[1:] if "/" in word), words


@pytest.mark.parametrize(
    "command",
    sorted(
        {
            command
            for page in PAGES
            for command in RECIPES.findall(page.read_text("utf-8"))
            if not re.search(r"[A-Z]{4}\b", command)
        }
    ),
)
def test_commands_of_recipes_have_flags_that_exist(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as ended:
        main([*shlex.split(command, comments=True)[1:], "--help"])
    assert not ended.value.code
