/* What can be asked of a supervisor, and extensions of a child's spec. Ids: OTP's items SUP-xx. */
#include <muster/dynamic_supervisor.h>

#include "otp/tree_test.h"

static diary book;
static kid a = {.name = "a", .diary = &book}, b = {.name = "b", .diary = &book},
           c = {.name = "c", .diary = &book}, d = {.name = "d", .diary = &book};

static mu_pid start_empty(mu_system *system)
{
    return start_table(system, NULL, 0, MU_AUTO_SHUTDOWN_NEVER);
}

/* ---- start_child ---- */

static mu_err start_nothing(void *extra, void *arg, mu_pid *ret_pid, mu_reason *ret_reason)
{
    (void)extra;
    (void)ret_pid;
    (void)ret_reason;
    return *(mu_err *)arg;
}

MU_TEST(supervisor, SUP_21_start_child_gives_the_handle_or_the_reason_and_adds_nothing_that_failed)
{
    mu_system *system = start_system();
    mu_pid pid = start_empty(system), child = MU_PID_NONE;
    static const mu_child_spec spec = KID(a);
    mu_reason reason;
    atomic_store(&a.failing_starts, 1);
    mu_check_eq(mu_supervisor_start_child(pid, &spec, &child, &reason), MU_EINIT);
    mu_check_eq(reason.code, 13);
    mu_check(!known(pid, "a"));
    mu_check_ok(mu_supervisor_start_child(pid, &spec, &child, &reason));
    mu_check(mu_pid_equal(child, pid_of(pid, "a")));

    mu_err says = MU_OK;
    mu_child_spec odd = MU_CHILD(.id = "odd", .start = start_nothing, .arg = &says);
    mu_check_eq(mu_supervisor_start_child(pid, &odd, NULL, &reason), MU_EINIT);
    mu_check_eq(reason.code, MU_EBADRETURN);
    says = MU_ESPAWN;
    mu_check_eq(mu_supervisor_start_child(pid, &odd, NULL, &reason), MU_EINIT);
    mu_check_eq(reason.code, MU_ESPAWN);
    odd.start = start_raising;
    mu_check_eq(mu_supervisor_start_child(pid, &odd, NULL, &reason), MU_EINIT);
    mu_check_eq(reason.code, 77);
    mu_check(!known(pid, "odd"));
    mu_check(mu_alive(pid));
    stop(pid);
    stop_system(system);
}

MU_TEST(supervisor, SUP_21_an_inner_already_started_is_passed_flat)
{
    mu_system *system = start_system();
    mu_pid pid = start_empty(system), holder, child;
    mu_gen_server_options named = MU_GEN_SERVER_OPTIONS_INIT;
    named.name = "the one";
    mu_check_ok(mu_gen_server_start(system, &kid_server, &a, &named, &holder, NULL));
    mu_child_spec spec =
        MU_CHILD(.id = "x", .server = &kid_server, .server_options = &named, .arg = &b);
    mu_check_eq(mu_supervisor_start_child(pid, &spec, &child, NULL), MU_EALREADY_STARTED);
    mu_check(mu_pid_equal(child, holder));
    mu_check(!known(pid, "x"));
    stop(pid);
    stop_system(system);
}

MU_TEST(supervisor, SUP_21_a_start_that_fails_costs_no_restart)
{
    mu_system *system = start_system();
    mu_supervisor_options options = MU_SUPERVISOR(.intensity = MU_NO_RESTARTS);
    static const mu_child_spec spec = KID(a);
    mu_pid pid;
    mu_check_ok(mu_supervisor_start(system, &options, &pid, NULL));
    for (int i = 0; i < 5; i++) {
        atomic_store(&a.failing_starts, 1);
        mu_check_eq(mu_supervisor_start_child(pid, &spec, NULL, NULL), MU_EINIT);
    }
    mu_check_ok(mu_supervisor_start_child(pid, &spec, NULL, NULL));
    stop(pid);
    stop_system(system);
}

