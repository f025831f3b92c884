#include "program.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "files.h"

static void close_stream(int *fd) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

/* ---- its input ---- */

bool program_input(struct program *p, const char *bytes, size_t length) {
    if (!p->pid || p->in < 0) return true;
    if (p->input.length + length > INPUT_BYTES) return false;
    text_bytes(&p->input, bytes, length);
    program_feed(p);
    return true;
}

void program_feed(struct program *p) {
    while (p->in >= 0 && p->input.length) {
        ssize_t written = write(p->in, p->input.data, p->input.length);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0 && errno == EAGAIN) return;
        if (written < 0) { /* it has closed its input */
            close_stream(&p->in);
            text_free(&p->input);
            return;
        }
        text_drop(&p->input, (size_t)written);
    }
}

/* ---- its output ---- */

static void add_line_event(struct program *p, struct text *out) {
    bool cut = p->line.length > LINE_BYTES, first = true;
    text_add(out, "{\"event\":\"line\",\"text\":");
    size_t start = out->length;
    if (!cut) {
        text_json(out, p->line.data, p->line.length);
        cut = out->length - start > LINE_JSON_BYTES;
        if (cut) text_cut(out, start);
    }
    if (cut) {
        text_json(out, p->line.data, LINE_KEPT);
        text_add(out, ",\"truncated\":true");
    }
    text_add(out, ",\"watched\":{");
    for (size_t at = 0; at < p->watch.length; at += strlen(p->watch.data + at) + 1)
        files_add(out, p->watch.data + at, WATCHED_BYTES, &first);
    text_add(out, "}}\n");
}

static void end_line(struct program *p, struct text *out) {
    if (!p->overlong) add_line_event(p, out);
    p->overlong = false;
    if (p->line.capacity > CHUNK_BYTES) text_free(&p->line); /* a small device wants it back */
    text_cut(&p->line, 0);
}

static void cut_lines(struct program *p, struct text *out, size_t limit) {
    while (p->at < p->end && out->length < limit) {
        char *start = p->chunk + p->at, *newline = memchr(start, '\n', p->end - p->at);
        size_t length = newline ? (size_t)(newline - start) : p->end - p->at;
        if (!p->overlong) text_bytes(&p->line, start, length);
        p->at += length + (newline != NULL);
        if (p->line.length > LINE_BYTES) { /* report it now and drop the rest: it may never end */
            add_line_event(p, out);
            text_free(&p->line);
            p->overlong = true;
        }
        if (newline) end_line(p, out);
    }
}

bool program_has_leftover(const struct program *p) { return p->at < p->end; }

bool program_read(struct program *p, struct text *out, size_t limit) {
    if (!program_has_leftover(p)) {
        ssize_t got = p->out < 0 ? 0 : read(p->out, p->chunk, sizeof p->chunk);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
        if (got <= 0) {
            close_stream(&p->out);
            return false;
        }
        p->at = 0;
        p->end = (size_t)got;
    }
    cut_lines(p, out, limit);
    return true;
}

bool program_read_errors(struct program *p) {
    char bytes[4096];
    ssize_t got = p->err < 0 ? 0 : read(p->err, bytes, sizeof bytes);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (got <= 0) close_stream(&p->err);
    for (ssize_t i = 0; i < got; i++) p->errors[p->error_count++ % STDERR_KEPT] = bytes[i];
    return got > 0;
}

/* ---- its end ---- */

/* SIGKILL to every child of ours in a session of its own. Orphans become our children (PR_SET_CHILD_SUBREAPER), so that
 * killing children again and again ends whole trees, even those that left the program's session. */
