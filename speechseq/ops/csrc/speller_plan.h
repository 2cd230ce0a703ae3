// Inputs, outputs and state of a speller's step: sizes, weights, layout of a row.
#pragma once

#include <vector>

#include "attention_rnn_attention.h"

namespace {

// A layer's packed weights, and its bias where it is not hoisted.
struct SpellerCell {
    const float *weights, *bias;
};

// As the Python side writes it, in this order, all 64-bit words. Matrices are packed.
struct Speller {
    int64_t layers, hidden, memory, dim, histories, filters, kernel, deep, symbols;
    const float *query, *direction, *filter_weights, *location;
    const float *deep_weights, *deep_bias, *symbol_weights, *symbol_bias;
    const uint8_t *never;      // (symbols)
    const SpellerCell *cells;  // (layers)

    // A row's numbers: the cells' states, the hidden states, the context behind the top one, and
    // the sum of all weights where it is read; up to a whole line.
    int64_t cell_at(int64_t layer) const { return layer * hidden; }
    int64_t hidden_at(int64_t layer) const { return (layers + layer) * hidden; }
    int64_t context_at() const { return 2 * layers * hidden; }
    int64_t sum_at() const { return context_at() + memory; }
    int64_t width(int64_t positions) const {
        return (sum_at() + (histories > 1 ? positions : 0) + 15) / 16 * 16;
    }
};

// A layer's weights, for each block of LANES units two pairs of gates: input and forget, cell and
// output; a pair is a panel over the inputs and one over the hidden state.
inline int64_t cell_block(int64_t inputs, int64_t hidden) {
    return 2 * (panel_size<float>(inputs) + panel_size<float>(hidden));
}

inline int64_t cell_blocks(int64_t hidden) { return (hidden + LANES - 1) / LANES; }

// One block, from weight_ih (4 * hidden, hoisted + inputs) and weight_hh (4 * hidden, hidden).
inline void pack_block(const float *weight_ih, const float *weight_hh, int64_t hoisted,
                       int64_t inputs, int64_t hidden, int64_t block, float *packed) {
    const int64_t unit = block * LANES, width = hoisted + inputs;
    packed += block * cell_block(inputs, hidden);
    for (int64_t gate = 0; gate < 4; ++gate) {
        const int64_t row = gate * hidden + unit;
        float *own = packed + gate / 2 * cell_block(inputs, hidden) / 2 + gate % 2 * LANES;
        pack_rows(weight_ih + row * width + hoisted, width, hidden - unit, inputs, own);
        pack_rows(weight_hh + row * hidden, hidden, hidden - unit, hidden,
                  own + panel_size<float>(inputs));
    }
}

// One step. Rows of an utterance stand side by side. Shapes: gates (any, 4 * hidden), `which` of
// them a row takes (rows); memory (utterances), each packed as W (memory, positions); keys
// (utterances, positions, dim), mask (utterances, positions); `place` (rows) of a row in what was
// made before: before (places, width), weights_before (places, positions); after (rows, width),
// weights (rows, positions), log_probs (rows, symbols).
struct Step {
    const Speller &s;
    const float *gates;
    const int64_t *which;
    const float *memory, *keys;
    const uint8_t *mask;
    const int64_t *place;
    const float *before, *weights_before;
    float *after, *weights, *log_probs;
    int64_t rows, utterances, places, positions;
    float sharpening;

    int64_t queries() const { return rows / utterances; }
    int64_t width() const { return s.width(positions); }
    float *made(int64_t row, int64_t at) const { return after + row * width() + at; }

    // Up to the last position that is valid.
    int64_t length(int64_t utterance) const {
        int64_t length = positions;
        while (length && !mask[utterance * positions + length - 1]) --length;
        return length;
    }
};

// The hypotheses of a step that continue the same one share all that comes from before it: this is
// computed once for each parent.
struct Parents {
    std::vector<int64_t> first, of;  // a parent's first row; the parent of a row
    Room<float> numbers;             // (parents, width)

    explicit Parents(const Step &step) : of(step.rows) {
        std::vector<int64_t> known(step.places, -1);
        for (int64_t row = 0; row < step.rows; ++row) {
            int64_t &parent = known[step.place[row]];
            if (parent < 0 || utterance(step, parent) != row / step.queries()) {
                parent = count();
                first.push_back(row);
            }
            of[row] = parent;
        }
        numbers = room<float>(count() * step.width());
        for (int64_t parent = 0; parent < count(); ++parent)
            std::copy_n(step.before + place(step, parent) * step.width(), step.width(),
                        numbers.get() + parent * step.width());
    }

    int64_t count() const { return first.size(); }
    int64_t place(const Step &step, int64_t parent) const { return step.place[first[parent]]; }
    int64_t utterance(const Step &step, int64_t parent) const {
        return first[parent] / step.queries();
    }
};

}  // namespace
