/* Kernels for x86-64: SSE2 is always there, the rest is asked for at run time. */

#include "kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include "features.h"

typedef float f32x4 __attribute__((vector_size(16)));
typedef float f32x8 __attribute__((vector_size(32)));
typedef float f32x16 __attribute__((vector_size(64)));
typedef _Float16 f16x32 __attribute__((vector_size(64)));

static volatile float one = 1;
static volatile int32_t unsigned_bytes = 0x07020503, signed_bytes = (int32_t)0xfe07ff02; /* 3·2 − 5·1 + 2·7 − 7·2 = 1 */

#define KERNEL(name) sse2_##name
#define TARGET
#define VECTOR f32x4
#define UNROLL 12
#define CONSTANTS const f32x4 a = (f32x4){0} + one, b = a;
#define STEP(x) ((x) * a + b)
#include "kernels_template.h"

#define KERNEL(name) avx2_##name
#define TARGET __attribute__((target("avx2,fma")))
#define VECTOR f32x8
#define UNROLL 12
#define CONSTANTS const __m256 a = _mm256_set1_ps(one), b = a;
#define STEP(x) ((f32x8)_mm256_fmadd_ps((__m256)(x), a, b))
#include "kernels_template.h"

#define KERNEL(name) avx512_##name
#define TARGET __attribute__((target("avx512f")))
#define VECTOR f32x16
#define UNROLL 16
#define CONSTANTS const __m512 a = _mm512_set1_ps(one), b = a;
#define STEP(x) ((f32x16)_mm512_fmadd_ps((__m512)(x), a, b))
#include "kernels_template.h"

#define KERNEL(name) avx512_fp16_##name
#define TARGET __attribute__((target("avx512fp16")))
#define VECTOR f16x32
#define UNROLL 16
#define CONSTANTS const __m512h a = _mm512_set1_ph((_Float16)one), b = a;
#define STEP(x) ((f16x32)_mm512_fmadd_ph((__m512h)(x), a, b))
#include "kernels_template.h"

#define KERNEL(name) avx_vnni_##name
#define TARGET __attribute__((target("avx2,avxvnni")))
#define VECTOR __m256i
#define UNROLL 12
#define CONSTANTS const __m256i a = _mm256_set1_epi32(unsigned_bytes), b = _mm256_set1_epi32(signed_bytes);
#define STEP(x) _mm256_dpbusd_avx_epi32(x, a, b)
#include "kernels_template.h"

#define KERNEL(name) avx512_vnni_##name
#define TARGET __attribute__((target("avx512f,avx512vnni")))
#define VECTOR __m512i
#define UNROLL 16
#define CONSTANTS const __m512i a = _mm512_set1_epi32(unsigned_bytes), b = _mm512_set1_epi32(signed_bytes);
#define STEP(x) _mm512_dpbusd_epi32(x, a, b)
#include "kernels_template.h"

static bool has_sse2(void) { return true; }
static bool has_avx2(void) { return features_have("avx2") && features_have("fma"); }
static bool has_avx512(void) { return features_have("avx512f"); }
static bool has_avx512_fp16(void) { return features_have("avx512_fp16"); }
static bool has_avx_vnni(void) { return features_have("avx_vnni"); }
static bool has_avx512_vnni(void) { return features_have("avx512_vnni"); }

const struct kernel kernels[] = {
    {"float32", "avx512f", has_avx512, STATE_FLOAT32, 64, 32, 16, avx512_update, avx512_copy},
    {"float32", "avx2+fma", has_avx2, STATE_FLOAT32, 32, 16, 12, avx2_update, avx2_copy},
    {"float32", "sse2", has_sse2, STATE_FLOAT32, 16, 8, 12, sse2_update, sse2_copy},
    {"float16", "avx512_fp16", has_avx512_fp16, STATE_FLOAT16, 64, 64, 16, avx512_fp16_update, avx512_fp16_copy},
    {"int8", "avx512_vnni", has_avx512_vnni, STATE_INT32, 64, 128, 16, avx512_vnni_update, avx512_vnni_copy},
    {"int8", "avx_vnni", has_avx_vnni, STATE_INT32, 32, 64, 12, avx_vnni_update, avx_vnni_copy},
};
const unsigned kernel_count = sizeof kernels / sizeof *kernels;

#endif
