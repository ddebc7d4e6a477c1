/*
 * fork_rig: a pool whose workers are forked, and what its fork server says of itself
 *
 *     fork_rig rig;
 *     fork_prepare(&rig, 2);
 *     rig.pool.options.preload = modules;
 *     fork_open(&rig);
 *     kill(fork_server_pid(&rig), SIGSTOP);
 *     rig_stop(&rig.pool);
 *
 * The rig hears the system's events. A fork_rig must stay where it is.
 */
#ifndef MU_TEST_FORK_RIG_H
#define MU_TEST_FORK_RIG_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "pool_rig.h"

typedef struct fork_rig {
    pool_rig pool;
    _Atomic int server;    /* the process that serves, or served last */
    _Atomic int ready;     /* how many have been ready */
    _Atomic int fallbacks; /* workers that were exec'd for want of it */
    _Atomic int given_up;
    pthread_mutex_t lock;
    char reason[600]; /* why the last one ended */
} fork_rig;

static inline void fork_hear(void *ctx, const mu_event *event)
{
    fork_rig *rig = ctx;
    if (strcmp(event->name, "worker.fallback") == 0)
        atomic_fetch_add(&rig->fallbacks, 1);
    if (strcmp(event->name, "fork_server.ready") == 0) {
        atomic_store(&rig->server, (int)event->measurements[1].value);
        atomic_fetch_add(&rig->ready, 1);
    }
    if (strcmp(event->name, "fork_server.exit") == 0) {
        pthread_mutex_lock(&rig->lock);
        snprintf(rig->reason, sizeof rig->reason, "%s", event->metadata[1].value);
        pthread_mutex_unlock(&rig->lock);
        atomic_fetch_add(&rig->given_up, (int)event->measurements[1].value);
    }
}

static inline void fork_prepare(fork_rig *rig, int size)
{
    memset(rig, 0, sizeof *rig);
    pthread_mutex_init(&rig->lock, NULL);
    rig_prepare_heard(&rig->pool, size, (mu_event_hook){fork_hear, rig});
    rig->pool.options.start_method = MU_START_FORK_SERVER;
}

static inline void fork_open(fork_rig *rig)
{
    mu_err err = rig_open(&rig->pool);
    mu_check_msg(err == MU_OK, "%s: %s\n%s", mu_err_name(err), rig->pool.error.message,
                 rig->pool.error.detail ? rig->pool.error.detail : "");
}

static inline void fork_close(fork_rig *rig)
{
    rig_stop(&rig->pool);
    pthread_mutex_destroy(&rig->lock);
}

/* The last one that ended gave this as its reason. */
static inline bool fork_reason_has(fork_rig *rig, const char *text)
{
    pthread_mutex_lock(&rig->lock);
    bool has = strstr(rig->reason, text) != NULL;
    pthread_mutex_unlock(&rig->lock);
    return has;
}

/* A worker that serves, of a later generation than this. */
static inline bool fork_replaced(fork_rig *rig, int index, uint32_t generation)
{
    mu_worker_info worker = rig_worker(&rig->pool, index);
    return worker.generation > generation && worker.state == MU_WORKER_IDLE;
}

/* Kills a worker and waits for the one that takes its place. */
static inline void fork_kill_worker(fork_rig *rig, int index)
{
    mu_worker_info worker = rig_worker(&rig->pool, index);
    mu_check_eq(kill(worker.os_pid, SIGKILL), 0);
    mu_wait_until(fork_replaced(rig, index, worker.generation), 30000);
}

#endif
