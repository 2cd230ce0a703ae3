// One step of a speller: LSTM layers, additive attention asked by the top one, symbols.
//
// Each function does a part of a phase; what threads share of a phase is for the caller to say. A
// row is computed in one order, whichever thread and whichever rows beside it.
#pragma once

#include <cmath>

#include "speller_plan.h"

namespace {

// LANES units of a row: from the gates' sums in two parts, the second of which may be missing.
inline void step_cell(const Step &step, const Parents &parents, int64_t layer, int64_t unit,
                      int64_t row, const float *shared, const float *own) {
    const Speller &s = step.s;
    const int64_t count = std::min(s.hidden - unit, LANES);
    const float *base = layer ? s.bias(layer) : step.gates + step.which[row] * 4 * s.hidden;
    Floats sums[4];
    for (int64_t gate = 0; gate < 4; ++gate) {
        sums[gate] = load(base + gate * s.hidden + unit, count) + load(shared + gate * LANES);
        if (layer) sums[gate] += load(own + gate * LANES);
    }
    const float *before = parents.numbers.get() + parents.of[row] * step.width();
    const Floats old = load(before + s.cell_at(layer) + unit, count);
    const Floats cell = sigmoid(sums[1]) * old + sigmoid(sums[0]) * hyperbolic_tangent(sums[2]);
    store(step.made(row, s.cell_at(layer) + unit), cell, count);
    store(step.made(row, s.hidden_at(layer) + unit), sigmoid(sums[3]) * hyperbolic_tangent(cell),
          count);
}

// A block of LANES units of a layer, all rows. Its weights are packed as `pack_units` does; `sums`
// has room for (parents + rows, 4 * LANES).
void step_units(const Step &step, const Parents &parents, int64_t layer, int64_t block,
                float *sums) {
    const Speller &s = step.s;
    const int64_t width = step.width(), inputs = layer ? s.hidden : s.memory;
    const int64_t size = panel_size<float>(inputs), sizes = size + panel_size<float>(s.hidden);
    const float *packed = s.cell(layer) + block * 2 * sizes, *before = parents.numbers.get();
    float *own = sums + parents.count() * 2 * PANEL;
    for (int64_t pair = 0; pair < 2; ++pair, packed += sizes) {
        const auto add = [&](const float *x, int64_t rows, const float *panel, int64_t inputs,
                             float *target, bool accumulate) {
            panel_product(x, rows, width, panel, inputs, target + pair * PANEL, 2 * PANEL, PANEL,
                          accumulate);
        };
        if (layer)
            add(step.made(0, s.hidden_at(layer - 1)), step.rows, packed, inputs, own, false);
        else
            add(before + s.context_at(), parents.count(), packed, inputs, sums, false);
        add(before + s.hidden_at(layer), parents.count(), packed + size, s.hidden, sums, !layer);
    }
    for (int64_t row = 0; row < step.rows; ++row)
        step_cell(step, parents, layer, block * LANES, row, sums + parents.of[row] * 2 * PANEL,
                  own + row * 2 * PANEL);
}

// y (rows, outputs) = bias + x (rows, inputs) W', those panels; rows of x are a width apart.
void project(const Step &step, const float *x, int64_t stride, const float *packed,
             const float *bias, int64_t inputs, int64_t outputs, float *y, Share part) {
    const int64_t first = part.first * PANEL, last = std::min(part.last * PANEL, outputs);
    for (int64_t row = 0; bias && row < step.rows && first < last; ++row)
        std::copy(bias + first, bias + last, y + row * outputs + first);
    product(x, step.rows, stride, packed, inputs, outputs, y, outputs, bias != nullptr, part);
}

// A panel of the tanh layer (rows, deep) between [hidden; context] and the symbols.
void deepen(const Step &step, const float *top, float *deep, int64_t panel) {
    const Speller &s = step.s;
    project(step, top, step.width(), s.deep_weights, s.deep_bias, s.hidden + s.memory, s.deep, deep,
            {panel, panel + 1});
    const int64_t first = panel * PANEL, last = std::min(first + PANEL, s.deep);
    for (int64_t row = 0; row < step.rows; ++row)
        for (int64_t i = first; i < last; i += LANES) {
            float *own = deep + row * s.deep + i;
            store(own, hyperbolic_tangent(load(own, last - i)), last - i);
        }
}

// What one thread needs for the parent and the row that it works on.
struct Papers {
    std::vector<float> padded, located, layer, raised;

