/*
 * port/warden_impl.h - the inside of a mu__warden: private to port/warden*.c and port/child.c.
 *
 * A link is one incarnation of the warden process. It is made by whoever launches it and freed by
 * whoever takes it out of `link` under the lock: the I/O thread when the warden is lost, or stop.
 *
 *     NONE --launch--> UP --lost--> NONE --launch--> UP --stop--> STOPPED
 *
 * Waiting is always the same: an entry on the waiter's own stack, in a list under the lock; whoever
 * completes it takes it out, sets `done` and wakes it, all under the lock, and the waiter takes the
 * lock once more before it leaves. So nobody touches an entry whose owner has returned.
 *
 * Locks: `lock` guards everything that changes here and in the children. Sending under it does not
 * block (MSG_DONTWAIT). Callbacks and events run without it.
 * Ownership: counted: the system has one reference, each child one.
 */
#ifndef MU_PORT_WARDEN_IMPL_H
#define MU_PORT_WARDEN_IMPL_H

#include <stdatomic.h>

#include "base/fd.h"
#include "base/lock.h"
#include "port/cgroup.h"
#include "port/warden.h"
#include "port/warden_launch.h"
#include "runtime/actor.h"
#include "runtime/io.h"

/* Somebody who sleeps until something is done; embedded in what waits. */
typedef struct mu__sleeper {
    struct mu__sleeper *next;
    mu__waiter waiter;
    _Atomic bool done;
} mu__sleeper;

/* A request whose answer is waited for. */
typedef struct mu__pending {
    mu__sleeper sleeper; /* first: the list is one of sleepers */
    uint64_t request;
    mu__child *child; /* of a spawn: filled in by the answer; else NULL */
    bool in_turn;     /* a spawn that is answered before any later request is */
    mu_err err;       /* MU_EWARDEN: it was lost */
    int32_t error;    /* errno that the warden answered */
    uint32_t step;
} mu__pending;

typedef struct mu__link {
    mu__io_source source; /* the socket; first */
    mu__warden *warden;   /* a reference */
    mu__warden_link fds;
} mu__link;

/* More that are left at a time wait for the system's end. */
#define MU__CELLS_LEFT 64

struct mu__warden {
    _Atomic uint32_t refs;
    mu_system *system;
    const mu_sys *sys;
    char *path; /* of the program */
    mu__tracking *tracking;
    char run_id[MU__WP_RUN_ID_MAX];
    mu__cgroup cgroup; /* in which wardens and all their children live, if there is one */

    mu_lock lock;
    mu__link *link MU_GUARDED_BY(lock); /* NULL: none */
    bool launching MU_GUARDED_BY(lock); /* by one thread; the others wait */
    bool clearing MU_GUARDED_BY(lock);  /* the I/O thread clears a wreck */
    bool stopping MU_GUARDED_BY(lock);
    mu__sleeper *idle_sleepers MU_GUARDED_BY(lock); /* until neither launching nor clearing */
    mu__sleeper *pending MU_GUARDED_BY(lock);
    mu__child *children MU_GUARDED_BY(lock); /* that run */
    uint64_t next_request MU_GUARDED_BY(lock);
    uint64_t next_serial MU_GUARDED_BY(lock);           /* of marks */
    uint64_t lost_serial MU_GUARDED_BY(lock);           /* up to it all are dead, or about to be */
    uint64_t cells[MU__CELLS_LEFT] MU_GUARDED_BY(lock); /* whose last had not gone yet */
    size_t n_cells MU_GUARDED_BY(lock);

    mu__alarm watch_alarm;
    _Atomic int silence;  /* ticks since it has said anything */
    _Atomic int refusals; /* in a row */

    /* Repeated looks for what a lost warden's children left; the I/O thread's, then stop's. */
    mu__alarm sweep_alarm;
    int sweeps_left; /* that have to find nothing; 0: done */
    int64_t sweep_until;
    uint64_t sweep_serial;
    bool sweep_found; /* the last look found something that will not die */
};

struct mu__child {
    _Atomic uint32_t refs; /* the user's, and one while it is in the list */
    mu__warden *warden;    /* a reference */
    int pid;               /* 0: it was gone before anybody could ask, in strict mode */
    int pid_there;         /* its number for the warden, which in strict mode counts for itself */
    uint64_t start;
    int pidfd; /* -1: there are none here */
    mu__fd_id pidfd_id;
    uint64_t serial;
    bool celled; /* it has a cgroup to itself; of whoever starts it, then of whoever ends it */

    /* guarded by warden->lock */
    mu__child *next;
    bool exited;
    bool calling; /* on_exit runs */
    mu__exit exit;
    mu__sleeper *sleepers; /* until it has exited, or on_exit has returned */
    void (*on_exit)(void *ctx, const mu__exit *exit);
    void *ctx;
};

