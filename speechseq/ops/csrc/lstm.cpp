// The LSTM over whole sequences, forward and backward.
//
// Gates stand in the order input, forget, cell, output. In a forward pass the activations take the
// place of the gates; the tanh of the cell is computed again when needed.
#include "varlen_rnn.h"
#include "version.h"

namespace {

template <typename Number, bool DROPOUT>
struct Forward {
    Layer layer;
    Sequences all;
    DropoutBits dropout_bits;
    Number *gates, *hidden;
    float *kept;  // the cells
    Weights<Number> weights{layer, false};
    Handed<Number> handed{layer.directions, all.batch, layer.size};

    void cell(const Place &place, const float *sums, Number *hand) {
        const int64_t size = layer.size, count = place.count;
        Number *const row = gates + place.gate;
        const Floats i = sigmoid(load(row, count) + load(sums));
        const Floats f = sigmoid(load(row + size, count) + load(sums + PANEL));
        const Floats g = hyperbolic_tangent(load(row + 2 * size, count) + load(sums + 2 * PANEL));
        const Floats o = sigmoid(load(row + 3 * size, count) + load(sums + 3 * PANEL));
        const Floats old = load_before(kept, place);
        Floats cell = f * old + i * g, out = o * hyperbolic_tangent(cell);
        if constexpr (DROPOUT) {
            const RecurrentDropout dropout = dropout_bits.at(place);
            out = between(dropout.hidden, load_before(hidden, place), out) * dropout.scale;
            cell = between(dropout.cell, old, cell);
        }
        store(row, i, count);
        store(row + size, f, count);
        store(row + 2 * size, g, count);
        store(row + 3 * size, o, count);
        store(kept + place.state, cell, count);
        store(hidden + place.state, out, count);
        store(hand, out, count);
    }
};

template <typename Number, bool DROPOUT>
struct Backward {
    Layer layer;
    Sequences all;
    DropoutBits dropout_bits;
    const Number *gates;  // the activations
    const float *kept;    // the cells
    const Number *above;  // the gradient of the hidden states
    Number *below;        // the gradient of the gates
    Weights<Number> weights{layer, true};
    Handed<Number> handed{layer.directions, all.batch, 4 * layer.size};
    Room<float> carried = zeros(all.batch * layer.width());  // the gradient of the cells
    Room<float> zoned = zeros(all.batch * layer.width());  // that of hidden states, past the gates

    void cell(const Place &place, const float *sums, Number *hand) {
        const int64_t size = layer.size, count = place.count;
        const Number *const row = gates + place.gate;
        const Floats i = load(row, count), f = load(row + size, count);
        const Floats g = load(row + 2 * size, count), o = load(row + 3 * size, count);
        const Floats old = load_before(kept, place);
        Floats now = load(kept + place.state, count), past = {};
        Floats gradient = load(above + place.state, count) + load(sums);
        Floats carry = load(&carried[place.item], count);
        if constexpr (DROPOUT) {
            const RecurrentDropout dropout = dropout_bits.at(place);
            gradient = (gradient + load(&zoned[place.item], count)) * dropout.scale;
            store(&zoned[place.item], dropout.hidden * gradient, count);
            gradient *= 1.0f - dropout.hidden;
            past = dropout.cell * carry;
            carry *= 1.0f - dropout.cell;
            now = f * old + i * g;  // as it was before zoneout
        }
        const Floats bent = hyperbolic_tangent(now);
        const Floats flow = carry + gradient * o * (1.0f - bent * bent);
        const Floats made[4] = {flow * g * i * (1.0f - i), flow * old * f * (1.0f - f),
                                flow * i * (1.0f - g * g), gradient * bent * o * (1.0f - o)};
        for (int64_t k = 0; k < 4; ++k) {
            store(hand + k * size, made[k], count);
            store(below + place.gate + k * size, made[k], count);
        }
        store(&carried[place.item], flow * f + past, count);
    }
};

}  // namespace

#define PASSES(NAME, NUMBER)                                                                     \
    void lstm_forward_##NAME(NUMBER *gates, const NUMBER *weights, NUMBER *hidden, float *cells, \
                             SEQUENCES) {                                                        \
        WALK(Forward, 4, gates, hidden, cells);                                                  \
    }                                                                                            \
    void lstm_backward_##NAME(const NUMBER *gates, const NUMBER *weights, const float *cells,    \
                              const NUMBER *above, NUMBER *below, SEQUENCES) {                   \
        WALK(Backward, 4, gates, cells, above, below);                                           \
    }

extern "C" {
PASSES(float32, float)
PASSES(bfloat16, Bf16)
}
