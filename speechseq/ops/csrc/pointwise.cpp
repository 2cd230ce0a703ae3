// Passes over the rows of a batch between two products: batch norm, max pooling of pairs, highway.
//
// Batch norm comes with its activation and dropout. Each reads and writes memory once, or twice.
// Sums over rows are made block by block, and the blocks' in order: the threads change nothing.
#include <algorithm>
#include <cmath>
#include <vector>

#include "simd.h"
#include "version.h"

namespace {

constexpr int64_t BLOCK = 128;  // rows whose sums are made together
constexpr int64_t GROUP = 4;    // vectors of channels whose rows of a block fit the first cache

enum Activation : int64_t { LINEAR, RELU, TANH };

typedef uint8_t Bytes __attribute__((vector_size(LANES)));

// Zeros and ones as floats.
inline Floats load(const bool *source, int64_t count) {
    Bytes own = {};
    memcpy(&own, source, std::min(count, LANES));
    return __builtin_convertvector(__builtin_convertvector(own, Ints), Floats);
}

template <int64_t ACTIVATION>
inline Floats activate(Floats x) {
    if (ACTIVATION == RELU) return x < 0.0f ? Floats{} : x;  // a NaN stays
    if (ACTIVATION == TANH) return hyperbolic_tangent(x);
    return x;
}

// Gradient of the input of an activation, from that of its output and the input.
template <int64_t ACTIVATION>
inline Floats activation_backward(Floats grad_y, Floats x) {
    if (ACTIVATION == RELU) return x <= 0.0f ? Floats{} : grad_y;
    if (ACTIVATION == TANH) {
        const Floats y = hyperbolic_tangent(x);
        return grad_y * (1.0f - y * y);
    }
    return grad_y;
}

struct Norm {
    const float *x, *weight, *bias;
    const bool *kept;  // none: nothing is dropped
    float *mean, *inverse;
    int64_t rows, channels;
    float multiplier;

