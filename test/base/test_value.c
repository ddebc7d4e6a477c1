#include <muster/value.h>

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/value.h"
#include "support/mu_stopwatch.h"
#include "support/mu_test.h"
#include "support/mu_test_alloc.h"

#define PACK(value, ...) mu_check_ok(mu_value_pack((value), NULL, __VA_ARGS__))

static mu_error detail;

MU_TEST(value, an_empty_value_is_nil)
{
    mu_value v = MU_VALUE_INIT, part;
    size_t size;

    mu_check_eq((int)mu_value_type(&v, NULL), (int)MU_TYPE_NIL);
    mu_check_mem(mu_value_bytes(&v, &size), "\xc0", 1);
    mu_check_eq(size, (size_t)1);
    mu_check_ok(mu_value_at(&v, "$", &part, NULL));
    mu_check_eq((int)mu_value_type(&part, ""), (int)MU_TYPE_NIL);
    mu_value_clear(&v);
    mu_value_clear(&v);
    mu_value_clear(NULL);
}

MU_TEST(value, integers_keep_their_64_bits_with_and_without_sign)
{
    static const int64_t ints[] = {
        0,         1,  127, 128, 255,  256,  65535,  65536,  INT32_MAX, UINT32_MAX,
        INT64_MAX, -1, -32, -33, -128, -129, -32768, -32769, INT32_MIN, (int64_t)INT32_MIN - 1,
        INT64_MIN};
    int64_t got;
    uint64_t got_unsigned;

    for (size_t i = 0; i < sizeof ints / sizeof ints[0]; i++) {
        mu_value v;
        PACK(&v, "I", ints[i]);
        mu_check_ok(mu_value_get_int(&v, NULL, &got, NULL));
        mu_check(got == ints[i]);
        mu_check_err(mu_value_get_uint(&v, NULL, &got_unsigned, NULL),
                     ints[i] < 0 ? MU_ETYPE : MU_OK);
        mu_check(mu_value_double(&v, NULL, 0.5) == (double)ints[i]);
        mu_value_clear(&v);
    }
    mu_value v;
    PACK(&v, "U", UINT64_MAX);
    mu_check_ok(mu_value_get_uint(&v, NULL, &got_unsigned, NULL));
    mu_check(got_unsigned == UINT64_MAX);
    mu_check_err(mu_value_get_int(&v, NULL, &got, &detail), MU_ETYPE);
    mu_check_str(detail.message, "$: 18446744073709551615 does not fit into int64_t");
    mu_check_eq(mu_value_int(&v, NULL, -7), INT64_C(-7));
    mu_value_clear(&v);
    PACK(&v, "i", -5);
    mu_check_err(mu_value_get_uint(&v, NULL, &got_unsigned, &detail), MU_ETYPE);
    mu_check_str(detail.message, "$: -5 does not fit into uint64_t");
    mu_value_clear(&v);
}

MU_TEST(value, doubles_keep_nan_infinity_and_the_sign_of_zero)
{
    mu_value v;

    PACK(&v, "[f,f,f,f,f]", NAN, INFINITY, -INFINITY, -0.0, 0.1);
    mu_check(isnan(mu_value_double(&v, "[0]", 0)));
    mu_check(mu_value_double(&v, "[1]", 0) == INFINITY);
    mu_check(mu_value_double(&v, "[2]", 0) == -INFINITY);
    mu_check(signbit(mu_value_double(&v, "[3]", 1)));
    mu_check(mu_value_double(&v, "[4]", 0) == 0.1);
    mu_value_clear(&v);
    mu_check_ok(mu_value_from_bytes("\xca\x3f\xc0\x00\x00", 5, &v, NULL));
    mu_check(mu_value_double(&v, NULL, 0) == 1.5);
    mu_value_clear(&v);
}

MU_TEST(value, strings_and_binary_keep_embedded_zeros)
{
    mu_value v;
    const char *text;
    const void *data;
    size_t size;

    PACK(&v, "{s:s#, s:y#}", "text", "a\0b", (size_t)3, "data", "\0\xff", (size_t)2);
    mu_check_ok(mu_value_get_str(&v, "text", &text, &size, NULL));
    mu_check_eq(size, (size_t)3);
    mu_check_mem(text, "a\0b", 3);
    mu_check_mem(mu_value_str(&v, "text", NULL), "a\0b", 4);
    mu_check_ok(mu_value_get_bin(&v, "data", &data, &size, NULL));
    mu_check_eq(size, (size_t)2);
    mu_check_mem(data, "\0\xff", 2);
    mu_check_err(mu_value_get_bin(&v, "text", &data, &size, &detail), MU_ETYPE);
    mu_check_str(detail.message, "$.text: a string, not binary");
    mu_value_clear(&v);
}

