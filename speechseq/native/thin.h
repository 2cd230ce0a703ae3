// Products of a few rows with weights that stand in the order in which they are read.
//
// y = W [x; x'; …] + bias. Packed weights are panels of 16 outputs: for each input its 16 weights
// side by side, zeros for outputs that are none. They are float32, bfloat16, or int8 with a scale
// for each output, and widened as they are read: x and all sums are float32, so a precision is a
// rounding of the weights and nothing else. Every sum runs over the inputs in their order, for each
// row by itself, so that neither the number of threads nor the other rows change a result.
#pragma once

#include <algorithm>

#include "vector.h"

namespace {

constexpr int64_t MOST_ROWS = 8;  // 8 rows x 2 panels, or 4 x 4, are sums that 32 registers hold

typedef int8_t Bytes __attribute__((vector_size(16)));

inline Floats load(const int8_t *source) {
    return __builtin_convertvector(__builtin_convertvector(from_memory<Bytes>(source), Ints),
                                   Floats);
}

enum Kind : int64_t { FLOAT32, BFLOAT16, INT8 };

// As the Python side writes it: six words of 64 bits. Bias and scales are whole panels, or null.
struct Matrix {
    const void *weights;
    const float *scales, *bias;
    int64_t inputs, panels, kind;
};

// A part of the inputs: row r begins at x + r * stride.
struct Piece {
    const float *x;
    int64_t stride, inputs;
};

// Rows of a product, by their numbers; at most MOST_ROWS.
struct Rows {
    const int64_t *numbers;
    int64_t count;
};

struct Share {
    int64_t first, last;
};

// The part of `count` things that is one thread's: from first to last, without the last.
inline Share share(int64_t count, int64_t thread, int64_t threads) {
    return {count * thread / threads, count * (thread + 1) / threads};
}

inline int64_t panels_of(int64_t outputs) { return (outputs + LANES - 1) / LANES; }

// ROWS rows times PANELS panels, which stand `size` weights apart. Missing rows repeat the last.
template <int ROWS, int PANELS, typename Number>
void sum_panels(const Matrix &matrix, const Piece *piece, const Piece *end, Rows rows,
                int64_t first, Floats *sums, int64_t down) {
    const int64_t size = matrix.inputs * LANES;
    const Number *weights = (const Number *)matrix.weights + first * size;
    Floats own[ROWS][PANELS] = {};
    for (; piece != end; ++piece) {
        const float *x[ROWS];
        for (int row = 0; row < ROWS; ++row)
            x[row] = piece->x + piece->stride * rows.numbers[std::min<int64_t>(row, rows.count - 1)];
        for (int64_t k = 0; k < piece->inputs; ++k, weights += LANES) {
            Floats wide[PANELS];
#pragma GCC unroll 4
            for (int panel = 0; panel < PANELS; ++panel) wide[panel] = load(weights + panel * size);
#pragma GCC unroll 8
            for (int row = 0; row < ROWS; ++row)
#pragma GCC unroll 4
                for (int panel = 0; panel < PANELS; ++panel)
                    own[row][panel] += broadcast(x[row][k]) * wide[panel];
        }
    }
    for (int row = 0; row < std::min<int64_t>(ROWS, rows.count); ++row)
        for (int panel = 0; panel < PANELS; ++panel) sums[row * down + panel] = own[row][panel];
}

template <int PANELS, typename Number>
void sum_rows(const Matrix &matrix, const Piece *piece, const Piece *end, Rows rows, int64_t first,
              Floats *sums, int64_t down) {
    const auto run = rows.count == 1   ? sum_panels<1, PANELS, Number>
                     : rows.count == 2 ? sum_panels<2, PANELS, Number>
                     : rows.count <= 4 ? sum_panels<4, PANELS, Number>
                                       : sum_panels<8, PANELS <= 2 ? PANELS : 2, Number>;
    run(matrix, piece, end, rows, first, sums, down);
}

template <typename Number>
void sum_all(const Matrix &matrix, const Piece *piece, const Piece *end, Rows rows, int64_t first,
             int64_t panels, Floats *sums, int64_t down) {
    while (panels > 0) {
        const int64_t taken = panels >= 4 && rows.count <= 4 ? 4 : panels >= 2 ? 2 : 1;
        const auto run = taken == 4   ? sum_rows<4, Number>
                         : taken == 2 ? sum_rows<2, Number>
                                      : sum_rows<1, Number>;
        run(matrix, piece, end, rows, first, sums, down);
        first += taken, panels -= taken, sums += taken;
    }
}

// sums[row * down + panel] of `panels` panels from `first`; row counts from 0 in `rows`.
template <int PIECES>
void product(const Matrix &matrix, const Piece (&pieces)[PIECES], Rows rows, int64_t first,
             int64_t panels, Floats *sums, int64_t down) {
    const auto run = matrix.kind == FLOAT32    ? sum_all<float>
                     : matrix.kind == BFLOAT16 ? sum_all<Bf16>
                                               : sum_all<int8_t>;
    run(matrix, pieces, pieces + PIECES, rows, first, panels, sums, down);
    for (int64_t panel = 0; panel < panels; ++panel) {
        const int64_t at = (first + panel) * LANES;
        for (int64_t row = 0; row < rows.count; ++row) {
            Floats &sum = sums[row * down + panel];
            if (matrix.scales) sum *= load(matrix.scales + at);
            if (matrix.bias) sum += load(matrix.bias + at);
        }
    }
}

}  // namespace
