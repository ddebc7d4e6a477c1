/* What can be asked of a supervisor, and auto-shutdown. Ids: OTP's items SUP-xx. */
#include "otp/tree_test.h"

static diary book;
static kid a = {.name = "a", .diary = &book}, b = {.name = "b", .diary = &book},
           c = {.name = "c", .diary = &book}, d = {.name = "d", .diary = &book};

static mu_pid start_table(mu_system *system, const mu_child_spec *table, size_t n,
                          mu_auto_shutdown auto_shutdown)
{
    mu_supervisor_options options = MU_SUPERVISOR_OPTIONS_INIT;
    options.children = table;
    options.n_children = n;
    options.intensity = 10;
    options.auto_shutdown = auto_shutdown;
    mu_pid pid = MU_PID_NONE;
    mu_check_ok(mu_supervisor_start(system, &options, &pid, NULL));
    return pid;
}

static mu_pid start_empty(mu_system *system)
{
    return start_table(system, NULL, 0, MU_AUTO_SHUTDOWN_NEVER);
}

static void stop(mu_pid pid)
{
    mu_check_ok(mu_gen_server_stop(pid, NULL, MU_INFINITY, NULL));
}

/* ---- start_child ---- */

static mu_err start_nothing(void *extra, void *arg, mu_pid *ret_pid, mu_reason *ret_reason)
{
    (void)extra;
    (void)ret_pid;
    (void)ret_reason;
    return *(mu_err *)arg;
}

