#include <muster/builder.h>

#include <stdio.h>

#include "base/builder.h"
#include "base/value.h"
#include "support/mu_test.h"
#include "support/mu_test_alloc.h"

static mu_error detail;

static void check_bytes(const mu_value *v, const void *bytes, size_t size)
{
    size_t got;
    const void *data = mu_value_bytes(v, &got);
    mu_check_eq(got, size);
    mu_check_mem(data, bytes, size);
}

/* Packs, expects exactly these bytes. */
#define PACKS(literal, ...)                                                                        \
    do {                                                                                           \
        mu_value v_;                                                                               \
        mu_check_ok(mu_value_pack(&v_, NULL, __VA_ARGS__));                                        \
        check_bytes(&v_, literal, sizeof(literal) - 1);                                            \
        mu_value_clear(&v_);                                                                       \
    } while (0)

#define REFUSES(err_, text_, ...)                                                                  \
    do {                                                                                           \
        mu_value v_;                                                                               \
        detail = (mu_error)MU_ERROR_INIT;                                                          \
        mu_check_err(mu_value_pack(&v_, &detail, __VA_ARGS__), err_);                              \
        mu_check_err(detail.code, err_);                                                           \
        mu_check_contains(detail.message, text_);                                                  \
    } while (0)

MU_TEST(builder, each_character_of_a_format_packs_its_type)
{
    mu_value inner;

    PACKS("\x01", "i", 1);
    PACKS("\xff", "I", (int64_t)-1);
    PACKS("\xce\xff\xff\xff\xff", "u", UINT32_MAX);
    PACKS("\xcf\xff\xff\xff\xff\xff\xff\xff\xff", "U", UINT64_MAX);
    PACKS("\xcb\x3f\xf8\0\0\0\0\0\0", "f", 1.5);
    PACKS("\x93\xc3\xc2\xc0", "[b,b,n]", 7, 0);
    PACKS("\xa2hi", "s", "hi");
    PACKS("\xa1h", "s#", "hi", (size_t)1);
    PACKS("\x92\xa2hi\xc0", "[s?s?]", "hi", NULL);
    PACKS("\xc4\x02hi", "y#", "hi", (size_t)2);
    PACKS("\x92\xa0\xc4\x00", "[s#, y#]", NULL, (size_t)0, NULL, (size_t)0);
    PACKS("\x82\xa1"
          "a\x92\x01\x02\x05\x80",
          "{ s : [ i, i ], i : {} }", "a", 1, 2, 5);
    mu_check_ok(mu_value_pack(&inner, NULL, "[i]", 9));
    PACKS("\x81\xa1v\x92\x91\x09\xc0", "{s:[v,v]}", "v", &inner, (const mu_value *)NULL);
    mu_value_clear(&inner);
}

MU_TEST(builder, a_wrong_format_is_refused_and_told)
{
    REFUSES(MU_EINVAL, "means nothing (format \"{s:q}\", character 4)", "{s:q}", "a");
    REFUSES(MU_EINVAL, "$.a: a key without a value", "{s}", "a");
    REFUSES(MU_EINVAL, "$.a: a container that was not ended", "{s:", "a");
    REFUSES(MU_EINVAL, "a map ended as an array", "{]");
    REFUSES(MU_EINVAL, "an array ended as a map", "[}");
    REFUSES(MU_EINVAL, "an end without a begin", "]");
    REFUSES(MU_EINVAL, "nothing was put", "");
    REFUSES(MU_EINVAL, "more than one value", "ii", 1, 2);
    REFUSES(MU_EINVAL, "$.a[1]: a string that is NULL", "{s:[i,s]}", "a", 1, (const char *)NULL);
    REFUSES(MU_EINVAL, "$[0]: binary needs its size", "[y]", "a");
    REFUSES(MU_EINVAL, "binary that is NULL", "y#", NULL, (size_t)4);
    REFUSES(MU_EINVAL, "the format is NULL", NULL);
}

MU_TEST(builder, what_cannot_travel_is_refused_with_its_path)
{
    REFUSES(MU_EDECODE, "$.rows[1]: a string that is not UTF-8", "{s:[i,s]}", "rows", 1, "\xff");
    REFUSES(MU_EDECODE, "$: key number 2: a key that the map holds twice", "{s:i,s:i}", "a", 1, "a",
            2);
    REFUSES(MU_EDECODE, "$: key number 1: a key that is a container", "{[]:i}", 1);
}

