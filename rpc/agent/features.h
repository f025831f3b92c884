/* What this CPU can do. */
#ifndef LEADLINE_FEATURES_H
#define LEADLINE_FEATURES_H

#include "json.h"

/* Append a JSON array of the kernel's names of vector extensions that CPU and kernel both support. Filled on x86 only:
 * elsewhere the hwcap numbers say it, and the host knows their names. */
void features_add(struct text *out);

/* Whether the extension of that name is one of these. */
bool features_have(const char *name);

#endif
