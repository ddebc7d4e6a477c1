/*
 * demo/options.h - the command line of the pool demo.
 *
 *     switch (options_read(argc, argv, &options)) { ... }
 *
 * Thread-safety: one thread. Ownership: texts borrow from argv.
 */
#ifndef DEMO_OPTIONS_H
#define DEMO_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#define WORKERS_MAX 256
#define KILL_MAX    100

typedef struct demo_options {
    int workers;
    bool sequential; /* start the workers of the demo one by one */
    const char *dir; /* what is analysed; NULL: the standard library */
    int kill;        /* how many busy workers are killed */
    uint64_t seed;   /* chooses which */
    bool json, quiet, no_color;
} demo_options;

typedef enum options_verdict { OPTIONS_RUN, OPTIONS_HELP, OPTIONS_BAD } options_verdict;

/* Prints the help on stdout, or one line on stderr that says what is wrong, and tells which. */
options_verdict options_read(int argc, char **argv, demo_options *ret_options);

#endif