MU_TEST(builder, P4_values_nest_as_deep_as_the_reader_accepts_and_no_deeper)
{
    for (int depth = MU_VALUE_DEPTH_MAX - 1; depth <= MU_VALUE_DEPTH_MAX + 1; depth++) {
        mu_builder *b = mu_builder_new();
        mu_value v, again;
        size_t size;
        for (int i = 0; i < depth; i++)
            i % 2 ? mu_builder_array_begin(b) : (mu_builder_map_begin(b), mu_builder_nil(b));
        mu_builder_nil(b);
        for (int i = depth - 1; i >= 0; i--)
            i % 2 ? mu_builder_array_end(b) : mu_builder_map_end(b);
        mu_err err = mu_builder_finish(b, &v, &detail);
        mu_check_err(err, depth <= MU_VALUE_DEPTH_MAX ? MU_OK : MU_EDEPTH);
        if (err == MU_OK) {
            const void *bytes = mu_value_bytes(&v, &size);
            mu_check_ok(mu_value_from_bytes(bytes, size, &again, NULL));
            mu_value_clear(&again);
            mu_value_clear(&v);
        } else {
            mu_check_contains(detail.message, ": nested deeper than 31 containers");
        }
        mu_builder_free(b);
    }
}

MU_TEST(builder, P4_a_value_put_into_another_counts_with_its_own_depth)
{
    mu_value v, next;

    mu_check_ok(mu_value_pack(&v, NULL, "[]"));
    for (int depth = 2; depth <= MU_VALUE_DEPTH_MAX; depth++) {
        mu_check_ok(mu_value_pack(&next, NULL, "[v]", &v));
        mu_value_clear(&v);
        v = next;
    }
    REFUSES(MU_EDEPTH, "nested deeper than 31 containers", "[v]", &v);
    mu_value_clear(&v);
}

/* Heads take 1, 3 or 5 bytes; the count is only known at the end. */
MU_TEST(builder, containers_of_every_size_get_the_shortest_head)
{
    static const size_t counts[] = {0, 1, 15, 16, 17, 65535, 65536, 70000};
    mu_builder *b = mu_builder_new();

    for (size_t n = 0; n < sizeof counts / sizeof counts[0]; n++) {
        mu_value v;
        size_t size, count = counts[n];
        mu_builder_array_begin(b);
        for (size_t i = 0; i < count; i++)
            mu_builder_int(b, (int64_t)(i % 100));
        mu_builder_array_end(b);
        mu_check_ok(mu_builder_finish(b, &v, NULL));
        mu_check_eq(mu_value_count(&v, NULL), count);
        (void)mu_value_bytes(&v, &size);
        mu_check_eq(size, count + (count < 16 ? 1 : count < 65536 ? 3 : 5));
        mu_value_clear(&v);

        mu_builder_map_begin(b);
        for (size_t i = 0; i < count; i++) {
            mu_builder_uint(b, 0x100000000u + i);
            mu_builder_array_begin(b);
            mu_builder_array_end(b);
        }
        mu_builder_map_end(b);
        mu_check_ok(mu_builder_finish(b, &v, NULL));
        (void)mu_value_bytes(&v, &size);
        mu_check_eq(size, 10 * count + (count < 16 ? 1 : count < 65536 ? 3 : 5));
        mu_value_clear(&v);
    }
    mu_builder_free(b);
}

MU_TEST(builder, the_first_error_is_kept_and_the_builder_is_fresh_after_finish)
{
    mu_builder *b = mu_builder_new();
    mu_value v;

    mu_builder_map_begin(b);
    mu_builder_str(b, "name");
    mu_builder_array_end(b);
    mu_builder_str(b, NULL);
    mu_check_err(mu_builder_finish(b, &v, &detail), MU_EINVAL);
    mu_check_str(detail.message, "$.name: a map ended as an array");
    mu_builder_bin(b, "\0", 1);
    mu_check_ok(mu_builder_finish(b, &v, NULL));
    check_bytes(&v, "\xc4\x01\0", 3);
    mu_value_clear(&v);
    mu_builder_free(b);
}

MU_TEST(builder, a_builder_that_is_null_has_run_out_of_memory)
{
    mu_value v;

    mu_builder_map_begin(NULL);
    mu_builder_str(NULL, "x");
    mu_builder_value(NULL, NULL);
    mu_builder_map_end(NULL);
    mu_check_err(mu_builder_finish(NULL, &v, &detail), MU_ENOMEM);
    mu_builder_free(NULL);
}

/* Every way to grow, once per allocation: long text, heads that need more room, the shrinking at
 * the end. */
MU_TEST(builder, without_memory_building_fails_and_leaks_nothing)
{
    static char text[3000];
    memset(text, 'x', sizeof text - 1);

    mu_test_each_failing_alloc(sys)
    {
        mu_builder b;
        mu_value v;
        mu__builder_init(&b, sys);
        mu_builder_array_begin(&b);
        for (int i = 0; i < 200; i++)
            mu_builder_int(&b, i * 1000);
        mu_builder_str(&b, text);
        mu_builder_array_end(&b);
        mu_err err = mu_builder_finish(&b, &v, &detail);
        if (err == MU_OK) {
            mu_check_eq(mu_value_count(&v, NULL), (size_t)201);
            mu_value_clear(&v);
            if (atomic_load(&mu_test_alloc_countdown) > 0)
                break;
            continue; /* only the shrinking failed, which is no error */
        }
        mu_check_err(err, MU_ENOMEM);
    }
    mu_check_ge(atomic_load(&mu_test_alloc_failed), 5);
}