MU_TEST(value, paths_lead_to_members_elements_and_keys_that_are_no_strings)
{
    mu_value v, part;

    PACK(&v, "{s:{s:[i,i,{s:s}]}, i:s, i:s, s:b, s:n}", "a", "b", 1, 2, "c", "deep", 7, "seven", -7,
         "minus", "x.y[0]", 1, "none");
    mu_check_str(mu_value_str(&v, "a.b[2].c", NULL), "deep");
    mu_check_str(mu_value_str(&v, "$.a.b[2].c", NULL), "deep");
    mu_check_str(mu_value_str(&v, ".a[\"b\"][2].c", NULL), "deep");
    mu_check_str(mu_value_str(&v, "[7]", NULL), "seven");
    mu_check_str(mu_value_str(&v, "$[-7]", NULL), "minus");
    mu_check(mu_value_bool(&v, "[\"x.y[0]\"]", false));
    mu_check_eq((int)mu_value_type(&v, "none"), (int)MU_TYPE_NIL);
    mu_check_eq((int)mu_value_type(&v, "nothing"), (int)MU_TYPE_NONE);
    mu_check_eq(mu_value_count(&v, "a.b"), (size_t)3);
    mu_check_eq(mu_value_count(&v, ""), (size_t)5);
    mu_check_eq(mu_value_count(&v, "none"), (size_t)0);
    mu_check_ok(mu_value_at(&v, "a.b", &part, NULL));
    mu_check_eq(mu_value_int(&part, "[1]", 0), INT64_C(2));
    mu_value_clear(&v);
}

MU_TEST(value, errors_name_path_and_type)
{
    mu_value v;
    bool b;
    int64_t i;

#define FAILS(err, path, text)                                                                     \
    do {                                                                                           \
        mu_check_err(mu_value_get_int(&v, path, &i, &detail), err);                                \
        mu_check_str(detail.message, text);                                                        \
    } while (0)
    PACK(&v, "{s:[i,s]}", "a", 1, "two");
    FAILS(MU_ETYPE, "a[1]", "$.a[1]: a string, not an integer");
    FAILS(MU_ETYPE, "$.a", "$.a: an array, not an integer");
    FAILS(MU_ETYPE, NULL, "$: a map, not an integer");
    FAILS(MU_ENOTFOUND, "a[2].x", "$.a[2]: not in the array of 2");
    FAILS(MU_ENOTFOUND, "a[-1]", "$.a[-1]: not in the array of 2");
    FAILS(MU_ENOTFOUND, "b.c", "$.b: not in the map");
    FAILS(MU_ENOTFOUND, "a[0].x", "$.a[0].x: an integer has no parts");
    FAILS(MU_EINVAL, "a.", "\"a.\" is no path");
    FAILS(MU_EINVAL, "a..b", "\"a..b\" is no path");
    FAILS(MU_EINVAL, "a[x]", "\"a[x]\" is no path");
    FAILS(MU_EINVAL, "a[1", "\"a[1\" is no path");
    FAILS(MU_EINVAL, "a[\"1]", "\"a[\"1]\" is no path");
    mu_check_err(mu_value_get_bool(&v, "a[0]", &b, &detail), MU_ETYPE);
    mu_check_str(detail.message, "$.a[0]: an integer, not a boolean");
    mu_value_clear(&v);
}

MU_TEST(value, a_default_is_returned_for_what_is_missing_or_of_another_type)
{
    mu_value v;

    PACK(&v, "{s:s, s:f}", "s", "text", "f", 1.5);
    mu_check_eq(mu_value_int(&v, "s", 3), INT64_C(3));
    mu_check_eq(mu_value_int(&v, "f", 3), INT64_C(3));
    mu_check_eq(mu_value_uint(&v, "x", 4), UINT64_C(4));
    mu_check(mu_value_bool(&v, "s", true));
    mu_check(mu_value_double(&v, "s", 2.5) == 2.5);
    mu_check_str(mu_value_str(&v, "f", "none"), "none");
    mu_check(mu_value_str(&v, "f", NULL) == NULL);
    mu_value_clear(&v);
}

MU_TEST(value, iteration_gives_items_in_order_with_their_keys)
{
    mu_value v, key, item;
    int64_t sum = 0;

    PACK(&v, "{s:[i,[i,i],i], s:i, i:s}", "list", 10, 1, 2, 30, "x", 5, 9, "nine");
    mu_value_iter it = mu_value_iterate(&v, "list");
    for (size_t i = 0; mu_value_next(&it, NULL, &item); i++) {
        mu_check_eq(it.index, i);
        sum += mu_value_int(&item, NULL, 0) + mu_value_int(&item, "[1]", 0);
    }
    mu_check_eq(sum, INT64_C(42));
    it = mu_value_iterate(&v, NULL);
    mu_check(mu_value_next(&it, &key, NULL));
    mu_check_str(mu_value_str(&key, NULL, NULL), "list");
    mu_check(mu_value_next(&it, &key, &item));
    mu_check_eq(mu_value_int(&item, NULL, 0), INT64_C(5));
    mu_check(mu_value_next(&it, &key, &item));
    mu_check_eq(mu_value_int(&key, NULL, 0), INT64_C(9));
    mu_check(!mu_value_next(&it, &key, &item));
    it = mu_value_iterate(&v, "x");
    mu_check(!mu_value_next(&it, NULL, NULL));
    it = mu_value_iterate(&v, "no such");
    mu_check(!mu_value_next(&it, NULL, NULL));
    mu_value_clear(&v);
}

