/* Supervisors: boot, restart, strategies, intensity, stop. Ids: OTP's items SUP-xx. */
#include "otp/four_test.h"

/* ---- boot and stop ---- */

MU_TEST(supervisor, SUP_01_SUP_03_children_start_in_order_and_stop_in_reverse)
{
    mu_system *system = start_system();
    mu_pid pid = start_tree(system, MU_ONE_FOR_ONE, 0);
    mu_check_diary(&book, "+a +b +c +d");
    stop(pid);
    mu_check_diary(&book, "+a +b +c +d -d -c -b -a");
    stop_system(system);
}

MU_TEST(supervisor, SUP_01_SUP_38_a_nested_supervisor_has_its_place_in_the_order)
{
    mu_system *system = start_system();
    static const mu_child_spec inner[] = {KID(b), KID(c)};
    static const mu_supervisor_options nested = MU_SUPERVISOR(MU_CHILDREN(inner));
    static const mu_child_spec outer[] = {KID(a), MU_CHILD(.id = "nested", .supervisor = &nested),
                                          KID(d)};
    mu_supervisor_options options = MU_SUPERVISOR(MU_CHILDREN(outer));
    mu_pid pid;
    mu_check_ok(mu_supervisor_start(system, &options, &pid, NULL));
    stop(pid);
    mu_check_diary(&book, "+a +b +c +d -d -c -b -a");
    stop_system(system);
}

static void boot_failure(mu_system *system)
{
    mu_check_ok(mu_trap_exit(true, NULL));
    mu_supervisor_options options = MU_SUPERVISOR(MU_CHILDREN(four));
    atomic_store(&c.failing_starts, 1);
    mu_reason reason;
    mu_check_eq(mu_supervisor_start_link(system, &options, NULL, &reason), MU_EINIT);
    mu_check_eq(reason.cls, MU_REASON_SHUTDOWN);
    mu_check_contains(reason.text, "\"c\"");
    mu_check_contains(reason.text, "c will not start");
    mu_check_diary(&book, "+a +b !c -b -a");
    expect_empty_mailbox();
    mu_check_eq(mu_system_actors(system), 1u);
}

MU_TEST(supervisor, SUP_02_a_failed_start_stops_those_before_it_in_reverse)
{
    as_actor(boot_failure);
}

MU_TEST(supervisor, SUP_02_nested_failures_nest)
{
    mu_system *system = start_system();
    static const mu_child_spec inner[] = {KID(b), KID(c)};
    static const mu_supervisor_options nested = MU_SUPERVISOR(MU_CHILDREN(inner));
    static const mu_child_spec outer[] = {KID(a), MU_CHILD(.id = "n", .supervisor = &nested)};
    mu_supervisor_options options = MU_SUPERVISOR(MU_CHILDREN(outer));
    atomic_store(&c.failing_starts, 1);
    mu_reason reason;
    mu_check_eq(mu_supervisor_start(system, &options, NULL, &reason), MU_EINIT);
    mu_check_contains(reason.text, "\"n\"");
    mu_check_contains(reason.text, "\"c\"");
    mu_check_diary(&book, "+a +b !c -b -a");
    stop_system(system);
}

MU_TEST(supervisor, SUP_03_each_end_is_awaited_before_the_next_is_told)
{
    mu_system *system = start_system();
    mu_pid pid = start_tree(system, MU_ONE_FOR_ONE, 0);
    atomic_store(&b.slow_ms, 40);
    atomic_store(&d.slow_ms, 40);
    int64_t before = mu_test_now_ms();
    stop(pid);
    mu_check_ge(mu_test_now_ms() - before, 80);
    mu_check_diary(&book, "+a +b +c +d -d -c -b -a");
    stop_system(system);
}

static void check_refused(mu_system *system, mu_supervisor_options options, mu_err expected,
                          const char *why)
{
    mu_reason reason;
    mu_check_eq(mu_supervisor_start(system, &options, NULL, &reason), expected);
    mu_check_contains(reason.text, why);
    mu_check_diary(&book, "");
}

static void nothing(void *arg)
{
    (void)arg;
}

