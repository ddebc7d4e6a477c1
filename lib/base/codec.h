/*
 * base/codec.h - msgpack, one item at a time: putting and reading heads.
 *
 * Encoding is msgpack-c's packer, which chooses the shortest form; it writes straight into a
 * buffer. Decoding is not msgpack-c's: its unpacker builds a tree before anything is known to be
 * sound (five bytes can reserve 8 GiB, 16 MiB of nils become 411 MB), so a full check would have to
 * run in front of it in any case, and a check reads every head that a reader needs. The reader here
 * is that one function, mu__head_read: it allocates nothing, looks at no byte beyond `end`, and
 * serves check.h and the readers of value.h alike. Tests hold it against msgpack-c and against
 * Python's msgpack.
 *
 *     err = mu__put_map(&out, 1);
 *     err = mu__put_str(&out, "x", 1);
 *     err = mu__put_int(&out, 1);
 *
 *     mu__head head;
 *     if (mu__head_read(p, end, &head) == MU__HEAD_OK)
 *         p += head.size;
 *
 * The protocol has no extension types; their codes are as invalid as 0xc1.
 *
 * Thread-safety: any thread; a buffer has one user. Ownership: everything is borrowed.
 */
#ifndef MU_BASE_CODEC_H
#define MU_BASE_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <muster/value.h>

#include "base/buffer.h"

/* ---- putting: MU_OK, or MU_ENOMEM / MU_ETOOBIG with part of the item perhaps in the buffer --- */

mu_err mu__put_nil(mu__buffer *out);
mu_err mu__put_bool(mu__buffer *out, bool value);
mu_err mu__put_int(mu__buffer *out, int64_t value);
mu_err mu__put_uint(mu__buffer *out, uint64_t value);
mu_err mu__put_double(mu__buffer *out, double value);
mu_err mu__put_str(mu__buffer *out, const char *text, size_t size);
mu_err mu__put_bin(mu__buffer *out, const void *data, size_t size);
/* Heads alone; the items follow. */
mu_err mu__put_array(mu__buffer *out, size_t count);
mu_err mu__put_map(mu__buffer *out, size_t pairs);

/* ---- reading ----------------------------------------------------------------------------- */

typedef enum mu__head_status {
    MU__HEAD_OK,
    MU__HEAD_SHORT,  /* the bytes end inside the head */
    MU__HEAD_INVALID /* the code begins no value of the protocol */
} mu__head_status;

/* What the first bytes of an item say. */
typedef struct mu__head {
    mu_type type;
    unsigned size; /* bytes of the head; a scalar other than text has no more */
    bool negative; /* of an integer: `bits` is that of an int64_t */
    uint64_t bits; /* integer or boolean; bytes of text or binary; elements or pairs */
    double number; /* of a double */
} mu__head;

/* Reads the head at `p`. Looks at no byte from `end` on; says nothing about what follows the head.
 */
mu__head_status mu__head_read(const unsigned char *p, const unsigned char *end, mu__head *ret);

/* Behind the item at `p`, which has been checked. */
const unsigned char *mu__skip(const unsigned char *p, const unsigned char *end);

#endif
