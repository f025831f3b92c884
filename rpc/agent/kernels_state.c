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
    size_t size = element_bytes(state), filled = 0;
    for (unsigned i = 0; i < STARTS && filled < bytes; i++, filled += size) {
        uint32_t start = bits_of(state, 1 + i);
        memcpy((uint8_t *)array + filled, &start, size); /* its lower half: every ABI that we build for begins there */
    }
    for (size_t more; filled < bytes; filled += more) { /* whole periods, until the last */
        more = filled < bytes - filled ? filled : bytes - filled;
        memcpy((uint8_t *)array + filled, array, more);
    }
}

/* Whether `count` elements are what they must be, the first of them being element `index` of its array. */
static bool are(enum state state, const void *elements, size_t count, size_t index, const uint32_t expected[STARTS]) {
    size_t start = index % STARTS;
    uint32_t different = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t number = state == STATE_FLOAT16 ? ((const uint16_t *)elements)[i] : ((const uint32_t *)elements)[i];
        different |= number ^ expected[start];
        start = start + 1 == STARTS ? 0 : start + 1;
    }
    return !different;
}

bool state_check(enum state state, const void *array, size_t begin, size_t end, size_t vector_bytes, unsigned every,
                 uint64_t steps) {
    size_t per_vector = vector_bytes / element_bytes(state);
    uint32_t untouched[STARTS], stepped[STARTS];
    for (unsigned i = 0; i < STARTS; i++) {
        untouched[i] = bits_of(state, 1 + i);
        stepped[i] = bits_of(state, 1 + i + steps);
    }
    for (size_t vector = begin / vector_bytes; vector < end / vector_bytes; vector++) {
        const uint8_t *elements = (const uint8_t *)array + vector * vector_bytes;
        if (!are(state, elements, per_vector, vector * per_vector, vector % every ? untouched : stepped)) return false;
    }
    return true;
}
