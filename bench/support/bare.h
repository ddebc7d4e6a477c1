/*
 * support/bare.h - the floor of a pool: workers without one, a bare loop for each.
 *
 * Started without libmuster, each is served by one thread that writes a request and reads the
 * answer (support/exchange.h).
 *
 *     bench_bare_start(&bare, command, 8);
 *     bench_load floor = {.callers = 8, .step = bench_bare_step, .ctx = &bare};
 *     ...
 *     bench_bare_stop(&bare);
 *
 * Thread-safety: as many threads as there are workers. Ownership: embedded, the caller's.
 */
#ifndef BENCH_BARE_H
#define BENCH_BARE_H

#include "support/exchange.h"

enum { BENCH_BARE_MAX = 8 };

typedef struct bench_bare {
    bench_child children[BENCH_BARE_MAX];
    int count;
    bench_frame frame; /* the request that all of them are sent */
} bench_bare;

/* Starts `count` workers of this command and waits until all are ready. */
void bench_bare_start(bench_bare *ret_bare, const bench_command *command, int count);
void bench_bare_stop(bench_bare *bare);

/* One exchange of caller number `caller` with its own worker. */
void bench_bare_step(void *bare, int caller);

#endif
