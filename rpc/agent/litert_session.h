// A model loaded, prepared and run once by LiteRT. Every failure ends the program with an error line.

#ifndef LEADLINE_LITERT_SESSION_H
#define LEADLINE_LITERT_SESSION_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "litert_api.h"
#include "runner_lines.h"
#include "seeded.h"

enum { MAX_TENSORS = 256 };

typedef struct {
  const char *library, *model, *delegate, *runtime;
  long threads;
  uint64_t seed;
  bool profile;
} Arguments;

typedef struct {
  const char *name;
  LiteRtTensorType type;
  size_t count;  // elements
  void *buffer;
} Tensor;

typedef struct {
  void *compiled;
  Tensor inputs[MAX_TENSORS], outputs[MAX_TENSORS];            // in the graph's order
  size_t input_place[MAX_TENSORS], output_place[MAX_TENSORS];  // from the signature's order to the graph's
  void *input_buffers[MAX_TENSORS], *output_buffers[MAX_TENSORS];  // in the signature's order
  size_t input_count, output_count;
  size_t op_count;
  long delegated_ops;  // -1: not known
  int64_t load_ns, prepare_ns, first_ns;
} Session;

static int64_t clock_ns(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t now_ns(void) { return clock_ns(CLOCK_MONOTONIC_RAW); }

// End with an error line if a call of the library failed.
static void check(int status, const char *doing) {
  if (status == LITERT_OK) return;
  const char *code = status == LITERT_OUT_OF_MEMORY ? "memory" : status == LITERT_UNSUPPORTED ? "unsupported" : "model";
  if (status == LITERT_FILE_IO || status == LITERT_INVALID_FLATBUFFER) {
    fail(code, "%s: the file is broken, truncated or not readable", doing);
  }
  fail(code, "%s: LiteRT status %d", doing, status);
}

static void check_model_file(const char *path) {
  struct stat status;
  char head[8];
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0 || fstat(file, &status) != 0) fail("model", "%s: %s", path, strerror(errno));
  if (!S_ISREG(status.st_mode)) fail("model", "%s: not a regular file", path);
  ssize_t got = read(file, head, sizeof head);
  close(file);
  if (got != sizeof head || memcmp(head + 4, "TFL3", 4) != 0) fail("model", "%s: not a .tflite file", path);
}

static void add_option(void *options, const char *identifier, const char *toml) {
  void *opaque;
  char *text = strdup(toml);
  if (text == NULL) fail("memory", "out of memory");
  check(LiteRtCreateOpaqueOptions(identifier, text, free, &opaque), "setting options");
  check(LiteRtAddOpaqueOptions(options, opaque), "setting options");
}

static void *make_options(const Arguments *arguments) {
  void *options;
  char toml[128];
  check(LiteRtCreateOptions(&options), "setting options");
  check(LiteRtSetOptionsHardwareAccelerators(options, LITERT_CPU), "setting options");
  snprintf(toml, sizeof toml, "%snum_threads = %ld\n",
           strcmp(arguments->delegate, "none") == 0 ? "kernel_mode = \"builtin\"\n" : "", arguments->threads);
  add_option(options, "xnnpack", toml);
  if (arguments->profile) add_option(options, "runtime_options_string", "enable_profiling = true\n");
  return options;
}

static void describe(Tensor *tensor, void *handle) {
  check(LiteRtGetTensorName(handle, &tensor->name), "reading a tensor's name");
  check(LiteRtGetRankedTensorType(handle, &tensor->type), "reading a tensor's type");
  if (element_type_index(tensor->type.element_type) < 0) {
    fail("unsupported", "tensor %s: element type %d cannot be seeded or compared", tensor->name,
         tensor->type.element_type);
  }
}

static void count_elements(Tensor *tensor) {
  tensor->count = 1;
  for (unsigned i = 0; i < tensor->type.layout.rank; i++) {
    int32_t size = tensor->type.layout.dimensions[i];
    if (size < 0 || __builtin_mul_overflow(tensor->count, (size_t)size, &tensor->count)) {
      fail("model", "tensor %s: impossible shape", tensor->name);
    }
  }
}

// Dynamic dimensions of inputs (a batch, most often) become 1.
static void fix_dynamic_shapes(Session *session) {
  bool resized = false;
  for (size_t i = 0; i < session->input_count; i++) {
    Tensor *tensor = &session->inputs[session->input_place[i]];
    bool dynamic = false;
    for (unsigned d = 0; d < tensor->type.layout.rank; d++) {
      if (tensor->type.layout.dimensions[d] < 0) {
        tensor->type.layout.dimensions[d] = 1;
        dynamic = true;
      }
    }
    if (dynamic) {
      resized = true;
      check(LiteRtCompiledModelResizeInputTensor(session->compiled, 0, i, tensor->type.layout.dimensions,
                                                 tensor->type.layout.rank),
            "resizing a dynamic input to 1");
    }
    count_elements(tensor);
  }
  __typeof__(((LiteRtTensorType *)0)->layout) layouts[MAX_TENSORS];
  check(LiteRtGetCompiledModelOutputTensorLayouts(session->compiled, 0, session->output_count, layouts, resized),
        "asking for output shapes");
  for (size_t i = 0; i < session->output_count; i++) {
    Tensor *tensor = &session->outputs[session->output_place[i]];
    tensor->type.layout = layouts[i];
    count_elements(tensor);
  }
}

