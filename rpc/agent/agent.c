/* Leadline's agent: obeys JSON lines on standard input, see docs/agent-protocol.md. One loop, one program at a time.
 *
 * Nothing grows without bound. While the host does not read, no more than BACKLOG_BYTES and one answer wait for it:
 * requests stay unanswered and the program's output stays in its pipe.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "features.h"
#include "files.h"
#include "json.h"
#include "program.h"

#ifndef AGENT_VERSION
#define AGENT_VERSION "unknown"
#endif
#ifndef AGENT_ABI
#define AGENT_ABI "unknown"
#endif

enum {
    PROTOCOL = 1,
    REQUEST_BYTES = 1024 * 1024,
    BACKLOG_BYTES = 256 * 1024,
    SILENCE_S = 30,  /* until hello says otherwise */
    FLUSH_MS = 1000, /* that a leaving agent gives the host to read its last words */
};
enum { LEFT_ON_PURPOSE = 0, LEFT_ALONE = 1, LEFT_MISMATCH = 2, LEFT_BY_SIGNAL = 128 };

static struct {
    bool greeted;
    double silence_s;
    double heard_s; /* CLOCK_MONOTONIC when the host last sent anything */
    struct text in; /* bytes of the host; requests before `taken` are done */
    size_t taken;
    bool skipping; /* the rest of a request that was too long */
    bool deferred; /* `in` may hold whole requests, which wait until the host has read */
    struct text out; /* bytes for the host; those before `sent` are gone */
    size_t sent;
    struct program program;
} agent;

static volatile sig_atomic_t stopped_by;

static void on_stop(int number) { stopped_by = number; }
static void on_child(int number) { (void)number; } /* only ends the wait in ppoll */

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- towards the host ---- */

/* How long `out` may become before we wait for the host to read. */
static size_t out_limit(void) { return agent.sent + BACKLOG_BYTES; }
static bool backlogged(void) { return agent.out.length >= out_limit(); }

/* Write what waits, as far as it goes. False if nobody reads any more. */
static bool flush(void) {
    while (agent.sent < agent.out.length) {
        ssize_t written = write(STDOUT_FILENO, agent.out.data + agent.sent, agent.out.length - agent.sent);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return errno == EAGAIN;
        agent.sent += (size_t)written;
    }
    if (agent.out.capacity > BACKLOG_BYTES) text_free(&agent.out); /* a small device wants it back */
    text_cut(&agent.out, 0);
    agent.sent = 0;
    return true;
}

static _Noreturn void leave(int code) {
    struct pollfd host = {.fd = STDOUT_FILENO, .events = POLLOUT};
    double until_s = now_s() + (double)FLUSH_MS * 1e-3;
    program_end(&agent.program);
    while (flush() && agent.out.length && now_s() < until_s) poll(&host, 1, 20);
    exit(code);
}

static void add_id(const struct json *id) {
    if (id) text_format(&agent.out, "{\"id\":%lld,", (long long)id->integer);
    else text_add(&agent.out, "{\"id\":null,");
}

static void answer_error(const struct json *id, const char *code, const char *why) {
    add_id(id);
    text_format(&agent.out, "\"error\":{\"code\":\"%s\",\"text\":", code);
    text_json(&agent.out, why, strlen(why));
    text_add(&agent.out, "}}\n");
}

static void answer_begin(const struct json *id) {
    add_id(id);
    text_add(&agent.out, "\"ok\":{");
}

static void answer_end(void) { text_add(&agent.out, "}}\n"); }

/* ---- requests ---- */

