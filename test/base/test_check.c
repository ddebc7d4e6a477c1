/* P4 and P6 of the fault catalogue, for single values; test/port/test_message.c has them for
 * frames. */
#include "base/check.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <muster/value.h>

#include "base/buffer.h"
#include "base/codec.h"
#include "support/mu_test.h"
#include "support/mu_test_alloc.h"

static mu_error detail;

static mu_err check(const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    detail = (mu_error)MU_ERROR_INIT;
    mu_err err = mu__check(&mu__sys_real, &at, at + size, MU_VALUE_DEPTH_MAX, "$", &detail);
    mu_check_msg(err == MU_OK ? at == (const unsigned char *)bytes + size : at == bytes,
                 "moved by %td after error %d", at - (const unsigned char *)bytes, (int)err);
    return err;
}
#define CHECK(literal) check(literal, sizeof(literal) - 1)

#define REFUSED(literal, code, text)                                                               \
    do {                                                                                           \
        mu_check_err(CHECK(literal), code);                                                        \
        mu_check_str(detail.message, text);                                                        \
    } while (0)

MU_TEST(check, P6_codes_that_begin_no_value_are_refused)
{
    static const unsigned char codes[] = {0xc1, 0xc7, 0xc8, 0xc9, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8};
    unsigned char bytes[32] = {0};

    for (size_t i = 0; i < sizeof codes; i++) {
        bytes[0] = codes[i];
        mu_check_err(check(bytes, sizeof bytes), MU_EDECODE);
        mu_check_str(detail.message, "$: a code that begins no value");
    }
}

MU_TEST(check, errors_name_the_path)
{
    REFUSED("\x81\xa1"
            "a\x94\x01\x02\x03\xa1\xff",
            MU_EDECODE, "$.a[3]: a string that is not UTF-8");
    REFUSED("\x82\xa1"
            "a\x01\xa1"
            "b\xc1",
            MU_EDECODE, "$.b: a code that begins no value");
    REFUSED("\x82\xa1"
            "a\x01\xc1",
            MU_EDECODE, "$: key number 2: a code that begins no value");
    REFUSED("\x81\xa3"
            "a.b\x91\xc1",
            MU_EDECODE, "$[\"a.b\"][0]: a code that begins no value");
    REFUSED("\x81\xa2\x1b\n\xc1", MU_EDECODE, "$[\"\\x1b\\n\"]: a code that begins no value");
    REFUSED("\x81\xd0\x9c\x81\x07\xc1", MU_EDECODE, "$[-100][7]: a code that begins no value");
    REFUSED("\x81\xc0\xc1", MU_EDECODE, "$[nil]: a code that begins no value");
}

MU_TEST(check, a_value_that_ends_early_is_refused_wherever_it_is_cut)
{
    static const char whole[] =
        "\x85\xa1"
        "a\x93\x01\xcd\x01\x02\xcb\x40\x09\x21\xfb\x54\x44\x2d\x18\xa3key\xc4\x02\x00\x01"
        "\xcc\x80\xd9\x03xyz\xd3\x80\x00\x00\x00\x00\x00\x00\x00\xdc\x00\x01\xc3\xc2\xdf\x00\x00"
        "\x00\x00";

    mu_check_ok(CHECK(whole));
    for (size_t size = 0; size < sizeof whole - 1; size++) {
        unsigned char *exact =
            malloc(size ? size : 1); /* so that a sanitizer sees a byte too far */
        memcpy(exact, whole, size);
        mu_check_err(check(exact, size), MU_EDECODE);
        free(exact);
    }
}

MU_TEST(check, announced_items_are_held_against_the_bytes_that_are_left)
{
    REFUSED("\xdd\xff\xff\xff\xff\xc0", MU_EDECODE, "$: more items announced than bytes are left");
    REFUSED("\xdf\x7f\xff\xff\xff\xc0", MU_EDECODE, "$: more items announced than bytes are left");
    REFUSED("\x81\x01", MU_EDECODE, "$: more items announced than bytes are left");
    /* each container fits alone, both together do not */
    REFUSED("\x93\x93\x01\x02\x03", MU_EDECODE, "$[0]: more items announced than bytes are left");
    REFUSED("\xdb\xff\xff\xff\xff"
            "abc",
            MU_EDECODE, "$: the bytes end inside the value");
    REFUSED("\xc6\xff\xff\xff\xff"
            "abc",
            MU_EDECODE, "$: the bytes end inside the value");
}

