/* float32 in plain C, for CPUs without kernels of their own: one number at a time, in software where there is no
 * floating-point unit. */

#include "kernels.h"

#if !defined(__x86_64__) && !defined(__aarch64__) && !defined(__arm__)

static volatile float one = 1;

#define KERNEL(name) c_##name
#define TARGET
#define VECTOR float
#define UNROLL 16
#define CONSTANTS const float a = one, b = one;
#define STEP(x) ((x) * a + b)
#include "kernels_template.h"

static bool has_c(void) { return true; }

const struct kernel kernels[] = {
    {"float32", "c", has_c, STATE_FLOAT32, 4, 2, 16, c_update, c_copy},
};
const unsigned kernel_count = sizeof kernels / sizeof *kernels;

#endif
