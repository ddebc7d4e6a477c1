/*
 * pool/pool_impl.h - the inside of a pool: private to lib/pool.
 *
 *     pool supervisor (rest_for_one) -> worker supervisor (dynamic) -> worker_1 .. worker_n
 *                                    -> manager
 *
 * Control is done by actors, data goes straight through: a caller takes an idle slot out of the
 * table, does the exchange in its own thread on the slot's channel, and gives the slot back - to
 * the next waiter if there is one. slot.h has what stands in the table, state.c the table of a
 * slot's states, roster.c the generations: one that serves, and at times a successor that is being
 * started to take its place. The manager decides by upkeep.c who comes and who goes.
 *
 * Locks: `lock` guards table, queue, counters and slots. Alarms are set under it (pool.lock, then
 * io.lock; doc/locking.md). No callback, send or exchange happens under it.
 * Ownership: the pool owns slots and tickets; `inside` counts the calls and actors that may still
 * look at it, and mu_pool_free waits for them.
 */
#ifndef MU_POOL_POOL_IMPL_H
#define MU_POOL_POOL_IMPL_H

#include <muster/gen_server.h>
#include <muster/pool.h>
#include <muster/system.h>

#include "base/hash.h"
#include "base/histogram.h"
#include "base/lock.h"
#include "pool/affinity.h"
#include "pool/breaker.h"
#include "pool/poison.h"
#include "pool/recycle.h"
#include "pool/retry.h"
#include "pool/scale.h"
#include "pool/slot.h"
#include "pool/state.h"
#include "pool/trace.h"
#include "port/channel.h"
#include "port/fork_server.h"
#include "port/port.h"
#include "port/warden.h"
#include "runtime/actor.h"
#include "runtime/io.h"
#include "runtime/runtime.h"

enum { MU__WORKERS_MOST = 1024 };

/* The counters at some moment, to tell what has happened since. */
typedef struct mu__health_mark {
    int64_t at;
    uint64_t succeeded, failed, queue_timeouts;
} mu__health_mark;

/* A thread that waits for the pool as a whole; on its owner's stack. */
typedef struct mu__pool_watcher {
    struct mu__pool_watcher *next;
    mu__waiter waiter;
} mu__pool_watcher;

/* A block of a pool's configuration. */
typedef struct mu__owned {
    struct mu__owned *next;
    _Alignas(max_align_t) unsigned char bytes[];
} mu__owned;

typedef enum mu__pool_phase {
    MU__POOL_RUNNING,
    MU__POOL_CLOSING, /* nothing new is accepted; running requests are awaited */
    MU__POOL_FAILED,  /* its supervisor gave up */
    MU__POOL_STOPPED,
} mu__pool_phase;

struct mu_pool {
    mu_system *system;
    mu_pool_options options; /* defaults filled in; what they point to is in `owned` */
    struct mu__owned *owned; /* what options and specs point to */
    mu__type *types;         /* one at least, in one block */
    int n_types;
    mu__port_spec fork_spec;                   /* what the fork server is started with */
    mu_gen_server_options fork_server_options; /* borrowed by its supervisor for every restart */
    mu__fork_server *fork_server;              /* NULL: workers are exec'd */
    char name[MU_NAME_MAX + 1];
    char full_name[MU_NAME_MAX + 8]; /* with MU__MANAGER_PREFIX: the manager's, and the tree's id */
    uint32_t random;                 /* state of the jitter */

    mu_pid supervisor, worker_supervisor, manager;
    mu__death_hook on_supervisor_death;

