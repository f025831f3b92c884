/* Reading the small files in which a kernel tells about itself. */
#ifndef LEADLINE_FILES_H
#define LEADLINE_FILES_H

#include "json.h"

enum { FILE_BYTES = 64 * 1024, WATCHED_BYTES = 4 * 1024, FILES_ANSWER_BYTES = 3 * 1024 * 1024 };

/* Append `"path":"text"` with at most `limit` ≤ FILE_BYTES bytes of the file, and a comma before it unless `*first`.
 * Appends nothing if it cannot be read or is no regular file: a FIFO or a device would block us. */
void files_add(struct text *out, const char *path, size_t limit, bool *first);

/* Append `{"path":"text",…}` for every file that matches one of the globs; each file once, in order of its path.
 * False, with `out` as it was, if that would take more than FILES_ANSWER_BYTES. */
bool files_add_globs(struct text *out, const struct json *globs);

#endif