MU_TEST(supervisor, SUP_14_a_restart_that_finds_its_name_taken_is_tried_again)
{
    mu_system *system = start_system();
    static const mu_gen_server_options named = {.size = sizeof named, .name = "the one"};
    static const mu_child_spec table[] = {
        MU_CHILD(.id = "x", .server = &kid_server, .server_options = &named, .arg = &a,
                 .intensity = 1000000, .backoff = {.first_ms = 1, .max_ms = 1})};
    mu_pid pid = start_table(system, table, 1, MU_AUTO_SHUTDOWN_NEVER), usurper, found;
    mu_check_ok(mu_sys_suspend(pid, MU_CALL_TIMEOUT));
    mu_pid first = mu_whereis(system, "the one");
    mu_check_ok(mu_cast(first, mu_message_tag(DIE_CRASH)));
    mu_wait_until(!mu_alive(first), 10000);
    mu_check_ok(mu_gen_server_start(system, &kid_server, &b, &named, &usurper, NULL));
    mu_check_ok(mu_sys_resume(pid, MU_CALL_TIMEOUT));
    mu_wait_until(state_of(pid, "x") == MU_CHILD_RESTARTING, 10000);
    mu_check_ok(mu_supervisor_terminate_child(pid, "x"));
    mu_check_eq(mu_supervisor_restart_child(pid, "x", &found, NULL), MU_EALREADY_STARTED);
    mu_check(mu_pid_equal(found, usurper));
    mu_check_eq(state_of(pid, "x"), MU_CHILD_STOPPED);
    mu_check(mu_alive(usurper));
    mu_check_ok(mu_gen_server_stop(usurper, NULL, MU_INFINITY, NULL));
    mu_check_ok(mu_supervisor_restart_child(pid, "x", NULL, NULL));
    mu_check_eq(a.starts, 2);
    stop(pid);
    stop_system(system);
}

MU_TEST(supervisor, SUP_22_a_known_id_is_already_started_or_already_present)
{
    mu_system *system = start_system();
    static const mu_child_spec table[] = {KID(a), KID(b, .restart = MU_TRANSIENT)};
    mu_pid pid = start_table(system, table, 2, MU_AUTO_SHUTDOWN_NEVER), child;
    mu_child_spec other = MU_CHILD(.id = "a", .server = &kid_server, .arg = &c);
    mu_check_eq(mu_supervisor_start_child(pid, &other, &child, NULL), MU_EALREADY_STARTED);
    mu_check(mu_pid_equal(child, pid_of(pid, "a")));
    mu_check_ok(mu_supervisor_terminate_child(pid, "a"));
    mu_check_eq(mu_supervisor_start_child(pid, &other, &child, NULL), MU_EALREADY_PRESENT);
    hit(pid, "b", DIE_NORMAL);
    settle(pid);
    other.id = "b";
    mu_check_eq(mu_supervisor_start_child(pid, &other, &child, NULL), MU_EALREADY_PRESENT);
    mu_check_eq(c.starts, 0); /* the new spec was discarded */
    static const mu_child_spec ignored = KID(d);
    atomic_store(&d.ignoring, true);
    mu_check_eq(mu_supervisor_start_child(pid, &ignored, &child, NULL), MU_EIGNORE);
    other.id = "d";
    mu_check_eq(mu_supervisor_start_child(pid, &other, &child, NULL), MU_EALREADY_PRESENT);
    mu_check_ok(mu_supervisor_restart_child(pid, "a", NULL, NULL));
    mu_check_eq(a.starts, 2);
    stop(pid);
    stop_system(system);
}

static void destroyed(void *arg)
{
    atomic_fetch_add((_Atomic int *)arg, 1);
}

static mu_init init_any(void *arg)
{
    return mu_init_ok(arg);
}

MU_TEST(supervisor, an_argument_is_destroyed_exactly_once_whatever_happens_to_its_spec)
{
    mu_system *system = start_system();
    mu_pid pid = start_empty(system);
    static const mu_gen_server plain = {.init = init_any};
    static _Atomic int n;
    mu_child_spec spec = MU_CHILD(.id = "x", .server = &plain, .arg = &n, .destroy_arg = destroyed);
    mu_check_ok(mu_supervisor_start_child(pid, &spec, NULL, NULL));
    mu_check_eq(n, 0);
    mu_check_eq(mu_supervisor_start_child(pid, &spec, NULL, NULL), MU_EALREADY_STARTED);
    mu_check_eq(n, 1);
    mu_check_ok(mu_supervisor_terminate_child(pid, "x"));
    mu_check_eq(n, 1);
    mu_check_ok(mu_supervisor_delete_child(pid, "x"));
    mu_check_eq(n, 2);
    spec.id = NULL;
    mu_check_eq(mu_supervisor_start_child(pid, &spec, NULL, NULL), MU_EBADSPEC);
    mu_check_eq(n, 3);
    spec.id = "x";
    mu_check_eq(mu_supervisor_start_child(MU_PID_NONE, &spec, NULL, NULL), MU_ENOPROC);
    mu_check_eq(n, 4);
    mu_check_ok(mu_supervisor_start_child(pid, &spec, NULL, NULL));
    stop(pid);
    mu_check_eq(n, 5);
    mu_check_eq(mu_supervisor_start_child(pid, &spec, NULL, NULL), MU_ENOPROC);
    mu_check_eq(n, 6);
    stop_system(system);
}

