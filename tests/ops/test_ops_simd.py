"""The vectors' functions against float64, and packed products against torch's."""

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from speechseq.ops.cpp import compiler, library

SOURCE = """
#include "packed_gemm.h"

#define EACH(NAME, FUNCTION)                                                        \\
    extern "C" void NAME(const float *x, float *y, int64_t count, int64_t) {        \\
        for (int64_t i = 0; i < count; i += LANES)                                  \\
            store(y + i, FUNCTION(load(x + i, count - i)), count - i);              \\
    }
EACH(exponentials, exponential)
EACH(sigmoids, sigmoid)
EACH(tangents, hyperbolic_tangent)

extern "C" void rounded(const float *x, Bf16 *y, int64_t count, int64_t) {
    for (int64_t i = 0; i < count; i += LANES) store(y + i, load(x + i, count - i), count - i);
}

extern "C" void sums(const float *x, float *y, int64_t) {
    y[0] = total(load(x));
    y[1] = largest(load(x));
}

template <typename Number>
void multiply(const Number *x, const Number *weight, float *y, int64_t rows, int64_t inputs,
              int64_t outputs, int64_t transposed, int64_t accumulate, int64_t threads) {
    const auto packed = room<Number>(packed_size<Number>(outputs, inputs));
    const int64_t down = transposed ? 1 : inputs, along = transposed ? outputs : 1;
    for (int64_t thread = 0; thread < threads; ++thread) {
        const Share part = share(panels(outputs), thread, threads);
        pack(weight, down, along, outputs, inputs, packed.get(), part);
        product(x, rows, inputs, packed.get(), inputs, outputs, y, outputs, accumulate, part);
    }
}

extern "C" void product_float32(const float *x, const float *weight, float *y, int64_t rows,
                                int64_t inputs, int64_t outputs, int64_t transposed,
                                int64_t accumulate, int64_t threads) {
    multiply(x, weight, y, rows, inputs, outputs, transposed, accumulate, threads);
}

extern "C" void product_bfloat16(const Bf16 *x, const Bf16 *weight, float *y, int64_t rows,
                                 int64_t inputs, int64_t outputs, int64_t transposed,
                                 int64_t accumulate, int64_t threads) {
    multiply(x, weight, y, rows, inputs, outputs, transposed, accumulate, threads);
}
"""
pytestmark = pytest.mark.skipif(
    compiler.compiler() is None, reason="this machine has no C++ compiler"
)
EDGES = torch.tensor([0.0, -0.0, math.inf, -math.inf, 1e-30, -1e-30, 88.7, 89.5, -87, -103, -1e30])


@pytest.fixture(scope="module", params=["-march=native", "-march=x86-64"])
def functions(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    """The headers compiled for this processor; for any of its kind, the branches of the others."""
    here, folder = library._HERE, tmp_path_factory.mktemp("native")
    flags = tuple(request.param if flag == "-march=native" else flag for flag in compiler._FLAGS)
    if request.param != "-march=native" and compiler.platform.machine() != "x86_64":
        flags = compiler._FLAGS
    (folder / "functions.cpp").write_text(SOURCE)
    for header in here.glob("*.h"):
        (folder / header.name).write_text(header.read_text())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library, "_HERE", Path(folder))
        patch.setattr(compiler, "_FLAGS", flags)
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.delenv("SPEECHSEQ_NATIVE", raising=False)
        library.library.cache_clear()
        assert library.library("functions") is not None
        yield library.call
    library.library.cache_clear()


@pytest.mark.parametrize(
    ("name", "truth"),
    [("exponentials", torch.exp), ("sigmoids", torch.sigmoid), ("tangents", torch.tanh)],
)
def test_each_function_follows_float64_over_the_whole_range(functions, name, truth):
    x = torch.cat([torch.linspace(-110, 95, 200_001), torch.linspace(-2, 2, 50_001), EDGES])
    output = torch.empty_like(x)
    functions("functions", name, x, output, len(x))
    true = truth(x.double())
    overflow = true > torch.finfo(torch.float32).max
    assert torch.equal(output[overflow], torch.full_like(output[overflow], math.inf))
    error = (output.double() - true)[~overflow].abs() / true[~overflow].clamp(min=1)
    assert error.max() < 3e-7
    if name == "exponentials":
        normal = (x.abs() < 87) & (true > 0)
        assert ((output.double() - true).abs() / true)[normal].max() < 3e-7


@pytest.mark.parametrize("name", ["exponentials", "sigmoids", "tangents"])
def test_not_a_number_stays_one_and_harms_no_neighbour(functions, name):
    x, output = torch.zeros(37), torch.empty(37)
    x[5] = math.nan
    functions("functions", name, x, output, 37)
    assert output.isnan().nonzero().tolist() == [[5]]


def test_bfloat16_is_rounded_as_torch_does(functions):
    x = torch.cat([torch.randn(10_001), torch.tensor([1 + 2**-8, 1 + 3 * 2**-8, 3.39e38]), EDGES])
    output = torch.empty(len(x), dtype=torch.bfloat16)
    functions("functions", "rounded", x, output, len(x))
    assert torch.equal(output, x.bfloat16())
    functions("functions", "rounded", torch.tensor([math.nan]), output, 1)
    assert output[0].isnan()


def test_a_vector_s_sum_and_largest(functions):
    """A vector has as many lanes as a register: 4, 8 or 16."""
    x, output = torch.randn(16), torch.empty(2)
    functions("functions", "sums", x, output)
    candidates = [torch.stack([x[:n].sum(), x[:n].max()]) for n in (4, 8, 16)]
    assert any(torch.allclose(output, true) for true in candidates)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [1, 3, 7, 8, 9, 16, 20])
@pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (5, 33), (64, 32), (101, 70)])
def test_a_packed_product_equals_torch_s_whatever_the_sizes(
    functions, dtype, rows, inputs, outputs
):
    x, weight = torch.randn(rows, inputs).to(dtype), torch.randn(outputs, inputs).to(dtype)
    true = x.double() @ weight.double().t()
    name = f"product_{str(dtype).removeprefix('torch.')}"
    output = torch.full((rows + 1, outputs), math.nan)
    functions("functions", name, x, weight, output, rows, inputs, outputs, 0, 0)
    assert output[rows].isnan().all(), "it writes no row that is not there"
    torch.testing.assert_close(output[:rows].double(), true, rtol=1e-5, atol=1e-5)
    functions("functions", name, x, weight.t().contiguous(), output, rows, inputs, outputs, 1, 1)
    torch.testing.assert_close(output[:rows].double(), 2 * true, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_neither_other_rows_nor_threads_change_a_bit_of_a_row(functions, dtype):
    x, weight = torch.randn(21, 75).to(dtype), torch.randn(130, 75).to(dtype)
    name = f"product_{str(dtype).removeprefix('torch.')}"
    whole, alone = torch.empty(21, 130), torch.empty(1, 130)
    torch.set_num_threads(2)
    functions("functions", name, x, weight, whole, 21, 75, 130, 0, 0)
    torch.set_num_threads(1)
    for row in range(21):
        functions("functions", name, x[row], weight, alone, 1, 75, 130, 0, 0)
        assert torch.equal(alone[0], whole[row])
