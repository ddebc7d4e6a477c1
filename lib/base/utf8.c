/* UTF-8 (base/utf8.h). Called by values; calls libc only. */
#include "base/utf8.h"

#include <stdint.h>
#include <string.h>

#define HIGH_BITS UINT64_C(0x8080808080808080)

static size_t sequence_length(const unsigned char *p, size_t left);

bool mu__utf8_valid(const void *text, size_t size)
{
    const unsigned char *p = text;
    const unsigned char *end = p + size;

    while (p < end) {
        uint64_t word;
        if ((size_t)(end - p) >= sizeof word) {
            memcpy(&word, p, sizeof word);
            if (!(word & HIGH_BITS)) {
                p += sizeof word;
                continue;
            }
        }
        size_t length = sequence_length(p, (size_t)(end - p));
        if (length == 0)
            return false;
        p += length;
    }
    return true;
}

size_t mu__utf8_put(unsigned char out[4], unsigned long point)
{
    if (point < 0x80) {
        out[0] = (unsigned char)point;
        return 1;
    }
    size_t length = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--, point >>= 6)
        out[i] = (unsigned char)(0x80 | (point & 0x3f));
    out[0] = (unsigned char)((0xf00 >> length) | point);
    return length;
}

/* Bytes of the character at `p`, 0 if it is none: table 3-7 of the Unicode standard. */
static size_t sequence_length(const unsigned char *p, size_t left)
{
    unsigned char lowest = 0x80, highest = 0xbf; /* of the second byte */
    size_t length;

    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xc2 && p[0] <= 0xdf) {
        length = 2;
    } else if (p[0] >= 0xe0 && p[0] <= 0xef) {
        length = 3;
        if (p[0] == 0xe0)
            lowest = 0xa0;
        if (p[0] == 0xed)
            highest = 0x9f;
    } else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
        length = 4;
        if (p[0] == 0xf0)
            lowest = 0x90;
        if (p[0] == 0xf4)
            highest = 0x8f;
    } else {
        return 0;
    }
    if (length > left || p[1] < lowest || p[1] > highest)
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return length;
}
