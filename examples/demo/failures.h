/*
 * demo/failures.h - act 4, second half: three requests that go wrong, and what their callers hear.
 *
 * Two of them cost a worker. It is replaced in place, so the act ends when the pool is whole again.
 *
 * Thread-safety: main's thread. Ownership: nothing is kept.
 */
#ifndef DEMO_FAILURES_H
#define DEMO_FAILURES_H

#include "demo.h"

#define FAILURES 3

typedef struct failure {
    const char *what; /* "a hanging request" */
    const char *request;
    mu_err expected;
    mu_err err;
    int64_t took_ns;
    char worker[32];
    char type[64];
    char message[400];
} failure;

typedef struct failures {
    failure list[FAILURES];
    int available;    /* workers, in the end */
    int64_t whole_ns; /* how long that took after the last answer */
} failures;

bool failures_run(demo *d, failures *f);
void failures_print(demo *d, const failures *f);
json_t *failures_json(const failures *f);

#endif
