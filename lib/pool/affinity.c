/* Which worker knows which session (affinity.h). Called by line.c under the pool's lock. */
#include "pool/affinity.h"

#include <stdlib.h>
#include <string.h>

/* About a kilobyte a session, the name and its share of the table included. */
_Static_assert(sizeof(mu__bond) + MU__SESSION_MAX + 1 <= 512, "a bond has grown");

void mu__affinity_init(mu__affinity *affinity, const mu_sys *sys, size_t most, int64_t ttl_ns)
{
    *affinity = (mu__affinity){.most = most, .ttl_ns = ttl_ns};
    mu__table_init(&affinity->table, sys);
}

void mu__affinity_deinit(mu__affinity *affinity)
{
    while (affinity->newest)
        mu__affinity_forget(affinity, affinity->newest);
    mu__table_deinit(&affinity->table);
}

static void unlink_bond(mu__affinity *affinity, const mu__bond *bond)
{
    *(bond->newer ? &bond->newer->older : &affinity->newest) = bond->older;
    *(bond->older ? &bond->older->newer : &affinity->oldest) = bond->newer;
}

static void make_newest(mu__affinity *affinity, mu__bond *bond, int64_t now)
{
    bond->used_at = now;
    bond->newer = NULL;
    bond->older = affinity->newest;
    *(affinity->newest ? &affinity->newest->newer : &affinity->oldest) = bond;
    affinity->newest = bond;
}

void mu__affinity_forget(mu__affinity *affinity, mu__bond *bond)
{
    unlink_bond(affinity, bond);
    mu__table_remove(&affinity->table, &bond->entry);
    free(bond);
}

/* One for which somebody waits is in use, however long ago it was asked for. */
static bool is_over(const mu__affinity *affinity, const mu__bond *bond, int64_t now)
{
    return !bond->waiting && now - bond->used_at >= affinity->ttl_ns;
}

mu__bond *mu__affinity_find(mu__affinity *affinity, const char *session, int64_t now)
{
    mu__table_entry *entry = mu__table_find(&affinity->table, session, strlen(session));
    mu__bond *bond = entry ? MU__TABLE_OBJECT(entry, mu__bond, entry) : NULL;
    if (!bond)
        return NULL;
    if (is_over(affinity, bond, now)) {
        mu__affinity_forget(affinity, bond);
        return NULL;
    }
    unlink_bond(affinity, bond);
    make_newest(affinity, bond, now);
    return bond;
}

/* Room for one more. */
static bool make_room(mu__affinity *affinity, bool evict, int64_t now)
{
    if (mu__table_count(&affinity->table) < affinity->most)
        return true;
    mu__bond *oldest = affinity->oldest;
    if (oldest->waiting || (!evict && !is_over(affinity, oldest, now)))
        return false;
    mu__affinity_forget(affinity, oldest);
    return true;
}

mu_err mu__affinity_add(mu__affinity *affinity, const char *session, bool evict, int64_t now,
                        mu__bond **ret_bond)
{
    if (!make_room(affinity, evict, now))
        return MU_EFULL;
    size_t length = strlen(session);
    mu__bond *bond = affinity->table.sys->alloc(sizeof *bond + length + 1);
    if (!bond)
        return MU_ENOMEM;
    memcpy(bond->session, session, length + 1);
    bond->slot = -1;
    mu_err err = mu__table_insert(&affinity->table, &bond->entry, bond->session, length);
    if (err != MU_OK) {
        free(bond);
        return err;
    }
    make_newest(affinity, bond, now);
    *ret_bond = bond;
    return MU_OK;
}
