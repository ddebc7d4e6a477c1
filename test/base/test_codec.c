/*
 * The codec beside others: random values and damaged ones, against msgpack-c and against both
 * codecs of the worker SDK. What one side of the wire may send the other must take, and the other
 * way round.
 */
#include "base/codec.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <msgpack.h>
#include <muster/builder.h>

#include "build_info.h"
#include "support/mu_test.h"

/* ---- random values ------------------------------------------------------------------------- */

static unsigned seed;      /* of rand_r, which changes it */
static unsigned case_seed; /* what it was at the begin of the case: printed on failure */

/* The first case's seed; MUSTER_TEST_SEED replays a failure. Case i has this seed + i. */
static unsigned first_seed(void)
{
    const char *text = getenv("MUSTER_TEST_SEED");
    return text ? (unsigned)strtoul(text, NULL, 10) : (unsigned)mu_test_now_ms();
}

static unsigned below(unsigned limit)
{
    return (unsigned)rand_r(&seed) % limit;
}

static uint64_t random_bits(void)
{
    uint64_t bits =
        (uint64_t)rand_r(&seed) << 42 ^ (uint64_t)rand_r(&seed) << 21 ^ (uint64_t)rand_r(&seed);
    return bits >> below(64);
}

static void put_random_text(mu_builder *b)
{
    static const char *const pieces[] = {"a",
                                         "key",
                                         "\xc3\xbc",
                                         "\xe2\x82\xac",
                                         "\xf0\x9f\x98\x80",
                                         "\"\\\n",
                                         "$bin",
                                         "$map",
                                         "0123456789abcdefghijklmnopqrstuvwxyz"};
    char text[600] = "";
    size_t size = 0;
    for (unsigned n = below(below(8) ? 4 : 14); n > 0; n--) {
        const char *piece = pieces[below(sizeof pieces / sizeof pieces[0])];
        memcpy(text + size, piece, strlen(piece));
        size += strlen(piece);
    }
    if (below(10) == 0)
        text[size++] = '\0';
    mu_builder_strn(b, text, size);
}

static void put_random_number(mu_builder *b)
{
    static const double specials[] = {0.0, -0.0, NAN, INFINITY, -INFINITY, 0.1, 1e300, 5e-324};
    switch (below(4)) {
    case 0:
        mu_builder_double(b, specials[below(8)]);
        break;
    case 1:
        mu_builder_double(b, (double)random_bits() / 1024.0);
        break;
    case 2:
        mu_builder_int(b, -(int64_t)(random_bits() >> 1) - 1);
        break;
    default:
        mu_builder_uint(b, random_bits());
    }
}

static void put_random_binary(mu_builder *b)
{
    unsigned char bytes[300];
    size_t size = below(8) ? below(8) : below(300);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)below(256);
    mu_builder_bin(b, bytes, size);
}

/* No doubles and booleans: Python takes 1, 1.0 and True for one key. */
static void put_random_key(mu_builder *b)
{
    switch (below(6)) {
    case 0:
        mu_builder_int(b, (int64_t)random_bits());
        break;
    case 1:
        put_random_binary(b);
        break;
    default:
        put_random_text(b);
    }
}

static void put_random(mu_builder *b, unsigned depth)
{
    unsigned kind = below(depth ? 9 : 6), count = below(6) ? below(5) : below(40);

    if (kind < 2) {
        put_random_number(b);
    } else if (kind < 4) {
        put_random_text(b);
    } else if (kind < 5) {
        put_random_binary(b);
    } else if (kind < 6) {
        below(3) ? mu_builder_bool(b, below(2)) : mu_builder_nil(b);
    } else if (kind < 7) {
        mu_builder_array_begin(b);
        for (unsigned i = 0; i < count; i++)
            put_random(b, depth - 1);
        mu_builder_array_end(b);
    } else {
        mu_builder_map_begin(b);
        for (unsigned i = 0; i < count; i++) {
            put_random_key(b);
            put_random(b, depth - 1);
        }
        mu_builder_map_end(b);
    }
}

/* A random value; keys that happen to be equal make a new attempt. */
static mu_value random_value(mu_builder *b)
{
    mu_value v;
    do
        put_random(b, 4);
    while (mu_builder_finish(b, &v, NULL) != MU_OK);
    return v;
}

/* Changes some of the bytes: sets, removes, repeats. Returns the new size, at most size + 3. */
static size_t damage(unsigned char *bytes, size_t size)
{
    static const unsigned char codes[] = {0xc0, 0xc1, 0xc4, 0xca, 0xcb, 0xcf, 0xd3,
                                          0xd4, 0xd6, 0xd9, 0xdc, 0xdd, 0xde, 0xdf,
                                          0x80, 0x81, 0x91, 0xa0, 0xa1, 0xff};
    for (unsigned n = 1 + below(3); n > 0 && size > 0; n--) {
        size_t at = below((unsigned)size);
        switch (below(4)) {
        case 0:
            bytes[at] = (unsigned char)below(256);
            break;
        case 1:
            bytes[at] = codes[below(sizeof codes)];
            break;
        case 2:
            memmove(bytes + at, bytes + at + 1, --size - at);
            break;
        default:
            memmove(bytes + at + 1, bytes + at, size++ - at);
        }
    }
    return size;
}

