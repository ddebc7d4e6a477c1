#include "base/json.h"

#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base64.h"
#include "support/mu_test.h"
#include "support/mu_test_alloc.h"

static mu_error detail;

static mu_err parse(const char *text, mu_value *ret)
{
    detail = (mu_error)MU_ERROR_INIT;
    return mu_value_from_json(text, strlen(text), ret, &detail);
}

/* The text that comes out when `text` goes in. */
static void becomes(const char *text, const char *expected)
{
    mu_value v, again;
    char *out, *second;
    size_t size;

    mu_check_msg(parse(text, &v) == MU_OK, "%s: %s", text, detail.message);
    mu_check_ok(mu_value_to_json(&v, &out, &size));
    mu_check_str(out, expected);
    mu_check_eq(size, strlen(expected));
    mu_check_ok(parse(out, &again));
    mu_check_ok(mu_value_to_json(&again, &second, NULL));
    mu_check_str(second, expected);
    free(out);
    free(second);
    mu_value_clear(&v);
    mu_value_clear(&again);
}

static void refused(const char *text, const char *expected)
{
    mu_value v;
    mu_check_msg(parse(text, &v) != MU_OK, "%s was accepted", text);
    mu_check_str(detail.message, expected);
}

MU_TEST(json, values_survive_the_way_there_and_back)
{
    becomes("null", "null");
    becomes(" [ true , false,null ]\r\n\t", "[true, false, null]");
    becomes("{\"a\": {\"b\": [1, [], {}]}, \"\": -1}", "{\"a\": {\"b\": [1, [], {}]}, \"\": -1}");
    becomes("18446744073709551615", "18446744073709551615");
    becomes("-9223372036854775808", "-9223372036854775808");
    becomes("-0", "0");
    becomes("\"a\\u0000b\\n\\u001f\\\"\\\\\\/\\ud83d\\ude00\\u20ac\"",
            "\"a\\u0000b\\n\\u001f\\\"\\\\/\xf0\x9f\x98\x80\xe2\x82\xac\"");
}

MU_TEST(json, doubles_are_written_with_the_fewest_digits_that_give_them_back)
{
    becomes("1.0", "1.0");
    becomes("-0.0", "-0.0");
    becomes("0.1", "0.1");
    becomes("1e2", "100.0");
    becomes("123.456E-2", "1.23456");
    becomes("0.00001", "0.00001");
    becomes("1e-6", "1e-6");
    becomes("1e15", "1000000000000000.0");
    becomes("1.5e16", "1.5e16");
    becomes("1.7976931348623157e+308", "1.7976931348623157e308");
    becomes("5e-324", "5e-324");
    becomes("0.30000000000000004", "0.30000000000000004");
    becomes("9007199254740993.0", "9007199254740992.0");
    becomes("1e-400", "0.0");
}

MU_TEST(json, random_doubles_are_the_same_bits_afterwards)
{
    unsigned first = (unsigned)mu_test_now_ms(), seed = first;

    for (int i = 0; i < 20000; i++) {
        uint64_t bits =
            (uint64_t)rand_r(&seed) << 40 ^ (uint64_t)rand_r(&seed) << 20 ^ (uint64_t)rand_r(&seed);
        double number, got;
        mu_value v, again;
        char *text;
        memcpy(&number, &bits, sizeof number);
        if (isnan(number))
            continue;
        mu_check_ok(mu_value_pack(&v, NULL, "f", number));
        mu_check_ok(mu_value_to_json(&v, &text, NULL));
        mu_check_ok(parse(text, &again));
        mu_check_ok(mu_value_get_double(&again, NULL, &got, NULL));
        mu_check_msg(memcmp(&got, &number, sizeof got) == 0, "%a became %a by way of %s, seed %u",
                     number, got, text, first);
        free(text);
        mu_value_clear(&v);
        mu_value_clear(&again);
    }
}