    mu_lock lock;
    mu__pool_phase phase;
    bool stop_claimed, stop_done;
    int next_start;                    /* the next slot that a starter takes */
    int first_start;                   /* how many are started by mu_pool_start */
    mu__slot *slots[MU__WORKERS_MOST]; /* never fewer: a vacant one keeps its id */
    int n_slots;
    int wanted;             /* how many slots are wanted, of all types */
    bool paused;            /* nobody is given a worker */
    bool drained;           /* nothing new is accepted until it is resumed */
    uint64_t entered;       /* how often a slot has become idle */
    mu__queue queue;        /* who waits for any worker */
    mu__affinity affinity;  /* sessions whose requests name no type */
    size_t n_waiting;       /* how many wait, in whatever queue or line */
    size_t n_bound;         /* of those, how many stand in a slot's line */
    mu__queue_link resting; /* jobs between two attempts: a ring */
    mu__breaker breaker;
    bool opened_by_starts; /* what the breaker has heard last before it opened */
    mu__poison poison;
    mu__hash_key print_key; /* constant */
    mu__ticket *free_tickets;
    mu__ticket *all_tickets;            /* to be freed with the pool */
    mu__table jobs;                     /* by id */
    mu__job *failed_head, *failed_tail; /* have not reached a worker, and are to be told */
    bool telling;                       /* a thread does it */
    uint64_t next_request, next_job;
    int running;   /* requests that have entered and not left, those in the queue included */
    size_t inside; /* calls and actors that may look at the pool */
    mu__pool_watcher *watchers;
    mu__alarm alarm; /* the earliest deadline of a running request */
    int64_t alarm_at;
    mu__alarm upkeep; /* wakes the manager, now or when something is due */
    int64_t upkeep_at;
    int64_t retry_ns; /* the last pause after a worker could not be added; 0: it could */
    struct {
        bool active;
        mu_err err;
        char reason[256];
    } rolling; /* the rolling restart that is under way */
    struct {
        int64_t asked_at;               /* who has not answered since then is to be checked */
        mu__health_mark window, latest; /* where the error rate is told from; the next such place */
    } health;
    int64_t capacity_ns, capacity_at; /* the time of all wanted workers, summed up until then */

    mu__log_scope log_scope; /* if it has a level of its own */
    bool log_requests;       /* constant */
    mu__trace *trace;        /* constant; NULL: nobody wants to know */
    mu_pool_stats stats;     /* the counters; levels are filled in when asked */
    mu__histogram queue_time, execution_time;
    int64_t started_at;
    bool started; /* mu_pool_start has succeeded: it can be found, and is filled again if need be */
    bool refill;  /* the worker supervisor is a new one, without workers: the manager adds them */
};

typedef struct mu__call_plan mu__call_plan;

/* ---- gate.c: who is inside, and who waits for the pool as a whole ------------------------- */

/* What a request ended with, for the counters. */
typedef struct mu__result {
    mu_err err;
    int64_t queued_ns, executed_ns; /* executed_ns < 0: it never ran */
    uint64_t attempts;
    int worker; /* the index of the slot that ran it last, from 1; 0: none did */
    uint32_t generation;
    mu_err refusal; /* it is in, but no worker is to be asked: MU_EBREAKER_OPEN */
    bool probe;     /* the breaker wants to know */
    bool excused;   /* the plan's */
    bool fell_back; /* the user's function has answered */
} mu__result;

#define MU__RESULT_INIT                                                                            \
    {                                                                                              \
        .executed_ns = -1                                                                          \
    }

/*
 * Enters the pool: counts the request, and gives a ticket unless `ret_ticket` is NULL; that is NULL
 * when memory is short, and the pool has been entered all the same. `result` is to go to
 * mu__pool_leave; it says whether the breaker refuses. MU_ESHUTDOWN, MU_EUNAVAILABLE (counted too).
 */
mu_err mu__pool_enter(mu_pool *pool, int64_t now, mu__ticket **ret_ticket, mu__result *result);
/* An attempt on this ticket is over, and `ended` is set. */
void mu__result_ran(mu__result *result, const mu__call_plan *plan, const mu__ticket *ticket);
/* Logs the outcome and keeps a record of it, if that is wanted; before its caller hears of it. */
void mu__pool_note(mu_pool *pool, const mu__call_plan *plan, const mu__result *result);
/* Leaves it with the outcome, and gives the ticket back if it is not NULL. */
void mu__pool_leave(mu_pool *pool, mu__ticket *ticket, const mu__result *result);

/* An actor of the pool's looks at it no more: the pool may be gone when this returns. */
void mu__pool_let_go(mu_pool *pool);

/* An answer that nobody waited for has been dropped. */
void mu__pool_late_reply(mu_pool *pool);

