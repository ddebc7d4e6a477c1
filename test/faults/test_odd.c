/*
 * What workers do to themselves, and faults.md does not name: each ends for its caller like one of
 * those that it names, and nothing is left. The pool has one worker, so that the next request is
 * for the one that did it or for who replaces it.
 */
#include <unistd.h>

#include "fault_rig.h"

#include "support/mu_marked.h"

enum { PATIENCE_MS = 20000, SHORT_MS = 300 };

static void start(fault_rig *rig)
{
    fault_start(rig, 1, "odd.py", NULL);
}

static mu_err ask_odd(fault_rig *rig, const char *how, int timeout_ms)
{
    return fault_ask(rig, "odd", timeout_ms * MU_TEST_SCALE, NULL, "{s:s}", "how", how);
}

/* The warden and one worker, and that one serves. */
static void check_whole(fault_rig *rig, int exits)
{
    mu_wait_until(atomic_load(&rig->exits) >= exits, PATIENCE_MS);
    mu_wait_until(rig_available(&rig->pool) == 1 &&
                      rig_worker(&rig->pool, 0).generation > (uint32_t)exits,
                  PATIENCE_MS);
    mu_check_ok(rig_run(&rig->pool, "ping"));
    const mu__proc_id host = mu_marked_host(getpid());
    mu_wait_until(mu_marked_by(host) == 2, PATIENCE_MS);
    fault_close(rig);
    mu_wait_until(mu_marked_by(host) == 0, PATIENCE_MS);
}

static void check_hangs(const char *how)
{
    fault_rig rig;
    start(&rig);
    mu_check_err(ask_odd(&rig, how, SHORT_MS), MU_EEXEC_TIMEOUT);
    check_whole(&rig, 1);
}

static void check_dies(const char *how, const char *of)
{
    fault_rig rig;
    start(&rig);
    mu_check_err(ask_odd(&rig, how, PATIENCE_MS), MU_ECRASHED);
    mu_check_contains(rig.pool.error.message, of);
    check_whole(&rig, 1);
}

/* ---- its pipes ----------------------------------------------------------------------------- */

MU_TEST(odd, a_worker_that_has_no_end_of_its_requests_any_more_is_replaced_at_the_deadline)
{
    fault_rig rig;
    start(&rig);
    mu_check_ok(ask_odd(&rig, "deaf", PATIENCE_MS));
    mu_check_err(ask_odd(&rig, "ping", SHORT_MS), MU_EEXEC_TIMEOUT);
    check_whole(&rig, 1);
}

MU_TEST(odd, a_worker_that_writes_half_an_answer_and_sleeps_is_replaced_at_the_deadline)
{
    check_hangs("half");
}

MU_TEST(odd, a_worker_that_stops_itself_in_mid_answer_is_replaced_at_the_deadline)
{
    check_hangs("half_and_stopped");
}

/* Its fds are closed on execve, so nothing can be answered any more, though the process lives. */
MU_TEST(odd, a_worker_that_becomes_another_program_has_closed_its_answers_and_is_replaced)
{
    fault_rig rig;
    start(&rig);
    mu_check_err(ask_odd(&rig, "executed", PATIENCE_MS), MU_EPROTOCOL);
    check_whole(&rig, 1);
}

MU_TEST(odd, a_worker_that_closes_its_output_serves_on_and_its_death_is_noticed)
{
    fault_rig rig;
    start(&rig);
    mu_check_ok(ask_odd(&rig, "mute", PATIENCE_MS));
    mu_check_ok(rig_run(&rig.pool, "ping"));
    mu_check_eq(atomic_load(&rig.exits), 0);
    fault_kill(rig_worker(&rig.pool, 0).os_pid, SIGKILL);
    check_whole(&rig, 1);
}

MU_TEST(odd, a_worker_that_writes_into_its_own_requests_harms_itself_alone)
{
    fault_rig rig;
    start(&rig);
    mu_check_ok(ask_odd(&rig, "own_input", PATIENCE_MS));
    check_whole(&rig, 1);
}

/* ---- its threads and its family ------------------------------------------------------------ */

MU_TEST(odd, a_worker_whose_first_thread_ends_alone_is_replaced_at_the_deadline)
{
    check_hangs("headless");
}

MU_TEST(odd, a_worker_that_becomes_a_daemon_has_ended_and_the_daemon_with_it)
{
    check_dies("daemonized", "exit status 11");
}

MU_TEST(odd, the_daemon_of_a_worker_ends_with_it_though_it_holds_the_pipes)
{
    fault_rig rig;
    start(&rig);
    mu_check_ok(ask_odd(&rig, "haunted", PATIENCE_MS));
    mu_check_ok(rig_run(&rig.pool, "ping"));
    fault_kill(rig_worker(&rig.pool, 0).os_pid, SIGKILL);
    check_whole(&rig, 1);
}

MU_TEST(odd, a_worker_that_leaves_many_behind_takes_all_of_them_along)
{
    check_dies("litter", "exit status 12");
}

MU_TEST(odd, a_worker_that_kills_the_warden_ends_with_it_and_both_are_replaced)
{
    check_dies("parricide", "the warden");
}

/* ---- tracing ------------------------------------------------------------------------------- */

/* A stop for its tracer is told to the warden in the way of an end. */
MU_TEST(odd, a_worker_that_wants_its_parent_to_trace_it_gets_its_signals_and_lives)
{
    fault_rig rig;
    start(&rig);
    mu_check_ok(ask_odd(&rig, "traced_and_signalled", PATIENCE_MS));
    mu_check_ok(rig_run(&rig.pool, "ping"));
    mu_check_eq(rig_worker(&rig.pool, 0).generation, 1u);
    check_whole(&rig, 0);
}

MU_TEST(odd, a_worker_that_wants_to_be_traced_dies_of_the_signal_that_kills_it)
{
    check_dies("traced_and_killed", "SIGTERM");
}

MU_TEST(odd, a_worker_that_wants_to_be_traced_can_execute_a_program)
{
    check_dies("traced_and_executed", "exit status 23");
}
