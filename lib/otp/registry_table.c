/* The hash table of a registry (registry_table.h). Called by registry.c alone. */
#include "otp/registry_table.h"

#include <stdlib.h>

#include "runtime/actor.h"

enum { CHUNK = 32, FIRST_LOG = 3, LINE = 64, ATTEMPTS = 8, CHECK_EVERY = 64 };
enum { INTEGER_KEY = 1, BYTES_KEY = 2, KIND_BITS = 2 };

/* Where the chains of a shard begin: a power of two of them. */
typedef _Atomic(mu__reg_entry *) bucket;
typedef struct buckets {
    bucket *heads; /* NULL: none yet */
    size_t mask;
} buckets;

#define LOAD_ACQUIRE(place) atomic_load_explicit(&(place), memory_order_acquire)
#define STORE(place, value) atomic_store_explicit(&(place), (value), memory_order_release)

/* ---- keys ------------------------------------------------------------------------------------ */

bool mu_key_equal(mu_key a, mu_key b)
{
    if (!mu__key_is_one(&a) || !mu__key_is_one(&b))
        return false;
    if (!a.data || !b.data)
        return !a.data && !b.data && a.integer == b.integer;
    return a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
}

uint64_t mu__reg_hash(const mu__reg_table *table, const mu_key *key)
{
    return key->data ? mu__hash_bytes(&table->secret, key->data, key->size)
                     : mu__hash_bytes(&table->secret, &key->integer, sizeof key->integer);
}

static uint64_t head_of(const mu_key *key)
{
    return key->data ? (uint64_t)key->size << KIND_BITS | BYTES_KEY
                     : (uint64_t)sizeof key->integer << KIND_BITS | INTEGER_KEY;
}

static bool is_short(uint64_t head)
{
    return head >> KIND_BITS <= MU__KEY_INLINE;
}

/* Word number `i` of a key's bytes; the last one is padded with zeros. */
static inline uint64_t word_of(const mu_key *key, size_t i)
{
    if (!key->data)
        return (uint64_t)key->integer;
    const unsigned char *p = (const unsigned char *)key->data + 8 * i;
    if (key->size - 8 * i < 8)
        return mu__load_tail(p, key->size - 8 * i);
    return mu__load_word(p);
}

static inline size_t words_in(uint64_t head)
{
    return (size_t)((head >> KIND_BITS) + 7) / 8;
}

static inline bool same_words(const mu__reg_entry *entry, const mu_key *key, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (LOAD_ACQUIRE(entry->words[i]) != word_of(key, i))
            return false;
    return true;
}

/* Under the lock. */
static bool has_key(const mu__reg_entry *entry, uint64_t hash, const mu_key *key)
{
    uint64_t head = head_of(key);
    if (LOAD_ACQUIRE(entry->hash) != hash || LOAD_ACQUIRE(entry->head) != head)
        return false;
    if (!is_short(head))
        return memcmp(entry->long_key, key->data, key->size) == 0;
    return same_words(entry, key, words_in(head));
}

mu_key mu__reg_key(const mu__reg_entry *entry, char buffer[MU__KEY_INLINE])
{
    uint64_t head = LOAD_ACQUIRE(entry->head);
    size_t size = (size_t)(head >> KIND_BITS);
    if (!is_short(head))
        return mu_key_bytes(entry->long_key, size);
    if (head & INTEGER_KEY)
        return mu_key_integer((int64_t)LOAD_ACQUIRE(entry->words[0]));
    for (size_t i = 0; i < words_in(head); i++) {
        uint64_t word = htole64(LOAD_ACQUIRE(entry->words[i]));
        memcpy(buffer + 8 * i, &word, 8);
    }
    return mu_key_bytes(buffer, size);
}

static uint64_t pack(mu_pid pid)
{
    return (uint64_t)pid.slot << 32 | pid.generation;
}

static mu_pid unpack(const mu__reg_table *table, uint64_t packed)
{
    return (mu_pid){table->system, (uint32_t)(packed >> 32), (uint32_t)packed};
}

mu_pid mu__reg_pid(const mu__reg_table *table, const mu__reg_entry *entry)
{
    return unpack(table, LOAD_ACQUIRE(entry->pid));
}

/* ---- shards ---------------------------------------------------------------------------------- */

static mu__reg_shard *shard_of(const mu__reg_table *table, uint64_t hash)
{
    return (mu__reg_shard *)&table->shards[hash % MU__REG_SHARDS];
}

static inline buckets buckets_of(const mu__reg_shard *shard)
{
    uintptr_t packed = LOAD_ACQUIRE(shard->buckets);
    return (buckets){(bucket *)(packed & ~(uintptr_t)(LINE - 1)),
                     ((size_t)1 << (packed & (LINE - 1))) - 1};
}

static inline bucket *head_in(buckets in, uint64_t hash)
{
    return in.heads + ((size_t)(hash / MU__REG_SHARDS) & in.mask);
}

/*
 * Zeroed memory that starts on a cache line and stays until the table goes, since a reader may be
 * in it as long as that; growing by doubling, what is left behind is less than what is in use.
 */
