// The core loop over all steps in one parallel region: cells, attention, and both backward.
//
// Threads own units of the cells and rows of the attention. They wait for each other after each
// layer and after the attention; every number is computed by one thread in one order.
#include <omp.h>

#include <vector>

#include "core_attention.h"

namespace {

template <typename Number>
using Packed = std::vector<std::vector<Number>>;

// The rows of a step that are one thread's: thread, thread + threads, …; long ones stand together.
struct Rows {
    int64_t first, apart, last;

    explicit Rows(int64_t rows)
        : first(omp_get_thread_num()), apart(omp_get_num_threads()), last(rows) {}

    int64_t count() const { return std::max<int64_t>(0, (last - first + apart - 1) / apart); }
};

inline Share own(int64_t count) {
    return share(count, omp_get_thread_num(), omp_get_num_threads());
}

template <typename Number>
void forward(const Attention<Number> &a, const Layer<Number> *layers, float factor,
             int64_t threads) {
    Packed<Number> weights(a.layers);
    std::vector<Numbers> hidden(a.layers), cells(a.layers);
    for (int64_t i = 0; i < a.layers; ++i) {
        weights[i].resize(layers[i].blocks() * block_size(layers[i]));
        hidden[i].resize(a.batch * layers[i].hidden);
        cells[i].resize(a.batch * layers[i].hidden);
    }
    std::vector<Number> query(packed_size<Number>(a.dim, a.query_dim));
    const PackedAttention packed(a);
    Numbers sums(a.batch * a.positions);
    const Number *asks = layers[a.layers - 1].outputs;
#pragma omp parallel num_threads(threads)
    {
        Desk desk(a);
        Numbers products(a.batch * 2 * PANEL);
        for (int64_t i = 0; i < a.layers; ++i)
            pack_units(layers[i], weights[i].data(), own(layers[i].blocks()));
        pack(a.query, a.query_dim, 1, a.dim, a.query_dim, query.data(), own(panels(a.dim)));
#pragma omp barrier
        for (int64_t step = 0; step < a.steps; ++step) {
            const Rows rows(a.rows(step));
            const int64_t place = a.place(step), before = a.before(step), after = a.after(step);
            const Number *below = a.context + before * a.memory_dim;
            for (int64_t i = 0; i < a.layers; ++i) {
                const Layer<Number> &layer = layers[i];
                const Share part = own(layer.blocks());
                for (int64_t block = part.first; block < part.last; ++block) {
                    block_sums(layer, &weights[i][block * block_size(layer)], below,
                               layer.outputs + before * layer.hidden, rows.last, products.data());
                    for (int64_t row = 0; row < rows.last; ++row)
                        step_units(layer, place + row, after + row, block * LANES,
                                   &products[row * 2 * PANEL], &hidden[i][row * layer.hidden],
                                   &cells[i][row * layer.hidden]);
                }
                below = layer.outputs + after * layer.hidden;
#pragma omp barrier
            }
            product(asks + (after + rows.first) * a.query_dim, rows.count(),
                    rows.apart * a.query_dim, query.data(), a.query_dim, a.dim,
                    a.queries + (place + rows.first) * a.dim, rows.apart * a.dim, false,
                    Share{0, panels(a.dim)});
            for (int64_t row = rows.first; row < rows.last; row += rows.apart)
                read_row(a, packed, factor, row, step, &sums[row * a.positions], desk);
#pragma omp barrier
        }
    }
}

// The cell of one layer and step, for one block of units. `above` is the gradient of its outputs
// by the layer above or the attention, `behind` by the next step, rows `apart`.
template <typename Number>
void unstep_block(const Attention<Number> &a, const Layer<Number> &layer, int64_t step,
                  int64_t unit, const Number *given, const float *above, int64_t above_apart,
                  const float *behind, float *straight, float *cells) {
    const int64_t count = std::min(layer.hidden - unit, LANES);
    const int64_t apart = layer.inputs + layer.hidden;
    for (int64_t row = 0; row < a.rows(step); ++row) {
        Floats gradient = load(above + row * above_apart + unit, count) +
                          load(behind + row * apart + layer.inputs + unit, count);
        if (given) gradient += load(given + row * layer.hidden + unit, count);
        unstep_units(layer, a.place(step) + row, a.before(step) + row, unit, gradient,
                     straight + row * layer.hidden, cells + row * layer.hidden);
    }
}

template <typename Number>
void backward(const Attention<Number> &a, const Layer<Number> *layers, float factor,
              int64_t threads) {
    Packed<Number> weights(a.layers);
    std::vector<Numbers> straight(a.layers), cells(a.layers), products(a.layers);
    for (int64_t i = 0; i < a.layers; ++i) {
        const int64_t width = layers[i].inputs + layers[i].hidden;
        weights[i].resize(packed_size<Number>(width, 4 * layers[i].hidden));
        products[i].resize(a.batch * width);
        straight[i].resize(a.batch * layers[i].hidden);
        cells[i].resize(a.batch * layers[i].hidden);
    }
    std::vector<Number> query(packed_size<Number>(a.query_dim, a.dim));
    const PackedAttention packed(a);
    Numbers previous(a.batch * a.positions), sums(a.batch * a.positions);
    Numbers asked(a.batch * a.query_dim);
#pragma omp parallel num_threads(threads)
    {
        Desk desk(a);
        for (int64_t i = 0; i < a.layers; ++i) {
            const int64_t width = layers[i].inputs + layers[i].hidden;
            pack(layers[i].weight, 1, width, width, 4 * layers[i].hidden, weights[i].data(),
                 own(panels(width)));
        }
        pack(a.query, 1, a.query_dim, a.query_dim, a.dim, query.data(), own(panels(a.query_dim)));
#pragma omp barrier
        for (int64_t step = a.steps - 1; step >= 0; --step) {
            const Rows rows(a.rows(step));
            const int64_t place = a.place(step);
            for (int64_t row = rows.first; row < rows.last; row += rows.apart) {
                const float *next = &products[0][row * (a.memory_dim + layers[0].hidden)];
                const Number *given = a.to_context + (place + row) * a.memory_dim;
                float *to_read = a.to_read + (a.order[row] * a.steps + step) * a.memory_dim;
                for (int64_t c = 0; c < a.memory_dim; ++c)
                    to_read[c] = next[c] + (a.to_context ? number(given[c]) : 0.0f);
                unread_row(a, packed, factor, row, step, &previous[row * a.positions],
                           &sums[row * a.positions], desk);
            }
            product(a.to_queries + (place + rows.first) * a.dim, rows.count(),
                    rows.apart * a.dim, query.data(), a.dim, a.query_dim,
                    &asked[0] + rows.first * a.query_dim, rows.apart * a.query_dim, false,
                    Share{0, panels(a.query_dim)});
#pragma omp barrier
            const Number *given =
                a.to_hidden ? a.to_hidden + place * a.query_dim : nullptr;
            const float *above = asked.data();
            int64_t apart = a.query_dim;
            for (int64_t i = a.layers - 1; i >= 0; --i) {
                const Layer<Number> &layer = layers[i];
                const Share part = own(layer.blocks());
                for (int64_t block = part.first; block < part.last; ++block)
                    unstep_block(a, layer, step, block * LANES, given, above, apart,
                                 products[i].data(), straight[i].data(), cells[i].data());
#pragma omp barrier
                const int64_t width = layer.inputs + layer.hidden, gates = 4 * layer.hidden;
                product(layer.slopes + place * gates, rows.last, gates, weights[i].data(),
                        gates, width, products[i].data(), width, false, own(panels(width)));
#pragma omp barrier
                given = nullptr, above = products[i].data(), apart = width;
            }
        }
    }
}

}  // namespace

#define DOORS(name, Number)                                                                     \
    extern "C" void core_forward_##name(const Attention<Number> *attention,                     \
                                        const Layer<Number> *layers, float factor,              \
                                        int64_t threads) {                                      \
        forward(*attention, layers, factor, threads);                                           \
    }                                                                                           \
    extern "C" void core_backward_##name(const Attention<Number> *attention,                    \
                                         const Layer<Number> *layers, float factor,             \
                                         int64_t threads) {                                     \
        backward(*attention, layers, factor, threads);                                          \
    }

DOORS(float, float)
DOORS(bfloat16, Bf16)