static void hello(const struct json *id, const struct json *request) {
    const struct json *protocol = json_member(request, "protocol"), *silence = json_member(request, "silence_s");
    struct cpus cpus = {0};
    char text[96];
    if (!protocol || protocol->kind != JSON_NUMBER || !protocol->integral) {
        answer_error(id, "bad-request", "protocol: expected a number");
        return;
    }
    if (protocol->integer != PROTOCOL) {
        snprintf(text, sizeof text, "the agent speaks protocol %d, not %lld", PROTOCOL, (long long)protocol->integer);
        answer_error(id, "protocol", text);
        leave(LEFT_MISMATCH);
    }
    if (!silence || silence->kind != JSON_NUMBER || !(silence->number >= 0.1 && silence->number <= 86400)) {
        answer_error(id, "bad-request", "silence_s: expected 0.1 to 86400");
        return;
    }
    agent.greeted = true;
    agent.silence_s = silence->number;
    answer_begin(id);
    text_format(&agent.out, "\"protocol\":%d,\"version\":\"%s\",\"abi\":\"%s\",\"pid\":%d,\"uid\":%lld,\"cpus\":[", PROTOCOL,
                AGENT_VERSION, AGENT_ABI, (int)getpid(), (long long)getuid());
    (void)sched_getaffinity(0, sizeof cpus.mask, cpus.mask);
    for (size_t cpu = 0, count = 0; cpu < CPUS_MAX; cpu++)
        if (CPU_ISSET_S(cpu, sizeof cpus.mask, cpus.mask)) text_format(&agent.out, "%s%zu", count++ ? "," : "", cpu);
    text_format(&agent.out, "],\"hwcap\":%lu,\"hwcap2\":%lu,\"features\":", getauxval(AT_HWCAP), getauxval(AT_HWCAP2));
    features_add(&agent.out);
    answer_end();
}

static void read_files(const struct json *id, const struct json *request) {
    const struct json *paths = json_member(request, "paths");
    size_t before = agent.out.length;
    if (!json_is_plain_array(paths)) {
        answer_error(id, "bad-request", "paths: expected a list of strings");
        return;
    }
    answer_begin(id);
    text_add(&agent.out, "\"files\":");
    if (files_add_globs(&agent.out, paths)) {
        answer_end();
        return;
    }
    text_cut(&agent.out, before);
    answer_error(id, "bad-request", "the files do not fit in one answer; ask for fewer");
}

static void start(const struct json *id, const struct json *request) {
    struct refusal refusal = program_start(&agent.program, request);
    if (refusal.code) {
        answer_error(id, refusal.code, refusal.text);
        return;
    }
    answer_begin(id);
    text_format(&agent.out, "\"pid\":%d", (int)agent.program.pid);
    answer_end();
}

static void input(const struct json *request) {
    const struct json *text = json_member(request, "text");
    if (!text || text->kind != JSON_STRING) answer_error(NULL, "bad-request", "text: expected a string");
    else if (!program_input(&agent.program, text->string, text->length))
        answer_error(NULL, "busy", "the program does not read its input");
}

static void kill_program(const struct json *id) {
    program_kill(&agent.program);
    answer_begin(id);
    answer_end();
}

static _Noreturn void bye(const struct json *id) {
    program_end(&agent.program);
    answer_begin(id);
    answer_end();
    leave(LEFT_ON_PURPOSE);
}

static void obey(char *line, size_t length) {
    const char *why;
    const struct json *request = json_parse(line, length, &why);
    const struct json *op = json_member(request, "op"), *id = json_member(request, "id");
    if (!request) {
        answer_error(NULL, "bad-request", why);
        return;
    }
    if (id && (id->kind != JSON_NUMBER || !id->integral || id->integer < 0)) {
        answer_error(NULL, "bad-request", "id: expected a number");
        return;
    }
    if (!json_is_plain(op)) {
        answer_error(id, "bad-request", "op: expected a string");
        return;
    }
    if (!strcmp(op->string, "ping")) return;
    if (!id && strcmp(op->string, "input") != 0) {
        answer_error(NULL, "bad-request", "id: missing");
        return;
    }
    if (agent.greeted == !strcmp(op->string, "hello")) {
        answer_error(id, "protocol", "hello comes first, and once");
        return;
    }
    if (!strcmp(op->string, "hello")) hello(id, request);
    else if (!strcmp(op->string, "read")) read_files(id, request);
    else if (!strcmp(op->string, "start")) start(id, request);
    else if (!strcmp(op->string, "input")) input(request);
    else if (!strcmp(op->string, "kill")) kill_program(id);
    else if (!strcmp(op->string, "bye")) bye(id);
    else answer_error(id, "bad-request", "unknown op");
}

/* Obey every whole line that has come, unless answers wait already. */
static void obey_lines(void) {
    while (!backlogged() && agent.taken < agent.in.length) {
        char *line = agent.in.data + agent.taken;
        size_t left = agent.in.length - agent.taken;
        char *newline = memchr(line, '\n', left);
        if (!newline) break;
        *newline = 0;
        agent.taken += (size_t)(newline - line) + 1;
        if (!agent.skipping) obey(line, (size_t)(newline - line));
        agent.skipping = false;
    }
    agent.deferred = backlogged();
    if (agent.deferred) return;
    text_drop(&agent.in, agent.taken);
    agent.taken = 0;
    if (agent.in.length < REQUEST_BYTES) return;
    if (!agent.skipping) answer_error(NULL, "bad-request", "request longer than 1 MiB");
    agent.skipping = true;
    text_cut(&agent.in, 0);
}

