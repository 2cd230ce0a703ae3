// The GRU over whole sequences, forward and backward.
//
// Gates stand in the order reset, update, new. Each thread owns some units and computes all their
// gates. In a forward pass the activations take the place of the gates; what the state gives the
// new gate is kept apart, as reset multiplies it.
#include "sequences.h"

namespace {

template <typename Number>
struct Forward {
    Layer layer;
    Sequences all;
    Number *gates;
    const Number *bias;  // of what the state gives: (directions, 3 * size)
    Number *hidden, *apart;
    Weights<Number> weights{layer, false};
    Handed<Number> states{layer.directions, all.batch, layer.size};

    void step(int64_t step, Units own, int64_t rows, int64_t, float *sums) {
        for (int64_t row = 0; row < rows; ++row)
            fetch_gates(gates + layer.gate(all.frame(row, step, own.direction), own), layer);
        if (step)
            for (int64_t gate = 0; gate < 3; ++gate)
                panel_product(states.at(step, own.direction, 0), rows, states.stride,
                              weights.panel(own, gate), layer.size, sums + gate * PANEL, 3 * PANEL,
                              PANEL, false);
        else
            std::fill_n(sums, rows * 3 * PANEL, 0.0f);
        for (int64_t row = 0; row < rows; ++row) {
            const int64_t frame = all.frame(row, step, own.direction);
            const int64_t at = layer.state(frame, own);
            const Number *before = step ? hidden + layer.before(at, own) : nullptr;
            for (int64_t unit = 0; unit < own.count; unit += LANES)
                cell(gates + layer.gate(frame, own) + unit, sums + row * 3 * PANEL + unit,
                     bias + layer.gate(0, own) + unit, before ? before + unit : nullptr,
                     hidden + at + unit, apart + at + unit,
                     states.at(step + 1, own.direction, row) + own.first + unit, own.count - unit);
        }
    }

    // One vector of units of one row.
    void cell(Number *given, const float *sums, const Number *bias, const Number *before,
              Number *state, Number *kept, Number *handed, int64_t count) {
        const int64_t size = layer.size;
        const Floats h_reset = load(sums) + load(bias, count);
        const Floats h_update = load(sums + PANEL) + load(bias + size, count);
        const Floats h_new = load(sums + 2 * PANEL) + load(bias + 2 * size, count);
        const Floats reset = sigmoid(load(given, count) + h_reset);
        const Floats update = sigmoid(load(given + size, count) + h_update);
        const Floats fresh = hyperbolic_tangent(load(given + 2 * size, count) + reset * h_new);
        const Floats old = before ? load(before, count) : Floats{};
        const Floats out = fresh + update * (old - fresh);
        store(given, reset, count);
        store(given + size, update, count);
        store(given + 2 * size, fresh, count);
        store(kept, h_new, count);
        store(state, out, count);
        store(handed, out, count);
    }
};

template <typename Number>
struct Backward {
    Layer layer;
    Sequences all;
    const Number *gates, *hidden, *apart;  // the activations, the states, and what was kept
    const Number *above;                   // the gradient of the hidden states
    Number *below, *beside;  // the gradients of the gates: as inputs gave them, as states did
    Weights<Number> weights{layer, true};
    Handed<Number> handed{layer.directions, all.batch, 3 * layer.size};
    Room<float> carried = room<float>(all.batch * layer.width());  // what update lets through

    void step(int64_t step, Units own, int64_t rows, int64_t later, float *sums) {
        for (int64_t row = 0; row < rows; ++row)
            fetch_gates(gates + layer.gate(all.frame(row, step, own.direction), own), layer);
        panel_product(handed.at(step + 1, own.direction, 0), later, handed.stride,
                      weights.panel(own, 0), weights.inputs(), sums, PANEL, PANEL, false);
        for (int64_t row = 0; row < rows; ++row) {
            const int64_t frame = all.frame(row, step, own.direction);
            const int64_t at = layer.state(frame, own), gate = layer.gate(frame, own);
            const Number *before = step ? hidden + layer.before(at, own) : nullptr;
            for (int64_t unit = 0; unit < own.count; unit += LANES) {
                const int64_t count = own.count - unit;
                float *carry = carried.get() + layer.state(row, own) + unit;
                Floats gradient = load(above + at + unit, count);
                if (row < later) gradient += load(sums + row * PANEL + unit) + load(carry, count);
                cell(gate + unit, load(apart + at + unit, count),
                     before ? load(before + unit, count) : Floats{}, gradient, carry,
                     handed.at(step, own.direction, row) + own.first + unit, count);
            }
        }
    }

    // One vector of units of one row, whose gates stand at `at`.
    void cell(int64_t at, Floats h_new, Floats old, Floats gradient, float *carry, Number *hand,
              int64_t count) {
        const int64_t size = layer.size;
        const Floats reset = load(gates + at, count), update = load(gates + at + size, count);
        const Floats fresh = load(gates + at + 2 * size, count);
        const Floats to_new = gradient * (1.0f - update) * (1.0f - fresh * fresh);
        const Floats to_update = gradient * (old - fresh) * update * (1.0f - update);
        const Floats to_reset = to_new * h_new * reset * (1.0f - reset);
        const Floats made[3] = {to_reset, to_update, to_new * reset};
        for (int64_t k = 0; k < 3; ++k) {
            store(below + at + k * size, k < 2 ? made[k] : to_new, count);
            store(beside + at + k * size, made[k], count);
            store(hand + k * size, made[k], count);
        }
        store(carry, gradient * update, count);
    }
};

}  // namespace

#define PASSES(NAME, NUMBER)                                                                    \
    void gru_forward_##NAME(NUMBER *gates, const NUMBER *weights, const NUMBER *bias,           \
                            NUMBER *hidden, NUMBER *apart, const int64_t *starts,               \
                            const int64_t *lengths, int64_t batch, int64_t size,                \
                            int64_t directions, int64_t threads) {                              \
        Forward<NUMBER> pass{                                                                   \
            {directions, 3, size}, {starts, lengths, batch}, gates, bias, hidden, apart};       \
        walk(pass, weights, 3 * PANEL, false, threads);                                         \
    }                                                                                           \
    void gru_backward_##NAME(const NUMBER *gates, const NUMBER *weights, const NUMBER *hidden,  \
                             const NUMBER *apart, const NUMBER *above, NUMBER *below,           \
                             NUMBER *beside, const int64_t *starts, const int64_t *lengths,     \
                             int64_t batch, int64_t size, int64_t directions,                   \
                             int64_t threads) {                                                 \
        Backward<NUMBER> pass{{directions, 3, size}, {starts, lengths, batch}, gates, hidden,   \
                              apart, above, below, beside};                                     \
        walk(pass, weights, PANEL, true, threads);                                              \
    }

extern "C" {
PASSES(float32, float)
PASSES(bfloat16, Bf16)
}
