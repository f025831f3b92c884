// The part of LiteRT 2.3's C API that the runner uses, resolved at run time from libLiteRt.so.
//
// Declared here instead of including LiteRT's headers, which no wheel carries. Handles are opaque pointers; the two
// structures below have the layout of 64-bit builds.

#ifndef LEADLINE_LITERT_API_H
#define LEADLINE_LITERT_API_H

#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {  // status
  LITERT_OK = 0,
  LITERT_OUT_OF_MEMORY = 2,
  LITERT_UNSUPPORTED = 5,
  LITERT_FILE_IO = 500,
  LITERT_INVALID_FLATBUFFER = 501
};
enum { LITERT_CPU = 1 };
enum { LITERT_LOCK_READ = 0, LITERT_LOCK_WRITE = 1 };
enum { LITERT_MAX_RANK = 8 };

enum {  // element types
  LITERT_FLOAT32 = 1,
  LITERT_INT32 = 2,
  LITERT_UINT8 = 3,
  LITERT_INT64 = 4,
  LITERT_BOOL = 6,
  LITERT_INT16 = 7,
  LITERT_INT8 = 9,
  LITERT_FLOAT16 = 10,
  LITERT_FLOAT64 = 11,
  LITERT_UINT64 = 13,
  LITERT_UINT32 = 16,
  LITERT_UINT16 = 17
};

enum {  // profiler events
  LITERT_EVENT_OP = 2,           // a node that the runtime's own kernels ran
  LITERT_EVENT_DELEGATED_OP = 8  // an operator inside the delegate
};

typedef struct {
  int32_t element_type;
  struct {
    unsigned int rank : 7;
    bool has_strides : 1;
    int32_t dimensions[LITERT_MAX_RANK];  // negative: dynamic
    uint32_t strides[LITERT_MAX_RANK];
  } layout;
} LiteRtTensorType;

typedef struct {
  const char *tag;
  int32_t event_type;
  uint64_t start_us;
  uint64_t elapsed_us;
  int64_t memory_before[3];
  int64_t memory_after[3];
  uint64_t metadata[2];
  int32_t source;
} LiteRtEvent;

_Static_assert(sizeof(LiteRtTensorType) == 72, "LiteRtRankedTensorType of LiteRT 2.3 has 72 bytes");
_Static_assert(sizeof(LiteRtEvent) == 104, "ProfiledEventData of LiteRT 2.3 has 104 bytes");

// name, return type, arguments
#define LITERT_FUNCTIONS(X)                                                                                    \
  X(LiteRtCreateEnvironment, int, (int, const void *, void **))                                                \
  X(LiteRtCreateModelFromFile, int, (void *, const char *, void **))                                           \
  X(LiteRtGetSignatureSubgraph, int, (void *, void **))                                                        \
  X(LiteRtGetSubgraphInput, int, (void *, size_t, void **))                                                    \
  X(LiteRtGetSubgraphOutput, int, (void *, size_t, void **))                                                   \
  X(LiteRtGetNumSubgraphOps, int, (void *, size_t *))                                                          \
  X(LiteRtGetModelSignature, int, (void *, size_t, void **))                                                   \
  X(LiteRtGetNumSignatureInputs, int, (void *, size_t *))                                                      \
  X(LiteRtGetNumSignatureOutputs, int, (void *, size_t *))                                                     \
  X(LiteRtGetSignatureInputTensorByIndex, int, (void *, size_t, void **))                                      \
  X(LiteRtGetSignatureOutputTensorByIndex, int, (void *, size_t, void **))                                     \
  X(LiteRtGetTensorName, int, (void *, const char **))                                                         \
  X(LiteRtGetTensorIndex, int, (void *, uint32_t *))                                                           \
  X(LiteRtGetRankedTensorType, int, (void *, LiteRtTensorType *))                                              \
  X(LiteRtCreateOptions, int, (void **))                                                                       \
  X(LiteRtSetOptionsHardwareAccelerators, int, (void *, int))                                                  \
  X(LiteRtCreateOpaqueOptions, int, (const char *, void *, void (*)(void *), void **))                         \
  X(LiteRtAddOpaqueOptions, int, (void *, void *))                                                             \
  X(LiteRtCreateCompiledModel, int, (void *, void *, void *, void **))                                         \
  X(LiteRtCompiledModelIsFullyAccelerated, int, (void *, bool *))                                              \
  X(LiteRtCompiledModelResizeInputTensor, int, (void *, size_t, size_t, const int *, size_t))                  \
  X(LiteRtGetCompiledModelOutputTensorLayouts, int, (void *, size_t, size_t, void *, bool))                    \
  X(LiteRtGetCompiledModelInputBufferRequirements, int, (void *, size_t, size_t, void **))                     \
  X(LiteRtGetCompiledModelOutputBufferRequirements, int, (void *, size_t, size_t, void **))                    \
  X(LiteRtCreateManagedTensorBufferFromRequirements, int, (void *, const LiteRtTensorType *, void *, void **)) \
  X(LiteRtGetTensorBufferPackedSize, int, (void *, size_t *))                                                  \
  X(LiteRtLockTensorBuffer, int, (void *, void **, int))                                                       \
  X(LiteRtUnlockTensorBuffer, int, (void *))                                                                   \
  X(LiteRtRunCompiledModel, int, (void *, size_t, size_t, void **, size_t, void **))                           \
  X(LiteRtCompiledModelGetProfiler, int, (void *, void **))                                                    \
  X(LiteRtStartProfiler, int, (void *))                                                                        \
  X(LiteRtStopProfiler, int, (void *))                                                                         \
  X(LiteRtResetProfiler, int, (void *))                                                                        \
  X(LiteRtGetNumProfilerEvents, int, (void *, int *))                                                          \
  X(LiteRtGetProfilerEvents, int, (void *, int, LiteRtEvent *))

#define LITERT_DECLARE(name, result, arguments) static result(*name) arguments;
LITERT_FUNCTIONS(LITERT_DECLARE)
#undef LITERT_DECLARE

// Load the library and resolve every function; the text of the failure, or NULL.
static const char *litert_open(const char *library) {
  void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (handle == NULL) return dlerror();
#define LITERT_RESOLVE(name, result, arguments)            \
  name = (result(*) arguments)dlsym(handle, #name);        \
  if (name == NULL) return dlerror();
  LITERT_FUNCTIONS(LITERT_RESOLVE)
#undef LITERT_RESOLVE
  return NULL;
}

#endif
