/*
 * otp/registry_table.h - the hash table of a registry: one writer at a time, readers without a
 * lock.
 *
 * Lookups from many threads have to scale, and a lock, even one that is only read-locked, is a
 * cache line that travels between the processors at each lookup. So a reader writes nothing: it
 * reads a shard's sequence number, walks the chain, and reads the number again; if a writer was
 * there in between it tries again, and after some attempts takes the writers' lock. (This is the
 * kernel's seqlock.) For that entries and bucket arrays are never freed before the table is, all
 * that a reader looks at is atomic, and what it found counts only if the number has not changed.
 * Keys longer than MU__KEY_INLINE bytes live outside the entry, and only a writer may follow them.
 *
 *     writer, under the registry's lock:  e = mu__reg_insert(&table, hash, key, pid, value);
 *                                         mu__reg_remove(&table, e);
 *     anybody:                            mu__reg_peek(&table, hash, key, &pid, &value)
 *
 * Thread-safety: peek from any thread; everything else by the holder of the registry's lock.
 * Ownership: the table owns its entries; what a value points at is the user's.
 */
#ifndef MU_OTP_REGISTRY_TABLE_H
#define MU_OTP_REGISTRY_TABLE_H

#include <muster/registry.h>
#include <stdatomic.h>

#include "base/hash.h"
#include "base/sys.h"

enum { MU__KEY_WORDS = 5, MU__KEY_INLINE = MU__KEY_WORDS * 8, MU__REG_SHARDS = 64 };

struct mu__reg_holder;

typedef struct mu__reg_entry {
    /* Read without a lock. With a key of up to 24 bytes all of it lies in one cache line. */
    _Alignas(64) _Atomic(struct mu__reg_entry *) next;
    _Atomic uint64_t hash;
    _Atomic uint64_t head; /* kind and size of the key: head_of() */
    _Atomic uint64_t pid;  /* slot << 32 | generation */
    _Atomic(void *) value;
    _Atomic uint64_t words[MU__KEY_WORDS]; /* the key itself, if it is short */

    /* Under the lock. */
    _Atomic(struct mu__reg_entry *) *place; /* who points at this in its chain */
    void *long_key;                         /* owned; NULL: the key is in `words` */
    struct mu__reg_holder *holder;
    struct mu__reg_entry *holder_next, **holder_place;
    struct mu__reg_entry *next_free;
} mu__reg_entry;

typedef struct mu__reg_shard {
    _Alignas(64) _Atomic uint32_t sequence; /* odd: a writer is at it */
    _Atomic uintptr_t buckets; /* where the chains begin | logarithm of how many; 0: none yet */
    size_t count;
} mu__reg_shard;

/* A block that stays until the table goes, for readers that may still be in it. */
typedef struct mu__reg_block {
    struct mu__reg_block *next;
} mu__reg_block;

typedef struct mu__reg_table {
    mu_system *system;
    const mu_sys *sys;
    mu__hash_key secret;
    mu__reg_entry *free_entries;
    mu__reg_block *blocks; /* of entries and buckets */
    size_t count;
    mu__reg_shard *shards; /* MU__REG_SHARDS of them */
} mu__reg_table;

typedef enum mu__reg_peek_result {
    MU__REG_FOUND,
    MU__REG_MISSING,
    MU__REG_UNSURE
} mu__reg_peek_result;

/* MU_ENOMEM: nothing to deinit, though it is allowed. */
mu_err mu__reg_table_init(mu__reg_table *table, mu_system *system);
void mu__reg_table_deinit(mu__reg_table *table);

/* False: made of NULL by mistake. The functions below take keys that are keys. */
static inline bool mu__key_is_one(const mu_key *key)
{
    return key->data || key->size == 0;
}

/* Keys come by pointer here: a lookup is little more than its loads. */
uint64_t mu__reg_hash(const mu__reg_table *table, const mu_key *key);

/* UNSURE: only the lock can tell. */
mu__reg_peek_result mu__reg_peek(const mu__reg_table *table, uint64_t hash, const mu_key *key,
                                 mu_pid *ret_pid, void **ret_value);

/* The first entry of a key, newest first, and the one after; or NULL. */
mu__reg_entry *mu__reg_find(const mu__reg_table *table, uint64_t hash, const mu_key *key);
mu__reg_entry *mu__reg_find_next(const mu__reg_entry *entry, uint64_t hash, const mu_key *key);

/* Adds an entry, also if the key has some; NULL: no memory. */
mu__reg_entry *mu__reg_insert(mu__reg_table *table, uint64_t hash, const mu_key *key, mu_pid pid,
                              void *value);
void mu__reg_remove(mu__reg_table *table, mu__reg_entry *entry);
void mu__reg_set_value(mu__reg_entry *entry, void *value);

/* Iteration over all entries, NULL first and last. To remove one, ask for the next first. */
mu__reg_entry *mu__reg_next(const mu__reg_table *table, const mu__reg_entry *entry);

/* An entry's parts. The key is borrowed and may use `buffer` for its bytes. */
mu_key mu__reg_key(const mu__reg_entry *entry, char buffer[MU__KEY_INLINE]);
mu_pid mu__reg_pid(const mu__reg_table *table, const mu__reg_entry *entry);

#endif
