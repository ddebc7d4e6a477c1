/*
 * base/hash.h - a keyed hash function and an intrusive hash table; the only user of uthash.
 *
 * Names, references and ids are looked up by bytes. Some of those bytes come from outside, so every
 * table hashes with SipHash under a secret key: nobody can choose names that all meet in one
 * bucket. An object that stands in a table embeds a mu__table_entry; the table points at the
 * object's own key. uthash itself stays behind this page: its macros call exit() when memory is
 * short unless told otherwise, and bind to names in the scope that uses them.
 *
 *     struct named { mu__table_entry entry; char name[64]; };
 *     mu__table names;
 *     mu__table_init(&names, &mu__sys_real);
 *     err = mu__table_insert(&names, &n->entry, n->name, strlen(n->name));
 *     mu__table_entry *found = mu__table_find(&names, "x", 1);
 *     struct named *m = found ? MU__TABLE_OBJECT(found, struct named, entry) : NULL;
 *     mu__table_remove(&names, &n->entry);
 *
 * Thread-safety: none; the owner's lock guards a table.
 * Ownership: the table owns only its buckets. Objects are the caller's; an object and its key must
 * stay where they are, unchanged, as long as it stands in a table.
 */
#ifndef MU_BASE_HASH_H
#define MU_BASE_HASH_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <muster/error.h>

#include "base/sys.h"

typedef struct mu__hash_key {
    uint64_t k0, k1;
} mu__hash_key;

/* A secret that differs between processes and between values of `salt`. Never fails. */
mu__hash_key mu__hash_key_make(uint64_t salt);

/* SipHash-1-3 (Aumasson, Bernstein: "SipHash: a fast short-input PRF", 2012), as in CPython. */
uint64_t mu__hash_bytes(const mu__hash_key *key, const void *data, size_t size);

/* Eight bytes as a number, the first one lowest whatever the machine is. */
static inline uint64_t mu__load_word(const unsigned char *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return le64toh(word);
}
/* The same of up to seven bytes; with four or more by two loads that overlap. */
static inline uint64_t mu__load_tail(const unsigned char *p, size_t size)
{
    if (size >= 4) {
        uint32_t low, high;
        memcpy(&low, p, 4);
        memcpy(&high, p + size - 4, 4);
        return le32toh(low) | (uint64_t)le32toh(high) << (8 * (size - 4));
    }
    uint64_t word = size > 0 ? p[0] : 0;
    word |= size > 1 ? (uint64_t)p[1] << 8 : 0;
    return word | (size > 2 ? (uint64_t)p[2] << 16 : 0);
}

/* Storage for uthash's handle; see hash.c. Needs no initialisation. */
typedef struct mu__table_entry {
    _Alignas(void *) unsigned char handle[5 * sizeof(void *) + sizeof(void *) + 8];
} mu__table_entry;

/* The object that embeds `entry` as its member `member`. */
#define MU__TABLE_OBJECT(entry, type, member)                                                      \
    ((type *)(void *)((char *)(entry)-offsetof(type, member)))

typedef struct mu__table {
    void *head; /* the first entry in order of insertion; NULL: empty */
    const mu_sys *sys;
    mu__hash_key key;
} mu__table;

/* An empty table, which has allocated nothing. `sys` outlives it. */
void mu__table_init(mu__table *table, const mu_sys *sys);

/* Forgets all entries and releases the buckets. Call it while the objects are still there. */
void mu__table_deinit(mu__table *table);

/*
 * Puts `entry` under the `size` bytes at `key`, at most UINT32_MAX. MU_ENAMETAKEN if the key is
 * there already, MU_ENOMEM; on error the table is unchanged and the entry is in none.
 */
mu_err mu__table_insert(mu__table *table, mu__table_entry *entry, const void *key, size_t size);

/* The entry under this key, or NULL. */
mu__table_entry *mu__table_find(const mu__table *table, const void *key, size_t size);

/* Takes an entry, which must stand in this table, out of it. */
void mu__table_remove(mu__table *table, mu__table_entry *entry);

size_t mu__table_count(const mu__table *table);

/*
 * Iteration in order of insertion: entry NULL gives the first, the last gives NULL. To remove while
 * iterating, ask for the next entry first.
 */
mu__table_entry *mu__table_next(const mu__table *table, const mu__table_entry *entry);

/* The key under which `entry` stands, borrowed. */
const void *mu__table_key(const mu__table_entry *entry, size_t *ret_size);

#endif