MU_TEST(value, a_copied_part_outlives_the_value_it_was_taken_from)
{
    mu_value v, part, kept;

    PACK(&v, "{s:[s,s]}", "names", "ada", "grace");
    mu_check_ok(mu_value_at(&v, "names[1]", &part, NULL));
    mu_value_clear(&part); /* borrowed: gives nothing up */
    mu_check_ok(mu_value_at(&v, "names[1]", &part, NULL));
    mu_value_copy(&part, &kept);
    mu_value_clear(&v);
    mu_check_str(mu_value_str(&kept, NULL, NULL), "grace");
    mu_value_clear(&kept);
}

MU_TEST(value, the_same_string_is_terminated_once_and_every_string_of_a_large_value_quickly)
{
    enum { COUNT = 100000 };
    mu_value v, item;
    unsigned char *bytes = malloc(5 + 8 * COUNT), *at = bytes + 5;

    memcpy(bytes, "\xdd\x00\x01\x86\xa0", 5);
    for (int i = 0; i < COUNT; i++, at += 8) {
        char text[8];
        snprintf(text, sizeof text, "%07d", i);
        at[0] = 0xa7;
        memcpy(at + 1, text, 7);
    }
    mu_check_ok(mu_value_from_bytes(bytes, 5 + 8 * COUNT, &v, NULL));
    free(bytes);
    mu_value_iter it = mu_value_iterate(&v, NULL);
    mu_stopwatch watch;
    mu_stopwatch_start(&watch);
    for (int i = 0; mu_value_next(&it, NULL, &item); i++)
        mu_check_eq(atoi(mu_value_str(&item, NULL, "-1")), i);
    mu_stopwatch_stop(&watch);
    mu_check_lt(watch.ran_ms, 2000 * MU_TEST_SCALE);
    mu_check(mu_value_str(&v, "[7]", NULL) == mu_value_str(&v, "[7]", NULL));
    mu_value_clear(&v);
}

static void *read_strings(void *arg)
{
    const mu_value *v = arg;
    mu_value mine;

    for (int round = 0; round < 200; round++) {
        mu_value_copy(v, &mine);
        mu_check_str(mu_value_str(&mine, "a", NULL), "one");
        mu_check_str(mu_value_str(&mine, "b", NULL), "two");
        mu_value_clear(&mine);
    }
    return NULL;
}

MU_TEST(value, threads_may_read_and_copy_one_value_at_once)
{
    pthread_t threads[4];
    mu_value v;

    for (int round = 0; round < 50; round++) {
        PACK(&v, "{s:s, s:s}", "a", "one", "b", "two");
        for (int i = 0; i < 4; i++)
            mu_check_eq(pthread_create(&threads[i], NULL, read_strings, &v), 0);
        for (int i = 0; i < 4; i++)
            pthread_join(threads[i], NULL);
        mu_value_clear(&v);
    }
}

MU_TEST(value, raw_bytes_come_in_checked_and_go_out_unchanged)
{
    static const char bytes[] = "\x82\xa1x\x01\x05\x92\xc0\xc3";
    mu_value v = MU_VALUE_INIT;
    size_t size;

    mu_check_ok(mu_value_from_bytes(bytes, sizeof bytes - 1, &v, NULL));
    mu_check_mem(mu_value_bytes(&v, &size), bytes, sizeof bytes - 1);
    mu_check_eq(size, sizeof bytes - 1);
    mu_value_clear(&v);
    mu_check_err(mu_value_from_bytes("\x01\x02", 2, &v, &detail), MU_EDECODE);
    mu_check_str(detail.message, "$: 1 bytes behind the value");
    mu_check_err(mu_value_from_bytes("", 0, &v, &detail), MU_EDECODE);
    mu_check_err(mu_value_from_bytes(NULL, (size_t)UINT32_MAX, &v, &detail), MU_ETOOBIG);
    mu_check(v.data_ == NULL);
}

MU_TEST(value, without_memory_making_one_fails_and_asking_for_text_gives_the_default)
{
    mu_value v;

    mu_test_each_failing_alloc(sys)
    {
        mu_err err = mu__value_from_bytes(sys, "\xa2hi", 3, &v, &detail);
        if (err != MU_OK) {
            mu_check_err(err, MU_ENOMEM);
            continue;
        }
        const char *text = mu_value_str(&v, NULL, "default");
        bool whole = strcmp(text, "hi") == 0;
        mu_check(whole || strcmp(text, "default") == 0);
        mu_value_clear(&v);
        if (whole)
            break;
    }
    mu_check_eq(atomic_load(&mu_test_alloc_failed), 3);
}
