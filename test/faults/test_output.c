/*
 * What workers write past the protocol: much of it (C9), and on every way there is (C10).
 */
#include "fault_rig.h"

enum { MIB = 1024 * 1024 };

/* ---- C9 ------------------------------------------------------------------------------------ */

MU_TEST(output, C9_ten_mebibytes_without_a_newline_at_the_start_stall_nobody)
{
    fault_rig rig;
    fault_start(&rig, 2, "starts.py", "babble");
    mu_check_ok(rig_run(&rig.pool, "ping"));
    mu_check_eq(rig_available(&rig.pool), 2);
    fault_close(&rig);
    /* One line each, cut: the rest of it was counted and dropped. */
    mu_check_eq(atomic_load(&rig.lines), 2);
    mu_check_gt(atomic_load(&rig.dropped), 2 * 9 * MIB);
}

MU_TEST(output, C9_ten_mebibytes_in_mid_request_stall_nobody_and_stay_bounded)
{
    fault_rig rig;
    fault_start(&rig, 1, "misfit.py", NULL);
    mu_check_ok(fault_ask(&rig, "flood", 0, NULL, "{s:i}", "megabytes", 1));
    int64_t rss = fault_rss_kb();
    mu_check_ok(fault_ask(&rig, "flood", 20000, NULL, "{s:i}", "megabytes", 10));
    if (!MU_TEST_SANITIZED)
        mu_check_lt(fault_rss_kb() - rss, 1024);
    mu_check_eq(rig_worker(&rig.pool, 0).generation, 1u);
    fault_close(&rig);
}

MU_TEST(output, C9_the_error_of_a_crash_holds_the_last_lines_of_a_flood)
{
    fault_rig rig;
    fault_start(&rig, 1, "misfit.py", NULL);
    mu_check_err(fault_ask(&rig, "flood", 20000, NULL, "{s:i, s:i}", "megabytes", 10, "end", 4),
                 MU_ECRASHED);
    mu_check_contains(rig.pool.error.message, "exit status 4");
    mu_check_contains(rig.pool.error.detail, "the last line");
    mu_check_lt(strlen(rig.pool.error.detail), 8192u);
    fault_close(&rig);
}

/* ---- C10 ----------------------------------------------------------------------------------- */

static void babble(const char *how, const char *stream)
{
    fault_rig rig;
    char text[64], expected[128];
    fault_start(&rig, 1, "misfit.py", NULL);
    snprintf(text, sizeof text, "[1, 0, nil] said by %s", how);
    for (int i = 0; i < 3; i++) {
        mu_value result = MU_VALUE_INIT;
        const char *answer;
        size_t length;
        mu_check_ok(fault_ask(&rig, "babble", 0, &result, "{s:s, s:s}", "how", how, "text", text));
        mu_check_ok(mu_value_get_str(&result, "", &answer, &length, NULL));
        mu_check(length == strlen(how) && memcmp(answer, how, length) == 0);
        mu_value_clear(&result);
    }
    snprintf(expected, sizeof expected, "worker_1 %s: %s\n", stream, text);
    mu_wait_until(fault_heard(&rig, expected), 10000);
    mu_check_eq(fault_stats(&rig).late_replies, 0u);
    mu_check_eq(rig_worker(&rig.pool, 0).generation, 1u);
    fault_close(&rig);
}

MU_TEST(output, C10_print_reaches_the_events_and_not_the_protocol)
{
    babble("print", "stdout");
}

MU_TEST(output, C10_a_write_to_fd_1_reaches_the_events_and_not_the_protocol)
{
    babble("write", "stdout");
}

MU_TEST(output, C10_printf_in_C_reaches_the_events_and_not_the_protocol)
{
    babble("printf", "stdout");
}

MU_TEST(output, C10_faulthandler_reaches_the_events_and_not_the_protocol)
{
    babble("faulthandler", "stderr");
}

MU_TEST(output, C10_a_child_that_writes_to_fd_1_reaches_the_events_and_not_the_protocol)
{
    babble("child", "stdout");
}

MU_TEST(output, C10_the_traceback_of_a_segfault_is_in_the_error)
{
    fault_rig rig;
    fault_start(&rig, 1, NULL, NULL);
    mu_check_err(fault_ask(&rig, "crash", 0, NULL, "{s:s}", "how", "segv"), MU_ECRASHED);
    mu_check_contains(rig.pool.error.detail, "Segmentation fault");
    fault_close(&rig);
}
