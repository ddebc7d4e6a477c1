/* base64 (base/base64.h). Called by the JSON side of values; calls base/buffer. */
#include "base/base64.h"

#include <stdbool.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

mu_err mu__base64_put(mu__buffer *out, const void *data, size_t size)
{
    const unsigned char *p = data;
    size_t groups = size / 3 + (size % 3 != 0);
    mu_err err = mu__buffer_reserve(out, 4 * groups);
    if (err != MU_OK || groups == 0)
        return err;

    unsigned char *at = mu__buffer_end(out);
    for (size_t i = 0; i < size; i += 3, at += 4) {
        size_t left = size - i;
        unsigned long bits = (unsigned long)p[i] << 16;
        bits |= left > 1 ? (unsigned long)p[i + 1] << 8 : 0;
        bits |= left > 2 ? p[i + 2] : 0;
        at[0] = (unsigned char)digits[bits >> 18 & 63];
        at[1] = (unsigned char)digits[bits >> 12 & 63];
        at[2] = left > 1 ? (unsigned char)digits[bits >> 6 & 63] : '=';
        at[3] = left > 2 ? (unsigned char)digits[bits & 63] : '=';
    }
    mu__buffer_commit(out, 4 * groups);
    return MU_OK;
}

/* The value of a digit, or 64 and more. */
static unsigned value_of(char c)
{
    const char *found = c ? strchr(digits, c) : NULL;
    return found ? (unsigned)(found - digits) : 64;
}

size_t mu__base64_decode(void *out, const char *text, size_t size)
{
    unsigned char *at = out;

    if (size % 4 != 0)
        return MU__BASE64_BAD;
    for (size_t i = 0; i < size; i += 4) {
        bool last = i + 4 == size;
        unsigned pad = last ? (text[i + 3] == '=') + (text[i + 3] == '=' && text[i + 2] == '=') : 0;
        unsigned long bits = 0;
        for (unsigned j = 0; j < 4; j++) {
            unsigned value = j < 4 - pad ? value_of(text[i + j]) : 0;
            if (value > 63)
                return MU__BASE64_BAD;
            bits = bits << 6 | value;
        }
        if (bits & ((1ul << (8 * pad)) - 1)) /* bits that no byte has */
            return MU__BASE64_BAD;
        *at++ = (unsigned char)(bits >> 16);
        if (pad < 2)
            *at++ = (unsigned char)(bits >> 8);
        if (pad < 1)
            *at++ = (unsigned char)bits;
    }
    return (size_t)(at - (unsigned char *)out);
}
