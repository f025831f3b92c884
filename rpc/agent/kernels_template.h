/* One kernel, written once for every instruction set. Include it with these defined; it undefines them:
 *
 *   KERNEL(name)   the function's own name
 *   TARGET         attribute that allows the instructions, or nothing
 *   VECTOR         type of one vector
 *   UNROLL         vectors in registers at a time
 *   CONSTANTS      declares what STEP needs, from volatile variables: the compiler must not know that 1·1 is 1
 *   STEP(x)        the vector after one step */

TARGET __attribute__((always_inline)) static inline void KERNEL(update_by)(VECTOR *x, size_t blocks, unsigned steps,
                                                                           unsigned at_once) {
    CONSTANTS
    for (VECTOR *end = x + blocks * UNROLL; x != end; x += UNROLL) {
        VECTOR v[UNROLL];
#pragma clang loop unroll(full)
        for (unsigned i = 0; i < UNROLL; i++) v[i] = x[i];
        for (unsigned left = steps; left; left -= at_once) {
#pragma clang loop unroll(full)
            for (unsigned step = 0; step < at_once; step++) {
#pragma clang loop unroll(full)
                for (unsigned i = 0; i < UNROLL; i++) v[i] = STEP(v[i]);
            }
        }
#pragma clang loop unroll(full)
        for (unsigned i = 0; i < UNROLL; i++) x[i] = v[i];
    }
}

TARGET static void KERNEL(update)(void *x, size_t blocks, unsigned steps) {
    switch (steps) {
        case 1: KERNEL(update_by)(x, blocks, 1, 1); break;
        case 2: KERNEL(update_by)(x, blocks, 2, 2); break;
        case 4: KERNEL(update_by)(x, blocks, 4, 4); break;
        default: KERNEL(update_by)(x, blocks, steps, 8);
    }
}

TARGET __attribute__((always_inline)) static inline void KERNEL(copy_by)(VECTOR *restrict to,
                                                                         const VECTOR *restrict from, size_t blocks,
                                                                         unsigned every) {
    CONSTANTS
    for (VECTOR *end = to + blocks * COPY_VECTORS; to != end; to += COPY_VECTORS, from += COPY_VECTORS) {
#pragma clang loop unroll(full)
        for (unsigned i = 0; i < COPY_VECTORS; i++) to[i] = i % every ? from[i] : STEP(from[i]);
    }
}

TARGET static void KERNEL(copy)(void *to, const void *from, size_t blocks, unsigned every) {
    switch (every) {
        case 2: KERNEL(copy_by)(to, from, blocks, 2); break;
        case 4: KERNEL(copy_by)(to, from, blocks, 4); break;
        case 8: KERNEL(copy_by)(to, from, blocks, 8); break;
        case 16: KERNEL(copy_by)(to, from, blocks, 16); break;
        default: KERNEL(copy_by)(to, from, blocks, 32);
    }
}

#undef KERNEL
#undef TARGET
#undef VECTOR
#undef UNROLL
#undef CONSTANTS
#undef STEP
