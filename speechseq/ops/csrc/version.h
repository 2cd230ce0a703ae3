// What the callers of a library ask it before they call anything else; see signatures.py.
#pragma once

#include <cstdint>

// Raised here and there when a word of a struct keeps its place and changes its meaning.
extern "C" int64_t version() { return 1; }

// The number of 64-bit words in a struct, which callers fill field by field.
#define WORDS(NAME, STRUCT)                                                            \
    static_assert(sizeof(STRUCT) % 8 == 0 && alignof(STRUCT) == 8, "words of 64 bits"); \
    extern "C" int64_t words_##NAME() { return sizeof(STRUCT) / 8; }
