#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void files_add(struct text *out, const char *path, size_t limit, bool *first) {
    static char bytes[FILE_BYTES];
    struct stat status;
    size_t length = 0;
    ssize_t got = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) return;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        close(fd);
        return;
    }
    while (length < limit) { /* sysfs and procfs may answer in pieces */
        got = read(fd, bytes + length, limit - length);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        length += (size_t)got;
    }
    close(fd);
    if (got < 0 && !length) return;
    if (!*first) text_add(out, ",");
    *first = false;
    text_json(out, path, strlen(path));
    text_add(out, ":");
    text_json(out, bytes, length);
}

static int by_path(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

bool files_add_globs(struct text *out, const struct json *globs) {
    size_t before = out->length;
    bool first = true, fits = true;
    glob_t found = {0};
    for (const struct json *pattern = globs->first; pattern; pattern = pattern->next)
        (void)glob(pattern->string, found.gl_pathc ? GLOB_APPEND | GLOB_NOSORT : GLOB_NOSORT, NULL, &found);
    if (found.gl_pathc) qsort(found.gl_pathv, found.gl_pathc, sizeof *found.gl_pathv, by_path);
    text_add(out, "{");
    for (size_t i = 0; i < found.gl_pathc && fits; i++) {
        if (i && !strcmp(found.gl_pathv[i], found.gl_pathv[i - 1])) continue;
        files_add(out, found.gl_pathv[i], FILE_BYTES, &first);
        fits = out->length - before <= FILES_ANSWER_BYTES;
    }
    text_add(out, "}");
    if (!fits) text_cut(out, before);
    globfree(&found);
    return fits;
}