MU_TEST(supervisor, SUP_04_bad_flags_and_specs_are_named_and_start_nothing)
{
    mu_system *system = start_system();
    mu_supervisor_options good = MU_SUPERVISOR(MU_CHILDREN(four)), bad = good;
    bad.period_ms = -1;
    check_refused(system, bad, MU_EINVAL, "period_ms is negative");
    bad = good;
    bad.intensity = -2;
    check_refused(system, bad, MU_EINVAL, "intensity is negative");
    bad = good;
    bad.strategy = (mu_strategy)7;
    check_refused(system, bad, MU_EINVAL, "strategy");
    bad = good;
    bad.auto_shutdown = (mu_auto_shutdown)7;
    check_refused(system, bad, MU_EINVAL, "auto_shutdown");
    bad = good;
    bad.size = 3;
    check_refused(system, bad, MU_EINVAL, "size");

    const struct {
        mu_child_spec spec;
        const char *why;
    } specs[] = {
        {MU_CHILD(.server = &kid_server), "id is NULL"},
        {MU_CHILD(.id = "x"), "nothing to start"},
        {MU_CHILD(.id = "x", .server = &kid_server, .supervisor = &good), "more than one"},
        {KID(a), "there twice"},
        {MU_CHILD(.id = "x", .server = &kid_server, .restart = (mu_restart)9), "restart"},
        {MU_CHILD(.id = "x", .server = &kid_server, .type = (mu_child_type)9), "type"},
        {MU_CHILD(.id = "x", .server = &kid_server, .shutdown_ms = -5), "shutdown_ms"},
        {MU_CHILD(.id = "x", .server = &kid_server, .destroy_arg = nothing), "destroy_arg"},
        {MU_CHILD(.id = "x", .server = &kid_server, .significant = true), "permanent"},
        {MU_CHILD(.id = "x", .server = &kid_server, .restart = MU_TEMPORARY, .significant = true),
         "auto_shutdown is off"},
        {{.id = "x"}, "size"},
    };
    for (size_t i = 0; i < sizeof specs / sizeof specs[0]; i++) {
        mu_child_spec table[] = {four[0], specs[i].spec};
        bad = good;
        bad.children = table;
        bad.n_children = 2;
        check_refused(system, bad, MU_EBADSPEC, specs[i].why);
    }
    mu_check_eq(mu_system_actors(system), 0u);
    stop_system(system);
}

MU_TEST(supervisor, SUP_04_defaults_are_otps)
{
    mu_system *system = start_system();
    static const mu_child_spec table[] = {KID(a)};
    mu_supervisor_options options = MU_SUPERVISOR(MU_CHILDREN(table));
    mu_pid pid;
    mu_check_ok(mu_supervisor_start(system, &options, &pid, NULL));
    bool there;
    mu_child_info info = look_up(pid, "a", &there);
    mu_check_eq(info.restart, MU_PERMANENT);
    mu_check_eq(info.type, MU_WORKER);
    hit(pid, "a", DIE_CRASH); /* one restart within five seconds ... */
    settle(pid);
    hit(pid, "a", DIE_CRASH); /* ... and no second */
    mu_wait_until(!mu_alive(pid), 10000);
    mu_check_eq(a.starts, 2);
    stop_system(system);
}

/* ---- deaths ---- */

/* One child, hit in one way: is it started again, and is it still known? */
static void one_death(mu_system *system, mu_restart restart, int how, bool starts_again,
                      bool stays_known)
{
    mu_child_spec table[] = {KID(a), KID(b)};
    table[0].restart = restart;
    mu_supervisor_options options = MU_SUPERVISOR(MU_CHILDREN(table));
    mu_pid pid;
    mu_check_ok(mu_supervisor_start(system, &options, &pid, NULL));
    mu_pid sibling = pid_of(pid, "b");
    if (how) {
        hit(pid, "a", how);
    } else {
        mu_reason kill = mu_reason_kill();
        mu_check_ok(mu_exit_signal(pid_of(pid, "a"), &kill));
    }
    settle(pid);
    mu_check_eq(!mu_pid_is_none(pid_of(pid, "a")), starts_again);
    mu_check_eq(known(pid, "a"), stays_known);
    mu_check(mu_pid_equal(sibling, pid_of(pid, "b")));
    stop(pid);
}