MU_TEST(supervisor, SUP_40_the_argument_of_a_temporary_goes_when_it_has_started)
{
    mu_system *system = start_system();
    static const mu_gen_server plain = {.init = init_any};
    for (int strategy = MU_ONE_FOR_ONE; strategy <= MU_REST_FOR_ONE; strategy++) {
        mu_supervisor_options options = MU_SUPERVISOR(.strategy = (mu_strategy)strategy);
        mu_pid pid;
        _Atomic int n = 0;
        mu_child_spec spec = MU_CHILD(.id = "t", .server = &plain, .arg = (void *)&n,
                                      .destroy_arg = destroyed, .restart = MU_TEMPORARY);
        mu_check_ok(mu_supervisor_start(system, &options, &pid, NULL));
        mu_check_ok(mu_supervisor_start_child(pid, &spec, NULL, NULL));
        mu_check_eq(n, 1);
        mu_check_ok(mu_supervisor_terminate_child(pid, "t"));
        mu_check_eq(n, 1);
        spec.restart = MU_TRANSIENT;
        mu_check_ok(mu_supervisor_start_child(pid, &spec, NULL, NULL));
        mu_check_eq(n, 1);
        stop(pid);
        mu_check_eq(n, 2);
    }
    stop_system(system);
}

/* ---- terminate, restart, delete ---- */

MU_TEST(supervisor, SUP_24_terminate_child_keeps_what_it_stopped_and_forgets_the_temporary)
{
    mu_system *system = start_system();
    static const mu_child_spec table[] = {KID(a), KID(b, .restart = MU_TEMPORARY), KID(c)};
    mu_pid pid = start_table(system, table, 3, MU_AUTO_SHUTDOWN_NEVER);
    mu_check_ok(mu_supervisor_terminate_child(pid, "a"));
    mu_check_ok(mu_supervisor_terminate_child(pid, "a"));
    mu_check(known(pid, "a"));
    mu_check_eq(state_of(pid, "a"), MU_CHILD_STOPPED);
    mu_check_ok(mu_supervisor_terminate_child(pid, "b"));
    mu_check(!known(pid, "b"));
    mu_check_eq(mu_supervisor_terminate_child(pid, "b"), MU_ENOTFOUND);
    mu_check_eq(mu_supervisor_terminate_child(pid, "nobody"), MU_ENOTFOUND);
    mu_check_eq(mu_supervisor_terminate_child(pid, NULL), MU_ENOTFOUND);
    mu_check_diary(&book, "+a +b +c -a -b");
    stop(pid);
    stop_system(system);
}

MU_TEST(supervisor, SUP_24_a_handle_is_no_id_and_siblings_are_left_alone)
{
    mu_system *system = start_system();
    static const mu_child_spec table[] = {
        KID(a, .restart = MU_TRANSIENT, .significant = true), KID(b),
        MU_CHILD(.id = "", .server = &kid_server, .server_options = &trapping, .arg = &c)};
    mu_supervisor_options options =
        MU_SUPERVISOR(.strategy = MU_ONE_FOR_ALL, .intensity = MU_NO_RESTARTS,
                      .auto_shutdown = MU_AUTO_SHUTDOWN_ANY, MU_CHILDREN(table));
    mu_pid pid;
    mu_check_ok(mu_supervisor_start(system, &options, &pid, NULL));
    mu_pid sibling = pid_of(pid, "b");
    mu_check_eq(mu_dynamic_supervisor_terminate_child(pid, sibling), MU_ENOTFOUND);
    mu_check_eq(mu_dynamic_supervisor_terminate_child(pid, MU_PID_NONE), MU_ENOTFOUND);
    mu_check_eq(mu_dynamic_supervisor_terminate_child(pid, pid), MU_ENOTFOUND);
    mu_check_ok(mu_supervisor_terminate_child(pid, "a"));
    mu_check(mu_pid_equal(sibling, pid_of(pid, "b")));
    mu_check_diary(&book, "+a +b +c -a");
    stop(pid);
    stop_system(system);
}

