// Short-time Fourier transforms of one signal: magnitudes, and a Griffin-Lim projection.
//
// Each lane of a vector holds a frame of its own, so that the transform has no shuffles: the signal
// lies turned, (hop, rows), and the samples of neighbouring frames side by side. Transforms are
// powers of two.
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "simd.h"
#include "version.h"

namespace {

template <typename Real>
struct Lanes;
template <>
struct Lanes<float> {
    typedef float Vector __attribute__((vector_size(4 * LANES)));
};
template <>
struct Lanes<double> {
    typedef double Vector __attribute__((vector_size(4 * LANES)));
};

// Frames of `window` samples from sample `first + frame * hop` on, and their transform.
template <typename Real>
struct Frames {
    typedef typename Lanes<Real>::Vector Vector;
    static constexpr int64_t COUNT = sizeof(Vector) / sizeof(Real);
    struct Complex {
        Vector re, im;
    };

    int64_t hop, first, window, n_fft;
    const Real *weights, *turns;  // turns: cos and sin of 2 pi k / n_fft, by turns
    int64_t half = n_fft / 2;

    // Rows of the turned signal that `room` frames read.
    int64_t rows(int64_t room) const { return room + (first + window) / hop + 1; }

    template <typename From>
    static Vector load(const From *source) {
        typedef From Given __attribute__((vector_size(COUNT * sizeof(From))));
        return __builtin_convertvector(from_memory<Given>(source), Vector);
    }

    static Vector root(Vector x) {
        for (int64_t i = 0; i < COUNT; ++i) x[i] = std::sqrt(x[i]);
        return x;
    }

    // a times the conjugate of turn k: forward
    Complex turned(Complex a, int64_t k) const {
        const Real c = turns[2 * k], s = turns[2 * k + 1];
        return {a.re * c + a.im * s, a.im * c - a.re * s};
    }

    // Stockham's transform of `half` complex numbers, by fours; tells which of the two has it.
    Complex *transform(Complex *x, Complex *y) const {
        int64_t length = half, stride = 1;
        for (; length >= 4; length /= 4, stride *= 4, std::swap(x, y))
            for (int64_t p = 0; p < length / 4; ++p)
                quarter(x + stride * p, y + 4 * stride * p, stride, stride * (length / 4),
                        p * (n_fft / length));
        if (length == 1) return x;
        for (int64_t q = 0; q < stride; ++q) {
            const Complex a = x[q], b = x[q + stride];
            y[q] = {a.re + b.re, a.im + b.im};
            y[q + stride] = {a.re - b.re, a.im - b.im};
        }
        return y;
    }

    void quarter(const Complex *x, Complex *y, int64_t stride, int64_t apart, int64_t turn) const {
        for (int64_t q = 0; q < stride; ++q) {
            const Complex a = x[q], b = x[q + apart], c = x[q + 2 * apart], d = x[q + 3 * apart];
            const Complex even = {a.re + c.re, a.im + c.im}, odd = {a.re - c.re, a.im - c.im};
            const Complex sum = {b.re + d.re, b.im + d.im}, difference = {b.re - d.re, b.im - d.im};
            const Complex one = {odd.re + difference.im, odd.im - difference.re};
            const Complex two = {even.re - sum.re, even.im - sum.im};
            const Complex three = {odd.re - difference.im, odd.im + difference.re};
            y[q] = {even.re + sum.re, even.im + sum.im};
            y[q + stride] = turn ? turned(one, turn) : one;
            y[q + 2 * stride] = turn ? turned(two, 2 * turn) : two;
            y[q + 3 * stride] = turn ? turned(three, 3 * turn) : three;
        }
    }

    // Even samples as real, odd ones as imaginary parts, of the frames from `frame` on.
    template <typename From>
    Complex *spectrum(const From *turned_signal, int64_t rows, int64_t frame, Complex *x,
                      Complex *y) const {
        std::fill_n(x, half, Complex{});
        int64_t column = first % hop, row = first / hop + frame;
        for (int64_t n = 0; n < window; ++n) {
            const Vector value = load(turned_signal + column * rows + row) * weights[n];
            (n % 2 ? x[n / 2].im : x[n / 2].re) = value;
            if (++column == hop) column = 0, ++row;
        }
        return transform(x, y);
    }

