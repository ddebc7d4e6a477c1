/*
 * Reading a registry, and its metadata (muster/registry.h). Called by programs, in their threads;
 * never needs the holders. What gives more than one entry works on a snapshot, taken under the lock
 * and looked at without.
 */
#include <muster/registry.h>

#include <stdlib.h>

#include "otp/registry_impl.h"

/* The one entry of a key, without the lock if that can be helped. */
static inline bool find_one(mu_registry *r, const mu__reg_table *table, const mu_key *key,
                            mu_pid *ret_pid, void **ret_value)
{
    uint64_t hash = mu__reg_hash(table, key);
    mu__reg_peek_result result = mu__reg_peek(table, hash, key, ret_pid, ret_value);
    if (result != MU__REG_UNSURE)
        return result == MU__REG_FOUND;
    mu_lock_acquire(&r->lock);
    const mu__reg_entry *entry = mu__reg_find(table, hash, key);
    if (entry) {
        *ret_pid = mu__reg_pid(table, entry);
        *ret_value = entry->value;
    }
    mu_lock_release(&r->lock);
    return entry != NULL;
}

mu_err mu_registry_lookup_one(mu_registry *registry, mu_key key, mu_pid *ret_pid, void **ret_value)
{
    if (!registry || !mu__key_is_one(&key))
        return MU_EINVAL;
    if (registry->keys != MU_KEYS_UNIQUE)
        return MU_ENOTSUP;
    mu_pid pid;
    void *value;
    if (!find_one(registry, &registry->table, &key, &pid, &value))
        return MU_ENOTFOUND;
    if (ret_pid)
        *ret_pid = pid;
    if (ret_value)
        *ret_value = value;
    return MU_OK;
}

mu_pid mu_registry_whereis(mu_registry *registry, mu_key key)
{
    mu_pid pid;
    void *value;
    bool possible = registry && registry->keys == MU_KEYS_UNIQUE && mu__key_is_one(&key);
    return possible && find_one(registry, &registry->table, &key, &pid, &value) ? pid : MU_PID_NONE;
}

/* ---- snapshots ------------------------------------------------------------------------------- */

/* Which entries: of one key, of one holder, or all. */
typedef struct scope {
    const mu_key *key;
    uint64_t hash;
    mu_pid holder;
} scope;

static mu__reg_entry *first_locked(mu_registry *r, const scope *s) MU_REQUIRES(&r->lock)
{
    if (s->key)
        return mu__reg_find(&r->table, s->hash, s->key);
    if (mu_pid_is_none(s->holder))
        return mu__reg_next(&r->table, NULL);
    mu__table_entry *e = mu__table_find(&r->holders, &s->holder, sizeof s->holder);
    return e ? MU__TABLE_OBJECT(e, mu__reg_holder, entry)->entries : NULL;
}

static mu__reg_entry *next_of(mu_registry *r, const scope *s, mu__reg_entry *entry)
{
    if (s->key)
        return mu__reg_find_next(entry, s->hash, s->key);
    return mu_pid_is_none(s->holder) ? mu__reg_next(&r->table, entry) : entry->holder_next;
}

/* Entries are found newest first; the list is the other way round, in order of registration. */
static mu_registry_entry *list_locked(mu_registry *r, const scope *s, size_t *ret_count,
                                      mu_err *ret_err) MU_REQUIRES(&r->lock)
{
    size_t n = 0, bytes = 0;
    char buffer[MU__KEY_INLINE];
    for (mu__reg_entry *e = first_locked(r, s); e; e = next_of(r, s, e)) {
        n++;
        bytes += mu__reg_key(e, buffer).size;
    }
    mu_registry_entry *list = n ? r->sys->alloc(n * sizeof *list + bytes) : NULL;
    *ret_count = list ? n : 0;
    *ret_err = n > 0 && !list ? MU_ENOMEM : MU_OK;
    if (!list)
        return NULL;
    char *end = (char *)(list + n);
    for (mu__reg_entry *e = first_locked(r, s); e; e = next_of(r, s, e)) {
        mu_key key = mu__reg_key(e, buffer);
        if (key.data) {
            key = mu_key_bytes(memcpy(end, key.data, key.size), key.size);
            end += key.size;
        }
        list[--n] = (mu_registry_entry){key, mu__reg_pid(&r->table, e), e->value};
    }
    return list;
}

static mu_err snapshot(mu_registry *r, const mu_key *key, mu_pid holder,
                       mu_registry_entry **ret_entries, size_t *ret_count)
{
    if (!r || !ret_entries || !ret_count || (key && !mu__key_is_one(key)))
        return MU_EINVAL;
    scope s = {key, key ? mu__reg_hash(&r->table, key) : 0, holder};
    mu_err err;
    mu_lock_acquire(&r->lock);
    *ret_entries = list_locked(r, &s, ret_count, &err);
    mu_lock_release(&r->lock);
    return err;
}

