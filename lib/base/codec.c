/*
 * msgpack items (base/codec.h). Called by check, value, builder and the port's messages; calls
 * msgpack-c.
 */
#include "base/codec.h"

#include <string.h>

#include <msgpack/pack.h>

/* ---- putting ------------------------------------------------------------------------------- */

/* What the packer writes to: it knows only success and failure, so the error is kept here. */
typedef struct sink {
    mu__buffer *out;
    mu_err err;
} sink;

static int sink_write(void *data, const char *bytes, size_t size)
{
    sink *s = data;
    s->err = mu__buffer_append(s->out, bytes, size);
    return s->err == MU_OK ? 0 : -1;
}

/* Runs one call of the packer, named `pk` in `call`, against `out_`. */
#define PUT(out_, call)                                                                            \
    do {                                                                                           \
        sink s = {(out_), MU_OK};                                                                  \
        msgpack_packer packer = {&s, sink_write}, *pk = &packer;                                   \
        (void)(call);                                                                              \
        return s.err;                                                                              \
    } while (0)

mu_err mu__put_nil(mu__buffer *out)
{
    PUT(out, msgpack_pack_nil(pk));
}

mu_err mu__put_bool(mu__buffer *out, bool value)
{
    PUT(out, value ? msgpack_pack_true(pk) : msgpack_pack_false(pk));
}

mu_err mu__put_int(mu__buffer *out, int64_t value)
{
    PUT(out, msgpack_pack_int64(pk, value));
}

mu_err mu__put_uint(mu__buffer *out, uint64_t value)
{
    PUT(out, msgpack_pack_uint64(pk, value));
}

mu_err mu__put_double(mu__buffer *out, double value)
{
    PUT(out, msgpack_pack_double(pk, value));
}

mu_err mu__put_str(mu__buffer *out, const char *text, size_t size)
{
    if (size > UINT32_MAX)
        return MU_ETOOBIG;
    PUT(out, msgpack_pack_str_with_body(pk, text, size));
}

mu_err mu__put_bin(mu__buffer *out, const void *data, size_t size)
{
    if (size > UINT32_MAX)
        return MU_ETOOBIG;
    PUT(out, msgpack_pack_bin_with_body(pk, data, size));
}

mu_err mu__put_array(mu__buffer *out, size_t count)
{
    if (count > UINT32_MAX)
        return MU_ETOOBIG;
    PUT(out, msgpack_pack_array(pk, count));
}

mu_err mu__put_map(mu__buffer *out, size_t pairs)
{
    if (pairs > UINT32_MAX)
        return MU_ETOOBIG;
    PUT(out, msgpack_pack_map(pk, pairs));
}

/* ---- reading ------------------------------------------------------------------------------- */

/* The codes 0xc0 to 0xdf: type and further bytes of the head. NONE: no value of the protocol. */
static const struct {
    unsigned char type, extra;
} long_forms[32] = {
    {MU_TYPE_NIL, 0},   {MU_TYPE_NONE, 0},  {MU_TYPE_BOOL, 0},   {MU_TYPE_BOOL, 0},
    {MU_TYPE_BIN, 1},   {MU_TYPE_BIN, 2},   {MU_TYPE_BIN, 4},    {MU_TYPE_NONE, 0},
    {MU_TYPE_NONE, 0},  {MU_TYPE_NONE, 0},  {MU_TYPE_DOUBLE, 4}, {MU_TYPE_DOUBLE, 8},
    {MU_TYPE_INT, 1},   {MU_TYPE_INT, 2},   {MU_TYPE_INT, 4},    {MU_TYPE_INT, 8},
    {MU_TYPE_INT, 1},   {MU_TYPE_INT, 2},   {MU_TYPE_INT, 4},    {MU_TYPE_INT, 8},
    {MU_TYPE_NONE, 0},  {MU_TYPE_NONE, 0},  {MU_TYPE_NONE, 0},   {MU_TYPE_NONE, 0},
    {MU_TYPE_NONE, 0},  {MU_TYPE_STR, 1},   {MU_TYPE_STR, 2},    {MU_TYPE_STR, 4},
    {MU_TYPE_ARRAY, 2}, {MU_TYPE_ARRAY, 4}, {MU_TYPE_MAP, 2},    {MU_TYPE_MAP, 4},
};
#define CODE_TRUE  0xc3
#define CODE_INT8  0xd0
#define CODE_INT64 0xd3