/* ---- sleepers ------------------------------------------------------------------------------ */

/* Puts a sleeper into a list; under the lock. */
void mu__sleeper_enter(mu__sleeper **list, mu__sleeper *sleeper);
/* Takes it out if it is still there. */
void mu__sleeper_leave(mu__sleeper **list, mu__sleeper *sleeper);
/* Takes all out and wakes them. */
void mu__sleepers_wake(mu__sleeper **list);
/* Sleeps, without the lock: MU_OK, MU_ETIMEOUT, MU_EKILLED. */
mu_err mu__sleeper_sleep(mu__sleeper *sleeper, int64_t deadline);
/* The same until it is woken, also in an actor that has been told to exit. */
void mu__sleeper_sleep_out(mu__sleeper *sleeper);

/* ---- warden.c ------------------------------------------------------------------------------ */

mu__warden *mu__warden_ref(mu__warden *warden);
void mu__warden_unref(mu__warden *warden);

/*
 * Returns MU_OK *with the lock held* and a link there; launches one if there is none. Otherwise the
 * lock is not held: MU_ESTOPPED, MU_EFORKED, MU_EWARDEN and others of the launch.
 */
mu_err mu__warden_lock_link(mu__warden *warden, int64_t deadline, mu_error *ret_error);

/* Sends one message without waiting. MU_ESYS + EAGAIN: no room now; MU_EWARDEN: it is gone. */
mu_err mu__warden_send_locked(mu__warden *warden, const void *data, size_t size, const int *fds,
                              size_t n_fds) MU_REQUIRES(warden->lock);

/* ---- warden_io.c: the I/O thread ------------------------------------------------------------ */

/* A message has come, or the socket's end. */
void mu__warden_readable(mu__io_source *source, uint32_t events);

/* What belonged to a link and goes with it. */
typedef struct mu__wreck {
    mu__link *link;
    mu__child *children;
    uint64_t last_serial;
} mu__wreck;

/*
 * Takes the link out with all that depends on it, in one step, so that nothing of the next one is
 * mistaken for it; fails the requests that wait. Who has taken it owns it. `only`: the I/O
 * thread's, which takes that one and leaves it to stop once that has begun; NULL: stop's, which
 * takes any. False: there is none to be taken.
 */
bool mu__warden_take_link(mu__warden *warden, const mu__link *only, mu__wreck *ret_wreck);

/* Kills and reports the children and frees the link. No lock held. */
void mu__warden_clear(mu__warden *warden, mu__wreck *wreck);

/*
 * What children of a lost warden leave behind carries marks, up to `last` the serials of the lost.
 * One look does not find all of it: a process in the middle of execve has no environment that could
 * be read (one in six was caught in it here), and what was killed takes a moment to die. So passes
 * are made, MU__SWEEP_MS apart, until MU__SWEEPS in a row have found nothing, or a second is over.
 */
#define MU__SWEEPS    10
#define MU__SWEEP_MS  20
#define MU__SWEEP_MAX MU_SECOND
void mu__warden_sweep_after(mu__warden *warden, uint64_t last);
/* One pass. False: it was the last. */
bool mu__warden_sweep(mu__warden *warden);
/* The alarm: a pass, and itself again, until stop takes the rest over. */
void mu__warden_sweep_again(mu__alarm *alarm);

/* Makes a loss of it, if it is not stop's: what depends on it hears of it, the link is freed. */
void mu__warden_lost(mu__link *take_link);

/* ---- warden_watch.c: the I/O thread --------------------------------------------------------- */

/* Watches the warden of a new link. Any thread. MU_ENOMEM, MU_ESTOPPED. */
mu_err mu__warden_watch(mu__warden *warden);
/* It has said something. */
void mu__warden_alive(mu__warden *warden);
/* The alarm. */
void mu__warden_tick(mu__alarm *alarm);

/* What a message says of who sent it. */
typedef enum mu__conduct {
    MU__CONDUCT_OPEN,    /* nothing: news that nobody asked for */
    MU__CONDUCT_HONEST,  /* an answer that a warden may give */
    MU__CONDUCT_REFUSAL, /* one that none gives to a request of ours, or no message at all */
    MU__CONDUCT_BREACH   /* a request was passed over: it will never be answered */
} mu__conduct;
/* MU_EWARDEN: that was too much; it has been killed, and is to be taken for lost. */
mu_err mu__warden_judge(mu__warden *warden, const mu__link *link, mu__conduct conduct);

/* ---- child.c ------------------------------------------------------------------------------- */

/* It has ended, and has been taken out of the list, whose reference is used up. No lock held. */
void mu__child_finish(mu__child *take_child, const mu__exit *exit);

#endif