/* It accepts nothing any more. */
bool mu__pool_closing(mu_pool *pool);
bool mu__pool_closing_locked(mu_pool *pool) MU_REQUIRES(&pool->lock);
/* The calling thread is one of the pool's actors, or runs a callback for it. */
bool mu__pool_from_inside(mu_pool *pool);
/* Sleeps until `done(pool)` under the lock, or the deadline. */
mu_err mu__pool_await(mu_pool *pool, bool (*done)(mu_pool *pool), int64_t deadline);
/* The same without a deadline, also in an actor that has been told to exit. */
void mu__pool_await_out(mu_pool *pool, bool (*done)(mu_pool *pool));
/* The stop is done: wakes those who wait for it. */
void mu__pool_stopped(mu_pool *pool);
/* Somebody of those who sleep may find it done; under the lock. */
void mu__pool_changed_locked(mu_pool *pool) MU_REQUIRES(&pool->lock);
/* What a phase answers to a request: MU_OK, MU_ESHUTDOWN, MU_EUNAVAILABLE. */
mu_err mu__phase_error(mu__pool_phase phase);

/* ---- log.c: what is told of the pool as a whole, and of each request ----------------------- */

/* From now on the pool's events are told at its level; until it is closed. */
void mu__pool_log_open(mu_pool *pool);
void mu__pool_log_close(mu_pool *pool);
/* Emits an event of the pool with one number. Without the lock, from inside. */
void mu__pool_tell(mu_pool *pool, const char *event, const char *key, int64_t value);
/* The same for a number of workers of one type that has changed. */
void mu__pool_tell_number(mu_pool *pool, const mu__type *type, const char *event, const char *key,
                          int64_t value, int64_t before);
/* The outcome of a request, if somebody wants to see them. Without the lock. */
void mu__pool_log_request(mu_pool *pool, const mu__call_plan *plan, const mu__result *result);

/* ---- circuit.c: what outcomes say about the workers ---------------------------------------- */

/* What the breaker makes of a request's outcome; the change is to be told (mu__breaker_tell). */
mu__breaker_change mu__breaker_judge_locked(mu_pool *pool, const mu__result *result)
    MU_REQUIRES(&pool->lock);
/* Emits breaker.open or breaker.close, if there was a change. Without the lock, from inside. */
void mu__breaker_tell(mu_pool *pool, mu__breaker_change change);
/* A worker has not become ready, by a fault of its own. */
void mu__breaker_start_failed(mu_pool *pool);
/* One has. */
void mu__breaker_start_worked_locked(mu_pool *pool, int64_t now) MU_REQUIRES(&pool->lock);

/* Begins a slot's own circuit. */
void mu__circuit_init(mu_pool *pool, mu__breaker *breaker);
/* The ticket is given this slot; it may be the probe. */
static inline void mu__circuit_admit(mu__slot *slot, mu__ticket *ticket, int64_t now)
{
    ticket->probe = false;
    if (slot->breaker.state != MU_BREAKER_CLOSED)
        (void)mu__breaker_admit(&slot->breaker, now, &ticket->probe);
}
/* Its circuit is open, and enough others of its type serve: it is to be given to nobody. */
bool mu__circuit_holds_locked(mu_pool *pool, const mu__slot *slot, int64_t now)
    MU_REQUIRES(&pool->lock);
/* Holds an idle slot that stands nowhere, until its circuit lets a probe through. */
void mu__circuit_hold_locked(mu_pool *pool, mu__slot *slot) MU_REQUIRES(&pool->lock);
/* What the slot's circuit makes of an attempt; the change is to be told. */
mu__breaker_change mu__circuit_judge_locked(mu_pool *pool, mu__slot *slot, const mu__ticket *ticket,
                                            const mu__reply *reply, int64_t now)
    MU_REQUIRES(&pool->lock);
/* Emits circuit.open or circuit.close, if there was a change. Without the lock, from inside. */
void mu__circuit_tell(const mu__slot *slot, mu__breaker_change change);
/* A slot has parted with its channel: those of its type that are held may be needed. */
void mu__circuit_lost_locked(mu_pool *pool, const mu__slot *slot, int64_t now)
    MU_REQUIRES(&pool->lock);
/* Lets go of those that are to be held no longer; in the manager. */
void mu__circuit_review(mu_pool *pool);

/* ---- table.c: slots and the queue before them --------------------------------------------- */

/*
 * Takes an idle slot at once (*ret_served) or queues the ticket, which is then told through its
 * waiter or job; a job that is queued may be somebody else's before this returns. MU_EQUEUE_FULL,
 * MU_EQUEUE_TIMEOUT (`wait` is false and nobody is idle), or the pool's phase.
 */
mu_err mu__ticket_place(mu_pool *pool, mu__ticket *ticket, int priority, bool wait,
                        bool *ret_served);
