/*
 * base/utf8.h - is this text UTF-8?
 *
 * Strings of the wire protocol are UTF-8 by contract; what a worker sends is checked here before
 * anybody reads it. The rule is that of RFC 3629: shortest forms only, no surrogates, nothing above
 * U+10FFFF. Zero bytes are characters like any other.
 *
 *     if (!mu__utf8_valid(text, size)) ...
 *
 * Thread-safety: any thread. Ownership: the text is borrowed.
 */
#ifndef MU_BASE_UTF8_H
#define MU_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

bool mu__utf8_valid(const void *text, size_t size);

/* Writes a code point, which must be a valid one, in at most 4 bytes; returns how many. */
size_t mu__utf8_put(unsigned char out[4], unsigned long point);

#endif
