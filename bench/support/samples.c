/*
 * support/samples: see samples.h.
 */
#include "support/samples.h"

#include <stdlib.h>
#include <string.h>

#include "support/report.h"

void bench_samples_init(bench_samples *samples, size_t room)
{
    *samples = (bench_samples){.ns = malloc(room * sizeof *samples->ns), .room = room};
    if (samples->ns == NULL)
        bench_die("out of memory");
    memset(samples->ns, 1, room * sizeof *samples->ns);
}

void bench_samples_deinit(bench_samples *samples)
{
    free(samples->ns);
    *samples = (bench_samples){0};
}

void bench_samples_merge(bench_samples *samples, const bench_samples *more)
{
    for (size_t i = 0; i < more->kept; i++)
        bench_samples_add(samples, more->ns[i]);
    samples->count += more->count - more->kept;
}

static int by_duration(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

int64_t bench_samples_quantile(bench_samples *samples, double share)
{
    if (samples->kept == 0)
        return 0;
    qsort(samples->ns, samples->kept, sizeof *samples->ns, by_duration);
    size_t place = (size_t)(share * (double)(samples->kept - 1) + 0.5);
    return samples->ns[place];
}

static int by_ratio(const void *left, const void *right)
{
    const bench_pair *a = left, *b = right;
    double one = a->value * b->floor, other = b->value * a->floor;
    return (one > other) - (one < other);
}

bench_pair bench_median_pair(bench_pair *pairs, size_t count)
{
    qsort(pairs, count, sizeof *pairs, by_ratio);
    return pairs[(count - 1) / 2];
}
