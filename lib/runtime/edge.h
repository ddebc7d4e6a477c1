/*
 * runtime/edge.h - links and monitors as entries of an actor's lists: private to lib/runtime.
 *
 * A link is two edges, one in each actor's `links`; a monitor is one in the watcher's `monitors`
 * and one in the target's `watchers`. Every edge that may have to report a death carries the notice
 * made beforehand: a death is told exactly once even when memory has run out.
 *
 * Thread-safety: the list's actor's lock. Ownership: the list owns its edges, an edge its notice.
 */
#ifndef MU_RUNTIME_EDGE_H
#define MU_RUNTIME_EDGE_H

#include "runtime/slot.h"

/* An edge to `peer`; `tag` MU_TAG_EXIT or MU_TAG_DOWN makes the notice, 0 makes none. */
mu__edge *mu__edge_new(mu_pid peer, mu_ref ref, uint64_t tag);
void mu__edge_free(mu__edge *edge);

/* Takes the edge to `peer` (ref 0), or with this `ref`, out of the list; NULL if there is none. */
mu__edge *mu__edge_take(mu__edge **list, mu_pid peer, mu_ref ref);

/* Fills the edge's notice and hands it out; the edge itself is freed. */
mu__node *mu__edge_notice(mu__edge *edge, mu_pid from, const mu_reason *reason);

/* A notice that stands alone, for an exit signal sent by hand. NULL: out of memory. */
mu__node *mu__exit_notice_new(mu_pid from, const mu_reason *reason);

#endif