MU_TEST(check, P6_bad_utf8_is_refused_in_strings_and_welcome_in_binary)
{
    mu_check_ok(CHECK("\xc4\x01\xff"));
    REFUSED("\xa1\xff", MU_EDECODE, "$: a string that is not UTF-8");
    REFUSED("\xd9\x02\xc0\x80", MU_EDECODE, "$: a string that is not UTF-8");
    REFUSED("\x81\xa1\xff\x01", MU_EDECODE, "$: key number 1: a string that is not UTF-8");
}

MU_TEST(check, P6_a_key_twice_is_refused)
{
    REFUSED("\x82\xa1x\x01\xa1x\x02", MU_EDECODE,
            "$: key number 2: a key that the map holds twice");
    REFUSED("\x82\x01\x01\x01\x01", MU_EDECODE, "$: key number 2: a key that the map holds twice");
    /* whatever form the two have */
    REFUSED("\x82\x01\x01\xcc\x01\x02", MU_EDECODE,
            "$: key number 2: a key that the map holds twice");
    REFUSED("\x82\xff\x01\xd1\xff\xff\x02", MU_EDECODE,
            "$: key number 2: a key that the map holds twice");
    REFUSED("\x82\xa1x\x01\xd9\x01x\x02", MU_EDECODE,
            "$: key number 2: a key that the map holds twice");
    REFUSED("\x82\xca\xff\xff\xff\x01\x01\xca\xff\x82\x01\xcc\x02", MU_EDECODE, /* NaN and NaN */
            "$: key number 2: a key that the map holds twice");
    mu_check_ok(CHECK("\x82\x01\x01\xff\x02"));
    mu_check_ok(CHECK("\x82\xff\x01\xcf\xff\xff\xff\xff\xff\xff\xff\xff\x02"));
    mu_check_ok(CHECK("\x82\xa1x\x01\xc4\x01x\x02"));
    /* the same key in different maps, inside and beside one another */
    mu_check_ok(CHECK("\x92\x81\xa1x\x01\x81\xa1x\x81\xa1x\x01"));
}

#define DOUBLE(high) "\xcb" high "\x00\x00\x00\x00"

MU_TEST(check, P6_keys_that_are_equal_as_numbers_are_one_as_in_python)
{
    static const char twice[] = "$: key number 2: a key that the map holds twice";
    REFUSED("\x82\x01\x01\xc3\x02", MU_EDECODE, twice); /* 1 and true */
    REFUSED("\x82\xc2\x01\x00\x02", MU_EDECODE, twice); /* false and 0 */
    REFUSED("\x82\x01\x01" DOUBLE("\x3f\xf0\x00\x00") "\x02", MU_EDECODE, twice);
    REFUSED("\x82\xff\x01" DOUBLE("\xbf\xf0\x00\x00") "\x02", MU_EDECODE, twice);
    REFUSED("\x82\xc2\x01" DOUBLE("\x80\x00\x00\x00") "\x02", MU_EDECODE, twice); /* -0.0 */
    REFUSED("\x82\xcf\x80\x00\x00\x00\x00\x00\x00\x00\x01" DOUBLE("\x43\xe0\x00\x00") "\x02",
            MU_EDECODE, twice); /* 2^63 */
    REFUSED("\x82\xd3\x80\x00\x00\x00\x00\x00\x00\x00\x01" DOUBLE("\xc3\xe0\x00\x00") "\x02",
            MU_EDECODE, twice);                                           /* -2^63 */
    mu_check_ok(CHECK("\x83\xc0\x01\xc2\x01\xc3\x01"));                   /* nil, false, true */
    mu_check_ok(CHECK("\x82\x01\x01" DOUBLE("\x3f\xf8\x00\x00") "\x02")); /* 1 and 1.5 */
    mu_check_ok(CHECK("\x82\x01\x01" DOUBLE("\xbf\xf0\x00\x00") "\x02")); /* 1 and -1.0 */
    mu_check_ok(CHECK("\x82\xcf\xff\xff\xff\xff\xff\xff\xff\xff\x01" DOUBLE(
        "\x43\xf0\x00\x00") "\x02")); /* 2^64-1 and 2^64 */
}

MU_TEST(check, containers_are_no_keys)
{
    REFUSED("\x81\x90\x01", MU_EDECODE, "$: key number 1: a key that is a container");
    REFUSED("\x81\x81\x01\x01\x01", MU_EDECODE, "$: key number 1: a key that is a container");
}

