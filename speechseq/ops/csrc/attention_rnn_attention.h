// Attention of one row: additive energies, softmax, context; and their backward passes.
//
// Only a row's own positions are touched. What the filters find at a position is a product whose
// rows overlap: row p of the history's windows starts at its p-th number.
#pragma once

#include <cmath>

#include "attention_rnn_cells.h"

namespace {

// Sizes and addresses in the order of ops/attention_rnn/cpp.py. `dim` and `filters` are multiples
// of 16.
template <typename Number>
struct Attention {
    int64_t layers, batch, steps, positions, query_dim, dim, memory_dim;
    int64_t histories, filters, kernel;  // 0 histories: content alone
    int64_t through_previous;
    const int64_t *lengths;                    // (batch): positions
    const int64_t *order, *starts;             // (batch): each row's item; (steps + 1)
    const float *first;                        // (batch, positions): the weights before all steps
    const float *keys, *memory, *direction;    // (batch, positions, dim or memory_dim); (dim)
    const Number *query;                       // (dim, query_dim)
    const float *filter_weight, *location;     // (filters, histories, kernel), (dim, filters)
    float *queries;                            // (places, dim)
    Number *context;                           // (batch + places, memory_dim), zeros first
    float *alignment;                          // (batch, steps, positions)
    const float *cumulative;                   // backward: the alignment summed over the steps
    const Number *grad_hidden, *grad_context;  // (places, ...): the outputs' gradients, or null
    const float *grad_alignment;               // likewise
    Number *grad_queries;                      // (places, dim)
    float *grad_read;                          // (batch, steps, memory_dim), of the contexts
    float *grad_keys;                          // (batch, positions, dim)
    // of each row: (dim), (histories * kernel, filters), (dim, filters)
    float *grad_energy, *grad_filters, *grad_location;

    // The rows of a step stand together, the first at `place`; states stand `batch` further, behind
    // those before the first step. A row whose item has no more steps is left out.
    int64_t rows(int64_t step) const { return starts[step + 1] - starts[step]; }
    int64_t place(int64_t step) const { return starts[step]; }
    int64_t after(int64_t step) const { return batch + starts[step]; }
    int64_t before(int64_t step) const { return step ? after(step - 1) : 0; }

    int64_t reach() const { return kernel / 2; }
    int64_t windowed() const { return positions + kernel + LANES; }  // numbers of a padded history
};

typedef std::vector<float> Numbers;

// Weights of the mechanism in the order in which they are read; the turned ones for gradients.
struct PackedAttention {
    Numbers filters, location, turned_filters, turned_location;

    template <typename Number>
    explicit PackedAttention(const Attention<Number> &a) {
        const int64_t taps = a.histories * a.kernel;
        if (!taps) return;
        const auto whole = [](int64_t outputs) { return Share{0, panels(outputs)}; };
        const int64_t one = packed_size<float>(a.filters, a.kernel);
        filters.resize(a.histories * one);
        for (int64_t i = 0; i < a.histories; ++i)
            pack(a.filter_weight + i * a.kernel, taps, 1, a.filters, a.kernel, &filters[i * one],
                 whole(a.filters));
        location.resize(packed_size<float>(a.dim, a.filters));
        pack(a.location, a.filters, 1, a.dim, a.filters, location.data(), whole(a.dim));
        turned_filters.resize(packed_size<float>(taps, a.filters));
        pack(a.filter_weight, 1, taps, taps, a.filters, turned_filters.data(), whole(taps));
        turned_location.resize(packed_size<float>(a.filters, a.dim));
        pack(a.location, 1, a.filters, a.filters, a.dim, turned_location.data(), whole(a.filters));
    }
};

// What one thread needs for the row that it works on.
struct Workspace {
    Numbers history, located, layer, weights, grad_located, taps;

