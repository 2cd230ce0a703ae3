"""Kernels are compiled where a compiler stands ready, kept, and never needed."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from speechseq.ops.cpp import compiler, library
from speechseq.ops.cpp.signatures import SIGNATURES, STRUCTS

SOURCE = """
#include <cstdint>
extern "C" void add(const float* x, float* y, int64_t count, float factor, int64_t threads) {
    for (int64_t i = 0; i < count; i++) y[i] += factor * x[i];
}
"""
SAID: dict = {"check": True, "capture_output": True, "text": True}
KERNELS = sorted(path.stem for path in library._HERE.glob("*.cpp"))
with_compiler = pytest.mark.skipif(
    compiler.compiler() is None, reason="this machine has no C++ compiler"
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Sources and a cache of its own."""
    monkeypatch.setattr(library, "_HERE", tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("SPEECHSEQ_NATIVE", raising=False)
    library.library.cache_clear()
    (tmp_path / "adding.cpp").write_text(SOURCE)
    yield tmp_path
    library.library.cache_clear()


def _made(folder: Path) -> list[Path]:
    return sorted((folder / "cache" / "speechseq" / "native").glob("*.so"))


@with_compiler
def test_a_source_is_compiled_once_and_called_with_tensors(folder: Path) -> None:
    x, y = torch.arange(5.0), torch.ones(5)
    assert library.library("adding") is not None
    library.call("adding", "add", x, y, 5, 0.5)
    assert y.tolist() == [1.0, 1.5, 2.0, 2.5, 3.0]
    first = _made(folder)
    library.library.cache_clear()
    assert library.library("adding") is not None
    assert _made(folder) == first
    (folder / "adding.cpp").write_text(SOURCE + "// another\n")
    library.library.cache_clear()
    assert library.library("adding") is not None
    assert len(_made(folder)) == 2


@with_compiler
@pytest.mark.parametrize("name", KERNELS)
def test_every_kernel_compiles_where_there_is_a_compiler(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their own tests are skipped where a library is missing: here it shows.

    Every function that it exports has a signature.
    """
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("SPEECHSEQ_NATIVE", raising=False)
    library.library.cache_clear()
    kernels = library.library(name)
    assert kernels is not None
    known = {*SIGNATURES[name], "version", *(f"words_{own}" for own in STRUCTS.get(name, {}))}
    listed = subprocess.run(["nm", "-D", "--defined-only", kernels._name], **SAID).stdout
    exported = {line.split()[-1] for line in listed.splitlines() if " T " in line}
    assert {function for function in exported if not function.startswith("_")} == known
    library.library.cache_clear()


@with_compiler
def test_what_does_not_compile_is_said_once_and_done_without(folder: Path) -> None:
    (folder / "adding.cpp").write_text("this is no C++")
    with pytest.warns(RuntimeWarning, match=r"adding\.cpp did not compile(.|\n)*SPEECHSEQ_NATIVE"):
        assert library.library("adding") is None
    assert _made(folder) == []


def test_without_a_compiler_or_by_wish_there_is_none(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert library.library("adding") is None
    monkeypatch.undo()
    library.library.cache_clear()
    monkeypatch.setenv("SPEECHSEQ_NATIVE", "0")
    assert library.library("adding") is None
    library.library.cache_clear()


@with_compiler
def test_a_tensor_with_gaps_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="contiguous"):
        library.call("adding", "add", torch.zeros(4, 4).t(), torch.zeros(16), 16, 1.0)
