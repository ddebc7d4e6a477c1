/*
 * The registry (muster/registry.h): entries and their holders.
 *
 * Called by programs, and by gen.c for servers named by a key; stores through registry_table.c. One
 * lock per registry is for writers and for reads of many entries; looking a unique key up takes
 * none. An actor that holds entries has one holder here, whose death hook removes them before
 * anybody hears of the death. The hook is set while the lock is held, so the actor's lock nests in
 * it (doc/locking.md); hooks run without any lock.
 */
#include <muster/registry.h>

#include <stdlib.h>

#include "otp/registry_impl.h"
#include "otp/via.h"

typedef struct notice notice;

static void remove_locked(mu_registry *r, mu__reg_entry *entry, notice **notices)
    MU_REQUIRES(&r->lock);

/* ---- notices for listeners, made under the lock and sent after it ---------------------------- */

struct notice {
    struct notice *next;
    const char *listener;
    uint64_t tag;
    mu_registry_notice body;
    char bytes[];
};

static void destroy_notice(void *body)
{
    free((char *)body - offsetof(notice, body));
}

/* One for each listener, in front of `list`. A notice for which there is no memory is not sent. */
static notice *note(mu_registry *r, notice *list, uint64_t tag, const mu__reg_entry *entry)
{
    char buffer[MU__KEY_INLINE];
    mu_key key = mu__reg_key(entry, buffer);
    for (size_t i = 0; i < r->n_listeners; i++) {
        notice *n = r->sys->alloc(sizeof *n + key.size);
        if (!n)
            continue;
        n->next = list;
        n->listener = r->listeners[i];
        n->tag = tag;
        n->body = (mu_registry_notice){r, mu__reg_pid(&r->table, entry), entry->value, key};
        if (key.data)
            n->body.key = mu_key_bytes(memcpy(n->bytes, key.data, key.size), key.size);
        list = n;
    }
    return list;
}

static void send_notices(mu_registry *r, notice *newest)
{
    notice *list = NULL;
    while (newest) {
        notice *older = newest->next;
        newest->next = list;
        list = newest;
        newest = older;
    }
    while (list) {
        notice *n = list;
        list = n->next;
        (void)mu__tell(mu_whereis(r->system, n->listener),
                       mu_message_take(n->tag, &n->body, sizeof n->body, destroy_notice));
    }
}

/* ---- start and stop -------------------------------------------------------------------------- */

static void unref(mu_registry *r)
{
    if (atomic_fetch_sub(&r->refs, 1) > 1)
        return;
    mu__table_deinit(&r->holders);
    mu__reg_table_deinit(&r->table);
    mu__reg_table_deinit(&r->metas);
    mu_lock_deinit(&r->lock);
    free(r->listeners);
    free(r);
}

/* What is wrong with them, NULL if nothing is. */
static const char *options_fault(mu_system *system, const mu_registry_options *options,
                                 mu_registry **ret_registry)
{
    if (!system || !ret_registry)
        return system ? "ret_registry is NULL" : "system is NULL";
    if (options->size != sizeof *options)
        return "options.size is not sizeof(mu_registry_options)";
    if (options->keys < MU_KEYS_UNIQUE || options->keys > MU_KEYS_DUPLICATE)
        return "keys is neither MU_KEYS_UNIQUE nor MU_KEYS_DUPLICATE";
    if (options->n_listeners > 0 && !options->listeners)
        return "listeners is NULL, and n_listeners is not 0";
    for (size_t i = 0; i < options->n_listeners; i++) {
        const char *name = options->listeners[i];
        if (!name || !name[0] || strlen(name) > MU_NAME_MAX)
            return "a listener is no name of 1 to 63 bytes";
    }
    return NULL;
}

static mu_err copy_listeners(mu_registry *r, const mu_registry_options *options)
{
    if (options->n_listeners == 0)
        return MU_OK;
    r->listeners = r->sys->alloc(options->n_listeners * sizeof *r->listeners);
    if (!r->listeners)
        return MU_ENOMEM;
    r->n_listeners = options->n_listeners;
    for (size_t i = 0; i < r->n_listeners; i++) {
        const char *name = options->listeners[i];
        memcpy(r->listeners[i], name, strlen(name) + 1);
    }
    return MU_OK;
}

