// The attention RNN over all steps in one parallel region: cells, attention, and both backward.
//
// The tasks of a layer are blocks of its units, those of the attention its rows: threads wait for
// each other after each layer, after the queries, and after the attention.
#include "attention_rnn_attention.h"
#include "thread_team.h"
#include "version.h"

namespace {

template <typename Number>
using Packed = std::vector<std::vector<Number>>;

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
    Team team(threads);
#pragma omp parallel num_threads(threads)
    {
        Member member{team};
        Workspace work(a);
        Numbers products(a.batch * 2 * PANEL);
        for (int64_t i = 0; i < a.layers; ++i)
            member.share_out(layers[i].blocks(), [&](int64_t block) {
                pack_units(layers[i], weights[i].data(), {block, block + 1});
            });
        member.share_out(panels(a.dim), [&](int64_t panel) {
            pack(a.query, a.query_dim, 1, a.dim, a.query_dim, query.data(), {panel, panel + 1});
        });
        for (int64_t step = 0; step < a.steps; ++step) {
            const int64_t rows = a.rows(step);
            const int64_t place = a.place(step), before = a.before(step), after = a.after(step);
            const Number *below = a.context + before * a.memory_dim;
            for (int64_t i = 0; i < a.layers; ++i) {
                const Layer<Number> &layer = layers[i];
                member.share_out(layer.blocks(), [&](int64_t block) {
                    block_sums(layer, &weights[i][block * block_size(layer)], below,
                               layer.outputs + before * layer.hidden, rows, products.data());
                    for (int64_t row = 0; row < rows; ++row)
                        step_units(layer, place + row, after + row, block * LANES,
                                   &products[row * 2 * PANEL], &hidden[i][row * layer.hidden],
                                   &cells[i][row * layer.hidden]);
                });
                below = layer.outputs + after * layer.hidden;
            }
            member.share_out(panels(a.dim), [&](int64_t panel) {
                product(below, rows, a.query_dim, query.data(), a.query_dim, a.dim,
                        a.queries + place * a.dim, a.dim, false, {panel, panel + 1});
            });
            member.share_out(rows, [&](int64_t row) {
                attend_row(a, packed, factor, row, step, &sums[row * a.positions], work);
            });
        }
    }
}

// The cell of one layer and step, for one block of units. `above` is the gradient of its outputs
// by the layer above or the attention, `behind` by the next step, rows `apart`.
template <typename Number>
void step_block_backward(const Attention<Number> &a, const Layer<Number> &layer, int64_t step,
                  int64_t unit, const Number *given, const float *above, int64_t above_apart,
                  const float *behind, float *straight, float *cells) {
    const int64_t count = std::min(layer.hidden - unit, LANES);
    const int64_t apart = layer.inputs + layer.hidden;
    for (int64_t row = 0; row < a.rows(step); ++row) {
        Floats gradient = load(above + row * above_apart + unit, count) +
                          load(behind + row * apart + layer.inputs + unit, count);
        if (given) gradient += load(given + row * layer.hidden + unit, count);
        step_units_backward(layer, a.place(step) + row, a.before(step) + row, unit, gradient,
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
    Numbers grad_query_states(a.batch * a.query_dim);
    Team team(threads);
#pragma omp parallel num_threads(threads)
    {
        Member member{team};
        Workspace work(a);
        for (int64_t i = 0; i < a.layers; ++i) {
            const int64_t width = layers[i].inputs + layers[i].hidden;
            member.share_out(panels(width), [&](int64_t panel) {
                pack(layers[i].weight, 1, width, width, 4 * layers[i].hidden, weights[i].data(),
                     {panel, panel + 1});
            });
        }
        member.share_out(panels(a.query_dim), [&](int64_t panel) {
            pack(a.query, 1, a.query_dim, a.query_dim, a.dim, query.data(), {panel, panel + 1});
        });
        for (int64_t step = a.steps - 1; step >= 0; --step) {
            const int64_t rows = a.rows(step), place = a.place(step);
            member.share_out(rows, [&](int64_t row) {
                const float *next = &products[0][row * (a.memory_dim + layers[0].hidden)];
                const Number *given = a.grad_context + (place + row) * a.memory_dim;
                float *grad_read = a.grad_read + (a.order[row] * a.steps + step) * a.memory_dim;
                for (int64_t c = 0; c < a.memory_dim; ++c)
                    grad_read[c] = next[c] + (a.grad_context ? number(given[c]) : 0.0f);
                attend_row_backward(a, packed, factor, row, step, &previous[row * a.positions],
                           &sums[row * a.positions], work);
            });
            member.share_out(panels(a.query_dim), [&](int64_t panel) {
                product(a.grad_queries + place * a.dim, rows, a.dim, query.data(), a.dim,
                        a.query_dim, grad_query_states.data(), a.query_dim, false,
                        {panel, panel + 1});
            });
            const Number *given =
                a.grad_hidden ? a.grad_hidden + place * a.query_dim : nullptr;
            const float *above = grad_query_states.data();
            int64_t apart = a.query_dim;
            for (int64_t i = a.layers - 1; i >= 0; --i) {
                const Layer<Number> &layer = layers[i];
                member.share_out(layer.blocks(), [&](int64_t block) {
                    step_block_backward(a, layer, step, block * LANES, given, above, apart,
                                 products[i].data(), straight[i].data(), cells[i].data());
                });
                const int64_t width = layer.inputs + layer.hidden, gates = 4 * layer.hidden;
                member.share_out(panels(width), [&](int64_t panel) {
                    product(layer.grad_gates + place * gates, rows, gates, weights[i].data(), gates,
                            width, products[i].data(), width, false, {panel, panel + 1});
                });
                given = nullptr, above = products[i].data(), apart = width;
            }
        }
    }
}

}  // namespace

WORDS(Attention_float, Attention<float>)
WORDS(Layer_float, Layer<float>)
WORDS(Attention_bfloat16, Attention<Bf16>)
WORDS(Layer_bfloat16, Layer<Bf16>)

#define EXPORT(name, Number)                                                                     \
    extern "C" void attention_rnn_forward_##name(const Attention<Number> *attention,             \
                                                 const Layer<Number> *layers, float factor,      \
                                                 int64_t threads) {                              \
        forward(*attention, layers, factor, threads);                                            \
    }                                                                                            \
    extern "C" void attention_rnn_backward_##name(const Attention<Number> *attention,            \
                                                  const Layer<Number> *layers, float factor,     \
                                                  int64_t threads) {                             \
        backward(*attention, layers, factor, threads);                                           \
    }

EXPORT(float, float)
EXPORT(bfloat16, Bf16)
