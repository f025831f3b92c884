/* What kernels work on: element i of an array begins as 1 + i % 61 and counts the steps it is given. */

#ifndef LEADLINE_KERNELS_STATE_H
#define LEADLINE_KERNELS_STATE_H

#include "kernels.h"

void state_fill(enum state state, void *array, size_t bytes);

/* Whether the elements of bytes [begin, end) of `array` have counted: vector i, of `vector_bytes`, had `steps` if it is
 * the first of `every`, else none. Counting ends where a number has no more digits for it, as it does in hardware. */
bool state_check(enum state state, const void *array, size_t begin, size_t end, size_t vector_bytes, unsigned every,
                 uint64_t steps);

#endif
