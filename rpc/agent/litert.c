// litert-runner: loads a .tflite file with LiteRT, runs it when told to and reports how long each inference took.
//
//   litert-runner --library libLiteRt.so --model FILE --threads N --delegate xnnpack|none
//                 [--seed S] [--runtime TEXT] [--profile]
//
// Its lines are described in docs/agent-protocol.md, "The runner's lines". The library is loaded at run time, so that
// this program starts, and can say what is wrong, on a device where the library cannot be loaded. --runtime is what
// the `ready` line calls the runtime: LiteRT's C API does not tell its version.

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "litert_api.h"
#include "litert_session.h"
#include "runner_lines.h"
#include "seeded.h"
#include "sha256.h"

enum { MAX_RUNS = 10000, MAX_EVENTS = 2048 };  // LiteRT's profiler keeps 2048 events

static long involuntary_switches(void) {
  struct rusage usage;
  getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_nivcsw;
}

static void print_tensors(const char *name, const Tensor *tensors, size_t count) {
  fprintf(out, ",\"%s\":[", name);
  for (size_t i = 0; i < count; i++) {
    fprintf(out, "%s{\"name\":", i ? "," : "");
    print_string(tensors[i].name);
    fprintf(out, ",\"dtype\":\"%s\",\"shape\":[",
            ELEMENT_TYPES[element_type_index(tensors[i].type.element_type)].name);
    for (unsigned d = 0; d < tensors[i].type.layout.rank; d++) {
      fprintf(out, "%s%d", d ? "," : "", tensors[i].type.layout.dimensions[d]);
    }
    fputs("]}", out);
  }
  fputc(']', out);
}

static void print_fingerprint(const Tensor *tensor) {
  void *data;
  char digest[65];
  int type = tensor->type.element_type;
  check(LiteRtLockTensorBuffer(tensor->buffer, &data, LITERT_LOCK_READ), "reading the output");
  sha256_hex(data, tensor->count * ELEMENT_TYPES[element_type_index(type)].bytes, digest);
  Sketch sketch = sketch_output(data, type, tensor->count);
  check(LiteRtUnlockTensorBuffer(tensor->buffer), "reading the output");
  fprintf(out, "{\"sha256\":\"%s\",\"size\":%zu,\"mean\":%.17g,\"rms\":%.17g,\"head\":[", digest, tensor->count,
          sketch.mean, sketch.rms);
  for (int k = 0; k < sketch.head_count; k++) fprintf(out, "%s%.17g", k ? "," : "", sketch.head[k]);
  fputs("]}", out);
}

static void print_ready(const Session *session, const char *runtime) {
  fputs("{\"event\":\"ready\",\"runtime\":", out);
  print_string(runtime);
  fprintf(out, ",\"load_ns\":%lld,\"prepare_ns\":%lld,\"first_ns\":%lld,\"op_count\":%zu,\"delegated_ops\":",
          (long long)session->load_ns, (long long)session->prepare_ns, (long long)session->first_ns,
          session->op_count);
  if (session->delegated_ops < 0) {
    fputs("null", out);
  } else {
    fprintf(out, "%ld", session->delegated_ops);
  }
  print_tensors("inputs", session->inputs, session->input_count);
  print_tensors("outputs", session->outputs, session->output_count);
  fputs(",\"fingerprints\":[", out);
  for (size_t i = 0; i < session->output_count; i++) {
    if (i) fputc(',', out);
    print_fingerprint(&session->outputs[i]);
  }
  fputs("]}", out);
  end_line();
}

static void print_int64s(const char *name, const int64_t *values, long count) {
  fprintf(out, ",\"%s\":[", name);
  for (long i = 0; i < count; i++) fprintf(out, "%s%lld", i ? "," : "", (long long)values[i]);
  fputc(']', out);
}

static void run_block(Session *session, long runs) {
  static int64_t wall[MAX_RUNS], cpu[MAX_RUNS], switches[MAX_RUNS];
  memset(wall, 0, sizeof wall);  // touches the pages, so that no page fault falls into a measurement
  memset(cpu, 0, sizeof cpu);
  memset(switches, 0, sizeof switches);
  for (long i = 0; i < runs; i++) {
    long switches_before = involuntary_switches();
    int64_t cpu_before = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    int64_t wall_before = now_ns();
    int status = invoke(session);
    wall[i] = now_ns() - wall_before;
    cpu[i] = clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu_before;
    switches[i] = involuntary_switches() - switches_before;
    if (status != LITERT_OK) check(status, "running the model");
  }
  fputs("{\"event\":\"block\"", out);
  print_int64s("wall_ns", wall, runs);
  print_int64s("cpu_ns", cpu, runs);
  print_int64s("switches", switches, runs);
  fputc('}', out);
  end_line();
}


