/*
 * demo/demo.h - what the acts of the demo share.
 *
 * Each act is a noun of its own (start, job, latency, ...) with a function that runs it, one that
 * prints what it found and one that gives the same as JSON. pool_demo.c calls them in their order.
 *
 * Thread-safety: the acts run in main's thread. Ownership: pool_demo.c owns what is in here.
 */
#ifndef DEMO_DEMO_H
#define DEMO_DEMO_H

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
    mu_pool *pool; /* the one that works; NULL before it runs and after its stop */
} demo;

/* Nanoseconds to milliseconds. */
static inline double demo_ms(int64_t ns)
{
    return (double)ns / 1e6;
}

#endif