    int64_t blocks() const { return (rows + BLOCK - 1) / BLOCK; }
    Floats dropped(Floats value, int64_t at, int64_t count) const {
        return kept ? value * (load(kept + at, count) * multiplier) : value;
    }
};

// Calls `visit` with each vector of the channels: the first of some, and how many.
template <typename Visit>
inline void by_vectors(int64_t channels, Visit visit) {
    for (int64_t at = 0; at < channels; at += LANES) visit(at, std::min(channels - at, LANES));
}

// Of a block's rows: each channel's mean, and the sum of squares around it.
template <typename Number>
void block_sums(const Norm &n, int64_t block, Number number, float *sums, float *squares) {
    const int64_t first = block * BLOCK, last = std::min(n.rows, first + BLOCK);
    for (int64_t group = 0; group < n.channels; group += GROUP * LANES) {
        Floats sum[GROUP] = {}, square[GROUP] = {};
        const auto each = [&](auto visit) {
            for (int64_t row = first; row < last; ++row)
                for (int64_t i = 0; i < GROUP; ++i)
                    if (const int64_t at = group + i * LANES; at < n.channels)
                        visit(i, number(n.x + row * n.channels + at,
                                        std::min(n.channels - at, LANES)));
        };
        each([&](int64_t i, Floats value) { sum[i] += value; });
        for (Floats &own : sum) own /= float(last - first);
        each([&](int64_t i, Floats value) { square[i] += (value - sum[i]) * (value - sum[i]); });
        for (int64_t i = 0; i < GROUP; ++i)
            if (const int64_t at = group + i * LANES; at < n.channels) {
                const int64_t count = std::min(n.channels - at, LANES);
                store(sums + block * n.channels + at, sum[i], count);
                store(squares + block * n.channels + at, square[i], count);
            }
    }
}

// Mean and variance of each channel, from those of the blocks (Chan 1983).
void merge(const Norm &n, const float *means, const float *squares, float eps, float *variance) {
    for (int64_t channel = 0; channel < n.channels; ++channel) {
        double mean = 0, square = 0;
        for (int64_t block = 0; block < n.blocks(); ++block) {
            const double before = double(block * BLOCK);
            const double own = double(std::min(n.rows - block * BLOCK, BLOCK));
            const double apart = means[block * n.channels + channel] - mean;
            mean += apart * own / (before + own);
            square += squares[block * n.channels + channel] +
                      apart * apart * before * own / (before + own);
        }
        n.mean[channel] = float(mean);
        variance[channel] = float(square / double(n.rows));
        n.inverse[channel] = float(1 / std::sqrt(square / double(n.rows) + eps));
    }
}

template <int64_t ACTIVATION, bool LAST>
void forward(const Norm &n, float eps, float *variance, float *y, int64_t threads) {
    std::vector<float> means(n.blocks() * n.channels), squares(means.size());
    const auto value = [](const float *x, int64_t count) {
        return LAST ? activate<ACTIVATION>(load(x, count)) : load(x, count);
    };
#pragma omp parallel for num_threads(threads)
    for (int64_t block = 0; block < n.blocks(); ++block)
        block_sums(n, block, value, means.data(), squares.data());
    merge(n, means.data(), squares.data(), eps, variance);
#pragma omp parallel for num_threads(threads)
    for (int64_t row = 0; row < n.rows; ++row)
        by_vectors(n.channels, [&](int64_t channel, int64_t count) {
            const int64_t at = row * n.channels + channel;
            const Floats scale = load(n.weight + channel, count) * load(n.inverse + channel, count);
            Floats normed = value(n.x + at, count) - load(n.mean + channel, count);
            normed = normed * scale + load(n.bias + channel, count);
            if (!LAST) normed = activate<ACTIVATION>(normed);
            store(y + at, n.dropped(normed, at, count), count);
        });
}

// Passes `visit` the normalised x, before weight and bias, and the gradient of the norm's result.
template <int64_t ACTIVATION, bool LAST, typename Visit>
inline void each_gradient(const Norm &n, const float *grad_y, int64_t row, Visit visit) {
    by_vectors(n.channels, [&](int64_t channel, int64_t count) {
        const int64_t at = row * n.channels + channel;
        Floats value = load(n.x + at, count), gradient = load(grad_y + at, count);
        gradient = n.dropped(gradient, at, count);
        if (LAST) value = activate<ACTIVATION>(value);
        value = (value - load(n.mean + channel, count)) * load(n.inverse + channel, count);
        if (!LAST && ACTIVATION != LINEAR) {
            const Floats weight = load(n.weight + channel, count);
            const Floats normed = value * weight + load(n.bias + channel, count);
            gradient = activation_backward<ACTIVATION>(gradient, normed);
        }
        visit(channel, count, value, gradient);
    });
}

template <int64_t ACTIVATION, bool LAST>
void backward(const Norm &n, const float *grad_y, float *grad_x, float *grad_weight,
              float *grad_bias, int64_t threads) {
    std::vector<float> biases(n.blocks() * n.channels), weights(biases.size());
#pragma omp parallel for num_threads(threads)
    for (int64_t block = 0; block < n.blocks(); ++block) {
        float *bias = &biases[block * n.channels], *weight = &weights[block * n.channels];
        for (int64_t row = block * BLOCK; row < std::min(n.rows, (block + 1) * BLOCK); ++row)
            each_gradient<ACTIVATION, LAST>(
                n, grad_y, row,
                [&](int64_t channel, int64_t count, Floats value, Floats gradient) {
                    const int64_t at = row * n.channels + channel;
                    store(grad_x + at, gradient, count);
                    store(bias + channel, load(bias + channel, count) + gradient, count);
                    store(weight + channel, load(weight + channel, count) + gradient * value,
                          count);
                });
    }
    for (int64_t channel = 0; channel < n.channels; ++channel) {
        double bias = 0, weight = 0;
        for (int64_t block = 0; block < n.blocks(); ++block) {
            bias += biases[block * n.channels + channel];
            weight += weights[block * n.channels + channel];
        }
        grad_bias[channel] = float(bias);
        grad_weight[channel] = float(weight);
    }
    const float share = 1.0f / float(n.rows);
#pragma omp parallel for num_threads(threads)
    for (int64_t row = 0; row < n.rows; ++row)
        by_vectors(n.channels, [&](int64_t channel, int64_t count) {
            const int64_t at = row * n.channels + channel;
            const Floats inverse = load(n.inverse + channel, count), raw = load(n.x + at, count);
            Floats value = LAST ? activate<ACTIVATION>(raw) : raw;
            value = (value - load(n.mean + channel, count)) * inverse;
            Floats gradient = load(grad_x + at, count) - share * load(grad_bias + channel, count);
            gradient -= value * (share * load(grad_weight + channel, count));
            gradient *= inverse * load(n.weight + channel, count);
            if (LAST) gradient = activation_backward<ACTIVATION>(gradient, raw);
            store(grad_x + at, gradient, count);
        });
}

// The half of a tie that goes to each of two equal values, as torch's maximum gives it.
inline Floats won(Floats own, Floats other) {
    const Floats half = broadcast(0.5f), one = broadcast(1.0f);
    return own > other ? one : (own == other ? half : Floats{});
}

}  // namespace

