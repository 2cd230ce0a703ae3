// Cells of the attention RNN: LSTM and GRU steps of some units, and their backward passes.
//
// A cell has four gates of `hidden` units over [inputs; hidden before]. LSTM: input, forget, cell,
// output. GRU: reset, update, and the new gate in two, what the inputs and what the hidden state
// give. The gates of one unit belong to one task, so a cell follows its product without waiting.
#pragma once

#include <vector>

#include "rnn_dropout.h"
#include "packed_gemm.h"

namespace {

// One layer, its addresses and sizes in the order of ops/attention_rnn/cpp.py's rows.
template <typename Number>
struct Layer {
    int64_t inputs, hidden;
    const Number *weight;  // (4 * hidden, inputs + hidden)
    const float *bias;     // (4 * hidden), or null where `gates` comes with what is hoisted
    Number *gates;         // (places, 4 * hidden): before a step its sums, then its gates
    Number *cells;         // (batch + places, hidden), first the states before all steps; or null
    Number *outputs;       // (batch + places, hidden), likewise
    const uint8_t *drawn;  // (places, hidden), or null
    const float *rates;    // dropout's scale; zoneout's rate where there are no bits
    Number *grad_gates;        // backward: (places, 4 * hidden), the gradient of the gates' sums

    int64_t blocks() const { return (hidden + LANES - 1) / LANES; }
};

template <typename Number>
inline RecurrentDropout recurrent_dropout(const Layer<Number> &layer, int64_t at, int64_t count) {
    const uint8_t *drawn = layer.drawn ? layer.drawn + at : nullptr;
    return recurrent_dropout(drawn, layer.rates[0], layer.rates[1], count);
}

// The panels of each block of units, (input, forget) or (reset, update) in the first two, the other
// gates in the last two, each over the inputs, then over the hidden state.
template <typename Number>
int64_t block_size(const Layer<Number> &layer) {
    return 2 * (panel_size<Number>(layer.inputs) + panel_size<Number>(layer.hidden));
}

template <typename Number>
void pack_units(const Layer<Number> &layer, Number *packed, Share part) {
    const int64_t width = layer.inputs + layer.hidden;
    std::vector<Number> rows(PANEL * width);
    packed += part.first * block_size(layer);
    for (int64_t unit = part.first * LANES; unit < part.last * LANES; unit += LANES)
        for (int64_t pair = 0; pair < 2; ++pair) {
            std::fill(rows.begin(), rows.end(), Number{});
            for (int64_t i = 0; i < PANEL; ++i) {
                const int64_t own = unit + i % LANES, gate = 2 * pair + i / LANES;
                if (own < layer.hidden)
                    memcpy(&rows[i * width], layer.weight + (gate * layer.hidden + own) * width,
                           width * sizeof(Number));
            }
            pack(rows.data(), width, 1, PANEL, layer.inputs, packed, {0, 1});
            packed += panel_size<Number>(layer.inputs);
            pack(rows.data() + layer.inputs, width, 1, PANEL, layer.hidden, packed, {0, 1});
            packed += panel_size<Number>(layer.hidden);
        }
}

// The sums of a block's four gates (rows, 4 * LANES) from inputs and hidden state, row by row.
template <typename Number>
void block_sums(const Layer<Number> &layer, const Number *packed, const Number *inputs,
                const Number *hidden, int64_t rows, float *sums) {
    for (int64_t pair = 0; pair < 2; ++pair, sums += PANEL) {
        panel_product(inputs, rows, layer.inputs, packed, layer.inputs, sums, 2 * PANEL, PANEL,
                      false);
        packed += panel_size<Number>(layer.inputs);
        panel_product(hidden, rows, layer.hidden, packed, layer.hidden, sums, 2 * PANEL, PANEL,
                      true);
        packed += panel_size<Number>(layer.hidden);
    }
}

// LANES units at one place, whose states go to the place `after`; `hidden` and `cell` are those of
// the row in full precision.
template <typename Number>
inline void step_units(const Layer<Number> &layer, int64_t place, int64_t after, int64_t unit,
                       const float *product, float *hidden, float *cell) {
    const int64_t count = std::min(layer.hidden - unit, LANES);
    after = after * layer.hidden + unit;
    Number *gates = layer.gates + place * 4 * layer.hidden + unit;
    Floats sums[4];
    for (int64_t gate = 0; gate < 4; ++gate) {
        const int64_t at = gate * layer.hidden;
        sums[gate] = load(product + gate * LANES) +
                     (layer.bias ? load(layer.bias + at + unit, count) : load(gates + at, count));
    }
    const RecurrentDropout drawn = recurrent_dropout(layer, place * layer.hidden + unit, count);
    const Floats before = load(hidden + unit, count);
    const Floats first = sigmoid(sums[0]), second = sigmoid(sums[1]);
    Floats third, fourth, made;
    if (layer.cells) {
        const Floats old = load(cell + unit, count);
        third = hyperbolic_tangent(sums[2]), fourth = sigmoid(sums[3]);
        const Floats fresh = second * old + first * third;
        made = fourth * hyperbolic_tangent(fresh);
        const Floats kept = between(drawn.cell, old, fresh);
        store(cell + unit, kept, count);
        store(layer.cells + after, kept, count);
    } else {
        third = hyperbolic_tangent(sums[2] + first * sums[3]), fourth = sums[3];
        made = between(second, before, third);
    }
    const Floats values[4] = {first, second, third, fourth};
    for (int64_t gate = 0; gate < 4; ++gate)
        store(gates + gate * layer.hidden, values[gate], count);
    const Floats given = between(drawn.hidden, before, made) * drawn.scale;
    store(hidden + unit, given, count);
    store(layer.outputs + after, given, count);
}

// Backward of `step_units`, their states from the place `before`. `gradient` is that of the hidden
// state; `straight` and `cell` hold the gradients of hidden state and cell that the next step hands
// on without passing its product, and then those for the step before.
template <typename Number>
inline void step_units_backward(const Layer<Number> &layer, int64_t place, int64_t before,
                                int64_t unit, Floats gradient, float *straight, float *cell) {
    const int64_t count = std::min(layer.hidden - unit, LANES);
    before = before * layer.hidden + unit;
    const Number *gates = layer.gates + place * 4 * layer.hidden + unit;
    Number *grad_gates = layer.grad_gates + place * 4 * layer.hidden + unit;
    Floats values[4], below[4];
    for (int64_t gate = 0; gate < 4; ++gate)
        values[gate] = load(gates + gate * layer.hidden, count);
    const auto &[first, second, third, fourth] = values;
    const RecurrentDropout drawn = recurrent_dropout(layer, place * layer.hidden + unit, count);
    gradient = (gradient + load(straight + unit, count)) * drawn.scale;
    const Floats made = (1.0f - drawn.hidden) * gradient;
    Floats past = drawn.hidden * gradient;
    if (layer.cells) {
        const Floats old = load(layer.cells + before, count), carried = load(cell + unit, count);
        const Floats bent = hyperbolic_tangent(second * old + first * third);
        const Floats fresh =
            (1.0f - drawn.cell) * carried + made * fourth * (1.0f - bent * bent);
        store(cell + unit, drawn.cell * carried + fresh * second, count);
        below[0] = fresh * third * first * (1.0f - first);
        below[1] = fresh * old * second * (1.0f - second);
        below[2] = fresh * first * (1.0f - third * third);
        below[3] = made * bent * fourth * (1.0f - fourth);
    } else {
        const Floats old = load(layer.outputs + before, count);
        const Floats candidate = made * (1.0f - second) * (1.0f - third * third);
        past += made * second;
        below[0] = candidate * fourth * first * (1.0f - first);
        below[1] = made * (old - third) * second * (1.0f - second);
        below[2] = candidate;
        below[3] = candidate * first;
    }
    store(straight + unit, past, count);
    for (int64_t gate = 0; gate < 4; ++gate)
        store(grad_gates + gate * layer.hidden, below[gate], count);
}

}  // namespace
