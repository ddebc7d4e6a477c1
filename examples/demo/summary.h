/*
 * demo/summary.h - act 5, first half: what the pool counted.
 *
 * Thread-safety: main's thread. Ownership: nothing is kept.
 */
#ifndef DEMO_SUMMARY_H
#define DEMO_SUMMARY_H

#include "demo.h"

typedef struct summary {
    mu_pool_stats stats;
} summary;

/* Takes the pool's figures and holds them against the account. */
void summary_run(demo *d, summary *s);
void summary_print(demo *d, const summary *s);
json_t *summary_json(const summary *s);

#endif