/* ---- our reader, put together again -------------------------------------------------------- */

static void rebuild(mu_builder *b, const mu_value *v)
{
    mu_value_iter it = mu_value_iterate(v, NULL);
    mu_value key, item;
    const char *text;
    const void *data;
    size_t size;
    int64_t number;

    switch (mu_value_type(v, NULL)) {
    case MU_TYPE_MAP:
        mu_builder_map_begin(b);
        while (mu_value_next(&it, &key, &item)) {
            rebuild(b, &key);
            rebuild(b, &item);
        }
        mu_builder_map_end(b);
        return;
    case MU_TYPE_ARRAY:
        mu_builder_array_begin(b);
        while (mu_value_next(&it, NULL, &item))
            rebuild(b, &item);
        mu_builder_array_end(b);
        return;
    case MU_TYPE_STR:
        mu_check_ok(mu_value_get_str(v, NULL, &text, &size, NULL));
        mu_builder_strn(b, text, size);
        return;
    case MU_TYPE_BIN:
        mu_check_ok(mu_value_get_bin(v, NULL, &data, &size, NULL));
        mu_builder_bin(b, data, size);
        return;
    case MU_TYPE_INT:
        if (mu_value_get_int(v, NULL, &number, NULL) == MU_OK)
            mu_builder_int(b, number);
        else
            mu_builder_uint(b, mu_value_uint(v, NULL, 0));
        return;
    case MU_TYPE_DOUBLE:
        mu_builder_double(b, mu_value_double(v, NULL, 0));
        return;
    case MU_TYPE_BOOL:
        mu_builder_bool(b, mu_value_bool(v, NULL, false));
        return;
    default:
        mu_builder_nil(b);
    }
}

/* The shortest form of a value; false when two keys are the same in it and were not before. */
static bool shortest(mu_builder *b, const mu_value *v, mu_value *ret)
{
    rebuild(b, v);
    return mu_builder_finish(b, ret, NULL) == MU_OK;
}

/* ---- against msgpack-c --------------------------------------------------------------------- */

/* msgpack-c's own form of what it read; 32-bit floats as doubles. */
static void repack(msgpack_packer *pk, const msgpack_object *o)
{
    switch (o->type) {
    case MSGPACK_OBJECT_FLOAT32:
        msgpack_pack_double(pk, o->via.f64);
        break;
    case MSGPACK_OBJECT_ARRAY:
        msgpack_pack_array(pk, o->via.array.size);
        for (uint32_t i = 0; i < o->via.array.size; i++)
            repack(pk, &o->via.array.ptr[i]);
        break;
    case MSGPACK_OBJECT_MAP:
        msgpack_pack_map(pk, o->via.map.size);
        for (uint32_t i = 0; i < o->via.map.size; i++) {
            repack(pk, &o->via.map.ptr[i].key);
            repack(pk, &o->via.map.ptr[i].val);
        }
        break;
    default:
        msgpack_pack_object(pk, *o);
    }
}

static void compare_with_msgpack_c(mu_builder *b, const mu_value *v)
{
    msgpack_unpacked result;
    msgpack_sbuffer again;
    msgpack_packer pk;
    mu_value ours;
    size_t size, offset = 0, our_size;
    const void *bytes = mu_value_bytes(v, &size);

    msgpack_unpacked_init(&result);
    mu_check_eq((int)msgpack_unpack_next(&result, bytes, size, &offset),
                (int)MSGPACK_UNPACK_SUCCESS);
    mu_check_eq(offset, size);
    msgpack_sbuffer_init(&again);
    msgpack_packer_init(&pk, &again, msgpack_sbuffer_write);
    repack(&pk, &result.data);
    if (shortest(b, v, &ours)) {
        const void *our_bytes = mu_value_bytes(&ours, &our_size);
        mu_check_msg(our_size == again.size && memcmp(our_bytes, again.data, our_size) == 0,
                     "read otherwise by msgpack-c, seed %u", case_seed);
        mu_value_clear(&ours);
    }
    msgpack_sbuffer_destroy(&again);
    msgpack_unpacked_destroy(&result);
}