static mu_err start_raising(void *extra, void *arg, mu_pid *ret_pid, mu_reason *ret_reason)
{
    (void)extra;
    (void)arg;
    (void)ret_pid;
    (void)ret_reason;
    mu_reason reason = mu_reason_exit(77, "raised");
    mu_exit(&reason);
    return MU_OK;
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

/* ---- listing ---- */

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

/* ---- significant children ---- */

/* Two significant children and a bystander; ends the first, then the second, in the given ways. */
static void significant(mu_system *system, mu_auto_shutdown how, mu_restart restart, int first,
                        bool after_first, int second, bool after_second)
{
    mu_child_spec table[] = {KID(a, .significant = true), KID(b, .significant = true), KID(c)};
    table[0].restart = table[1].restart = restart;
    mu_pid pid = start_table(system, table, 3, how);
    forget_diary(&book);
    mu_check_ok(mu_cast(pid_of(pid, "a"), mu_message_tag((uint64_t)first)));
    if (after_first) {
        mu_wait_until(!mu_alive(pid), 5000);
        mu_check_diary(&book, "xa -c -b");
        return;
    }
    mu_wait_until(book.n >= 1, 5000);
    settle(pid);
    hit(pid, "b", second);
    if (after_second) {
        mu_wait_until(!mu_alive(pid), 5000);
        mu_check_diary(&book, "xa xb -c");
        return;
    }
    settle(pid);
    mu_check(mu_alive(pid));
    stop(pid);
}

MU_TEST(supervisor, SUP_35_the_end_of_significant_children_ends_the_supervisor)
{
    mu_system *system = start_system();
    significant(system, MU_AUTO_SHUTDOWN_ANY, MU_TRANSIENT, DIE_NORMAL, true, 0, false);
    significant(system, MU_AUTO_SHUTDOWN_ANY, MU_TRANSIENT, DIE_SHUTDOWN, true, 0, false);
    significant(system, MU_AUTO_SHUTDOWN_ANY, MU_TRANSIENT, DIE_CRASH, false, DIE_CRASH, false);
    significant(system, MU_AUTO_SHUTDOWN_ANY, MU_TEMPORARY, DIE_CRASH, true, 0, false);
    significant(system, MU_AUTO_SHUTDOWN_ALL, MU_TRANSIENT, DIE_NORMAL, false, DIE_SHUTDOWN, true);
    significant(system, MU_AUTO_SHUTDOWN_ALL, MU_TRANSIENT, DIE_NORMAL, false, DIE_CRASH, false);
    significant(system, MU_AUTO_SHUTDOWN_ALL, MU_TEMPORARY, DIE_CRASH, false, DIE_NORMAL, true);
    stop_system(system);
}

static void auto_shutdown_reason(mu_system *system)
{
    mu_check_ok(mu_trap_exit(true, NULL));
    static const mu_child_spec table[] = {KID(a, .restart = MU_TRANSIENT, .significant = true)};
    mu_supervisor_options options =
        MU_SUPERVISOR(.auto_shutdown = MU_AUTO_SHUTDOWN_ANY, MU_CHILDREN(table));
    mu_pid pid;
    mu_check_ok(mu_supervisor_start_link(system, &options, &pid, NULL));
    mu_check_ok(mu_cast(pid_of(pid, "a"), mu_message_tag(DIE_NORMAL)));
    mu_reason reason = await_exit(pid);
    mu_check_eq(reason.cls, MU_REASON_SHUTDOWN);
}

MU_TEST(supervisor, SUP_35_it_ends_with_shutdown)
{
    as_actor(auto_shutdown_reason);
}

MU_TEST(supervisor, SUP_35_a_significant_child_added_later_needs_auto_shutdown_too)
{
    mu_system *system = start_system();
    mu_pid pid = start_empty(system);
    static const mu_child_spec spec = KID(a, .restart = MU_TEMPORARY, .significant = true);
    mu_reason reason;
    mu_check_eq(mu_supervisor_start_child(pid, &spec, NULL, &reason), MU_EBADSPEC);
    mu_check_contains(reason.text, "auto_shutdown is off");
    stop(pid);
    stop_system(system);
}

MU_TEST(supervisor, SUP_37_bystanders_terminated_and_insignificant_children_do_not_trigger)
{
    mu_system *system = start_system();
    static const mu_child_spec table[] = {
        KID(a), KID(b, .restart = MU_TRANSIENT, .significant = true),
        KID(c, .restart = MU_TEMPORARY, .significant = true), KID(d, .restart = MU_TRANSIENT)};
    mu_supervisor_options options =
        MU_SUPERVISOR(.strategy = MU_ONE_FOR_ALL, .intensity = 5,
                      .auto_shutdown = MU_AUTO_SHUTDOWN_ANY, MU_CHILDREN(table));
    mu_pid pid;
    mu_check_ok(mu_supervisor_start(system, &options, &pid, NULL));
    hit(pid, "d", DIE_NORMAL); /* not significant */
    settle(pid);
    hit(pid, "a", DIE_CRASH); /* b and c are stopped along with it */
    settle(pid);
    mu_check_eq(state_of(pid, "b"), MU_CHILD_RUNNING);
    mu_check(!known(pid, "c"));
    mu_check_ok(mu_supervisor_terminate_child(pid, "b"));
    settle(pid);
    mu_check(mu_alive(pid));
    stop(pid);
    stop_system(system);
}

MU_TEST(supervisor, SUP_37_auto_shutdown_climbs_through_significant_supervisors)
{
    mu_system *system = start_system();
    static const mu_child_spec inner[] = {KID(a, .restart = MU_TRANSIENT, .significant = true)};
    static const mu_supervisor_options nested =
        MU_SUPERVISOR(.auto_shutdown = MU_AUTO_SHUTDOWN_ANY, MU_CHILDREN(inner));
    for (int is_significant = 0; is_significant <= 1; is_significant++) {
        mu_child_spec table[] = {
            KID(b), MU_CHILD(.id = "nested", .supervisor = &nested, .restart = MU_TRANSIENT)};
        table[1].significant = is_significant;
        mu_pid pid = start_table(system, table, 2, MU_AUTO_SHUTDOWN_ANY);
        mu_pid below = pid_of(pid, "nested");
        mu_check_ok(mu_cast(pid_of(below, "a"), mu_message_tag(DIE_NORMAL)));
        mu_wait_until(!mu_alive(below), 5000);
        if (is_significant) {
            mu_wait_until(!mu_alive(pid), 5000);
            continue;
        }
        settle(pid);
        mu_check_eq(state_of(pid, "nested"), MU_CHILD_STOPPED);
        stop(pid);
    }
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
    mu_wait_until(!mu_alive(pid), 5000);
    stop_system(system);
}

MU_TEST(supervisor, extension_back_off_delays_the_restart_and_serves_others_meanwhile)
{
    mu_system *system = start_system();
    static const mu_child_spec table[] = {KID(a, .backoff = {.first_ms = 40}), KID(b)};
    mu_pid pid = start_table(system, table, 2, MU_AUTO_SHUTDOWN_NEVER);
    int64_t before = mu_test_now_ms();
    hit(pid, "a", DIE_CRASH);
    settle(pid);
    mu_check_eq(state_of(pid, "a"), MU_CHILD_RESTARTING);
    mu_wait_until(state_of(pid, "a") == MU_CHILD_RUNNING, 5000);
    mu_check_ge(mu_test_now_ms() - before, 39);
    stop(pid);
    stop_system(system);
}
