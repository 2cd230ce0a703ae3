// What a step of a search takes longest for: products of few rows, and additive energies.
//
// A row is computed by one thread in one order: neither the threads nor the other rows change it.
#include <omp.h>

#include <vector>

#include "speller_step.h"

namespace {

// y = onto + x W', those panels; rows of `onto` are `apart` numbers apart, 0 for one for all.
void add_product(const float *x, const float *packed, const float *onto, int64_t apart, float *y,
                 int64_t rows, int64_t inputs, int64_t outputs, Share part) {
    const int64_t first = part.first * PANEL, last = std::min(part.last * PANEL, outputs);
    if (onto && first < last)
        for (int64_t row = 0; row < rows; ++row)
            std::copy(onto + row * apart + first, onto + row * apart + last,
                      y + row * outputs + first);
    product(x, rows, inputs, packed, inputs, outputs, y, outputs, onto != nullptr, part);
}

}  // namespace

extern "C" {

// Floats that packed weights take.
void size_packed(int64_t *size, int64_t outputs, int64_t inputs, int64_t) {
    *size = packed_size<float>(outputs, inputs);
}

void pack_weight(const float *weight, float *packed, int64_t outputs, int64_t inputs,
                 int64_t threads) {
#pragma omp parallel num_threads(threads)
    pack(weight, inputs, 1, outputs, inputs, packed,
         share(panels(outputs), omp_get_thread_num(), omp_get_num_threads()));
}

// y (rows, outputs) = x (rows, inputs) W' + onto, which may be null.
void linear(const float *x, const float *packed, const float *onto, int64_t apart, float *y,
            int64_t rows, int64_t inputs, int64_t outputs, int64_t threads) {
#pragma omp parallel num_threads(threads)
    add_product(x, packed, onto, apart, y, rows, inputs, outputs,
                share(panels(outputs), omp_get_thread_num(), omp_get_num_threads()));
}

// energies (rows, positions) from query (rows, dim), keys (rows / queries, positions, dim) and
// history (rows, histories, positions); filters (filters, histories, kernel), location
// (dim, filters).
void additive_energies(const int64_t *sizes, const float *query, const float *keys,
                       const float *direction, const float *history, const float *filters,
                       const float *location, float *energies, int64_t threads) {
    const Sizes s = *(const Sizes *)sizes;
    const Weights weights(s, filters, location);
#pragma omp parallel num_threads(threads)
    {
        std::vector<float> padded(s.padded()), located(s.positions * s.filters),
            layer(s.positions * s.dim);
#pragma omp for schedule(static)
        for (int64_t row = 0; row < s.rows; ++row) {
            const float *own = keys + row / s.queries * s.positions * s.dim;
            for (int64_t i = 0; i < s.histories; ++i)
                locate(s, &weights.filters[i * packed_size<float>(s.filters, s.kernel)],
                       history + (row * s.histories + i) * s.positions, padded.data(),
                       located.data(), i > 0);
            lay(s, weights.location.data(), query + row * s.dim, own, located.data(),
                layer.data());
            for (int64_t p = 0; p < s.positions; ++p)
                energies[row * s.positions + p] = energy(&layer[p * s.dim], direction, s.dim);
        }
    }
}

// Floats that a packed cell takes, of weights (4 * hidden, inputs + hidden).
void size_cell(int64_t *size, int64_t inputs, int64_t hidden, int64_t) {
    Layer<float> layer{};
    layer.inputs = inputs, layer.hidden = hidden;
    *size = layer.blocks() * block_size(layer);
}

void pack_cell(const float *weight, float *packed, int64_t inputs, int64_t hidden,
               int64_t threads) {
    Layer<float> layer{};
    layer.inputs = inputs, layer.hidden = hidden, layer.weight = weight;
#pragma omp parallel num_threads(threads)
    pack_units(layer, packed, share(layer.blocks(), omp_get_thread_num(), omp_get_num_threads()));
}

// One step of a speller; see speller_plan.h.
void spell(const int64_t *speller, const float *gates, const int64_t *which, const float *memory,
           const float *keys, const uint8_t *mask, const int64_t *place, const float *before,
           const float *weights_before, float *after, float *weights, float *log_probs,
           int64_t rows, int64_t utterances, int64_t places, int64_t positions, float sharpening,
           float never, int64_t threads) {
    const Speller &s = *reinterpret_cast<const Speller *>(speller);
    const Step step{s,      gates,   which,     memory, keys,       mask,   place,     before,
                    weights_before,  after,     weights, log_probs, rows,   utterances, places,
                    positions,       sharpening};
    const Parents parents(step);
    const Room<float> queries = room<float>(rows * s.dim), deep = room<float>(rows * s.deep);
    const float *top = step.made(0, s.hidden_at(s.layers - 1));
    const int64_t width = step.width(), asked = s.hidden + s.memory;
#pragma omp parallel num_threads(threads)
    {
        const Room<float> sums = room<float>((parents.count() + rows) * 2 * PANEL);
        Papers papers(step);
        for (int64_t layer = 0; layer < s.layers; ++layer)
#pragma omp for schedule(static)
            for (int64_t block = 0; block < (s.hidden + LANES - 1) / LANES; ++block)
                step_units(step, parents, layer, block, sums.get());
#pragma omp for schedule(static)
        for (int64_t i = 0; i < panels(s.dim); ++i)
            project(step, top, width, s.query, nullptr, s.hidden, s.dim, queries.get(), {i, i + 1});
#pragma omp for schedule(dynamic)
        for (int64_t parent = 0; parent < parents.count(); ++parent)
            look(step, parents, parent, queries.get(), papers);
#pragma omp for schedule(static) collapse(2)
        for (int64_t utterance = 0; utterance < utterances; ++utterance)
            for (int64_t panel = 0; panel < panels(s.memory); ++panel)
                read(step, utterance, panel);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < panels(s.deep); ++i)
            deepen(step, top, deep.get(), i);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < panels(s.symbols); ++i)
            project(step, s.deep ? deep.get() : top, s.deep ? s.deep : width, s.symbol_weights,
                    s.symbol_bias, s.deep ? s.deep : asked, s.symbols, log_probs, {i, i + 1});
#pragma omp for schedule(static)
        for (int64_t row = 0; row < rows; ++row) normalise(step, row, never);
    }
}

}  // extern "C"