/* Take what the host has sent; leave if it has gone. */
static void hear(void) {
    static char bytes[64 * 1024];
    ssize_t got = read(STDIN_FILENO, bytes, sizeof bytes);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) leave(LEFT_ON_PURPOSE);
    agent.heard_s = now_s();
    text_bytes(&agent.in, bytes, (size_t)got);
}

/* ---- the loop ---- */

static void wait_for_something(const sigset_t *while_waiting) {
    enum { HOST_IN, HOST_OUT, PROGRAM_IN, PROGRAM_OUT, PROGRAM_ERR, COUNT };
    struct program *p = &agent.program;
    bool idle = !p->pid, hears = agent.in.length - agent.taken < REQUEST_BYTES;
    struct pollfd fds[COUNT] = {
        [HOST_IN] = {.fd = STDIN_FILENO, .events = hears ? POLLIN : 0},
        [HOST_OUT] = {.fd = STDOUT_FILENO, .events = agent.out.length ? POLLOUT : 0},
        [PROGRAM_IN] = {.fd = idle || !p->input.length ? -1 : p->in, .events = POLLOUT},
        [PROGRAM_OUT] = {.fd = idle || backlogged() ? -1 : p->out, .events = POLLIN},
        [PROGRAM_ERR] = {.fd = idle ? -1 : p->err, .events = POLLIN},
    };
    double left_s = agent.heard_s + agent.silence_s - now_s();
    if (left_s <= 0) leave(LEFT_ALONE);
    if (!backlogged() && (agent.deferred || (!idle && (p->ended || program_has_leftover(p))))) left_s = 0;
    struct timespec timeout = {.tv_sec = (time_t)left_s, .tv_nsec = (long)((left_s - (double)(time_t)left_s) * 1e9)};
    int ready = ppoll(fds, COUNT, &timeout, while_waiting);
    if (stopped_by) leave(LEFT_BY_SIGNAL + stopped_by);
    if (ready <= 0) return; /* interrupted by the end of a child, or time is up */

    if (fds[HOST_OUT].revents & (POLLERR | POLLHUP | POLLNVAL)) leave(LEFT_ALONE);
    if (fds[HOST_IN].revents && !hears) leave(LEFT_ALONE);
    if (fds[HOST_IN].revents) hear();
    if (fds[PROGRAM_IN].revents) program_feed(p);
    if (fds[PROGRAM_OUT].revents) (void)program_read(p, &agent.out, out_limit());
    if (fds[PROGRAM_ERR].revents) (void)program_read_errors(p);
}

/* Signals are only let in while we wait, so that none gets lost between looking and waiting. */
static sigset_t prepare_signals(void) {
    static const int stops[] = {SIGTERM, SIGHUP, SIGINT};
    sigset_t blocked, before;
    sigemptyset(&blocked);
    for (size_t i = 0; i < sizeof stops / sizeof *stops; i++) {
        sigaction(stops[i], &(struct sigaction){.sa_handler = on_stop}, NULL);
        sigaddset(&blocked, stops[i]);
    }
    sigaction(SIGCHLD, &(struct sigaction){.sa_handler = on_child}, NULL);
    sigaddset(&blocked, SIGCHLD);
    signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_SETMASK, &blocked, &before);
    sigemptyset(&before);
    return before;
}

int main(void) {
    sigset_t while_waiting = prepare_signals();
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1); /* since Linux 3.4; without it only the program's group is ended */
    (void)fcntl(STDOUT_FILENO, F_SETFL, fcntl(STDOUT_FILENO, F_GETFL) | O_NONBLOCK);
    agent.silence_s = SILENCE_S;
    agent.heard_s = now_s();
    for (;;) {
        obey_lines();
        if (agent.program.pid) {
            if (program_has_leftover(&agent.program)) (void)program_read(&agent.program, &agent.out, out_limit());
            program_reap(&agent.program, &agent.out, out_limit());
        }
        if (!flush()) leave(LEFT_ALONE);
        wait_for_something(&while_waiting);
    }
}
