/*
 * support/options.h - the command line that all benchmarks share.
 *
 * A benchmark has two questions to its user, how long and in which form, and asks them everywhere
 * in the same way. A bad option gets one clear line and exit status 2; --help prints and leaves
 * with 0.
 *
 *     bench_options options;
 *     bench_options_parse(&options, argc, argv, "What this benchmark measures.\n");
 *
 * Thread-safety: none. Ownership: `only` borrows from argv.
 */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include <stdbool.h>

typedef enum bench_effort {
    BENCH_SMOKE, /* a few iterations: checks the machinery, measures nothing */
    BENCH_QUICK, /* less than 30 s altogether */
    BENCH_FULL
} bench_effort;

typedef struct bench_options {
    bench_effort effort;
    bool json;
    const char *only; /* NULL: everything */
} bench_options;

/* `about` is what --help says of this benchmark, whole lines. Leaves the process where it has to.
 */
void bench_options_parse(bench_options *ret_options, int argc, char **argv, const char *about);

/* Is the part of the benchmark with this name asked for? */
bool bench_wanted(const bench_options *options, const char *name);

/* When all parts have been asked for: leaves the process with 2 if none of them was wanted. */
void bench_options_end(const bench_options *options);

/* One of three figures, by effort. */
static inline int bench_effort_of(const bench_options *options, int smoke, int quick, int full)
{
    return options->effort == BENCH_SMOKE ? smoke : options->effort == BENCH_QUICK ? quick : full;
}

#endif
