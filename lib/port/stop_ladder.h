/*
 * port/stop_ladder.h - in which order a child is told to leave: a pure function of state and time.
 *
 *                    ask          close         TERM          KILL
 *     RUNNING --> ASKED --> CLOSED --> TERMED --> KILLED --> GIVEN_UP
 *        |          |          |          |          |
 *        +----------+----------+----------+----------+-----> GONE   (it has exited)
 *
 * Each rung has its own grace; one of 0 is skipped over at once, so "kill it now" is the same
 * ladder with three zeros. SIGKILL goes to the process, its group and all that descends from it;
 * what its end leaves behind is the warden's to sweep. GIVEN_UP: not even SIGKILL has ended it in
 * time (disk sleep); its end will still be reported, only nobody waits any longer.
 *
 *     mu__ladder l;
 *     action = mu__ladder_begin(&l, &graces, now);
 *     while (do(action), !mu__ladder_over(&l))
 *         action = wait_for_exit(l.deadline) ? mu__ladder_step(&l, MU__LADDER_EXIT, now)
 *                                            : mu__ladder_step(&l, MU__LADDER_TIME, now);
 *
 * Thread-safety: none. Ownership: a plain value.
 */
#ifndef MU_PORT_STOP_LADDER_H
#define MU_PORT_STOP_LADDER_H

#include <stdbool.h>
#include <stdint.h>

typedef enum mu__ladder_state {
    MU__LADDER_RUNNING,
    MU__LADDER_ASKED,
    MU__LADDER_CLOSED,
    MU__LADDER_TERMED,
    MU__LADDER_KILLED,
    MU__LADDER_GONE,
    MU__LADDER_GIVEN_UP,
    MU__LADDER_STATES
} mu__ladder_state;

typedef enum mu__ladder_event {
    MU__LADDER_STOP, /* begin */
    MU__LADDER_TIME, /* the time of this rung may be over */
    MU__LADDER_EXIT, /* the process has been reaped */
    MU__LADDER_EVENTS
} mu__ladder_event;

typedef enum mu__ladder_action {
    MU__LADDER_NOTHING,
    MU__LADDER_ASK,   /* send the shutdown frame */
    MU__LADDER_CLOSE, /* close the request pipe: it reads end of file */
    MU__LADDER_TERM,  /* SIGTERM to the group, then SIGCONT, or a stopped one would not hear it */
    MU__LADDER_KILL   /* SIGKILL to the tree */
} mu__ladder_action;

/* Milliseconds that each rung is given before the next. */
typedef struct mu__graces {
    int64_t ask, close, term;
    int64_t kill; /* until nobody waits any longer */
} mu__graces;

/* `total_ms` until SIGKILL: half of it for the frame, a quarter each for end of file and SIGTERM.
 */
mu__graces mu__graces_of(int64_t total_ms);

typedef struct mu__ladder {
    mu__ladder_state state;
    int64_t deadline; /* ns: when to step with MU__LADDER_TIME */
    mu__graces graces;
} mu__ladder;

/* Starts the ladder at its first rung. */
mu__ladder_action mu__ladder_begin(mu__ladder *ladder, const mu__graces *graces, int64_t now);

/* One event; what to do now. MU__LADDER_TIME before the deadline does nothing. */
mu__ladder_action mu__ladder_step(mu__ladder *ladder, mu__ladder_event event, int64_t now);

/* GONE or GIVEN_UP. */
bool mu__ladder_over(const mu__ladder *ladder);

#endif
