// Seeded input and the fingerprint of outputs, as docs/agent-protocol.md defines them.
// The same in Python: harness/leadline/runner/seeded.py (host) and tflite_script.py (devices with Python only).

#ifndef LEADLINE_SEEDED_H
#define LEADLINE_SEEDED_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "litert_api.h"

enum { SKETCH_ELEMENTS = 64 };
static const double NOT_FINITE = 0x1p400;  // stands for NaN and infinities: JSON has neither, and no sketch is near it

static const struct {
  int type;
  const char *name;
  size_t bytes;
} ELEMENT_TYPES[] = {{LITERT_FLOAT32, "float32", 4}, {LITERT_FLOAT16, "float16", 2}, {LITERT_FLOAT64, "float64", 8},
                     {LITERT_INT8, "int8", 1},       {LITERT_UINT8, "uint8", 1},     {LITERT_INT16, "int16", 2},
                     {LITERT_UINT16, "uint16", 2},   {LITERT_INT32, "int32", 4},     {LITERT_UINT32, "uint32", 4},
                     {LITERT_INT64, "int64", 8},     {LITERT_UINT64, "uint64", 8},   {LITERT_BOOL, "bool", 1}};

// Index into ELEMENT_TYPES, or -1 for strings, complex numbers, sub-byte integers and the like.
static int element_type_index(int type) {
  for (size_t i = 0; i < sizeof ELEMENT_TYPES / sizeof ELEMENT_TYPES[0]; i++) {
    if (ELEMENT_TYPES[i].type == type) return (int)i;
  }
  return -1;
}

// One step of splitmix64 (Steele, Lea, Flood 2014) from `state`.
static uint64_t splitmix64(uint64_t state) {
  uint64_t z = state + 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

// A float to IEEE half precision, round to nearest even. Only for finite values of at most 1, as seeded inputs are.
static uint16_t half_of(float value) {
  uint16_t sign = signbit(value) ? 0x8000 : 0;
  float magnitude = fabsf(value);
  int exponent;
  if (magnitude < 0x1p-14f) return sign | (uint16_t)lrintf(magnitude * 0x1p24f);  // subnormal
  frexpf(magnitude, &exponent);                                                   // in [2^(e-1), 2^e)
  long mantissa = lrintf(ldexpf(magnitude, 11 - exponent));                       // 1024 … 2048
  return sign | (uint16_t)(((exponent + 14) << 10) + (mantissa - 1024));          // 2048 carries into the exponent
}

static double half_value(uint16_t half) {
  int exponent = (half >> 10) & 31, mantissa = half & 1023;
  double magnitude = exponent == 0    ? ldexp(mantissa, -24)
                     : exponent == 31 ? (mantissa ? NAN : INFINITY)
                                      : ldexp(mantissa + 1024, exponent - 25);
  return half & 0x8000 ? -magnitude : magnitude;
}

// Fill input tensor number `tensor`, of `count` elements of a supported `type`.
static void seed_input(void *data, int type, size_t count, uint64_t seed, uint64_t tensor) {
  for (size_t i = 0; i < count; i++) {
    uint64_t z = splitmix64(seed + (tensor << 32) + i);
    float real = (float)(z >> 40) * 0x1p-23f - 1.0f;
    uint8_t byte = (uint8_t)(z >> 56);
    switch (type) {
      case LITERT_FLOAT32: ((float *)data)[i] = real; break;
      case LITERT_FLOAT16: ((uint16_t *)data)[i] = half_of(real); break;
      case LITERT_FLOAT64: ((double *)data)[i] = real; break;
      case LITERT_INT8:
      case LITERT_UINT8: ((uint8_t *)data)[i] = byte; break;
      case LITERT_BOOL: ((uint8_t *)data)[i] = byte >> 7; break;
      case LITERT_INT16:
      case LITERT_UINT16: ((uint16_t *)data)[i] = byte; break;
      case LITERT_INT32:
      case LITERT_UINT32: ((uint32_t *)data)[i] = byte; break;
      default: ((uint64_t *)data)[i] = byte; break;
    }
  }
}

static double element_value(const void *data, int type, size_t i) {
  double value;
  switch (type) {
    case LITERT_FLOAT32: value = ((const float *)data)[i]; break;
    case LITERT_FLOAT16: value = half_value(((const uint16_t *)data)[i]); break;
    case LITERT_FLOAT64: value = ((const double *)data)[i]; break;
    case LITERT_INT8: value = ((const int8_t *)data)[i]; break;
    case LITERT_UINT8:
    case LITERT_BOOL: value = ((const uint8_t *)data)[i]; break;
    case LITERT_INT16: value = ((const int16_t *)data)[i]; break;
    case LITERT_UINT16: value = ((const uint16_t *)data)[i]; break;
    case LITERT_INT32: value = ((const int32_t *)data)[i]; break;
    case LITERT_UINT32: value = ((const uint32_t *)data)[i]; break;
    case LITERT_INT64: value = (double)((const int64_t *)data)[i]; break;
    default: value = (double)((const uint64_t *)data)[i]; break;
  }
  return isfinite(value) ? value : NOT_FINITE;
}

typedef struct {
  double mean, rms;
  int head_count;
  double head[SKETCH_ELEMENTS];  // evenly spaced, first and last included
} Sketch;

static Sketch sketch_output(const void *data, int type, size_t count) {
  Sketch sketch = {0};
  double sum = 0, squares = 0;
  for (size_t i = 0; i < count; i++) {
    double value = element_value(data, type, i);
    sum += value;
    squares += value * value;
  }
  if (count > 0) {
    sketch.mean = sum / (double)count;
    sketch.rms = sqrt(squares / (double)count);
  }
  sketch.head_count = count < SKETCH_ELEMENTS ? (int)count : SKETCH_ELEMENTS;
  for (int k = 0; k < sketch.head_count; k++) {
    size_t i = count <= SKETCH_ELEMENTS ? (size_t)k : (size_t)k * (count - 1) / (SKETCH_ELEMENTS - 1);
    sketch.head[k] = element_value(data, type, i);
  }
  return sketch;
}

#endif
