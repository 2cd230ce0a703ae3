"""The launched core loop's way forward: five launches a step."""

import torch
from torch import Tensor

from speechseq.ops.attention_rnn.triton_common import COLUMNS, PLACES, LoopPass, own
from speechseq.ops.triton import attention_rnn as loop_kernels
from speechseq.ops.triton import decoder_step as step_kernels
from speechseq.ops.triton.launch import cdiv, next_power_of_2


class Forward(LoopPass):
    """Fills what is made."""

    def run(self) -> None:
        """All steps of all rows."""
        first = self.settled.first
        history = torch.stack([first, torch.zeros_like(first)], 1)
        for step in range(self.steps):
            for layer in self.layers:
                self._step_cell(layer, step)
            history = self._attend(step, history)

    def _step_cell(self, layer: int, step: int) -> None:
        given, made = self.given, self.made
        sums, inputs, weight = made.gates[layer][step], made.inputs[layer], given.weights[layer].t()
        if layer:
            torch.addmm(given.biases[layer], inputs[step], weight, out=sums)
        else:
            sums.addmm_(inputs[step], weight)
        hidden, memories = made.hidden[layer], made.memories[layer]
        state, upper = own(inputs, hidden)[step + 1], layer + 1 < len(self.layers)
        above = made.inputs[layer + 1][step] if upper else state
        loop_kernels.gate[self.rows_by_units(layer)](
            *(sums, memories[step], memories[step + 1], hidden[step], hidden[step + 1]),
            *(state, state.stride(0), above, above.stride(0), *self.drawn(layer, step)),
            **self.cell(layer),
            ABOVE=upper,
        )

    def _attend(self, step: int, history: Tensor) -> Tensor:
        given, made, settled = self.given, self.made, self.settled
        asking = own(made.inputs[-1], made.hidden[-1])[step + 1]
        torch.mm(asking, given.query.t(), out=made.queries[step])
        energy, after = torch.empty_like(settled.first), torch.empty_like(history)
        apart = history.stride(0)
        step_kernels.energies[self.batch, self.tiles](
            *(made.queries[step], given.keys, given.direction, history, apart, history[:, 1]),
            *(apart, given.folded, energy, self.positions),
            **self.filtered(),
        )
        weights, context = made.alignment[:, step], made.inputs[0][step + 1]
        step_kernels.read[self.batch, cdiv(self.memory_dim, COLUMNS)](
            *(energy, settled.valid, given.memory, history, settled.sharpening),
            *(weights, weights.stride(0), context, context.stride(0), after, self.positions),
            DIM=self.memory_dim,
            CHANNELS=2,
            ALL=next_power_of_2(self.positions),
            COLUMNS=COLUMNS,
            PLACES=4 * PLACES,
        )
        return after