/* Those who wait get the workers that are idle; for when others than the usual have become so. */
void mu__table_match(mu_pool *pool);
/* Takes a waiting ticket out of the queue; false: it has been served or refused already. */
bool mu__ticket_withdraw(mu_pool *pool, mu__ticket *ticket);
/* The same for a job whose queue timeout goes off: if it is in no queue yet it will not get into
 * it. */
bool mu__ticket_expire(mu_pool *pool, mu__ticket *ticket);
/* The same for one that is cancelled; if it runs, its worker's exchange hears of it. */
bool mu__ticket_cancel_locked(mu_pool *pool, mu__ticket *ticket) MU_REQUIRES(&pool->lock);

/*
 * A job waits for its next attempt, until its alarm ends the pause or the pool refuses it. The
 * pause may be over, and the job somebody else's, before this returns. MU_ETIMEOUT: it is over
 * already; MU_ECANCELLED, or the pool's phase.
 */
mu_err mu__ticket_rest(mu_pool *pool, mu__ticket *ticket);
/* Ends it. False: it does not pause any more, or not yet, and then it will not. */
bool mu__ticket_wake(mu_pool *pool, mu__ticket *ticket);

/*
 * What a decision leaves to be done once the lock is released; begin with MU__AFTER_INIT, end with
 * mu__after_do.
 */
typedef struct mu__after {
    mu__ticket *ticket;  /* to be told that it is served */
    mu__ticket *refused; /* by next_free: to be told so */
    /* Generations that the slot has parted with: there is one in a seat at most. */
    struct {
        mu_pid actor;         /* is to leave, and has the exchange; none: it knows */
        mu__channel *channel; /* a reference to give up; may be NULL */
    } parted[MU__SEATS];
} mu__after;
#define MU__AFTER_INIT                                                                             \
    {                                                                                              \
        .ticket = NULL                                                                             \
    }
void mu__after_part(mu__after *after, const mu__seat *seat, mu_pid actor,
                    mu__channel *take_channel);
void mu__after_do(mu_pool *pool, mu__after *after);

/* Sends to an actor of the pool's, also if the caller has been told to exit; without memory for it
 * the actor is killed. */
void mu__tell_actor(mu_pid actor, mu_message message);

/*
 * Takes an idle slot for a check by its actor, which is to be told; the exchange has until the
 * deadline. mu__slot_checked gives it back, unless it is not sound.
 */
void mu__slot_claim_locked(mu_pool *pool, mu__slot *slot, int64_t deadline)
    MU_REQUIRES(&pool->lock);
void mu__slot_checked(mu__slot *slot, mu__channel *channel, mu__exchange outcome, bool sound);

/* Moves it by the table of states; an event that cannot happen in its state changes nothing. */
void mu__slot_move_locked(mu__slot *slot, mu__worker_event event);
/* Takes it off the idle ones, if it stands there. */
void mu__slot_hide_locked(mu_pool *pool, mu__slot *slot) MU_REQUIRES(&pool->lock);
/* A slot that can serve goes to the next who waits, or is idle; or its worker leaves. */
void mu__slot_offer_locked(mu_pool *pool, mu__slot *slot, int64_t now, mu__after *after)
    MU_REQUIRES(&pool->lock);

/* When a served request is overdue. */
int64_t mu__ticket_deadline(const mu__ticket *ticket);
/* Of the pool's alarm for the earliest of them: rings for whoever is overdue. */
void mu__overdue_fire(mu__alarm *alarm);
/* A served request has ended so: the slot goes back, to the next waiter, or to its actor. */
void mu__slot_end(mu__ticket *ticket, mu__exchange outcome, const mu__reply *reply);
/*
 * Ends every exchange that is under way. A job runs on its worker's actor, which otherwise would
 * hear of a shutdown only when the job is done.
 */
void mu__slots_interrupt(mu_pool *pool);

/* ---- line.c: who waits for which worker ---------------------------------------------------- */

/* Begins to wait, for this slot or, NULL, for any of the ticket's type. */
void mu__line_join_locked(mu_pool *pool, mu__ticket *ticket, mu__slot *slot, int priority)
    MU_REQUIRES(&pool->lock);