MU_TEST(json, what_json_lacks_has_a_form_and_survives)
{
    mu_value v, again;
    char *text;
    size_t size, size_again;

    mu_check_ok(mu_value_pack(&v, NULL, "[f,f,f, y#, {i:s, n:b}, {s:i}, {s:i, s:i}]", NAN, INFINITY,
                              -INFINITY, "\0\xff!", (size_t)3, 1, "one", 1, "$bin", 5, "a", 1,
                              "$map", 2));
    mu_check_ok(mu_value_to_json(&v, &text, NULL));
    mu_check_str(text, "[{\"$float\": \"NaN\"}, {\"$float\": \"Infinity\"}, "
                       "{\"$float\": \"-Infinity\"}, {\"$bin\": \"AP8h\"}, "
                       "{\"$map\": [[1, \"one\"], [null, true]]}, "
                       "{\"$map\": [[\"$bin\", 5]]}, {\"a\": 1, \"$map\": 2}]");
    mu_check_ok(parse(text, &again));
    const void *bytes = mu_value_bytes(&v, &size), *got = mu_value_bytes(&again, &size_again);
    mu_check_eq(size, size_again);
    mu_check_mem(bytes, got, size);
    free(text);
    mu_value_clear(&v);
    mu_value_clear(&again);
    becomes("{\"\\u0024bin\": \"\\u0041A==\"}", "{\"$bin\": \"AA==\"}");
    becomes("{\"$map\": []}", "{}");
    becomes("{\"$bin\": \"\"}", "{\"$bin\": \"\"}");
}

MU_TEST(json, bad_text_is_refused_with_line_and_column)
{
    refused("", "line 1, column 1: the text ends where a value should be");
    refused("[1,\n 2,\n  x]", "line 3, column 3: not a JSON value");
    refused("[1 2]", "line 1, column 4: ',' or ']' should be here");
    refused("[1,]", "line 1, column 4: not a JSON value");
    refused("[", "line 1, column 2: the text ends where a value should be");
    refused("{\"a\" 1}", "line 1, column 6: ':' should be here");
    refused("{\"a\": 1,}", "line 1, column 9: a name in quotes should be here");
    refused("{1: 1}", "line 1, column 2: a name in quotes should be here");
    refused("{\"a\": 1", "line 1, column 8: ',' or '}' should be here");
    refused("nul", "line 1, column 1: not a JSON value");
    refused("truefalse", "line 1, column 5: text behind the value");
    refused("01", "line 1, column 2: text behind the value");
    refused("1.", "line 1, column 2: text behind the value");
    refused("1e", "line 1, column 2: text behind the value");
    refused(".5", "line 1, column 1: not a JSON value");
    refused("-", "line 1, column 1: not a JSON value");
    refused("+1", "line 1, column 1: not a JSON value");
    refused("NaN", "line 1, column 1: not a JSON value");
    refused("[-Infinity]", "line 1, column 2: not a JSON value");
    refused("18446744073709551616", "line 1, column 1: $: an integer of more than 64 bits");
    refused("-9223372036854775809", "line 1, column 1: $: an integer of more than 64 bits");
    refused("1e309", "line 1, column 1: $: a number that is too large for a double");
    refused("\"abc", "line 1, column 5: the text ends inside a string");
    refused("\"a\nb\"", "line 1, column 3: a control character");
    refused("\"\\x\"", "line 1, column 3: an escape that JSON does not know");
    refused("\"\\", "line 1, column 3: an escape that JSON does not know");
    refused("\"\\u12g4\"", "line 1, column 6: \\u needs four hexadecimal digits");
    refused("\"\\ud800\"", "line 1, column 8: half of a surrogate pair");
    refused("\"\\ud800\\u0041\"", "line 1, column 14: half of a surrogate pair");
    refused("\"\\udc00\"", "line 1, column 8: half of a surrogate pair");
    refused("{\"$float\": \"nan\"}",
            "line 1, column 17: $float is \"NaN\", \"Infinity\" or \"-Infinity\"");
    refused("{\"$bin\": \"A\"}", "line 1, column 13: $bin is not base64");
    refused("{\"$bin\": \"\", \"a\": 1}",
            "line 1, column 12: '}' should be here: $float, $bin and $map stand alone");
    refused("{\"$map\": [[1]]}",
            "line 1, column 13: ',' should be here: $map is an array of pairs");
    refused("{\"a\": 1, \"a\": 2}", "$: key number 2: a key that the map holds twice");
    refused("{\"a\": [\"\xff\"]}", "$.a[0]: a string that is not UTF-8");
    mu_value v;
    mu_check_err(mu_value_from_json("1\0", 2, &v, &detail), MU_EDECODE);
    mu_check_str(detail.message, "line 1, column 2: a zero byte");
    mu_check_err(mu_value_from_json("[\0]", 3, &v, &detail), MU_EDECODE);
}

