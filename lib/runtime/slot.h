/*
 * runtime/slot.h - the inside of an actor: private to lib/runtime.
 *
 * A slot is type-stable: once made it stays until its system is freed, and its generation tells one
 * tenant from the next. So a mu_pid can always be looked up, a late push lands in memory that
 * exists, and a late wake is at worst a stale token.
 *
 *     state:  FREE -> ALIVE -> EXITING -> DEAD -> FREE (next generation)
 *
 * EXITING: the reason is fixed (the first exit signal wins), nothing more is sent by the actor, and
 * no name or hook can be added. DEAD: the mailbox is closed and everybody is being told. Exactly
 * one thread *finishes* an actor, taking it from EXITING to DEAD: its own, or that of a killer; the
 * own thread frees the slot, after the finisher is done with it.
 *
 * Locks: `lock` guards the fields of its group. Two slots are locked together only by link, unlink,
 * monitor and demonitor, lower address first (doc/locking.md). Ownership: the system owns the
 * slots.
 */
#ifndef MU_RUNTIME_SLOT_H
#define MU_RUNTIME_SLOT_H

#include "base/hash.h"
#include "base/lock.h"
#include "runtime/actor.h"
#include "runtime/call.h"
#include "runtime/mailbox.h"
#include "runtime/park.h"

typedef enum mu__state { MU__FREE, MU__ALIVE, MU__EXITING, MU__DEAD } mu__state;

/* One end of a link, or one side of a monitor. */
typedef struct mu__edge {
    struct mu__edge *next;
    mu_pid peer;
    mu_ref ref;       /* monitors; 0 for links */
    mu__node *notice; /* made beforehand, so that a death can always be told */
} mu__edge;

typedef struct mu__catch {
    struct mu__catch *outer;
    jmp_buf frame;
    mu_reason reason;
} mu__catch;

struct mu__timer; /* timer.c */

typedef struct mu__actor {
    mu_system *system;
    uint32_t index;
    _Atomic uint32_t generation;
    struct mu__actor *next_free; /* guarded by system->slots_lock */

    _Atomic mu__state state; /* written under `lock`, read anywhere */
    _Atomic bool sending;    /* the own thread is between its check of `state` and its push */
    mu__mailbox mailbox;
    mu__park park;
    _Atomic uint32_t limit;   /* messages that may wait; 0: any number */
    _Atomic bool drops;       /* the policy at the limit */
    _Atomic uint64_t waiting; /* generation << 32 | counted messages; only kept with a limit */

    mu_lock lock;
    char label[MU__LABEL_SIZE] MU_GUARDED_BY(lock);
    mu_reason reason MU_GUARDED_BY(lock); /* fixed from EXITING on */
    bool trap_exit MU_GUARDED_BY(lock);
    bool finishing MU_GUARDED_BY(lock); /* somebody has taken on the finish */
    bool abandoned MU_GUARDED_BY(lock); /* killed; its thread has not returned */
    mu__edge *links MU_GUARDED_BY(lock);
    mu__edge *monitors MU_GUARDED_BY(lock); /* what this actor watches */
    mu__edge *watchers MU_GUARDED_BY(lock); /* who watches this actor */
    mu__death_hook *hooks MU_GUARDED_BY(lock);
    bool hooks_ran MU_GUARDED_BY(lock);  /* all of them: none can be added any more */
    mu__call *calls MU_GUARDED_BY(lock); /* requests waiting for this actor's answer */
    int bell MU_GUARDED_BY(lock);        /* eventfd to ring on exit, or -1 */
    _Atomic bool told;                   /* dead, and nobody is left who has to hear of it */
    _Atomic bool finished;               /* the finisher is done with the slot */

    char name[MU_NAME_MAX + 1]; /* guarded by system->names.lock; "" if none */
    mu__table_entry name_entry; /* the same */
    struct mu__timer *timers;   /* guarded by system->timers.lock */

    /* Owner's thread alone. */
    mu__node *inbox_head, *inbox_tail; /* drained, not yet received */
    size_t inbox_length;
    bool answers_calls; /* a behaviour: only its loop takes calls out */
    mu__catch *catcher;
    mu_reason exit_reason; /* for a body that returns */
    mu_pid parent;
    mu_actor_fn body;
    void *arg;
    void (*destroy_arg)(void *arg);
} mu__actor;

/* The actor of the calling thread, or NULL. */
mu__actor *mu__actor_self(void);

/* The slot of a pid, or NULL if the pid is none or of a slot never made. Generation unchecked. */
mu__actor *mu__actor_of(mu_pid pid);

static inline mu_pid mu__pid_of(const mu__actor *actor)
{
    return (mu_pid){actor->system, actor->index, atomic_load(&actor->generation)};
}

/* Under the lock: this very tenant, not yet dead. */
static inline bool mu__lives_locked(const mu__actor *actor, mu_pid pid)
{
    mu__state state = atomic_load(&actor->state);
    return (state == MU__ALIVE || state == MU__EXITING) &&
           atomic_load(&actor->generation) == pid.generation;
}

/*
 * A glance without the lock: may be out of date at once. The state is read before the generation:
 * the other way round a slot that changes hands in between would lend the dead its new tenant's
 * life.
 */
static inline bool mu__living(mu_pid pid)
{
    mu__actor *actor = mu__actor_of(pid);
    return actor && mu__lives_locked(actor, pid);
}

static inline bool mu__actor_told(const mu__actor *actor)
{
    return atomic_load(&actor->state) >= MU__EXITING;
}

/*
 * slot.c: waits while the death of `pid` is being told, so that whoever hears that it is dead finds
 * its own notice already there. Short: no code of users runs in between.
 */
void mu__await_telling(const mu__actor *actor, mu_pid pid);

/* slot.c: takes a free slot, in state ALIVE with an empty mailbox; gives it back. */
mu_err mu__slot_take(mu_system *system, mu__actor **ret_actor);
void mu__slot_release(mu__actor *actor);

/* signal.c */
/* Takes an actor from ALIVE or EXITING to DEAD and tells everybody. `own`: by its own thread. */
void mu__actor_finish(mu__actor *actor, mu_pid pid, const mu_reason *reason, bool own);
/* Ties two living actors; MU_ENOPROC if `pid` is dead, MU_EKILLED if `self` is, MU_ENOMEM. */
mu_err mu__link_pair(mu__actor *self, mu_pid pid);
mu_err mu__monitor_pair(mu__actor *self, mu_pid pid, mu_ref ref);
/* Pushes a node made for `pid`; consumes it. False if it could not be delivered. */
bool mu__deliver(mu__actor *actor, mu_pid pid, mu__node *node);

#endif
