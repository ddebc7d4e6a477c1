/*
 * pool/slot.h - what stands in a pool's table: tickets, and slots with their generations.
 *
 * A ticket is somebody who asks for a worker, a slot the place of one. What outlives generations -
 * the id, counters, back-off - lives in the slot; an actor, a process and a channel are of one
 * generation. The slot's state is the token of its channel: IDLE - nobody's, BUSY - the caller's
 * (or the actor's, for a job), STARTING and DRAINING - the actor's, RESTARTING and STOPPED - there
 * is no channel.
 *
 * Thread-safety: everything here is guarded by the pool's lock unless a field says otherwise; it
 * cannot be annotated, since the lock is the pool's.
 * Ownership: the pool owns slots and tickets (pool_impl.h).
 */
#ifndef MU_POOL_SLOT_H
#define MU_POOL_SLOT_H

#include <muster/gen_server.h>
#include <muster/pool.h>

#include "pool/affinity.h"
#include "pool/backoff.h"
#include "pool/balance.h"
#include "pool/breaker.h"
#include "pool/queue.h"
#include "pool/recycle.h"
#include "pool/type.h"
#include "port/channel.h"
#include "runtime/runtime.h"

/* The id of the slot with this index, counted from 1. */
#define MU__WORKER_ID "worker_%d"

typedef struct mu__slot mu__slot;
typedef struct mu__job mu__job;
typedef struct mu__call_plan mu__call_plan;

typedef enum mu__ticket_state {
    MU__TICKET_WAITING,
    MU__TICKET_SERVED,  /* slot and channel are the ticket's */
    MU__TICKET_REFUSED, /* the pool stops or has failed: `refusal` */
} mu__ticket_state;

/* Somebody who waits for a worker. Type-stable while the pool lives, so a late wake is harmless. */
typedef struct mu__ticket {
    mu__queue_link link; /* first: the queue gives it back */
    struct mu__ticket *next_free, *next_all;
    _Atomic mu__ticket_state state;
    mu_err refusal;
    mu__slot *slot;
    mu__channel *channel; /* a reference */
    uint64_t request_id;
    mu_pid actor; /* of the generation that serves */
    uint32_t generation;
    int os_pid;
    int64_t began, ended;                                    /* served; given back */
    bool probe;                                              /* of the slot's circuit */
    bool by_others;                                          /* who killed the worker, if it died */
    bool known;                                              /* its request had killed before */
    int64_t queued_at, execution_timeout_ms, total_deadline; /* set by whoever places it */
    mu__waiter waiter;
    mu__type *type; /* of the worker that it asks for; NULL: any. Set by whoever places it */
    mu__job *job;   /* NULL: a thread waits; for good, as a late wake looks at it */
    const mu__call_plan *plan; /* of a thread that waits: borrowed until it is told */
    bool begun;                /* whoever gave it the worker has sent the request already */
    /* Of a request whose session is to stay with its worker. */
    const char *session;                        /* borrowed; NULL: any worker will do */
    mu__bond *bond;                             /* while it waits and the session has no worker */
    struct mu__ticket *next_bound, *prev_bound; /* those of the same bond */
    mu__queue *queue;                           /* where it stands, or stood last */
    /* Of jobs, which others reach through the table; guarded by lock. */
    bool expired;   /* its alarm went off while it was in no queue and did not pause */
    bool cancelled; /* it is not to be placed again */
    bool resting;   /* it stands in pool->resting */
} mu__ticket;

/*
 * A place for one child of the worker supervisor. A slot has two: the serving generation's, and one
 * for the successor that is to relieve it. A child that is restarted comes back to its own seat.
 */
enum { MU__SEATS = 2 };
typedef struct mu__seat {
    mu__slot *slot;
    mu_gen_server_options server_options; /* borrowed by the supervisor for every restart */
    mu_pid awaits_fork; /* its actor, while that waits until the fork server has settled */
    bool child;         /* the supervisor has a child for it, or is given one */
    int inside;         /* actors of it, those that were killed too, until their state is freed */
} mu__seat;

/* The generation that is to relieve the serving one; there is one only while that has a channel. */
typedef struct mu__successor {
    bool wanted;
    bool again;          /* one before it has failed */
    uint32_t generation; /* 0: its actor has not come yet */
    mu_pid actor;
    int os_pid;
    mu__channel *channel; /* once it is ready */
    mu_timeline timeline;
} mu__successor;

struct mu__slot {
    mu_pool *pool;
    int index;
    mu_worker_state state;
    mu__type *type;       /* of its workers; another one only after it was vacant */
    bool wanted;          /* false: it is vacant, or its worker is leaving */
    mu__channel *channel; /* of the generation that serves; NULL otherwise */
    mu__slot *next_idle, *prev_idle;
    uint64_t entered;    /* the pool's count when it became idle; smaller: longer unused */
    mu__breaker breaker; /* the slot's own circuit; circuit.c */
    bool held;           /* idle, but given to nobody, and not among the idle ones */
    mu__queue *line;     /* who waits for this worker alone; NULL: nobody can */
    mu__rank rank;       /* among the idle, if they are ranked */
    mu__load load;       /* of its workers lately; only kept if it is asked for */
    uint64_t pass;       /* as of its last request, by weight */
    int weight;
    uint64_t request_id; /* the last one given out */
    int64_t deadline;    /* of the running request; MU_NEVER */
    int64_t proven_at;   /* when it was ready or has answered last */
    bool checking;       /* what runs is a health check */
    int64_t used_at;     /* when it was ready, or its last request ended */

    mu__seat seats[MU__SEATS];
    int seat; /* the serving generation's; its successor's is the other */
    mu__successor next;
    bool begun;               /* what comes next is a restart */
    uint32_t last_generation; /* the last number given out */
    uint32_t replace_below;   /* a rolling restart wants generations before this one to go */
    mu__recycle recycle;      /* of the serving generation */

    mu_worker_info info; /* what mu_pool_workers shows; `state` and os_pid kept up to date */
    int64_t busy_ns;
    int64_t died_at; /* of the generation before; 0: none */
    mu__backoff backoff;

    /* Progress of the first start. */
    enum { MU__START_PENDING, MU__START_SPAWNED, MU__START_READY, MU__START_FAILED } start;
    bool start_told[2];   /* spawned, settled: the progress callback has been called */
    mu_worker_info first; /* the slot as that start left it: it may be at its next one when told */
};

#endif
