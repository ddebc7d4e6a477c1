/*
 * demo/latency.h - act 4, first half: a thousand requests at once.
 *
 * All are submitted before the first answers can have come back, so what their callers see is
 * mostly the wait for one of a few workers; how long the workers took is told beside it.
 *
 * Thread-safety: main's thread. Ownership: nothing is kept.
 */
#ifndef DEMO_LATENCY_H
#define DEMO_LATENCY_H

#include "demo.h"

#define LATENCY_REQUESTS 1000

typedef struct latency_figures {
    int64_t p50, p90, p99, max; /* nanoseconds, exact */
} latency_figures;

typedef struct latency {
    int answered;
    int64_t took_ns;                    /* from the first submission to the last answer */
    int64_t total_ns[LATENCY_REQUESTS]; /* of each, from submission to answer; sorted */
    latency_figures total, executed;
} latency;

bool latency_run(demo *d, latency *l);
void latency_print(demo *d, const latency *l);
json_t *latency_json(const latency *l);

#endif
