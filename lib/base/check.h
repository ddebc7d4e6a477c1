/*
 * base/check.h - is this run of bytes a value that may exist?
 *
 * Everything that becomes a mu_value passes here once: what a worker sent, raw bytes of a caller,
 * and what a builder put. After it readers need not look for errors. Refused are:
 *
 *   bytes that end early, codes that begin no value (0xc1, extension types), strings that are not
 *   UTF-8, keys that are containers, a key twice in one map, more than `depth` nested containers,
 *   and containers that announce more items than bytes are left, counted over all open containers.
 *
 * No memory is taken because of an announced number. Maps of up to 16 pairs are searched for double
 * keys in place; larger ones use a table that grows with the keys that have really arrived. Keys are
 * compared by what they are: 1 in one byte and 1 in nine are the same, and so are all NaNs. The
 * stack used is about 14 KiB whatever the nesting, because the walk is a loop over levels.
 *
 *     const unsigned char *at = data;
 *     err = mu__check(&mu__sys_real, &at, data + size, MU_VALUE_DEPTH_MAX, "$", error);
 *
 * Thread-safety: any thread. Ownership: everything is borrowed.
 */
#ifndef MU_BASE_CHECK_H
#define MU_BASE_CHECK_H

#include <stdbool.h>
#include <muster/error.h>

#include "base/sys.h"

/* Containers that may lie inside one another in a frame, its own array included. */
#define MU__FRAME_DEPTH 32

/*
 * Checks the one value at `*at` and moves `*at` behind it, or leaves it. MU_EDECODE, MU_EDEPTH,
 * MU_ENOMEM; `error` (may be NULL) says where, in a path that begins with `root`. At most 4 GiB.
 */
mu_err mu__check(const mu_sys *sys, const unsigned char **at, const unsigned char *end,
                 unsigned depth, const char *root, mu_error *error);

#endif