static mu_err registry_new(mu_system *system, const mu_registry_options *options,
                           mu_registry **ret_registry)
{
    mu_registry *r = mu__sys(system)->alloc(sizeof *r);
    if (!r)
        return MU_ENOMEM;
    r->system = system;
    r->sys = mu__sys(system);
    r->keys = options->keys;
    atomic_init(&r->refs, 1);
    mu_lock_init(&r->lock);
    mu__table_init(&r->holders, r->sys);
    mu_err err = mu__reg_table_init(&r->table, system);
    if (err == MU_OK)
        err = mu__reg_table_init(&r->metas, system);
    if (err == MU_OK)
        err = copy_listeners(r, options);
    if (err != MU_OK) {
        unref(r);
        return err;
    }
    *ret_registry = r;
    return MU_OK;
}

mu_err mu_registry_start(mu_system *system, const mu_registry_options *options,
                         mu_registry **ret_registry, mu_reason *ret_reason)
{
    static const mu_registry_options defaults = MU_REGISTRY_OPTIONS_INIT;
    if (!options)
        options = &defaults;
    const char *fault = options_fault(system, options, ret_registry);
    mu_err err = fault ? MU_EINVAL : registry_new(system, options, ret_registry);
    if (err != MU_OK && ret_reason)
        *ret_reason = mu_reason_error(err, "registry: %s", fault ? fault : "no memory");
    return err;
}

/*
 * Takes one holder out, its entries first. True: it is the caller's to free; false: its death has
 * begun, and the hook, which waits for the lock, will do it.
 */
static bool detach_locked(mu_registry *r, mu__reg_holder *holder) MU_REQUIRES(&r->lock)
{
    while (holder->entries)
        remove_locked(r, holder->entries, NULL);
    mu__table_remove(&r->holders, &holder->entry);
    holder->registered = false;
    return mu__hook_remove(holder->pid, &holder->hook);
}

void mu_registry_stop(mu_registry **take_registry)
{
    mu_registry *r = take_registry ? *take_registry : NULL;
    if (!r)
        return;
    *take_registry = NULL;
    mu_lock_acquire(&r->lock);
    for (mu__table_entry *e = mu__table_next(&r->holders, NULL); e;
         e = mu__table_next(&r->holders, NULL)) {
        mu__reg_holder *holder = MU__TABLE_OBJECT(e, mu__reg_holder, entry);
        if (detach_locked(r, holder)) {
            free(holder);
            atomic_fetch_sub(&r->refs, 1); /* never the last: ours is left */
        }
    }
    mu_lock_release(&r->lock);
    unref(r);
}

/* ---- holders and their entries --------------------------------------------------------------- */

/* Runs before anybody hears of the death; nobody else touches the holder any more. */
static void on_death(mu__death_hook *hook, mu_pid pid)
{
    (void)pid;
    mu__reg_holder *holder = MU__TABLE_OBJECT(hook, mu__reg_holder, hook);
    mu_registry *r = holder->registry;
    notice *notices = NULL;
    mu_lock_acquire(&r->lock);
    while (holder->entries)
        remove_locked(r, holder->entries, &notices);
    if (holder->registered)
        mu__table_remove(&r->holders, &holder->entry);
    mu_lock_release(&r->lock);
    send_notices(r, notices);
    free(holder);
    unref(r);
}

static mu__reg_holder *find_holder_locked(mu_registry *r, mu_pid pid) MU_REQUIRES(&r->lock)
{
    mu__table_entry *e = mu__table_find(&r->holders, &pid, sizeof pid);
    return e ? MU__TABLE_OBJECT(e, mu__reg_holder, entry) : NULL;
}

