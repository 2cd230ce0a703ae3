// Inputs, outputs and state of a frame decoder's free run: sizes, weights, layout of a row.
#pragma once

#include <cmath>
#include <vector>

#include "skinny_gemm.h"
#include "thread_team.h"

namespace {

enum Ending : int64_t { STOP, ATTENTION_END, LIMIT };

// As the Python side writes it, in this order, all int64.
struct Sizes {
    int64_t mels, outputs, memory;                    // outputs: reduction factor * mels, and stop
    int64_t prenet_layers, prenet[8];                 // widths
    int64_t rnn_gates, rnn_units;                     // 4 gates: LSTM, 3: GRU
    int64_t dim, filters, channels, reach;            // of the attention; no filters: content alone
    int64_t stack_gates, stack_units, stack_layers;   // 3 gates: residual GRUs behind a projection
    int64_t project_context, attention_end_steps;
};

// The matrices in the order in which the Python side writes them.
struct Weights {
    const Matrix *prenet, *rnn, *query, *filters, *location, *project, *stack, *output;

    Weights(const Matrix *all, const Sizes &n) {
        prenet = all;
        rnn = prenet + n.prenet_layers;
        query = rnn + 2;
        filters = query + 1;
        location = filters + (n.filters > 0);
        project = location + (n.filters > 0);
        stack = project + (n.stack_gates == 3);
        output = stack + 2 * n.stack_layers;
    }
};

// Where a cell's numbers stand in a row: two hidden states, read and written in turn; an LSTM's
// cell state.
struct CellPlace {
    int64_t gates, units, at;

    int64_t hidden(int64_t step) const { return at + (step & 1) * units; }
    int64_t cell() const { return at + 2 * units; }
    int64_t size() const { return (gates == 4 ? 3 : 2) * units; }
};

struct Layout {
    const Sizes &n;
    int64_t widest, prenet, context, query, energies, stacked, made, rnn, stack, size;

    Layout(const Sizes &sizes, int64_t positions) : n(sizes) {
        widest = *std::max_element(n.prenet, n.prenet + n.prenet_layers);
        prenet = 0;  // two layers, the one below and its own, in turn
        context = prenet + 2 * widest;
        query = context + n.memory;
        energies = query + vectors_of(n.dim) * LANES;
        stacked = energies + positions;  // a residual stack's sum below each layer, and the last
        made = stacked + (n.stack_gates == 3 ? (n.stack_layers + 1) * n.stack_units : 0);
        rnn = made + n.outputs;
        stack = rnn + rnn_cell().size();
        size = stack + n.stack_layers * (n.stack_gates == 4 ? 3 : 2) * n.stack_units;
        size = vectors_of(size) * LANES;
    }

    int64_t prenet_layer(int64_t layer) const { return prenet + (layer & 1) * widest; }
    CellPlace rnn_cell() const { return {n.rnn_gates, n.rnn_units, rnn}; }
    CellPlace stack_cell(int64_t layer) const {
        const CellPlace first{n.stack_gates, n.stack_units, stack};
        return {n.stack_gates, n.stack_units, stack + layer * first.size()};
    }
    int64_t residual(int64_t layer) const { return stacked + layer * n.stack_units; }
};

// What one call works on. Shapes: memory (batch, positions, memory), keys (batch, positions, dim),
// history (batch, channels, positions + 2 * reach), keep (batch, steps, all prenet widths) or null,
// fed (batch, steps, mels) or null, mel (batch, steps, outputs - 1), stop (batch, steps), alignment
// (batch, steps, positions); lengths, limits, resting, ending, step_lengths, reached (batch).
// A window of 0 is none; reached is the furthest median of a row's weights so far.
struct Run {
    const Sizes &n;
    Weights weights;
    Layout place;
    const float *direction, *memory, *keys;
    float *history, *working;
    const float *keep, *fed;
    const int64_t *lengths, *limits;
    int64_t *resting, *ending, *step_lengths, *reached;
    float *mel, *stop, *alignment;
    int64_t batch, positions, first_step, steps, window;
    float rnn_zoneout, stack_zoneout, threshold;
    std::vector<std::vector<int64_t>> going;  // the rows of each step, and of the next

    // The positions of a row that its next step may read, as `nn.attention.steering.window_mask`.
    Share readable(int64_t row) const {
        if (!window) return {0, lengths[row]};
        const int64_t here = reached[row];
        return {std::max<int64_t>(here - window / 2, 0), std::min(here + window + 1, lengths[row])};
    }

    const std::vector<int64_t> &rows(int64_t step) const { return going[step - first_step]; }

    Piece piece(int64_t at, int64_t inputs) const { return {working + at, place.size, inputs}; }
    float *row(int64_t number, int64_t at) const { return working + number * place.size + at; }
};

// The position where the sum of a row's weights reaches a half, as `nn.attention.reading.median`.
int64_t median(const float *weights, int64_t length) {
    float sum = 0.0f;
    for (int64_t i = 0; i < length; ++i)
        if ((sum += weights[i]) >= 0.5f - 1e-5f) return i;
    return 0;
}

// Hands a row's step out, and says whether the row ends with it.
bool finish(Run &run, int64_t row, int64_t step) {
    const int64_t frames = run.n.outputs - 1, at = row * run.steps + step - run.first_step;
    const float *made = run.row(row, run.place.made), *weights = run.alignment + at * run.positions;
    std::copy(made, made + frames, run.mel + at * frames);
    run.stop[at] = made[frames];
    const float *last = weights + run.lengths[row] - 1;
    run.resting[row] = std::max_element(weights, last + 1) == last ? run.resting[row] + 1 : 0;
    run.step_lengths[row] = step + 1;
    if (run.window)
        run.reached[row] = std::max(run.reached[row], median(weights, run.lengths[row]));
    int64_t why = step + 1 >= run.limits[row] ? LIMIT : -1;
    if (!run.fed) {
        if (run.resting[row] >= run.n.attention_end_steps) why = ATTENTION_END;
        if (1.0f / (1.0f + std::exp(-made[frames])) > run.threshold) why = STOP;
    }
    run.ending[row] = why;
    return why >= 0;
}

}  // namespace
