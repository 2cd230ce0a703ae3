// Dense products of many rows, for processors on which torch's library does not use all it could.
#include <omp.h>

#include "packed.h"

namespace {

// So many inputs and rows at a time: a panel and the rows beside it fit a core's second cache.
constexpr int64_t DEPTH = 1024, TALL = 64;

// Entry (row, column) stands at row * down + column * along.
struct Matrix {
    const float *data;
    int64_t down, along;

    const float *at(int64_t row, int64_t column) const {
        return data + row * down + column * along;
    }
};

// Some rows, column by column, where they do not lie row by row.
Matrix side_by_side(Matrix a, int64_t rows, int64_t columns, float *room) {
    for (int64_t column = 0; column < columns; ++column)
        for (int64_t row = 0; row < rows; row += LANES)
            store(room + column * TALL + row, load(a.at(row, column), rows - row));
    return {room, 1, TALL};
}

// y (rows, outputs) = a (rows, inputs) b' + bias, b (outputs, inputs). A sum is made in one order,
// whatever the threads.
void dense(Matrix a, Matrix b, const float *bias, float *y, int64_t rows, int64_t inputs,
           int64_t outputs, int64_t threads) {
    const auto packed = room<float>(packed_size<float>(outputs, std::min(inputs, DEPTH)));
#pragma omp parallel num_threads(threads)
    {
        const int64_t thread = omp_get_thread_num(), team = omp_get_num_threads();
        const Share panels_ = share(panels(outputs), thread, team);
        const Share blocks = share((rows + TALL - 1) / TALL, thread, team);
        const auto copy = room<float>(TALL * DEPTH);
        for (int64_t first = 0; first < inputs; first += DEPTH) {
            const int64_t depth = std::min(inputs - first, DEPTH);
            pack(b.at(0, first), b.down, b.along, outputs, depth, packed.get(), panels_);
#pragma omp barrier
            for (int64_t row = blocks.first * TALL; row < std::min(blocks.last * TALL, rows);
                 row += TALL) {
                const int64_t tall = std::min(rows - row, TALL);
                float *into = y + row * outputs;
                if (bias && !first)
                    for (int64_t i = 0; i < tall; ++i)
                        std::copy_n(bias, outputs, into + i * outputs);
                Matrix own{a.at(row, first), a.down, a.along};
                if (a.along != 1) own = side_by_side(own, tall, depth, copy.get());
                product(own.data, tall, own.down, packed.get(), depth, outputs, into, outputs,
                        first || bias, Share{0, panels(outputs)}, own.along);
            }
#pragma omp barrier
        }
    }
}

}  // namespace

extern "C" {

// Intel's library uses all of Intel's processors, and AVX2 of the others.
void dense_pays(int64_t *answer, int64_t) {
    bool intel = false;
#if defined(__x86_64__)
    intel = __builtin_cpu_is("intel");
#endif
    *answer = LANES == 16 && !intel;
}

// y (rows, outputs) = x (rows, inputs) weight' + bias, weight (outputs, inputs); x's rows are
// `stride` numbers apart and may overlap, as windows of a convolution do.
void dense_forward(const float *x, const float *weight, const float *bias, float *y, int64_t rows,
                   int64_t stride, int64_t inputs, int64_t outputs, int64_t threads) {
    dense({x, stride, 1}, {weight, inputs, 1}, bias, y, rows, inputs, outputs, threads);
}

// x's gradient (rows, inputs) = gradient (rows, outputs) weight.
void dense_backward(const float *gradient, const float *weight, float *below, int64_t rows,
                    int64_t inputs, int64_t outputs, int64_t threads) {
    dense({gradient, outputs, 1}, {weight, 1, inputs}, nullptr, below, rows, outputs, inputs,
          threads);
}

// The weight's gradient (outputs, inputs) = gradient' x, of some columns of either: `outputs` and
// `inputs` of them in rows of `wide` and `broad`.
void dense_weight(const float *gradient, const float *x, float *weight, int64_t rows, int64_t wide,
                  int64_t broad, int64_t outputs, int64_t inputs, int64_t threads) {
    dense({gradient, 1, wide}, {x, 1, broad}, nullptr, weight, outputs, rows, inputs, threads);
}
}