// ---- per-op profile ------------------------------------------------------------------------------------------------

// One profiled inference. Events: array of MAX_EVENTS. Returns how many of them, at its start, are ops.
static int profile_once(Session *session, LiteRtEvent *events) {
  void *profiler;
  int count, ops = 0;
  check(LiteRtCompiledModelGetProfiler(session->compiled, &profiler), "profiling");
  check(LiteRtResetProfiler(profiler), "profiling");
  check(LiteRtStartProfiler(profiler), "profiling");
  check(invoke(session), "running the model");
  check(LiteRtStopProfiler(profiler), "profiling");
  check(LiteRtGetNumProfilerEvents(profiler, &count), "profiling");
  if (count >= MAX_EVENTS) fail("unsupported", "more than %d profile events in one inference", MAX_EVENTS);
  check(LiteRtGetProfilerEvents(profiler, count, events), "profiling");
  for (int i = 0; i < count; i++) {
    bool is_op = events[i].event_type == LITERT_EVENT_OP || events[i].event_type == LITERT_EVENT_DELEGATED_OP;
    if (is_op) events[ops++] = events[i];
  }
  return ops;
}

static int compare_u64(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

static double median(uint64_t *values, long count) {
  qsort(values, (size_t)count, sizeof *values, compare_u64);
  return ((double)values[(count - 1) / 2] + (double)values[count / 2]) / 2;
}

static void profile_block(Session *session, long runs) {
  static LiteRtEvent events[MAX_EVENTS];
  int ops = profile_once(session, events);
  uint64_t *times_us = calloc((size_t)ops * (size_t)runs, sizeof *times_us);  // op by op
  if (times_us == NULL && ops > 0) fail("memory", "out of memory for a profile of %ld inferences", runs);
  for (long run = 0; run < runs; run++) {
    if (profile_once(session, events) != ops) fail("unsupported", "the ops differ from inference to inference");
    for (int i = 0; i < ops; i++) times_us[i * runs + run] = events[i].elapsed_us;
  }
  fputs("{\"event\":\"profile\",\"ops\":[", out);
  for (int i = 0; i < ops; i++) {
    fprintf(out, "%s{\"index\":%d,\"name\":", i ? "," : "", i);
    print_string(events[i].tag);
    fprintf(out, ",\"delegated\":%s,\"median_ns\":%.0f,\"runs\":%ld}",
            events[i].event_type == LITERT_EVENT_DELEGATED_OP ? "true" : "false",
            1000 * median(times_us + i * runs, runs), runs);
  }
  fputs("]}", out);
  end_line();
  free(times_us);
}

// ---- delegate coverage ---------------------------------------------------------------------------------------------

// Which nodes stay with the runtime's own kernels shows only in a profile, and a profiled model runs slower. So a child
// is kept ready, before the library starts threads, to prepare the model a second time with the profiler on; it is
// asked only if the delegate did not take every node.
typedef struct {
  pid_t pid;
  int ask, answer;  // file descriptors
} Counter;

static void count_undelegated(const Arguments *arguments, int ask, int answer) {
  static Session session;
  static LiteRtEvent events[MAX_EVENTS];
  char go;
  if (read(ask, &go, 1) != 1) _exit(0);
  Arguments profiled = *arguments;
  profiled.profile = true;
  out = fopen("/dev/null", "w");  // the parent says what is wrong with the model
  if (out == NULL) _exit(1);
  set_up(&session, &profiled);
  int ops = profile_once(&session, events);
  long undelegated = 0;
  for (int i = 0; i < ops; i++) {
    undelegated += events[i].event_type == LITERT_EVENT_OP && events[i].metadata[1] == 0;  // of subgraph 0
  }
  _exit(write(answer, &undelegated, sizeof undelegated) == sizeof undelegated ? 0 : 1);
}

static Counter start_counter(const Arguments *arguments) {
  int ask[2], answer[2];
  if (pipe(ask) != 0 || pipe(answer) != 0) fail("memory", "no pipes left");
  pid_t pid = fork();
  if (pid < 0) fail("memory", "no process left");
  if (pid == 0) {
    close(ask[1]);
    close(answer[0]);
    count_undelegated(arguments, ask[0], answer[1]);
  }
  close(ask[0]);
  close(answer[1]);
  return (Counter){.pid = pid, .ask = ask[1], .answer = answer[0]};
}

static long count_delegated(const Session *session, const Arguments *arguments, Counter counter) {
  bool all = false;
  long undelegated, delegated = -1;
  if (strcmp(arguments->delegate, "none") == 0) {
    delegated = 0;
  } else if (LiteRtCompiledModelIsFullyAccelerated(session->compiled, &all) == LITERT_OK && all) {
    delegated = (long)session->op_count;
  } else if (write(counter.ask, "g", 1) == 1 &&
             read(counter.answer, &undelegated, sizeof undelegated) == sizeof undelegated) {
    delegated = (long)session->op_count - undelegated;
  }
  close(counter.ask);
  close(counter.answer);
  waitpid(counter.pid, NULL, 0);
  return delegated;
}

// ---- orders --------------------------------------------------------------------------------------------------------

static bool parse_number(const char *text, long low, long high, long *number) {
  char *end;
  *number = strtol(text, &end, 10);
  return end != text && *end == '\0' && *number >= low && *number <= high;
}

static void obey(Session *session, const Arguments *arguments) {
  char line[64];
  long runs;
  while (fgets(line, sizeof line, stdin) != NULL) {
    line[strcspn(line, "\n")] = '\0';
    if (strcmp(line, "end") == 0) return;
    if (strncmp(line, "run ", 4) == 0 && parse_number(line + 4, 1, MAX_RUNS, &runs)) {
      run_block(session, runs);
    } else if (strncmp(line, "profile ", 8) == 0 && parse_number(line + 8, 1, MAX_RUNS, &runs)) {
      if (!arguments->profile) fail("order", "launched without --profile");
      profile_block(session, runs);
    } else {
      fail("order", "not an order: %s", line);
    }
  }
}

static void usage(void) {
  fputs("usage: litert-runner --library FILE --model FILE --threads N --delegate xnnpack|none"
        " [--seed S] [--runtime TEXT] [--profile]\n",
        stderr);
  exit(2);
}

static Arguments parse_arguments(int argc, char **argv) {
  static const struct option options[] = {
      {"library", required_argument, NULL, 'l'}, {"model", required_argument, NULL, 'm'},
      {"threads", required_argument, NULL, 't'}, {"delegate", required_argument, NULL, 'd'},
      {"seed", required_argument, NULL, 's'},    {"runtime", required_argument, NULL, 'r'},
      {"profile", no_argument, NULL, 'p'},       {NULL, 0, NULL, 0}};
  Arguments arguments = {.delegate = "xnnpack", .runtime = "LiteRT", .threads = 1};
  long seed = 0;
  int option;
  while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
    switch (option) {
      case 'l': arguments.library = optarg; break;
      case 'm': arguments.model = optarg; break;
      case 'd': arguments.delegate = optarg; break;
      case 'r': arguments.runtime = optarg; break;
      case 'p': arguments.profile = true; break;
      case 't':
        if (!parse_number(optarg, 1, 1024, &arguments.threads)) usage();
        break;
      case 's':
        if (!parse_number(optarg, 0, INT32_MAX, &seed)) usage();
        break;
      default: usage();
    }
  }
  bool known_delegate = strcmp(arguments.delegate, "xnnpack") == 0 || strcmp(arguments.delegate, "none") == 0;
  if (arguments.library == NULL || arguments.model == NULL || !known_delegate || optind != argc) usage();
  arguments.seed = (uint64_t)seed;
  return arguments;
}

int main(int argc, char **argv) {
  static Session session;
  Arguments arguments = parse_arguments(argc, argv);
  out = fdopen(dup(STDOUT_FILENO), "w");
  if (out == NULL || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) return 1;
  Counter counter = start_counter(&arguments);
  set_up(&session, &arguments);
  session.delegated_ops = count_delegated(&session, &arguments, counter);
  print_ready(&session, arguments.runtime);
  obey(&session, &arguments);
  _exit(0);  // no destructors: the process ends here anyway, and one that crashes would look like a failed run
}
