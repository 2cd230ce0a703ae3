// Sequences of different lengths that lie end to end, walked step by step, the longest first.
#pragma once

#include "rnn_dropout.h"
#include "packed_gemm.h"
#include "thread_team.h"

namespace {

// Item i has the frames starts[i] to starts[i] + lengths[i] - 1; direction 1 walks from the last.
struct Sequences {
    const int64_t *starts, *lengths;
    int64_t batch;

    int64_t steps() const { return lengths[0]; }

    int64_t frame(int64_t item, int64_t step, int64_t direction) const {
        return starts[item] + (direction ? lengths[item] - 1 - step : step);
    }

    // How many items are longer than `step`: they are the first.
    int64_t active(int64_t step) const {
        return std::partition_point(lengths, lengths + batch,
                                    [step](int64_t length) { return length > step; }) -
               lengths;
    }
};

// Up to PANEL units of one direction, with all their gates: a task.
struct Units {
    int64_t direction, block, first, count;
};

// The shape of a layer: its frames are rows of (directions, gates, size) or (directions, size).
struct Layer {
    int64_t directions, gates, size;

    int64_t blocks() const { return panels(size); }
    int64_t items() const { return directions * blocks(); }
    int64_t width() const { return directions * size; }

    Units units(int64_t item) const {
        const int64_t block = item % blocks(), first = block * PANEL;
        return {item / blocks(), block, first, std::min(PANEL, size - first)};
    }

    // Where the first of some units stands in a frame of states, and of gates.
    int64_t state(int64_t frame, Units own) const {
        return frame * width() + own.direction * size + own.first;
    }
    // The same units' place one step before.
    int64_t before(int64_t state, Units own) const {
        return state + (own.direction ? width() : -width());
    }
    int64_t gate(int64_t frame, Units own) const {
        return (frame * directions + own.direction) * gates * size + own.first;
    }
};

// Up to LANES units of one item at one step: where they stand among the frames' states and gates.
struct Place {
    int64_t state, gate, count;
    int64_t item;    // in a row (directions, size) that belongs to the item
    int64_t bias;    // in one frame's gates
    int64_t before;  // the state that the step began with, or -1 where it began with zeros
};

// The numbers at `before` of a place.
template <typename Number>
inline Floats load_before(const Number *states, const Place &place) {
    return place.before < 0 ? Floats{} : load(states + place.before, place.count);
}

// Dropout inside the recurrence: bits (frames, directions * size) or null, the factor of the units
// that dropout keeps, and the share that zoneout keeps where there are no bits.
struct DropoutBits {
    const uint8_t *drawn;
    float scale, zoneout;

    bool act() const { return drawn || zoneout != 0.0f; }

    RecurrentDropout at(const Place &place) const {
        return recurrent_dropout(drawn ? drawn + place.state : nullptr, scale, zoneout,
                                 place.count);
    }
};

// What a step hands to the next one, direction by direction and row by row, kept side by side; two
// sets take turns, so that it is enough to wait once a step. Rows are no multiple of 4 KB apart, or
// they would all fall on the same lines of the cache.
template <typename Number>
struct Handed {
    int64_t batch, stride;
    Room<Number> room_;
    int64_t side;

    Handed(int64_t directions, int64_t batch, int64_t width)
        : batch(batch), stride((width + 15) / 16 * 16 + 32),
          room_(room<Number>(2 * directions * batch * stride)), side(directions * batch * stride) {}

    Number *at(int64_t step, int64_t direction, int64_t row) const {
        return room_.get() + step % 2 * side + (direction * batch + row) * stride;
    }
};

// The weights (directions, gates * size, size), packed unit by unit: those that make gates of
// states, the gates of the same units one after the other, or, transposed, those that bring the
// gates' gradients back.
template <typename Number>
struct Weights {
    Layer layer;
    bool transposed;
    Room<Number> room_;

    Weights(Layer layer, bool transposed)
        : layer(layer), transposed(transposed),
          room_(room<Number>(layer.items() * products() * panel_size<Number>(inputs()))) {}

    // For each unit: a product for each gate with all states, or one with all gates' gradients.
    int64_t products() const { return transposed ? 1 : layer.gates; }
    int64_t inputs() const { return transposed ? layer.gates * layer.size : layer.size; }

    Number *panel(Units own, int64_t gate) const {
        return room_.get() + ((own.direction * layer.blocks() + own.block) * products() + gate) *
                                 panel_size<Number>(inputs());
    }

