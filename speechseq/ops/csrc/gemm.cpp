// Matrix products of many rows, for processors on which torch's library (MKL) runs at half the rate.
#include <vector>

#include "packed_gemm.h"
#include "thread_team.h"
#include "version.h"

namespace {

// So many inputs and rows at a time: a panel and the rows beside it fit a core's second cache. All
// panels do, if they hold so many numbers.
constexpr int64_t DEPTH = 1024, TALL = 64, FITS = 3 << 16;

// Entry (row, column) stands at row * down + column * along.
struct Matrix {
    const float *data;
    int64_t down, along;

    const float *at(int64_t row, int64_t column) const {
        return data + row * down + column * along;
    }

    // Columns from `first`, `depth` of them, of the rows of some panels.
    void into_panels(int64_t first, int64_t depth, int64_t rows, float *to, Share some) const {
        pack(at(0, first), down, along, rows, depth, to, some);
    }
};

// Some rows of a product, and the utterance that they are of: its rows begin, and end, there.
struct Tile {
    int64_t row, tall, begin, end;
};

std::vector<Tile> tiles_of(int64_t begin, int64_t end, int64_t tall = TALL) {
    std::vector<Tile> made;
    for (int64_t row = begin; row < end; row += tall)
        made.push_back({row, std::min(end - row, tall), begin, end});
    return made;
}

std::vector<Tile> tiles_of_all(const int64_t *lengths, int64_t utterances, int64_t tall) {
    std::vector<Tile> made;
    for (int64_t i = 0, begin = 0; i < utterances; begin += lengths[i++]) {
        const auto own = tiles_of(begin, begin + lengths[i], tall);
        made.insert(made.end(), own.begin(), own.end());
    }
    return made;
}

// So many rows of a weight's gradient are summed at a time: few outputs meet each panel, which
// should not have to come from the third cache for them.
int64_t summed(int64_t inputs) {
    if (inputs > 1024) return DEPTH;
    return std::min(std::max(FITS / inputs, DEPTH / 4), DEPTH);
}

// The rows of a matrix; those that do not lie row by row are copied, column by column.
struct Plain {
    Matrix a;
    std::vector<Tile> tiles;

    int64_t room() const { return a.along == 1 ? 0 : TALL * DEPTH; }

    Matrix some(const Tile &tile, int64_t first, int64_t depth, float *room) const {
        if (a.along == 1) return {a.at(tile.row, first), a.down, 1};
        for (int64_t column = 0; column < depth; ++column)
            for (int64_t row = 0; row < tile.tall; row += LANES)
                store(room + column * TALL + row,
                      load(a.at(tile.row + row, first + column), tile.tall - row));
        return {room, 1, TALL};
    }
};

// Each row's window of `kernel` rows, from `left` before it on, within its utterance: a run of
// numbers in memory, but at an utterance's ends, where zeros stand beside it in a copy.
struct Windows {
    const float *x;
    int64_t channels, kernel, left;
    std::vector<Tile> tiles;

    int64_t room() const { return (TALL + kernel) * channels; }

    Matrix some(const Tile &tile, int64_t first, int64_t, float *room) const {
        const int64_t from = tile.row - left, to = from + tile.tall + kernel - 1;
        if (from >= tile.begin && to <= tile.end) return {x + from * channels + first, channels, 1};
        std::fill_n(room, (to - from) * channels, 0.0f);
        const int64_t begin = std::max(from, tile.begin), end = std::min(to, tile.end);
        std::copy(x + begin * channels, x + end * channels, room + (begin - from) * channels);
        return {room + first, channels, 1};
    }
};

// The same windows as the columns of a matrix: entry (number, row) is a number of a row's window.
struct WindowColumns {
    const float *x;
    int64_t channels, left;
    std::vector<Tile> of_rows;  // the utterance of each

