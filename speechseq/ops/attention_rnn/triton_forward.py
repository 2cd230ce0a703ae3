"""Forward pass of the attention RNN in Triton (experimental), with five launches per step."""

import torch
from torch import Tensor

from speechseq.ops.attention_rnn.triton_common import COLUMNS, POSITIONS, LoopPass, own_hidden
from speechseq.ops.triton import attention_rnn as kernels
from speechseq.ops.triton import decoder_step as step_kernels
from speechseq.ops.triton.launch import cdiv, next_power_of_2


class Forward(LoopPass):
    """Forward pass of the attention RNN over all steps, by Triton kernels (experimental).

    `speechseq.ops.attention_rnn.triton.AttentionRNNFunction` calls `Forward(spec, tensors,
    out).run()`, with the tensors to fill that `allocate` made.

    Args:
        spec: sizes, masks and other data without gradients.
        tensors: memory, keys and weights.
        out: the tensors to fill, whose first gates are those of all inputs; hidden states, contexts
            and alignment are read from it afterwards.
    """

    def run(self) -> None:
        """Run all steps; gates, states and alignment are written to the tensors of `self.out`."""
        first = self.spec.first_weights
        history = torch.stack([first, torch.zeros_like(first)], 1)
        for step in range(self.steps):
            for layer in self.layers:
                self._step_cell(layer, step)
            history = self._attend(step, history)

    def _step_cell(self, layer: int, step: int) -> None:
        tensors, out = self.tensors, self.out
        gates, inputs = out.gates[layer][step], out.inputs[layer]
        weight = tensors.weights[layer].t()
        if layer:
            torch.addmm(tensors.biases[layer], inputs[step], weight, out=gates)
        else:
            gates.addmm_(inputs[step], weight)
        hidden, cells = out.hidden[layer], out.cells[layer]
        state, has_above = own_hidden(inputs, hidden)[step + 1], layer + 1 < len(self.layers)
        above = out.inputs[layer + 1][step] if has_above else state
        kernels.gate[self.cell_grid(layer)](
            *(gates, cells[step], cells[step + 1], hidden[step], hidden[step + 1]),
            *(state, state.stride(0), above, above.stride(0), *self.dropout(layer, step)),
            **self.cell(layer),
            ABOVE=has_above,
        )

    def _attend(self, step: int, history: Tensor) -> Tensor:
        tensors, out, spec = self.tensors, self.out, self.spec
        query_states = own_hidden(out.inputs[-1], out.hidden[-1])[step + 1]
        torch.mm(query_states, tensors.query.t(), out=out.queries[step])
        energy, after = torch.empty_like(spec.first_weights), torch.empty_like(history)
        stride = history.stride(0)
        step_kernels.energies[self.batch, self.tiles](
            *(out.queries[step], tensors.keys, tensors.energy, history, stride, history[:, 1]),
            *(stride, self.folded, energy, self.positions),
            **self.energy(),
        )
        weights, context = out.alignment[:, step], out.inputs[0][step + 1]
        step_kernels.read[self.batch, cdiv(self.memory_dim, COLUMNS)](
            *(energy, self.mask, tensors.memory, history, spec.sharpening),
            *(weights, weights.stride(0), context, context.stride(0), after, self.positions),
            DIM=self.memory_dim,
            CHANNELS=2,
            ALL=next_power_of_2(self.positions),
            COLUMNS=COLUMNS,
            PLACES=4 * POSITIONS,
        )
        return after
