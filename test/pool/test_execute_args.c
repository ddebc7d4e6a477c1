/* Arguments written in the call and results read from it: what survives the way to a worker and
 * back, and how what cannot travel is told. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "pool/pool_rig.h"

static void check_same(const mu_value *a, const mu_value *b)
{
    size_t size, size_b;
    const void *bytes = mu_value_bytes(a, &size), *bytes_b = mu_value_bytes(b, &size_b);
    mu_check_eq(size, size_b);
    mu_check_mem(bytes, bytes_b, size);
}

/* The text that comes back when `json` is echoed. */
static void check_echo(pool_rig *rig, const char *json, const char *expected)
{
    char *text;
    mu_error_clear(&rig->error);
    mu_err err = mu_pool_execute_json(rig->pool, "echo", json, NULL, &text, &rig->error);
    mu_check_msg(err == MU_OK, "%s: %s", json ? json : "NULL", rig->error.message);
    mu_check_str(text, expected);
    free(text);
}

/* The request is refused before anything is sent, and the message says what this says. */
static void check_not_sent(pool_rig *rig, const char *json, mu_err err, const char *message)
{
    mu_pool_stats before, after;
    mu_pool_stats_get(rig->pool, &before);
    mu_error_clear(&rig->error);
    mu_check_err(mu_pool_execute_json(rig->pool, "echo", json, NULL, NULL, &rig->error), err);
    mu_check_err(rig->error.code, err);
    mu_check_contains(rig->error.message, message);
    mu_pool_stats_get(rig->pool, &after);
    mu_check_eq(before.requests, after.requests);
}

MU_TEST(execute_args, a_format_string_and_paths_with_defaults_are_a_whole_request)
{
    pool_rig rig;
    mu_value result;
    rig_start(&rig, 1);
    mu_check_ok(mu_pool_executef(rig.pool, "echo", NULL, &result, &rig.error,
                                 "{s:i, s:[f,{s:s}], s:n}", "count", 7, "rows", 2.5, "name", "ada",
                                 "nothing"));
    mu_check_eq(mu_value_int(&result, "count", -1), 7);
    mu_check(mu_value_double(&result, "rows[0]", 0) == 2.5);
    mu_check_str(mu_value_str(&result, "rows[1].name", "?"), "ada");
    mu_check_eq(mu_value_type(&result, "nothing"), MU_TYPE_NIL);
    mu_check_eq(mu_value_int(&result, "rows[1].name", -1), -1);
    mu_check_eq(mu_value_int(&result, "rows[9]", -2), -2);
    mu_value_clear(&result);
    mu_check_ok(mu_pool_executef(rig.pool, "echo", NULL, NULL, NULL, "n"));
    rig_stop(&rig);
}

MU_TEST(execute_args, what_json_lacks_survives_both_ways_and_so_do_raw_bytes)
{
    pool_rig rig;
    mu_value sent, back, packed;
    size_t size;
    rig_start(&rig, 1);
    mu_check_ok(mu_value_pack(&sent, NULL, "[I,U,f,f,f,s#,y#,{i:s, n:b, f:i, y#:i, I:n},[],{}]",
                              INT64_MIN, UINT64_MAX, (double)NAN, (double)INFINITY, -0.0, "a\0b",
                              (size_t)3, "\0\xff", (size_t)2, 1, "one", 1, 2.5, 3, "\0", (size_t)1,
                              4, INT64_C(-5000000000)));
    mu_check_ok(mu_pool_executef(rig.pool, "echo", NULL, &back, NULL, "v", &sent));
    check_same(&sent, &back);

    /* Who has a packer of their own gives and takes the bytes. */
    const void *bytes = mu_value_bytes(&back, &size);
    mu_check_ok(mu_value_from_bytes(bytes, size, &packed, NULL));
    mu_value_clear(&back);
    mu_check_ok(mu_pool_execute(rig.pool, "echo", &packed, NULL, &back, NULL));
    check_same(&sent, &back);
    mu_value_clear(&packed);
    mu_value_clear(&back);

    char *text;
    mu_check_ok(mu_value_to_json(&sent, &text, NULL));
    check_echo(&rig, text, text);
    free(text);
    mu_value_clear(&sent);
    rig_stop(&rig);
}

MU_TEST(execute_args, json_in_is_json_out)
{
    pool_rig rig;
    rig_start(&rig, 1);
    check_echo(&rig, NULL, "null");
    check_echo(&rig, " {\"a\" : [1, 2.0, \"\\u0000\"]}\n", "{\"a\": [1, 2.0, \"\\u0000\"]}");
    check_echo(&rig, "[9223372036854775808, 18446744073709551615, -9223372036854775808]",
               "[9223372036854775808, 18446744073709551615, -9223372036854775808]");
    check_echo(&rig, "{\"$map\": [[1, {\"$float\": \"NaN\"}], [null, {\"$bin\": \"AP8=\"}]]}",
               "{\"$map\": [[1, {\"$float\": \"NaN\"}], [null, {\"$bin\": \"AP8=\"}]]}");
    mu_check_ok(mu_pool_execute_json(rig.pool, "echo", "1", NULL, NULL, NULL));
    rig_stop(&rig);
}