MU_TEST(codec, reads_the_same_values_as_msgpack_c)
{
    mu_builder *b = mu_builder_new();
    int64_t rounds = mu_test_size(5000, 200000);
    unsigned first = first_seed();

    for (int64_t i = 0; i < rounds; i++) {
        mu_value v, damaged;
        size_t size;
        seed = case_seed = first + (unsigned)i;
        v = random_value(b);
        compare_with_msgpack_c(b, &v);
        const void *bytes = mu_value_bytes(&v, &size);
        unsigned char *copy = malloc(size + 4);
        memcpy(copy, bytes, size);
        size = damage(copy, size);
        /* msgpack-c never sees what the check refuses: that is the point of the check. */
        if (mu_value_from_bytes(copy, size, &damaged, NULL) == MU_OK) {
            compare_with_msgpack_c(b, &damaged);
            mu_value_clear(&damaged);
        }
        free(copy);
        mu_value_clear(&v);
    }
    mu_builder_free(b);
}

/* ---- against Python ------------------------------------------------------------------------ */

#define SOUND   1500
#define DAMAGED 6000

typedef struct test_case {
    unsigned char *bytes;
    size_t size;
    unsigned seed;
} test_case;

static void write_sized(FILE *file, const void *data, size_t size)
{
    const unsigned char head[4] = {(unsigned char)(size >> 24), (unsigned char)(size >> 16),
                                   (unsigned char)(size >> 8), (unsigned char)size};
    mu_check_eq(fwrite(head, 1, 4, file), (size_t)4);
    mu_check_eq(fwrite(data, 1, size, file), size);
}

static void write_case(FILE *file, mu_builder *b, test_case *c, bool sound)
{
    mu_value v = random_value(b);
    char *text = NULL;
    size_t text_size = 0;
    const void *bytes = mu_value_bytes(&v, &c->size);

    c->bytes = malloc(c->size + 4);
    memcpy(c->bytes, bytes, c->size);
    if (sound)
        mu_check_ok(mu_value_to_json(&v, &text, &text_size));
    else
        c->size = damage(c->bytes, c->size);
    write_sized(file, c->bytes, c->size);
    write_sized(file, text ? text : "", text_size);
    free(text);
    mu_value_clear(&v);
}

/* Reads what one of Python's codecs said and holds it against our own reading. */
static void compare_with_python(FILE *file, mu_builder *b, const test_case *c, bool sound)
{
    mu_value v = MU_VALUE_INIT, ours;
    mu_error why = MU_ERROR_INIT;
    bool taken = mu_value_from_bytes(c->bytes, c->size, &v, &why) == MU_OK;
    int verdict = fgetc(file);
    unsigned char head[4];
    size_t size, our_size;

    mu_check_eq(fread(head, 1, 4, file), (size_t)4);
    size = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
    unsigned char *bytes = malloc(size + 1);
    mu_check_eq(fread(bytes, 1, size, file), size);
    /* A dict cannot tell that a key came twice. */
    if (!strstr(why.message, "holds twice"))
        mu_check_msg(taken == (verdict == 1), "we %s it (%s), Python %s, seed %u",
                     taken ? "take" : "refuse", why.message, verdict ? "takes" : "refuses",
                     c->seed);
    if (sound && taken) {
        mu_check(shortest(b, &v, &ours));
        const void *our_bytes = mu_value_bytes(&ours, &our_size);
        mu_check_msg(size == our_size && memcmp(bytes, our_bytes, size) == 0,
                     "read otherwise by Python, seed %u", c->seed);
        mu_value_clear(&ours);
    }
    free(bytes);
    mu_value_clear(&v);
}

static void run_python(const char *directory)
{
    char command[1024];
    snprintf(command, sizeof command,
             "/usr/bin/python3 '%s/../test/base/codec_peer.py' '%s' '%s/cases' '%s/results'",
             MU_BUILD_WORKERS_IN_TREE, MU_BUILD_WORKERS_IN_TREE, directory, directory);
    mu_check_msg(system(command) == 0, "%s failed", command);
}

MU_TEST(codec, takes_and_refuses_what_both_codecs_of_the_worker_sdk_take_and_refuse, .timeout = 120)
{
    static test_case cases[SOUND + DAMAGED];
    char directory[] = "/tmp/mu-test-codec-XXXXXX", path[64];
    mu_builder *b = mu_builder_new();
    unsigned first = first_seed();

    mu_check(mkdtemp(directory) != NULL);
    snprintf(path, sizeof path, "%s/cases", directory);
    FILE *file = fopen(path, "w");
    for (size_t i = 0; i < SOUND + DAMAGED; i++) {
        cases[i].seed = seed = first + (unsigned)i;
        write_case(file, b, &cases[i], i < SOUND);
    }
    fclose(file);
    run_python(directory);
    unlink(path);
    snprintf(path, sizeof path, "%s/results", directory);
    file = fopen(path, "r");
    mu_check(file != NULL);
    for (size_t i = 0; i < SOUND + DAMAGED; i++) {
        compare_with_python(file, b, &cases[i], i < SOUND);
        compare_with_python(file, b, &cases[i], i < SOUND);
        mu_check_msg(fgetc(file) == 1, "Python reads other JSON, seed %u", cases[i].seed);
        free(cases[i].bytes);
    }
    fclose(file);
    unlink(path);
    rmdir(directory);
    mu_builder_free(b);
}
