// One step of a speller: LSTM layers, additive attention asked by the top one, symbols.
//
// Each function does a part of a phase; what threads share of a phase is for the caller to say. A
// row is computed in one order, whichever thread and whichever rows beside it.
#pragma once

#include <cmath>

#include "speller_plan.h"

namespace {

constexpr int64_t FOUND = 4 * LANES;  // positions at which filters look at once
constexpr int64_t LAID = 32;          // positions whose layer stays near while all rows read it

// LANES units of a row: from the gates' sums in two parts, the second of which may be missing.
inline void step_cell(const Step &step, const Parents &parents, int64_t layer, int64_t unit,
                      int64_t row, const float *shared, const float *own) {
    const Speller &s = step.s;
    const int64_t count = std::min(s.hidden - unit, LANES);
    const float *base = layer ? s.cells[layer].bias : step.gates + step.which[row] * 4 * s.hidden;
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

// A block of LANES units of a layer, all rows; `sums` has room for (parents + rows, 4 * LANES).
void step_units(const Step &step, const Parents &parents, int64_t layer, int64_t block,
                float *sums) {
    const Speller &s = step.s;
    const int64_t width = step.width(), inputs = layer ? s.hidden : s.memory;
    const int64_t size = panel_size<float>(inputs), sizes = size + panel_size<float>(s.hidden);
    const float *packed = s.cells[layer].weights + block * cell_block(inputs, s.hidden);
    const float *before = parents.numbers.get();
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

// What the rows ask with, and e^2 of it where that is neither zero nor infinite: `small`.
struct Queries {
    int64_t dim;
    std::vector<float> numbers;
    std::vector<char> small;

    explicit Queries(const Step &step)
        : dim(step.s.dim), numbers(2 * step.rows * dim), small(step.rows) {}

    float *plain(int64_t row) { return numbers.data() + row * dim; }
    float *raised(int64_t row) { return numbers.data() + (small.size() + row) * dim; }
};

// What one thread needs for the parent and the row that it works on.
struct Papers {
    int64_t columns;  // positions in whole blocks of them
    std::vector<float> padded, located, layer, raised;
    std::vector<int64_t> rows;

    explicit Papers(const Step &step)
        : columns((step.positions + FOUND - 1) / FOUND * FOUND),
          padded(step.s.histories * (columns + step.s.kernel)), located(columns * step.s.filters),
          layer(LAID * step.s.dim), raised(layer.size()) {}
};

// What TALL filters from one on find at FOUND positions, over all histories.
template <int TALL>
void find_block(const Speller &s, const Papers &papers, int64_t filter, int64_t position,
                float *located) {
    Floats sums[TALL][FOUND / LANES] = {};
    const float *window = papers.padded.data() + position;
    for (int64_t i = 0; i < s.histories; ++i, window += papers.columns + s.kernel)
        for (int64_t k = 0; k < s.kernel; ++k)
            for (int64_t r = 0; r < TALL; ++r) {
                const float tap = s.filter_weights[((filter + r) * s.histories + i) * s.kernel + k];
                for (int64_t j = 0; j < FOUND / LANES; ++j)
                    sums[r][j] += tap * load(window + k + j * LANES);
            }
    for (int64_t r = 0; r < TALL; ++r)
        for (int64_t j = 0; j < FOUND / LANES; ++j)
            store(located + (filter + r) * papers.columns + position + j * LANES, sums[r][j]);
}

// What the filters find (filters, columns) in a parent's histories.
void find(const Step &step, const float *previous, const float *sum, int64_t length,
          Papers &papers) {
    const Speller &s = step.s;
    std::fill(papers.padded.begin(), papers.padded.end(), 0.0f);
    for (int64_t i = 0; i < s.histories; ++i)
        std::copy_n(i ? sum : previous, length,
                    papers.padded.data() + i * (papers.columns + s.kernel) + s.kernel / 2);
    constexpr int64_t tall = 5;
    for (int64_t filter = 0; filter < s.filters; filter += tall) {
        const int64_t rest = s.filters - filter;
        const auto run = rest >= 5   ? find_block<5>
                         : rest == 4 ? find_block<4>
                         : rest == 3 ? find_block<3>
                         : rest == 2 ? find_block<2>
                                     : find_block<1>;
        for (int64_t position = 0; position < length; position += FOUND)
            run(s, papers, filter, position, papers.located.data());
    }
}

// e to the power of 2x, and whether all such are neither zero nor infinite; a NaN may pass.
inline bool raise(const float *x, int64_t count, float *raised) {
    Floats most = {};
    for (int64_t i = 0; i < count; i += LANES) {
        const Floats value = load(x + i, count - i);
        const Floats size = (Floats)((Words)value & 0x7fffffffu);
        most = size > most ? size : most;
        store(raised + i, exponential(2.0f * value), count - i);
    }
    return largest(most) <= 43.0f;
}

// Energies direction · tanh(query + layer) of `count` positions, from e^2query and e^2layer where
// both are raised: tanh x = 1 - 2 / (1 + e^2x).
template <bool RAISED>
void energies(const float *query, const float *layer, const float *direction, int64_t dim,
              int64_t count, float *target) {
    for (int64_t p = 0; p < count; ++p, layer += dim) {
        Floats sums = {};
        for (int64_t d = 0; d < dim; d += LANES) {
            const Floats one = load(query + d, dim - d), other = load(layer + d, dim - d);
            const Floats bent = RAISED ? 1.0f - 2.0f / (1.0f + one * other)
                                       : hyperbolic_tangent(one + other);
            sums += load(direction + d, dim - d) * bent;
        }
        target[p] = total(sums);
    }
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

// keys + location located (count, dim) from a position on, and e^2 of it; whether that is fit.
bool lay_positions(const Step &step, const float *keys, int64_t position, int64_t count,
                   Papers &papers) {
    const Speller &s = step.s;
    float *layer = papers.layer.data();
    std::copy_n(keys + position * s.dim, count * s.dim, layer);
    if (s.histories)
        product(papers.located.data() + position, count, 1, s.location, s.filters, s.dim, layer,
                s.dim, true, Share{0, panels(s.dim)}, papers.columns);
    return raise(layer, count * s.dim, papers.raised.data());
}

// Energies of the rows on the papers in the place of their weights, a few positions at a time.
void ask(const Step &step, int64_t utterance, int64_t length, Queries &queries, Papers &papers) {
    const Speller &s = step.s;
    const float *keys = step.keys + utterance * step.positions * s.dim;
    for (int64_t row : papers.rows)
        queries.small[row] = raise(queries.plain(row), s.dim, queries.raised(row));
    for (int64_t position = 0; position < length; position += LAID) {
        const int64_t count = std::min(length - position, LAID);
        const bool small = lay_positions(step, keys, position, count, papers);
        for (int64_t row : papers.rows) {
            float *target = step.weights + row * step.positions + position;
            if (small && queries.small[row])
                energies<true>(queries.raised(row), papers.raised.data(), s.direction, s.dim, count,
                               target);
            else
                energies<false>(queries.plain(row), papers.layer.data(), s.direction, s.dim, count,
                                target);
        }
    }
}

// Where all rows of a parent look, and the sums of all weights so far.
void look(const Step &step, const Parents &parents, int64_t parent, Queries &queries,
          Papers &papers) {
    const int64_t utterance = parents.utterance(step, parent), length = step.length(utterance);
    const float *sum = parents.numbers.get() + parent * step.width() + step.s.sum_at();
    papers.rows.clear();
    for (int64_t row = parents.first[parent]; row < (utterance + 1) * step.queries(); ++row)
        if (parents.of[row] == parent) papers.rows.push_back(row);
    if (step.s.histories)
        find(step, step.weights_before + parents.place(step, parent) * step.positions, sum, length,
             papers);
    ask(step, utterance, length, queries, papers);
    for (int64_t row : papers.rows) {
        float *weights = step.weights + row * step.positions;
        weigh(step, utterance, length, weights);
        for (int64_t p = 0; step.s.histories > 1 && p < step.positions; ++p)
            *step.made(row, step.s.sum_at() + p) = sum[p] + weights[p];
    }
}

// A panel of the contexts of all rows of an utterance.
void read(const Step &step, int64_t utterance, int64_t panel) {
    const int64_t outputs = step.s.memory, row = utterance * step.queries();
    const int64_t size = panel_size<float>(step.positions);
    const float *packed = step.memory + (utterance * panels(outputs) + panel) * size;
    panel_product(step.weights + row * step.positions, step.queries(), step.positions, packed,
                  step.length(utterance), step.made(row, step.s.context_at() + panel * PANEL),
                  step.width(), std::min(outputs - panel * PANEL, PANEL), false);
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
