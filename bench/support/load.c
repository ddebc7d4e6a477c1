/*
 * support/load: see load.h. Called by the benchmarks with their steps; it calls pthreads.
 */
#include "support/load.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "support/report.h"

#define ROUNDS_MAX     101
#define CALLERS_MAX    128
#define SAMPLES_PER_MS 500 /* more requests than this one caller does not make */

typedef struct figures {
    double p50, p99, rate;
} figures;

typedef struct caller {
    const bench_load *load;
    int number;
    int ms;
    pthread_barrier_t *start;
    bench_samples samples;
    int64_t took; /* from the start to the end of its last request */
} caller;

/* One clock reading a request: the end of one is the beginning of the next. */
static void run_caller(caller *self)
{
    int64_t begun = bench_now(), end = begun + (int64_t)self->ms * 1000000, now = begun;
    do {
        int64_t before = now;
        self->load->step(self->load->ctx, self->number);
        now = bench_now();
        bench_samples_add(&self->samples, now - before);
    } while (now < end);
    self->took = now - begun;
}

static void *caller_thread(void *arg)
{
    caller *self = arg;
    pthread_barrier_wait(self->start);
    run_caller(self);
    return NULL;
}

static void run_threads(caller *callers, int count)
{
    pthread_t threads[CALLERS_MAX];
    pthread_barrier_t start;
    pthread_barrier_init(&start, NULL, (unsigned)count);
    for (int i = 0; i < count; i++) {
        callers[i].start = &start;
        if (pthread_create(&threads[i], NULL, caller_thread, &callers[i]) != 0)
            bench_die("a thread cannot be made");
    }
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&start);
}

/* One round of one load. */
static figures run_load(const bench_load *load, int ms)
{
    caller callers[CALLERS_MAX];
    size_t room = (size_t)ms * SAMPLES_PER_MS;
    if (load->callers > CALLERS_MAX)
        bench_die("%d callers are too many", load->callers);
    for (int i = 0; i < load->callers; i++) {
        callers[i] = (caller){.load = load, .number = i, .ms = ms};
        bench_samples_init(&callers[i].samples, room);
    }
    if (load->callers == 1)
        run_caller(&callers[0]);
    else
        run_threads(callers, load->callers);

    figures found = {0};
    bench_samples all;
    bench_samples_init(&all, room * (size_t)load->callers);
    for (int i = 0; i < load->callers; i++) {
        found.rate += (double)callers[i].samples.count * 1e9 / (double)callers[i].took;
        bench_samples_merge(&all, &callers[i].samples);
        bench_samples_deinit(&callers[i].samples);
    }
    found.p50 = (double)bench_samples_quantile(&all, 0.5) / 1e3;
    found.p99 = (double)bench_samples_quantile(&all, 0.99) / 1e3;
    bench_samples_deinit(&all);
    return found;
}

void bench_compare(const bench_load *floor, const bench_load *value, int rounds, int ms,
                   bench_comparison *ret_found)
{
    bench_pair p50[ROUNDS_MAX], p99[ROUNDS_MAX], rate[ROUNDS_MAX];
    if (rounds > ROUNDS_MAX)
        bench_die("%d rounds are too many", rounds);
    for (int i = 0; i < rounds; i++) {
        figures below, above;
        bool floor_first = i % 2 == 0;
        if (floor_first)
            below = run_load(floor, ms);
        above = run_load(value, ms);
        if (!floor_first)
            below = run_load(floor, ms);
        p50[i] = (bench_pair){above.p50, below.p50};
        p99[i] = (bench_pair){above.p99, below.p99};
        rate[i] = (bench_pair){above.rate, below.rate};
    }
    ret_found->p50 = bench_median_pair(p50, (size_t)rounds);
    ret_found->p99 = bench_median_pair(p99, (size_t)rounds);
    ret_found->rate = bench_median_pair(rate, (size_t)rounds);
}