static void *nest_deeply(void *unused)
{
    enum { MANY = 100000 };
    char *text = malloc(2 * MANY + 1), *out;
    mu_value v;

    for (size_t depth = 30; depth <= 32; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        text[2 * depth] = '\0';
        mu_check_err(parse(text, &v), depth <= MU_VALUE_DEPTH_MAX ? MU_OK : MU_EDEPTH);
        if (depth > MU_VALUE_DEPTH_MAX)
            continue;
        mu_check_ok(mu_value_to_json(&v, &out, NULL));
        mu_check_str(out, text);
        free(out);
        mu_value_clear(&v);
    }
    memset(text, '[', MANY);
    text[MANY] = '\0';
    mu_check_err(parse(text, &v), MU_EDEPTH);
    for (int i = 0; i < MANY; i += 10)
        memcpy(text + i, "{\"$map\":[[", 11);
    mu_check(parse(text, &v) != MU_OK);
    free(text);
    return unused;
}

MU_TEST(json, P4_deep_text_is_refused_on_a_thread_stack_of_64_kib)
{
    pthread_attr_t attr;
    pthread_t thread;

    pthread_attr_init(&attr);
    mu_check_eq(pthread_attr_setstacksize(&attr, 64 * 1024 * MU_TEST_SCALE), 0);
    mu_check_eq(pthread_create(&thread, &attr, nest_deeply, NULL), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attr);
}

#ifdef __GLIBC__
/* Minimal systems have no locale with a comma, so one is made: localedef is part of libc-bin. */
static void use_comma_locale(const char *directory)
{
    char command[400];

    snprintf(
        command, sizeof command,
        "cd %s && printf 'LC_NUMERIC\\ndecimal_point \",\"\\nthousands_sep \"\"\\ngrouping -1\\n"
        "END LC_NUMERIC\\n' >comma.src; localedef -c -i ./comma.src ./comma >/dev/null 2>&1",
        directory);
    (void)!system(command);
    setenv("LOCPATH", directory, 1);
    mu_check(setlocale(LC_NUMERIC, "comma") != NULL);
}

MU_TEST(json, a_locale_with_a_decimal_comma_changes_nothing)
{
    char directory[] = "/tmp/mu-test-locale-XXXXXX", command[64], half[8];

    mu_check(mkdtemp(directory) != NULL);
    use_comma_locale(directory);
    snprintf(command, sizeof command, "rm -r %s", directory);
    mu_check_eq(system(command), 0);
    snprintf(half, sizeof half, "%.1f", 0.5);
    mu_check_str(half, "0,5");
    becomes("[1.5, -2.25e-7, 1e300, 3.0, 17]", "[1.5, -2.25e-7, 1e300, 3.0, 17]");
    refused("1,5", "line 1, column 2: text behind the value");
}
#endif

MU_TEST(json, without_memory_both_ways_fail_and_leak_nothing)
{
    static const char text[] = "{\"name\\n\": [1, 2.5, {\"$bin\": \"AAAA\\u0041AAA\"}, \"\\u20ac "
                               "a string that makes the buffers grow more than once, and then some "
                               "more of it so that there are several allocations to fail\\n\"]}";

    mu_test_each_failing_alloc(sys)
    {
        mu_value v;
        char *out;
        mu_err err = mu__value_from_json(sys, text, sizeof text - 1, &v, &detail);
        if (err == MU_OK) {
            err = mu__value_to_json(sys, &v, &out, NULL);
            mu_value_clear(&v);
        }
        if (err == MU_OK) {
            free(out);
            break;
        }
        mu_check_err(err, MU_ENOMEM);
    }
    mu_check_ge(atomic_load(&mu_test_alloc_failed), 5);
}

MU_TEST(json, base64_is_that_of_the_rfc_and_only_in_its_one_form)
{
    static const char *const pairs[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"}};
    static const char *const bad[] = {
        "A", "AA", "AAA", "====", "A===", "Zh==", "Zm9=", "AA=A", "AA==AAAA", "AA*=", "AAA\n"};
    char out[16];

    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        mu__buffer buffer;
        mu__buffer_init(&buffer, &mu__sys_real, 100);
        mu_check_ok(mu__base64_put(&buffer, pairs[i][0], strlen(pairs[i][0])));
        mu_check_eq(mu__buffer_size(&buffer), strlen(pairs[i][1]));
        if (pairs[i][1][0])
            mu_check_mem(mu__buffer_data(&buffer), pairs[i][1], strlen(pairs[i][1]));
        size_t size = mu__base64_decode(out, pairs[i][1], strlen(pairs[i][1]));
        mu_check_eq(size, strlen(pairs[i][0]));
        mu_check_mem(out, pairs[i][0], size);
        mu__buffer_deinit(&buffer);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        mu_check_msg(mu__base64_decode(out, bad[i], strlen(bad[i])) == MU__BASE64_BAD, "%s",
                     bad[i]);
}