/* A map of `count` keys, 0 … count-1 as text, and with `again` >= 0 that key once more at the end.
 */
static void put_large_map(mu__buffer *out, int count, int again)
{
    char name[16];
    mu_check_ok(mu__put_map(out, (size_t)(count + (again >= 0))));
    for (int i = 0; i < count + (again >= 0); i++) {
        int size = snprintf(name, sizeof name, "k%d", i < count ? i : again);
        mu_check_ok(mu__put_str(out, name, (size_t)size));
        mu_check_ok(mu__put_nil(out));
    }
}

MU_TEST(check, P6_a_key_twice_is_found_in_maps_of_every_size)
{
    for (int count = 1; count <= 200; count++) {
        for (int again = -1; again<count; again += count> 20 ? 17 : 1) {
            mu__buffer out;
            mu__buffer_init(&out, &mu__sys_real, 1 << 20);
            put_large_map(&out, count, again);
            mu_check_err(check(mu__buffer_data(&out), mu__buffer_size(&out)),
                         again >= 0 ? MU_EDECODE : MU_OK);
            mu__buffer_deinit(&out);
        }
    }
}

MU_TEST(check, keys_of_large_maps_inside_large_maps_do_not_mix)
{
    mu__buffer out;
    mu__buffer_init(&out, &mu__sys_real, 1 << 20);
    mu_check_ok(mu__put_map(&out, 40));
    for (int i = 0; i < 40; i++) {
        char name[8];
        mu_check_ok(mu__put_str(&out, name, (size_t)snprintf(name, sizeof name, "k%d", i)));
        put_large_map(&out, 40, -1);
    }
    mu_check_ok(check(mu__buffer_data(&out), mu__buffer_size(&out)));
    mu__buffer_deinit(&out);
}

MU_TEST(check, a_large_map_without_memory_is_an_error_and_leaks_nothing)
{
    mu__buffer out;
    mu__buffer_init(&out, &mu__sys_real, 1 << 20);
    put_large_map(&out, 1000, -1);
    mu_test_each_failing_alloc(sys)
    {
        const unsigned char *at = mu__buffer_data(&out);
        mu_err err = mu__check(sys, &at, mu__buffer_end(&out), MU_VALUE_DEPTH_MAX, "$", &detail);
        if (err == MU_OK)
            break;
        mu_check_err(err, MU_ENOMEM);
    }
    mu_check_ge(atomic_load(&mu_test_alloc_failed), 5);
    mu__buffer_deinit(&out);
}

/* ---- P4: depth, on a small stack ----------------------------------------------------------- */

/* `depth` containers inside one another: arrays, maps, or both in turn. */
static size_t nest(unsigned char *out, int depth, int kind)
{
    size_t size = 0;
    for (int i = 0; i < depth; i++) {
        if (kind == 0 || (kind == 2 && i % 2)) {
            out[size++] = i < depth - 1 ? 0x91 : 0x90;
        } else {
            out[size++] = i < depth - 1 ? 0x81 : 0x80;
            if (i < depth - 1)
                out[size++] = 0xc0;
        }
    }
    return size;
}

static void *check_depths(void *unused)
{
    unsigned char *bytes = malloc(400000);
    static const int depths[] = {MU_VALUE_DEPTH_MAX - 1, MU_VALUE_DEPTH_MAX, MU_VALUE_DEPTH_MAX + 1,
                                 100000};

    for (int kind = 0; kind < 3; kind++)
        for (size_t i = 0; i < 4; i++)
            mu_check_err(check(bytes, nest(bytes, depths[i], kind)),
                         depths[i] <= MU_VALUE_DEPTH_MAX ? MU_OK : MU_EDEPTH);
    memset(bytes, 0x91, 100000);
    mu_check_err(check(bytes, 100000), MU_EDEPTH);
    mu_check_contains(detail.message, ": nested deeper than 31 containers");
    free(bytes);
    return unused;
}

MU_TEST(check, P4_the_depth_limit_holds_on_a_thread_stack_of_64_kib)
{
    pthread_attr_t attr;
    pthread_t thread;

    pthread_attr_init(&attr);
    mu_check_eq(pthread_attr_setstacksize(&attr, 64 * 1024 * MU_TEST_SCALE), 0);
    mu_check_eq(pthread_create(&thread, &attr, check_depths, NULL), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attr);
}
