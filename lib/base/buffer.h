/*
 * base/buffer.h - a growable run of bytes with an upper limit.
 *
 * Bytes are added at the end and consumed at the front. Memory grows by doubling as bytes arrive
 * and never on somebody's announcement; beyond `max` live bytes the answer is MU_ETOOBIG. A failed
 * call leaves the contents as they were.
 *
 *     mu__buffer in;
 *     mu__buffer_init(&in, &mu__sys_real, 64 << 20);
 *     if ((err = mu__buffer_reserve(&in, 4096)) == MU_OK)
 *         mu__buffer_commit(&in, read_some(mu__buffer_end(&in), 4096));
 *     mu__buffer_consume(&in, used);
 *     mu__buffer_deinit(&in);
 *
 * Thread-safety: none; one user at a time. Ownership: the buffer owns its memory; pointers into it
 * hold until the next call that adds bytes.
 */
#ifndef MU_BASE_BUFFER_H
#define MU_BASE_BUFFER_H

#include <stddef.h>
#include <string.h>
#include <muster/error.h>

#include "base/sys.h"

typedef struct mu__buffer {
    unsigned char *block; /* NULL while capacity is 0 */
    size_t start;         /* the first live byte */
    size_t end;           /* behind the last one */
    size_t capacity;
    size_t max; /* most live bytes */
    const mu_sys *sys;
} mu__buffer;

/* An empty buffer that has allocated nothing. `sys` outlives it. */
void mu__buffer_init(mu__buffer *buffer, const mu_sys *sys, size_t max);

/* Releases the memory; the buffer stays usable and empty. NULL is allowed. */
void mu__buffer_deinit(mu__buffer *buffer);

static inline unsigned char *mu__buffer_data(const mu__buffer *buffer)
{
    return buffer->block + buffer->start;
}
static inline size_t mu__buffer_size(const mu__buffer *buffer)
{
    return buffer->end - buffer->start;
}
/* Where the next bytes go, and how many fit there without another reserve. */
static inline unsigned char *mu__buffer_end(const mu__buffer *buffer)
{
    return buffer->block + buffer->end;
}
static inline size_t mu__buffer_room(const mu__buffer *buffer)
{
    return buffer->capacity - buffer->end;
}

/* The slow half of mu__buffer_reserve. */
mu_err mu__buffer_grow(mu__buffer *buffer, size_t extra);

/* Makes room for `extra` more bytes at the end. MU_ENOMEM, MU_ETOOBIG. */
static inline mu_err mu__buffer_reserve(mu__buffer *buffer, size_t extra)
{
    if (extra <= mu__buffer_room(buffer) && extra <= buffer->max - mu__buffer_size(buffer))
        return MU_OK;
    return mu__buffer_grow(buffer, extra);
}

/* `size` bytes written at mu__buffer_end, at most mu__buffer_room, now count. */
static inline void mu__buffer_commit(mu__buffer *buffer, size_t size)
{
    buffer->end += size;
}

/* Copies `size` bytes to the end. `data` may be NULL if size is 0. MU_ENOMEM, MU_ETOOBIG. */
static inline mu_err mu__buffer_append(mu__buffer *buffer, const void *data, size_t size)
{
    mu_err err = mu__buffer_reserve(buffer, size);
    if (err != MU_OK)
        return err;
    if (size > 0)
        memcpy(mu__buffer_end(buffer), data, size);
    buffer->end += size;
    return MU_OK;
}

/* Inserts `size` bytes in front of the live byte number `offset`. MU_ENOMEM, MU_ETOOBIG. */
mu_err mu__buffer_insert(mu__buffer *buffer, size_t offset, const void *data, size_t size);

/* Drops `size` bytes, at most all, from the front. Moves nothing. */
void mu__buffer_consume(mu__buffer *buffer, size_t size);

/* Drops everything behind the first `size` live bytes. */
static inline void mu__buffer_truncate(mu__buffer *buffer, size_t size)
{
    buffer->end = buffer->start + size;
}

/* Gives the memory back if the buffer is empty and holds more than `keep` bytes of it. */
void mu__buffer_trim(mu__buffer *buffer, size_t keep);

#endif
