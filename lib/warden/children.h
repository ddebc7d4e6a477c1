/*
 * warden/children.h - the table of the children that were asked for, and their reaping.
 *
 * Why it is also the queue: the host may be stopped or slow, so its socket may be full when a child
 * exits, and an exit must be neither lost nor waited with. The record of a child stays until its
 * exit has been told; so the exits waiting are never more than the children were, and there is
 * always room for one. The room is made before the child is.
 *
 *     if (children_reserve(&c))           // before the clone
 *         children_add(&c, pid, start, mark);
 *     while (children_reap(&c)) ...       // SIGCHLD came
 *     while ((child = children_next_exited(&c)) && tell(child)) children_drop(&c, child);
 *
 * The leader of a group is reaped only after its group was killed: until then its pid, which is the
 * group's number, cannot become anybody else's.
 *
 * Thread-safety: none; the warden has one thread. Ownership: the table owns the records; a returned
 * pointer is borrowed until the next add or drop.
 */
#ifndef MU_WARDEN_CHILDREN_H
#define MU_WARDEN_CHILDREN_H

#include "base/warden_proto.h"

#include <stdbool.h>
#include <sys/types.h>

typedef struct child {
    bool running;     /* false: exited, reaped and not yet told */
    mu__wp_exited id; /* pid and start from the beginning, the rest once it has exited */
    char mark[MU__WP_MARK_MAX];
} child;

typedef struct children {
    child *items;
    size_t count, capacity;
} children;

/* Makes room for one more. False: out of memory, nothing changed. */
bool children_reserve(children *c);
/* Adds a running child; there must be room. */
void children_add(children *c, pid_t pid, uint64_t start, const char *mark);

/* The running child, NULL if there is none. `start` must match too. */
child *children_find(children *c, pid_t pid, uint64_t start);
/* The running child with that pid, whatever its start. */
child *children_find_pid(children *c, pid_t pid);
/* True if a running child carries this mark. */
bool children_has_mark(const children *c, const char *mark);

/*
 * Reaps one process that has ended, a child of the table or an adopted stranger, and kills the rest
 * of its group first. False: nothing to reap now; errno is ECHILD if no child is left at all.
 */
bool children_reap(children *c);
/* The process that children_reap would reap, 0: none, and errno as there. */
pid_t children_next_dead(void);
/* Reaps that one. */
void children_reap_one(children *c, pid_t pid);
/* Reaps all of the table that have ended, and no strangers. */
void children_reap_known(children *c);

/* Any running child, NULL if none. */
child *children_next_running(children *c);

/* The next child whose exit has to be told, NULL if none. */
child *children_next_exited(children *c);
void children_drop(children *c, child *gone);

#endif