MU_TEST(supervisor, SUP_05_SUP_06_each_restart_type_against_each_end)
{
    mu_system *system = start_system();
    for (int how = 0; how <= DIE_CRASH; how++) {
        bool quiet = how == DIE_NORMAL || how == DIE_SHUTDOWN;
        one_death(system, MU_PERMANENT, how, true, true);
        one_death(system, MU_TRANSIENT, how, !quiet, true);
        one_death(system, MU_TEMPORARY, how, false, false);
    }
    stop_system(system);
}

MU_TEST(supervisor, SUP_07_one_for_all_stops_in_reverse_and_starts_in_order)
{
    mu_system *system = start_system();
    mu_pid pid = start_tree(system, MU_ONE_FOR_ALL, 0);
    forget_diary(&book);
    hit(pid, "b", DIE_CRASH);
    settle(pid);
    mu_check_diary(&book, "xb -d -c -a +a +b +c +d");
    stop(pid);
    stop_system(system);
}

MU_TEST(supervisor, SUP_08_rest_for_one_takes_the_later_ones_along)
{
    mu_system *system = start_system();
    mu_pid pid = start_tree(system, MU_REST_FOR_ONE, 0);
    mu_pid first = pid_of(pid, "a");
    forget_diary(&book);
    hit(pid, "b", DIE_CRASH);
    settle(pid);
    mu_check_diary(&book, "xb -d -c +b +c +d");
    mu_check(mu_pid_equal(first, pid_of(pid, "a")));
    stop(pid);
    stop_system(system);
}

MU_TEST(supervisor, SUP_07_a_group_restart_starts_stopped_members_and_drops_temporary_ones)
{
    mu_system *system = start_system();
    static const mu_child_spec table[] = {KID(a), KID(b, .restart = MU_TRANSIENT),
                                          KID(c, .restart = MU_TEMPORARY), KID(d)};
    mu_supervisor_options options = MU_SUPERVISOR(.strategy = MU_ONE_FOR_ALL, MU_CHILDREN(table));
    mu_pid pid;
    mu_check_ok(mu_supervisor_start(system, &options, &pid, NULL));
    hit(pid, "b", DIE_NORMAL);
    mu_check_ok(mu_supervisor_terminate_child(pid, "d"));
    forget_diary(&book);
    hit(pid, "a", DIE_CRASH);
    settle(pid);
    mu_check_diary(&book, "xa -c +a +b +d"); /* as Erlang/OTP 25 does */
    mu_check(!known(pid, "c"));
    stop(pid);
    stop_system(system);
}

MU_TEST(supervisor, SUP_09_the_strategy_fires_only_for_ends_worth_a_restart)
{
    mu_system *system = start_system();
    for (int strategy = MU_ONE_FOR_ALL; strategy <= MU_REST_FOR_ONE; strategy++) {
        mu_child_spec table[] = {KID(a, .restart = MU_TRANSIENT), KID(b, .restart = MU_TEMPORARY),
                                 KID(c)};
        mu_supervisor_options options = MU_SUPERVISOR(MU_CHILDREN(table));
        options.strategy = (mu_strategy)strategy;
        mu_pid pid;
        mu_check_ok(mu_supervisor_start(system, &options, &pid, NULL));
        forget_diary(&book);
        hit(pid, "a", DIE_NORMAL);
        hit(pid, "b", DIE_CRASH);
        settle(pid);
        mu_check_diary(&book, "xa xb");
        stop(pid);
    }
    stop_system(system);
}

static void deaths_together(mu_system *system)
{
    mu_pid pid = start_tree(system, MU_REST_FOR_ONE, 100);
    for (int round = 0; round < 10; round++) {
        mu_pid kids[] = {pid_of(pid, "a"), pid_of(pid, "b"), pid_of(pid, "c"), pid_of(pid, "d")};
        mu_check_ok(mu_sys_suspend(pid, MU_CALL_TIMEOUT)); /* so that all notices wait together */
        for (int i = 0; i < N; i++)
            mu_check_ok(mu_cast(kids[(i + round) % N], mu_message_tag(DIE_CRASH)));
        for (int i = 0; i < N; i++)
            mu_wait_until(!mu_alive(kids[i]), 10000);
        mu_check_ok(mu_sys_resume(pid, MU_CALL_TIMEOUT));
        mu_child_counts counts;
        mu_check_ok(mu_supervisor_count_children(pid, &counts));
        mu_check_eq(counts.active, 4u);
        for (int i = 0; i < N; i++)
            mu_check(!mu_pid_equal(kids[i], pid_of(pid, four[i].id)));
    }
    mu_check_eq(mu_system_actors(system), 6u);
    stop(pid);
}