#define BY_ACTIVATION(FUNCTION, ...)                                             \
    switch (2 * activation + last) {                                             \
        case 2 * LINEAR: FUNCTION<LINEAR, false>(__VA_ARGS__); break;            \
        case 2 * LINEAR + 1: FUNCTION<LINEAR, false>(__VA_ARGS__); break;        \
        case 2 * RELU: FUNCTION<RELU, false>(__VA_ARGS__); break;                \
        case 2 * RELU + 1: FUNCTION<RELU, true>(__VA_ARGS__); break;             \
        case 2 * TANH: FUNCTION<TANH, false>(__VA_ARGS__); break;                \
        case 2 * TANH + 1: FUNCTION<TANH, true>(__VA_ARGS__); break;             \
    }

extern "C" {

// x, y (rows, channels): the norm over rows, behind it (or, with `last`, before it) the activation,
// then dropout by `kept`. Writes mean, biased variance, and one over the width (channels).
void norm_forward(const float *x, const float *weight, const float *bias, const bool *kept,
                  float *mean, float *variance, float *inverse, float *y, int64_t rows,
                  int64_t channels, int64_t activation, int64_t last, float multiplier, float eps,
                  int64_t threads) {
    const Norm n{x, weight, bias, kept, mean, inverse, rows, channels, multiplier};
    BY_ACTIVATION(forward, n, eps, variance, y, threads)
}

void norm_backward(const float *grad_y, const float *x, const float *weight, const float *bias,
                   const bool *kept, float *mean, float *inverse, float *grad_x,
                   float *grad_weight, float *grad_bias, int64_t rows, int64_t channels,
                   int64_t activation, int64_t last, float multiplier, int64_t threads) {
    const Norm n{x, weight, bias, kept, mean, inverse, rows, channels, multiplier};
    BY_ACTIVATION(backward, n, grad_y, grad_x, grad_weight, grad_bias, threads)
}

// The larger of each row and the next, where it is followed.
void pool_forward(const float *x, const bool *followed, float *y, int64_t rows, int64_t channels,
                  int64_t threads) {
#pragma omp parallel for num_threads(threads)
    for (int64_t row = 0; row < rows; ++row)
        by_vectors(channels, [&](int64_t channel, int64_t count) {
            const float *own = x + row * channels + channel;
            Floats most = load(own, count);
            if (followed[row]) {
                const Floats next = load(own + channels, count);
                most = most >= next || most != most ? most : next;
            }
            store(y + row * channels + channel, most, count);
        });
}

void pool_backward(const float *grad_y, const float *x, const bool *followed, float *grad_x,
                   int64_t rows, int64_t channels, int64_t threads) {
#pragma omp parallel for num_threads(threads)
    for (int64_t row = 0; row < rows; ++row)
        by_vectors(channels, [&](int64_t channel, int64_t count) {
            const int64_t at = row * channels + channel;
            const Floats own = load(x + at, count);
            Floats gradient = load(grad_y + at, count);
            if (followed[row]) gradient *= won(own, load(x + at + channels, count));
            if (row && followed[row - 1])
                gradient += load(grad_y + at - channels, count) *
                            won(own, load(x + at - channels, count));
            store(grad_x + at, gradient, count);
        });
}

// y = x + sigmoid(gate) * (relu(fresh) - x), all of them `size` numbers.
void highway_forward(const float *x, const float *fresh, const float *gate, float *y, int64_t size,
                     int64_t threads) {
#pragma omp parallel for num_threads(threads)
    for (int64_t at = 0; at < size; at += LANES) {
        const int64_t count = std::min(size - at, LANES);
        const Floats old = load(x + at, count), open = sigmoid(load(gate + at, count));
        const Floats made = activate<RELU>(load(fresh + at, count));
        store(y + at, old + open * (made - old), count);
    }
}

void highway_backward(const float *grad_y, const float *x, const float *fresh, const float *gate,
                      float *grad_x, float *grad_fresh, float *grad_gate, int64_t size,
                      int64_t threads) {
#pragma omp parallel for num_threads(threads)
    for (int64_t at = 0; at < size; at += LANES) {
        const int64_t count = std::min(size - at, LANES);
        const Floats gradient = load(grad_y + at, count), raw = load(fresh + at, count);
        const Floats open = sigmoid(load(gate + at, count));
        const Floats apart = activate<RELU>(raw) - load(x + at, count);
        store(grad_x + at, gradient * (1.0f - open), count);
        store(grad_fresh + at, activation_backward<RELU>(gradient * open, raw), count);
        store(grad_gate + at, gradient * apart * open * (1.0f - open), count);
    }
}
}