    // Packs what some tasks need.
    void pack(const Number *weights, Share part) {
        const int64_t size = layer.size, square = size * size;
        for (int64_t item = part.first; item < part.last; ++item) {
            const Units own = layer.units(item);
            const Number *from = weights + own.direction * layer.gates * square;
            for (int64_t gate = 0; gate < products(); ++gate)
                if (transposed)
                    ::pack(from + own.first, 1, size, own.count, inputs(), panel(own, 0),
                           Share{0, 1});
                else
                    ::pack(from + gate * square + own.first * size, size, 1, own.count, size,
                           panel(own, gate), Share{0, 1});
        }
    }
};

inline Room<float> zeros(int64_t count) {
    auto made = room<float>(count);
    std::fill_n(made.get(), count, 0.0f);
    return made;
}

// Asks for the lines of a row's gates before they are needed. Always inlined: GCC takes a function
// that does nothing but this for one without effect, and drops the call.
template <typename Number>
__attribute__((always_inline)) inline void fetch_gates(const Number *row, const Layer &layer) {
    constexpr int64_t line = 64 / sizeof(Number);
    for (int64_t gate = 0; gate < layer.gates; ++gate)
        for (int64_t unit = 0; unit < PANEL; unit += line)
            __builtin_prefetch(row + gate * layer.size + unit, 1);
}

// A pass over all steps, forward or backward: it reads `gates`, `weights`, `dropout_bits`, and
// `handed` what its steps hand on. All threads end a step before one begins the next.
template <typename Pass, typename Number>
struct Walk {
    Pass &pass;
    const Layer layer = pass.layer;
    const Sequences all = pass.all;
    const bool backward = pass.weights.transposed;
    const int64_t products = pass.weights.products();

    // Calls pass.cell(place, sums, handed on) for all units at all steps. The sums of each product
    // with what the step before handed on are PANEL numbers apart.
    void run(const Number *recurrent, int64_t threads) {
        const int64_t steps = all.steps();
        Team team(threads);
#pragma omp parallel num_threads(threads)
        {
            Member member{team};
            const auto sums = room<float>(all.batch * products * PANEL);
            member.share_out(layer.items(), [&](int64_t item) {
                pass.weights.pack(recurrent, {item, item + 1});
            });
            for (int64_t count = 0; count < steps; ++count) {
                const int64_t step = backward ? steps - 1 - count : count;
                const int64_t rows = all.active(step);
                member.share_out(layer.items(), [&](int64_t item) {
                    const Units own = layer.units(item);
                    sum(step, own, rows, sums.get());
                    for (int64_t row = 0; row < rows; ++row)
                        cells(step, own, row, sums.get() + row * products * PANEL);
                });
            }
        }
    }

    // The products of some units; zeros for rows that nothing was handed on to.
    void sum(int64_t step, Units own, int64_t rows, float *sums) {
        for (int64_t row = 0; row < rows; ++row) {
            const int64_t frame = all.frame(row, step, own.direction);
            fetch_gates(pass.gates + layer.gate(frame, own), layer);
            if (const uint8_t *drawn = pass.dropout_bits.drawn)
                __builtin_prefetch(drawn + layer.state(frame, own));
        }
        const int64_t given = backward ? all.active(step + 1) : step ? rows : 0;
        const Number *from = pass.handed.at(step + backward, own.direction, 0);
        for (int64_t i = 0; i < products; ++i)
            panel_product(from, given, pass.handed.stride, pass.weights.panel(own, i),
                          pass.weights.inputs(), sums + i * PANEL, products * PANEL, PANEL, false);
        std::fill(sums + given * products * PANEL, sums + rows * products * PANEL, 0.0f);
    }

    void cells(int64_t step, Units own, int64_t row, const float *sums) {
        const int64_t frame = all.frame(row, step, own.direction);
        Place place{layer.state(frame, own), layer.gate(frame, own), own.count,
                    layer.state(row, own),   layer.gate(0, own),     -1};
        if (step) place.before = layer.before(place.state, own);
        Number *hand = pass.handed.at(step + !backward, own.direction, row) + own.first;
        for (int64_t unit = 0; unit < own.count; unit += LANES) {
            pass.cell(place, sums + unit, hand + unit);
            place.state += LANES, place.gate += LANES, place.count -= LANES;
            place.item += LANES, place.bias += LANES;
            if (step) place.before += LANES;
        }
    }
};

// Runs a kind of pass, which is compiled twice: without dropout and zoneout these cost nothing.
template <template <typename, bool> class Pass, typename Number, typename... Given>
void walk(const Number *recurrent, int64_t threads, Layer layer, Sequences all,
          DropoutBits dropout_bits, Given... given) {
    if (dropout_bits.act()) {
        Pass<Number, true> pass{layer, all, dropout_bits, given...};
        Walk<Pass<Number, true>, Number>{pass}.run(recurrent, threads);
    } else {
        Pass<Number, false> pass{layer, all, dropout_bits, given...};
        Walk<Pass<Number, false>, Number>{pass}.run(recurrent, threads);
    }
}

}  // namespace

// What each door of a pass takes beside its own tensors, and what it calls with them.
#define SEQUENCES                                                                               \
    const int64_t *starts, const int64_t *lengths, const uint8_t *drawn, int64_t batch,         \
        int64_t size, int64_t directions, float scale, float zoneout, int64_t threads
#define WALK(PASS, GATES, ...)                                                                  \
    walk<PASS>(weights, threads, Layer{directions, GATES, size},                                \
               Sequences{starts, lengths, batch}, DropoutBits{drawn, scale, zoneout}, __VA_ARGS__)
