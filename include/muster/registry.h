/*
 * muster/registry.h - who is registered under which key.
 *
 * A registry maps keys to actors: at most one each (unique) or any number (duplicate). Entries are
 * made by the actor itself and vanish with it, before anybody is told of its death. Reads run in
 * the caller; looking a unique key up takes no lock, so that it scales with the number of threads.
 *
 *     mu_registry *rooms;
 *     mu_registry_start(system, &(mu_registry_options){.size = sizeof(mu_registry_options),
 *                                                      .keys = MU_KEYS_DUPLICATE}, &rooms, &reason);
 *     mu_registry_register(rooms, mu_key_string("kitchen"), NULL);      // in an actor
 *     mu_registry_dispatch(rooms, mu_key_string("kitchen"), send_to_all, "dinner");
 *     mu_registry_stop(&rooms);
 *
 * A unique registry is a name space for servers: give start a mu_via, and call
 * mu_call(mu_registry_whereis(registry, key), ...).
 *
 * Keys are strings of bytes or integers; an integer never equals a string. A value is a word that
 * belongs to the user: the registry hands it out and never touches what it points at.
 *
 * Thread-safety: any thread, except where an actor is asked for (MU_ENOTACTOR elsewhere). Functions
 * given to the registry run in the caller's thread, without locks, on a snapshot: they may use the
 * registry, and mu_exit in one of them is the caller's.
 * Errors: MU_EINVAL, everywhere, where something is NULL that must not be, or a key is none.
 * Ownership: keys are copied. Lists are one block each, freed with mu_registry_free.
 */
#ifndef MUSTER_REGISTRY_H
#define MUSTER_REGISTRY_H

#include <string.h>

#include <muster/actor.h>
#include <muster/decls.h>

MU_BEGIN_DECLS

typedef struct mu_registry mu_registry;

typedef struct mu_key {
    const void *data; /* NULL: the key is `integer` */
    size_t size;      /* of data; without data 0, or it is no key (MU_EINVAL) */
    int64_t integer;
} mu_key;

static inline mu_key mu_key_integer(int64_t integer)
{
    mu_key key = {NULL, 0, integer};
    return key;
}
/* `data` may be NULL only if `size` is 0: else it is no key, and what it is given to says so. */
static inline mu_key mu_key_bytes(const void *data, size_t size)
{
    mu_key key = {size ? data : "", size, 0};
    return key;
}
/* Of NULL it makes no key. */
static inline mu_key mu_key_string(const char *text)
{
    return mu_key_bytes(text, text ? strlen(text) : 1);
}
/* Same kind and same value; what is no key equals nothing. */
bool mu_key_equal(mu_key a, mu_key b);

/* ---- start and stop ----------------------------------------------------------------------------
 */

typedef enum mu_registry_keys { MU_KEYS_UNIQUE = 0, MU_KEYS_DUPLICATE = 1 } mu_registry_keys;

typedef struct mu_registry_options {
    size_t size; /* sizeof(mu_registry_options) */
    mu_registry_keys keys;
    /* Names of actors that get a notice of each change; one that is not there misses it. */
    const char *const *listeners;
    size_t n_listeners;
} mu_registry_options;

#define MU_REGISTRY_OPTIONS_INIT                                                                   \
    {                                                                                              \
        sizeof(mu_registry_options), MU_KEYS_UNIQUE, NULL, 0                                       \
    }

/*
 * `options` may be NULL. MU_EINVAL: an option is wrong, MU_ENOMEM; `ret_reason`, which may be NULL,
 * says which option and what is allowed.
 */
mu_err mu_registry_start(mu_system *system, const mu_registry_options *options,
                         mu_registry **ret_registry, mu_reason *ret_reason);

/*
 * Forgets all entries and frees the registry, which nobody may use any more. Before the system
 * stops or after it. NULL is allowed.
 */
void mu_registry_stop(mu_registry **take_registry);

/* What listeners get, as data of a message of these tags. */
#define MU_TAG_REGISTER   (MU_TAG_RESERVED | 16)
#define MU_TAG_UNREGISTER (MU_TAG_RESERVED | 17)
typedef struct mu_registry_notice {
    mu_registry *registry;
    mu_pid pid;
    void *value;
    mu_key key; /* lives as long as the message */
} mu_registry_notice;