    template <typename Number>
    explicit Workspace(const Attention<Number> &a)
        : history(a.histories * a.windowed()), located(a.positions * a.filters),
          layer(a.positions * a.dim), weights(a.positions + LANES),
          grad_located(a.positions * a.filters), taps(a.positions * a.histories * a.kernel) {}
};

// The histories that a step reads, zeros around them: the weights before, and the sum of all.
template <typename Number>
void lay_history(const Attention<Number> &a, const float *previous, const float *sum,
                 int64_t length, Workspace &work) {
    for (int64_t i = 0; i < a.histories; ++i) {
        const float *from = i ? sum : previous;
        float *to = work.history.data() + i * a.windowed();
        std::fill(to, to + a.windowed(), 0.0f);
        if (from) std::copy(from, from + length, to + a.reach());
    }
}

// tanh(query + keys + location located) (length, dim) on the work, from the history on it.
template <typename Number>
void tanh_layer(const Attention<Number> &a, const PackedAttention &packed, const float *query,
                const float *keys, int64_t length, Workspace &work) {
    float *layer = work.layer.data();
    for (int64_t p = 0; p < length; ++p)
        for (int64_t d = 0; d < a.dim; d += LANES)
            store(layer + p * a.dim + d, load(query + d) + load(keys + p * a.dim + d));
    const int64_t one = packed_size<float>(a.filters, a.kernel);
    for (int64_t i = 0; i < a.histories; ++i)
        product(work.history.data() + i * a.windowed(), length, 1, packed.filters.data() + i * one,
                a.kernel, a.filters, work.located.data(), a.filters, i > 0,
                Share{0, panels(a.filters)});
    if (a.histories)
        product(work.located.data(), length, a.filters, packed.location.data(), a.filters, a.dim,
                layer, a.dim, true, Share{0, panels(a.dim)});
    for (int64_t i = 0; i < length * a.dim; i += LANES)
        store(layer + i, hyperbolic_tangent(load(layer + i)));
}

inline float dot(const float *a, const float *b, int64_t count) {
    Floats sums[2] = {};
    int64_t i = 0;
    for (; i + 2 * LANES <= count; i += 2 * LANES)
        for (int64_t j = 0; j < 2; ++j)
            sums[j] += load(a + i + j * LANES) * load(b + i + j * LANES);
    for (; i < count; i += LANES) sums[0] += load(a + i, count - i) * load(b + i, count - i);
    return total(sums[0] + sums[1]);
}

// The softmax of the first `length` numbers, times `factor` before, in their place.
inline void softmax(float *weights, int64_t length, float factor) {
    float highest = -INFINITY, sum = 0.0f;
    for (int64_t p = 0; p < length; ++p) {
        weights[p] *= factor;
        highest = weights[p] > highest ? weights[p] : highest;
    }
    for (int64_t p = 0; p < length; p += LANES) {
        const int64_t count = std::min(length - p, LANES);
        const Floats raised = exponential(load(weights + p, count) - highest);
        store(weights + p, raised, count);
    }
    for (int64_t p = 0; p < length; ++p) sum += weights[p];
    for (int64_t p = 0; p < length; ++p) weights[p] /= sum;
}

// target (columns) = the sum of `count` rows of `columns` numbers, times a weight each.
template <typename Number>
void weighted_sum(const float *weights, const float *rows, int64_t count, int64_t columns,
                  Number *target) {
    constexpr int64_t at_once = 4;
    for (int64_t c = 0; c < columns; c += at_once * LANES) {
        Floats sums[at_once] = {};
        const int64_t rest = columns - c;
        for (int64_t p = 0; p < count; ++p)
            for (int64_t j = 0; j < at_once && j * LANES < rest; ++j)
                sums[j] += weights[p] * load(rows + p * columns + c + j * LANES, rest - j * LANES);
        for (int64_t j = 0; j < at_once && j * LANES < rest; ++j)
            store(target + c + j * LANES, sums[j], rest - j * LANES);
    }
}

// target (a_count, b_count) += the sum over `count` of outer products of rows a_stride, b_stride
// apart; b_count is a multiple of 16.
inline void add_outer(const float *a, int64_t a_stride, int64_t a_count, const float *b,
                      int64_t b_stride, int64_t b_count, int64_t count, float *target) {
    constexpr int64_t tall = 8;
    for (int64_t i = 0; i < a_count; i += tall)
        for (int64_t j = 0; j < b_count; j += LANES) {
            Floats sums[tall] = {};
            const int64_t rows = std::min(a_count - i, tall);
            if (rows == tall) {
                for (int64_t p = 0; p < count; ++p)
#pragma GCC unroll 8
                    for (int64_t r = 0; r < tall; ++r)
                        sums[r] += a[p * a_stride + i + r] * load(b + p * b_stride + j);
            } else {
                for (int64_t p = 0; p < count; ++p)
                    for (int64_t r = 0; r < rows; ++r)
                        sums[r] += a[p * a_stride + i + r] * load(b + p * b_stride + j);
            }
            for (int64_t r = 0; r < rows; ++r) {
                float *own = target + (i + r) * b_count + j;
                store(own, load(own) + sums[r]);
            }
        }
}

// One row at one step: its weights into the alignment, and the context. `sum` is of all weights.
template <typename Number>
void attend_row(const Attention<Number> &a, const PackedAttention &packed, float factor,
                int64_t row, int64_t step, float *sum, Workspace &work) {
    const int64_t item = a.order[row], length = a.lengths[item], place = a.place(step) + row;
    float *weights = a.alignment + (item * a.steps + step) * a.positions;
    const float *previous = step ? weights - a.positions : a.first + item * a.positions;
    lay_history(a, previous, sum, length, work);
    tanh_layer(a, packed, a.queries + place * a.dim, a.keys + item * a.positions * a.dim, length,
               work);
    for (int64_t p = 0; p < length; ++p)
        weights[p] = dot(&work.layer[p * a.dim], a.direction, a.dim);
    softmax(weights, length, factor);
    for (int64_t p = 0; p < length; ++p) sum[p] += weights[p];
    weighted_sum(weights, a.memory + item * a.positions * a.memory_dim, length, a.memory_dim,
                 a.context + (a.after(step) + row) * a.memory_dim);
}

// The gradient of the history that lies on the work, and of the filters: from that of `located`.
template <typename Number>
void history_backward(const Attention<Number> &a, const PackedAttention &packed, int64_t row,
                    int64_t length, float *previous, float *sum, Workspace &work) {
    const int64_t taps = a.histories * a.kernel;
    float *grad_filters = a.grad_filters + row * taps * a.filters;
    for (int64_t i = 0; i < a.histories; ++i)
        add_outer(work.history.data() + i * a.windowed(), 1, a.kernel, work.grad_located.data(),
                  a.filters, a.filters, length, grad_filters + i * a.kernel * a.filters);
    if (!a.through_previous) return;
    product(work.grad_located.data(), length, a.filters, packed.turned_filters.data(), a.filters,
            taps, work.taps.data(), taps, false, Share{0, panels(taps)});
    std::fill(work.history.begin(), work.history.end(), 0.0f);
    for (int64_t i = 0; i < a.histories; ++i)
        for (int64_t p = 0; p < length; ++p)
            for (int64_t k = 0; k < a.kernel; ++k)
                work.history[i * a.windowed() + p + k] += work.taps[p * taps + i * a.kernel + k];
    const float *found = work.history.data() + a.reach();
    std::copy(found, found + length, previous);
    if (a.histories > 1)
        for (int64_t p = 0; p < length; ++p) sum[p] += found[a.windowed() + p];
}

// The row's step backward, from the gradient of its context in `grad_read`. `previous` holds the
// gradient of its weights by the next step's history, `sum` by the sums of all steps behind.
template <typename Number>
void attend_row_backward(const Attention<Number> &a, const PackedAttention &packed, float factor,
                int64_t row, int64_t step, float *previous, float *sum, Workspace &work) {
    const int64_t item = a.order[row], length = a.lengths[item], place = a.place(step) + row;
    const int64_t line = (item * a.steps + step) * a.positions;
    const float *weights = a.alignment + line;
    const float *grad_read = a.grad_read + (item * a.steps + step) * a.memory_dim;
    const float *memory = a.memory + item * a.positions * a.memory_dim;
    const float *before = step ? weights - a.positions : a.first + item * a.positions;
    float *grad_energies = work.weights.data(), *layer = work.layer.data(), mean = 0.0f;
    lay_history(a, before, step ? a.cumulative + line - a.positions : nullptr, length, work);
    tanh_layer(a, packed, a.queries + place * a.dim, a.keys + item * a.positions * a.dim, length,
               work);
    for (int64_t p = 0; p < length; ++p) {
        grad_energies[p] =
            dot(grad_read, memory + p * a.memory_dim, a.memory_dim) + previous[p] + sum[p];
        if (a.grad_alignment) grad_energies[p] += a.grad_alignment[line + p];
        mean += grad_energies[p] * weights[p];
    }
    for (int64_t p = 0; p < length; ++p)
        grad_energies[p] = factor * weights[p] * (grad_energies[p] - mean);
    float *grad_energy = a.grad_energy + row * a.dim;
    for (int64_t d = 0; d < a.dim; d += LANES) {
        Floats query = {}, along = load(grad_energy + d);
        const Floats direction = load(a.direction + d);
        for (int64_t p = 0; p < length; ++p) {
            const Floats value = load(layer + p * a.dim + d);
            along += grad_energies[p] * value;
            const Floats below = grad_energies[p] * direction * (1.0f - value * value);
            query += below;
            store(layer + p * a.dim + d, below);
            float *keys = a.grad_keys + (item * a.positions + p) * a.dim + d;
            store(keys, load(keys) + below);
        }
        store(grad_energy + d, along);
        store(a.grad_queries + place * a.dim + d, query);
    }
    if (!a.histories) return;
    product(layer, length, a.dim, packed.turned_location.data(), a.dim, a.filters,
            work.grad_located.data(), a.filters, false, Share{0, panels(a.filters)});
    add_outer(layer, a.dim, a.dim, work.located.data(), a.filters, a.filters, length,
              a.grad_location + row * a.dim * a.filters);
    history_backward(a, packed, row, length, previous, sum, work);
}

}  // namespace
