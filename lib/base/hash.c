/* Keyed hashing and tables (base/hash.h). Called by every floor; calls uthash and base/sys.h. */
#include "base/hash.h"

#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

/*
 * uthash expands these in the functions below: memory comes from the table's own allocator, and a
 * failure is reported into the variable `oomed` instead of ending the process.
 */
#define uthash_malloc(size)      table->sys->alloc(size)
#define uthash_free(block, size) free(block)
#define HASH_NONFATAL_OOM        1
#define uthash_nonfatal_oom(entry)                                                                 \
    do {                                                                                           \
        oomed = true;                                                                              \
    } while (0)
#include <uthash.h>

#include <stdbool.h>

/*
 * An entry as uthash sees it. The public type is a run of characters, through which C lets an
 * object of any type be stored, so that hash.h need not show uthash.h to all who include it.
 */
typedef struct node {
    UT_hash_handle hh;
} node;
_Static_assert(sizeof(node) == sizeof(mu__table_entry), "hash.h reserves uthash's handle");
_Static_assert(_Alignof(node) <= _Alignof(mu__table_entry), "hash.h aligns uthash's handle");

/* ---- SipHash ------------------------------------------------------------------------------- */

#define ROTATE(x, bits) (((x) << (bits)) | ((x) >> (64 - (bits))))

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = ROTATE(v[1], 13) ^ v[0];
    v[0] = ROTATE(v[0], 32);
    v[2] += v[3];
    v[3] = ROTATE(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = ROTATE(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = ROTATE(v[1], 17) ^ v[2];
    v[2] = ROTATE(v[2], 32);
}

uint64_t mu__hash_bytes(const mu__hash_key *key, const void *data, size_t size)
{
    const unsigned char *p = data;
    uint64_t v[4] = {key->k0 ^ UINT64_C(0x736f6d6570736575), key->k1 ^ UINT64_C(0x646f72616e646f6d),
                     key->k0 ^ UINT64_C(0x6c7967656e657261),
                     key->k1 ^ UINT64_C(0x7465646279746573)};
    uint64_t word;

    for (size_t left = size; left >= 8; left -= 8, p += 8) {
        word = mu__load_word(p);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    word = (uint64_t)size << 56 | mu__load_tail(p, size % 8);
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

mu__hash_key mu__hash_key_make(uint64_t salt)
{
    /*
     * The kernel gives every new program 16 random bytes. They are only ever hashed, never shown,
     * and unlike getrandom reading them can neither fail nor block.
     */
    mu__hash_key secret = {0, 0};
    const void *random = (const void *)getauxval(AT_RANDOM);
    if (random)
        memcpy(&secret, random, sizeof secret);

    uint64_t salts[2] = {salt, 0};
    mu__hash_key key;
    key.k0 = mu__hash_bytes(&secret, salts, sizeof salts);
    salts[1] = 1;
    key.k1 = mu__hash_bytes(&secret, salts, sizeof salts);
    return key;
}

/* ---- tables -------------------------------------------------------------------------------- */

static unsigned hash_of(const mu__table *table, const void *key, size_t size)
{
    return (unsigned)mu__hash_bytes(&table->key, key, size);
}

void mu__table_init(mu__table *table, const mu_sys *sys)
{
    *table = (mu__table){NULL, sys, mu__hash_key_make((uintptr_t)table)};
}

void mu__table_deinit(mu__table *table)
{
    node *head = table->head;
    if (!head)
        return;
    HASH_CLEAR(hh, head);
    table->head = NULL;
}

mu_err mu__table_insert(mu__table *table, mu__table_entry *entry, const void *key, size_t size)
{
    bool oomed = false;
    node *head = table->head;
    node *new = (node *)(void *)entry;
    unsigned hash = hash_of(table, key, size);
    node *old;

    if (size > UINT32_MAX)
        return MU_EINVAL;
    HASH_FIND_BYHASHVALUE(hh, head, key, (unsigned)size, hash, old);
    if (old)
        return MU_ENAMETAKEN;
    HASH_ADD_KEYPTR_BYHASHVALUE(hh, head, key, size, hash, new);
    table->head = head;
    return oomed ? MU_ENOMEM : MU_OK;
}

mu__table_entry *mu__table_find(const mu__table *table, const void *key, size_t size)
{
    node *head = table->head;
    node *found = NULL;
    if (head && size <= UINT32_MAX) {
        unsigned hash = hash_of(table, key, size);
        HASH_FIND_BYHASHVALUE(hh, head, key, (unsigned)size, hash, found);
    }
    return (mu__table_entry *)(void *)found;
}

void mu__table_remove(mu__table *table, mu__table_entry *entry)
{
    node *head = table->head;
    node *old = (node *)(void *)entry;
    HASH_DELETE(hh, head, old);
    table->head = head;
}

size_t mu__table_count(const mu__table *table)
{
    const node *head = table->head;
    return head ? head->hh.tbl->num_items : 0;
}

mu__table_entry *mu__table_next(const mu__table *table, const mu__table_entry *entry)
{
    if (!entry)
        return table->head;
    return ((const node *)(const void *)entry)->hh.next;
}

const void *mu__table_key(const mu__table_entry *entry, size_t *ret_size)
{
    const node *n = (const node *)(const void *)entry;
    *ret_size = n->hh.keylen;
    return n->hh.key;
}
