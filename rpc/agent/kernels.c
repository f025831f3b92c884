/* kernels: measures operations a second at given operational intensities and working sets; a sweep under a roofline.
 *
 *   kernels --cpus 0,1 --dtypes float32,int8 --levels L1:16384:64,DRAM:67108864:4 --intensities 0.25,1,64
 *           --tries 5 --seconds 20 [--isa NAME] [--beside 2,3 --beside-bytes N]
 *
 * Its lines are described in docs/agent-protocol.md, "The kernels' lines". What a kernel does: kernels.h. */

#include <getopt.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"
#include "kernels_team.h"
#include "runner_lines.h"

enum { LEVELS_MAX = 8, INTENSITIES_MAX = 32, DTYPES = 3, LEAST_BYTES = 4096 };

static const char *const DTYPE_NAMES[DTYPES] = {"float32", "float16", "int8"};
static const double LEAST_INTENSITY = 1.0 / 16, MOST_INTENSITY = 64;
static const int64_t LONGEST_TRY_NS = 20000000, SHORTEST_TRY_NS = 1000000, RAMP_NS = 200000000;
static const double MEASURING_SHARE = 0.6; /* of the time limit; the rest is for filling and checking memory */

struct level {
    char name[8];
    size_t bytes; /* of each thread */
    double most_intensity;
};

struct arguments {
    int cpus[TEAM_MAX], beside[TEAM_MAX];
    unsigned cpu_count, beside_count;
    size_t beside_bytes;
    const char *dtypes[DTYPES];
    unsigned dtype_count;
    struct level levels[LEVELS_MAX];
    unsigned level_count;
    double intensities[INTENSITIES_MAX];
    unsigned intensity_count;
    unsigned tries;
    double seconds;
    const char *isa;
};

/* ---- arguments ---- */

/* The number at *text, which is moved behind it. */
static bool take_number(const char **text, double low, double high, double *number) {
    char *end;
    *number = strtod(*text, &end);
    bool taken = end != *text && *number >= low && *number <= high;
    *text = end;
    return taken;
}

static bool parse_number(const char *text, double low, double high, double *number) {
    return take_number(&text, low, high, number) && *text == '\0';
}

static bool take_comma(const char **text) {
    if (**text != ',') return false;
    ++*text;
    return true;
}

static bool parse_cpus(const char *text, int *cpus, unsigned *count) {
    double cpu;
    do {
        if (*count == TEAM_MAX || !take_number(&text, 0, 4095, &cpu) || cpu != floor(cpu)) return false;
        cpus[(*count)++] = (int)cpu;
    } while (take_comma(&text));
    return *text == '\0';
}

/* Powers of two: what kernels can make of whole steps. */
static bool parse_intensities(const char *text, struct arguments *arguments) {
    int exponent;
    do {
        double *intensity = &arguments->intensities[arguments->intensity_count];
        if (arguments->intensity_count++ == INTENSITIES_MAX) return false;
        if (!take_number(&text, LEAST_INTENSITY, MOST_INTENSITY, intensity)) return false;
        if (frexp(*intensity, &exponent) != 0.5) return false;
    } while (take_comma(&text));
    return *text == '\0';
}

/* NAME:BYTES:MOST_INTENSITY */
static bool parse_levels(const char *text, struct arguments *arguments) {
    double bytes;
    do {
        struct level *level = &arguments->levels[arguments->level_count];
        size_t length = strspn(text, "LDRAM0123456789");
        if (arguments->level_count++ == LEVELS_MAX || !length || length >= sizeof level->name) return false;
        memcpy(level->name, text, length);
        text += length;
        if (*text++ != ':' || !take_number(&text, LEAST_BYTES, (double)(SIZE_MAX / 8), &bytes)) return false;
        if (*text++ != ':' || !take_number(&text, 0, 1e9, &level->most_intensity)) return false;
        level->bytes = (size_t)bytes;
    } while (take_comma(&text));
    return *text == '\0';
}

static bool parse_dtypes(char *text, struct arguments *arguments) {
    bool any = false;
    for (char *word = strtok(text, ","); word; word = strtok(NULL, ",")) {
        unsigned i = 0;
        while (i < DTYPES && strcmp(word, DTYPE_NAMES[i]) != 0) i++;
        if (i == DTYPES || arguments->dtype_count == DTYPES) return false;
        arguments->dtypes[arguments->dtype_count++] = DTYPE_NAMES[i];
        any = true;
    }
    return any;
}

