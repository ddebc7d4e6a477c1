/* The hash table of a registry (registry_table.h). Called by registry.c alone. */
#include "otp/registry_table.h"

#include <stdlib.h>

#include "runtime/actor.h"

enum { CHUNK = 32, FIRST_BUCKETS = 8, LOAD = 2, ATTEMPTS = 8, CHECK_EVERY = 64 };
enum { INTEGER_KEY = 1, BYTES_KEY = 2, KIND_BITS = 2 };

typedef struct chunk {
    struct chunk *next;
    mu__reg_entry entries[CHUNK];
} chunk;

#define LOAD_ACQUIRE(place) atomic_load_explicit(&(place), memory_order_acquire)
#define STORE(place, value) atomic_store_explicit(&(place), (value), memory_order_release)

/* ---- keys
 * -----------------------------------------------------------------------------------------------
 */

bool mu_key_equal(mu_key a, mu_key b)
{
    if (!a.data || !b.data)
        return !a.data && !b.data && a.integer == b.integer;
    return a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
}

uint64_t mu__reg_hash(const mu__reg_table *table, mu_key key)
{
    return key.data ? mu__hash_bytes(&table->secret, key.data, key.size)
                    : mu__hash_bytes(&table->secret, &key.integer, sizeof key.integer);
}

static uint64_t head_of(mu_key key)
{
    return key.data ? (uint64_t)key.size << KIND_BITS | BYTES_KEY
                    : (uint64_t)sizeof key.integer << KIND_BITS | INTEGER_KEY;
}

static bool is_short(uint64_t head)
{
    return head >> KIND_BITS <= MU__KEY_INLINE;
}

/* The bytes of a short key, padded with zeros. */
static void words_of(mu_key key, uint64_t words[MU__KEY_WORDS])
{
    memset(words, 0, MU__KEY_INLINE);
    if (key.data)
        memcpy(words, key.data, key.size);
    else
        memcpy(words, &key.integer, sizeof key.integer);
}

static bool same_words(const mu__reg_entry *entry, const uint64_t words[MU__KEY_WORDS])
{
    for (int i = 0; i < MU__KEY_WORDS; i++)
        if (LOAD_ACQUIRE(entry->words[i]) != words[i])
            return false;
    return true;
}

/* Under the lock. */
static bool has_key(const mu__reg_entry *entry, uint64_t hash, mu_key key)
{
    uint64_t head = head_of(key);
    if (LOAD_ACQUIRE(entry->hash) != hash || LOAD_ACQUIRE(entry->head) != head)
        return false;
    if (!is_short(head))
        return memcmp(entry->long_key, key.data, key.size) == 0;
    uint64_t words[MU__KEY_WORDS];
    words_of(key, words);
    return same_words(entry, words);
}

