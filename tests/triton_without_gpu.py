"""Triton's kernels without a GPU: interpreted on a CPU, or compiled for a GPU and not launched.

    python tests/triton_without_gpu.py speak tacotron2 90

compiles what a full-size decoder launches when it speaks (`train`: when its attention RNN is
trained), for a GPU of compute capability 9.0, and prints the kernels' names.
"""

import inspect
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
import triton
import triton.language
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.language import standard
from triton.runtime import interpreter
from triton.runtime.interpreter import InterpretedFunction
from triton.runtime.jit import JITFunction

from speechseq.models import tacotron
from speechseq.models.backends.frame_decoder_triton import advance
from speechseq.models.frame_decoder import FrameDecoder
from speechseq.nn import attention_rnn_fast
from speechseq.ops.attention_rnn import triton as attention_rnn_triton
from speechseq.ops.triton import attention_backward as attention_backward_kernels
from speechseq.ops.triton import attention_rnn as attention_rnn_kernels
from speechseq.ops.triton import decoder_step as decoder_step_kernels

KERNELS = decoder_step_kernels, attention_rnn_kernels, attention_backward_kernels
NAMES = {torch.float32: "*fp32", torch.bfloat16: "*bf16", torch.uint8: "*u8"}


def interpret(patch: pytest.MonkeyPatch, backwards: bool = False) -> None:
    """Have every launch interpreted; `backwards` begins with the grid's last program.

    Programs of one launch run side by side on a GPU: what they make may not depend on their order.
    """
    patch.setenv("TRITON_INTERPRET", "1")
    for module in (*KERNELS, triton.language, standard):
        _replace(patch, module, InterpretedFunction)
    if backwards:
        builder = interpreter.interpreter_builder
        forwards = builder.set_grid_idx

        def set_grid_idx(*index: int) -> None:
            forwards(*(n - 1 - i for n, i in zip(builder.grid_dim, index, strict=True)))

        patch.setattr(builder, "set_grid_idx", set_grid_idx)


def _replace(patch: pytest.MonkeyPatch, module: ModuleType, make: Callable) -> None:
    """Have all kernels of a module, and the parts that they call, made anew of plain functions.

    The tests' type checker wraps every function; Triton wants its source, and its globals.
    """
    for name, kernel in list(vars(module).items()):
        if isinstance(kernel, JITFunction):
            patch.setattr(module, name, make(inspect.unwrap(kernel.fn)))


class Compiled:
    """Takes a launch, and compiles it as Triton would specialize it."""

    def __init__(self, kernel: JITFunction, capability: int) -> None:
        self.kernel, self.target = kernel, GPUTarget("cuda", capability, 32)

    def __getitem__(self, _grid: tuple[int, ...]) -> Callable:
        return self._compile

    def _compile(self, *given: Any, num_warps: int = 4, **named: Any) -> None:
        values = {**dict(zip(self.kernel.arg_names, given, strict=False)), **named}
        assert set(values) == set(self.kernel.arg_names)
        types, constants, even = {}, {}, {}
        for i, parameter in enumerate(self.kernel.params):
            value = values[parameter.name]
            if parameter.is_constexpr or (value == 1 if isinstance(value, int) else False):
                types[parameter.name], constants[i,] = "constexpr", value
                continue
            types[parameter.name] = _type(value)
            if _even(value):
                even[i,] = [["tt.divisibility", 16]]
        source = ASTSource(fn=self.kernel, signature=types, constexprs=constants, attrs=even)
        compiled = triton.compile(source, target=self.target, options={"num_warps": num_warps})
        assert compiled.asm["cubin"]
        print(self.kernel.fn.__name__)


def _type(value: Any) -> str:
    if isinstance(value, Tensor):
        return NAMES[value.dtype]
    return "fp32" if isinstance(value, float) else "i32"


def _even(value: Any) -> bool:
    if isinstance(value, float):
        return False
    return (value.data_ptr() if isinstance(value, Tensor) else value) % 16 == 0


def speak(decoder: FrameDecoder) -> None:
    """A step of its own, for one row and for eight, its weights in bfloat16."""
    for rows in (1, 8):
        memory, mask = torch.zeros(rows, 96, 512), torch.ones(rows, 96, dtype=torch.bool)
        keep = tuple(torch.ones(rows, 1, size) for size in decoder.prenet.sizes)
        with torch.inference_mode():
            advance(decoder, "bfloat16", 1, decoder.start(memory, mask), keep)


def train(decoder: FrameDecoder) -> None:
    """One step of its attention RNN, forward and backward, in float32 and in bfloat16."""
    core = decoder.train().core
    memory, mask = torch.zeros(2, 96, 512), torch.ones(2, 96, dtype=torch.bool)
    inputs = torch.zeros(2, 1, core.cell.input_dim)
    for dtype in (torch.float32, torch.bfloat16):
        drawn = [cell.recurrent_dropout_bits(1, 2, inputs.device) for cell in core.cells]
        given = inputs, memory, mask, torch.tensor([1, 1]), drawn
        op = attention_rnn_triton.run
        outputs = attention_rnn_fast._run(op, core.cells, core.attention, dtype, *given)
        sum(x.float().sum() for x in outputs).backward()


def main(what: str, name: str, capability: str) -> None:
    """Compile what a full-size model launches."""
    for module in KERNELS:
        for kernel, launched in list(vars(module).items()):
            if isinstance(launched, JITFunction) and not kernel.startswith("_"):
                setattr(module, kernel, Compiled(launched, int(capability)))
    decoder = FrameDecoder(512, 80, getattr(tacotron, name)().decoder)
    {"speak": speak, "train": train}[what](decoder)


if __name__ == "__main__":
    main(*sys.argv[1:])