static mu__head short_form(unsigned char code);
static uint64_t big_endian(const unsigned char *p, unsigned size);
static double decode_double(uint64_t bits, unsigned size);

mu__head_status mu__head_read(const unsigned char *p, const unsigned char *end, mu__head *ret)
{
    if (p >= end)
        return MU__HEAD_SHORT;
    unsigned char code = *p;
    if (code < 0xc0 || code >= 0xe0) {
        *ret = short_form(code);
        return MU__HEAD_OK;
    }
    unsigned extra = long_forms[code - 0xc0].extra;
    mu_type type = (mu_type)long_forms[code - 0xc0].type;
    if (type == MU_TYPE_NONE)
        return MU__HEAD_INVALID;
    if (extra > (size_t)(end - p) - 1)
        return MU__HEAD_SHORT;

    uint64_t bits = big_endian(p + 1, extra);
    *ret = (mu__head){.type = type, .size = 1 + extra, .bits = bits};
    if (type == MU_TYPE_BOOL) {
        ret->bits = code == CODE_TRUE;
    } else if (type == MU_TYPE_DOUBLE) {
        ret->number = decode_double(bits, extra);
    } else if (code >= CODE_INT8 && code <= CODE_INT64) {
        unsigned unused = 64 - 8 * extra;
        int64_t value = (int64_t)(bits << unused) >> unused;
        ret->bits = (uint64_t)value;
        ret->negative = value < 0;
    }
    return MU__HEAD_OK;
}

const unsigned char *mu__skip(const unsigned char *p, const unsigned char *end)
{
    mu__head head;
    for (uint64_t items = 1; items > 0; items--) {
        if (mu__head_read(p, end, &head) != MU__HEAD_OK)
            return end; /* cannot be: the bytes have been checked */
        p += head.size;
        if (head.type == MU_TYPE_STR || head.type == MU_TYPE_BIN)
            p += head.bits;
        else if (head.type == MU_TYPE_ARRAY)
            items += head.bits;
        else if (head.type == MU_TYPE_MAP)
            items += 2 * head.bits;
    }
    return p;
}

/* The codes outside 0xc0 to 0xdf, which carry their number or length in themselves. */
static mu__head short_form(unsigned char code)
{
    mu__head head = {.size = 1};
    if (code < 0x80) {
        head.type = MU_TYPE_INT;
        head.bits = code;
    } else if (code < 0x90) {
        head.type = MU_TYPE_MAP;
        head.bits = code & 0x0f;
    } else if (code < 0xa0) {
        head.type = MU_TYPE_ARRAY;
        head.bits = code & 0x0f;
    } else if (code < 0xc0) {
        head.type = MU_TYPE_STR;
        head.bits = code & 0x1f;
    } else {
        head.type = MU_TYPE_INT;
        head.bits = (uint64_t)((int64_t)code - 0x100);
        head.negative = true;
    }
    return head;
}

static uint64_t big_endian(const unsigned char *p, unsigned size)
{
    uint64_t bits = 0;
    for (unsigned i = 0; i < size; i++)
        bits = bits << 8 | p[i];
    return bits;
}

static double decode_double(uint64_t bits, unsigned size)
{
    double number;
    if (size == 4) {
        uint32_t half = (uint32_t)bits;
        float single;
        memcpy(&single, &half, sizeof single);
        return (double)single;
    }
    memcpy(&number, &bits, sizeof number);
    return number;
}
