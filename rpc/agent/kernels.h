/* Micro-kernels: how fast does a CPU compute at a given operational intensity?
 *
 * A kernel's state is an array of vectors. A step replaces one vector x by x·1 + 1, or for int8 by x plus a dot product
 * that is 1, so that every element counts its steps exactly: the result tells whether all work was done, and no number
 * is ever denormal. Intensity is set by the number of steps a vector gets on its way through the registers:
 *
 *   update   x[i] = step^n(x[i])                            n steps for two vectors' worth of bytes moved
 *   copy     to[i] = i % every ? from[i] : step(from[i])    1 step for 2·every vectors' worth
 *
 * Below one step a vector only `copy` is left: storing to where it was loaded from what has not changed would be no
 * work at all. Vectors are worked on in blocks, with enough of them in registers to hide the latency of a step. */

#ifndef LEADLINE_KERNELS_H
#define LEADLINE_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { COPY_VECTORS = 32 }; /* of one block of `copy`; `every` divides it */

enum state { STATE_FLOAT32, STATE_FLOAT16, STATE_INT32 };

struct kernel {
    const char *dtype, *isa;
    bool (*supported)(void); /* by this CPU and kernel */
    enum state state;
    unsigned vector_bytes;
    unsigned ops_per_step; /* of one vector: a multiplication and an addition are two */
    unsigned update_vectors; /* of one block of `update` */
    void (*update)(void *x, size_t blocks, unsigned steps); /* steps: 1, 2, 4 or a multiple of 8 */
    void (*copy)(void *to, const void *from, size_t blocks, unsigned every); /* every: 2, 4, 8, 16 or 32 */
};

/* The best of a dtype comes first. */
extern const struct kernel kernels[];
extern const unsigned kernel_count;

#endif
