// What dropout and zoneout do to the units of a recurrent cell.
#pragma once

#include "vector.h"

namespace {

typedef uint8_t Bytes __attribute__((vector_size(LANES)));

// What was drawn for a unit of a step, as bits; as in cells.py.
constexpr uint32_t DROPPED = 1, HIDDEN_KEPT = 2, CELL_KEPT = 4;

// Of LANES units: the multiplier of dropout, and the shares that zoneout keeps.
struct Chance {
    Floats multiplier, hidden, cell;
};

// Of units whose bits stand at `drawn`; where none were drawn, zoneout keeps its share of all.
inline Chance chance(const uint8_t *drawn, float multiplier, float zoneout, int64_t count) {
    if (!drawn) return {broadcast(1.0f), broadcast(zoneout), broadcast(zoneout)};
    uint8_t own[LANES] = {};
    if (count < LANES) drawn = (const uint8_t *)memcpy(own, drawn, count);
    const Words bits = __builtin_convertvector(from_memory<Bytes>(drawn), Words);
    const Floats none = {}, one = broadcast(1.0f);
    return {(bits & DROPPED) != 0 ? none : broadcast(multiplier),
            (bits & HIDDEN_KEPT) != 0 ? one : none, (bits & CELL_KEPT) != 0 ? one : none};
}

inline Floats between(Floats share, Floats old, Floats made) {
    return share * old + (1.0f - share) * made;
}

}  // namespace
