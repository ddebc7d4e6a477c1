/*
 * Terminated copies of a value's strings, for mu_value_str. Called by value.c; calls libc only.
 *
 * msgpack's strings have no terminator and a value's bytes never change, so a string that somebody
 * wants terminated is copied, once, into a table that hangs on the block and goes with it. The
 * table has chains by place, enough of them for the size of the value, so that asking for every
 * string of a large one stays linear. Copies are only ever added, at the head of a chain, so
 * readers need no lock. Two threads that ask for the same string first may both add one; both last.
 */
#include "base/value.h"

#include <stdlib.h>

#define BYTES_PER_CHAIN 32
#define MAX_CHAINS      (1u << 20)

typedef struct text {
    struct text *next;
    const void *source;
    char bytes[]; /* terminated */
} text;

typedef struct mu__value_texts {
    size_t chain_count;
    _Atomic(text *) chains[];
} texts;

static texts *table_of(mu__value_block *block);

const char *mu__value_text(mu__value_block *block, const void *source, size_t size)
{
    texts *table = table_of(block);
    if (!table)
        return NULL;
    size_t place = (size_t)((const char *)source - (const char *)(block + 1));
    _Atomic(text *) *chain = &table->chains[place / BYTES_PER_CHAIN % table->chain_count];
    text *head = atomic_load_explicit(chain, memory_order_acquire);

    for (text *old = head; old; old = old->next)
        if (old->source == source)
            return old->bytes;
    text *new = block->sys->resize(NULL, sizeof *new + size + 1);
    if (!new)
        return NULL;
    new->source = source;
    memcpy(new->bytes, source, size);
    new->bytes[size] = '\0';
    new->next = head;
    while (!atomic_compare_exchange_weak_explicit(chain, &new->next, new, memory_order_acq_rel,
                                                  memory_order_acquire)) {
    }
    return new->bytes;
}

void mu__value_texts_free(mu__value_block *block)
{
    texts *table = atomic_load_explicit(&block->texts, memory_order_acquire);

    if (!table)
        return;
    for (size_t i = 0; i < table->chain_count; i++) {
        text *next;
        for (text *old = table->chains[i]; old; old = next) {
            next = old->next;
            free(old);
        }
    }
    free(table);
}

/* The block's table, made by whoever comes first. */
static texts *table_of(mu__value_block *block)
{
    texts *table = atomic_load_explicit(&block->texts, memory_order_acquire);
    if (table)
        return table;

    size_t count = block->size / BYTES_PER_CHAIN + 1;
    if (count > MAX_CHAINS)
        count = MAX_CHAINS;
    texts *new = block->sys->alloc(sizeof *new + count * sizeof new->chains[0]);
    if (!new)
        return NULL;
    new->chain_count = count;
    if (atomic_compare_exchange_strong_explicit(&block->texts, &table, new, memory_order_acq_rel,
                                                memory_order_acquire))
        return new;
    free(new);
    return table;
}