static mu_err make_holder_locked(mu_registry *r, mu_pid pid, mu__reg_holder **ret_holder)
    MU_REQUIRES(&r->lock)
{
    mu__reg_holder *holder = r->sys->alloc(sizeof *holder);
    if (!holder)
        return MU_ENOMEM;
    holder->registry = r;
    holder->pid = pid;
    holder->hook.run = on_death;
    mu_err err = mu__table_insert(&r->holders, &holder->entry, &holder->pid, sizeof holder->pid);
    if (err == MU_OK) {
        holder->registered = true;
        err = mu__hook_add(pid, &holder->hook);
        if (err != MU_OK)
            mu__table_remove(&r->holders, &holder->entry);
    }
    if (err != MU_OK) {
        free(holder);
        return err == MU_ENOPROC ? MU_EKILLED : err;
    }
    atomic_fetch_add(&r->refs, 1);
    *ret_holder = holder;
    return MU_OK;
}

static void remove_locked(mu_registry *r, mu__reg_entry *entry, notice **notices)
{
    if (notices)
        *notices = note(r, *notices, MU_TAG_UNREGISTER, entry);
    *entry->holder_place = entry->holder_next;
    if (entry->holder_next)
        entry->holder_next->holder_place = entry->holder_place;
    mu__reg_remove(&r->table, entry);
}

static mu_err add_locked(mu_registry *r, uint64_t hash, mu_key key, mu_pid pid, void *value,
                         notice **notices) MU_REQUIRES(&r->lock)
{
    mu__reg_holder *holder = find_holder_locked(r, pid);
    mu_err err = holder ? MU_OK : make_holder_locked(r, pid, &holder);
    if (err != MU_OK)
        return err;
    mu__reg_entry *entry = mu__reg_insert(&r->table, hash, &key, pid, value);
    if (!entry)
        return MU_ENOMEM;
    entry->holder = holder;
    entry->holder_next = holder->entries;
    entry->holder_place = &holder->entries;
    if (entry->holder_next)
        entry->holder_next->holder_place = &entry->holder_next;
    holder->entries = entry;
    *notices = note(r, *notices, MU_TAG_REGISTER, entry);
    return MU_OK;
}

static mu_err acting_self(mu_registry *r, const mu_key *key, mu_pid *ret_self)
{
    if (!r || !mu__key_is_one(key))
        return MU_EINVAL;
    *ret_self = mu_self();
    if (mu_pid_is_none(*ret_self) || ret_self->system != r->system)
        return MU_ENOTACTOR;
    return mu_checkpoint();
}

mu_err mu_registry_register(mu_registry *registry, mu_key key, void *value, mu_pid *ret_holder)
{
    mu_pid self;
    mu_err err = acting_self(registry, &key, &self);
    if (err != MU_OK)
        return err;
    uint64_t hash = mu__reg_hash(&registry->table, &key);
    notice *notices = NULL;
    mu_lock_acquire(&registry->lock);
    const mu__reg_entry *holder =
        registry->keys == MU_KEYS_UNIQUE ? mu__reg_find(&registry->table, hash, &key) : NULL;
    if (holder) {
        err = MU_EALREADY_REGISTERED;
        if (ret_holder)
            *ret_holder = mu__reg_pid(&registry->table, holder);
    } else {
        err = add_locked(registry, hash, key, self, value, &notices);
    }
    mu_lock_release(&registry->lock);
    send_notices(registry, notices);
    return err;
}

mu_err mu__via_register(const mu_via *via, mu_pid *ret_holder)
{
    if (!via->registry || via->registry->keys != MU_KEYS_UNIQUE)
        return MU_ENOTSUP;
    return mu_registry_register(via->registry, via->key, via->value, ret_holder);
}

/* ---- the caller's own ------------------------------------------------------------------------
 *
 * Nobody else removes or changes them, so what was collected stays true while the user's function
 * looks at it without a lock, but for what that function does itself: the chain tells afterwards.
 */

typedef struct own_entry {
    mu__reg_entry *entry;
    void *value;
    bool meant;
} own_entry;

typedef struct own_list {
    mu_registry *registry;
    mu_key key;
    uint64_t hash;
    mu_pid self;
    own_entry *entries; /* one block, in the order of the chain; NULL: none */
    size_t n;
    union {
        mu_registry_match_fn match;
        void *(*update)(void *ctx, void *value);
    } user;
    void *ctx;
    void *updated;
} own_list;

static bool is_own(const own_list *own, const mu__reg_entry *entry)
{
    return mu_pid_equal(mu__reg_pid(&own->registry->table, entry), own->self);
}