/* Waits no more. False: it does not wait. */
bool mu__line_leave_locked(mu_pool *pool, mu__ticket *ticket) MU_REQUIRES(&pool->lock);
/* The next one for this slot, who waits no more; NULL: nobody does. `own`: of its line only. */
mu__ticket *mu__line_next_locked(mu_pool *pool, mu__slot *slot, bool own) MU_REQUIRES(&pool->lock);
/* All who wait, or all who wait for this slot's generation, are put on the list of the refused. */
void mu__line_refuse_all_locked(mu_pool *pool, mu_err refusal, mu__ticket **refused)
    MU_REQUIRES(&pool->lock);
void mu__line_lost_locked(mu_pool *pool, mu__slot *slot, mu__ticket **refused)
    MU_REQUIRES(&pool->lock);
/*
 * Who is to serve the ticket's session: with `require` *ret_slot, idle or not; with `prefer`
 * *ret_slot, which is idle; NULL: anybody. MU_ESESSION_LOST, MU_EFULL, MU_ENOMEM.
 */
mu_err mu__session_seek_locked(mu_pool *pool, mu__ticket *ticket, mu__slot **ret_slot)
    MU_REQUIRES(&pool->lock);
/* It is not served, and does not wait. */
void mu__session_unseek_locked(mu_pool *pool, mu__ticket *ticket) MU_REQUIRES(&pool->lock);
/* It is served by this slot. */
void mu__session_bind_locked(mu_pool *pool, mu__ticket *ticket, mu__slot *slot, int64_t now)
    MU_REQUIRES(&pool->lock);

/* ---- idle.c: the idle slots, in their order ------------------------------------------------- */

/* It has just been used, or has become ready. */
void mu__idle_put_locked(mu_pool *pool, mu__slot *slot) MU_REQUIRES(&pool->lock);
/* To where the one unused for longest is. */
void mu__idle_put_last_locked(mu_pool *pool, mu__slot *slot) MU_REQUIRES(&pool->lock);
void mu__idle_drop_locked(mu_pool *pool, mu__slot *slot) MU_REQUIRES(&pool->lock);
/* The one of this type (NULL: any) to be given out next, by the option `balance`; it stays where it
 * is. NULL: none. */
mu__slot *mu__idle_first_locked(mu_pool *pool, mu__type *type) MU_REQUIRES(&pool->lock);
/* It has been chosen for the calling thread. */
void mu__idle_used_locked(mu_pool *pool, mu__slot *slot) MU_REQUIRES(&pool->lock);

/* ---- roster.c: slots and their generations ------------------------------------------------- */

/*
 * A worker's actor reports what becomes of its generation. Reports of one that is over are ignored:
 * a killed actor is replaced before it finds out. starting: false if nobody wants it any more.
 */
bool mu__slot_starting(mu__seat *seat, mu_pid actor, uint32_t *ret_generation,
                       int64_t *ret_wait_ns);
/* By what the slot's next process is started. */
typedef enum mu__start_by {
    MU__BY_EXEC,
    MU__BY_FORK,
    MU__NOT_YET,   /* the seat's actor will hear: MU__POOL_SPAWN */
    MU__NOT_AT_ALL /* the pool's options allow nothing else, and there is no fork server now */
} mu__start_by;
/*
 * MU__BY_FORK: *ret_server is the process to ask, a reference; never `lost` (NULL: none), which is
 * about to be replaced. MU__NOT_AT_ALL: *ret_why tells. In the seat's actor.
 */
mu__start_by mu__slot_start_by(mu__seat *seat, const mu__child *lost, mu__child **ret_server,
                               mu__fork_why *ret_why);
/* Makes the fork server that the options ask for, if they do; its actor is the tree's. MU_ENOMEM.
 */
mu_err mu__pool_make_fork_server(mu_pool *pool);
void mu__slot_spawned(mu__slot *slot, uint32_t generation, int os_pid, int64_t spawn_ns);
/* False: nobody wants it any more. */
bool mu__slot_ready(mu__slot *slot, uint32_t generation, mu__channel *channel,
                    const mu_timeline *timeline);
/* A drained slot serves again. */
void mu__slot_resume(mu__slot *slot, mu__channel *channel);
/*
 * The generation is over: nobody is given its channel any more. False: a caller is still in an
 * exchange on it.
 */
