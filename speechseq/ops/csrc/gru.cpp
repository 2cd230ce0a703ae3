// The GRU over whole sequences, forward and backward.
//
// Gates stand in the order reset, update, new. In a forward pass the activations take the place of
// the gates; what the state gives the new gate is kept apart, as reset multiplies it.
#include "varlen_rnn.h"
#include "version.h"

namespace {

template <typename Number, bool DROPOUT>
struct Forward {
    Layer layer;
    Sequences all;
    DropoutBits dropout_bits;
    Number *gates;
    const Number *bias;  // of what the state gives: (directions, 3 * size)
    Number *hidden, *apart;
    Weights<Number> weights{layer, false};
    Handed<Number> handed{layer.directions, all.batch, layer.size};

    void cell(const Place &place, const float *sums, Number *hand) {
        const int64_t size = layer.size, count = place.count;
        const Number *const own = bias + place.bias;
        const Floats h_reset = load(sums) + load(own, count);
        const Floats h_update = load(sums + PANEL) + load(own + size, count);
        const Floats h_new = load(sums + 2 * PANEL) + load(own + 2 * size, count);
        Number *const row = gates + place.gate;
        const Floats reset = sigmoid(load(row, count) + h_reset);
        const Floats update = sigmoid(load(row + size, count) + h_update);
        const Floats fresh = hyperbolic_tangent(load(row + 2 * size, count) + reset * h_new);
        const Floats old = load_before(hidden, place);
        Floats out = fresh + update * (old - fresh);
        if constexpr (DROPOUT) {
            const RecurrentDropout dropout = dropout_bits.at(place);
            out = between(dropout.hidden, old, out) * dropout.scale;
        }
        store(row, reset, count);
        store(row + size, update, count);
        store(row + 2 * size, fresh, count);
        store(apart + place.state, h_new, count);
        store(hidden + place.state, out, count);
        store(hand, out, count);
    }
};

template <typename Number, bool DROPOUT>
struct Backward {
    Layer layer;
    Sequences all;
    DropoutBits dropout_bits;
    const Number *gates, *hidden, *apart;  // the activations, the states, and what was kept
    const Number *above;                   // the gradient of the hidden states
    Number *below, *beside;  // the gradients of the gates: as inputs gave them, as states did
    Weights<Number> weights{layer, true};
    Handed<Number> handed{layer.directions, all.batch, 3 * layer.size};
    Room<float> carried = zeros(all.batch * layer.width());  // what update and zoneout let through

    void cell(const Place &place, const float *sums, Number *hand) {
        const int64_t size = layer.size, count = place.count;
        const Number *const row = gates + place.gate;
        const Floats reset = load(row, count), update = load(row + size, count);
        const Floats fresh = load(row + 2 * size, count), h_new = load(apart + place.state, count);
        const Floats old = load_before(hidden, place);
        Floats gradient = load(above + place.state, count) + load(sums);
        gradient += load(&carried[place.item], count);
        Floats past = {};
        if constexpr (DROPOUT) {
            const RecurrentDropout dropout = dropout_bits.at(place);
            gradient *= dropout.scale;
            past = dropout.hidden * gradient;
            gradient *= 1.0f - dropout.hidden;
        }
        const Floats to_new = gradient * (1.0f - update) * (1.0f - fresh * fresh);
        const Floats to_update = gradient * (old - fresh) * update * (1.0f - update);
        const Floats to_reset = to_new * h_new * reset * (1.0f - reset);
        const Floats made[3] = {to_reset, to_update, to_new * reset};
        for (int64_t k = 0; k < 3; ++k) {
            store(below + place.gate + k * size, k < 2 ? made[k] : to_new, count);
            store(beside + place.gate + k * size, made[k], count);
            store(hand + k * size, made[k], count);
        }
        store(&carried[place.item], gradient * update + past, count);
    }
};

}  // namespace

#define PASSES(NAME, NUMBER)                                                                     \
    void gru_forward_##NAME(NUMBER *gates, const NUMBER *weights, const NUMBER *bias,            \
                            NUMBER *hidden, NUMBER *apart, SEQUENCES) {                          \
        WALK(Forward, 3, gates, bias, hidden, apart);                                            \
    }                                                                                            \
    void gru_backward_##NAME(const NUMBER *gates, const NUMBER *weights, const NUMBER *hidden,   \
                             const NUMBER *apart, const NUMBER *above, NUMBER *below,            \
                             NUMBER *beside, SEQUENCES) {                                        \
        WALK(Backward, 3, gates, hidden, apart, above, below, beside);                           \
    }

extern "C" {
PASSES(float32, float)
PASSES(bfloat16, Bf16)
}
