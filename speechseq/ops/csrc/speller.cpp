// Kernels of a search: the speller's whole step, products of few rows, additive energies, top k.
//
// A row is computed by one thread in one order: neither the threads nor the other rows change it.
#include <omp.h>

#include <vector>

#include "speller_step.h"
#include "version.h"

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

// `queries` of each memory stand side by side.
struct Sizes {
    int64_t rows, queries, positions, dim, histories, filters, kernel;

    int64_t padded() const { return positions + kernel + LANES; }
};

// What all rows read, packed: the filters, a part for each history, and the location's projection.
struct Weights {
    std::vector<float> filters, location;

    Weights(const Sizes &s, const float *filter_weight, const float *location_weight) {
        if (!s.histories) return;
        const int64_t one = packed_size<float>(s.filters, s.kernel);
        filters.resize(s.histories * one);
        for (int64_t i = 0; i < s.histories; ++i)
            pack(filter_weight + i * s.kernel, s.histories * s.kernel, 1, s.filters, s.kernel,
                 filters.data() + i * one, Share{0, panels(s.filters)});
        location.resize(packed_size<float>(s.dim, s.filters));
        pack(location_weight, s.filters, 1, s.dim, s.filters, location.data(),
             Share{0, panels(s.dim)});
    }
};

// What the filters find (positions, filters): products of windows, each a number behind the last.
void locate(const Sizes &s, const Weights &weights, const float *history, float *padded,
            float *located) {
    const int64_t one = packed_size<float>(s.filters, s.kernel);
    std::fill(padded, padded + s.padded(), 0.0f);
    for (int64_t i = 0; i < s.histories; ++i) {
        std::copy_n(history + i * s.positions, s.positions, padded + s.kernel / 2);
        product(padded, s.positions, 1, weights.filters.data() + i * one, s.kernel, s.filters,
                located, s.filters, i > 0, Share{0, panels(s.filters)});
    }
}

// layer (positions, dim) = query + keys + location located.
void lay(const Sizes &s, const Weights &weights, const float *query, const float *keys,
         const float *located, float *layer) {
    for (int64_t p = 0; p < s.positions; ++p)
        for (int64_t d = 0; d < s.dim; d += LANES) {
            const int64_t at = p * s.dim + d, count = s.dim - d;
            store(layer + at, load(query + d, count) + load(keys + at, count), count);
        }
    if (s.histories)
        product(located, s.positions, s.filters, weights.location.data(), s.filters, s.dim, layer,
                s.dim, true, Share{0, panels(s.dim)});
}

// direction · tanh(layer), with tanh x = 2 σ(2x) - 1.
float energy(const float *layer, const float *direction, int64_t dim) {
    Floats sums = {};
    for (int64_t d = 0; d < dim; d += LANES) {
        const Floats x = load(layer + d, dim - d);
        sums += load(direction + d, dim - d) * (2.0f * sigmoid(2.0f * x) - 1.0f);
    }
    return total(sums);
}

// The places of the `taken` highest of some scores, best first; of equals the first. They count by
// their distance to the highest, in single precision.
void choose(const double *scores, int64_t count, int64_t taken, int64_t *places, float *below) {
    double highest = -INFINITY;
    for (int64_t i = 0; i < count; ++i)  // a NaN is never passed by
        if (!(scores[i] <= highest)) highest = std::isnan(highest) ? highest : scores[i];
    int64_t found = 0;
    for (int64_t i = 0; i < count; ++i) {
        const float own = float(highest - scores[i]);
        if (found == taken && !(own < below[taken - 1])) continue;
        int64_t at = found < taken ? found++ : taken - 1;
        for (; at && own < below[at - 1]; --at) {
            below[at] = below[at - 1];
            places[at] = places[at - 1];
        }
        below[at] = own;
        places[at] = i;
    }
}

}  // namespace

WORDS(Speller, Speller)
WORDS(SpellerCell, SpellerCell)

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

// energies (rows, positions) from query (rows, dim), keys (utterances, positions, dim) and
// history (rows, histories, positions); filters (count, histories, kernel), location (dim, count).
void additive_energies(const float *query, const float *keys, const float *direction,
                       const float *history, const float *filters, const float *location,
                       float *energies, int64_t rows, int64_t utterances, int64_t positions,
                       int64_t dim, int64_t histories, int64_t count, int64_t kernel,
                       int64_t threads) {
    const Sizes s{rows, rows / utterances, positions, dim, histories, count, kernel};
    const Weights weights(s, filters, location);
#pragma omp parallel num_threads(threads)
    {
        std::vector<float> padded(s.padded()), located(s.positions * s.filters),
            layer(s.positions * s.dim);
#pragma omp for schedule(static)
        for (int64_t row = 0; row < s.rows; ++row) {
            const float *own = keys + row / s.queries * s.positions * s.dim;
            locate(s, weights, history + row * s.histories * s.positions, padded.data(),
                   located.data());
            lay(s, weights, query + row * s.dim, own, located.data(), layer.data());
            for (int64_t p = 0; p < s.positions; ++p)
                energies[row * s.positions + p] = energy(&layer[p * s.dim], direction, s.dim);
        }
    }
}

// Floats that a packed cell takes.
void size_cell(int64_t *size, int64_t inputs, int64_t hidden, int64_t) {
    *size = cell_blocks(hidden) * cell_block(inputs, hidden);
}

// weight_ih (4 * hidden, hoisted + inputs), weight_hh (4 * hidden, hidden).
void pack_cell(const float *weight_ih, const float *weight_hh, float *packed, int64_t hoisted,
               int64_t inputs, int64_t hidden, int64_t threads) {
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t block = 0; block < cell_blocks(hidden); ++block)
        pack_block(weight_ih, weight_hh, hoisted, inputs, hidden, block, packed);
}

// Memories (utterances, positions, dim), each as the weights (dim, positions) of a product.
void pack_memory(const float *memory, float *packed, int64_t utterances, int64_t positions,
                 int64_t dim, int64_t threads) {
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t i = 0; i < utterances; ++i)
        pack(memory + i * positions * dim, 1, dim, dim, positions,
             packed + i * packed_size<float>(dim, positions), Share{0, panels(dim)});
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
    const Room<float> deep = room<float>(rows * s.deep);
    Queries queries(step);
    const float *top = step.made(0, s.hidden_at(s.layers - 1));
    const int64_t width = step.width(), asked = s.hidden + s.memory;
#pragma omp parallel num_threads(threads)
    {
        const Room<float> sums = room<float>((parents.count() + rows) * 2 * PANEL);
        Papers papers(step);
        for (int64_t layer = 0; layer < s.layers; ++layer)
#pragma omp for schedule(static)
            for (int64_t block = 0; block < cell_blocks(s.hidden); ++block)
                step_units(step, parents, layer, block, sums.get());
#pragma omp for schedule(static)
        for (int64_t i = 0; i < panels(s.dim); ++i)
            project(step, top, width, s.query, nullptr, s.hidden, s.dim, queries.plain(0),
                    {i, i + 1});
#pragma omp for schedule(dynamic)
        for (int64_t parent = 0; parent < parents.count(); ++parent)
            look(step, parents, parent, queries, papers);
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

// Places (rows, taken) of the best of scores (rows, count).
void best(const double *scores, int64_t *places, int64_t rows, int64_t count, int64_t taken,
          int64_t) {
    std::vector<float> below(taken);
    for (int64_t row = 0; row < rows; ++row)
        choose(scores + row * count, count, taken, places + row * taken, below.data());
}

}  // extern "C"