mu_key mu__reg_key(const mu__reg_entry *entry, char buffer[MU__KEY_INLINE])
{
    uint64_t head = LOAD_ACQUIRE(entry->head);
    size_t size = (size_t)(head >> KIND_BITS);
    if (!is_short(head))
        return mu_key_bytes(entry->long_key, size);
    uint64_t words[MU__KEY_WORDS];
    for (int i = 0; i < MU__KEY_WORDS; i++)
        words[i] = LOAD_ACQUIRE(entry->words[i]);
    memcpy(buffer, words, MU__KEY_INLINE);
    if ((head & INTEGER_KEY) == 0)
        return mu_key_bytes(buffer, size);
    int64_t integer;
    memcpy(&integer, buffer, sizeof integer);
    return mu_key_integer(integer);
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

/* ---- shards ---- */

static mu__reg_shard *shard_of(const mu__reg_table *table, uint64_t hash)
{
    return (mu__reg_shard *)&table->shards[hash % MU__REG_SHARDS];
}

static size_t bucket_of(const mu__reg_buckets *buckets, uint64_t hash)
{
    return (size_t)(hash / MU__REG_SHARDS) & buckets->mask;
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
static void chain(mu__reg_buckets *buckets, mu__reg_entry *entry)
{
    _Atomic(mu__reg_entry *) *head = &buckets->heads[bucket_of(buckets, LOAD_ACQUIRE(entry->hash))];
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

static void rehash(mu__reg_buckets *from, mu__reg_buckets *to)
{
    for (size_t i = 0; i <= from->mask; i++) {
        mu__reg_entry *entry = reversed(LOAD_ACQUIRE(from->heads[i]));
        STORE(from->heads[i], NULL);
        while (entry) {
            mu__reg_entry *next = LOAD_ACQUIRE(entry->next);
            chain(to, entry);
            entry = next;
        }
    }
}

static bool make_room(mu__reg_table *table, mu__reg_shard *shard)
{
    mu__reg_buckets *old = LOAD_ACQUIRE(shard->buckets);
    size_t n = old ? old->mask + 1 : 0;
    if (shard->count < n * LOAD)
        return true;
    size_t more = n ? 2 * n : FIRST_BUCKETS;
    mu__reg_buckets *fresh = table->sys->alloc(sizeof *fresh + more * sizeof fresh->heads[0]);
    if (!fresh)
        return n > 0; /* longer chains will do */
    fresh->older = old;
    fresh->mask = more - 1;
    begin_change(shard);
    if (old)
        rehash(old, fresh);
    STORE(shard->buckets, fresh);
    end_change(shard);
    return true;
}

/* ---- reading without a lock ---- */

static mu__reg_peek_result peek_once(const mu__reg_table *table, uint64_t hash, mu_key key,
                                     mu_pid *ret_pid, void **ret_value)
{
    const mu__reg_shard *shard = shard_of(table, hash);
    uint32_t sequence = LOAD_ACQUIRE(shard->sequence);
    const mu__reg_buckets *buckets = LOAD_ACQUIRE(shard->buckets);
    if (sequence & 1)
        return MU__REG_UNSURE;
    uint64_t head = head_of(key), words[MU__KEY_WORDS], pid = 0;
    void *value = NULL;
    bool found = false;
    words_of(key, words);
    const mu__reg_entry *entry =
        buckets ? LOAD_ACQUIRE(buckets->heads[bucket_of(buckets, hash)]) : NULL;
    for (unsigned n = 1; entry && !found; n++) {
        found = LOAD_ACQUIRE(entry->hash) == hash && LOAD_ACQUIRE(entry->head) == head &&
                same_words(entry, words);
        pid = LOAD_ACQUIRE(entry->pid);
        value = LOAD_ACQUIRE(entry->value);
        entry = LOAD_ACQUIRE(entry->next);
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

mu__reg_peek_result mu__reg_peek(const mu__reg_table *table, uint64_t hash, mu_key key,
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

/* ---- under the lock ---- */

static mu__reg_entry *first_with_key(mu__reg_entry *entry, uint64_t hash, mu_key key)
{
    while (entry && !has_key(entry, hash, key))
        entry = LOAD_ACQUIRE(entry->next);
    return entry;
}

mu__reg_entry *mu__reg_find(const mu__reg_table *table, uint64_t hash, mu_key key)
{
    const mu__reg_buckets *buckets = LOAD_ACQUIRE(shard_of(table, hash)->buckets);
    if (!buckets)
        return NULL;
    return first_with_key(LOAD_ACQUIRE(buckets->heads[bucket_of(buckets, hash)]), hash, key);
}

mu__reg_entry *mu__reg_find_next(const mu__reg_entry *entry, uint64_t hash, mu_key key)
{
    return first_with_key(LOAD_ACQUIRE(entry->next), hash, key);
}

static mu__reg_entry *take_entry(mu__reg_table *table)
{
    if (!table->free_entries) {
        chunk *c = table->sys->alloc(sizeof *c);
        if (!c)
            return NULL;
        c->next = table->chunks;
        table->chunks = c;
        for (size_t i = 0; i < CHUNK; i++) {
            c->entries[i].next_free = table->free_entries;
            table->free_entries = &c->entries[i];
        }
    }
    mu__reg_entry *entry = table->free_entries;
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

static bool set_long_key(mu__reg_table *table, mu__reg_entry *entry, mu_key key)
{
    if (is_short(head_of(key)))
        return true;
    entry->long_key = table->sys->alloc(key.size);
    if (entry->long_key)
        memcpy(entry->long_key, key.data, key.size);
    return entry->long_key != NULL;
}

mu__reg_entry *mu__reg_insert(mu__reg_table *table, uint64_t hash, mu_key key, mu_pid pid,
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
    uint64_t words[MU__KEY_WORDS] = {0};
    if (!entry->long_key)
        words_of(key, words);
    /* The entry may have been another's a moment ago: a reader may be looking at it. */
    begin_change(shard);
    STORE(entry->hash, hash);
    STORE(entry->head, head_of(key));
    for (int i = 0; i < MU__KEY_WORDS; i++)
        STORE(entry->words[i], words[i]);
    STORE(entry->pid, pack(pid));
    STORE(entry->value, value);
    chain(LOAD_ACQUIRE(shard->buckets), entry);
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

static mu__reg_entry *first_from(const mu__reg_table *table, size_t shard, size_t bucket)
{
    for (; shard < MU__REG_SHARDS; shard++, bucket = 0) {
        const mu__reg_buckets *buckets = LOAD_ACQUIRE(table->shards[shard].buckets);
        for (; buckets && bucket <= buckets->mask; bucket++) {
            mu__reg_entry *entry = LOAD_ACQUIRE(buckets->heads[bucket]);
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
    const mu__reg_buckets *buckets = LOAD_ACQUIRE(shard_of(table, hash)->buckets);
    return first_from(table, (size_t)(hash % MU__REG_SHARDS), bucket_of(buckets, hash) + 1);
}

void mu__reg_table_init(mu__reg_table *table, mu_system *system)
{
    table->system = system;
    table->sys = mu__sys(system);
    table->secret = mu__hash_key_make((uint64_t)(uintptr_t)table);
}

void mu__reg_table_deinit(mu__reg_table *table)
{
    for (size_t i = 0; i < MU__REG_SHARDS; i++) {
        mu__reg_buckets *buckets = LOAD_ACQUIRE(table->shards[i].buckets);
        while (buckets) {
            mu__reg_buckets *older = buckets->older;
            free(buckets);
            buckets = older;
        }
    }
    for (chunk *c = table->chunks; c;) {
        chunk *next = c->next;
        for (size_t i = 0; i < CHUNK; i++)
            free(c->entries[i].long_key);
        free(c);
        c = next;
    }
}
