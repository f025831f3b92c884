/* The one program that the agent runs at a time: started, fed, read, watched, and ended with all its descendants. */
#ifndef LEADLINE_PROGRAM_H
#define LEADLINE_PROGRAM_H

#include <limits.h>
#include <sched.h>
#include <sys/types.h>

#include "json.h"

enum {
    LINE_BYTES = 1024 * 1024,          /* of one line of standard output; of a longer one, only LINE_KEPT arrive */
    LINE_KEPT = 4 * 1024,
    LINE_JSON_BYTES = 2 * 1024 * 1024, /* of the same line as JSON: control characters take six bytes */
    STDERR_KEPT = 8 * 1024,
    INPUT_BYTES = 1024 * 1024, /* that the program has not read yet */
    WATCHED_FILES = 256,
    CHUNK_BYTES = 64 * 1024,
    CPUS_MAX = 8192,
};

/* A set of CPUs as the kernel takes it. */
struct cpus {
    cpu_set_t mask[CPUS_MAX / (CHAR_BIT * sizeof(cpu_set_t))];
};

struct program {
    pid_t pid;              /* 0: none runs; also the process group and the session */
    bool ended;             /* reaped; the exit event follows once its output is drained */
    int status;             /* as of wait4 */
    long long cpu_ns;       /* user + system, with its children that it waited for */
    long long peak_rss_bytes;
    int in, out, err;       /* our ends of its streams, -1: closed */
    struct text input;      /* waits to be written */
    struct text line;       /* the line that is being read */
    bool overlong;          /* the line was reported already; the rest of it is dropped */
    struct text watch;      /* paths, each with its NUL */
    char chunk[CHUNK_BYTES]; /* read, not yet cut into lines: at … end */
    size_t at, end;
    char errors[STDERR_KEPT]; /* ring: the last bytes of standard error */
    size_t error_count;       /* bytes that ever came */
};

/* What went wrong: a code of the protocol and a text; code NULL: nothing. */
struct refusal {
    const char *code;
    char text[256];
};

/* Start what a `start` request asks for; returns once it has been executed. */
struct refusal program_start(struct program *p, const struct json *request);

/* Queue bytes for its standard input. False if too many wait already. Ignored if none runs. */
bool program_input(struct program *p, const char *bytes, size_t length);
/* Write what waits, as far as it goes. */
void program_feed(struct program *p);

/* Read once from its standard output, unless some is left over, and append line events while `out` is shorter than
 * `limit`. False if there was nothing to read. */
bool program_read(struct program *p, struct text *out, size_t limit);
/* Whether output was read that `limit` kept from being reported. */
bool program_has_leftover(const struct program *p);
/* Read once from its standard error. False if there was nothing to read. */
bool program_read_errors(struct program *p);

/* If it has ended, end its descendants and read what is left of its output; then append the exit event. */
void program_reap(struct program *p, struct text *out, size_t limit);

/* SIGKILL to its whole process group, if it runs. */
void program_kill(struct program *p);
/* Kill it with all its descendants and wait for them, but not forever: one may hang in the kernel. */
void program_end(struct program *p);

#endif
