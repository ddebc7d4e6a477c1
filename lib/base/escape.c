/* Escaping (base/escape.h). Called by the port and the pool for what workers say; calls utf8. */
#include "base/escape.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

#define CUT "..."

/* The next character of the text: its bytes as they shall appear. */
typedef struct piece {
    char text[8];
    size_t size; /* written */
    size_t used; /* of the source */
} piece;

static piece next_piece(const unsigned char *p, size_t left, mu__escape_style style);

size_t mu__escape(char *out, size_t room, const void *text, size_t size, mu__escape_style style)
{
    const unsigned char *p = text, *end = p + size;
    size_t length = 0, safe = 0; /* safe: how far the text may go with CUT behind it */

    while (p < end) {
        piece next = next_piece(p, (size_t)(end - p), style);
        if (length + next.size >= room) {
            size_t mark = room >= sizeof CUT ? sizeof CUT - 1 : 0;
            memcpy(out + safe, CUT, mark);
            length = safe + mark;
            break;
        }
        memcpy(out + length, next.text, next.size);
        length += next.size;
        if (length + sizeof CUT <= room)
            safe = length;
        p += next.used;
    }
    out[length] = '\0';
    return length;
}

/*
 * Characters that make a line, or the words in it, look other than they are: ends of lines and
 * paragraphs, and marks, embeddings, overrides and isolates of direction (CVE-2021-42574).
 */
static bool misleads(const unsigned char *p, size_t size)
{
    if (size == 2)
        return p[0] == 0xd8 && p[1] == 0x9c; /* U+061C */
    if (size != 3 || p[0] != 0xe2)
        return false;
    if (p[1] == 0x80) /* U+200E, U+200F, U+2028 to U+202E */
        return p[2] == 0x8e || p[2] == 0x8f || (p[2] >= 0xa8 && p[2] <= 0xae);
    return p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9; /* U+2066 to U+2069 */
}

/* Bytes of the UTF-8 character at `p` that may be shown, or 0. */
static size_t printable(const unsigned char *p, size_t left)
{
    if (p[0] < 0x80)
        return p[0] >= 0x20 && p[0] != 0x7f;
    size_t size = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (size > left || !mu__utf8_valid(p, size))
        return 0;
    bool control = p[0] == 0xc2 && p[1] < 0xa0; /* U+0080 to U+009F: terminals obey these too */
    return control || misleads(p, size) ? 0 : size;
}

static piece next_piece(const unsigned char *p, size_t left, mu__escape_style style)
{
    piece next = {.used = 1};
    size_t size = printable(p, left);
    bool blank = *p == '\n' || *p == '\t';

    if (size > 0) {
        next.size = next.used = size;
        memcpy(next.text, p, size);
    } else if (blank && style == MU__ESCAPE_TEXT) {
        next.text[next.size++] = (char)*p;
    } else if (blank) {
        next.size = (size_t)snprintf(next.text, sizeof next.text, "\\%c", *p == '\n' ? 'n' : 't');
    } else {
        next.size = (size_t)snprintf(next.text, sizeof next.text, "\\x%02x", *p);
    }
    return next;
}