MU_TEST(supervisor, SUP_25_restart_and_delete_need_a_known_stopped_child)
{
    mu_system *system = start_system();
    static const mu_child_spec table[] = {KID(a), KID(b)};
    mu_pid pid = start_table(system, table, 2, MU_AUTO_SHUTDOWN_NEVER), child;
    mu_reason reason;
    mu_check_eq(mu_supervisor_restart_child(pid, "x", &child, &reason), MU_ENOTFOUND);
    mu_check_eq(mu_supervisor_delete_child(pid, "x"), MU_ENOTFOUND);
    mu_check_eq(mu_supervisor_restart_child(pid, "a", &child, &reason), MU_ERUNNING);
    mu_check_eq(mu_supervisor_delete_child(pid, "a"), MU_ERUNNING);
    mu_check_ok(mu_supervisor_terminate_child(pid, "a"));
    atomic_store(&a.failing_starts, 1);
    mu_check_eq(mu_supervisor_restart_child(pid, "a", &child, &reason), MU_EINIT);
    mu_check_eq(reason.code, 13);
    mu_check_eq(state_of(pid, "a"), MU_CHILD_STOPPED);
    atomic_store(&a.ignoring, true);
    mu_check_eq(mu_supervisor_restart_child(pid, "a", &child, &reason), MU_EIGNORE);
    atomic_store(&a.ignoring, false);
    mu_check_ok(mu_supervisor_restart_child(pid, "a", &child, &reason));
    mu_check(mu_pid_equal(child, pid_of(pid, "a")));
    mu_check_ok(mu_supervisor_terminate_child(pid, "a"));
    mu_check_ok(mu_supervisor_delete_child(pid, "a"));
    mu_check(!known(pid, "a"));
    stop(pid);
    stop_system(system);
}

static mu_child_spec slow_to_return(void)
{
    /* Back-off keeps it in the state of being restarted for as long as the test wants. */
    return (mu_child_spec)KID(a, .backoff = {.first_ms = 60000, .max_ms = 60000});
}

MU_TEST(supervisor, SUP_22_SUP_25_a_child_between_two_attempts_is_restarting)
{
    mu_system *system = start_system();
    mu_child_spec table[] = {slow_to_return()};
    mu_pid pid = start_table(system, table, 1, MU_AUTO_SHUTDOWN_NEVER);
    hit(pid, "a", DIE_CRASH);
    settle(pid);
    mu_check_eq(state_of(pid, "a"), MU_CHILD_RESTARTING);
    mu_check(mu_pid_is_none(pid_of(pid, "a")));
    mu_check_eq(mu_supervisor_restart_child(pid, "a", NULL, NULL), MU_ERESTARTING);
    mu_check_eq(mu_supervisor_delete_child(pid, "a"), MU_ERESTARTING);
    mu_check_eq(mu_supervisor_start_child(pid, &table[0], NULL, NULL), MU_EALREADY_PRESENT);
    mu_check_ok(mu_supervisor_terminate_child(pid, "a")); /* ends the attempts */
    mu_check_eq(state_of(pid, "a"), MU_CHILD_STOPPED);
    mu_check_ok(mu_supervisor_delete_child(pid, "a"));
    stop(pid);
    stop_system(system);
}

MU_TEST(supervisor, SUP_14_SUP_25_in_a_group_only_the_one_that_failed_is_restarting)
{
    mu_system *system = start_system();
    static const mu_child_spec table[] = {
        KID(a), KID(b, .backoff = {.first_ms = 60000, .max_ms = 60000}), KID(c)};
    mu_supervisor_options options =
        MU_SUPERVISOR(.strategy = MU_REST_FOR_ONE, .intensity = 8, MU_CHILDREN(table));
    mu_pid pid;
    mu_check_ok(mu_supervisor_start(system, &options, &pid, NULL));
    mu_pid first = pid_of(pid, "a");
    atomic_store(&b.failing_starts, 1);
    hit(pid, "a", DIE_CRASH); /* takes b and c along, and b does not start */
    settle(pid);
    mu_check(!mu_pid_equal(first, pid_of(pid, "a")));
    mu_check_eq(state_of(pid, "a"), MU_CHILD_RUNNING);
    mu_check_eq(state_of(pid, "b"), MU_CHILD_RESTARTING);
    mu_check_eq(state_of(pid, "c"), MU_CHILD_STOPPED); /* its turn has not come */
    mu_child_counts counts;
    mu_check_ok(mu_supervisor_count_children(pid, &counts));
    mu_check_eq(counts.specs, 3u);
    mu_check_eq(counts.active, 1u);
    mu_check_eq(mu_supervisor_delete_child(pid, "b"), MU_ERESTARTING);
    mu_check_ok(mu_supervisor_terminate_child(pid, "b"));
    mu_check_eq(state_of(pid, "c"), MU_CHILD_STOPPED);
    mu_check_ok(mu_supervisor_restart_child(pid, "b", NULL, NULL)); /* alone */
    mu_check_eq(state_of(pid, "c"), MU_CHILD_STOPPED);
    stop(pid);
    stop_system(system);
}

