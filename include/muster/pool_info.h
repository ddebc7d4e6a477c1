/*
 * muster/pool_info.h - what a pool tells about itself.
 *
 * Its workers and their states, its figures, its health, its last requests, its types. The
 * functions that fill these are muster/pool.h's.
 *
 *     mu_pool_stats stats;
 *     mu_pool_stats_get(pool, &stats);
 *     printf("%d of %d workers are busy\n", stats.busy, stats.workers);
 *
 * Thread-safety: plain data.
 * Ownership: nothing here owns anything; arrays come as one block, the caller's to free().
 */
#ifndef MUSTER_POOL_INFO_H
#define MUSTER_POOL_INFO_H

#include <stddef.h>
#include <stdint.h>
#include <muster/actor.h>
#include <muster/decls.h>
#include <muster/error.h>
#include <muster/worker_type.h>

MU_BEGIN_DECLS

/* X(name, text): where a worker is in its life; doc/pool.md draws the transitions. */
#define MU_WORKER_STATES(X)                                                                        \
    X(MU_WORKER_STARTING, "starting") /* its process is being started, or has not said ready */    \
    X(MU_WORKER_IDLE, "idle")                                                                      \
    X(MU_WORKER_BUSY, "busy")                                                                      \
    X(MU_WORKER_UNHEALTHY, "unhealthy")   /* has failed a health check, and is being killed */     \
    X(MU_WORKER_DRAINING, "draining")     /* its caller has gone, or it is to leave */             \
    X(MU_WORKER_RESTARTING, "restarting") /* dead; waits for its next generation */                \
    X(MU_WORKER_STOPPED, "stopped")

typedef enum mu_worker_state {
#define MU_WORKER_STATE_ENUM_(name, text) name,
    MU_WORKER_STATES(MU_WORKER_STATE_ENUM_)
#undef MU_WORKER_STATE_ENUM_
} mu_worker_state;

/* "idle" and so on. */
const char *mu_worker_state_name(mu_worker_state state);

/* How the start of a worker spent its time, in nanoseconds; phases not reached yet are 0. */
typedef struct mu_timeline {
    int64_t begun;       /* on the system's monotonic clock: when its start was asked for */
    int64_t spawn;       /* until the process existed */
    int64_t interpreter; /* from there to the worker's first own line */
    int64_t imports;     /* its modules */
    int64_t on_start;    /* its own initialisation, until it said ready */
    int64_t total;       /* from begun to the moment its ready arrived */
} mu_timeline;

/* X(name, text): what the circuit breaker does with requests. */
#define MU_BREAKER_STATES(X)                                                                       \
    X(MU_BREAKER_CLOSED, "closed")       /* lets them through */                                   \
    X(MU_BREAKER_OPEN, "open")           /* refuses them */                                        \
    X(MU_BREAKER_HALF_OPEN, "half_open") /* lets one through to see */

typedef enum mu_breaker_state {
#define MU_BREAKER_STATE_ENUM_(name, text) name,
    MU_BREAKER_STATES(MU_BREAKER_STATE_ENUM_)
#undef MU_BREAKER_STATE_ENUM_
} mu_breaker_state;

/* "closed" and so on. */
const char *mu_breaker_state_name(mu_breaker_state state);

typedef struct mu_worker_info {
    char id[32];
    char type[MU_WORKER_TYPE_MAX + 1]; /* "" in a pool without types */
    mu_worker_state state;
    int os_pid;          /* 0 while there is no process */
    uint32_t generation; /* 1 for the first process of this worker */
    mu_pid actor;
    mu_timeline timeline; /* of the current generation */
    uint64_t requests;    /* over all generations */
    uint64_t errors;      /* requests that did not end with MU_OK */
    uint64_t restarts;
    size_t rss;               /* of its process: resident bytes; 0 if there is none */
    int64_t mean_ns;          /* mean execution time; 0 before the first request */
    int64_t last_restart_ns;  /* from the death of the last generation to the ready of this one */
    mu_breaker_state breaker; /* of this worker's own circuit */
    mu_err error;             /* why the last generation ended, MU_OK if none has */
    char reason[256];         /* the same in words, the last lines it wrote included */
} mu_worker_info;

/* Of the requests finished since the pool's start, in nanoseconds, within 3 %. */
typedef struct mu_quantiles {
    int64_t p50, p90, p99, max;
} mu_quantiles;

/*
 * Levels and counters, taken at one moment, so that they add up:
 * requests = succeeded + errors + in_flight + queued, and errors is the sum of its classes.
 */
typedef struct mu_pool_stats {
    /* levels */
    int workers, starting, available, busy, restarting;
    int held; /* idle, but given to nobody while their own circuit is open */
    int queued;
    int in_flight; /* asked for, not queued, without an outcome */
    int sessions;  /* known with their worker; 0 without session_affinity */
    /* counters */
    uint64_t requests; /* every one that was asked for */
    uint64_t succeeded;
    uint64_t errors; /* all that follow */
    uint64_t worker_errors, queue_full, queue_timeouts, exec_timeouts, cancelled, crashed,
        protocol_errors, sessions_lost, shut_down, breaker_open, quarantined, refused;
    uint64_t retries;   /* further attempts: idempotent, or never read by a worker that died */
    uint64_t fallbacks; /* answered by the fallback: among succeeded, or errors by their code */
    uint64_t breaker_openings; /* how often the circuit breaker has opened, or opened again */
    uint64_t restarts;         /* workers replaced because they died */
    uint64_t recycled;         /* workers relieved: by limits, or by a rolling restart */
    uint64_t health_checks, unhealthy; /* workers asked whether they are well; who was not */
    uint64_t late_replies;             /* dropped: late, unknown or of an earlier request */
    int max_queued;                    /* the most that ever waited */
    mu_quantiles queue_time, execution_time;
    mu_breaker_state breaker;
    double utilisation; /* share of the workers' time spent on requests, 0..1 */
} mu_pool_stats;

typedef enum mu_health { MU_HEALTH_HEALTHY, MU_HEALTH_DEGRADED, MU_HEALTH_UNHEALTHY } mu_health;

typedef struct mu_pool_health {
    mu_health status;
    int serving;       /* workers that are ready, idle or busy */
    int unhealthy;     /* that were found so, and are being replaced */
    double error_rate; /* of the requests that ended lately and were not cancelled, 0..1 */
    char reasons[256]; /* why it is not healthy; else empty */
} mu_pool_health;

/* What became of one request: the option trace_requests. Texts that are too long are cut. */
typedef struct mu_request_trace {
    uint64_t number; /* of the requests that had their outcome, from 1: a gap was overwritten */
    mu_err err;
    int attempts; /* workers that were asked; 0: none */
    int priority;
    char command[64];
    char trace[64];                    /* its trace id */
    char type[MU_WORKER_TYPE_MAX + 1]; /* of worker that was asked for, "": any */
    char worker[32];                   /* the one asked last, "": none */
    uint32_t generation;               /* its */
    int64_t asked_at;                  /* on mu_now's clock */
    int64_t queued_ns;   /* from there to the last worker; without one, to the outcome */
    int64_t executed_ns; /* on the last worker */
    int64_t total_ns;    /* from asked_at to the outcome */
} mu_request_trace;

/* The workers of one type: levels, and counters of attempts on them. */
typedef struct mu_type_info {
    char name[MU_WORKER_TYPE_MAX + 1]; /* "" in a pool without types */
    int workers, starting, available, held, busy, restarting;
    int queued; /* requests that name this type; those that name none are in no type's */
    uint64_t requests, errors;
} mu_type_info;

MU_END_DECLS
#endif
