// SIMD vectors of as many floats as a register holds, in the compiler's portable vector types.
#pragma once

#include <cstdint>
#include <cstring>

namespace {

#if defined(__AVX512F__)
constexpr int64_t LANES = 16;
#elif defined(__AVX__)
constexpr int64_t LANES = 8;
#else
constexpr int64_t LANES = 4;
#endif

typedef float Floats __attribute__((vector_size(4 * LANES)));
typedef int32_t Ints __attribute__((vector_size(4 * LANES)));
typedef uint32_t Words __attribute__((vector_size(4 * LANES)));
typedef uint16_t Halves __attribute__((vector_size(2 * LANES)));

// A float cut to its upper half (bfloat16).
struct Bf16 {
    uint16_t bits;
};

inline Floats broadcast(float value) { return Floats{} + value; }  // -0.0 becomes +0.0

template <typename Vector, typename From>
inline Vector from_memory(const From *source) {
    Vector values;
    memcpy(&values, source, sizeof values);
    return values;
}

inline Floats load(const float *source) { return from_memory<Floats>(source); }

inline void store(float *target, Floats values) { memcpy(target, &values, sizeof values); }

inline Floats load(const Bf16 *source) {
    return (Floats)(__builtin_convertvector(from_memory<Halves>(source), Words) << 16);
}

// Rounds to the nearest, ties to even, as torch does.
inline void store(Bf16 *target, Floats values) {
    const Words bits = (Words)values;
    const Words rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    const Words whole = (values == values) ? rounded : Words{} + 0x7fc0u;
    const Halves halves = __builtin_convertvector(whole, Halves);
    memcpy(target, &halves, sizeof halves);
}

// The first `count` of LANES; zeros stand for the others.
template <typename Number>
inline Floats load(const Number *source, int64_t count) {
    if (count >= LANES) return load(source);
    Number own[LANES] = {};
    memcpy(own, source, count * sizeof(Number));
    return load(own);
}

template <typename Number>
inline void store(Number *target, Floats values, int64_t count) {
    if (count >= LANES) return store(target, values);
    Number own[LANES];
    store(own, values);
    memcpy(target, own, count * sizeof(Number));
}

inline float number(float value) { return value; }

inline float number(Bf16 value) {
    const uint32_t bits = uint32_t(value.bits) << 16;
    float whole;
    memcpy(&whole, &bits, sizeof whole);
    return whole;
}

inline float total(Floats values) {
    float sums[LANES];
    store(sums, values);
    for (int64_t half = LANES / 2; half; half /= 2)
        for (int64_t i = 0; i < half; ++i) sums[i] += sums[i + half];
    return sums[0];
}

inline float largest(Floats values) {
    float own[LANES];
    store(own, values);
    for (int64_t half = LANES / 2; half; half /= 2)
        for (int64_t i = 0; i < half; ++i) own[i] = own[i] > own[i + half] ? own[i] : own[i + half];
    return own[0];
}

// 2 to the power of a whole number from -126 to 127.
inline Floats power_of_two(Ints exponent) { return (Floats)((exponent + 127) << 23); }

// e to the power of x; relative error below 2e-7, infinity and zero where they are due.
inline Floats exponential(Floats x) {
    const Floats lowest = broadcast(-104.0f), highest = broadcast(89.0f);
    x = x < lowest ? lowest : x;  // a NaN is neither lower nor higher
    x = x > highest ? highest : x;
    const Floats shift = broadcast(12582912.0f);  // 1.5 * 2^23: adding it rounds to a whole number
    const Floats shifted = x * 1.44269504f + shift;
    const Floats count = shifted - shift;
    const Ints whole = (Ints)shifted - (Ints)shift;
    Floats rest = x - count * 0.693145752f;  // log 2 in two parts: the first has few bits
    rest = rest - count * 1.42860677e-6f;
    Floats sum = broadcast(1.0f / 720);
    sum = sum * rest + 1.0f / 120;
    sum = sum * rest + 1.0f / 24;
    sum = sum * rest + 1.0f / 6;
    sum = sum * rest + 0.5f;
    sum = sum * rest + 1.0f;
    sum = sum * rest + 1.0f;
    const Ints half = whole >> 1;  // in two steps: 2^-150 and 2^128 are no floats of full precision
    return sum * power_of_two(half) * power_of_two(whole - half);
}

inline Floats sigmoid(Floats x) { return 1.0f / (1.0f + exponential(-x)); }

inline Floats hyperbolic_tangent(Floats x) {
    const Floats size = (Floats)((Words)x & 0x7fffffffu);
    const Floats fallen = exponential(-2.0f * size);
    const Floats value = (1.0f - fallen) / (1.0f + fallen);
    return (Floats)((Words)value | ((Words)x & 0x80000000u));
}

}  // namespace