static int kill_children(void) {
    DIR *proc = opendir("/proc");
    int killed = 0;
    if (!proc) return 0;
    for (struct dirent *entry; (entry = readdir(proc)) != NULL;) {
        char path[64], stat[512];
        if (!isdigit((unsigned char)entry->d_name[0])) continue;
        snprintf(path, sizeof path, "/proc/%.20s/stat", entry->d_name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t got = fd < 0 ? -1 : read(fd, stat, sizeof stat - 1);
        if (fd >= 0) close(fd);
        if (got <= 0) continue;
        stat[got] = 0;
        char state, *name_end = strrchr(stat, ')'); /* the name may hold anything */
        int parent, group, session;
        if (!name_end || sscanf(name_end + 1, " %c %d %d %d", &state, &parent, &group, &session) != 4) continue;
        if (state == 'Z' || parent != (int)getpid() || session == (int)getsid(0)) continue;
        if (kill((pid_t)atoi(entry->d_name), SIGKILL) == 0) killed++;
    }
    closedir(proc);
    return killed;
}

/* For processes that the program has left behind. Bounded, since one may hang in the kernel. */
static void end_descendants(void) {
    for (int tries = 0; tries < 100; tries++) {
        pid_t gone;
        while ((gone = waitpid(-1, NULL, WNOHANG)) > 0) {}
        if (gone < 0 || !kill_children()) return; /* usually there is no child at all, and nothing to scan for */
        nanosleep(&(struct timespec){.tv_nsec = 5 * 1000 * 1000}, NULL);
    }
}

/* Reap the program itself if it has ended. It is only looked at first: while it is a zombie its group cannot become
 * somebody else's. */
static void collect(struct program *p) {
    siginfo_t info = {0};
    struct rusage usage;
    if (waitid(P_PID, (id_t)p->pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid != p->pid) return;
    kill(-p->pid, SIGKILL);
    if (wait4(p->pid, &p->status, 0, &usage) != p->pid) return;
    p->ended = true;
    p->peak_rss_bytes = (long long)usage.ru_maxrss * 1024;
    p->cpu_ns = (usage.ru_utime.tv_sec + (long long)usage.ru_stime.tv_sec) * 1000000000 +
                (usage.ru_utime.tv_usec + (long long)usage.ru_stime.tv_usec) * 1000;
    end_descendants();
}

static void add_exit_event(struct program *p, struct text *out) {
    size_t kept = p->error_count < STDERR_KEPT ? p->error_count : STDERR_KEPT;
    size_t oldest = p->error_count > STDERR_KEPT ? p->error_count % STDERR_KEPT : 0;
    struct text errors = {0};
    text_bytes(&errors, p->errors + oldest, kept - oldest);
    text_bytes(&errors, p->errors, oldest);
    text_add(out, "{\"event\":\"exit\",");
    if (WIFEXITED(p->status)) text_format(out, "\"code\":%d,\"signal\":null", WEXITSTATUS(p->status));
    else text_format(out, "\"code\":null,\"signal\":%d", WTERMSIG(p->status));
    text_format(out, ",\"peak_rss_bytes\":%lld,\"cpu_ns\":%lld,\"stderr\":", p->peak_rss_bytes, p->cpu_ns);
    text_json(out, errors.data, errors.length);
    text_add(out, "}\n");
    text_free(&errors);
}

static void forget(struct program *p) {
    close_stream(&p->in);
    close_stream(&p->out);
    close_stream(&p->err);
    text_free(&p->input);
    text_free(&p->line);
    text_free(&p->watch);
    p->pid = 0;
}

void program_reap(struct program *p, struct text *out, size_t limit) {
    if (p->pid && !p->ended) collect(p);
    if (!p->pid || !p->ended) return;
    /* Nobody writes to the pipes any more: what they hold now is all there is. */
    while (out->length < limit && program_read(p, out, limit)) {}
    if (out->length >= limit) return; /* go on when the host has read some of it */
    while (program_read_errors(p)) {}
    if (p->line.length) end_line(p, out);
    add_exit_event(p, out);
    forget(p);
}

void program_kill(struct program *p) {
    if (p->pid && !p->ended) kill(-p->pid, SIGKILL);
}

void program_end(struct program *p) {
    program_kill(p);
    for (int tries = 0; tries < 400 && p->pid && !p->ended; tries++) {
        collect(p);
        if (!p->ended) nanosleep(&(struct timespec){.tv_nsec = 5 * 1000 * 1000}, NULL);
    }
    if (p->pid) forget(p);
}
