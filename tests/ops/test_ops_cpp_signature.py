"""An argument that does not fit its kernel is refused by name before an address is handed over."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from speechseq.errors import ConfigError
from speechseq.ops.cpp import compiler, library
from speechseq.ops.cpp.signature import KernelArgumentError, Signature, Struct
from speechseq.ops.cpp.signatures import SIGNATURES, STRUCTS, VERSION

SIGNATURE = Signature(
    """x: f32[rows, 2 * size], lengths: i64[rows], bias: f32[size] | None,
    wide: f32[rows:apart, size], rows: int >= 1, size: int, apart: int, left: 0 <= int < size,
    share: float""",
    "within(lengths, 0, size)",
)
SOURCE = """
#include "version.h"
struct Plan {
    int64_t rows;
    const float *x;
    FIELD
};
WORDS(Plan, Plan)
extern "C" void scale(const Plan *plan, float *y, int64_t size, int64_t) {
    for (int64_t i = 0; i < size; ++i) y[i] = float(plan->rows) * plan->x[i];
}
"""


def _arguments(**other: Any) -> list[Any]:
    right = {
        "x": torch.zeros(3, 8),
        "lengths": torch.tensor([4, 0, 2]),
        "bias": None,
        "wide": torch.zeros(3, 9)[:, :4],
        "rows": 3,
        "size": 4,
        "apart": 9,
        "left": 3,
        "share": 1,
    }
    return list({**right, **other}.values())


def _check(**other: Any) -> list[Any]:
    return SIGNATURE.check("kernel", _arguments(**other), None)[0]  # type: ignore[arg-type]


def test_what_fits_goes_as_addresses_and_numbers() -> None:
    x, bias = torch.zeros(3, 8), torch.zeros(4)
    taken = _check(x=x, bias=bias)
    assert (taken[0], taken[2], taken[4:8]) == (x.data_ptr(), bias.data_ptr(), (3, 4, 9, 3))
    assert type(taken[8]) is float
    assert _check()[2] is None


WRONG = {
    "x": [
        *(torch.zeros(3, 8).double(), torch.zeros(3, 8).half(), torch.zeros(2, 8)),
        *(torch.zeros(3, 7), torch.zeros(24), torch.zeros(8, 3).t(), torch.zeros(3, 8, 1)),
        *(torch.zeros(3, 8, device="meta"), torch.zeros(3, 8).to_sparse(), None, 5, [0.0]),
    ],
    "lengths": [
        *(torch.tensor([4, 0, 5]), torch.tensor([-1, 0, 2]), torch.tensor([4, 0, 2**62])),
        torch.tensor([4, 0, 2], dtype=torch.int32),
    ],
    "bias": [torch.zeros(5), torch.zeros(4, 1), 0],
    "wide": [torch.zeros(3, 8)[:, :4], torch.zeros(9, 9).t()[:3, :4], torch.zeros(3, 9)],
    "rows": [0, 4, -3, 3.0, None, 2**63],
    "left": [4, -1, "1"],
    "share": ["1", None, 10**400],
}
CASES = [(name, value) for name, own in WRONG.items() for value in own]


@pytest.mark.parametrize(("name", "value"), CASES, ids=range(len(CASES)))
def test_what_does_not_fit_is_refused(name: str, value: object) -> None:
    with pytest.raises(KernelArgumentError, match=r"^kernel: ") as caught:
        _check(**{name: value})
    assert isinstance(caught.value, ConfigError)
    assert isinstance(caught.value, ValueError)


def test_the_message_names_argument_and_both_shapes() -> None:
    said = "lengths is torch.int32 (3,) on cpu, where the kernel takes i64[rows]"
    with pytest.raises(KernelArgumentError, match=re.escape(said)) as caught:
        _check(lengths=torch.zeros(3, dtype=torch.int32))
    assert caught.value.cure


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A source of its own with a struct of two words, which a test writes."""
    header = (library._HERE / "version.h").read_text()
    (tmp_path / "version.h").write_text(header)
    monkeypatch.setattr(library, "_HERE", tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("SPEECHSEQ_NATIVE", raising=False)
    scale = Signature("plan: Plan[1], y: f32[size], size: int", "plan[0].count == size")
    monkeypatch.setitem(SIGNATURES, "scaling", {"scale": scale})
    monkeypatch.setitem(STRUCTS, "scaling", {"Plan": Struct("rows: int >= 1, x: f32[count]")})
    library.library.cache_clear()
    yield tmp_path / "scaling.cpp"
    library.library.cache_clear()


with_compiler = pytest.mark.skipif(
    compiler.compiler() is None, reason="this machine has no C++ compiler"
)


@with_compiler
def test_a_struct_is_packed_field_by_field_and_keeps_its_tensors(source: Path) -> None:
    source.write_text(SOURCE.replace("FIELD", ""))
    assert library.library("scaling") is not None
    plan, y = library.pack("scaling", "Plan", (3, torch.arange(4.0))), torch.zeros(4)
    library.call("scaling", "scale", plan, y, 4)
    assert y.tolist() == [0.0, 3.0, 6.0, 9.0]
    for wrong in ((plan, torch.zeros(5), 5), (plan.words, y, 4), (None, y, 4)):
        with pytest.raises(KernelArgumentError):
            library.call("scaling", "scale", *wrong)


@with_compiler
@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("FIELD", "int64_t more;", "words_Plan is 3, and its callers expect 2"),
        ("WORDS(Plan, Plan)", "", "no function words_Plan"),
        ("void scale(", "void shrink(", "no function scale"),
        ("", "", f"version is {VERSION + 1}, and its callers expect {VERSION}"),
    ],
)
def test_a_library_of_other_structs_is_refused(source: Path, old: str, new: str, said: str) -> None:
    """One field more, a function less, or another meaning: torch's operations run instead."""
    header, own = source.with_name("version.h"), f"return {VERSION};"
    if old:
        source.write_text(SOURCE.replace(old, new).replace("FIELD", ""))
    else:
        source.write_text(SOURCE.replace("FIELD", ""))
        header.write_text(header.read_text().replace(own, f"return {VERSION + 1};"))
    with pytest.warns(RuntimeWarning, match=f"scaling.cpp do not load(.|\\n)*{said}"):
        assert library.library("scaling") is None


@with_compiler
def test_a_whole_library_without_its_functions_is_compiled_anew(source: Path) -> None:
    """Left by another version, or planted: its checksum fits, and it has nothing to call."""
    right = SOURCE.replace("FIELD", "")
    source.write_text("int nothing;")
    command = compiler.compiler()
    assert command is not None
    source.write_text(right)
    name = f"scaling-{compiler.digest(source, command)}.so"

    def empty(target: Path) -> None:
        other = source.with_name("empty.cpp")
        other.write_text("int nothing;")
        compiler.compile_library(other, command, target)

    library.kept(name, empty)
    assert library.library("scaling") is not None
    plan, y = library.pack("scaling", "Plan", (3, torch.arange(4.0))), torch.zeros(4)
    library.call("scaling", "scale", plan, y, 4)
    assert y.tolist() == [0.0, 3.0, 6.0, 9.0]
