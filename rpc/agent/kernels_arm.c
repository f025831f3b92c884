/* Kernels for 64-bit Arm (NEON is always there, the rest is asked for at run time) and for 32-bit Arm.
 *
 * Arm's multiply-accumulate overwrites its addend, so a step is x += 1·1 here. */

#include "kernels.h"

#if defined(__aarch64__)

#include <arm_neon.h>
#include <sys/auxv.h>

/* From the kernel's asm/hwcap.h, which zig's musl does not carry for every target. */
enum { HAS_ASIMDHP = 1 << 10, HAS_ASIMDDP = 1 << 20, HAS_I8MM = 1 << 13 /* of AT_HWCAP2 */ };

static volatile float one = 1;
static volatile int32_t first_bytes = 0x07020503, second_bytes = (int32_t)0xfe07ff02; /* 3·2 − 5·1 + 2·7 − 7·2 = 1 */

#define KERNEL(name) neon_##name
#define TARGET
#define VECTOR float32x4_t
#define UNROLL 24
#define CONSTANTS const float32x4_t a = vdupq_n_f32(one), b = vdupq_n_f32(one);
#define STEP(x) vfmaq_f32(x, a, b)
#include "kernels_template.h"

#define KERNEL(name) fp16_##name
#define TARGET __attribute__((target("+fp16")))
#define VECTOR float16x8_t
#define UNROLL 24
#define CONSTANTS const float16x8_t a = (float16x8_t){0} + (float16_t)one, b = a;
#define STEP(x) __builtin_elementwise_fma(a, b, x) /* vfmaq_f16 asks for "fullfp16", which computes in float32 */
#include "kernels_template.h"

#define KERNEL(name) dotprod_##name
#define TARGET __attribute__((target("+dotprod")))
#define VECTOR int32x4_t
#define UNROLL 24
#define CONSTANTS                                                      \
    const int8x16_t a = vreinterpretq_s8_s32(vdupq_n_s32(first_bytes)), \
                    b = vreinterpretq_s8_s32(vdupq_n_s32(second_bytes));
#define STEP(x) vdotq_s32(x, a, b)
#include "kernels_template.h"

/* Every result is a dot product of eight: the first four give 1, the others 0. */
#define KERNEL(name) i8mm_##name
#define TARGET __attribute__((target("+i8mm")))
#define VECTOR int32x4_t
#define UNROLL 24
#define CONSTANTS                                                                            \
    const int8x16_t a = vreinterpretq_s8_s64(vdupq_n_s64((int64_t)(uint32_t)first_bytes)),   \
                    b = vreinterpretq_s8_s64(vdupq_n_s64((int64_t)(uint32_t)second_bytes));
#define STEP(x) vmmlaq_s32(x, a, b)
#include "kernels_template.h"

static bool has_neon(void) { return true; }
static bool has_fp16(void) { return getauxval(AT_HWCAP) & HAS_ASIMDHP; }
static bool has_dotprod(void) { return getauxval(AT_HWCAP) & HAS_ASIMDDP; }
static bool has_i8mm(void) { return getauxval(AT_HWCAP2) & HAS_I8MM; }

const struct kernel kernels[] = {
    {"float32", "neon", has_neon, STATE_FLOAT32, 16, 8, 24, neon_update, neon_copy},
    {"float16", "neon+fp16", has_fp16, STATE_FLOAT16, 16, 16, 24, fp16_update, fp16_copy},
    {"int8", "i8mm", has_i8mm, STATE_INT32, 16, 64, 24, i8mm_update, i8mm_copy},
    {"int8", "dotprod", has_dotprod, STATE_INT32, 16, 32, 24, dotprod_update, dotprod_copy},
};
const unsigned kernel_count = sizeof kernels / sizeof *kernels;

#elif defined(__arm__)

#include <sys/auxv.h>

enum { HAS_NEON = 1 << 12, HAS_VFPV4 = 1 << 16 };

static volatile float one = 1;

/* In assembly, because a compiler that multiplies and adds apart would compute 1·1 once. */
static inline float multiply_accumulate(float x, float a, float b) {
    __asm__("vmla.f32 %0, %1, %2" : "+t"(x) : "t"(a), "t"(b));
    return x;
}

#define KERNEL(name) vfp_##name
#define TARGET
#define VECTOR float
#define UNROLL 16
#define CONSTANTS const float a = one, b = one;
#define STEP(x) multiply_accumulate(x, a, b)
#include "kernels_template.h"

static bool has_vfp(void) { return true; } /* or this program could not run */

#if __ARM_ARCH >= 7

/* kernels_neon.S: a compiler for CPUs without NEON refuses NEON in any single function. */
void neon_update(void *x, size_t blocks, unsigned steps);
void neon_copy(void *to, const void *from, size_t blocks, unsigned every);
void neon_fma_update(void *x, size_t blocks, unsigned steps);
void neon_fma_copy(void *to, const void *from, size_t blocks, unsigned every);

static bool has_neon(void) { return getauxval(AT_HWCAP) & HAS_NEON; }
static bool has_neon_fma(void) { return has_neon() && (getauxval(AT_HWCAP) & HAS_VFPV4); }

#endif

const struct kernel kernels[] = {
#if __ARM_ARCH >= 7
    {"float32", "neon+fma", has_neon_fma, STATE_FLOAT32, 16, 8, 8, neon_fma_update, neon_fma_copy},
    {"float32", "neon", has_neon, STATE_FLOAT32, 16, 8, 8, neon_update, neon_copy},
#endif
    {"float32", "vfp", has_vfp, STATE_FLOAT32, 4, 2, 16, vfp_update, vfp_copy},
};
const unsigned kernel_count = sizeof kernels / sizeof *kernels;

#endif
