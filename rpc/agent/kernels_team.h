/* The threads that run kernels, one pinned to each CPU. */

#ifndef LEADLINE_KERNELS_TEAM_H
#define LEADLINE_KERNELS_TEAM_H

#include "kernels.h"

enum { TEAM_MAX = 256, TRIES_MAX = 100 };

/* One kernel over one working set at one intensity. */
struct job {
    const struct kernel *kernel;
    size_t bytes;    /* working set of each thread; at least `job_least_bytes` */
    unsigned steps;  /* of `update`; 0: `copy` */
    unsigned every;  /* of `copy` */
    unsigned tries;
    int64_t try_ns;  /* how long one try takes; a little more if the CPU is slow */
};

struct result {
    double operations_per_s[TRIES_MAX]; /* of all threads, from the first start to the last end */
    size_t bytes;                       /* working sets of all threads */
    bool correct;
};

struct team;

/* Start threads, each pinned to its CPU, with memory for the largest job to come. Those `beside` keep memory busy,
 * `beside_bytes` each, from the first job on. Returns NULL with the reason in `why` and its code. */
struct team *team_start(const int *cpus, unsigned count, size_t most_bytes, const int *beside, unsigned beside_count,
                        size_t beside_bytes, const struct kernel *beside_kernel, const char **code, char why[200]);

/* Run a job. Returns -1, or the CPU that a thread has lost while it ran: then there is no result. */
int team_run(struct team *team, const struct job *job, struct result *result);

/* The smallest working set that the kernel can have, bytes. */
size_t job_least_bytes(const struct kernel *kernel);

int64_t now_ns(void);

#endif
