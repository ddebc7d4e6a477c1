/*
 * support/samples.h - the clock, quantiles, and the median of paired rounds.
 *
 * A machine drifts: its clock speed, its neighbours, its caches. So floor and value are measured in
 * turn, in many short rounds, and the round whose ratio is the median of all is the one reported:
 * drift hits both sides of a ratio alike, and value, floor and ratio of a row belong together.
 *
 *     bench_pair pairs[ROUNDS];
 *     ... pairs[i] = (bench_pair){.value = a, .floor = b} ...
 *     bench_pair median = bench_median_pair(pairs, ROUNDS);
 *
 * Thread-safety: a set of samples has one user. Ownership: samples own their memory until deinit.
 */
#ifndef BENCH_SAMPLES_H
#define BENCH_SAMPLES_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* Nanoseconds of CLOCK_MONOTONIC. */
static inline int64_t bench_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Durations in nanoseconds. Beyond `room` samples are counted and no longer kept. */
typedef struct bench_samples {
    int64_t *ns;
    size_t kept, room;
    uint64_t count;
} bench_samples;

/* Reserves, and touches, the memory, so that measuring faults no pages in. */
void bench_samples_init(bench_samples *samples, size_t room);
void bench_samples_deinit(bench_samples *samples);

static inline void bench_samples_add(bench_samples *samples, int64_t ns)
{
    if (samples->kept < samples->room)
        samples->ns[samples->kept++] = ns;
    samples->count++;
}

/* Appends the samples of another set. */
void bench_samples_merge(bench_samples *samples, const bench_samples *more);

/* The sample below which `share` (0 to 1) of all lie; 0 of none. Sorts. */
int64_t bench_samples_quantile(bench_samples *samples, double share);

typedef struct bench_pair {
    double value, floor;
} bench_pair;

/* The pair with the median ratio of value to floor; of an even count the lower one. Sorts. */
bench_pair bench_median_pair(bench_pair *pairs, size_t count);

#endif