MU_TEST(supervisor, SUP_31_one_that_is_restarting_does_not_keep_its_supervisor_from_stopping)
{
    mu_system *system = start_system();
    mu_child_spec table[] = {slow_to_return(), KID(b)};
    mu_pid pid = start_table(system, table, 2, MU_AUTO_SHUTDOWN_NEVER);
    hit(pid, "a", DIE_CRASH);
    settle(pid);
    mu_check_eq(state_of(pid, "a"), MU_CHILD_RESTARTING);
    stop(pid);
    mu_check_diary(&book, "+a +b xa -b");

    static const mu_child_spec eager[] = {KID(c, .intensity = 1000000)};
    pid = start_table(system, eager, 1, MU_AUTO_SHUTDOWN_NEVER);
    atomic_store(&c.failing_starts, 1000000);
    mu_check_ok(mu_cast(pid_of(pid, "c"), mu_message_tag(DIE_CRASH)));
    mu_wait_until(atomic_load(&c.starts) > 3, 10000); /* in the midst of its attempts */
    stop(pid);
    stop_system(system);
}

/* ---- listing ---- */

MU_TEST(supervisor, SUP_04_SUP_26_the_list_tells_what_defaults_have_become)
{
    mu_system *system = start_system();
    static const mu_supervisor_options nested = MU_SUPERVISOR_OPTIONS_INIT;
    static const mu_child_spec table[] = {
        KID(a),
        KID(b, .shutdown_ms = MU_BRUTAL_KILL, .restart = MU_TEMPORARY, .significant = true),
        KID(c, .type = MU_SUPERVISOR_CHILD),
        MU_CHILD(.id = "nested", .supervisor = &nested),
        KID(d, .shutdown_ms = MU_INFINITY),
    };
    mu_pid pid = start_table(system, table, 5, MU_AUTO_SHUTDOWN_ANY);
    static const struct {
        const char *id;
        int64_t shutdown_ms;
        mu_child_type type;
        bool significant;
    } expected[] = {{"a", 5000, MU_WORKER, false},
                    {"b", MU_BRUTAL_KILL, MU_WORKER, true},
                    {"c", MU_INFINITY, MU_SUPERVISOR_CHILD, false},
                    {"nested", MU_INFINITY, MU_SUPERVISOR_CHILD, false},
                    {"d", MU_INFINITY, MU_WORKER, false}};
    for (size_t i = 0; i < 5; i++) {
        bool there;
        mu_child_info info = look_up(pid, expected[i].id, &there);
        mu_check(there);
        mu_check_eq(info.shutdown_ms, expected[i].shutdown_ms);
        mu_check_eq(info.type, expected[i].type);
        mu_check_eq(info.significant, expected[i].significant);
        mu_check_eq(info.restart, i == 1 ? MU_TEMPORARY : MU_PERMANENT);
    }
    stop(pid);
    stop_system(system);
}

