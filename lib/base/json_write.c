/* Values to JSON (mu_value_to_json, base/json.h). Called by users; calls codec and base64. */
#include "base/json.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base64.h"
#include "base/codec.h"

/* The bytes left to be read, and the text so far; the first error is kept. */
typedef struct writer {
    const unsigned char *at, *end;
    mu__buffer out;
    mu_err err;
} writer;

static void write_value(writer *w);
static void write_map(writer *w, uint64_t pairs);
static void write_number(writer *w, double number);
static void write_string(writer *w, const unsigned char *text, size_t size);

static void put(writer *w, const void *text, size_t size)
{
    if (w->err == MU_OK)
        w->err = mu__buffer_append(&w->out, text, size);
}

static void put_text(writer *w, const char *text)
{
    put(w, text, strlen(text));
}

mu_err mu__value_to_json(const mu_sys *sys, const mu_value *value, char **ret_text,
                         size_t *ret_size)
{
    writer w = {.err = MU_OK};
    size_t size;

    mu__buffer_init(&w.out, sys, SIZE_MAX / 4);
    w.at = mu_value_bytes(value, &size);
    w.end = w.at + size;
    write_value(&w);
    put(&w, "", 1);
    if (w.err != MU_OK) {
        mu__buffer_deinit(&w.out);
        return w.err;
    }
    /* Nothing was consumed from the buffer, so its block begins with the text. */
    *ret_text = (char *)w.out.block;
    if (ret_size)
        *ret_size = mu__buffer_size(&w.out) - 1;
    return MU_OK;
}

mu_err mu_value_to_json(const mu_value *value, char **ret_text, size_t *ret_size)
{
    return mu__value_to_json(&mu__sys_real, value, ret_text, ret_size);
}

static void write_integer(writer *w, const mu__head *head)
{
    char text[32];
    if (head->negative)
        (void)snprintf(text, sizeof text, "%" PRId64, (int64_t)head->bits);
    else
        (void)snprintf(text, sizeof text, "%" PRIu64, head->bits);
    put_text(w, text);
}

static void write_binary(writer *w, const unsigned char *data, size_t size)
{
    put_text(w, "{\"" MU__JSON_BIN "\": \"");
    if (w->err == MU_OK)
        w->err = mu__base64_put(&w->out, data, size);
    put_text(w, "\"}");
}

static void write_array(writer *w, uint64_t count)
{
    put_text(w, "[");
    for (uint64_t i = 0; i < count && w->err == MU_OK; i++) {
        put_text(w, i ? ", " : "");
        write_value(w);
    }
    put_text(w, "]");
}

/* Takes one value from the bytes, which have been checked; recursion is as deep as values nest. */
static void write_value(writer *w)
{
    mu__head head;

    (void)mu__head_read(w->at, w->end, &head);
    const unsigned char *text = w->at += head.size;
    switch (head.type) {
    case MU_TYPE_NIL:
        put_text(w, "null");
        break;
    case MU_TYPE_BOOL:
        put_text(w, head.bits ? "true" : "false");
        break;
    case MU_TYPE_INT:
        write_integer(w, &head);
        break;
    case MU_TYPE_DOUBLE:
        write_number(w, head.number);
        break;
    case MU_TYPE_STR:
        w->at += head.bits;
        write_string(w, text, head.bits);
        break;
    case MU_TYPE_BIN:
        w->at += head.bits;
        write_binary(w, text, head.bits);
        break;
    case MU_TYPE_ARRAY:
        write_array(w, head.bits);
        break;
    case MU_TYPE_MAP:
        write_map(w, head.bits);
        break;
    case MU_TYPE_NONE:
        break;
    }
}

/* ---- maps ---------------------------------------------------------------------------------- */

