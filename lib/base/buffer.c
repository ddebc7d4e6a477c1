/* Growable bytes (base/buffer.h). Called by values and by the port's frames; calls base/sys.h. */
#include "base/buffer.h"

#include <stdlib.h>

#define FIRST_CAPACITY 128

static size_t next_capacity(size_t capacity, size_t needed);

void mu__buffer_init(mu__buffer *buffer, const mu_sys *sys, size_t max)
{
    *buffer = (mu__buffer){.max = max, .sys = sys};
}

void mu__buffer_deinit(mu__buffer *buffer)
{
    if (!buffer)
        return;
    free(buffer->block);
    mu__buffer_init(buffer, buffer->sys, buffer->max);
}

mu_err mu__buffer_grow(mu__buffer *buffer, size_t extra)
{
    size_t size = mu__buffer_size(buffer);
    if (extra > buffer->max - size)
        return MU_ETOOBIG;

    /* Consumed bytes are reused when they are half the block: amortised, a byte moves once. */
    if (buffer->start >= buffer->capacity - buffer->start && size + extra <= buffer->capacity) {
        memmove(buffer->block, mu__buffer_data(buffer), size);
        buffer->start = 0;
        buffer->end = size;
        return MU_OK;
    }
    if (extra > SIZE_MAX / 2 - buffer->end)
        return MU_ENOMEM;
    size_t capacity = next_capacity(buffer->capacity, buffer->end + extra);
    unsigned char *block = buffer->sys->resize(buffer->block, capacity);
    if (!block)
        return MU_ENOMEM;
    buffer->block = block;
    buffer->capacity = capacity;
    return MU_OK;
}

mu_err mu__buffer_insert(mu__buffer *buffer, size_t offset, const void *data, size_t size)
{
    mu_err err = mu__buffer_reserve(buffer, size);
    if (err != MU_OK)
        return err;
    unsigned char *at = mu__buffer_data(buffer) + offset;
    memmove(at + size, at, mu__buffer_size(buffer) - offset);
    memcpy(at, data, size);
    buffer->end += size;
    return MU_OK;
}

void mu__buffer_consume(mu__buffer *buffer, size_t size)
{
    buffer->start += size;
    if (buffer->start == buffer->end)
        buffer->start = buffer->end = 0;
}

void mu__buffer_trim(mu__buffer *buffer, size_t keep)
{
    if (mu__buffer_size(buffer) == 0 && buffer->capacity > keep)
        mu__buffer_deinit(buffer);
}

static size_t next_capacity(size_t capacity, size_t needed)
{
    if (capacity < FIRST_CAPACITY)
        capacity = FIRST_CAPACITY;
    while (capacity < needed)
        capacity *= 2;
    return capacity;
}