static void *make_buffer(void *environment, const Tensor *tensor, void *requirements) {
  void *buffer;
  size_t bytes, needed = tensor->count * ELEMENT_TYPES[element_type_index(tensor->type.element_type)].bytes;
  check(LiteRtCreateManagedTensorBufferFromRequirements(environment, &tensor->type, requirements, &buffer),
        "making a tensor buffer");
  check(LiteRtGetTensorBufferPackedSize(buffer, &bytes), "making a tensor buffer");
  if (bytes < needed) fail("model", "tensor %s: LiteRT gave %zu bytes, %zu needed", tensor->name, bytes, needed);
  return buffer;
}

typedef int (*GetTensor)(void *, size_t, void **);

// A signature lists its tensors in an order of its own. The graph's order is what every runner seeds and reports in, so
// `place[i]` tells which tensor of the graph's inputs (or outputs) is number i of the signature's.
static void describe_tensors(Tensor *tensors, size_t count, size_t *place, void *graph, GetTensor of_graph,
                             void *signature, GetTensor of_signature) {
  uint32_t graph_index[MAX_TENSORS], index;
  void *handle;
  for (size_t i = 0; i < count; i++) {
    check(of_graph(graph, i, &handle), "reading the graph");
    check(LiteRtGetTensorIndex(handle, &graph_index[i]), "reading the graph");
    describe(&tensors[i], handle);
  }
  for (size_t i = 0; i < count; i++) {
    check(of_signature(signature, i, &handle), "reading the signature");
    check(LiteRtGetTensorIndex(handle, &index), "reading the signature");
    for (place[i] = 0; place[i] < count && graph_index[place[i]] != index;) place[i]++;
    if (place[i] == count) fail("unsupported", "the signature's tensors are not those of its graph");
  }
}

static void describe_signature(Session *session, void *model) {
  void *graph, *signature;
  check(LiteRtGetModelSignature(model, 0, &signature), "reading the signature");
  check(LiteRtGetSignatureSubgraph(signature, &graph), "reading the signature");
  check(LiteRtGetNumSubgraphOps(graph, &session->op_count), "reading the graph");
  check(LiteRtGetNumSignatureInputs(signature, &session->input_count), "reading the signature");
  check(LiteRtGetNumSignatureOutputs(signature, &session->output_count), "reading the signature");
  if (session->input_count > MAX_TENSORS || session->output_count > MAX_TENSORS) {
    fail("unsupported", "more than %d inputs or outputs", MAX_TENSORS);
  }
  describe_tensors(session->inputs, session->input_count, session->input_place, graph, LiteRtGetSubgraphInput,
                   signature, LiteRtGetSignatureInputTensorByIndex);
  describe_tensors(session->outputs, session->output_count, session->output_place, graph, LiteRtGetSubgraphOutput,
                   signature, LiteRtGetSignatureOutputTensorByIndex);
}

static void make_buffers(Session *session, void *environment, uint64_t seed) {
  void *requirements, *data;
  fix_dynamic_shapes(session);
  for (size_t i = 0; i < session->input_count; i++) {
    Tensor *tensor = &session->inputs[session->input_place[i]];
    check(LiteRtGetCompiledModelInputBufferRequirements(session->compiled, 0, i, &requirements), "making buffers");
    session->input_buffers[i] = tensor->buffer = make_buffer(environment, tensor, requirements);
    check(LiteRtLockTensorBuffer(tensor->buffer, &data, LITERT_LOCK_WRITE), "writing the input");
    seed_input(data, tensor->type.element_type, tensor->count, seed, session->input_place[i]);
    check(LiteRtUnlockTensorBuffer(tensor->buffer), "writing the input");
  }
  for (size_t i = 0; i < session->output_count; i++) {
    Tensor *tensor = &session->outputs[session->output_place[i]];
    check(LiteRtGetCompiledModelOutputBufferRequirements(session->compiled, 0, i, &requirements), "making buffers");
    session->output_buffers[i] = tensor->buffer = make_buffer(environment, tensor, requirements);
  }
}

static int invoke(Session *session) {
  return LiteRtRunCompiledModel(session->compiled, 0, session->input_count, session->input_buffers,
                                session->output_count, session->output_buffers);
}

static void set_up(Session *session, const Arguments *arguments) {
  void *environment, *model;
  check_model_file(arguments->model);
  const char *trouble = litert_open(arguments->library);
  if (trouble != NULL) fail("library", "%s", trouble);
  check(LiteRtCreateEnvironment(0, NULL, &environment), "starting LiteRT");

  int64_t start = now_ns();
  check(LiteRtCreateModelFromFile(environment, arguments->model, &model), "loading the model");
  describe_signature(session, model);
  int64_t loaded = now_ns();
  check(LiteRtCreateCompiledModel(environment, model, make_options(arguments), &session->compiled),
        "preparing the model");
  make_buffers(session, environment, arguments->seed);
  int64_t prepared = now_ns();
  check(invoke(session), "running the model");
  session->load_ns = loaded - start;
  session->prepare_ns = prepared - loaded;
  session->first_ns = now_ns() - prepared;
}

#endif
