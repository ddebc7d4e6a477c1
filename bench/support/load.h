/*
 * support/load.h - callers in a closed loop, and two such loads measured in turn.
 *
 * Each of `callers` threads runs `step` again and again, as fast as it goes, for the time of a
 * round; one caller runs in the calling thread. A comparison runs the floor and the measured load
 * in turn, changing who goes first, for many short rounds (support/samples.h says why).
 *
 *     bench_load floor = {.callers = 8, .step = write_and_read, .ctx = children};
 *     bench_load value = {.callers = 8, .step = execute, .ctx = pool};
 *     bench_comparison found;
 *     bench_compare(&floor, &value, 15, 200, &found);
 *
 * Thread-safety: one comparison at a time. Ownership: nothing is kept.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include "support/samples.h"

typedef struct bench_load {
    int callers;
    void (*step)(void *ctx, int caller); /* one request; `caller` counts from 0 */
    void *ctx;
} bench_load;

/* Medians over the rounds; latencies in microseconds, the rate in requests per second of all. */
typedef struct bench_comparison {
    bench_pair p50, p99, rate;
} bench_comparison;

/* `rounds` of `ms` milliseconds for each load. Give an odd number. */
void bench_compare(const bench_load *floor, const bench_load *value, int rounds, int ms,
                   bench_comparison *ret_found);

#endif
