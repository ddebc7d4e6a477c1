/* Options as text: numbers with and without units, words, lists with quotes, limits. */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <muster/muster.h>

#include "pool/option_text.h"
#include "pool/options.h"
#include "support/mu_test.h"

/* Reads one option into `options`; the block is the caller's to free. */
static mu_err read_into(mu_pool_options *options, const char *name, const char *text,
                        void **ret_block)
{
    mu_error error = MU_ERROR_INIT;
    *ret_block = NULL;
    *options = (mu_pool_options)MU_POOL_OPTIONS_INIT;
    mu_err err = mu__option_read(mu__option_find(name), text, options, ret_block, &error);
    mu_check_eq(err != MU_OK, error.message[0] != '\0');
    mu_error_clear(&error);
    return err;
}

static void check_refused(const char *name, const char *text)
{
    mu_pool_options options;
    void *block;
    mu_err err = read_into(&options, name, text, &block);
    mu_check_msg(err == MU_EINVAL, "%s = %s: %s", name, text, mu_err_name(err));
    mu_check(!block && !mu__option_is_set(mu__option_find(name), &options));
}

/* The same, and the message ends with it. */
static void check_told(const char *name, const char *text, const char *expected)
{
    mu_pool_options options = MU_POOL_OPTIONS_INIT;
    mu_error error = MU_ERROR_INIT;
    void *block = NULL;
    mu_err err = mu__option_read(mu__option_find(name), text, &options, &block, &error);
    mu_check_msg(err == MU_EINVAL, "%s = %s: %s", name, text, mu_err_name(err));
    mu_check_contains(error.message, expected);
    mu_error_clear(&error);
}

static void check_number(const char *name, const char *text, int64_t expected)
{
    mu_pool_options options;
    void *block;
    mu_err err = read_into(&options, name, text, &block);
    mu_check_msg(err == MU_OK, "%s = %s: %s", name, text, mu_err_name(err));
    mu_check_eq(mu__option_number(mu__option_find(name), &options), expected);
    mu_check(!block);
}