static void *stay(mu__reg_table *table, size_t size)
{
    mu__reg_block *block = table->sys->alloc(sizeof *block + LINE + size);
    if (!block)
        return NULL;
    block->next = table->blocks;
    table->blocks = block;
    return (void *)(((uintptr_t)(block + 1) + LINE - 1) & ~(uintptr_t)(LINE - 1));
}

/* From here to the end of the change readers of this shard know that they may see nonsense. */
static void begin_change(mu__reg_shard *shard)
{
    atomic_fetch_add_explicit(&shard->sequence, 1, memory_order_acq_rel);
}

static void end_change(mu__reg_shard *shard)
{
    atomic_fetch_add_explicit(&shard->sequence, 1, memory_order_release);
}

/* Puts an entry first in its chain. */
static void chain(buckets in, mu__reg_entry *entry)
{
    bucket *head = head_in(in, LOAD_ACQUIRE(entry->hash));
    mu__reg_entry *next = LOAD_ACQUIRE(*head);
    STORE(entry->next, next);
    if (next)
        next->place = &entry->next;
    entry->place = head;
    STORE(*head, entry);
}

static void unchain(mu__reg_entry *entry)
{
    mu__reg_entry *next = LOAD_ACQUIRE(entry->next);
    STORE(*entry->place, next);
    if (next)
        next->place = entry->place;
}

/* Turns a chain round, so that moving its entries to the front of others keeps their order. */
static mu__reg_entry *reversed(mu__reg_entry *entry)
{
    mu__reg_entry *done = NULL;
    while (entry) {
        mu__reg_entry *next = LOAD_ACQUIRE(entry->next);
        STORE(entry->next, done);
        done = entry;
        entry = next;
    }
    return done;
}

static void rehash(buckets from, buckets to)
{
    for (size_t i = 0; from.heads && i <= from.mask; i++) {
        mu__reg_entry *entry = reversed(LOAD_ACQUIRE(from.heads[i]));
        STORE(from.heads[i], NULL);
        while (entry) {
            mu__reg_entry *next = LOAD_ACQUIRE(entry->next);
            chain(to, entry);
            entry = next;
        }
    }
}

/* As many chains as entries, so that most have one. */
static bool make_room(mu__reg_table *table, mu__reg_shard *shard)
{
    buckets old = buckets_of(shard);
    if (old.heads && shard->count <= old.mask)
        return true;
    size_t log = old.heads ? (LOAD_ACQUIRE(shard->buckets) & (LINE - 1)) + 1 : FIRST_LOG;
    buckets fresh = {stay(table, sizeof(bucket) << log), ((size_t)1 << log) - 1};
    if (!fresh.heads)
        return old.heads != NULL; /* longer chains will do */
    begin_change(shard);
    rehash(old, fresh);
    STORE(shard->buckets, (uintptr_t)fresh.heads | log);
    end_change(shard);
    return true;
}

/* ---- reading without a lock ------------------------------------------------------------------ */

static mu__reg_peek_result peek_once(const mu__reg_table *table, uint64_t hash, const mu_key *key,
                                     mu_pid *ret_pid, void **ret_value)
{
    const mu__reg_shard *shard = shard_of(table, hash);
    uint32_t sequence = LOAD_ACQUIRE(shard->sequence);
    buckets in = buckets_of(shard);
    if (sequence & 1)
        return MU__REG_UNSURE;
    uint64_t head = head_of(key), pid = 0;
    void *value = NULL;
    bool found = false;
    const mu__reg_entry *entry = in.heads ? LOAD_ACQUIRE(*head_in(in, hash)) : NULL;
    for (unsigned n = 1; entry; n++, entry = LOAD_ACQUIRE(entry->next)) {
        found = LOAD_ACQUIRE(entry->hash) == hash && LOAD_ACQUIRE(entry->head) == head &&
                same_words(entry, key, words_in(head));
        if (found) {
            pid = LOAD_ACQUIRE(entry->pid);
            value = LOAD_ACQUIRE(entry->value);
            break;
        }
        /* A chain that is being changed may lead round in a circle. */
        if (n % CHECK_EVERY == 0 && LOAD_ACQUIRE(shard->sequence) != sequence)
            return MU__REG_UNSURE;
    }
    /* All loads above are acquiring, so this one is not before any of them. */
    if (LOAD_ACQUIRE(shard->sequence) != sequence)
        return MU__REG_UNSURE;
    if (!found)
        return MU__REG_MISSING;
    *ret_pid = unpack(table, pid);
    *ret_value = value;
    return MU__REG_FOUND;
}

mu__reg_peek_result mu__reg_peek(const mu__reg_table *table, uint64_t hash, const mu_key *key,
                                 mu_pid *ret_pid, void **ret_value)
{
    if (!is_short(head_of(key)))
        return MU__REG_UNSURE;
    for (int i = 0; i < ATTEMPTS; i++) {
        mu__reg_peek_result result = peek_once(table, hash, key, ret_pid, ret_value);
        if (result != MU__REG_UNSURE)
            return result;
    }
    return MU__REG_UNSURE;
}

/* ---- under the lock -------------------------------------------------------------------------- */

