// Matrix products of a few rows with weights packed in the order in which they are read.
//
// y = x W', W (outputs, inputs) as in nn.Linear. The packed weights are panels of PANEL outputs:
// for each input its weights side by side; in bfloat16 for each pair of inputs the pairs. A panel
// comes from memory once, and one thread computes it in one order, so that neither the number of
// threads nor the other rows change a result.
#pragma once

#include <algorithm>
#include <memory>
#include <new>

#include "simd.h"
#include "thread_team.h"

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

namespace {

constexpr int64_t PANEL = 2 * LANES;
constexpr int64_t BLOCK = LANES == 16 ? 8 : 4;  // rows: 2 sums each; there are 32, or 16, registers

inline int64_t panels(int64_t outputs) { return (outputs + PANEL - 1) / PANEL; }

// Numbers in one panel; the inputs are rounded up to whole pairs in bfloat16.
template <typename Number>
inline int64_t panel_size(int64_t inputs) {
    return PANEL * (sizeof(Number) == 2 ? (inputs + 1) / 2 * 2 : inputs);
}

template <typename Number>
inline int64_t packed_size(int64_t outputs, int64_t inputs) {
    return panels(outputs) * panel_size<Number>(inputs);
}

// The weights that follow are asked for long before they are needed: a core fetches too few lines
// by itself to fill its time.
template <typename Number>
inline void fetch_ahead(const Number *weights) {
    const char *far = reinterpret_cast<const char *>(weights) + 16384;
    for (int64_t line = 0; line < int64_t(PANEL * sizeof(float)); line += 64)
        __builtin_prefetch(far + line);
}

// Room for numbers, at the start of a cache line: a vector then lies in one line, not in two.
struct Free {
    void operator()(void *room) const { ::operator delete(room, std::align_val_t{64}); }
};

template <typename Number>
using Room = std::unique_ptr<Number[], Free>;

template <typename Number>
Room<Number> room(int64_t count) {
    void *made = ::operator new(count * sizeof(Number), std::align_val_t{64});
    return Room<Number>(static_cast<Number *>(made));
}

// LANES outputs of a panel, from rows of W that stand `down` apart, of which `count` are there. A
// line of each row at a time: a walk down the rows would meet every line again for each input.
inline void pack_rows(const float *rows, int64_t down, int64_t count, int64_t inputs,
                      float *panel) {
    constexpr int64_t line = 16;
    for (int64_t first = 0; first < inputs; first += line)
        for (int64_t i = 0; i < LANES; ++i)
            for (int64_t input = first; input < std::min(first + line, inputs); ++input)
                panel[input * PANEL + i] = i < count ? rows[i * down + input] : 0.0f;
}

// Panels first to last of W, whose entry (output, input) stands at output * down + input * along:
// (inputs, 1) for nn.Linear's weights, (1, stride) for the same matrix transposed.
template <typename Number>
void pack(const Number *weight, int64_t down, int64_t along, int64_t outputs, int64_t inputs,
          Number *packed, Share part) {
    constexpr int64_t group = sizeof(Number) == 2 ? 2 : 1;
    const int64_t size = panel_size<Number>(inputs), padded = size / PANEL;
    for (int64_t panel = part.first; panel < part.last; ++panel)
        for (int64_t input = 0; input < padded; ++input) {
            if (group == 1 && down == 1 && (panel + 1) * PANEL <= outputs) {  // side by side
                memcpy(packed + panel * size + input * PANEL,
                       weight + panel * PANEL + input * along, PANEL * sizeof(Number));
                continue;
            }
            for (int64_t i = 0; i < PANEL; ++i) {
                const int64_t output = panel * PANEL + i;
                const bool there = output < outputs && input < inputs;
                packed[panel * size + input / group * group * PANEL + i * group + input % group] =
                    there ? weight[output * down + input * along] : Number{};
            }
        }
}

// ROWS rows times one panel; a row's inputs are `along` apart.
template <int ROWS>
inline void multiply(const float *x, int64_t stride, int64_t along, const float *panel,
                     int64_t inputs, Floats (&sums)[ROWS][2]) {
    for (int64_t k = 0; k < inputs; ++k, x += along, panel += PANEL) {
        fetch_ahead(panel);
        const Floats left = load(panel), right = load(panel + LANES);
#pragma GCC unroll 8
        for (int row = 0; row < ROWS; ++row) {
            const Floats value = broadcast(x[row * stride]);
            sums[row][0] += value * left;
            sums[row][1] += value * right;
        }
    }
}

inline Floats add_pairs(Floats sum, uint32_t pair, Words weights) {
#if defined(__AVX512BF16__) && defined(__AVX512F__)
    return (Floats)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32(int(pair)),
                                    (__m512bh)weights);
#else
    const Words both = Words{} + pair;
    sum += (Floats)(both << 16) * (Floats)(weights << 16);
    return sum + (Floats)(both & 0xffff0000u) * (Floats)(weights & 0xffff0000u);
#endif
}

