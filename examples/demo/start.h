/*
 * demo/start.h - act 1: the workers start in parallel, and what that is worth.
 *
 * Four pools are started one after the other, all by mu_pool_start with the same options. The first
 * is not timed: its one worker brings the interpreter's files into memory, so that no later start
 * is slower for being first, and tells which interpreter it is, so that no later one has to look
 * for it. Then come a pool of one worker; one of the full size the other way, for comparison; and
 * the one that stays. Each time counts from the call to the moment the last worker has answered a
 * request.
 *
 * Thread-safety: main's thread. Ownership: start_free releases what start_run found.
 */
#ifndef DEMO_START_H
#define DEMO_START_H

#include "demo.h"

/* One pool's start. */
typedef struct start_time {
    int64_t begun;    /* on mu_now's clock */
    int64_t ready;    /* nanoseconds until mu_pool_start returned */
    int64_t answered; /* nanoseconds until every worker had answered a ping */
    mu_worker_info *workers;
    size_t n_workers;
} start_time;

typedef struct start {
    char python[4096]; /* the interpreter of the workers */
    char version[32];
    start_time single;   /* a pool of one */
    start_time parallel; /* all at once */
    start_time sequential;
} start;

/* Leaves d->pool running. False: it could not be started, and a line on stderr says why. */
bool start_run(demo *d, start *st);

void start_print(demo *d, const start *st);
json_t *start_json(const start *st);
void start_free(start *st);

#endif