MU_TEST(supervisor, deaths_that_come_together_leave_every_child_running_once)
{
    as_actor(deaths_together);
}

/* ---- intensity ---- */

static void giving_up(mu_system *system)
{
    mu_check_ok(mu_trap_exit(true, NULL));
    mu_supervisor_options options = MU_SUPERVISOR(.intensity = 3, MU_CHILDREN(four));
    mu_pid pid;
    mu_check_ok(mu_supervisor_start_link(system, &options, &pid, NULL));
    const char *victims[] = {"a", "c", "a"}; /* all share one record */
    for (int i = 0; i < 3; i++) {
        hit(pid, victims[i], DIE_CRASH);
        settle(pid);
    }
    forget_diary(&book);
    mu_check_ok(mu_cast(pid_of(pid, "b"), mu_message_tag(DIE_CRASH)));
    mu_reason reason = await_exit(pid);
    mu_check_eq(reason.cls, MU_REASON_SHUTDOWN);
    mu_check_str(reason.text, "");
    mu_check_diary(&book, "xb -d -c -a");
}

MU_TEST(supervisor, SUP_12_SUP_17_at_the_limit_it_stops_the_rest_and_ends_with_shutdown)
{
    as_actor(giving_up);
}

MU_TEST(supervisor, SUP_12_a_limit_of_none_gives_up_at_the_first)
{
    mu_system *system = start_system();
    mu_pid pid = start_tree(system, MU_ONE_FOR_ONE, MU_NO_RESTARTS);
    hit(pid, "a", DIE_CRASH);
    mu_wait_until(!mu_alive(pid), 10000);
    mu_check_eq(a.starts, 1);
    stop_system(system);
}

MU_TEST(supervisor, SUP_12_what_was_asked_for_is_not_recorded)
{
    mu_system *system = start_system();
    static const mu_child_spec table[] = {KID(a), KID(b, .restart = MU_TRANSIENT)};
    mu_supervisor_options options = MU_SUPERVISOR(.intensity = MU_NO_RESTARTS, MU_CHILDREN(table));
    mu_pid pid;
    mu_check_ok(mu_supervisor_start(system, &options, &pid, NULL));
    static const mu_child_spec temporary = KID(c, .restart = MU_TEMPORARY);
    for (int i = 0; i < 3; i++) {
        mu_check_ok(mu_supervisor_terminate_child(pid, "a"));
        mu_check_ok(mu_supervisor_restart_child(pid, "a", NULL, NULL));
        hit(pid, "b", DIE_NORMAL);
        settle(pid);
        mu_check_ok(mu_supervisor_restart_child(pid, "b", NULL, NULL));
        mu_check_ok(mu_supervisor_start_child(pid, &temporary, NULL, NULL));
        hit(pid, "c", DIE_CRASH);
        settle(pid);
    }
    mu_check(mu_alive(pid));
    stop(pid);
    stop_system(system);
}

MU_TEST(supervisor, SUP_14_a_restart_that_fails_is_tried_again_and_each_attempt_counts)
{
    mu_system *system = start_system();
    mu_pid pid = start_tree(system, MU_ONE_FOR_ONE, 3);
    atomic_store(&b.failing_starts, 2);
    forget_diary(&book);
    hit(pid, "b", DIE_CRASH);
    mu_wait_until(state_of(pid, "b") == MU_CHILD_RUNNING, 10000);
    mu_check_diary(&book, "xb !b !b +b");
    mu_check_ok(mu_gen_server_stop(pid, NULL, MU_INFINITY, NULL));

    pid = start_tree(system, MU_ONE_FOR_ONE, 3);
    forget_diary(&book);
    atomic_store(&b.failing_starts, 1000);
    hit(pid, "b", DIE_CRASH);
    mu_wait_until(!mu_alive(pid), 10000);
    mu_check_diary(&book, "xb !b !b !b -d -c -a"); /* limit 3: three attempts, then it gives up */
    stop_system(system);
}

