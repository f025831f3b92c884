#include "features.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <string.h>

enum { EAX, EBX, ECX, EDX };
enum { SSE = 0, YMM = 0x6, ZMM = 0xE6, TILES = 0x60000 }; /* register state the kernel must save, as XCR0 bits */

static const struct feature {
    const char *name;
    unsigned leaf, subleaf, reg, bit, state;
} features[] = {
    /* Intel SDM, volume 2, CPUID. __builtin_cpu_supports() always says no under zig's musl. */
    {"sse4_1", 1, 0, ECX, 19, SSE},
    {"sse4_2", 1, 0, ECX, 20, SSE},
    {"avx", 1, 0, ECX, 28, YMM},
    {"f16c", 1, 0, ECX, 29, YMM},
    {"fma", 1, 0, ECX, 12, YMM},
    {"avx2", 7, 0, EBX, 5, YMM},
    {"avx_vnni", 7, 1, EAX, 4, YMM},
    {"avx512f", 7, 0, EBX, 16, ZMM},
    {"avx512dq", 7, 0, EBX, 17, ZMM},
    {"avx512bw", 7, 0, EBX, 30, ZMM},
    {"avx512vl", 7, 0, EBX, 31, ZMM},
    {"avx512_vnni", 7, 0, ECX, 11, ZMM},
    {"avx512_bf16", 7, 1, EAX, 5, ZMM},
    {"avx512_fp16", 7, 0, EDX, 23, ZMM},
    {"amx_tile", 7, 0, EDX, 24, TILES},
    {"amx_int8", 7, 0, EDX, 25, TILES},
    {"amx_bf16", 7, 0, EDX, 22, TILES},
};

static unsigned saved_state(void) {
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & 1u << 27)) return 0; /* no OSXSAVE: xgetbv would trap */
    __asm__("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return a;
}

static bool is_there(const struct feature *f) {
    unsigned regs[4] = {0};
    return (saved_state() & f->state) == f->state &&
           __get_cpuid_count(f->leaf, f->subleaf, &regs[EAX], &regs[EBX], &regs[ECX], &regs[EDX]) &&
           (regs[f->reg] >> f->bit & 1);
}

void features_add(struct text *out) {
    bool first = true;
    text_add(out, "[");
    for (const struct feature *f = features; f < features + sizeof features / sizeof *features; f++) {
        if (!is_there(f)) continue;
        text_format(out, "%s\"%s\"", first ? "" : ",", f->name);
        first = false;
    }
    text_add(out, "]");
}

bool features_have(const char *name) {
    for (const struct feature *f = features; f < features + sizeof features / sizeof *features; f++)
        if (strcmp(f->name, name) == 0) return is_there(f);
    return false;
}

#else

void features_add(struct text *out) { text_add(out, "[]"); }

bool features_have(const char *name) {
    (void)name;
    return false;
}

#endif