static struct arguments parse_arguments(int argc, char **argv) {
    static const struct option options[] = {
        {"cpus", required_argument, NULL, 'c'},   {"dtypes", required_argument, NULL, 'd'},
        {"levels", required_argument, NULL, 'l'}, {"intensities", required_argument, NULL, 'i'},
        {"tries", required_argument, NULL, 't'},  {"seconds", required_argument, NULL, 's'},
        {"isa", required_argument, NULL, 'I'},    {"beside", required_argument, NULL, 'b'},
        {"beside-bytes", required_argument, NULL, 'B'}, {NULL, 0, NULL, 0}};
    struct arguments arguments = {.tries = 5, .seconds = 20};
    double number = 0;
    int option, index = 0;
    opterr = 0;
    while ((option = getopt_long(argc, argv, "", options, &index)) != -1) {
        bool fine = option != '?';
        switch (option) {
            case 'c': fine = parse_cpus(optarg, arguments.cpus, &arguments.cpu_count); break;
            case 'b': fine = parse_cpus(optarg, arguments.beside, &arguments.beside_count); break;
            case 'd': fine = parse_dtypes(optarg, &arguments); break;
            case 'l': fine = parse_levels(optarg, &arguments); break;
            case 'i': fine = parse_intensities(optarg, &arguments); break;
            case 'I': arguments.isa = optarg; break;
            case 't': fine = parse_number(optarg, 1, TRIES_MAX, &number), arguments.tries = (unsigned)number; break;
            case 's': fine = parse_number(optarg, 0.01, 3600, &arguments.seconds); break;
            case 'B':
                fine = parse_number(optarg, LEAST_BYTES, (double)(SIZE_MAX / 8), &number);
                arguments.beside_bytes = (size_t)number;
                break;
        }
        if (!fine) fail("arguments", "--%s: cannot use it", option == '?' ? argv[optind - 1] : options[index].name);
    }
    if (!arguments.cpu_count || !arguments.dtype_count || !arguments.level_count || !arguments.intensity_count ||
        (arguments.beside_count && !arguments.beside_bytes) || optind != argc)
        fail("arguments", "--cpus, --dtypes, --levels and --intensities are needed, --beside with --beside-bytes");
    return arguments;
}

/* ---- what is there ---- */

/* The best kernel for a dtype, or the one asked for; NULL: this CPU has none. */
static const struct kernel *find_kernel(const char *dtype, const char *isa) {
    for (const struct kernel *kernel = kernels; kernel < kernels + kernel_count; kernel++)
        if (strcmp(kernel->dtype, dtype) == 0 && (!isa || strcmp(kernel->isa, isa) == 0) && kernel->supported())
            return kernel;
    return NULL;
}

/* "avx2+fma, sse2" */
static void list_isas(const char *dtype, char *list, size_t size) {
    size_t used = 0;
    snprintf(list, size, "no instructions for it");
    for (const struct kernel *kernel = kernels; kernel < kernels + kernel_count; kernel++)
        if (strcmp(kernel->dtype, dtype) == 0 && kernel->supported() && used < size)
            used += (size_t)snprintf(list + used, size - used, "%s%s", used ? ", " : "", kernel->isa);
}

static void check_isa(const struct arguments *arguments) {
    char list[200];
    for (unsigned i = 0; arguments->isa && i < arguments->dtype_count; i++) {
        if (find_kernel(arguments->dtypes[i], arguments->isa)) continue;
        list_isas(arguments->dtypes[i], list, sizeof list);
        fail("isa", "%s cannot be computed with %.40s here; this CPU has %s", arguments->dtypes[i], arguments->isa,
             list);
    }
}

/* What can be had without pushing others out, bytes; SIZE_MAX: the kernel does not tell. */
static size_t available_bytes(void) {
    char line[128];
    unsigned long long kib;
    size_t bytes = SIZE_MAX;
    FILE *file = fopen("/proc/meminfo", "r");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1 && kib < SIZE_MAX / 1024) bytes = (size_t)kib * 1024;
    if (file) fclose(file);
    return bytes;
}

static void check_memory(const struct arguments *arguments, size_t most_bytes) {
    double needed = (double)most_bytes * arguments->cpu_count +
                    (double)arguments->beside_bytes * arguments->beside_count;
    size_t available = available_bytes();
    if (available != SIZE_MAX && needed > (double)available)
        fail("memory", "%.0f MB of working sets are more than the %.0f MB available", needed / 1e6,
             (double)available / 1e6);
}

static size_t most_bytes(const struct arguments *arguments) {
    size_t most = 0;
    for (unsigned i = 0; i < arguments->level_count; i++)
        if (arguments->levels[i].bytes > most) most = arguments->levels[i].bytes;
    return most;
}

/* ---- points ---- */

struct point {
    const struct kernel *kernel;
    const struct level *level;
    double intensity;
};