MU_TEST(supervisor, SUP_14_in_a_group_the_one_that_failed_is_tried_again)
{
    mu_system *system = start_system();
    mu_pid pid = start_tree(system, MU_ONE_FOR_ALL, 3);
    forget_diary(&book);
    atomic_store(&c.failing_starts, 1);
    hit(pid, "a", DIE_CRASH);
    mu_wait_until(state_of(pid, "d") == MU_CHILD_RUNNING, 10000);
    mu_check_diary(&book, "xa -d -c -b +a +b !c -b -a +a +b +c +d");
    stop(pid);
    forget_diary(&book);

    pid = start_tree(system, MU_REST_FOR_ONE, 3);
    forget_diary(&book);
    atomic_store(&c.failing_starts, 1);
    hit(pid, "b", DIE_CRASH);
    mu_wait_until(state_of(pid, "d") == MU_CHILD_RUNNING, 10000);
    mu_check_diary(&book, "xb -d -c +b !c +c +d");
    stop(pid);
    stop_system(system);
}

/* ---- a child that will not start ---- */

MU_TEST(supervisor, SUP_34_a_child_that_will_not_start_costs_no_more_than_its_own_time)
{
    mu_system *system = start_system();
    static mu_gen_server_options server_options = MU_GEN_SERVER_OPTIONS_INIT;
    static const mu_child_spec spec =
        MU_CHILD(.id = "b", .server = &kid_server, .server_options = &server_options, .arg = &b);
    static const mu_child_spec table[] = {KID(a)};
    mu_supervisor_options options = MU_SUPERVISOR(.intensity = 5, MU_CHILDREN(table));
    mu_pid pid;
    mu_reason reason;
    mu_check_ok(mu_supervisor_start(system, &options, &pid, NULL));
    server_options.start_timeout_ms = 20;
    atomic_store(&b.held, true);
    mu_check_eq(mu_supervisor_start_child(pid, &spec, NULL, &reason), MU_EINIT);
    mu_check_eq(reason.code, MU_ETIMEOUT);
    mu_check(!known(pid, "b"));
    atomic_store(&b.held, false);
    server_options.start_timeout_ms = 0;
    mu_check_ok(mu_supervisor_start_child(pid, &spec, NULL, NULL));
    mu_check_ok(mu_supervisor_terminate_child(pid, "b"));
    server_options.start_timeout_ms = 20;
    atomic_store(&b.held, true);
    mu_check_eq(mu_supervisor_restart_child(pid, "b", NULL, &reason), MU_EINIT);
    mu_check_eq(reason.code, MU_ETIMEOUT);
    mu_check_eq(state_of(pid, "b"), MU_CHILD_STOPPED);
    mu_check(mu_alive(pid_of(pid, "a")));
    stop(pid);
    atomic_store(&b.held, false);
    mu_wait_until(mu_system_abandoned_threads(system) == 0, 10000);
    stop_system(system);
}

/* ---- restarted trees ---- */

MU_TEST(supervisor, SUP_38_a_restarted_supervisor_starts_from_its_table)
{
    mu_system *system = start_system();
    static const mu_child_spec inner[] = {KID(a), KID(b)};
    static const mu_supervisor_options nested = MU_SUPERVISOR(MU_CHILDREN(inner));
    static const mu_child_spec outer[] = {MU_CHILD(.id = "nested", .supervisor = &nested)};
    mu_supervisor_options options = MU_SUPERVISOR(MU_CHILDREN(outer));
    mu_pid pid;
    mu_check_ok(mu_supervisor_start(system, &options, &pid, NULL));
    mu_pid first = pid_of(pid, "nested");
    mu_check_ok(mu_supervisor_terminate_child(first, "a"));
    mu_check_ok(mu_supervisor_delete_child(first, "a"));
    static const mu_child_spec added = KID(c);
    mu_check_ok(mu_supervisor_start_child(first, &added, NULL, NULL));
    mu_reason kill = mu_reason_kill();
    mu_check_ok(mu_exit_signal(first, &kill));
    mu_pid second = MU_PID_NONE;
    mu_wait_until(!mu_pid_is_none(second = pid_of(pid, "nested")), 10000);
    mu_check(known(second, "a") && known(second, "b") && !known(second, "c"));
    stop(pid);
    stop_system(system);
}
