// The free-running loop of a frame decoder: many steps of all rows in one parallel region.
//
// A row of the working memory belongs to an utterance and holds what it remembers and what a step
// makes on its way; `Layout` says what stands where. A step is a dozen phases, such as one layer
// for all rows that still go on; its tasks go to whichever thread asks next.
#include <sched.h>

#include "decoder_run.h"

namespace {

// One thread's view of a run: all threads walk through the same phases. One that the machine had
// put to sleep finds the old phases done and walks on; it holds the others up only by a task in its
// hands. What a phase reads is written by phases before it, and the rows of a step stay.
struct Worker {
    Run &run;
    int64_t threads, phase = 0;
    std::vector<float> scratch = {};

    // Runs those tasks of the next phase that no other thread takes, and waits for all of them.
    template <typename Task>
    void share_out(int64_t count, Task task) {
        Phase &now = run.phases[phase++];
        const int64_t some = std::max<int64_t>(1, count / (8 * threads));
        for (int64_t first; (first = now.taken.fetch_add(some)) < count;) {
            const int64_t last = std::min(first + some, count);
            for (int64_t i = first; i < last; ++i) task(i);
            now.done.fetch_add(last - first);
        }
        for (int64_t looks = 0; now.done.load() < count; ++looks)
            if (looks > 1000) sched_yield();  // the core may be wanted by who holds the task
    }

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

    void prenet(int64_t step) {
        const Numbers &n = run.n;
        int64_t whole = 0, before = 0;
        for (int64_t layer = 0; layer < n.prenet_layers; ++layer) whole += n.prenet[layer];
        Piece below = run.piece(run.place.made + n.outputs - 1 - n.mels, n.mels);
        const int64_t within = step - run.first_step;
        if (run.fed) below = {run.fed + within * n.mels, run.steps * n.mels, n.mels};
        for (int64_t layer = 0; layer < n.prenet_layers; ++layer) {
            const Piece pieces[] = {below};
            const int64_t to = run.place.prenet_layer(layer);
            linear(step, run.weights.prenet[layer], pieces, n.prenet[layer],
                   [&](int64_t row, int64_t at, int64_t count, Floats sum) {
                       sum = sum < 0.0f ? Floats{} : sum;  // a NaN stays
                       const int64_t drawn = (row * run.steps + within) * whole + before + at;
                       if (run.keep) sum *= load(run.keep + drawn, count);
                       store(run.row(row, to + at), sum, count);
                   });
            below = run.piece(to, n.prenet[layer]);
            before += n.prenet[layer];
        }
    }

    void attention_rnn(int64_t step) {
        const Numbers &n = run.n;
        const int64_t last = n.prenet_layers - 1;
        const Piece pieces[] = {run.piece(run.place.prenet_layer(last), n.prenet[last]),
                                run.piece(run.place.context, n.memory)};
        cell(run.weights.rnn, pieces, run.place.rnn_cell(), step, run.rnn_zoneout, [](auto...) {});
    }

    void query(int64_t step) {
        const Piece pieces[] = {
            run.piece(run.place.rnn_cell().hidden(step + 1), run.n.rnn_units)};
        linear(step, *run.weights.query, pieces, run.n.dim,
               [&](int64_t row, int64_t at, int64_t, Floats sum) {
                   store(run.row(row, run.place.query + at), sum);
               });
    }

    void energies(int64_t step) {
        const auto &rows = run.rows(step);
        const int64_t blocks = (run.positions + MOST_ROWS - 1) / MOST_ROWS;
        share_out(int64_t(rows.size()) * blocks, [&](int64_t task) {
            const int64_t row = rows[task / blocks], first = task % blocks * MOST_ROWS;
            const int64_t count = std::min(run.lengths[row] - first, MOST_ROWS);
            if (count > 0) some_energies(row, first, count);
        });
    }

    // The energies of up to eight positions, which are the rows of the two products.
    void some_energies(int64_t row, int64_t first, int64_t count) {
        static const int64_t numbers[MOST_ROWS] = {0, 1, 2, 3, 4, 5, 6, 7};
        const Numbers &n = run.n;
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
        const Numbers &n = run.n;
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
        const int64_t count = int64_t(rows.size()), parts = (threads + count - 1) / count;
        share_out(count * parts, [&](int64_t task) {
            const int64_t row = rows[task / parts];
            weigh(row);
            if (task % parts == 0) remember(row, step);
            context(row, share(vectors_of(run.n.memory), task % parts, parts));
        });
    }

    // The softmax of a row's energies, into the scratch.
    void weigh(int64_t row) {
        const int64_t length = run.lengths[row];
        const float *energies = run.row(row, run.place.energies);
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
        const Numbers &n = run.n;
        const int64_t length = run.lengths[row], whole = run.positions + 2 * n.reach;
        float *latest = run.history + row * n.channels * whole + n.reach;
        float *drawn = run.alignment + (row * run.steps + step - run.first_step) * run.positions;
        for (int64_t i = 0; i < length; ++i) {
            const float weight = scratch[i];
            drawn[i] = weight;
            if (n.channels) latest[i] = weight;
            if (n.channels == 2) latest[whole + i] += weight;
        }
    }