    explicit Papers(const Step &step)
        : padded(step.sizes().padded()), located(step.positions * step.s.filters),
          layer(step.positions * step.s.dim), raised(layer.size()) {}
};

// e to the power of 2x, in place or elsewhere.
inline void raise(const float *x, int64_t count, float *target) {
    for (int64_t i = 0; i < count; i += LANES)
        store(target + i, exponential(2.0f * load(x + i, count - i)), count - i);
}

// Whether e^2x is neither zero nor infinite; a NaN may pass, which stays one.
inline bool is_small(const float *x, int64_t count) {
    Floats most = {};
    for (int64_t i = 0; i < count; i += LANES) {
        const Floats size = (Floats)((Words)load(x + i, count - i) & 0x7fffffffu);
        most = size > most ? size : most;
    }
    return largest(most) <= 43.0f;
}

// direction · tanh(query + layer), from e^2query and e^2layer: tanh x = 1 - 2 / (1 + e^2x).
inline float raised_energy(const float *query, const float *layer, const float *direction,
                           int64_t dim) {
    Floats sums = {};
    for (int64_t d = 0; d < dim; d += LANES) {
        const int64_t count = dim - d;
        const Floats both = 1.0f + load(query + d, count) * load(layer + d, count);
        sums += load(direction + d, count) * (1.0f - 2.0f / both);
    }
    return total(sums);
}

// The same from query and layer as they are.
inline float plain_energy(const float *query, const float *layer, const float *direction,
                          int64_t dim) {
    Floats sums = {};
    for (int64_t d = 0; d < dim; d += LANES) {
        const int64_t count = dim - d;
        const Floats x = load(query + d, count) + load(layer + d, count);
        sums += load(direction + d, count) * hyperbolic_tangent(x);
    }
    return total(sums);
}

// Energies to weights in their place: a softmax over what is valid, zeros elsewhere.
void weigh(const Step &step, int64_t utterance, int64_t length, float *weights) {
    const uint8_t *mask = step.mask + utterance * step.positions;
    constexpr float most = std::numeric_limits<float>::max();
    for (int64_t p = 0; p < length; ++p) {
        float energy = step.sharpening * weights[p];
        energy = energy > most ? most : energy < -most ? -most : energy;  // NaN stays
        weights[p] = mask[p] ? energy : -INFINITY;
    }
    softmax(weights, length, 1.0f);
    for (int64_t p = 0; p < length; ++p) weights[p] = mask[p] ? weights[p] : 0.0f;
    std::fill(weights + length, weights + step.positions, 0.0f);
}

// Where all rows of a parent look, by queries that are left in no certain state, and the sums of all weights so far.
void look(const Step &step, const Parents &parents, int64_t parent, float *queries,
          Papers &papers) {
    const Speller &s = step.s;
    const int64_t utterance = parents.utterance(step, parent), length = step.length(utterance);
    const float *sum = parents.numbers.get() + parent * step.width() + s.sum_at();
    Sizes sizes = step.sizes();
    sizes.positions = length;
    float *layer = papers.layer.data();
    for (int64_t i = 0; i < s.histories; ++i)
        locate(sizes, s.filter_weights + i * packed_size<float>(s.filters, s.kernel),
               i ? sum : step.weights_before + parents.place(step, parent) * step.positions,
               papers.padded.data(), papers.located.data(), i > 0);
    lay(sizes, s.location, nullptr, step.keys + utterance * step.positions * s.dim,
        papers.located.data(), layer);
    const bool small = is_small(layer, length * s.dim);
    if (small) raise(layer, length * s.dim, papers.raised.data());
    const int64_t end = (utterance + 1) * step.queries();
    for (int64_t row = parents.first[parent]; row < end; ++row) {
        if (parents.of[row] != parent) continue;
        float *query = queries + row * s.dim, *weights = step.weights + row * step.positions;
        const bool both = small && is_small(query, s.dim);
        if (both) raise(query, s.dim, query);
        const auto energy = both ? raised_energy : plain_energy;
        const float *found = both ? papers.raised.data() : layer;
        for (int64_t p = 0; p < length; ++p)
            weights[p] = energy(query, found + p * s.dim, s.direction, s.dim);
        weigh(step, utterance, length, weights);
        if (s.histories < 2) continue;
        for (int64_t p = 0; p < step.positions; ++p)
            *step.made(row, s.sum_at() + p) = sum[p] + weights[p];
    }
}

// The context of up to ROWS rows of an utterance, `columns` of it from one on.
template <int ROWS>
void read_columns(const Step &step, int64_t utterance, int64_t row, int64_t rows, int64_t column) {
    const int64_t length = step.length(utterance), dim = step.s.memory;
    const float *memory = step.memory + utterance * step.positions * dim + column;
    const float *weights[ROWS];
    for (int64_t i = 0; i < ROWS; ++i)
        weights[i] = step.weights + (row + std::min(i, rows - 1)) * step.positions;
    const int64_t left = dim - column, right = left - LANES;
    Floats sums[ROWS][2] = {};
    for (int64_t p = 0; p < length; ++p, memory += dim) {
        const Floats one = load(memory, left);
        const Floats other = right > 0 ? load(memory + LANES, right) : Floats{};
#pragma GCC unroll 8
        for (int64_t i = 0; i < ROWS; ++i) {
            sums[i][0] += weights[i][p] * one;
            sums[i][1] += weights[i][p] * other;
        }
    }
    for (int64_t i = 0; i < std::min<int64_t>(ROWS, rows); ++i) {
        float *target = step.made(row + i, step.s.context_at() + column);
        store(target, sums[i][0], left);
        if (right > 0) store(target + LANES, sums[i][1], right);
    }
}

// A panel of the contexts of all rows of an utterance.
void read(const Step &step, int64_t utterance, int64_t panel) {
    const int64_t end = (utterance + 1) * step.queries();
    for (int64_t row = utterance * step.queries(); row < end; row += BLOCK) {
        const int64_t rows = std::min(end - row, BLOCK);
        const auto run = rows == 1   ? read_columns<1>
                         : rows <= 4 ? read_columns<4>
                                     : read_columns<BLOCK>;
        run(step, utterance, row, rows, panel * PANEL);
    }
}

// Logits of a row to log-probabilities; what is never written has about `never`.
void normalise(const Step &step, int64_t row, float never) {
    float *own = step.log_probs + row * step.s.symbols;
    const int64_t symbols = step.s.symbols;
    float highest = -INFINITY;
    double sum = 0.0;
    for (int64_t i = 0; i < symbols; ++i) {
        if (step.s.never[i]) own[i] = never;
        highest = own[i] > highest ? own[i] : highest;
    }
    for (int64_t i = 0; i < symbols; i += LANES) {
        const int64_t count = std::min(symbols - i, LANES);
        Floats raised = {};
        store(reinterpret_cast<float *>(&raised), exponential(load(own + i, count) - highest),
              count);
        sum += total(raised);
    }
    const float whole = highest + float(std::log(sum));
    for (int64_t i = 0; i < symbols; ++i) own[i] -= whole;
}

}  // namespace