bool mu__slot_retire(mu__slot *slot, uint32_t generation, mu_err err, const char *reason);
/* Its actor has gone; `last`: the supervisor will not start it again. */
void mu__slot_stopped(mu__seat *seat, uint32_t generation, bool last);
/* Why a generation ended whose actor had no chance to say it. */
#define MU__ACTOR_KILLED "its actor was killed"
/* The system had too little of something: told as it is, and not as a fault of the worker. */
static inline bool mu__of_the_system(int code)
{
    return code == MU_ENOMEM || code > MU_ESYS;
}
/* The first start of the slot has failed for good. */
void mu__slot_start_failed(mu__slot *slot, const mu_reason *reason);

/*
 * Before a slot that has just become idle is given to anybody: its worker leaves if it is not
 * wanted, and is relieved by its successor if that is ready.
 */
void mu__roster_relieve_locked(mu_pool *pool, mu__slot *slot, int64_t now, mu__after *after)
    MU_REQUIRES(&pool->lock);
/* A slot more or less is wanted, of this type. A vacant one is used again. NULL: no memory, or
 * there are MU__WORKERS_MOST. */
mu__slot *mu__roster_add_locked(mu_pool *pool, mu__type *type, int64_t now)
    MU_REQUIRES(&pool->lock);
void mu__roster_drop_locked(mu_pool *pool, mu__slot *slot, int64_t now, mu__after *after)
    MU_REQUIRES(&pool->lock);
/* There is a new worker supervisor, which has no children. */
void mu__roster_clear(mu_pool *pool);
/* The workers' supervisor has gone for good: whoever waited for a next generation has stopped. */
void mu__roster_ended(mu_pool *pool);
/* It shows up in mu_pool_workers: it is wanted, or has not left yet. */
bool mu__slot_shown(const mu__slot *slot);
/*
 * "; it is paused", or "; none serves: worker_2: exit status 1" when all workers of the type (NULL:
 * of the pool) are being started or wait for it: how the one ended that died last. Else "".
 */
enum { MU__AILMENT_MAX = 320 };
void mu__pool_ailment(mu_pool *pool, const mu__type *type, char *text, size_t size);
/* xorshift32. */
uint32_t mu__pool_random_locked(mu_pool *pool) MU_REQUIRES(&pool->lock);

/* ---- upkeep.c: who comes and who goes ------------------------------------------------------ */

/* How often workers that have served are weighed, if there is a max_rss. */
#define MU__WEIGH_NS (INT64_C(1000) * MU_MS)
/* Of the pool's alarm that wakes the manager. */
void mu__upkeep_fire(mu__alarm *alarm);
/* The manager is to look at the pool at this time, or earlier. */
void mu__upkeep_by_locked(mu_pool *pool, int64_t when) MU_REQUIRES(&pool->lock);
/* The bounds for a size, by a type's options. */
mu__scale_limits mu__scale_limits_of(const mu_pool_options *options, int size);
/* Does what is due; in the manager. */
void mu__upkeep(mu_pool *pool);
/* The rolling restart is over, or this keeps it from going on. */
void mu__rolling_end_locked(mu_pool *pool, mu_err err, const char *reason) MU_REQUIRES(&pool->lock);

/* ---- health.c: who still answers ----------------------------------------------------------- */

/* When the next check is due. */
int64_t mu__health_next_locked(mu_pool *pool, int64_t now) MU_REQUIRES(&pool->lock);
/* Has those checked for whom it is time; in the manager. */
void mu__health_check_all(mu_pool *pool);
/* The check of a slot that has been claimed for it; in its actor. An error: `why` it is unhealthy.
 */
mu_err mu__health_check_run(mu__slot *slot, mu__channel *channel, char *why, size_t size);

/* Refuses everybody who waits. */
void mu__pool_refuse_all(mu_pool *pool, mu__pool_phase phase);

/* ---- execute.c ---------------------------------------------------------------------------- */

/* Everything about a request that does not change between attempts. */
struct mu__call_plan {
    const char *command;
    const mu_value *args;
    mu_execute_options options; /* filled in from the pool's */
    mu__type *type;             /* that it names; NULL: none */
    int64_t entered;
    int64_t queue_deadline, total_deadline;
    int attempts; /* that a worker has read */
    int kills;    /* workers that died of it */
    bool suspect; /* there were others before those */
    bool excused; /* its last attempt ended with a death that says nothing about the workers */
};

mu_err mu__plan_make(mu_pool *pool, const char *command, const mu_value *args,
                     const mu_execute_options *options, mu__call_plan *ret_plan,
                     mu_error *ret_error);