/* ---- the caller's own entries
 * --------------------------------------------------------------------- */

/*
 * Registers the calling actor. MU_EALREADY_REGISTERED: a unique key has a holder, given in
 * *ret_holder (may be NULL), be it the caller. MU_EKILLED, MU_ENOMEM, MU_ENOTACTOR.
 */
mu_err mu_registry_register(mu_registry *registry, mu_key key, void *value, mu_pid *ret_holder);

/* Removes all of the caller's entries for the key. MU_OK also if there are none. */
mu_err mu_registry_unregister(mu_registry *registry, mu_key key);

/* True for the entries meant. */
typedef bool (*mu_registry_match_fn)(void *ctx, mu_key key, mu_pid pid, void *value);

/* The same for those of the caller's entries for the key that match. */
mu_err mu_registry_unregister_match(mu_registry *registry, mu_key key, mu_registry_match_fn match,
                                    void *ctx);

/*
 * Replaces the value of a key that the caller holds by what `update` makes of it; gives new and
 * old. MU_ENOTOWNER otherwise, MU_ENOTSUP with duplicate keys, MU_ENOMEM: `update` has not been
 * called. (One that gives the key up itself is called, and gets MU_ENOTOWNER too.)
 */
mu_err mu_registry_update_value(mu_registry *registry, mu_key key,
                                void *(*update)(void *ctx, void *value), void *ctx, void **ret_new,
                                void **ret_old);

/* ---- reading
 * ---------------------------------------------------------------------------------------- */

/* The holder of a unique key, or MU_PID_NONE. Takes no lock. */
mu_pid mu_registry_whereis(mu_registry *registry, mu_key key);

/* The same with its value. MU_ENOTFOUND, MU_ENOTSUP with duplicate keys. */
mu_err mu_registry_lookup_one(mu_registry *registry, mu_key key, mu_pid *ret_pid, void **ret_value);

typedef struct mu_registry_entry {
    mu_key key; /* lives as long as the list */
    mu_pid pid;
    void *value;
} mu_registry_entry;

/* All entries of a key. *ret_entries is NULL if there are none. MU_ENOMEM. */
mu_err mu_registry_lookup(mu_registry *registry, mu_key key, mu_registry_entry **ret_entries,
                          size_t *ret_count);
/* All entries of a holder: its keys, repeated where it has several entries, and their values. */
mu_err mu_registry_entries_of(mu_registry *registry, mu_pid holder, mu_registry_entry **ret_entries,
                              size_t *ret_count);
/* All entries that match; `key` NULL: of all keys. */
mu_err mu_registry_select(mu_registry *registry, const mu_key *key, mu_registry_match_fn match,
                          void *ctx, mu_registry_entry **ret_entries, size_t *ret_count);
void mu_registry_free(mu_registry_entry *entries);

/* The number of entries, and of those that match (`key` NULL: of all keys). MU_ENOMEM. */
size_t mu_registry_count(mu_registry *registry);
mu_err mu_registry_count_match(mu_registry *registry, const mu_key *key, mu_registry_match_fn match,
                               void *ctx, size_t *ret_count);

/*
 * Calls `fn` once with all entries of the key, in the calling thread, on a snapshot; not at all if
 * there are none. MU_ENOMEM: it was not called.
 */
mu_err mu_registry_dispatch(mu_registry *registry, mu_key key,
                            void (*fn)(void *ctx, const mu_registry_entry *entries, size_t count),
                            void *ctx);

/* ---- metadata
 * ----------------------------------------------------------------------------------------- */

/* Words beside the entries, by key. MU_ENOMEM; MU_ENOTFOUND. Deleting what is not there is MU_OK.
 */
mu_err mu_registry_put_meta(mu_registry *registry, mu_key key, void *value);
mu_err mu_registry_meta(mu_registry *registry, mu_key key, void **ret_value);
void mu_registry_delete_meta(mu_registry *registry, mu_key key);

/* ---- names for servers
 * ---------------------------------------------------------------------------------- */

/* A key of a unique registry as the name of a server to be started, with the entry's value. */
typedef struct mu_via {
    mu_registry *registry;
    mu_key key;
    void *value;
} mu_via;

MU_END_DECLS

#endif
