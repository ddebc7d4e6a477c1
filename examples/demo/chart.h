/*
 * demo/chart.h - the start of a pool as a drawing: a bar per worker over time.
 *
 *     worker_1  ░▒▒▒▒▒▒▒▓▓▓▓▓█            34.1 ms  pid 4711
 *     worker_2    ░▒▒▒▒▒▒▒▒▓▓▓▓▓▓█        39.8 ms  pid 4712
 *
 * All bars share one axis, from the moment the start was asked for. Each begins when the start of
 * its worker began and is divided into the phases of its timeline.
 *
 * Thread-safety: main's thread. Ownership: nothing is kept.
 */
#ifndef DEMO_CHART_H
#define DEMO_CHART_H

#include <stddef.h>
#include <stdint.h>
#include <muster/pool.h>

#include "screen.h"

typedef struct chart {
    screen *screen;
    int64_t begin; /* on mu_now's clock: the left edge */
    int64_t span;  /* nanoseconds from edge to edge */
    int columns;
} chart;

/* The widest chart that leaves room for the texts beside it. */
chart chart_make(screen *s, int64_t begin, int64_t span);

/* The bars of all workers and what their signs mean, with the mean of each phase. */
void chart_workers(const chart *c, const mu_worker_info *workers, size_t n);

/* One bar from the left edge, for comparing sums. */
void chart_total(const chart *c, const char *label, int64_t ns, const char *note);

#endif
