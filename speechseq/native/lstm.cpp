// The LSTM over whole sequences, forward and backward.
//
// Gates stand in the order input, forget, cell, output. Each thread owns some units and computes
// all their gates. In a forward pass the activations take the place of the gates; the tanh of the
// cell is computed again when needed.
#include "sequences.h"

namespace {

template <typename Number>
struct Forward {
    Layer layer;
    Sequences all;
    Number *gates, *hidden;
    float *cells;
    Weights<Number> weights{layer, false};
    Handed<Number> states{layer.directions, all.batch, layer.size};

    void step(int64_t step, Units own, int64_t rows, int64_t, float *sums) {
        for (int64_t row = 0; row < rows; ++row)
            fetch_gates(gates + layer.gate(all.frame(row, step, own.direction), own), layer);
        if (step)
            for (int64_t gate = 0; gate < 4; ++gate)
                panel_product(states.at(step, own.direction, 0), rows, states.stride,
                              weights.panel(own, gate), layer.size, sums + gate * PANEL, 4 * PANEL,
                              PANEL, false);
        else
            std::fill_n(sums, rows * 4 * PANEL, 0.0f);
        for (int64_t row = 0; row < rows; ++row) {
            const int64_t frame = all.frame(row, step, own.direction);
            const int64_t at = layer.state(frame, own);
            const float *before = step ? cells + layer.before(at, own) : nullptr;
            for (int64_t unit = 0; unit < own.count; unit += LANES)
                cell(gates + layer.gate(frame, own) + unit, sums + row * 4 * PANEL + unit,
                     before ? before + unit : nullptr, cells + at + unit, hidden + at + unit,
                     states.at(step + 1, own.direction, row) + own.first + unit, own.count - unit);
        }
    }

    // One vector of units of one row.
    void cell(Number *given, const float *sums, const float *before, float *after, Number *state,
              Number *handed, int64_t count) {
        Number *const row[4] = {given, given + layer.size, given + 2 * layer.size,
                                given + 3 * layer.size};
        const Floats i = sigmoid(load(row[0], count) + load(sums));
        const Floats f = sigmoid(load(row[1], count) + load(sums + PANEL));
        const Floats g = hyperbolic_tangent(load(row[2], count) + load(sums + 2 * PANEL));
        const Floats o = sigmoid(load(row[3], count) + load(sums + 3 * PANEL));
        const Floats cell = before ? f * load(before, count) + i * g : i * g;
        const Floats out = o * hyperbolic_tangent(cell);
        store(row[0], i, count);
        store(row[1], f, count);
        store(row[2], g, count);
        store(row[3], o, count);
        store(after, cell, count);
        store(state, out, count);
        store(handed, out, count);
    }
};

template <typename Number>
struct Backward {
    Layer layer;
    Sequences all;
    const Number *gates;  // the activations
    const float *cells;
    const Number *above;  // the gradient of the hidden states
    Number *below;        // the gradient of the gates
    Weights<Number> weights{layer, true};
    Handed<Number> handed{layer.directions, all.batch, 4 * layer.size};
    Room<float> carried = room<float>(all.batch * layer.width());  // the gradient of the cells

    void step(int64_t step, Units own, int64_t rows, int64_t later, float *sums) {
        for (int64_t row = 0; row < rows; ++row)
            fetch_gates(gates + layer.gate(all.frame(row, step, own.direction), own), layer);
        panel_product(handed.at(step + 1, own.direction, 0), later, handed.stride,
                      weights.panel(own, 0), weights.inputs(), sums, PANEL, PANEL, false);
        for (int64_t row = 0; row < rows; ++row) {
            const int64_t frame = all.frame(row, step, own.direction);
            const int64_t at = layer.state(frame, own), gate = layer.gate(frame, own);
            const float *before = step ? cells + layer.before(at, own) : nullptr;
            for (int64_t unit = 0; unit < own.count; unit += LANES) {
                const int64_t count = own.count - unit;
                Floats gradient = load(above + at + unit, count);
                if (row < later) gradient += load(sums + row * PANEL + unit);
                float *carry = carried.get() + layer.state(row, own) + unit;
                const Floats carry_in = row < later ? load(carry, count) : Floats{};
                cell(gates + gate + unit, load(cells + at + unit, count),
                     before ? load(before + unit, count) : Floats{}, gradient, carry_in, carry,
                     below + gate + unit, handed.at(step, own.direction, row) + own.first + unit,
                     count);
            }
        }
    }

    void cell(const Number *row, Floats now, Floats before, Floats gradient, Floats carry_in,
              float *carry, Number *out, Number *hand, int64_t count) {
        const int64_t size = layer.size;
        const Floats i = load(row, count), f = load(row + size, count);
        const Floats g = load(row + 2 * size, count), o = load(row + 3 * size, count);
        const Floats bent = hyperbolic_tangent(now);
        const Floats flow = carry_in + gradient * o * (1.0f - bent * bent);
        const Floats made[4] = {flow * g * i * (1.0f - i), flow * before * f * (1.0f - f),
                                flow * i * (1.0f - g * g), gradient * bent * o * (1.0f - o)};
        for (int64_t k = 0; k < 4; ++k) {
            store(out + k * size, made[k], count);
            store(hand + k * size, made[k], count);
        }
        store(carry, flow * f, count);
    }
};

}  // namespace

#define PASSES(NAME, NUMBER)                                                                     \
    void lstm_forward_##NAME(NUMBER *gates, const NUMBER *weights, NUMBER *hidden, float *cells, \
                             const int64_t *starts, const int64_t *lengths, int64_t batch,       \
                             int64_t size, int64_t directions, int64_t threads) {                \
        Forward<NUMBER> pass{                                                                    \
            {directions, 4, size}, {starts, lengths, batch}, gates, hidden, cells};              \
        walk(pass, weights, 4 * PANEL, false, threads);                                          \
    }                                                                                            \
    void lstm_backward_##NAME(const NUMBER *gates, const NUMBER *weights, const float *cells,    \
                              const NUMBER *above, NUMBER *below, const int64_t *starts,         \
                              const int64_t *lengths, int64_t batch, int64_t size,               \
                              int64_t directions, int64_t threads) {                             \
        Backward<NUMBER> pass{                                                                   \
            {directions, 4, size}, {starts, lengths, batch}, gates, cells, above, below};        \
        walk(pass, weights, PANEL, true, threads);                                               \
    }

extern "C" {
PASSES(float32, float)
PASSES(bfloat16, Bf16)
}
