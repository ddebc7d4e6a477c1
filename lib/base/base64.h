/*
 * base/base64.h - RFC 4648 base64, with padding: how binary stands in JSON.
 *
 *     err = mu__base64_put(&out, data, size);
 *     n = mu__base64_decode(bytes, text, size);       in place if both are the same
 *
 * Thread-safety: any thread. Ownership: everything is the caller's.
 */
#ifndef MU_BASE_BASE64_H
#define MU_BASE_BASE64_H

#include <stdint.h>
#include <muster/error.h>

#include "base/buffer.h"

#define MU__BASE64_BAD SIZE_MAX

/* Appends the base64 form of `size` bytes. MU_ENOMEM, MU_ETOOBIG. */
mu_err mu__base64_put(mu__buffer *out, const void *data, size_t size);

/*
 * Decodes `size` characters into `out`, which has room for size / 4 * 3 bytes and may be `text`
 * itself. Returns the number of bytes, or MU__BASE64_BAD: anything but the one form that
 * mu__base64_put writes is refused.
 */
size_t mu__base64_decode(void *out, const char *text, size_t size);

#endif
