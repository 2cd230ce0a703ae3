"""Roofline of the machine: measured rates of matrix products and of memory reads."""

import ctypes
import functools
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from growth_work import Work
from torch.nn import functional as F

from speechseq.ops import linear

BUFFERS = (4, 16, 32, 64, 128)  # megabytes: from one core's cache to beyond all caches
DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16}
READER = """
#include <cstdint>
typedef float vec __attribute__((vector_size(64)));
extern "C" float read_all(const vec* x, int64_t count, int64_t threads) {
  float total = 0;
  #pragma omp parallel for num_threads(threads) schedule(static) reduction(+:total)
  for (int64_t part = 0; part < threads; ++part) {
    vec sums[8] = {};
    int64_t begin = count * part / threads / 8 * 8, end = count * (part + 1) / threads / 8 * 8;
    for (int64_t i = begin; i < end; i += 8)
      for (int j = 0; j < 8; ++j) {
        __builtin_prefetch(x + i + j + 64);
        sums[j] += x[i + j];
      }
    for (int j = 0; j < 8; ++j) total += sums[j][0];
  }
  return total;
}
"""


class Roof(NamedTuple):
    """FLOP/s for each precision, and bytes read per second for each size of buffer."""

    flops: dict[str, float]
    reads: dict[int, float]

    def or_better(self, other: "Roof") -> "Roof":
        """Return the maximum of two measurements, since other programs can only lower a rate."""
        flops = {name: max(rate, other.flops[name]) for name, rate in self.flops.items()}
        return Roof(flops, {size: max(r, other.reads[size]) for size, r in self.reads.items()})

    def seconds(self, work: Work, precision: str) -> float:
        """Return a lower bound of the time: products or reads, whichever takes longer."""
        # a smaller buffer is read at least as fast as a larger one, whatever the noise
        fits = [rate for size, rate in self.reads.items() if size * 2**20 >= work.bytes_a_pass]
        rate = max(fits or [self.reads[max(self.reads)]])
        return max(work.flops / self.flops[precision], work.passes * work.bytes_a_pass / rate)


def measure(threads: int, seconds: float = 0.4, side: int = 2048) -> Roof:
    """Measure a CPU: best rates of several methods, each run for `seconds`."""
    torch.set_num_threads(threads)
    flops = {name: _product_rate(dtype, side, seconds) for name, dtype in DTYPES.items()}
    flops["int8"] = flops["bf16"]  # int8 products are counted at the rate of bf16
    read = _reader(threads)
    return Roof(flops, {size: _read_rate(read, size * 2**20, seconds / 2) for size in BUFFERS})


def measure_accelerator(
    device: torch.device,
    seconds: float = 0.4,
    side: int = 8192,
    megabytes: tuple[int, ...] = (24, 2048),
) -> Roof:
    """Measure a GPU: square matrix products, and copies, which count bytes read and written.

    Numbers are random, because products of zeros are faster.
    """
    flops, reads = {}, {}
    for name, dtype in DTYPES.items():
        a, b = torch.randn(2, side, side, device=device).to(dtype)
        flops[name] = 2 * side**3 / _launched(functools.partial(torch.mm, a, b), device, seconds)
    for size in megabytes:  # inside and beyond a GPU's cache
        x = torch.randn(size * 2**18, device=device)
        copy = functools.partial(torch.empty_like(x).copy_, x)
        reads[size] = 2 * size * 2**20 / _launched(copy, device, seconds)
    return Roof(flops, reads)


def _launched(work: Callable[[], object], device: torch.device, seconds: float) -> float:
    """Shortest time of one of ten calls launched together, to amortise the synchronisation."""

    def ten() -> None:
        for _ in range(10):
            work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return _least(ten, seconds) / 10


def _product_rate(dtype: torch.dtype, side: int, seconds: float) -> float:
    """Rate of square products by MKL, oneDNN and our own kernel, and of 1 × 1 convolutions."""
    a, b = torch.randn(2, side, side).to(dtype)
    kernel, image = b.view(side, side, 1, 1), a.t().reshape(1, side, side // 64, 64)
    flat = image.to(memory_format=torch.channels_last)
    ways: list[Callable[[], object]] = [
        lambda: a @ b,
        lambda: F.linear(a, b),
        lambda: linear.linear(a, b),
        lambda: F.conv2d(image, kernel),
        lambda: F.conv2d(flat, kernel),
    ]
    return 2 * side**3 / min(_least(way, seconds) for way in ways)


def _read_rate(read: Callable[[torch.Tensor], object], size: int, seconds: float) -> float:
    buffer = torch.ones(size // 4)
    return size / _least(lambda: read(buffer), seconds)


def _least(work: Callable[[], object], seconds: float) -> float:
    """Shortest time of several runs: other programs can only lengthen one."""
    work()
    best, until = float("inf"), time.perf_counter() + seconds
    while (start := time.perf_counter()) < until:
        work()
        best = min(best, time.perf_counter() - start)
    return best


def _reader(threads: int) -> Callable[[torch.Tensor], object]:
    """Function that reads a buffer: a loop in C++, or torch's sum without a compiler."""
    compiler = shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        return torch.sum
    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder) / "reader.cpp", Path(folder) / "reader.so"
        source.write_text(READER)
        # allow any order of sums; -ffast-math would flush subnormals in the whole process
        fast = ["-O3", "-march=native", "-fassociative-math", "-fno-signed-zeros"]
        flags = [*fast, "-fno-trapping-math", "-fopenmp", "-shared", "-fPIC", "-w"]
        subprocess.run([compiler, *flags, str(source), "-o", str(made)], check=True, timeout=120)
        library = ctypes.CDLL(str(made))
    library.read_all.restype = ctypes.c_float

    def read(buffer: torch.Tensor) -> object:
        vectors = buffer.numel() // 16
        start = ctypes.c_void_p(buffer.data_ptr())
        return library.read_all(start, ctypes.c_int64(vectors), ctypes.c_int64(threads))

    return read