    // Overlap and add what `unbin` and `transform` made, windowed.
    void add(const Complex *z, Real *turned_signal, int64_t rows, int64_t frame) const {
        int64_t column = first % hop, row = first / hop + frame;
        for (int64_t n = 0; n < window; ++n) {
            Real *place = turned_signal + column * rows + row;
            const Vector sum = load(place) + (n % 2 ? z[n / 2].re : z[n / 2].im) * weights[n];
            memcpy(place, &sum, sizeof sum);
            if (++column == hop) column = 0, ++row;
        }
    }

    // Twice bins k and half - k of the real signal's spectrum, the second one conjugated.
    std::pair<Complex, Complex> bins(const Complex *z, int64_t k) const {
        const Complex a = z[k], b = z[(half - k) % half];
        const Complex even = {a.re + b.re, a.im - b.im};
        const Complex odd = turned({a.im + b.im, b.re - a.re}, k);
        return {{even.re + odd.re, even.im + odd.im}, {even.re - odd.re, even.im - odd.im}};
    }

    // The other way: from bins k and half - k, the second one conjugated, to entries of `half`
    // numbers whose transform, real and imaginary parts changed over, is the signal's, n_fft times.
    void unbin(Complex one, Complex other, int64_t k, Complex *z) const {
        const Complex even = {one.re + other.re, one.im + other.im};
        const Complex back = turned({one.im - other.im, one.re - other.re}, k);
        const Complex odd = {back.im, back.re};  // turned forward, changed over: turned back
        z[k] = {even.im + odd.re, even.re - odd.im};
        if (k) z[half - k] = {odd.re - even.im, even.re + odd.im};
    }
};

// (samples) to (hop, rows), zeros after the end.
template <typename Real>
void turn(const Real *signal, int64_t samples, int64_t hop, int64_t rows, Real *turned) {
    const int64_t block = 16;
    for (int64_t from = 0; from < rows; from += block)
        for (int64_t m = 0; m < hop; ++m)
            for (int64_t row = from; row < std::min(rows, from + block); ++row) {
                const int64_t at = row * hop + m;
                turned[m * rows + row] = at < samples ? signal[at] : Real(0);
            }
}

// (hop, rows) to (samples), in their place or added to them.
template <typename Real>
void turn_back(const Real *turned, int64_t samples, int64_t hop, int64_t rows, Real *signal,
               bool add) {
    const int64_t block = 16;
    for (int64_t from = 0; from * hop < samples; from += block)
        for (int64_t m = 0; m < hop; ++m)
            for (int64_t row = from; row < from + block && row * hop + m < samples; ++row) {
                Real &place = signal[row * hop + m];
                place = turned[m * rows + row] + (add ? place : Real(0));
            }
}

// `out` is (bins, room), room a multiple of every number of lanes and at least `count`.
template <typename Real>
void magnitudes(const Real *signal, int64_t samples, int64_t count, Frames<double> frames,
                int64_t bins, const double *epsilon, Real *out, int64_t room, int64_t threads) {
    typedef Frames<double>::Complex Complex;
    typedef Frames<double>::Vector Vector;
    const int64_t step = Frames<double>::COUNT, rows = frames.rows(room);
    std::vector<Real> turned(frames.hop * rows);
    turn(signal, samples, frames.hop, rows, turned.data());
    const auto keep = [&](int64_t k, int64_t frame, Complex bin) {
        if (k >= bins) return;
        const Vector power = (bin.re * bin.re + bin.im * bin.im) * 0.25;
        const Vector size = Frames<double>::root(power + *epsilon);
        for (int64_t i = 0; i < step; ++i) out[k * room + frame + i] = Real(size[i]);
    };
#pragma omp parallel num_threads(threads)
    {
        const std::unique_ptr<Complex[]> x(new Complex[frames.half]), y(new Complex[frames.half]);
#pragma omp for
        for (int64_t frame = 0; frame < count; frame += step) {
            const Complex *z = frames.spectrum(turned.data(), rows, frame, x.get(), y.get());
            for (int64_t k = 0; k <= frames.half / 2; ++k) {
                const auto both = frames.bins(z, k);
                keep(k, frame, both.first);
                keep(frames.half - k, frame, both.second);
            }
        }
    }
}

// Gives each frame its target magnitudes, keeps its phases and adds the frames up, windowed, into
// `sums`, as long as the signal. `target` is (bins, room), zeros after `count`.
template <typename Real>
void project(const Real *signal, int64_t samples, int64_t count, Frames<Real> frames,
             const Real *target, int64_t room, Real *sums, int64_t threads) {
    typedef typename Frames<Real>::Complex Complex;
    const int64_t step = Frames<Real>::COUNT;
    // a window much shorter than its transform ends long before the signal does
    const int64_t rows = std::max(frames.rows(room), samples / frames.hop + 1);
    threads = std::max<int64_t>(1, std::min(threads, count / (8 * step)));  // each has own sums
    std::vector<Real> turned(frames.hop * rows), added(threads * frames.hop * rows);
    turn(signal, samples, frames.hop, rows, turned.data());
    const auto fitted = [&](Complex bin, int64_t k, int64_t frame) {
        const Real tiny = std::numeric_limits<Real>::min();
        const auto size = Frames<Real>::root(bin.re * bin.re + bin.im * bin.im + tiny);
        const auto wanted = Frames<Real>::load(target + k * room + frame);
        const auto scale = wanted / (size * Real(frames.n_fft));
        return Complex{bin.re * scale, bin.im * scale};
    };
#pragma omp parallel num_threads(threads)
    {
        const std::unique_ptr<Complex[]> x(new Complex[frames.half]), y(new Complex[frames.half]);
        Real *own = added.data() + omp_get_thread_num() * frames.hop * rows;
#pragma omp for schedule(static)
        for (int64_t frame = 0; frame < count; frame += step) {
            Complex *z = frames.spectrum(turned.data(), rows, frame, x.get(), y.get());
            for (int64_t k = 0; k <= frames.half / 2; ++k) {
                const auto both = frames.bins(z, k);
                frames.unbin(fitted(both.first, k, frame),
                             fitted(both.second, frames.half - k, frame), k, z);
            }
            frames.add(frames.transform(z, z == x.get() ? y.get() : x.get()), own, rows, frame);
        }
    }
    for (int64_t thread = 0; thread < threads; ++thread)
        turn_back(added.data() + thread * frames.hop * rows, samples, frames.hop, rows, sums,
                  thread > 0);
}

}  // namespace

#define PASSES(NAME, NUMBER)                                                                       \
    void magnitudes_##NAME(const NUMBER *signal, int64_t samples, int64_t count, int64_t hop,      \
                           int64_t first, int64_t window, int64_t n_fft, const double *weights,    \
                           const double *turns, int64_t bins, const double *epsilon, NUMBER *out,  \
                           int64_t room, int64_t threads) {                                        \
        magnitudes<NUMBER>(signal, samples, count, {hop, first, window, n_fft, weights, turns},    \
                           bins, epsilon, out, room, threads);                                     \
    }                                                                                              \
    void project_##NAME(const NUMBER *signal, int64_t samples, int64_t count, int64_t hop,         \
                        int64_t first, int64_t window, int64_t n_fft, const NUMBER *weights,       \
                        const NUMBER *turns, const NUMBER *target, int64_t room, NUMBER *sums,     \
                        int64_t threads) {                                                         \
        project<NUMBER>(signal, samples, count, {hop, first, window, n_fft, weights, turns},       \
                        target, room, sums, threads);                                              \
    }

extern "C" {
PASSES(float32, float)
PASSES(float64, double)
}