MU_TEST(supervisor, SUP_26_which_lists_newest_first_and_count_counts)
{
    mu_system *system = start_system();
    static const mu_child_spec inner[] = {KID(d)};
    static const mu_supervisor_options nested = MU_SUPERVISOR(MU_CHILDREN(inner));
    static const mu_child_spec table[] = {KID(a), MU_CHILD(.id = "nested", .supervisor = &nested),
                                          KID(b, .restart = MU_TRANSIENT),
                                          KID(c, .type = MU_SUPERVISOR_CHILD)};
    atomic_store(&c.ignoring, true);
    mu_pid pid = start_table(system, table, 4, MU_AUTO_SHUTDOWN_NEVER);
    mu_check_ok(mu_supervisor_terminate_child(pid, "a"));
    mu_child_info *list = NULL;
    size_t n;
    mu_check_ok(mu_supervisor_which_children(pid, &list, &n));
    mu_check_eq(n, 4u);
    static const char *const ids[] = {"c", "b", "nested", "a"};
    for (size_t i = 0; i < n; i++)
        mu_check_str(list[i].id, ids[i]);
    mu_check_eq(list[0].state, MU_CHILD_STOPPED); /* ignored: known, without a process */
    mu_check(mu_pid_is_none(list[0].pid));
    mu_check_eq(list[1].restart, MU_TRANSIENT);
    mu_check_eq(list[1].state, MU_CHILD_RUNNING);
    mu_check_eq(list[2].type, MU_SUPERVISOR_CHILD);
    mu_check_eq(list[3].state, MU_CHILD_STOPPED);
    mu_children_free(list);
    mu_child_counts counts;
    mu_check_ok(mu_supervisor_count_children(pid, &counts));
    mu_check_eq(counts.specs, 4u);
    mu_check_eq(counts.active, 2u);
    mu_check_eq(counts.supervisors, 2u);
    mu_check_eq(counts.workers, 2u);
    stop(pid);
    mu_check_eq(mu_supervisor_count_children(pid, &counts), MU_ENOPROC);
    mu_check_eq(mu_supervisor_which_children(pid, &list, &n), MU_ENOPROC);
    stop_system(system);
}

MU_TEST(supervisor, SUP_26_an_ignored_temporary_child_is_not_remembered)
{
    mu_system *system = start_system();
    static const mu_child_spec table[] = {KID(a, .restart = MU_TEMPORARY), KID(b)};
    static const mu_child_spec later = KID(c, .restart = MU_TEMPORARY), kept = KID(d);
    atomic_store(&a.ignoring, true);
    atomic_store(&c.ignoring, true);
    atomic_store(&d.ignoring, true);
    mu_pid pid = start_table(system, table, 2, MU_AUTO_SHUTDOWN_NEVER);
    mu_check(!known(pid, "a"));
    mu_check_eq(mu_supervisor_start_child(pid, &later, NULL, NULL), MU_EIGNORE);
    mu_check(!known(pid, "c"));
    mu_check_eq(mu_supervisor_start_child(pid, &kept, NULL, NULL), MU_EIGNORE);
    mu_check(known(pid, "d"));
    stop(pid);
    stop_system(system);
}

/* ---- extensions ---- */

MU_TEST(supervisor, extension_a_childs_own_intensity_leaves_the_shared_record_alone)
{
    mu_system *system = start_system();
    static const mu_child_spec table[] = {KID(a, .intensity = 5), KID(b)};
    mu_supervisor_options options = MU_SUPERVISOR(.intensity = 1, MU_CHILDREN(table));
    mu_pid pid;
    mu_check_ok(mu_supervisor_start(system, &options, &pid, NULL));
    for (int i = 0; i < 5; i++) {
        hit(pid, "a", DIE_CRASH);
        settle(pid);
    }
    hit(pid, "b", DIE_CRASH); /* the one that the supervisor allows */
    settle(pid);
    mu_check(mu_alive(pid));
    hit(pid, "a", DIE_CRASH); /* the sixth of its own */
    mu_wait_until(!mu_alive(pid), 10000);
    stop_system(system);
}

MU_TEST(supervisor, extension_back_off_delays_the_restart_and_serves_others_meanwhile)
{
    mu_system *system = start_system();
    static const mu_child_spec table[] = {
        KID(a, .backoff = {.first_ms = 40}),
        KID(b, .backoff = {.first_ms = 60000, .max_ms = 60000}),
    };
    mu_pid pid = start_table(system, table, 2, MU_AUTO_SHUTDOWN_NEVER);
    hit(pid, "b", DIE_CRASH);
    int64_t before = mu_test_now_ms();
    hit(pid, "a", DIE_CRASH);
    mu_wait_until(state_of(pid, "a") == MU_CHILD_RUNNING && a.starts == 2, 10000);
    mu_check_ge(mu_test_now_ms() - before, 39);
    mu_check_eq(state_of(pid, "b"), MU_CHILD_RESTARTING); /* all the time */
    mu_check_eq(b.starts, 1);
    stop(pid);
    stop_system(system);
}
