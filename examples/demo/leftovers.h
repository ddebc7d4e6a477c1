/*
 * demo/leftovers.h - act 6: the stop, and the proof that nothing stayed behind.
 *
 * Every process of this run carries its run id. They are counted before the stop, which shows that
 * the count sees them, and afterwards, when there must be none.
 *
 *     leftovers_stop(&d, &l);                   stops pool and system, however far the demo came
 *
 * Thread-safety: main's thread. Ownership: nothing is kept.
 */
#ifndef DEMO_LEFTOVERS_H
#define DEMO_LEFTOVERS_H

#include "demo.h"

typedef struct leftovers {
    char run_id[128];
    int before;       /* processes of this run while the pool runs: the workers and the warden */
    int after;        /* and when the system has stopped */
    size_t abandoned; /* threads that did not return */
    int64_t took_ns;  /* from the stop of the pool to the end of the system */
} leftovers;

void leftovers_stop(demo *d, leftovers *l);
void leftovers_print(demo *d, const leftovers *l);
json_t *leftovers_json(const leftovers *l);

#endif