MU_TEST(option_text, a_number_has_digits_and_nothing_else)
{
    check_number("size", "8", 8);
    check_number("size", "007", 7);
    check_number("execution_timeout_ms", "infinity", MU_INFINITY);
    static const char *const bad[] = {"",    "x",  "8x",   "8 ", " 8",       "+8",
                                      "8.0", "0x", "1025", "-1", "infinity", "9223372036854775808",
                                      "\t8"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        check_refused("size", bad[i]);
    check_refused("execution_timeout_ms", "99999999999999999999");
    check_refused("execution_timeout_ms", "never");
}

MU_TEST(option_text, a_size_may_have_a_binary_unit)
{
    check_number("max_frame", "4096", 4096);
    check_number("max_frame", "2KiB", 2048);
    check_number("max_frame", "1GiB", INT64_C(1) << 30);
    static const char *const bad[] = {"",
                                      "KiB",
                                      "2 KiB",
                                      "2kib",
                                      "2KB",
                                      "2KiBx",
                                      "-1KiB",
                                      " 2KiB",
                                      "+2KiB",
                                      "4GiB", /* over what a frame may have */
                                      "18446744073709551617",
                                      "17179869185GiB" /* both 1 if cut to 64 bits */};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        check_refused("max_frame", bad[i]);
}

MU_TEST(option_text, a_size_in_an_unknown_unit_is_refused_with_the_units_there_are)
{
    check_told("max_rss", "8GB", "max_rss is '8GB'; allowed are 0 to ");
    check_told("max_rss", "8GB", " bytes, or with a unit: KiB, MiB, GiB");
    check_told("max_frame", "64M", " bytes, or with a unit: KiB, MiB, GiB");
}

MU_TEST(option_text, a_choice_is_one_of_its_words)
{
    check_number("balance", "lru", MU_BALANCE_LRU);
    check_number("session_affinity", "require", MU_AFFINITY_REQUIRE);
    check_refused("session_affinity", "always");
    check_number("balance", "least_loaded", MU_BALANCE_LEAST_LOADED);
    check_number("balance", "weighted", MU_BALANCE_WEIGHTED);
    check_refused("balance", "1");
    check_refused("balance", "LRU");
    check_refused("balance", "");
}

/* Takes "a|b|" for the words "a" and "b". */
static void check_list(const char *text, const char *expected)
{
    mu_pool_options options;
    void *block;
    char words[256] = "";
    mu_err err = read_into(&options, "args", text, &block);
    mu_check_msg(err == MU_OK, "%s: %s", text, mu_err_name(err));
    for (const char *const *word = options.args; *word; word++) {
        (void)strcat(words, *word);
        (void)strcat(words, "|");
    }
    mu_check_str(words, expected);
    free(block);
}

MU_TEST(option_text, a_list_is_split_at_blanks_outside_of_quotes)
{
    check_list("", "");
    check_list(" a\tb ", "a|b|");
    check_list("'a b' \"c d\"", "a b|c d|");
    check_list("a'b c'd", "ab cd|");
    check_list("'' \"\"", "||");
    check_list("'a\\b' a\\b \"a\\\\b\" \"a\\\"b\"", "a\\b|a\\b|a\\b|a\"b|");
    check_list("\"'\" '\"'", "'|\"|");
    check_refused("args", "'a");
    check_refused("args", "a \"b");
    check_refused("args", "\"a\\\"");
    check_refused("args", "\"a\\");
}

MU_TEST(option_text, limits_are_named_and_soft_is_no_more_than_hard)
{
    mu_pool_options options;
    void *block;
    mu_check_ok(read_into(&options, "rlimits", "core=0 as=1GiB:infinity stack=8MiB", &block));
    mu_check_eq(options.n_rlimits, 3u);
    mu_check_eq(options.rlimits[0].hard, 0u);
    mu_check_eq(options.rlimits[1].soft, UINT64_C(1) << 30);
    mu_check(options.rlimits[1].hard == RLIM_INFINITY);
    mu_check_eq(options.rlimits[2].resource, RLIMIT_STACK);
    free(block);
    static const char *const bad[] = {
        "core",    "core=",      "core=x",  "core=1:", "core=2:1", "cor=1",
        "cores=1", "core=1:2:3", "core=-1", "core 1",  "=1",       "core=infinity:1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        check_refused("rlimits", bad[i]);
    char many[128] = "";
    for (int i = 0; i < 16; i++)
        (void)strcat(many, "cpu=1 ");
    mu_check_ok(read_into(&options, "rlimits", many, &block));
    free(block);
    (void)strcat(many, "cpu=1");
    check_refused("rlimits", many);
}

MU_TEST(option_text, the_limit_that_is_wrong_is_named_with_what_is_wrong_with_it)
{
    static const char form[] = "; allowed are at most 16 of NAME=soft or NAME=soft:hard";
    check_told("rlimits", "core=0 nofiles=3 as=1", "rlimits: 'nofiles=3' names no limit");
    check_told("rlimits", "core=0 nofiles=3 as=1", form);
    check_told("rlimits", "core=0 nofile", "rlimits: 'nofile' has no =");
    check_told("rlimits", "core=0 as=8GB cpu", "rlimits: 'as=8GB' has a value that is no number");
    check_told("rlimits", "core=1:", "rlimits: 'core=1:' has a value that is no number");
    check_told("rlimits", "as=1 core=3:2", "rlimits: 'core=3:2' has a soft limit above the hard");
    check_told("rlimits", "=1", "rlimits: '=1' names no limit");
    char many[160] = "";
    for (int i = 0; i < 16; i++)
        (void)strcat(many, "cpu=1 ");
    (void)strcat(many, "stack=2 core");
    check_told("rlimits", many, "rlimits: 'stack=2' is one too many");
}

MU_TEST(option_text, what_the_options_own_check_refuses_leaves_nothing_behind)
{
    check_refused("env", "A=1 NOVALUE");
    check_refused("env", "=1");
    check_refused("env_allow", "A=1");
    check_refused("env_allow", "''");
    check_refused("cwd", "here");
    check_refused("script", "");
}
