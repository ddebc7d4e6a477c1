/*
 * pool/affinity.h - which worker knows which session.
 *
 * A bond ties a session to one generation of one slot. A session that nobody has asked for during
 * the lifetime is over, and its bond forgotten when it is looked for, or when room is needed; the
 * number of bonds has a bound. What the bond means is decided in line.c.
 *
 *     mu__affinity_init(&affinity, sys, 10000, ttl_ns);
 *     mu__bond *bond = mu__affinity_find(&affinity, "user-7", now);
 *     if (!bond)
 *         err = mu__affinity_add(&affinity, "user-7", true, now, &bond);
 *     mu__affinity_deinit(&affinity);
 *
 * `now` is an argument. Thread-safety: the owner's lock. Ownership: the table owns its bonds.
 */
#ifndef MU_POOL_AFFINITY_H
#define MU_POOL_AFFINITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <muster/error.h>

#include "base/hash.h"

enum { MU__SESSION_MAX = 255 };

typedef struct mu__bond {
    mu__table_entry entry;
    struct mu__bond *newer, *older; /* by when they were asked for last */
    int64_t used_at;
    int slot; /* its index; -1: none yet */
    uint32_t generation;
    struct mu__ticket *waiting; /* those that wait for its first worker; then there is none yet */
    char session[];
} mu__bond;

typedef struct mu__affinity {
    mu__table table;
    mu__bond *newest, *oldest;
    size_t most;
    int64_t ttl_ns;
} mu__affinity;

void mu__affinity_init(mu__affinity *affinity, const mu_sys *sys, size_t most, int64_t ttl_ns);
void mu__affinity_deinit(mu__affinity *affinity);
/* The bond, which is thereby used; NULL: there is none, or none any more. */
mu__bond *mu__affinity_find(mu__affinity *affinity, const char *session, int64_t now);
/*
 * A bond without a slot, for a session that has none. If there are as many as there may be, those
 * whose lifetime is over are forgotten, and with `evict` else the one unused for longest. MU_EFULL,
 * MU_ENOMEM.
 */
mu_err mu__affinity_add(mu__affinity *affinity, const char *session, bool evict, int64_t now,
                        mu__bond **ret_bond);
void mu__affinity_forget(mu__affinity *affinity, mu__bond *bond);

#endif
