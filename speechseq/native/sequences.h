// Sequences of different lengths that lie end to end, walked step by step, the longest first.
#pragma once

#include <omp.h>

#include "packed.h"

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

// Up to PANEL units of one direction, what a thread computes at once.
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

// What a step hands to the next one, direction by direction and row by row, kept side by side; two
// sets take turns, so that one barrier a step is enough. Rows are no multiple of 4 KB apart, or
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

    // Packs what the units of a thread need.
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

// Calls pass.step(step, units, items that are in it, items that are in the one after it, sums) for
// all steps and units; all threads end a step before one begins the next. An item needs `each`
// numbers of the room for sums.
template <typename Pass, typename Number>
void walk(Pass &pass, const Number *recurrent, int64_t each, bool backward, int64_t threads) {
    const int64_t steps = pass.all.steps();
#pragma omp parallel num_threads(threads)
    {
        const Layer layer = pass.layer;
        const Share part = share(layer.items(), omp_get_thread_num(), omp_get_num_threads());
        pass.weights.pack(recurrent, part);
        const auto sums = room<float>(pass.all.batch * each);
        for (int64_t count = 0; count < steps; ++count) {
            const int64_t t = backward ? steps - 1 - count : count;
            const int64_t rows = pass.all.active(t), later = pass.all.active(t + 1);
            for (int64_t item = part.first; item < part.last; ++item)
                pass.step(t, layer.units(item), rows, later, sums.get());
#pragma omp barrier
        }
    }
}

// Asks for the lines of a row's gates before they are needed.
template <typename Number>
inline void fetch_gates(const Number *row, Layer layer) {
    constexpr int64_t line = 64 / sizeof(Number);
    for (int64_t gate = 0; gate < layer.gates; ++gate)
        for (int64_t unit = 0; unit < PANEL; unit += line)
            __builtin_prefetch(row + gate * layer.size + unit, 1);
}

}  // namespace
