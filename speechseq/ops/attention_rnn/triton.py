"""The attention RNN over all steps in Triton on a GPU (experimental: never run on a GPU).

A step takes five launches forward and nine backward (two more for each further layer), where torch
operations need 33 and 68, more in bfloat16; the loop is meant to be captured in a CUDA graph. The
gradients of weights and memory are one product each over all steps. The plain torch formula is
`speechseq.nn.attention_rnn.AttentionRNN.step_by_step`.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from speechseq.ops.additive import fold_filters
from speechseq.ops.attention_rnn.problem import LoopInputs, LoopSpec
from speechseq.ops.attention_rnn.triton_backward import Backward
from speechseq.ops.attention_rnn.triton_common import LoopSaved, allocate, own_hidden
from speechseq.ops.attention_rnn.triton_forward import Forward
from speechseq.ops.linear import linear


def run(
    spec: LoopSpec, inputs: Tensor, input_weight: Tensor, tensors: LoopInputs
) -> tuple[Tensor, Tensor, Tensor]:
    """Run all steps of the attention RNN by Triton kernels, on a GPU.

    Args:
        spec: sizes, masks and other data without gradients.
        inputs: (batch, steps, input_dim).
        input_weight: (4 * hidden, input_dim), weight of the inputs in the bottom layer's four
            gates.
        tensors: weights, keys and memory.

    Returns:
        Hidden states (batch, steps, hidden) and contexts (batch, steps, memory_dim), both of dtype
        `spec.dtype`, and the alignment (batch, steps, positions) in float32; zeros beyond an item's
        length.
    """
    gates = linear(inputs.transpose(0, 1), input_weight, tensors.biases[0])
    with torch.autocast(inputs.device.type, enabled=False):
        outputs = AttentionRNNFunction.apply(
            spec,
            gates.to(spec.dtype).contiguous(),
            *_prepared(tensors, spec.dtype).flat(),
        )
    hidden, context, alignment = outputs
    steps = torch.arange(inputs.shape[1], device=inputs.device)
    after = (steps >= spec.lengths.unsqueeze(1)).unsqueeze(2)
    hidden, context = (x.transpose(0, 1).masked_fill(after, 0) for x in (hidden, context))
    return hidden, context, alignment.masked_fill(after, 0)


def _prepared(tensors: LoopInputs, dtype: torch.dtype) -> LoopInputs:
    """Fold filters and their projection into `filters`, which the kernels read."""
    filters, location = tensors.filters, tensors.location
    return LoopInputs(
        tensors.keys.contiguous(),
        tensors.memory.to(dtype).contiguous(),
        tensors.query.to(dtype),
        tensors.energy,
        None if filters is None or location is None else fold_filters(filters, location),
        None,
        tuple(x.to(dtype) for x in tensors.weights),
        tuple(x.to(dtype) for x in tensors.biases),
    )


class AttentionRNNFunction(torch.autograd.Function):
    """Autograd Function of all steps of the attention RNN in Triton; `run` calls its `apply`.

    Args of `apply`: a `LoopSpec`; the input gates (steps, batch, 4 * hidden), the products of all
    inputs with the bottom layer's weights, which it overwrites; and the tensors of
    `LoopInputs.flat()`. It returns hidden states (steps, batch, hidden), contexts (steps, batch,
    memory_dim) and the alignment (batch, steps, positions).
    """

    @staticmethod
    def forward(
        ctx: Any, spec: LoopSpec, gates: Tensor, *flat: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        tensors = LoopInputs.of(flat)
        out = allocate(spec, gates.detach(), tensors)
        with torch.cuda.device_of(gates):  # Triton launches on the current device
            Forward(spec, tensors, out).run()
        ctx.spec, ctx.count = spec, len(flat)
        ctx.save_for_backward(*flat, *out.flat())
        ctx.set_materialize_grads(False)
        context = out.inputs[0][1:, :, : tensors.memory.shape[2]]
        return own_hidden(out.inputs[-1], out.hidden[-1])[1:], context, out.alignment

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        flat = ctx.saved_tensors
        tensors, out = LoopInputs.of(flat[: ctx.count]), LoopSaved.of(flat[ctx.count :])
        with torch.cuda.device_of(out.queries):
            return None, *Backward(ctx.spec, tensors, out, gradients).run()
