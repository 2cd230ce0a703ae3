"""Backward pass of the attention RNN in Triton (experimental), with nine launches per step."""

from collections.abc import Sequence as Series

import torch
from torch import Tensor

from speechseq.ops.attention_rnn.problem import LoopInputs, LoopSpec
from speechseq.ops.attention_rnn.triton_common import (
    COLUMNS,
    POSITIONS,
    TAPS,
    LoopPass,
    LoopSaved,
    own_hidden,
)
from speechseq.ops.linear import weight_grad
from speechseq.ops.triton import attention_backward as attention_kernels
from speechseq.ops.triton import attention_rnn as kernels
from speechseq.ops.triton.launch import cdiv, next_power_of_2


class Backward(LoopPass):
    """Backward pass of the attention RNN over all steps, by Triton kernels (experimental).

    `speechseq.ops.attention_rnn.triton.AttentionRNNFunction` builds one and calls `run`, which
    returns the gradients. Those of each weight and of the memory are one product over all steps.

    Args:
        spec: sizes, masks and other data of the run without gradients.
        tensors: memory, keys and weights.
        out: tensors that the forward pass saved.
        gradients: gradients of the outputs, each None if an output was not used: hidden states
            (steps, batch, hidden), contexts (steps, batch, memory_dim), alignment (batch, steps,
            positions).
    """

    def __init__(
        self,
        spec: LoopSpec,
        tensors: LoopInputs,
        out: LoopSaved,
        gradients: Series[Tensor | None],
    ) -> None:
        super().__init__(spec, tensors, out)
        hidden, context, alignment = gradients
        self.grad_hidden = None if hidden is None else hidden.contiguous()
        self.grad_context = None if context is None else context.contiguous()
        self.grad_alignment = None if alignment is None else alignment.contiguous()
        self.cumulative = out.alignment.cumsum(1)
        new = spec.first_weights.new_zeros
        self.grad_previous, self.grad_sum = (torch.zeros_like(spec.first_weights) for _ in range(2))
        self.grad_keys = new(self.batch, self.positions, self.dim)
        self.grad_energy = new(self.batch, self.tiles, self.dim)
        self.grad_folded = new(self.batch, spec.channels * spec.kernel, self.dim)
        self.grad_read = new(self.steps, self.batch, self.memory_dim)
        self.grad_queries = torch.empty_like(out.queries)
        self.grad_gates = [torch.empty_like(gates) for gates in out.gates]
        self.grad_inputs = [torch.zeros_like(inputs[0]) for inputs in out.inputs]
        self.carry_hidden = [torch.zeros_like(hidden[0]) for hidden in out.hidden]
        self.carry_cells = [torch.zeros_like(cells[0]) for cells in out.cells]

    def run(self) -> list[Tensor | None]:
        """Run all steps from the last to the first and return the gradients.

        Returns:
            Gradient of the input gates (steps, batch, 4 * hidden), which are the products of all
            inputs with the bottom layer's weights; then one gradient for each tensor of
            `LoopInputs.flat()`, shaped as the tensor, or None.
        """
        for step in reversed(range(self.steps)):
            grad_argument = self._attend_backward(step)
            grad_hidden = self.grad_queries[step] @ self.tensors.query
            for layer in reversed(self.layers):
                self._cell_backward(layer, step, grad_hidden)
                grad_hidden = self.grad_inputs[layer]
            if self.spec.channels:
                self._history_backward(step, grad_argument)
        return self._input_grads()

    def _attend_backward(self, step: int) -> Tensor:
        tensors, out, spec = self.tensors, self.out, self.spec
        grad_weights = torch.empty_like(spec.first_weights)
        grad_argument = torch.empty_like(self.grad_keys)  # of the tanh
        parts = torch.empty_like(self.grad_energy)
        context, grad_next = self.grad_context, self.grad_inputs[0]
        alignment, weights = self.grad_alignment, out.alignment[:, step]
        grad_out = grad_weights if alignment is None else alignment[:, step]  # unread if None
        attention_kernels.read_backward[self.batch, self.tiles](
            *((grad_next, 0) if context is None else (context[step], context.stride(1))),
            *(grad_next, grad_next.stride(0), tensors.memory, self.grad_previous, self.grad_sum),
            *(grad_out, grad_out.stride(0), self.grad_read[step], grad_weights, self.positions),
            DIM=self.memory_dim,
            HAS_GRAD=context is not None,
            ALIGNED=alignment is not None,
            CHUNK=8 * COLUMNS,
            PLACES=POSITIONS,
        )
        attention_kernels.energies_backward[self.batch, self.tiles](
            *(grad_weights, weights, weights.stride(0), spec.sharpening, out.queries[step]),
            *(tensors.keys, tensors.energy, *self._before(step), self.folded),
            *(grad_argument, self.grad_keys, parts, self.grad_energy, self.positions, self.tiles),
            **self.energy(),
            ALL=next_power_of_2(self.positions),
        )
        self.grad_queries[step] = parts.sum(1)
        return grad_argument

    def _before(self, step: int) -> tuple[Tensor | int, ...]:
        """The previous weights and the sum of all before the step, each with its row stride."""
        alignment, first = self.out.alignment, self.spec.first_weights
        if step == 0:
            return first, first.stride(0), torch.zeros_like(first), first.stride(0)
        previous, cumulative = alignment[:, step - 1], self.cumulative[:, step - 1]
        return previous, alignment.stride(0), cumulative, alignment.stride(0)

    def _cell_backward(self, layer: int, step: int, grad_hidden: Tensor) -> None:
        out, grad_out = self.out, self.grad_hidden if layer + 1 == len(self.layers) else None
        grad_next = own_hidden(self.grad_inputs[layer], out.hidden[layer])
        grad_gates = self.grad_gates[layer][step]
        kernels.gate_backward[self.cell_grid(layer)](
            *(out.gates[layer][step], out.cells[layer][step], out.hidden[layer][step]),
            *self.dropout(layer, step),
            *((grad_hidden, 0) if grad_out is None else (grad_out[step], grad_out.stride(1))),
            *(grad_hidden, grad_hidden.stride(0), grad_next, grad_next.stride(0)),
            *(self.carry_hidden[layer], self.carry_cells[layer], grad_gates),
            **self.cell(layer),
            HAS_GRAD=grad_out is not None,
        )
        torch.mm(grad_gates, self.tensors.weights[layer], out=self.grad_inputs[layer])

    def _history_backward(self, step: int, grad_argument: Tensor) -> None:
        constants = self.energy()
        attention_kernels.filters_backward[self.batch, cdiv(self.grad_folded.shape[1], TAPS)](
            *(grad_argument, *self._before(step), self.grad_folded, self.positions),
            **constants | {"PLACES": 2 * TAPS},
            ALL=next_power_of_2(self.positions),
            SOME=TAPS,
        )
        if self.spec.through_previous:
            attention_kernels.history_backward[self.batch, self.tiles](
                *(grad_argument, self.folded, self.grad_previous, self.grad_sum, self.positions),
                **constants,
            )

    def _input_grads(self) -> list[Tensor | None]:
        out, tensors = self.out, self.tensors
        query_states = own_hidden(out.inputs[-1], out.hidden[-1])[1:]
        weights = [
            weight_grad(grad_gates.flatten(0, 1), inputs[:-1].flatten(0, 1))
            for grad_gates, inputs in zip(self.grad_gates, out.inputs, strict=True)
        ]
        biases = [x.sum((0, 1), dtype=torch.float32).to(x.dtype) for x in self.grad_gates[1:]]
        grad_memory = torch.bmm(out.alignment.transpose(1, 2), self.grad_read.transpose(0, 1))
        grad_query = weight_grad(self.grad_queries.flatten(0, 1), query_states.flatten(0, 1))
        return [
            self.grad_gates[0],
            self.grad_keys.to(tensors.keys.dtype),
            grad_memory.to(tensors.memory.dtype),
            grad_query.to(tensors.query.dtype),
            self.grad_energy.sum((0, 1)),
            self.grad_folded.sum(0) if self.spec.channels else None,
            None,  # `location` is part of the folded filters
            *(x.to(y.dtype) for x, y in zip(weights, tensors.weights, strict=True)),
            None,  # the bottom layer's bias is in its hoisted gates
            *biases,
        ]