/* Fills in the caller and its entries for the key. */
static mu_err collect_own(own_list *own)
{
    mu_registry *r = own->registry;
    mu_err err = acting_self(r, &own->key, &own->self);
    if (err != MU_OK)
        return err;
    own->hash = mu__reg_hash(&r->table, &own->key);
    size_t n = 0;
    mu_lock_acquire(&r->lock);
    mu__reg_entry *first = mu__reg_find(&r->table, own->hash, &own->key);
    for (mu__reg_entry *e = first; e; e = mu__reg_find_next(e, own->hash, &own->key))
        n += is_own(own, e);
    own->entries = n ? r->sys->alloc(n * sizeof *own->entries) : NULL;
    for (mu__reg_entry *e = first; e && own->entries;
         e = mu__reg_find_next(e, own->hash, &own->key))
        if (is_own(own, e))
            own->entries[own->n++] = (own_entry){e, e->value, true};
    mu_lock_release(&r->lock);
    return n > 0 && !own->entries ? MU_ENOMEM : MU_OK;
}

static void run_match(void *arg)
{
    own_list *own = arg;
    for (size_t i = 0; i < own->n; i++)
        own->entries[i].meant =
            own->user.match(own->ctx, own->key, own->self, own->entries[i].value);
}

static notice *remove_meant(own_list *own)
{
    mu_registry *r = own->registry;
    notice *notices = NULL;
    size_t i = 0;
    mu_lock_acquire(&r->lock);
    for (mu__reg_entry *e = mu__reg_find(&r->table, own->hash, &own->key), *next; e; e = next) {
        next = mu__reg_find_next(e, own->hash, &own->key);
        size_t found = is_own(own, e) ? i : own->n;
        while (found < own->n && own->entries[found].entry != e)
            found++;
        if (found == own->n)
            continue;
        i = found + 1;
        if (own->entries[found].meant)
            remove_locked(r, e, &notices);
    }
    mu_lock_release(&r->lock);
    return notices;
}

mu_err mu_registry_unregister_match(mu_registry *registry, mu_key key, mu_registry_match_fn match,
                                    void *ctx)
{
    own_list own = {.registry = registry, .key = key, .user.match = match, .ctx = ctx};
    mu_err err = collect_own(&own);
    if (own.n > 0) {
        if (match)
            mu__reg_run(run_match, &own, own.entries);
        send_notices(registry, remove_meant(&own));
    }
    free(own.entries);
    return err;
}

mu_err mu_registry_unregister(mu_registry *registry, mu_key key)
{
    return mu_registry_unregister_match(registry, key, NULL, NULL);
}

static void run_update(void *arg)
{
    own_list *own = arg;
    own->updated = own->user.update(own->ctx, own->entries->value);
}

static mu_err set_updated(own_list *own)
{
    mu_registry *r = own->registry;
    mu_lock_acquire(&r->lock);
    mu__reg_entry *entry = mu__reg_find(&r->table, own->hash, &own->key);
    bool held = entry && is_own(own, entry);
    if (held)
        mu__reg_set_value(entry, own->updated);
    mu_lock_release(&r->lock);
    return held ? MU_OK : MU_ENOTOWNER;
}

mu_err mu_registry_update_value(mu_registry *registry, mu_key key,
                                void *(*update)(void *ctx, void *value), void *ctx, void **ret_new,
                                void **ret_old)
{
    if (!registry || !update)
        return MU_EINVAL;
    if (registry->keys != MU_KEYS_UNIQUE)
        return MU_ENOTSUP;
    own_list own = {.registry = registry, .key = key, .user.update = update, .ctx = ctx};
    mu_err err = collect_own(&own);
    if (err == MU_OK && own.n == 0)
        err = MU_ENOTOWNER;
    if (err == MU_OK) {
        mu__reg_run(run_update, &own, own.entries);
        err = set_updated(&own);
    }
    if (err == MU_OK && ret_new)
        *ret_new = own.updated;
    if (err == MU_OK && ret_old)
        *ret_old = own.entries->value;
    free(own.entries);
    return err;
}