    void context(int64_t row, Share panels) {
        constexpr int64_t wide = 4;
        const int64_t width = run.n.memory;
        for (int64_t panel = panels.first; panel < panels.last; panel += wide) {
            const int64_t first = panel * LANES, last = std::min(panels.last * LANES, width);
            const float *memory = run.memory + row * run.positions * width + first;
            Floats sums[wide] = {};
            for (int64_t i = 0; i < run.lengths[row]; ++i, memory += width)
                for (int64_t j = 0; j < wide; ++j)
                    if (const int64_t there = last - first - j * LANES; there > 0)
                        sums[j] += scratch[i] * load(memory + j * LANES, there);
            for (int64_t j = 0; j < wide; ++j)
                if (const int64_t there = last - first - j * LANES; there > 0)
                    store(run.row(row, run.place.context + first + j * LANES), sums[j], there);
        }
    }

    // The stack's layers; gives back where the top layer's output stands.
    int64_t stack(int64_t step) {
        const Numbers &n = run.n;
        const Piece hidden = run.piece(run.place.rnn_cell().hidden(step + 1), n.rnn_units);
        const Piece context = run.piece(run.place.context, n.memory);
        const Piece asked[] = {hidden, context};
        if (n.stack_gates == 3) {
            linear(step, *run.weights.project, asked, n.stack_units,
                   [&](int64_t row, int64_t at, int64_t count, Floats sum) {
                       store(run.row(row, run.place.residual(0) + at), sum, count);
                   });
            return residual(step);
        }
        for (int64_t layer = 0; layer < n.stack_layers; ++layer) {
            const Matrix *matrices = run.weights.stack + 2 * layer;
            const CellPlace place = run.place.stack_cell(layer);
            if (layer == 0) {
                cell(matrices, asked, place, step, run.stack_zoneout, [](auto...) {});
            } else {
                const CellPlace under = run.place.stack_cell(layer - 1);
                const Piece below[] = {run.piece(under.hidden(step + 1), n.stack_units)};
                cell(matrices, below, place, step, run.stack_zoneout, [](auto...) {});
            }
        }
        return run.place.stack_cell(n.stack_layers - 1).hidden(step + 1);
    }

    int64_t residual(int64_t step) {
        const Numbers &n = run.n;
        for (int64_t layer = 0; layer < n.stack_layers; ++layer) {
            const int64_t from = run.place.residual(layer), to = run.place.residual(layer + 1);
            const Piece below[] = {run.piece(from, n.stack_units)};
            cell(run.weights.stack + 2 * layer, below, run.place.stack_cell(layer), step, 0.0f,
                 [&](int64_t row, int64_t at, int64_t count, Floats hidden) {
                     store(run.row(row, to + at), load(run.row(row, from + at), count) + hidden,
                           count);
                 });
        }
        return run.place.residual(n.stack_layers);
    }

    void output(int64_t step, int64_t top) {
        const Numbers &n = run.n;
        const Piece both[] = {run.piece(top, n.stack_units),
                              run.piece(run.place.context, n.memory)};
        const Piece one[] = {both[0]};
        const auto keep = [&](int64_t row, int64_t at, int64_t count, Floats sum) {
            store(run.row(row, run.place.made + at), sum, count);
        };
        if (n.project_context)
            linear(step, *run.weights.output, both, n.outputs, keep);
        else
            linear(step, *run.weights.output, one, n.outputs, keep);
    }

    void step(int64_t number) {
        prenet(number);
        attention_rnn(number);
        query(number);
        energies(number);
        read(number);
        output(number, stack(number));
        share_out(1, [&](int64_t) {
            auto &next = run.going[number - run.first_step + 1];
            for (const int64_t row : run.rows(number))
                if (!finish(run, row, number)) next.push_back(row);
        });
    }
};

}  // namespace

extern "C" {

// Outputs in a vector.
void lanes(int64_t *count, int64_t) { *count = LANES; }

// Floats in a row of the working memory.
void row_size(const int64_t *numbers, int64_t *size, int64_t positions, int64_t) {
    *size = Layout(*(const Numbers *)numbers, positions).size;
}

// `steps` steps from `first_step`, or fewer if all rows end. Rows whose `ending` is not -1 rest.
void decode(const int64_t *numbers, const int64_t *matrices, const float *direction,
            const float *memory, const float *keys, float *history, float *working,
            const float *keep, const float *fed, const int64_t *lengths, const int64_t *limits,
            int64_t *resting, int64_t *ending, int64_t *step_lengths, float *mel, float *stop,
            float *alignment, int64_t batch, int64_t positions, int64_t first_step, int64_t steps,
            float rnn_zoneout, float stack_zoneout, float threshold, int64_t threads) {
    const Numbers &n = *(const Numbers *)numbers;
    Run run{n, Weights((const Matrix *)matrices, n), Layout(n, positions), direction, memory, keys,
            history, working, keep, fed, lengths, limits, resting, ending, step_lengths, mel, stop,
            alignment, batch, positions, first_step, steps, rnn_zoneout, stack_zoneout, threshold,
            std::vector<Phase>(steps * (n.prenet_layers + n.stack_layers + 7)),
            std::vector<std::vector<int64_t>>(steps + 1)};
    for (int64_t row = 0; row < batch; ++row)
        if (ending[row] < 0) run.going[0].push_back(row);
#pragma omp parallel num_threads(threads)
    {
        Worker worker{run, threads};
        for (int64_t step = 0; step < steps && !run.going[step].empty(); ++step)
            worker.step(first_step + step);
    }
}
}
