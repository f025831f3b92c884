/* The threads that run kernels: pinned, started together, timed from the first start to the last end. */

#include "kernels_team.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "kernels_state.h"

enum {
    SLICE_NS = 200000, /* between two looks at the clock */
    SPINS = 2000,      /* looks at a barrier before the CPU is offered to others */
    STACK_BYTES = 128 << 10,
    CPUS_MAX = 4096,
    COPY_GAP = 2112, /* else loads would seem to depend on stores whose addresses have the same low 12 bits */
};

/* A barrier that is left at once by all: a sleeper would take part of a try to wake up. */
struct barrier {
    unsigned count;
    atomic_uint arrived, round;
};

struct slot { /* of one try */
    int64_t start_ns, end_ns;
    double operations;
};

struct worker {
    struct team *team;
    pthread_t thread;
    int cpu;
    bool beside;
    uint8_t *memory;
    size_t memory_bytes;
    int error;        /* errno of pinning, 0: pinned */
    atomic_bool lost; /* it does not run where it was pinned */
    size_t bytes; /* of the working set that it got */
    bool correct;
    struct slot slots[TRIES_MAX];
};

struct team {
    struct worker *workers; /* those measured, then those beside */
    unsigned count, beside_count;
    struct barrier together; /* of those measured */
    pthread_barrier_t job_begins, job_ends, pinned;
    struct job job, beside_job;
    atomic_uint busy; /* how many of those beside have begun */
};

int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void meet(struct barrier *barrier) {
    unsigned round = atomic_load(&barrier->round);
    if (atomic_fetch_add(&barrier->arrived, 1) + 1 == barrier->count) {
        atomic_store(&barrier->arrived, 0);
        atomic_fetch_add(&barrier->round, 1);
        return;
    }
    for (unsigned spins = 0; atomic_load(&barrier->round) == round; spins++)
        if (spins > SPINS) sched_yield();
}

/* ---- pinning ---- */

/* Masks of 4096 CPUs: the kernel refuses to tell of more than it is given room for. */
static int pin(int cpu) {
    unsigned long mask[CPUS_MAX / 8 / sizeof(long)] = {0};
    CPU_SET_S((size_t)cpu, sizeof mask, (cpu_set_t *)mask);
    return sched_setaffinity(0, sizeof mask, (cpu_set_t *)mask) == 0 ? 0 : errno;
}

static bool is_pinned(int cpu) {
    unsigned long mask[CPUS_MAX / 8 / sizeof(long)] = {0};
    int here = sched_getcpu();
    if (sched_getaffinity(0, sizeof mask, (cpu_set_t *)mask) != 0) return false;
    return CPU_COUNT_S(sizeof mask, (cpu_set_t *)mask) == 1 && CPU_ISSET_S((size_t)cpu, sizeof mask, (cpu_set_t *)mask) &&
           (here < 0 || here == cpu);
}

/* ---- one thread's part of a job ---- */

struct walk { /* around the working set, again and again */
    const struct job *job;
    uint8_t *from, *to; /* equal for `update` */
    size_t block_bytes, blocks, at;
    uint64_t rounds;
};

static size_t copy_block_bytes(const struct kernel *kernel) { return COPY_VECTORS * (size_t)kernel->vector_bytes; }

size_t job_least_bytes(const struct kernel *kernel) { return 2 * copy_block_bytes(kernel); }

/* First touch, by the pinned thread. */
static struct walk walk_start(const struct job *job, uint8_t *memory) {
    const struct kernel *kernel = job->kernel;
    struct walk walk = {.job = job, .from = memory, .to = memory};
    if (job->steps) {
        walk.block_bytes = (size_t)kernel->update_vectors * kernel->vector_bytes;
        walk.blocks = job->bytes / walk.block_bytes;
    } else {
        walk.block_bytes = copy_block_bytes(kernel);
        walk.blocks = job->bytes / 2 / walk.block_bytes;
        walk.to = memory + walk.blocks * walk.block_bytes + COPY_GAP;
        state_fill(kernel->state, walk.to, walk.blocks * walk.block_bytes);
    }
    state_fill(kernel->state, walk.from, walk.blocks * walk.block_bytes);
    return walk;
}

static size_t walk_bytes(const struct walk *walk) {
    return walk->blocks * walk->block_bytes * (walk->to == walk->from ? 1 : 2);
}

static double operations_per_block(const struct job *job) {
    const struct kernel *kernel = job->kernel;
    double steps = job->steps ? (double)job->steps * kernel->update_vectors : (double)COPY_VECTORS / job->every;
    return steps * kernel->ops_per_step;
}

static void walk_on(struct walk *walk, size_t blocks) {
    const struct job *job = walk->job;
    while (blocks) {
        size_t here = blocks < walk->blocks - walk->at ? blocks : walk->blocks - walk->at;
        size_t offset = walk->at * walk->block_bytes;
        if (job->steps) {
            job->kernel->update(walk->from + offset, here, job->steps);
        } else {
            job->kernel->copy(walk->to + offset, walk->from + offset, here, job->every);
        }
        blocks -= here;
        walk->at += here;
        if (walk->at == walk->blocks) { /* the next round of a copy goes back */
            uint8_t *from = walk->from;
            walk->from = walk->to;
            walk->to = from;
            walk->at = 0;
            walk->rounds++;
        }
    }
}

/* How many blocks take about SLICE_NS. */
static size_t measure_slice(struct walk *walk) {
    for (size_t blocks = 1;; blocks *= 2) {
        int64_t start_ns = now_ns();
        walk_on(walk, blocks);
        if (now_ns() - start_ns >= SLICE_NS / 2 || blocks >= SIZE_MAX / 4) return blocks;
    }
}

