/*
 * Workers that hang: in their start, in a request, in their end (C4, C5, C6).
 */
#include "fault_rig.h"

/* ---- C4 ------------------------------------------------------------------------------------ */

typedef struct slow_start {
    fault_rig rig;
    int ready, slow_pid;
    bool looked;
} slow_start;

/* In mu_pool_start's thread, while worker_3 sleeps. */
static void ask_supervisors(slow_start *s)
{
    mu_child_counts counts;
    mu_stopwatch watch;
    mu_stopwatch_start(&watch);
    mu_pid workers = rig_worker_supervisor(&s->rig.pool);
    mu_check_ok(mu_supervisor_count_children(workers, &counts));
    mu_stopwatch_stop(&watch);
    mu_check_le(watch.ran_ms, 3 * 50 * MU_TEST_SCALE); /* three calls */
    mu_check_eq(counts.active, 8u);
    s->looked = true;
}

static void on_progress(void *ctx, const mu_worker_info *w)
{
    slow_start *s = ctx;
    if (w->state == MU_WORKER_STARTING && strcmp(w->id, "worker_3") == 0)
        s->slow_pid = w->os_pid;
    s->ready += w->state == MU_WORKER_IDLE;
    if (s->ready == 7 && !s->looked)
        ask_supervisors(s);
}

MU_TEST(hang, C4_one_worker_that_sleeps_in_its_start_holds_back_nobody)
{
    static slow_start s;
    enum { TIMEOUT_MS = 3000 * MU_TEST_SCALE };
    fault_prepare(&s.rig, 8, "starts.py", "slow_third");
    s.rig.pool.options.startup_timeout_ms = TIMEOUT_MS;
    s.rig.pool.options.progress = on_progress;
    s.rig.pool.options.progress_ctx = &s;
    mu_stopwatch watch;
    mu_stopwatch_start(&watch);
    fault_open(&s.rig);
    mu_stopwatch_stop(&watch);
    mu_check(s.looked);
    mu_check_ge(watch.passed_ms, TIMEOUT_MS);
    mu_check_le(watch.ran_ms, TIMEOUT_MS + 1000 * MU_TEST_SCALE);
    mu_wait_until(!fault_process_lives(s.slow_pid), 10000);
    mu_check_contains(rig_worker(&s.rig.pool, 2).reason, "startup_timeout_ms");
    for (int i = 0; i < 8; i++)
        if (i != 2)
            mu_check_lt(rig_worker(&s.rig.pool, i).timeline.total, TIMEOUT_MS * 1000000LL);
    /* Its next generation sleeps again, and the others serve. */
    for (int i = 0; i < 50; i++)
        mu_check_ok(rig_run(&s.rig.pool, "ping"));
    mu_check_eq(fault_stats(&s.rig).available, 7);
    fault_close(&s.rig);
}

/* ---- C5 ------------------------------------------------------------------------------------ */

static void hang(const char *how)
{
    enum { TIMEOUT_MS = 200 };
    fault_rig rig;
    fault_start(&rig, 1, NULL, NULL);
    mu_check_ok(rig_run(&rig.pool, "ping"));
    int old = rig_worker(&rig.pool, 0).os_pid;
    mu_stopwatch request, restart;
    mu_stopwatch_start(&restart);
    mu_stopwatch_start(&request);
    mu_check_err(
        fault_ask(&rig, "hang", TIMEOUT_MS, NULL, "{s:s, s:b}", "how", how, "ignore_sigterm", 1),
        MU_EEXEC_TIMEOUT);
    mu_stopwatch_stop(&request);
    mu_check_ge(request.passed_ms, TIMEOUT_MS - 1);
    mu_check_le(request.ran_ms, TIMEOUT_MS + 20 * MU_TEST_SCALE);
    mu_check_ok(rig_run(&rig.pool, "ping"));
    mu_stopwatch_stop(&restart);
    mu_worker_info w = rig_worker(&rig.pool, 0);
    mu_check_ne(w.os_pid, old);
    mu_check_eq(w.generation, 2u);
    fault_check_restart(&w, restart.still_ms);
    mu_check_eq((int)w.error, (int)MU_EEXEC_TIMEOUT);
    mu_wait_until(!fault_process_lives(old), 10000);
    fault_close(&rig);
}

MU_TEST(hang, C5_a_worker_in_an_endless_loop_is_killed_at_the_deadline_and_replaced)
{
    hang("busy");
}

MU_TEST(hang, C5_a_stopped_worker_is_killed_at_the_deadline_and_replaced)
{
    hang("stopped");
}

MU_TEST(hang, C5_a_worker_blocked_in_a_read_is_killed_at_the_deadline_and_replaced)
{
    hang("blocked");
}

MU_TEST(hang, C5_a_worker_that_somebody_stopped_is_killed_at_the_deadline_and_replaced)
{
    fault_rig rig;
    fault_start(&rig, 1, NULL, NULL);
    int old = rig_worker(&rig.pool, 0).os_pid;
    fault_kill(old, SIGSTOP);
    mu_check_err(fault_ask(&rig, "ping", 100, NULL, "n"), MU_EEXEC_TIMEOUT);
    mu_check_ok(rig_run(&rig.pool, "ping"));
    mu_check_ne(rig_worker(&rig.pool, 0).os_pid, old);
    mu_wait_until(!fault_process_lives(old), 10000);
    fault_close(&rig);
}

/* ---- C6 ------------------------------------------------------------------------------------ */

MU_TEST(hang, C6_workers_that_ignore_SIGTERM_and_sleep_at_exit_are_killed_at_their_grace)
{
    enum { GRACE_MS = 500 };
    fault_rig rig;
    int pids[4];
    fault_prepare(&rig, 4, "starts.py", "stubborn");
    rig.pool.options.shutdown_grace_ms = GRACE_MS;
    fault_open(&rig);
    for (int i = 0; i < 4; i++)
        pids[i] = rig_worker(&rig.pool, i).os_pid;
    mu_stopwatch watch;
    mu_stopwatch_start(&watch);
    mu_pool_stop(rig.pool.pool);
    mu_stopwatch_stop(&watch);
    mu_check_ge(watch.passed_ms, GRACE_MS - 1);
    mu_check_le(watch.ran_ms, GRACE_MS + 1000 * MU_TEST_SCALE);
    for (int i = 0; i < 4; i++)
        mu_check(!fault_process_lives(pids[i]));
    fault_close(&rig);
}

MU_TEST(hang, C6_a_stopped_worker_does_not_hold_up_the_stop)
{
    fault_rig rig;
    fault_start(&rig, 2, "misfit.py", NULL);
    fault_kill(rig_worker(&rig.pool, 1).os_pid, SIGSTOP);
    mu_stopwatch watch;
    mu_stopwatch_start(&watch);
    mu_pool_stop(rig.pool.pool);
    mu_stopwatch_stop(&watch);
    mu_check_le(watch.ran_ms, 1000 + 1000 * MU_TEST_SCALE);
    fault_close(&rig);
}
