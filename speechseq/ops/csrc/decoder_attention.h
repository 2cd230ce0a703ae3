// Attention of a free-running step: energies of all positions, weights, and the context.
#pragma once

#include "decoder_work.h"

namespace {

// One thread's part in it; the scratch is its own.
struct Reader {
    Worker &worker;
    Run &run = worker.run;
    std::vector<float> scratch = {};

    void energies(int64_t step) {
        const auto &rows = run.rows(step);
        const int64_t most = run.window ? std::min(run.window + run.window / 2 + 1, run.positions)
                                        : run.positions;
        const int64_t blocks = (most + MOST_ROWS - 1) / MOST_ROWS;
        worker.share_out(int64_t(rows.size()) * blocks, [&](int64_t task) {
            const int64_t row = rows[task / blocks];
            const Share readable = run.readable(row);
            const int64_t first = readable.first + task % blocks * MOST_ROWS;
            const int64_t count = std::min(readable.last - first, MOST_ROWS);
            if (count > 0) some_energies(row, first, count);
        });
    }

    // The energies of up to eight positions, which are the rows of the two products.
    void some_energies(int64_t row, int64_t first, int64_t count) {
        static const int64_t numbers[MOST_ROWS] = {0, 1, 2, 3, 4, 5, 6, 7};
        const Sizes &n = run.n;
        const Rows rows{numbers, count};
        const int64_t width = vectors_of(n.filters) * LANES;
        scratch.resize(std::max<int64_t>(MOST_ROWS * width, scratch.size()));
        if (n.filters) find(row, first, rows, width);
        Floats energies[MOST_ROWS] = {};
        for (int64_t panel = 0; panel < vectors_of(n.dim); ++panel) {
            const int64_t at = panel * LANES, dims = std::min(n.dim - at, LANES);
            Floats layer[MOST_ROWS][MOST_WIDE] = {};
            const Piece found[] = {{scratch.data(), width, n.filters}};
            if (n.filters) product(*run.weights.location, found, rows, panel, layer);
            const Floats asked = load(run.row(row, run.place.query + at));
            const Floats direction = load(run.direction + at);
            for (int64_t i = 0; i < count; ++i) {
                const int64_t position = row * run.positions + first + i;
                const Floats key = load(run.keys + position * n.dim + at, dims);
                energies[i] += direction * hyperbolic_tangent(layer[i][0] + key + asked);
            }
        }
        for (int64_t i = 0; i < count; ++i)
            run.row(row, run.place.energies)[first + i] = total(energies[i]);
    }

    // What the filters find around positions from `first`, each row a window one further.
    void find(int64_t row, int64_t first, Rows rows, int64_t width) {
        const Sizes &n = run.n;
        const int64_t whole = run.positions + 2 * n.reach, taps = 2 * n.reach + 1;
        const float *latest = run.history + row * n.channels * whole + first;
        const Piece both[] = {{latest, 1, taps}, {latest + whole, 1, taps}}, one[] = {both[0]};
        for (int64_t panel = 0; panel < width / LANES; ++panel) {
            Floats found[MOST_ROWS][MOST_WIDE];
            if (n.channels == 2)
                product(*run.weights.filters, both, rows, panel, found);
            else
                product(*run.weights.filters, one, rows, panel, found);
            for (int64_t i = 0; i < rows.count; ++i)
                store(&scratch[i * width + panel * LANES], found[i][0]);
        }
    }

    // Weights and context; with fewer rows than threads, several share a row's columns.
    void read(int64_t step) {
        const auto &rows = run.rows(step);
        const int64_t count = int64_t(rows.size()), parts = (worker.threads + count - 1) / count;
        worker.share_out(count * parts, [&](int64_t task) {
            const int64_t row = rows[task / parts];
            weigh(row);
            if (task % parts == 0) remember(row, step);
            context(row, share(vectors_of(run.n.memory), task % parts, parts));
        });
    }

    // The softmax of a row's energies in its window, into the scratch from its beginning.
    void weigh(int64_t row) {
        const Share readable = run.readable(row);
        const int64_t length = readable.last - readable.first;
        const float *energies = run.row(row, run.place.energies) + readable.first;
        scratch.resize(std::max<int64_t>(vectors_of(length) * LANES, scratch.size()));
        float *weights = scratch.data();
        float most = energies[0];
        for (int64_t i = 1; i < length; ++i) most = energies[i] > most ? energies[i] : most;
        Floats sums = {};
        for (int64_t i = 0; i < length; i += LANES) {
            const int64_t found = std::min(length - i, LANES);
            store(weights + i, exponential(load(energies + i, found) - most));
            for (int64_t behind = found; behind < LANES; ++behind) weights[i + behind] = 0.0f;
            sums += load(weights + i);
        }
        const float sum = total(sums);
        for (int64_t i = 0; i < length; ++i) weights[i] /= sum;
    }

    void remember(int64_t row, int64_t step) {
        const Sizes &n = run.n;
        const int64_t whole = run.positions + 2 * n.reach;
        const Share readable = run.readable(row);
        float *latest = run.history + row * n.channels * whole + n.reach;
        float *drawn = run.alignment + (row * run.steps + step - run.first_step) * run.positions;
        for (int64_t i = 0; i < run.lengths[row]; ++i) {
            const bool inside = i >= readable.first && i < readable.last;
            const float weight = inside ? scratch[i - readable.first] : 0.0f;
            drawn[i] = weight;
            if (n.channels) latest[i] = weight;
            if (n.channels == 2) latest[whole + i] += weight;
        }
    }

    void context(int64_t row, Share panels) {
        constexpr int64_t wide = 4;
        const int64_t width = run.n.memory;
        const Share readable = run.readable(row);
        const int64_t top = row * run.positions + readable.first;
        for (int64_t panel = panels.first; panel < panels.last; panel += wide) {
            const int64_t first = panel * LANES, last = std::min(panels.last * LANES, width);
            const float *memory = run.memory + top * width + first;
            Floats sums[wide] = {};
            for (int64_t i = 0; i < readable.last - readable.first; ++i, memory += width)
                for (int64_t j = 0; j < wide; ++j)
                    if (const int64_t there = last - first - j * LANES; there > 0)
                        sums[j] += scratch[i] * load(memory + j * LANES, there);
            for (int64_t j = 0; j < wide; ++j)
                if (const int64_t there = last - first - j * LANES; there > 0)
                    store(run.row(row, run.place.context + first + j * LANES), sums[j], there);
        }
    }
};

}  // namespace