static unsigned plan_points(const struct arguments *arguments, struct point *points) {
    unsigned count = 0;
    for (unsigned d = 0; d < arguments->dtype_count; d++) {
        const struct kernel *kernel = find_kernel(arguments->dtypes[d], arguments->isa);
        for (unsigned l = 0; kernel && l < arguments->level_count; l++)
            for (unsigned i = 0; i < arguments->intensity_count; i++)
                if (arguments->intensities[i] <= arguments->levels[l].most_intensity)
                    points[count++] = (struct point){kernel, &arguments->levels[l], arguments->intensities[i]};
    }
    return count;
}

static struct job job_of(const struct point *point) {
    const struct kernel *kernel = point->kernel;
    double steps = point->intensity * 2 * kernel->vector_bytes / kernel->ops_per_step; /* a vector */
    struct job job = {.kernel = kernel, .bytes = point->level->bytes};
    if (steps >= 1) {
        job.steps = (unsigned)steps;
    } else {
        job.every = (unsigned)(1 / steps);
    }
    return job;
}

/* ---- lines ---- */

static void print_ready(const struct arguments *arguments, unsigned points) {
    fprintf(out, "{\"event\":\"ready\",\"version\":\"%s\",\"points\":%u,\"isas\":{", AGENT_VERSION, points);
    for (unsigned i = 0; i < arguments->dtype_count; i++) {
        const struct kernel *kernel = find_kernel(arguments->dtypes[i], arguments->isa);
        fprintf(out, "%s\"%s\":", i ? "," : "", arguments->dtypes[i]);
        fprintf(out, kernel ? "\"%s\"" : "null", kernel ? kernel->isa : "");
    }
    fputs("}}", out);
    end_line();
}

static void print_point(const struct point *point, unsigned tries, const struct result *result) {
    fprintf(out, "{\"event\":\"point\",\"dtype\":\"%s\",\"isa\":\"%s\",\"level\":\"%s\",\"working_set_bytes\":%zu,"
                 "\"intensity\":%.9g,\"gops\":[", point->kernel->dtype, point->kernel->isa, point->level->name,
            result->bytes, point->intensity);
    for (unsigned i = 0; i < tries; i++) fprintf(out, "%s%.6g", i ? "," : "", result->operations_per_s[i] / 1e9);
    fprintf(out, "],\"correct\":%s}", result->correct ? "true" : "false");
    end_line();
}

static void print_end(const char *stopped, int cpu) {
    fputs("{\"event\":\"end\",\"stopped\":", out);
    fprintf(out, stopped ? "\"%s\"" : "null", stopped);
    fputs(",\"cpu\":", out);
    fprintf(out, cpu < 0 ? "null" : "%d", cpu);
    fputc('}', out);
    end_line();
}

/* ---- the sweep ---- */

static void sweep(struct team *team, const struct arguments *arguments, const struct point *points, unsigned count) {
    static struct result result;
    int64_t start_ns = now_ns();
    double tries_ns = arguments->seconds * 1e9 * MEASURING_SHARE / (count * arguments->tries);
    int64_t try_ns = tries_ns > LONGEST_TRY_NS ? LONGEST_TRY_NS : (int64_t)tries_ns;
    if (try_ns < SHORTEST_TRY_NS) try_ns = SHORTEST_TRY_NS;
    int lost = -1;
    for (unsigned i = 0; i < count; i++) {
        struct job job = job_of(&points[i]);
        if (i == 0) { /* governors take their time to raise the frequency */
            job.tries = 1;
            job.try_ns = RAMP_NS;
            lost = team_run(team, &job, &result);
        }
        job.tries = arguments->tries;
        job.try_ns = try_ns;
        if (lost < 0) lost = team_run(team, &job, &result);
        if (lost >= 0) {
            print_end("cpu", lost);
            return;
        }
        print_point(&points[i], job.tries, &result);
        if (i + 1 < count && (double)(now_ns() - start_ns) > arguments->seconds * 1e9) {
            print_end("time", -1);
            return;
        }
    }
    print_end(NULL, -1);
}

int main(int argc, char **argv) {
    static struct arguments arguments;
    static struct point points[DTYPES * LEVELS_MAX * INTENSITIES_MAX];
    const char *code;
    char why[200];
    out = stdout;
    arguments = parse_arguments(argc, argv);
    check_isa(&arguments);
    check_memory(&arguments, most_bytes(&arguments));
    unsigned count = plan_points(&arguments, points);
    struct team *team =
        team_start(arguments.cpus, arguments.cpu_count, most_bytes(&arguments), arguments.beside,
                   arguments.beside_count, arguments.beside_bytes, find_kernel("float32", NULL), &code, why);
    if (!team) fail(code, "%s", why);
    print_ready(&arguments, count);
    sweep(team, &arguments, points, count);
    _exit(0); /* with its threads */
}
