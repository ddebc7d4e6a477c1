/*
 * startup_forks - the part of bench_startup that is about the fork server
 *
 * For a light worker and one that imports numpy: 1, 8 and 32 workers from a warm server and from a
 * cold one, beside parallel exec and beside a bare fork loop in Python, of the same worker and of
 * nothing; from SIGKILL to the next answer, for both start methods; memory of a worker (PSS), for
 * both.
 *
 * Thread-safety: none; one at a time. Ownership: nothing is kept.
 */
#ifndef BENCH_STARTUP_FORKS_H
#define BENCH_STARTUP_FORKS_H

#include <stdbool.h>

#include "support/options.h"
#include "support/report.h"

/* Measures and reports all of it; `numpy`: that it can be imported. */
void bench_forks(bench_report *report, const bench_options *options, bool numpy);

#endif
