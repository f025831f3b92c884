/* Starting a program: pipes, fork, pin, exec, with errors told to the parent. */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "program.h"

struct failure {
    enum { PIN, EXEC } stage;
    int error;
};

static struct refusal refuse(const char *code, const char *format, ...) __attribute__((format(printf, 2, 3)));
static struct refusal refuse(const char *code, const char *format, ...) {
    struct refusal refusal = {.code = code};
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(refusal.text, sizeof refusal.text, format, arguments);
    va_end(arguments);
    return refusal;
}

/* ---- what is asked for ---- */

struct plan {
    const struct json *argv, *env, *cpus, *watch;
    char **arguments; /* NULL-terminated */
    struct cpus pinned;
};

static bool is_env(const struct json *env) {
    if (env->kind != JSON_OBJECT) return false;
    for (const struct json *e = env->first; e; e = e->next)
        if (!json_is_plain(e) || !e->key_length || strlen(e->key) != e->key_length || strchr(e->key, '=')) return false;
    return true;
}

static bool read_cpus(const struct json *cpus, struct cpus *set) {
    *set = (struct cpus){0};
    if (cpus->kind != JSON_ARRAY || !cpus->length) return false;
    for (const struct json *cpu = cpus->first; cpu; cpu = cpu->next) {
        if (cpu->kind != JSON_NUMBER || !cpu->integral || cpu->integer < 0 || cpu->integer >= CPUS_MAX) return false;
        CPU_SET_S((size_t)cpu->integer, sizeof set->mask, set->mask);
    }
    return true;
}

static struct refusal read_plan(const struct json *request, struct plan *plan) {
    *plan = (struct plan){
        .argv = json_member(request, "argv"),
        .env = json_member(request, "env"),
        .cpus = json_member(request, "cpus"),
        .watch = json_member(request, "watch"),
    };
    if (!json_is_plain_array(plan->argv) || !plan->argv->length || !plan->argv->first->length)
        return refuse("bad-request", "argv: expected a list of strings that starts with a program");
    if (plan->env && !is_env(plan->env)) return refuse("bad-request", "env: expected names with strings");
    if (plan->cpus && !read_cpus(plan->cpus, &plan->pinned))
        return refuse("bad-request", "cpus: expected a list of CPU numbers below %d", CPUS_MAX);
    if (plan->watch && (!json_is_plain_array(plan->watch) || plan->watch->length > WATCHED_FILES))
        return refuse("bad-request", "watch: expected at most %d paths", WATCHED_FILES);
    return (struct refusal){0};
}

/* ---- in the child ---- */

static int pin(const struct cpus *wanted) {
    struct cpus got = {0};
    if (sched_setaffinity(0, sizeof wanted->mask, wanted->mask) != 0) return errno;
    if (sched_getaffinity(0, sizeof got.mask, got.mask) != 0) return errno;
    /* The kernel quietly leaves out CPUs that are offline or forbidden. */
    return memcmp(&got, wanted, sizeof got) ? ENODEV : 0;
}

static _Noreturn void become(const struct plan *plan, const int streams[3], int report, pid_t agent) {
    struct failure failure = {.stage = EXEC};
    sigset_t none;
    setsid();
    /* Die with the agent, however it dies. If it died before this call, nobody will tell us. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != agent) _exit(127);
    for (int i = 0; i < 3; i++)
        if (dup2(streams[i], i) < 0) _exit(127);
    signal(SIGPIPE, SIG_DFL); /* handlers end with exec by themselves, what is ignored stays ignored */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (plan->cpus && (failure.error = pin(&plan->pinned)) != 0) {
        failure.stage = PIN;
    } else {
        for (const struct json *e = plan->env ? plan->env->first : NULL; e; e = e->next) setenv(e->key, e->string, 1);
        execvp(plan->arguments[0], plan->arguments);
        failure.error = errno;
    }
    while (write(report, &failure, sizeof failure) < 0 && errno == EINTR) {}
    _exit(127);
}

/* ---- in the agent ---- */

static void close_all(int *fds, int count) {
    for (int i = 0; i < count; i++)
        if (fds[i] >= 0) close(fds[i]);
}

/* Wait until the child has executed the program, or has said why not. */
static struct refusal await_exec(pid_t pid, int report, const struct plan *plan) {
    struct failure failure;
    ssize_t got;
    while ((got = read(report, &failure, sizeof failure)) < 0 && errno == EINTR) {}
    if (got == 0) return (struct refusal){0};
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {}
    if (got != sizeof failure) return refuse("internal", "the child went before it could start the program");
    if (failure.stage == EXEC) return refuse("exec", "%.160s: %s", plan->arguments[0], strerror(failure.error));
    if (failure.error == ENODEV || failure.error == EINVAL)
        return refuse("no-cpu", "at least one of the CPUs is offline, forbidden or missing");
    return refuse("no-cpu", "cannot pin: %s", strerror(failure.error));
}

static void set_nonblocking(int fd) { (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK); }

struct refusal program_start(struct program *p, const struct json *request) {
    struct plan plan;
    if (p->pid) return refuse("busy", "process %d runs; kill it first", (int)p->pid);
    struct refusal refusal = read_plan(request, &plan);
    if (refusal.code) return refusal;

    plan.arguments = calloc(plan.argv->length + 1, sizeof *plan.arguments);
    if (!plan.arguments) return refuse("internal", "out of memory");
    size_t count = 0;
    for (const struct json *a = plan.argv->first; a; a = a->next) plan.arguments[count++] = (char *)a->string;

    enum { IN, OUT, ERR, REPORT, PIPES };
    int fds[2 * PIPES] = {-1, -1, -1, -1, -1, -1, -1, -1}; /* for each: the end to read from, the end to write to */
    pid_t agent = getpid(), pid = -1;
    bool piped = true;
    for (int i = 0; i < PIPES && piped; i++) piped = pipe2(fds + 2 * i, O_CLOEXEC) == 0;
    if (!piped || (pid = fork()) < 0) {
        refusal = refuse("internal", "cannot start a process: %s", strerror(errno));
        close_all(fds, 2 * PIPES);
        free(plan.arguments);
        return refusal;
    }
    if (pid == 0) become(&plan, (int[]){fds[2 * IN], fds[2 * OUT + 1], fds[2 * ERR + 1]}, fds[2 * REPORT + 1], agent);

    close_all((int[]){fds[2 * IN], fds[2 * OUT + 1], fds[2 * ERR + 1], fds[2 * REPORT + 1]}, 4);
    refusal = await_exec(pid, fds[2 * REPORT], &plan);
    close(fds[2 * REPORT]);
    free(plan.arguments);
    if (refusal.code) {
        close_all((int[]){fds[2 * IN + 1], fds[2 * OUT], fds[2 * ERR]}, 3);
        return refusal;
    }
    memset(p, 0, sizeof *p);
    p->pid = pid;
    p->in = fds[2 * IN + 1];
    p->out = fds[2 * OUT];
    p->err = fds[2 * ERR];
    set_nonblocking(p->in);
    set_nonblocking(p->out);
    set_nonblocking(p->err);
    for (const struct json *w = plan.watch ? plan.watch->first : NULL; w; w = w->next)
        text_bytes(&p->watch, w->string, w->length + 1);
    return refusal;
}
