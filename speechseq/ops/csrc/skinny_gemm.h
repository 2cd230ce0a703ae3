// Matrix products of one to eight rows in three precisions, as fast as the weights can be read.
//
// y = W [x; x'; …] + bias. Packed weights are panels of 1, 3 or 4 vectors of outputs: for each
// input its weights side by side, zeros for outputs that are none. They are float32, bfloat16, or
// int8 with a scale for each output, and widened as they are read: x and all sums are float32, so a
// precision is a rounding of the weights and nothing else. Every sum runs over the inputs in their
// order, for each row by itself: neither the number of threads nor the other rows change a result.
#pragma once

#include <algorithm>

#include "simd.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace {

constexpr int64_t MOST_ROWS = 8, MOST_WIDE = 4;  // half of 8 x 4 sums fit 32 registers at once

typedef int8_t Bytes __attribute__((vector_size(LANES)));

// A vector of weights as floats. Compilers do not always see one instruction behind the plain lines.
inline Floats widened(const float *source) { return load(source); }

inline Floats widened(const Bf16 *source) {
#if defined(__AVX512F__)
    const __m256i halves = _mm256_loadu_si256((const __m256i *)source);
    return (Floats)((Words)_mm512_maskz_cvtepu16_epi32(0xffff, halves) << 16);
#else
    return load(source);
#endif
}

inline Floats widened(const int8_t *source) {
#if defined(__AVX512F__)
    const __m128i bytes = _mm_loadu_si128((const __m128i *)source);
    return __builtin_convertvector((Ints)_mm512_maskz_cvtepi8_epi32(0xffff, bytes), Floats);
#else
    return __builtin_convertvector(from_memory<Bytes>(source), Floats);
#endif
}

enum Kind : int64_t { FLOAT32, BFLOAT16, INT8 };

// As the Python side writes it: seven words of 64 bits. `wide` vectors of outputs make a panel;
// bias and scales are whole panels, or null.
struct Matrix {
    const void *weights;
    const float *scales, *bias;
    int64_t inputs, panels, wide, kind;
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

inline int64_t vectors_of(int64_t numbers) { return (numbers + LANES - 1) / LANES; }

// The weights that follow are asked for long before they are needed: a core fetches too few lines
// by itself to fill its time.
template <typename Number>
inline void fetch_ahead(const Number *weights, int64_t count) {
    const char *far = (const char *)weights + 16384;
    for (int64_t line = 0; line < count * int64_t(sizeof(Number)); line += 64)
        __builtin_prefetch(far + line);
}

// ROWS rows times the vectors from `first` of a panel. Missing rows repeat the last.
template <int WIDE, int ROWS, int TAKEN, typename Number>
void sum_vectors(const Number *panel, const Piece *piece, const Piece *end, Rows rows,
                 int64_t first, Floats *sums) {
    constexpr int64_t down = WIDE * LANES;
    Floats own[ROWS][TAKEN] = {};
    for (; piece != end; ++piece) {
        const float *x[ROWS];
        for (int64_t row = 0; row < ROWS; ++row)
            x[row] = piece->x + piece->stride * rows.numbers[std::min(row, rows.count - 1)];
        for (int64_t k = 0; k < piece->inputs; ++k, panel += down) {
            if (first == 0) fetch_ahead(panel, down);
            Floats weights[TAKEN];
#pragma GCC unroll 4
            for (int i = 0; i < TAKEN; ++i) weights[i] = widened(panel + (first + i) * LANES);
#pragma GCC unroll 8
            for (int row = 0; row < ROWS; ++row)
#pragma GCC unroll 4
                for (int i = 0; i < TAKEN; ++i) own[row][i] += x[row][k] * weights[i];
        }
    }
    for (int row = 0; row < std::min<int64_t>(ROWS, rows.count); ++row)
        for (int i = 0; i < TAKEN; ++i) sums[row * MOST_WIDE + first + i] = own[row][i];
}

template <int WIDE, typename Number>
void sum_panel(const Matrix &matrix, const Piece *piece, const Piece *end, Rows rows, int64_t panel,
               Floats *sums) {
    const Number *const weights =
        (const Number *)matrix.weights + panel * matrix.inputs * WIDE * LANES;
    if (rows.count <= 4) {
        const auto run = rows.count == 1   ? sum_vectors<WIDE, 1, WIDE, Number>
                         : rows.count == 2 ? sum_vectors<WIDE, 2, WIDE, Number>
                                           : sum_vectors<WIDE, 4, WIDE, Number>;
        return run(weights, piece, end, rows, 0, sums);
    }
    constexpr int half = WIDE / 2, rest = WIDE - half;  // registers do not hold the sums of all
    sum_vectors<WIDE, 8, rest, Number>(weights, piece, end, rows, 0, sums);
    if (half) sum_vectors<WIDE, 8, half ? half : 1, Number>(weights, piece, end, rows, rest, sums);
}

template <typename Number>
void sum_any(const Matrix &matrix, const Piece *piece, const Piece *end, Rows rows, int64_t panel,
             Floats *sums) {
    const auto run = matrix.wide == 4   ? sum_panel<4, Number>
                     : matrix.wide == 3 ? sum_panel<3, Number>
                                        : sum_panel<1, Number>;
    run(matrix, piece, end, rows, panel, sums);
}

// sums[row][i] of the vectors of one panel, for rows from 0.
template <int PIECES>
void product(const Matrix &matrix, const Piece (&pieces)[PIECES], Rows rows, int64_t panel,
             Floats (*sums)[MOST_WIDE]) {
    const auto run = matrix.kind == FLOAT32    ? sum_any<float>
                     : matrix.kind == BFLOAT16 ? sum_any<Bf16>
                                               : sum_any<int8_t>;
    run(matrix, pieces, pieces + PIECES, rows, panel, sums[0]);
    for (int64_t i = 0; i < matrix.wide; ++i) {
        const int64_t at = (panel * matrix.wide + i) * LANES;
        for (int64_t row = 0; row < rows.count; ++row) {
            if (matrix.scales) sums[row][i] *= load(matrix.scales + at);
            if (matrix.bias) sums[row][i] += load(matrix.bias + at);
        }
    }
}

}  // namespace