/* The session that is to stay with its worker; NULL: none. Borrowed from the plan. */
const char *mu__plan_session(const mu_pool *pool, const mu__call_plan *plan);
/*
 * Before a thread is told that it has a worker: sends its request, if that is short, so that the
 * worker runs it while the thread wakes up. Not under the lock; does not block.
 */
void mu__ticket_begin(mu_pool *pool, mu__ticket *ticket);
/* The exchange of one attempt, on a served ticket, in the calling thread; mu__slot_end is next. */
mu__exchange mu__converse(mu_pool *pool, mu__ticket *ticket, const mu__call_plan *plan,
                          mu__reply *reply);
/* Until when one attempt may wait for a worker that asks for one at `now`. */
int64_t mu__queue_deadline(const mu_execute_options *options, int64_t now);
/* The error of an outcome, in words. */
void mu__explain(mu_pool *pool, const mu__call_plan *plan, mu_err err, mu_error *error);

/* ---- attempt.c ---------------------------------------------------------------------------- */

/* Nobody is to run it: it has killed too many. */
bool mu__plan_quarantined(mu_pool *pool, const mu__call_plan *plan);
/* Workers have died of it before. */
bool mu__plan_known(mu_pool *pool, const mu__call_plan *plan);
/*
 * After an attempt on a ticket that has been given back: may there be another one, from *ret_at on?
 * Keeps the record of what its request did to the worker. If it had begun, it may wait anew.
 */
bool mu__plan_again(mu_pool *pool, mu__call_plan *plan, mu__exchange outcome,
                    const mu__reply *reply, const mu__ticket *ticket, int64_t *ret_at);
/* The user's answer in place of a worker's, if `err` is one for which there is one. */
mu_err mu__fall_back(mu_pool *pool, const mu__call_plan *plan, mu_err err, mu__reply *reply,
                     mu__result *result);

/* ---- job.c -------------------------------------------------------------------------------- */

/* Runs in the worker's actor, with its slot's ticket served. */
void mu__job_run(mu__job *job);
/* Sends a served job to its worker's actor; a refused one has failed. */
void mu__job_dispatch(mu__job *job);
/* The pool whose outcome is being told in the calling thread, or NULL. */
const mu_pool *mu__pool_telling(void);

/* ---- worker.c, manager.c ------------------------------------------------------------------ */

extern const mu_gen_server mu__worker_server;  /* arg: mu__seat * */
extern const mu_gen_server mu__manager_server; /* arg: mu_pool * */

enum {
    MU__POOL_AWAIT_READY = 1, /* call to a worker: answered when it is ready */
    MU__POOL_SPAWN,
    MU__POOL_READABLE,
    MU__POOL_STARTUP_OVER,
    MU__POOL_DRAIN,   /* data: uint64_t request id: its caller has gone */
    MU__POOL_CONDEMN, /* data: mu_reason: it is of no more use */
    MU__POOL_CHECK,   /* its slot has been claimed for a health check */
    MU__POOL_LEAVE,   /* it is not wanted any more, and the exchange is the actor's */
    MU__POOL_UPKEEP,  /* to the manager */
    MU__POOL_GRACE_OVER,
    MU__POOL_RUN_JOB, /* data: mu__job */
    MU__POOL_WHO,     /* call to the manager: answered with the mu_pool * */
};

/*
 * Puts one worker below the worker supervisor; returns when its actor lives. The seat's `child` has
 * been set, and is unset again if this fails. `ret_reason` may be NULL.
 */
mu_err mu__worker_add(mu__seat *seat, mu_pid *ret_pid, mu_reason *ret_reason);

/* ---- stats.c ------------------------------------------------------------------------------ */

mu_worker_info mu__slot_info_locked(const mu_pool *pool, const mu__slot *slot)
    MU_REQUIRES(&pool->lock);

/* ---- options.c ---------------------------------------------------------------------------- */

/* Checks, fills in defaults, makes the command. MU_EINVAL with the option, its value, the range. */
mu_err mu__pool_configure(mu_pool *pool, const mu_pool_options *options, mu_error *error);

/* The manager is registered as this and the pool's name. */
#define MU__MANAGER_PREFIX "pool:"
enum { MU__POOL_NAME_MAX = MU_NAME_MAX - (sizeof MU__MANAGER_PREFIX - 1) };

#endif
