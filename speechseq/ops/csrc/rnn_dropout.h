// Dropout and zoneout of the units of a recurrent cell.
#pragma once

#include "simd.h"

namespace {

typedef uint8_t Bytes __attribute__((vector_size(LANES)));

// Bits of a unit at a step, as in ops/dropout.py.
constexpr uint32_t DROPPED = 1, HIDDEN_KEPT = 2, CELL_KEPT = 4;

// Of LANES units: the factor of dropout, and the shares of the old states that zoneout keeps.
struct RecurrentDropout {
    Floats scale, hidden, cell;
};

// Of `count` units with their bits; without bits, zoneout keeps its share of all.
inline RecurrentDropout recurrent_dropout(const uint8_t *drawn, float scale, float zoneout,
                                          int64_t count) {
    if (!drawn) return {broadcast(1.0f), broadcast(zoneout), broadcast(zoneout)};
    uint8_t own[LANES] = {};
    if (count < LANES) drawn = (const uint8_t *)memcpy(own, drawn, count);
    const Words bits = __builtin_convertvector(from_memory<Bytes>(drawn), Words);
    const Floats none = {}, one = broadcast(1.0f);
    return {(bits & DROPPED) != 0 ? none : broadcast(scale),
            (bits & HIDDEN_KEPT) != 0 ? one : none, (bits & CELL_KEPT) != 0 ? one : none};
}

inline Floats between(Floats share, Floats old, Floats made) {
    return share * old + (1.0f - share) * made;
}

}  // namespace
