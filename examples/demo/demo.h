/*
 * demo/demo.h - what the acts of the demo share.
 *
 * Each act is a noun of its own (start, job, latency, ...) with a function that runs it and says
 * whether to go on, one that prints what it found and one that gives the same as JSON. pool_demo.c
 * calls them in their order.
 *
 * After a Ctrl-C another thread stops the pool under them: whatever they wait for ends at once, and
 * they have only to look at interrupted() before they hold anything against the pool.
 *
 * Thread-safety: the acts run in main's thread; demo_break_off in any. Ownership: the pool belongs
 * to the demo from demo_take_pool to demo_end_pool.
 */
#ifndef DEMO_DEMO_H
#define DEMO_DEMO_H

#include <pthread.h>
#include <muster/pool.h>
#include <muster/system.h>

#include "account.h"
#include "options.h"
#include "screen.h"

typedef struct demo {
    demo_options options;
    screen screen;
    account account;
    mu_system *system;
    mu_pool *pool;            /* NULL while none runs; only main changes it, under the lock */
    pthread_mutex_t stopping; /* nobody frees the pool while somebody stops it */
} demo;

void demo_take_pool(demo *d, mu_pool *pool);

/* Stops and frees the pool, if there is one. */
void demo_end_pool(demo *d);

/* Stops it and leaves the rest to main; `demo` is a demo *. Blocks until it has stopped. */
void demo_break_off(void *demo);

/* Nanoseconds to milliseconds. */
static inline double demo_ms(int64_t ns)
{
    return (double)ns / 1e6;
}

#endif
