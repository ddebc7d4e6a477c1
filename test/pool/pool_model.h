/*
 * pool_model: what may become of requests, as a pure model
 *
 * It hears what is asked of a pool and what its workers do, and says of each outcome whether it is
 * an allowed one: whether there is evidence for it, and whether it came when it had to. Beside that
 * it keeps the queue, the counters and the circuit breaker once more, in the simplest way there is.
 *
 *     model_asked(&model, request, now);
 *     complaint = model_sent(&model, token, type, busy, now);      // NULL: that is in order
 *     complaint = model_told(&model, request, err, now);
 *
 * It knows the public errors of the library and none of its functions. Thread-safety: none.
 */
#ifndef MU_TEST_POOL_MODEL_H
#define MU_TEST_POOL_MODEL_H

#include <stdbool.h>
#include <stdint.h>
#include <muster/error.h>

enum { MODEL_REQUESTS = 256, MODEL_ATTEMPTS = 3, MODEL_FAILURES = MODEL_REQUESTS };

#define MODEL_NEVER INT64_MAX
#define MODEL_PAUSE INT64_C(10000000) /* ns: the longest pause before a second attempt */

typedef struct model_request {
    /* what was asked */
    uint64_t token; /* its number + 1 */
    bool idempotent, raises, babbles, waits;
    const char *type;               /* of the worker that it is for; NULL: any */
    int64_t queue_ns, execution_ns; /* MODEL_NEVER: no limit */
    int64_t deadline;               /* for both; MODEL_NEVER: none */

    /* what has happened */
    int64_t asked_at, sent_at; /* sent_at: last; -1: never */
    bool bereft;               /* the worker that it was sent to last is dead */
    int64_t waits_since;
    int begun;           /* how many workers have read it */
    int died;            /* how many of these died of it, or while they ran it */
    int lost;            /* how many died that had not read it */
    bool read;           /* the last of these had, or may have */
    bool killed;         /* that one died by itself */
    bool refused, probe; /* by the breaker; it is let through to see */
    bool answered, raised, babbled;
    bool cancelled; /* it has been asked for */
    bool told;
    mu_err err;
} model_request;

typedef struct model_waiter {
    const void *who, *where; /* `where`: in which of the queues, for all workers or for a type */
    int priority;
    int64_t since;
} model_waiter;

typedef struct model_books {
    uint64_t asked, succeeded, worker_errors, queue_full, queue_timeouts, exec_timeouts, cancelled,
        crashed, protocol_errors, shut_down, breaker_open, refused;
} model_books;

/* A circuit breaker, as doc/pool.md draws it: it remembers the row of failures and nothing else. */
typedef struct model_breaker {
    int threshold; /* 0: there is none */
    int64_t window_ns, reset_ns;
    enum { MODEL_CLOSED, MODEL_OPEN, MODEL_HALF_OPEN } state;
    int64_t opened_at;
    int64_t row[MODEL_FAILURES]; /* when they were */
    int n_row;
    bool probing; /* a probe is under way */
    int openings;
} model_breaker;

typedef struct model_pool {
    model_request requests[MODEL_REQUESTS];
    int n_requests;
    model_waiter queue[MODEL_REQUESTS]; /* in the order in which they came */
    int n_queue, queue_most;
    int64_t full_at;     /* when it was full last; -1: never */
    int64_t closed_at;   /* since when it accepts nothing; -1: it does */
    int64_t stopping_at; /* since when it is stopped; -1: it is not */
    int64_t paused_at;   /* since when it gives nobody a worker; -1: it does */
    int64_t step_ns;     /* what one step of priority is worth */
    model_books books;
    model_breaker breaker;
} model_pool;

void model_init(model_pool *model, int queue_most, int64_t step_ns);

/* A new request; fill in what is asked, then say so. */
model_request *model_new(model_pool *model);
void model_asked(model_pool *model, model_request *request, int64_t now);

/* What the workers do. Each returns NULL, or what is wrong with it. */
const char *model_sent(model_pool *model, uint64_t token, const char *type, bool busy, int64_t now);
const char *model_begun(model_pool *model, uint64_t token);
const char *model_answered(model_pool *model, uint64_t token, bool raised, bool babbled);
const char *model_died(model_pool *model, uint64_t token, bool begun, bool by_itself, int64_t now);

/* An outcome. */
const char *model_told(model_pool *model, model_request *request, mu_err err, int64_t now);

/* The queues: the same happens to the pool's. */
const char *model_push(model_pool *model, const void *who, const void *where, int priority,
                       int64_t now);
void model_remove(model_pool *model, const void *who);
/* `who` is the first of them there; NULL: there is none. */
const char *model_first(model_pool *model, const void *where, const void *who);

#endif
