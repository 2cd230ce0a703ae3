// Matrix products and RNN cells of a free-running step, shared by the threads of a team.
#pragma once

#include "decoder_run.h"
#include "thread_team.h"

namespace {

// One thread's view of a run. The rows of a step stay until the run ends.
struct Worker : Member {
    Run &run;

    Worker(Run &run, Team &team) : Member{team}, run(run) {}

    // Calls `visit` with at most MOST_ROWS rows at a time, until it has seen all of a step.
    template <typename Visit>
    void by_rows(int64_t step, Visit visit) const {
        const auto &rows = run.rows(step);
        const int64_t count = int64_t(rows.size());
        for (int64_t first = 0; first < count; first += MOST_ROWS)
            visit(Rows{rows.data() + first, std::min(MOST_ROWS, count - first)});
    }

    // `after` takes a row's number, the first of some outputs, how many count, and their sums.
    template <int PIECES, typename After>
    void linear(int64_t step, const Matrix &matrix, const Piece (&pieces)[PIECES], int64_t outputs,
                After after) {
        share_out(matrix.panels, [&](int64_t panel) {
            by_rows(step, [&](Rows rows) {
                Floats sums[MOST_ROWS][MOST_WIDE];
                product(matrix, pieces, rows, panel, sums);
                for (int64_t i = 0; i < rows.count; ++i)
                    for (int64_t j = 0; j < matrix.wide; ++j) {
                        const int64_t at = (panel * matrix.wide + j) * LANES;
                        const int64_t count = std::min(outputs - at, LANES);
                        if (count > 0) after(rows.numbers[i], at, count, sums[i][j]);
                    }
            });
        });
    }

    // A cell's next state; `after` takes a row's number, the first unit, how many, and the hidden
    // state.
    template <int PIECES, typename After>
    void cell(const Matrix *matrices, const Piece (&pieces)[PIECES], CellPlace place, int64_t step,
              float zoneout, After after) {
        const Piece hidden[] = {run.piece(place.hidden(step), place.units)};
        share_out(vectors_of(place.units), [&](int64_t block) {
            by_rows(step, [&](Rows rows) {
                Floats inputs[MOST_ROWS][MOST_WIDE], past[MOST_ROWS][MOST_WIDE];
                product(matrices[0], pieces, rows, block, inputs);
                product(matrices[1], hidden, rows, block, past);
                const int64_t at = block * LANES, count = std::min(place.units - at, LANES);
                for (int64_t i = 0; i < rows.count; ++i) {
                    const int64_t row = rows.numbers[i];
                    const Floats old = load(run.row(row, place.hidden(step) + at), count);
                    float *const cell = run.row(row, place.cell() + at);
                    Floats next = place.gates == 4 ? lstm(inputs[i], past[i], cell, count, zoneout)
                                                   : gru(inputs[i], past[i], old);
                    next += zoneout * (old - next);
                    store(run.row(row, place.hidden(step + 1) + at), next, count);
                    after(row, at, count, next);
                }
            });
        });
    }

    static Floats lstm(const Floats *inputs, const Floats *past, float *cell, int64_t count,
                       float zoneout) {
        const Floats old = load(cell, count);
        Floats next = sigmoid(inputs[1] + past[1]) * old +
                      sigmoid(inputs[0] + past[0]) * hyperbolic_tangent(inputs[2] + past[2]);
        const Floats hidden = sigmoid(inputs[3] + past[3]) * hyperbolic_tangent(next);
        next += zoneout * (old - next);
        store(cell, next, count);
        return hidden;
    }

    static Floats gru(const Floats *inputs, const Floats *past, Floats old) {
        const Floats reset = sigmoid(inputs[0] + past[0]), update = sigmoid(inputs[1] + past[1]);
        const Floats fresh = hyperbolic_tangent(inputs[2] + reset * past[2]);
        return fresh + update * (old - fresh);
    }
};

}  // namespace
