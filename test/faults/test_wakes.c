/*
 * R3: no wake is lost for want of memory. Where something goes on only because somebody is told, an
 * allocation that fails on the way must not be the end of it: each walk lets the first one fail,
 * then the second, and so on, and what is waited for comes all the same.
 */
#include <unistd.h>

#include "fail_nth.h"
#include "pool/fork_rig.h"

enum { PATIENCE_MS = 30000 };

static void prepare(pool_rig *rig)
{
    rig_prepare(rig, 1);
    rig->options.executable = MU_TEST_ECHO_WORKER;
    rig->options.python_path = NULL;
    rig->options.cancel_grace_ms = 1;
}

static mu_err echo(pool_rig *rig)
{
    mu_error_clear(&rig->error);
    return mu_pool_executef(rig->pool, "echo", NULL, NULL, &rig->error, "{s:s}", "text", "hello");
}

/* Memory may be missing for the successor itself, and the restart says so; but it never sleeps. */
MU_TEST(wakes, R3_a_rolling_restart_goes_on_whatever_allocation_fails, .timeout = 120)
{
    pool_rig rig;
    prepare(&rig);
    mu_check_ok(rig_open(&rig));
    bool fired = true;
    for (int n = 1; fired; n++) {
        fail_arm(FAIL_ALLOC, n, 0);
        mu_err err = mu_pool_rolling_restart(rig.pool, PATIENCE_MS, &rig.error);
        fired = fail_disarm();
        mu_check_msg(err == MU_OK || (fired && err != MU_ETIMEOUT), "allocation %d: %s: %s", n,
                     mu_err_name(err), rig.error.message);
        mu_check_ok(echo(&rig));
    }
    rig_stop(&rig);
}

/* ---- a task that is told to end ---- */

static mu_message sleep_for_ever(void *arg)
{
    atomic_store((_Atomic bool *)arg, true);
    (void)mu_sleep(MU_INFINITY);
    return mu_message_tag(1);
}

/* Without a limit of its own: only what it is told ends it. */
MU_TEST(wakes, R3_a_task_that_is_shut_down_ends_whatever_allocation_fails)
{
    mu_system *system;
    bool fired = true;
    mu_check_ok(mu_system_start(NULL, &system, NULL));
    for (int n = 1; fired; n++) {
        mu_task *task;
        _Atomic bool sleeps = false;
        mu_check_ok(mu_task_async(system, sleep_for_ever, &sleeps, NULL, &task));
        mu_wait_until(atomic_load(&sleeps), PATIENCE_MS);
        fail_arm(FAIL_ALLOC, n, 0);
        mu_err err = mu_task_shutdown(&task, MU_INFINITY, NULL, NULL);
        fired = fail_disarm();
        mu_check_err(err, MU_ECANCELLED);
    }
    mu_check_eq(mu_system_stop(&system), 0u);
}

/* ---- a caller that is told to exit ---- */

typedef struct caller {
    pool_rig *rig;
    _Atomic bool over;
} caller;

static void call(void *arg)
{
    caller *c = arg;
    (void)mu_pool_executef(c->rig->pool, "echo", NULL, NULL, NULL, "{s:s}", "text", "hello");
    atomic_store(&c->over, true);
}

static bool is_busy(pool_rig *rig)
{
    mu_pool_stats stats;
    mu_pool_stats_get(rig->pool, &stats);
    return stats.busy == 1;
}

MU_TEST(wakes, R3_a_worker_whose_caller_is_killed_comes_back_whatever_allocation_fails,
        .timeout = 120)
{
    pool_rig rig;
    prepare(&rig);
    mu_check_ok(rig_open(&rig));
    mu_reason kill_it = mu_reason_kill();
    bool fired = true;
    for (int n = 1; fired; n++) {
        caller c = {.rig = &rig};
        mu_pid pid;
        int worker = rig_worker(&rig, 0).os_pid;
        mu_check_eq(kill(worker, SIGSTOP), 0); /* it does not answer */
        mu_check_ok(mu_spawn(rig.system, NULL, call, &c, &pid));
        mu_wait_until(is_busy(&rig), PATIENCE_MS);
        fail_arm(FAIL_ALLOC, n, 0);
        mu_check_ok(mu_exit_signal(pid, &kill_it));
        mu_wait_until(atomic_load(&c.over), PATIENCE_MS);
        (void)kill(worker, SIGCONT); /* the request may never have come to it */
        /* With the replacement's first request everything that the kill led to has been done. */
        mu_err err = echo(&rig);
        fired = fail_disarm();
        mu_check_msg(err == MU_OK || (fired && err != MU_EQUEUE_TIMEOUT), "allocation %d: %s: %s",
                     n, mu_err_name(err), rig.error.message);
        mu_check_ok(echo(&rig));
    }
    rig_stop(&rig);
}

/* ---- the fork server ---- */

/* A fork server that dies has served, so its workers wait for the next one and are not told. */
static bool loses_server(int n)
{
    fork_rig rig;
    fork_prepare(&rig, 1);
    fork_open(&rig);
    mu_worker_info before = rig_worker(&rig.pool, 0);
    fail_arm(FAIL_ALLOC, n, 0);
    mu_check_eq(kill(atomic_load(&rig.server), SIGKILL), 0);
    mu_wait_until(atomic_load(&rig.ready) >= 2, PATIENCE_MS);
    bool fired = fail_disarm();
    mu_worker_info after = rig_worker(&rig.pool, 0);
    mu_check_msg(after.os_pid == before.os_pid && after.generation == before.generation,
                 "allocation %d: the worker has been replaced: %s", n, after.reason);
    mu_check_ok(rig_run(&rig.pool, "ping"));
    fork_close(&rig);
    return fired;
}

/* Those of the death itself come first; a whole start has its own walk. */
MU_TEST(wakes, R3_the_death_of_a_fork_server_costs_no_worker_whatever_allocation_fails,
        .timeout = 120)
{
    int last = (int)mu_test_size(MU_TEST_SANITIZED ? 6 : 10, 100);
    for (int n = 1; n <= last; n++)
        if (!loses_server(n))
            break;
}
