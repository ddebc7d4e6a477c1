/*
 * runtime/system_impl.h - the inside of a mu_system: private to lib/runtime.
 *
 * One struct per concern, each with its own lock; none is taken while another is held, except that
 * timers.lock may be held while io.lock is taken (doc/locking.md).
 * Ownership: allocated by mu__runtime_start; freed by the last of its owner and its threads.
 */
#ifndef MU_RUNTIME_SYSTEM_IMPL_H
#define MU_RUNTIME_SYSTEM_IMPL_H

#include "base/fd.h"
#include "base/hash.h"
#include "base/log.h"
#include "runtime/io.h"
#include "runtime/runtime.h"
#include "runtime/slot.h"

enum { MU__CHUNK_BITS = 8, MU__CHUNK = 1 << MU__CHUNK_BITS, MU__CHUNKS_MAX = 4096 };

typedef struct mu__thread {
    struct mu__thread *next; /* idle list; guarded by threads.lock */
    mu_system *system;
    pthread_t id;
    mu__park park;
    void (*job)(void *arg); /* handed over under threads.lock; NULL with `quit` */
    void *arg;
    bool quit;
    bool reusable; /* has the default stack */
} mu__thread;

typedef struct mu__threads {
    mu_lock lock;
    mu__thread *idle MU_GUARDED_BY(lock);
    size_t n_idle MU_GUARDED_BY(lock);
    size_t n_live MU_GUARDED_BY(lock);          /* threads that have not ended */
    mu__thread *last_ended MU_GUARDED_BY(lock); /* to be joined by the next one that ends */
    bool closing MU_GUARDED_BY(lock);
    bool orphaned MU_GUARDED_BY(lock); /* the owner has gone: the last thread frees */
    mu__waiter stopper;                /* waits for n_live to become 0 */
} mu__threads;

typedef struct mu__io_entry {
    mu__io_source *source;
    mu__fd_id id; /* of its fd */
    uint32_t generation;
} mu__io_entry;

typedef struct mu__remover {
    struct mu__remover *next;
    mu__waiter waiter;
    _Atomic bool done;
} mu__remover;

typedef struct mu__io {
    mu_system *system;
    int epoll, timer, wake;
    pthread_t thread;
    bool started;
    _Atomic bool quit;
    mu_lock lock;
    bool stopped MU_GUARDED_BY(lock);          /* nothing is watched or set any more */
    mu__io_entry *entries MU_GUARDED_BY(lock); /* entry 0 is unused */
    size_t n_entries MU_GUARDED_BY(lock);
    uint32_t free_hint MU_GUARDED_BY(lock); /* no free entry stands before it */
    mu__alarm **heap MU_GUARDED_BY(lock);
    size_t heap_length MU_GUARDED_BY(lock), heap_room MU_GUARDED_BY(lock);
    size_t n_reserved MU_GUARDED_BY(lock);     /* places kept, for alarms set or not */
    size_t n_unreserved MU_GUARDED_BY(lock);   /* alarms set that have no place of their own */
    int64_t armed MU_GUARDED_BY(lock);         /* what the timerfd is set to */
    const void *running MU_GUARDED_BY(lock);   /* source or alarm whose callback runs */
    mu__remover *removers MU_GUARDED_BY(lock); /* who waits for it to return */
} mu__io;

/* A timer's id is its place here and the place's generation. */
typedef struct mu__timer_slot {
    struct mu__timer *timer;
    uint32_t generation;
    uint32_t next_free;
} mu__timer_slot;

typedef struct mu__timers {
    mu_lock lock;
    mu__timer_slot *table MU_GUARDED_BY(lock);
    size_t room MU_GUARDED_BY(lock);
    uint32_t first_free MU_GUARDED_BY(lock); /* UINT32_MAX: none */
} mu__timers;

typedef struct mu__names {
    mu_lock lock;
    mu__table table MU_GUARDED_BY(lock);
} mu__names;

struct mu_system {
    mu_system_options options;
    char name[64];
    const mu_sys *sys;
    const mu_clock *clock;
    mu__log log;
    const uint32_t *fork_page; /* reads 1 here, 0 in a forked copy (MADV_WIPEONFORK) */
    _Atomic bool closed;
    _Atomic uint64_t next_ref;
    _Atomic size_t n_alive, n_abandoned;
    void *_Atomic upper[MU__SLOT_COUNT];

    _Atomic(mu__actor *) chunks[MU__CHUNKS_MAX];
    mu_lock slots_lock;
    mu__actor *free_slots MU_GUARDED_BY(slots_lock);
    uint32_t n_slots MU_GUARDED_BY(slots_lock);

    mu_lock calls_lock;
    mu__call *free_calls MU_GUARDED_BY(calls_lock);
    void *call_chunks MU_GUARDED_BY(calls_lock); /* list of blocks, freed with the system */

    mu__names names;
    mu__threads threads;
    mu__io io;
    mu__timers timers;
};

/* thread.c */
void mu__threads_init(mu_system *system);
/* Names the calling thread for those who look from outside: ps, top, gdb. */
void mu__thread_name(const char *name);
/* Ends idle threads, waits for the others until `deadline`; the number still running. */
size_t mu__threads_stop(mu_system *system, int64_t deadline);

/* io.c */
void mu__io_init(mu_system *system);
mu_err mu__io_start(mu_system *system);
/*
 * Ends the thread and lets go of all sources and alarms. Abandoned threads may come back later and
 * remove or set theirs: the one finds nothing, the other is refused.
 */
void mu__io_stop(mu_system *system);
/* Takes an alarm out if it has not begun to fire; never waits. */
bool mu__alarm_withdraw(mu_system *system, mu__alarm *alarm);

/* timer.c */
void mu__timers_init(mu_system *system);
void mu__timers_drop(mu__actor *actor);
void mu__timers_free(mu_system *system);

/* names.c */
void mu__names_init(mu_system *system);
void mu__names_free(mu_system *system);
mu_err mu__name_take(mu__actor *actor, mu_pid pid, const char *name);
void mu__name_drop(mu__actor *actor);

/* call.c */
void mu__calls_free(mu_system *system);
/* Detaches and completes every call that waits for `actor`. */
void mu__calls_fail(mu__actor *actor, const mu_reason *reason);

/* runtime.c: frees a system that nothing refers to any more. */
void mu__system_free(mu_system *system);

#endif
