/* float32 kernels for 32-bit Arm with NEON; see kernels.h. For its C, the compiler is told of no NEON. */

#if defined(__arm__) && __ARM_ARCH >= 7

    .syntax unified
    .arch armv7-a
    .fpu neon-vfpv4
    .arm
    .text

/* A step of the eight vectors in registers: x += 1·1. */
.macro step8 mla
    .irp x, q0, q1, q2, q3, q8, q9, q10, q11
    \mla\().f32 \x, q14, q15
    .endr
.endm

/* Eight vectors from \from to \to, both advanced, with a step of every \every-th, counted from vector \at. */
.macro copy8 mla, every, at
    vldm r1!, {q0-q3}
    vldm r1!, {q8-q11}
    copied \mla, \every, \at + 0, q0
    copied \mla, \every, \at + 1, q1
    copied \mla, \every, \at + 2, q2
    copied \mla, \every, \at + 3, q3
    copied \mla, \every, \at + 4, q8
    copied \mla, \every, \at + 5, q9
    copied \mla, \every, \at + 6, q10
    copied \mla, \every, \at + 7, q11
    vstm r0!, {q0-q3}
    vstm r0!, {q8-q11}
.endm

.macro copied mla, every, at, x
    .if (\at) % \every == 0
    \mla\().f32 \x, q14, q15
    .endif
.endm

.macro copy_by mla, every
1:  copy8 \mla, \every, 0
    copy8 \mla, \every, 8
    copy8 \mla, \every, 16
    copy8 \mla, \every, 24
    subs r2, r2, #1
    bne 1b
    bx lr
.endm

.macro kernel name, mla
    /* r0: x, r1: blocks of 8 vectors, r2: steps */
    .global \name\()_update
    .type \name\()_update, %function
\name\()_update:
    cmp r1, #0
    bxeq lr
    vmov.f32 q14, #1.0
    vmov.f32 q15, #1.0
1:  mov r3, r0
    mov r12, r2
    vldm r3!, {q0-q3}
    vldm r3!, {q8-q11}
2:  step8 \mla
    subs r12, r12, #1
    bne 2b
    vstm r0!, {q0-q3}
    vstm r0!, {q8-q11}
    subs r1, r1, #1
    bne 1b
    bx lr

    /* r0: to, r1: from, r2: blocks of 32 vectors, r3: every */
    .global \name\()_copy
    .type \name\()_copy, %function
\name\()_copy:
    cmp r2, #0
    bxeq lr
    vmov.f32 q14, #1.0
    vmov.f32 q15, #1.0
    cmp r3, #2
    beq 2f
    cmp r3, #4
    beq 4f
    cmp r3, #8
    beq 8f
    cmp r3, #16
    beq 6f
    copy_by \mla, 32
2:  copy_by \mla, 2
4:  copy_by \mla, 4
8:  copy_by \mla, 8
6:  copy_by \mla, 16
.endm

    kernel neon, vmla
    kernel neon_fma, vfma

#endif

    .section .note.GNU-stack, "", %progbits