template <int ROWS>
inline void add_pair(const Bf16 *x, int64_t stride, const Bf16 *weights, size_t bytes,
                     Floats (&sums)[ROWS][2]) {
    fetch_ahead(weights);
    const Words left = from_memory<Words>(weights), right = from_memory<Words>(weights + PANEL);
#pragma GCC unroll 8
    for (int row = 0; row < ROWS; ++row) {
        uint32_t pair = 0;
        memcpy(&pair, x + row * stride, bytes);
        sums[row][0] = add_pairs(sums[row][0], pair, left);
        sums[row][1] = add_pairs(sums[row][1], pair, right);
    }
}

template <int ROWS>
inline void multiply(const Bf16 *x, int64_t stride, int64_t, const Bf16 *panel, int64_t inputs,
                     Floats (&sums)[ROWS][2]) {
    for (int64_t pair = 0; pair < inputs / 2; ++pair, x += 2, panel += 2 * PANEL)
        add_pair<ROWS>(x, stride, panel, 4, sums);
    if (inputs % 2) add_pair<ROWS>(x, stride, panel, 2, sums);  // there is no pair to read
}

template <int ROWS, typename Number>
void block(const Number *x, int64_t stride, int64_t along, const Number *panel, int64_t inputs,
           float *y, int64_t y_stride, int64_t columns, bool accumulate) {
    Floats sums[ROWS][2] = {};
    multiply<ROWS>(x, stride, along, panel, inputs, sums);
    for (int row = 0; row < ROWS; ++row)
        for (int64_t half = 0; half < 2; ++half) {
            float *target = y + row * y_stride + half * LANES;
            const int64_t count = std::min(columns - half * LANES, LANES);
            if (count <= 0) continue;
            const Floats sum = sums[row][half];
            store(target, accumulate ? load(target, count) + sum : sum, count);
        }
}

// One panel: y (rows, columns <= PANEL) = x (rows, inputs) times it, or plus it. The rows go in
// blocks of about one size: a block of a row or two waits for its own sums.
template <typename Number>
void panel_product(const Number *x, int64_t rows, int64_t stride, const Number *panel,
                   int64_t inputs, float *y, int64_t y_stride, int64_t columns, bool accumulate,
                   int64_t along = 1) {
    for (int64_t blocks = (rows + BLOCK - 1) / BLOCK; blocks > 0; --blocks) {
        const int64_t some = (rows + blocks - 1) / blocks;
#define ROWS_CASE(N) \
    case N: block<N>(x, stride, along, panel, inputs, y, y_stride, columns, accumulate); break;
        switch (some) {
            ROWS_CASE(1) ROWS_CASE(2) ROWS_CASE(3) ROWS_CASE(4)
            ROWS_CASE(5) ROWS_CASE(6) ROWS_CASE(7) ROWS_CASE(8)
        }
#undef ROWS_CASE
        rows -= some;
        x += some * stride;
        y += some * y_stride;
    }
}

// Panels first to last: y (rows, outputs) = x (rows, inputs) W', or += with `accumulate`. Rows are
// `stride` and `y_stride` apart, a row's inputs `along`, which is 1 in bfloat16. To be called by
// each thread of a parallel region with its share.
template <typename Number>
void product(const Number *x, int64_t rows, int64_t stride, const Number *packed, int64_t inputs,
             int64_t outputs, float *y, int64_t y_stride, bool accumulate, Share part,
             int64_t along = 1) {
    const int64_t size = panel_size<Number>(inputs);
    for (int64_t panel = part.first; panel < part.last; ++panel)
        panel_product(x, rows, stride, packed + panel * size, inputs, y + panel * PANEL, y_stride,
                      std::min(outputs - panel * PANEL, PANEL), accumulate, along);
}

}  // namespace