/* Can these pairs be members of an object, and will the reader take it for one? */
static bool is_object(const writer *w, uint64_t pairs)
{
    const unsigned char *at = w->at;
    mu__head key;

    for (uint64_t i = 0; i < pairs; i++) {
        (void)mu__head_read(at, w->end, &key);
        if (key.type != MU_TYPE_STR)
            return false;
        if (i == 0 && mu__json_is_any_tag((const char *)at + key.size, key.bits))
            return false;
        at = mu__skip(mu__skip(at, w->end), w->end);
    }
    return true;
}

static void write_map(writer *w, uint64_t pairs)
{
    bool object = is_object(w, pairs);

    put_text(w, object ? "{" : "{\"" MU__JSON_MAP "\": [");
    for (uint64_t i = 0; i < pairs && w->err == MU_OK; i++) {
        put_text(w, i ? ", " : "");
        put_text(w, object ? "" : "[");
        write_value(w);
        put_text(w, object ? ": " : ", ");
        write_value(w);
        put_text(w, object ? "" : "]");
    }
    put_text(w, object ? "}" : "]}");
}

/* ---- numbers ------------------------------------------------------------------------------- */

/* The digits of a finite number, without its sign, and the power of ten of the first. */
typedef struct decimal {
    char digits[20];
    int count, exponent;
} decimal;

/* The fewest digits that read as this number again. The locale's point is between digits: skipped.
 */
static decimal shortest(double number)
{
    decimal d = {.count = 0};
    char text[48];

    int first = number < DBL_MIN ? 0 : 14; /* 15 digits always survive, but for subnormals */
    for (int after = first; after <= 16; after++) {
        (void)snprintf(text, sizeof text, "%.*e", after, number);
        if (strtod(text, NULL) == number)
            break;
    }
    const char *c = text;
    for (; *c != 'e'; c++)
        if (*c >= '0' && *c <= '9')
            d.digits[d.count++] = *c;
    d.exponent = atoi(c + 1);
    while (d.count > 1 && d.digits[d.count - 1] == '0')
        d.count--;
    return d;
}

static void write_positional(writer *w, const decimal *d)
{
    for (int i = d->exponent; i < 0; i++)
        put_text(w, i == d->exponent ? "0." : "0");
    for (int i = 0; i < d->count || i <= d->exponent; i++) {
        put(w, i < d->count ? &d->digits[i] : "0", 1);
        if (i == d->exponent)
            put_text(w, i + 1 < d->count ? "." : ".0");
    }
}

static void write_number(writer *w, double number)
{
    char exponent[16];

    if (!isfinite(number)) {
        put_text(w, "{\"" MU__JSON_FLOAT "\": \"");
        put_text(w, isnan(number) ? "NaN" : number > 0 ? "Infinity" : "-Infinity");
        put_text(w, "\"}");
        return;
    }
    decimal d = shortest(fabs(number));
    put_text(w, signbit(number) ? "-" : "");
    if (d.exponent >= -5 && d.exponent < 16) {
        write_positional(w, &d);
        return;
    }
    put(w, d.digits, 1);
    put_text(w, d.count > 1 ? "." : "");
    put(w, d.digits + 1, (size_t)d.count - 1);
    (void)snprintf(exponent, sizeof exponent, "e%d", d.exponent);
    put_text(w, exponent);
}

/* ---- strings ------------------------------------------------------------------------------- */

static void write_escape(writer *w, unsigned char c)
{
    static const char characters[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    const char *found = c ? strchr(characters, c) : NULL;
    char text[8];

    if (found)
        (void)snprintf(text, sizeof text, "\\%c", letters[found - characters]);
    else
        (void)snprintf(text, sizeof text, "\\u%04x", c);
    put_text(w, text);
}

static void write_string(writer *w, const unsigned char *text, size_t size)
{
    size_t start = 0;

    put_text(w, "\"");
    for (size_t i = 0; i < size; i++) {
        if (text[i] >= 0x20 && text[i] != '"' && text[i] != '\\')
            continue;
        put(w, text + start, i - start);
        write_escape(w, text[i]);
        start = i + 1;
    }
    put(w, text + start, size - start);
    put_text(w, "\"");
}