static mu__reg_entry *first_with_key(mu__reg_entry *entry, uint64_t hash, const mu_key *key)
{
    while (entry && !has_key(entry, hash, key))
        entry = LOAD_ACQUIRE(entry->next);
    return entry;
}

mu__reg_entry *mu__reg_find(const mu__reg_table *table, uint64_t hash, const mu_key *key)
{
    buckets in = buckets_of(shard_of(table, hash));
    return in.heads ? first_with_key(LOAD_ACQUIRE(*head_in(in, hash)), hash, key) : NULL;
}

mu__reg_entry *mu__reg_find_next(const mu__reg_entry *entry, uint64_t hash, const mu_key *key)
{
    return first_with_key(LOAD_ACQUIRE(entry->next), hash, key);
}

static mu__reg_entry *take_entry(mu__reg_table *table)
{
    if (!table->free_entries) {
        mu__reg_entry *fresh = stay(table, CHUNK * sizeof *fresh);
        for (size_t i = 0; fresh && i < CHUNK; i++) {
            fresh[i].next_free = table->free_entries;
            table->free_entries = &fresh[i];
        }
    }
    mu__reg_entry *entry = table->free_entries;
    if (entry)
        table->free_entries = entry->next_free;
    return entry;
}

static void give_entry(mu__reg_table *table, mu__reg_entry *entry)
{
    free(entry->long_key);
    entry->long_key = NULL;
    entry->next_free = table->free_entries;
    table->free_entries = entry;
}

static bool set_long_key(mu__reg_table *table, mu__reg_entry *entry, const mu_key *key)
{
    if (is_short(head_of(key)))
        return true;
    entry->long_key = table->sys->alloc(key->size);
    if (entry->long_key)
        memcpy(entry->long_key, key->data, key->size);
    return entry->long_key != NULL;
}

mu__reg_entry *mu__reg_insert(mu__reg_table *table, uint64_t hash, const mu_key *key, mu_pid pid,
                              void *value)
{
    mu__reg_shard *shard = shard_of(table, hash);
    mu__reg_entry *entry = make_room(table, shard) ? take_entry(table) : NULL;
    if (!entry)
        return NULL;
    if (!set_long_key(table, entry, key)) {
        give_entry(table, entry);
        return NULL;
    }
    size_t n = entry->long_key ? 0 : words_in(head_of(key));
    /* The entry may have been another's a moment ago: a reader may be looking at it. */
    begin_change(shard);
    STORE(entry->hash, hash);
    STORE(entry->head, head_of(key));
    for (size_t i = 0; i < n; i++)
        STORE(entry->words[i], word_of(key, i));
    STORE(entry->pid, pack(pid));
    STORE(entry->value, value);
    chain(buckets_of(shard), entry);
    end_change(shard);
    shard->count++;
    table->count++;
    return entry;
}

void mu__reg_remove(mu__reg_table *table, mu__reg_entry *entry)
{
    mu__reg_shard *shard = shard_of(table, LOAD_ACQUIRE(entry->hash));
    begin_change(shard);
    unchain(entry);
    end_change(shard);
    shard->count--;
    table->count--;
    give_entry(table, entry);
}

void mu__reg_set_value(mu__reg_entry *entry, void *value)
{
    STORE(entry->value, value); /* one word: it is the old one or the new one */
}

static mu__reg_entry *first_from(const mu__reg_table *table, size_t shard, size_t place)
{
    for (; shard < MU__REG_SHARDS; shard++, place = 0) {
        buckets in = buckets_of(&table->shards[shard]);
        for (; in.heads && place <= in.mask; place++) {
            mu__reg_entry *entry = LOAD_ACQUIRE(in.heads[place]);
            if (entry)
                return entry;
        }
    }
    return NULL;
}

mu__reg_entry *mu__reg_next(const mu__reg_table *table, const mu__reg_entry *entry)
{
    if (!entry)
        return first_from(table, 0, 0);
    mu__reg_entry *next = LOAD_ACQUIRE(entry->next);
    if (next)
        return next;
    uint64_t hash = LOAD_ACQUIRE(entry->hash);
    buckets in = buckets_of(shard_of(table, hash));
    size_t place = (size_t)(head_in(in, hash) - in.heads);
    return first_from(table, (size_t)(hash % MU__REG_SHARDS), place + 1);
}

mu_err mu__reg_table_init(mu__reg_table *table, mu_system *system)
{
    table->system = system;
    table->sys = mu__sys(system);
    table->secret = mu__hash_key_make((uint64_t)(uintptr_t)table);
    table->shards = stay(table, MU__REG_SHARDS * sizeof *table->shards);
    return table->shards ? MU_OK : MU_ENOMEM;
}

void mu__reg_table_deinit(mu__reg_table *table)
{
    for (mu__reg_entry *e = table->shards ? mu__reg_next(table, NULL) : NULL, *next; e; e = next) {
        next = mu__reg_next(table, e);
        free(e->long_key);
    }
    while (table->blocks) {
        mu__reg_block *block = table->blocks;
        table->blocks = block->next;
        free(block);
    }
}
