#include "kernels_state.h"

#include <string.h>

enum { STARTS = 61 };

/* The bits of a count in this number format. */
static uint32_t bits_of(enum state state, uint64_t count) {
    uint32_t bits = (uint32_t)count;
    if (state == STATE_FLOAT32) {
        float number = count < 1 << 24 ? (float)count : (float)(1 << 24); /* from here on x + 1 is rounded to x */
        memcpy(&bits, &number, sizeof bits);
    } else if (state == STATE_FLOAT16) {
        uint32_t number = count < 1 << 11 ? (uint32_t)count : 1 << 11;
        uint32_t exponent = 31 - (uint32_t)__builtin_clz(number);
        bits = (exponent + 15) << 10 | (exponent > 10 ? 0 : (number << (10 - exponent) & 0x3ff));
    }
    return bits;
}

static size_t element_bytes(enum state state) { return state == STATE_FLOAT16 ? 2 : 4; }

void state_fill(enum state state, void *array, size_t bytes) {
    size_t size = element_bytes(state);
    uint32_t starts[STARTS];
    for (unsigned i = 0; i < STARTS; i++) starts[i] = bits_of(state, 1 + i);
    unsigned start = 0;
    for (uint8_t *element = array, *end = element + bytes; element != end; element += size) {
        memcpy(element, &starts[start], size); /* the lower half comes first on every CPU that we are built for */
        start = start + 1 == STARTS ? 0 : start + 1;
    }
}

bool state_check(enum state state, const void *array, size_t begin, size_t end, size_t vector_bytes, unsigned every,
                 uint64_t steps) {
    size_t size = element_bytes(state), per_vector = vector_bytes / size;
    uint32_t untouched[STARTS], stepped[STARTS];
    for (unsigned i = 0; i < STARTS; i++) {
        untouched[i] = bits_of(state, 1 + i);
        stepped[i] = bits_of(state, 1 + i + steps);
    }
    for (size_t vector = begin / vector_bytes; vector < end / vector_bytes; vector++) {
        const uint32_t *expected = vector % every ? untouched : stepped;
        const uint8_t *element = (const uint8_t *)array + vector * vector_bytes;
        size_t start = vector * per_vector % STARTS;
        for (size_t i = 0; i < per_vector; i++, element += size) {
            if (memcmp(element, &expected[start], size) != 0) return false;
            start = start + 1 == STARTS ? 0 : start + 1;
        }
    }
    return true;
}
