"""The launched core loop's way back: nine launches a step, and one product for each weight."""

from collections.abc import Sequence as Series

import torch
from torch import Tensor

from speechseq.ops.attention_rnn.triton_common import (
    COLUMNS,
    PLACES,
    SOME,
    Given,
    LoopPass,
    Made,
    Settled,
    own,
)
from speechseq.ops.linear import weight_grad
from speechseq.ops.triton import attention_rnn as loop_kernels
from speechseq.ops.triton.launch import cdiv, next_power_of_2


class Backward(LoopPass):
    """Collects the gradients."""

    def __init__(
        self, settled: Settled, given: Given, made: Made, gradients: Series[Tensor | None]
    ) -> None:
        super().__init__(settled, given, made)
        hidden, context, alignment = gradients
        self.to_hidden = None if hidden is None else hidden.contiguous()
        self.to_context = None if context is None else context.contiguous()
        self.to_alignment = None if alignment is None else alignment.contiguous()
        self.cumulative = made.alignment.cumsum(1)
        new = settled.first.new_zeros
        self.to_previous, self.to_sum = (torch.zeros_like(settled.first) for _ in range(2))
        self.to_keys = new(self.batch, self.positions, self.dim)
        self.to_direction = new(self.batch, self.tiles, self.dim)
        self.to_folded = new(self.batch, settled.channels * settled.taps, self.dim)
        self.to_read = new(self.steps, self.batch, self.memory_dim)
        self.to_queries = torch.empty_like(made.queries)
        self.slopes = [torch.empty_like(gates) for gates in made.gates]
        self.to_inputs = [torch.zeros_like(inputs[0]) for inputs in made.inputs]
        self.straight = [torch.zeros_like(hidden[0]) for hidden in made.hidden]
        self.brought = [torch.zeros_like(memories[0]) for memories in made.memories]

    def run(self) -> list[Tensor | None]:
        """The gradients of the hoisted gates and of all that was given."""
        for step in reversed(range(self.steps)):
            below = self._unattend(step)
            asked = self.to_queries[step] @ self.given.query
            for layer in reversed(self.layers):
                self._unstep_cell(layer, step, asked)
                asked = self.to_inputs[layer]
            if self.settled.channels:
                self._unhistory(step, below)
        return self._gathered()

    def _unattend(self, step: int) -> Tensor:
        given, made, settled = self.given, self.made, self.settled
        slope, below = torch.empty_like(settled.first), torch.empty_like(self.to_keys)
        parts = torch.empty_like(self.to_direction)
        context, behind = self.to_context, self.to_inputs[0]
        alignment, weights = self.to_alignment, made.alignment[:, step]
        loop_kernels.unread[self.batch, self.tiles](
            *((behind, 0) if context is None else (context[step], context.stride(1))),
            *(behind, behind.stride(0), given.memory, self.to_previous, self.to_sum),
            *((slope, 0) if alignment is None else (alignment[:, step], alignment.stride(0))),
            *(self.to_read[step], slope, self.positions),
            DIM=self.memory_dim,
            GIVEN=context is not None,
            ALIGNED=alignment is not None,
            CHUNK=8 * COLUMNS,
            PLACES=PLACES,
        )
        loop_kernels.unenergy[self.batch, self.tiles](
            *(slope, weights, weights.stride(0), settled.sharpening, made.queries[step]),
            *(given.keys, given.direction, *self._before(step), given.folded),
            *(below, self.to_keys, parts, self.to_direction, self.positions, self.tiles),
            **self.filtered(),
            ALL=next_power_of_2(self.positions),
        )
        self.to_queries[step] = parts.sum(1)
        return below

    def _before(self, step: int) -> tuple[Tensor | int, ...]:
        """The previous weights and the sum of all before, each with how far its rows are apart."""
        alignment, first = self.made.alignment, self.settled.first
        if step == 0:
            return first, first.stride(0), torch.zeros_like(first), first.stride(0)
        previous, cumulative = alignment[:, step - 1], self.cumulative[:, step - 1]
        return previous, alignment.stride(0), cumulative, alignment.stride(0)

    def _unstep_cell(self, layer: int, step: int, above: Tensor) -> None:
        made, given = self.made, self.to_hidden if layer + 1 == len(self.layers) else None
        behind = own(self.to_inputs[layer], made.hidden[layer])
        slopes = self.slopes[layer][step]
        loop_kernels.ungate[self.rows_by_units(layer)](
            *(made.gates[layer][step], made.memories[layer][step], made.hidden[layer][step]),
            *self.drawn(layer, step),
            *((above, 0) if given is None else (given[step], given.stride(1))),
            *(above, above.stride(0), behind, behind.stride(0)),
            *(self.straight[layer], self.brought[layer], slopes),
            **self.cell(layer),
            GIVEN=given is not None,
        )
        torch.mm(slopes, self.given.weights[layer], out=self.to_inputs[layer])

    def _unhistory(self, step: int, below: Tensor) -> None:
        constants = self.filtered()
        loop_kernels.unfilter[self.batch, cdiv(self.to_folded.shape[1], SOME)](
            *(below, *self._before(step), self.to_folded, self.positions),
            **constants | {"PLACES": 2 * SOME},
            ALL=next_power_of_2(self.positions),
            SOME=SOME,
        )
        if self.settled.through_previous:
            loop_kernels.unhistory[self.batch, self.tiles](
                *(below, self.given.folded, self.to_previous, self.to_sum, self.positions),
                **constants,
            )

    def _gathered(self) -> list[Tensor | None]:
        made, given = self.made, self.given
        asking = own(made.inputs[-1], made.hidden[-1])[1:]
        weights = [
            weight_grad(slopes.flatten(0, 1), inputs[:-1].flatten(0, 1))
            for slopes, inputs in zip(self.slopes, made.inputs, strict=True)
        ]
        biases = [x.sum((0, 1), dtype=torch.float32).to(x.dtype) for x in self.slopes[1:]]
        to_memory = torch.bmm(made.alignment.transpose(1, 2), self.to_read.transpose(0, 1))
        return [
            self.slopes[0],
            self.to_keys.to(given.keys.dtype),
            to_memory.to(given.memory.dtype),
            weight_grad(self.to_queries.flatten(0, 1), asking.flatten(0, 1)).to(given.query.dtype),
            self.to_direction.sum((0, 1)),
            self.to_folded.sum(0) if self.settled.channels else None,
            *(x.to(y.dtype) for x, y in zip(weights, given.weights, strict=True)),
            None,  # the bottom layer's bias was hoisted
            *biases,
        ]
