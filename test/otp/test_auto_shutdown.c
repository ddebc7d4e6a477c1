/* Significant children and auto-shutdown. Ids: OTP's items SUP-xx. */
#include "otp/tree_test.h"

static diary book;
static kid a = {.name = "a", .diary = &book}, b = {.name = "b", .diary = &book},
           c = {.name = "c", .diary = &book}, d = {.name = "d", .diary = &book};

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
        mu_wait_until(!mu_alive(pid), 10000);
        mu_check_diary(&book, "xa -c -b");
        return;
    }
    mu_wait_until(book.n >= 1, 10000);
    settle(pid);
    hit(pid, "b", second);
    if (after_second) {
        mu_wait_until(!mu_alive(pid), 10000);
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
    mu_pid pid = start_table(system, NULL, 0, MU_AUTO_SHUTDOWN_NEVER);
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
        mu_wait_until(!mu_alive(below), 10000);
        if (is_significant) {
            mu_wait_until(!mu_alive(pid), 10000);
            continue;
        }
        settle(pid);
        mu_check_eq(state_of(pid, "nested"), MU_CHILD_STOPPED);
        stop(pid);
    }
    stop_system(system);
}
