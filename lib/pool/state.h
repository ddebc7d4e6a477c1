/*
 * pool/state.h - a worker's states, and what leads from one to another: the only table of them.
 *
 *     mu__slot_move_locked(slot, MU__WORKER_TAKEN);        idle -> busy
 *
 * table.c and roster.c move slots by events alone and never write a state. doc/pool.md shows the
 * table; test/contract compares the two.
 *
 * Pure. Thread-safety: the table is constant.
 */
#ifndef MU_POOL_STATE_H
#define MU_POOL_STATE_H

#include <stdbool.h>
#include <muster/pool.h>

/* X(name, text, when) */
#define MU__WORKER_EVENTS(X)                                                                       \
    X(MU__WORKER_START, "start", "a generation begins")                                            \
    X(MU__WORKER_READY, "ready", "it says ready")                                                  \
    X(MU__WORKER_TAKEN, "taken", "it is given to a request, or to its actor for a check")          \
    X(MU__WORKER_RETURNED, "returned", "it has answered: for its caller, or late")                 \
    X(MU__WORKER_FORSAKEN, "forsaken", "its caller has gone: timeout or cancel")                   \
    X(MU__WORKER_UNSOUND, "unsound", "a health check has failed")                                  \
    X(MU__WORKER_LEAVE, "leave", "it is asked to leave")                                           \
    X(MU__WORKER_DIED, "died", "its process is gone or given up, and is to be replaced")           \
    X(MU__WORKER_GONE, "gone", "it will not be replaced")

typedef enum mu__worker_event {
#define MU__WORKER_EVENT_ENUM_(name, text, when) name,
    MU__WORKER_EVENTS(MU__WORKER_EVENT_ENUM_)
#undef MU__WORKER_EVENT_ENUM_
        MU__WORKER_EVENT_COUNT
} mu__worker_event;

enum { MU__WORKER_STATE_COUNT = MU_WORKER_STOPPED + 1 };

/* True, and the state that follows; false: this cannot happen in this state. */
bool mu__worker_next(mu_worker_state state, mu__worker_event event, mu_worker_state *ret_next);

#endif