MU_TEST(execute_args, json_that_cannot_travel_is_refused_by_path_and_type_and_never_sent)
{
    pool_rig rig;
    char deep[2 * MU_VALUE_DEPTH_MAX + 3];
    rig_start(&rig, 1);
    check_not_sent(&rig, "{\"a\": [18446744073709551616]}", MU_EDECODE,
                   "line 1, column 8: $.a[0]: an integer of more than 64 bits");
    check_not_sent(&rig, "[-9223372036854775809]", MU_EDECODE,
                   "$[0]: an integer of more than 64 bits");
    check_not_sent(&rig, "{\"a\":\n 1e400}", MU_EDECODE,
                   "line 2, column 2: $.a: a number that is too large for a double");
    check_not_sent(&rig, "{\"a\": {\"b\": 1, \"b\": 2}}", MU_EDECODE,
                   "$.a: key number 2: a key that the map holds twice");
    check_not_sent(&rig, "[0, \"\xc3\x28\"]", MU_EDECODE, "$[1]: a string that is not UTF-8");
    check_not_sent(&rig, "{\"a\": NaN}", MU_EDECODE, "line 1, column 7: not a JSON value");
    check_not_sent(&rig, "{\"$map\": [[1, 2], [true, 4]]}", MU_EDECODE, /* one in Python */
                   "$: key number 2: a key that the map holds twice");
    check_not_sent(&rig, "", MU_EDECODE, "line 1, column 1: the text ends");
    memset(deep, '[', sizeof deep - 1);
    deep[sizeof deep - 1] = '\0';
    check_not_sent(&rig, deep, MU_EDEPTH, "nested deeper than 31");
    rig_stop(&rig);
}

MU_TEST(execute_args, a_wrong_format_says_where_and_nothing_is_sent)
{
    pool_rig rig;
    mu_pool_stats stats;
    rig_start(&rig, 1);
    mu_check_err(
        mu_pool_executef(rig.pool, "echo", NULL, NULL, &rig.error, "{s:i, s:q}", "a", 1, "b"),
        MU_EINVAL);
    mu_check_contains(rig.error.message, "(format \"{s:i, s:q}\", character 9)");
    mu_check_err(mu_pool_executef(rig.pool, "echo", NULL, NULL, &rig.error, "{s:[i", "a", 1),
                 MU_EINVAL);
    mu_check_contains(rig.error.message, "a container that was not ended");
    mu_check_err(mu_pool_executef(rig.pool, "echo", NULL, NULL, &rig.error, "[i}", 1), MU_EINVAL);
    mu_check_contains(rig.error.message, "an array ended as a map (format \"[i}\", character 3)");
    mu_check_err(mu_pool_executef(rig.pool, "echo", NULL, NULL, &rig.error, NULL), MU_EINVAL);
    mu_check_contains(rig.error.message, "the format is NULL");
    mu_check_err(mu_pool_executef(rig.pool, "echo", NULL, NULL, &rig.error, "{s:s}", "a", "\xff"),
                 MU_EDECODE);
    mu_check_contains(rig.error.message, "$.a: a string that is not UTF-8");
    mu_check_err(mu_pool_executef(NULL, "echo", NULL, NULL, &rig.error, "n"), MU_EINVAL);
    mu_check_err(mu_pool_execute_json(NULL, "echo", "1", NULL, NULL, &rig.error), MU_EINVAL);
    mu_pool_stats_get(rig.pool, &stats);
    mu_check_eq(stats.requests, 0u);
    rig_stop(&rig);
}

/* What a handler returns is looked at in the worker; the request alone fails. */
MU_TEST(execute_args, a_result_that_cannot_travel_is_told_by_path_and_type)
{
    static const char *const env[] = {"MUSTER_CALL_ALLOW=builtins.eval", NULL};
    static const struct {
        const char *python, *told;
    } results[] = {
        {"{'rows': [1, {2}]}", "$.rows[1]: a set has no form on the wire"},
        {"[0, {'n': 2**64}]", "$[1].n: an integer of more than 64 bits"},
        {"{'t': '\\ud800'}", "$.t: a string with half of a surrogate pair"},
        {"{'m': {(1, 2): 3}}", "$.m: key number 1: a tuple cannot be a key"},
        {"b'x' * 70000", "the limit is 65536"},
    };
    pool_rig rig;
    rig_prepare(&rig, 1);
    rig.options.env = env;
    rig.options.max_frame = 65536;
    mu_check_ok(rig_open(&rig));
    for (size_t i = 0; i < sizeof results / sizeof *results; i++) {
        mu_error_clear(&rig.error);
        mu_check_err(mu_pool_executef(rig.pool, "call", NULL, NULL, &rig.error, "{s:s, s:[s]}",
                                      "function", "builtins.eval", "args", results[i].python),
                     MU_EWORKER);
        mu_check_str(rig.error.type, "BadResult");
        mu_check_contains(rig.error.message, results[i].told);
    }
    mu_check_eq(rig_worker(&rig, 0).generation, 1u);
    rig_stop(&rig);
}

MU_TEST(execute_args, arguments_beyond_max_frame_are_refused_with_both_sizes)
{
    static char text[70001];
    pool_rig rig;
    rig_prepare(&rig, 1);
    rig.options.max_frame = 65536;
    mu_check_ok(rig_open(&rig));
    memset(text, 'x', sizeof text - 1);
    mu_check_err(mu_pool_executef(rig.pool, "echo", NULL, NULL, &rig.error, "s", text), MU_ETOOBIG);
    mu_check_contains(rig.error.message, "70005 bytes");
    mu_check_contains(rig.error.message, "65536 (max_frame)");
    mu_check_ok(rig_run(&rig, "ping"));
    rig_stop(&rig);
}
