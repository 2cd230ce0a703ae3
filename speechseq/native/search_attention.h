// Additive energies of a search's step: what its filters find, and the tanh layer.
#pragma once

#include <vector>

#include "packed.h"

namespace {

// In the order of the caller's numbers. `queries` of each memory stand side by side.
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

// One history more in what packed filters find (positions, filters): products of windows, each a
// number behind the last.
void locate(const Sizes &s, const float *filters, const float *history, float *padded,
            float *located, bool accumulate) {
    std::fill(padded, padded + s.padded(), 0.0f);
    std::copy_n(history, s.positions, padded + s.kernel / 2);
    product(padded, s.positions, 1, filters, s.kernel, s.filters, located, s.filters, accumulate,
            Share{0, panels(s.filters)});
}

// layer (positions, dim) = query + keys + location located; no query is zeros.
void lay(const Sizes &s, const float *location, const float *query, const float *keys,
         const float *located, float *layer) {
    if (!query) std::copy_n(keys, s.positions * s.dim, layer);
    for (int64_t p = 0; query && p < s.positions; ++p)
        for (int64_t d = 0; d < s.dim; d += LANES) {
            const int64_t at = p * s.dim + d, count = s.dim - d;
            store(layer + at, load(query + d, count) + load(keys + at, count), count);
        }
    if (s.histories)
        product(located, s.positions, s.filters, location, s.filters, s.dim, layer, s.dim, true,
                Share{0, panels(s.dim)});
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

}  // namespace
