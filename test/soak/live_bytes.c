/* See live_bytes.h; glibc's manual, "Replacing malloc", says what has to be replaced together. */
#include "soak/live_bytes.h"

#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stddef.h>

#include "support/mu_test.h"

static _Atomic int64_t bytes;

int64_t live_bytes(void)
{
    return atomic_load(&bytes);
}

#if !MU_TEST_SANITIZED

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *block);

static void *count(void *block)
{
    atomic_fetch_add_explicit(&bytes, (int64_t)malloc_usable_size(block), memory_order_relaxed);
    return block;
}

void *malloc(size_t size)
{
    return count(__libc_malloc(size));
}

void *calloc(size_t n, size_t size)
{
    return count(__libc_calloc(n, size));
}

void *realloc(void *block, size_t size)
{
    int64_t before = (int64_t)malloc_usable_size(block);
    void *after = __libc_realloc(block, size);
    if (!after && size > 0)
        return NULL; /* the block is still there */
    atomic_fetch_sub_explicit(&bytes, before, memory_order_relaxed);
    return count(after);
}

void *memalign(size_t alignment, size_t size)
{
    return count(__libc_memalign(alignment, size));
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return count(__libc_memalign(alignment, size));
}

int posix_memalign(void **ret_block, size_t alignment, size_t size)
{
    void *block = count(__libc_memalign(alignment, size));
    if (!block)
        return ENOMEM;
    *ret_block = block;
    return 0;
}

void free(void *block)
{
    atomic_fetch_sub_explicit(&bytes, (int64_t)malloc_usable_size(block), memory_order_relaxed);
    __libc_free(block);
}

#endif
