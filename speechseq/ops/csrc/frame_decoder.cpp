// The free-running loop of a frame decoder: many steps of all rows in one parallel region.
//
// A row of the working memory belongs to an utterance and holds what it remembers and what a step
// makes on its way; `Layout` says what stands where. A step is a dozen phases, such as one layer
// for all rows that still go on; its tasks go to whichever thread asks next.
#include "decoder_attention.h"
#include "version.h"

namespace {

// One thread's steps.
struct Steps {
    Run &run;
    Worker worker;
    Reader reader{worker};

    void prenet(int64_t step) {
        const Sizes &n = run.n;
        int64_t whole = 0, before = 0;
        for (int64_t layer = 0; layer < n.prenet_layers; ++layer) whole += n.prenet[layer];
        Piece below = run.piece(run.place.made + n.outputs - 1 - n.mels, n.mels);
        const int64_t within = step - run.first_step;
        if (run.fed) below = {run.fed + within * n.mels, run.steps * n.mels, n.mels};
        for (int64_t layer = 0; layer < n.prenet_layers; ++layer) {
            const Piece pieces[] = {below};
            const int64_t to = run.place.prenet_layer(layer);
            worker.linear(step, run.weights.prenet[layer], pieces, n.prenet[layer],
                          [&](int64_t row, int64_t at, int64_t count, Floats sum) {
                              sum = sum < 0.0f ? Floats{} : sum;  // a NaN stays
                              const int64_t drawn = row * run.steps + within;
                              if (run.keep)
                                  sum *= load(run.keep + drawn * whole + before + at, count);
                              store(run.row(row, to + at), sum, count);
                          });
            below = run.piece(to, n.prenet[layer]);
            before += n.prenet[layer];
        }
    }

    void attention_rnn(int64_t step) {
        const Sizes &n = run.n;
        const int64_t last = n.prenet_layers - 1;
        const Piece pieces[] = {run.piece(run.place.prenet_layer(last), n.prenet[last]),
                                run.piece(run.place.context, n.memory)};
        worker.cell(run.weights.rnn, pieces, run.place.rnn_cell(), step, run.rnn_zoneout,
                    [](auto...) {});
    }

    void query(int64_t step) {
        const Piece pieces[] = {
            run.piece(run.place.rnn_cell().hidden(step + 1), run.n.rnn_units)};
        worker.linear(step, *run.weights.query, pieces, run.n.dim,
                      [&](int64_t row, int64_t at, int64_t, Floats sum) {
                          store(run.row(row, run.place.query + at), sum);
                      });
    }

    // The stack's layers; gives back where the top layer's output stands.
    int64_t stack(int64_t step) {
        const Sizes &n = run.n;
        const Piece hidden = run.piece(run.place.rnn_cell().hidden(step + 1), n.rnn_units);
        const Piece context = run.piece(run.place.context, n.memory);
        const Piece asked[] = {hidden, context};
        if (n.stack_gates == 3) {
            worker.linear(step, *run.weights.project, asked, n.stack_units,
                          [&](int64_t row, int64_t at, int64_t count, Floats sum) {
                              store(run.row(row, run.place.residual(0) + at), sum, count);
                          });
            return residual(step);
        }
        for (int64_t layer = 0; layer < n.stack_layers; ++layer) {
            const Matrix *matrices = run.weights.stack + 2 * layer;
            const CellPlace place = run.place.stack_cell(layer);
            if (layer == 0) {
                worker.cell(matrices, asked, place, step, run.stack_zoneout, [](auto...) {});
            } else {
                const CellPlace under = run.place.stack_cell(layer - 1);
                const Piece below[] = {run.piece(under.hidden(step + 1), n.stack_units)};
                worker.cell(matrices, below, place, step, run.stack_zoneout, [](auto...) {});
            }
        }
        return run.place.stack_cell(n.stack_layers - 1).hidden(step + 1);
    }

    int64_t residual(int64_t step) {
        const Sizes &n = run.n;
        for (int64_t layer = 0; layer < n.stack_layers; ++layer) {
            const int64_t from = run.place.residual(layer), to = run.place.residual(layer + 1);
            const Piece below[] = {run.piece(from, n.stack_units)};
            const Matrix *matrices = run.weights.stack + 2 * layer;
            worker.cell(matrices, below, run.place.stack_cell(layer), step, 0.0f,
                        [&](int64_t row, int64_t at, int64_t count, Floats hidden) {
                            const Floats under = load(run.row(row, from + at), count);
                            store(run.row(row, to + at), under + hidden, count);
                        });
        }
        return run.place.residual(n.stack_layers);
    }

    void output(int64_t step, int64_t top) {
        const Sizes &n = run.n;
        const Piece both[] = {run.piece(top, n.stack_units),
                              run.piece(run.place.context, n.memory)};
        const Piece one[] = {both[0]};
        const auto keep = [&](int64_t row, int64_t at, int64_t count, Floats sum) {
            store(run.row(row, run.place.made + at), sum, count);
        };
        if (n.project_context)
            worker.linear(step, *run.weights.output, both, n.outputs, keep);
        else
            worker.linear(step, *run.weights.output, one, n.outputs, keep);
    }

    void step(int64_t number) {
        prenet(number);
        attention_rnn(number);
        query(number);
        reader.energies(number);
        reader.read(number);
        output(number, stack(number));
        worker.share_out(1, [&](int64_t) {
            auto &next = run.going[number - run.first_step + 1];
            for (const int64_t row : run.rows(number))
                if (!finish(run, row, number)) next.push_back(row);
        });
    }
};

}  // namespace

WORDS(Sizes, Sizes)
WORDS(Matrix, Matrix)

extern "C" {

// Outputs in a vector.
void lanes(int64_t *count, int64_t) { *count = LANES; }

// Floats in a row of the working memory.
void row_size(const int64_t *sizes, int64_t *size, int64_t positions, int64_t) {
    *size = Layout(*(const Sizes *)sizes, positions).size;
}

// `steps` steps from `first_step`, or fewer if all rows end. Rows whose `ending` is not -1 rest.
void decode(const int64_t *sizes, const int64_t *matrices, const float *direction,
            const float *memory, const float *keys, float *history, float *working,
            const float *keep, const float *fed, const int64_t *lengths, const int64_t *limits,
            int64_t *resting, int64_t *ending, int64_t *step_lengths, int64_t *reached, float *mel,
            float *stop, float *alignment, int64_t batch, int64_t positions, int64_t first_step,
            int64_t steps, int64_t window, float rnn_zoneout, float stack_zoneout, float threshold,
            int64_t threads) {
    const Sizes &n = *(const Sizes *)sizes;
    Run run{n, Weights((const Matrix *)matrices, n), Layout(n, positions), direction, memory, keys,
            history, working, keep, fed, lengths, limits, resting, ending, step_lengths, reached,
            mel, stop, alignment, batch, positions, first_step, steps, window, rnn_zoneout,
            stack_zoneout, threshold, std::vector<std::vector<int64_t>>(steps + 1)};
    for (int64_t row = 0; row < batch; ++row)
        if (ending[row] < 0) run.going[0].push_back(row);
    Team team(threads);
#pragma omp parallel num_threads(threads)
    {
        Steps mine{run, {run, team}};
        for (int64_t step = 0; step < steps && !run.going[step].empty(); ++step)
            mine.step(first_step + step);
    }
}
}
