/*
 * base/value.h - what the library itself needs of values beyond muster/value.h.
 *
 * The bytes of a value live behind a counted header in one block of memory. A builder writes its
 * bytes straight behind room for that header, so finishing hands the memory over without a copy.
 *
 *     err = mu__value_from_checked(sys, span.data, span.size, &result);
 *
 * Thread-safety and ownership as in muster/value.h.
 */
#ifndef MU_BASE_VALUE_H
#define MU_BASE_VALUE_H

#include <stdatomic.h>
#include <muster/value.h>

#include "base/buffer.h"
#include "base/sys.h"

/* The most bytes that a value may have: lengths and places in it fit into 32 bits. */
#define MU__VALUE_MAX ((size_t)UINT32_MAX - sizeof(struct mu__value_block))

struct mu__value_texts; /* terminated copies of strings: value_text.c */

/* The header of a block; the bytes follow. Freed with the last reference. */
typedef struct mu__value_block {
    atomic_uint references;
    uint32_t size;                           /* of the bytes */
    _Atomic(struct mu__value_texts *) texts; /* NULL until mu_value_str needs it */
    const mu_sys *sys;
} mu__value_block;

/* The terminated copy of the block's string at `source`, or NULL for want of memory. Any thread. */
const char *mu__value_text(mu__value_block *block, const void *source, size_t size);

/* Releases all of a block's copies. */
void mu__value_texts_free(mu__value_block *block);

/*
 * Makes a value of a buffer that holds a block: room for its header, then checked bytes. Empties
 * the buffer. Cannot fail.
 */
void mu__value_from_buffer(mu__buffer *take_buffer, mu_value *ret_value);

/* Copies bytes that mu__check has passed. MU_ENOMEM. */
mu_err mu__value_from_checked(const mu_sys *sys, const void *data, size_t size,
                              mu_value *ret_value);

/*
 * Lends bytes that mu__check has passed to the readers of muster/value.h, as long as the bytes last.
 * mu_value_str gives its default: it has nowhere to put a copy. Not for mu_value_copy.
 */
static inline mu_value mu__value_lend(const void *data, size_t size)
{
    return (mu_value){data, size, NULL, false};
}

/* mu_value_from_bytes with memory from `sys`. */
mu_err mu__value_from_bytes(const mu_sys *sys, const void *data, size_t size, mu_value *ret_value,
                            mu_error *error);

#endif