/* Whether every element has had its steps: those before `at` one round more than the others. */
static bool check(const struct walk *walk) {
    const struct job *job = walk->job;
    enum state state = job->kernel->state;
    size_t vector = job->kernel->vector_bytes, done = walk->at * walk->block_bytes;
    size_t all = walk->blocks * walk->block_bytes;
    if (job->steps)
        return state_check(state, walk->from, 0, done, vector, 1, (walk->rounds + 1) * job->steps) &&
               state_check(state, walk->from, done, all, vector, 1, walk->rounds * job->steps);
    return state_check(state, walk->from, 0, all, vector, job->every, walk->rounds) &&
           state_check(state, walk->to, 0, done, vector, job->every, walk->rounds + 1);
}

static void work(struct worker *worker) {
    struct team *team = worker->team;
    const struct job *job = &team->job;
    struct walk walk = walk_start(job, worker->memory);
    meet(&team->together);
    size_t slice = measure_slice(&walk);
    for (unsigned i = 0; i < job->tries; i++) {
        struct slot *slot = &worker->slots[i];
        size_t slices = 0;
        meet(&team->together);
        slot->start_ns = now_ns();
        do {
            walk_on(&walk, slice);
            slices++;
        } while ((slot->end_ns = now_ns()) - slot->start_ns < job->try_ns);
        slot->operations = (double)slices * (double)slice * operations_per_block(job);
        if (!is_pinned(worker->cpu)) atomic_store(&worker->lost, true);
    }
    worker->correct = check(&walk);
    worker->bytes = walk_bytes(&walk);
}

static void keep_busy(struct worker *worker) {
    const struct job *job = &worker->team->beside_job;
    struct walk walk = walk_start(job, worker->memory);
    atomic_fetch_add(&worker->team->busy, 1);
    for (size_t slice = measure_slice(&walk);; walk_on(&walk, slice))
        if (!is_pinned(worker->cpu)) atomic_store(&worker->lost, true);
}

static void *worker_main(void *argument) {
    struct worker *worker = argument;
    struct team *team = worker->team;
    worker->error = pin(worker->cpu);
    pthread_barrier_wait(&team->pinned);
    if (worker->beside) keep_busy(worker);
    for (;;) {
        pthread_barrier_wait(&team->job_begins);
        work(worker);
        pthread_barrier_wait(&team->job_ends);
    }
    return NULL;
}

/* ---- the team ---- */

static bool start_worker(struct worker *worker, char why[200]) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    worker->memory = mmap(NULL, worker->memory_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool started = worker->memory != MAP_FAILED &&
                   pthread_create(&worker->thread, &attributes, worker_main, worker) == 0;
    pthread_attr_destroy(&attributes);
    if (!started) snprintf(why, 200, "no memory for a thread with %zu bytes", worker->memory_bytes);
    return started;
}

struct team *team_start(const int *cpus, unsigned count, size_t most_bytes, const int *beside, unsigned beside_count,
                        size_t beside_bytes, const struct kernel *beside_kernel, const char **code, char why[200]) {
    struct team *team = calloc(1, sizeof *team);
    struct worker *workers = calloc(count + beside_count, sizeof *workers);
    *code = "memory";
    snprintf(why, 200, "no memory for %u threads", count + beside_count);
    if (!team || !workers) return NULL;
    team->workers = workers;
    team->count = team->together.count = count;
    team->beside_count = beside_count;
    team->beside_job = (struct job){.kernel = beside_kernel, .bytes = beside_bytes, .steps = 1};
    pthread_barrier_init(&team->job_begins, NULL, count + 1);
    pthread_barrier_init(&team->job_ends, NULL, count + 1);
    pthread_barrier_init(&team->pinned, NULL, count + beside_count + 1);
    for (unsigned i = 0; i < count + beside_count; i++) {
        bool is_beside = i >= count;
        workers[i] = (struct worker){.team = team,
                                     .cpu = is_beside ? beside[i - count] : cpus[i],
                                     .beside = is_beside,
                                     .memory_bytes = (is_beside ? beside_bytes : most_bytes) + COPY_GAP};
        if (!start_worker(&workers[i], why)) return NULL;
    }
    pthread_barrier_wait(&team->pinned);
    *code = "cpu";
    for (unsigned i = 0; i < count + beside_count; i++) {
        if (!workers[i].error) continue;
        snprintf(why, 200, "CPU %d is offline, forbidden or missing (%s)", workers[i].cpu, strerror(workers[i].error));
        return NULL;
    }
    while (atomic_load(&team->busy) < beside_count) usleep(1000);
    return team;
}

int team_run(struct team *team, const struct job *job, struct result *result) {
    struct worker *workers = team->workers;
    team->job = *job;
    pthread_barrier_wait(&team->job_begins);
    pthread_barrier_wait(&team->job_ends);
    for (unsigned i = 0; i < team->count + team->beside_count; i++)
        if (atomic_load(&workers[i].lost)) return workers[i].cpu;
    *result = (struct result){.correct = true};
    for (unsigned i = 0; i < team->count; i++) {
        result->bytes += workers[i].bytes;
        result->correct = result->correct && workers[i].correct;
    }
    for (unsigned try = 0; try < job->tries; try++) {
        int64_t start_ns = INT64_MAX, end_ns = INT64_MIN;
        double operations = 0;
        for (unsigned i = 0; i < team->count; i++) {
            const struct slot *slot = &workers[i].slots[try];
            if (slot->start_ns < start_ns) start_ns = slot->start_ns;
            if (slot->end_ns > end_ns) end_ns = slot->end_ns;
            operations += slot->operations;
        }
        result->operations_per_s[try] = operations * 1e9 / (double)(end_ns - start_ns);
    }
    return -1;
}