    void into_panels(int64_t first, int64_t depth, int64_t numbers, float *to, Share some) const {
        for (int64_t panel = some.first; panel < some.last; ++panel)
            for (int64_t i = 0; i < depth; ++i) {
                const Tile &own = of_rows[first + i];
                const int64_t begin = own.begin * channels, end = own.end * channels;
                const int64_t at = (own.row - left) * channels + panel * PANEL;
                const int64_t there = std::min(numbers - panel * PANEL, PANEL);
                float *target = to + panel * panel_size<float>(depth) + i * PANEL;
                if (at >= begin && at + PANEL <= end && there == PANEL) {
                    memcpy(target, x + at, PANEL * sizeof(float));
                    continue;
                }
                for (int64_t j = 0; j < PANEL; ++j)
                    target[j] = j < there && at + j >= begin && at + j < end ? x[at + j] : 0.0f;
            }
    }
};

// y (rows, outputs) = a (rows, inputs) b' + bias, b (outputs, inputs). A sum is made in one order,
// whatever the threads.
template <typename Rows, typename Columns>
void gemm(const Rows &a, const Columns &b, const float *bias, float *y, int64_t inputs,
           int64_t outputs, int64_t threads, int64_t most = DEPTH) {
    const auto packed = room<float>(packed_size<float>(outputs, std::min(inputs, most)));
    Team team(threads);
#pragma omp parallel num_threads(threads)
    {
        Member member{team};
        const auto copy = room<float>(a.room());
        for (int64_t first = 0; first < inputs; first += most) {
            const int64_t depth = std::min(inputs - first, most);
            member.share_out(panels(outputs), [&](int64_t panel) {
                b.into_panels(first, depth, outputs, packed.get(), {panel, panel + 1});
            });
            member.share_out(int64_t(a.tiles.size()), [&](int64_t i) {
                const Tile &tile = a.tiles[i];
                float *into = y + tile.row * outputs;
                if (bias && !first)
                    for (int64_t row = 0; row < tile.tall; ++row)
                        std::copy_n(bias, outputs, into + row * outputs);
                const Matrix rows = a.some(tile, first, depth, copy.get());
                product(rows.data, tile.tall, rows.down, packed.get(), depth, outputs, into,
                        outputs, first || bias, Share{0, panels(outputs)}, rows.along);
            });
        }
    }
}

}  // namespace

extern "C" {

// Intel's library uses all of Intel's processors, and AVX2 of the others.
void gemm_is_faster(int64_t *answer, int64_t) {
    bool intel = false;
#if defined(__x86_64__)
    intel = __builtin_cpu_is("intel");
#endif
    *answer = LANES == 16 && !intel;
}

// y (rows, outputs) = x (rows, inputs) weight' + bias, weight (outputs, inputs).
void gemm_forward(const float *x, const float *weight, const float *bias, float *y, int64_t rows,
                   int64_t inputs, int64_t outputs, int64_t threads) {
    const Plain a{{x, inputs, 1}, tiles_of(0, rows)};
    gemm(a, Matrix{weight, inputs, 1}, bias, y, inputs, outputs, threads);
}

// x's gradient (rows, inputs) = gradient (rows, outputs) weight.
void gemm_backward(const float *gradient, const float *weight, float *below, int64_t rows,
                    int64_t inputs, int64_t outputs, int64_t threads) {
    const Plain a{{gradient, outputs, 1}, tiles_of(0, rows)};
    gemm(a, Matrix{weight, 1, inputs}, nullptr, below, outputs, inputs, threads);
}

// The weight's gradient (outputs, inputs) = gradient' x, of some columns of either: `outputs` and
// `inputs` of them in rows of `wide` and `broad`, which may overlap.
void gemm_weight(const float *gradient, const float *x, float *weight, int64_t rows, int64_t wide,
                  int64_t broad, int64_t outputs, int64_t inputs, int64_t threads) {
    const Plain a{{gradient, 1, wide}, tiles_of(0, outputs)};
    gemm(a, Matrix{x, 1, broad}, nullptr, weight, rows, inputs, threads, summed(inputs));
}

// A convolution along each of some utterances end to end: x (rows, channels), y (rows, outputs),
// weight (outputs, kernel, channels); a window begins `left` rows before its own.
void convolve(const float *x, const float *weight, const float *bias, float *y,
              const int64_t *lengths, int64_t utterances, int64_t channels, int64_t kernel,
              int64_t left, int64_t outputs, int64_t threads) {
    const Windows a{x, channels, kernel, left, tiles_of_all(lengths, utterances, TALL)};
    const int64_t inputs = kernel * channels;
    gemm(a, Matrix{weight, inputs, 1}, bias, y, inputs, outputs, threads);
}

// The gradient of that weight, from y's: gradient (rows, outputs).
void convolve_weight(const float *gradient, const float *x, float *weight, const int64_t *lengths,
                     int64_t utterances, int64_t channels, int64_t kernel, int64_t left,
                     int64_t outputs, int64_t threads) {
    const WindowColumns b{x, channels, left, tiles_of_all(lengths, utterances, 1)};
    const Plain a{{gradient, 1, outputs}, tiles_of(0, outputs)};
    const int64_t inputs = kernel * channels, rows = int64_t(b.of_rows.size());
    gemm(a, b, nullptr, weight, rows, inputs, threads, summed(inputs));
}
}