mu_err mu_registry_lookup(mu_registry *registry, mu_key key, mu_registry_entry **ret_entries,
                          size_t *ret_count)
{
    return snapshot(registry, &key, MU_PID_NONE, ret_entries, ret_count);
}

mu_err mu_registry_entries_of(mu_registry *registry, mu_pid holder, mu_registry_entry **ret_entries,
                              size_t *ret_count)
{
    if (!mu_pid_is_none(holder) || !registry || !ret_entries || !ret_count)
        return snapshot(registry, NULL, holder, ret_entries, ret_count);
    *ret_entries = NULL;
    *ret_count = 0;
    return MU_OK;
}

void mu_registry_free(mu_registry_entry *entries)
{
    free(entries);
}

typedef struct match_call {
    mu_registry_match_fn match;
    void *ctx;
    mu_registry_entry *list;
    size_t n, kept;
} match_call;

/* Moves those that match to the front. */
static void run_match(void *arg)
{
    match_call *c = arg;
    for (size_t i = 0; i < c->n; i++)
        if (c->match(c->ctx, c->list[i].key, c->list[i].pid, c->list[i].value))
            c->list[c->kept++] = c->list[i];
}

mu_err mu_registry_select(mu_registry *registry, const mu_key *key, mu_registry_match_fn match,
                          void *ctx, mu_registry_entry **ret_entries, size_t *ret_count)
{
    match_call c = {.match = match, .ctx = ctx};
    mu_err err = match && ret_entries && ret_count
                     ? snapshot(registry, key, MU_PID_NONE, &c.list, &c.n)
                     : MU_EINVAL;
    if (err != MU_OK)
        return err;
    mu__reg_run(run_match, &c, c.list);
    if (c.kept == 0) {
        free(c.list);
        c.list = NULL;
    }
    *ret_entries = c.list;
    *ret_count = c.kept;
    return MU_OK;
}

size_t mu_registry_count(mu_registry *registry)
{
    if (!registry)
        return 0;
    mu_lock_acquire(&registry->lock);
    size_t n = registry->table.count;
    mu_lock_release(&registry->lock);
    return n;
}

mu_err mu_registry_count_match(mu_registry *registry, const mu_key *key, mu_registry_match_fn match,
                               void *ctx, size_t *ret_count)
{
    mu_registry_entry *list;
    mu_err err = mu_registry_select(registry, key, match, ctx, &list, ret_count);
    if (err == MU_OK)
        free(list);
    return err;
}

typedef struct dispatch_call {
    void (*fn)(void *ctx, const mu_registry_entry *entries, size_t count);
    void *ctx;
    mu_registry_entry *entries;
    size_t n;
} dispatch_call;

static void run_dispatch(void *arg)
{
    const dispatch_call *c = arg;
    c->fn(c->ctx, c->entries, c->n);
}

mu_err mu_registry_dispatch(mu_registry *registry, mu_key key,
                            void (*fn)(void *ctx, const mu_registry_entry *entries, size_t count),
                            void *ctx)
{
    dispatch_call c = {.fn = fn, .ctx = ctx};
    mu_err err = fn ? mu_registry_lookup(registry, key, &c.entries, &c.n) : MU_EINVAL;
    if (err != MU_OK || c.n == 0)
        return err;
    mu__reg_run(run_dispatch, &c, c.entries);
    free(c.entries);
    return MU_OK;
}

/* ---- metadata -------------------------------------------------------------------------------- */

mu_err mu_registry_put_meta(mu_registry *registry, mu_key key, void *value)
{
    if (!registry || !mu__key_is_one(&key))
        return MU_EINVAL;
    uint64_t hash = mu__reg_hash(&registry->metas, &key);
    mu_lock_acquire(&registry->lock);
    mu__reg_entry *entry = mu__reg_find(&registry->metas, hash, &key);
    if (entry)
        mu__reg_set_value(entry, value);
    else
        entry = mu__reg_insert(&registry->metas, hash, &key, MU_PID_NONE, value);
    mu_lock_release(&registry->lock);
    return entry ? MU_OK : MU_ENOMEM;
}

mu_err mu_registry_meta(mu_registry *registry, mu_key key, void **ret_value)
{
    mu_pid nobody;
    if (!registry || !ret_value || !mu__key_is_one(&key))
        return MU_EINVAL;
    return find_one(registry, &registry->metas, &key, &nobody, ret_value) ? MU_OK : MU_ENOTFOUND;
}

void mu_registry_delete_meta(mu_registry *registry, mu_key key)
{
    if (!registry || !mu__key_is_one(&key))
        return;
    uint64_t hash = mu__reg_hash(&registry->metas, &key);
    mu_lock_acquire(&registry->lock);
    mu__reg_entry *entry = mu__reg_find(&registry->metas, hash, &key);
    if (entry)
        mu__reg_remove(&registry->metas, entry);
    mu_lock_release(&registry->lock);
}
