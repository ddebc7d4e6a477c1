/*
 * The fork server's faults, each met by its pool: a preload that starts threads, exits or hangs
 * (C2), a server that hangs or dies (C5, C1), a host that is killed (H1). What is promised of any
 * worker is tested for forked ones by the tests that are marked 'forked' (test/faults/meson.build).
 */
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "pool/fork_rig.h"
#include "support/mu_marked.h"
#include "support/mu_role.h"

static const char misfit[] = MU_TEST_ROOT "/faults/workers/misfit.py";

typedef const char *const module_list[2];
static module_list starts_thread = {"preload_thread", NULL};
static module_list exits = {"preload_exit", NULL};
static module_list hangs = {"preload_hang", NULL};

/* The modules stand beside the script. */
static void prepare(fork_rig *rig, int size, const char *const *preload)
{
    fork_prepare(rig, size);
    rig->pool.options.script = misfit;
    rig->pool.options.preload = preload;
    rig->pool.options.queue_timeout_ms = RIG_STARTUP_MS;
    if (preload == hangs)
        rig->pool.options.startup_timeout_ms = 1500 * MU_TEST_SCALE;
}

/* ---- C2: the preload ----------------------------------------------------------------------- */

static void check_fails(const char *const *preload, const char *why)
{
    fork_rig rig;
    prepare(&rig, 2, preload);
    mu_check_err(rig_open(&rig.pool), MU_ESTART);
    mu_check_contains(rig.pool.error.message, why);
    mu_check_contains(rig.pool.error.message, preload[0]);
    mu_check_eq(atomic_load(&rig.ready), 0);
    fork_close(&rig);
}

MU_TEST(forks, C2_a_preload_that_starts_a_thread_fails_the_start_by_the_threads_name)
{
    check_fails(starts_thread, "'busybody'");
}

MU_TEST(forks, C2_a_preload_that_exits_fails_the_start_with_its_status)
{
    check_fails(exits, "7");
}

MU_TEST(forks, C2_a_preload_that_hangs_fails_the_start_at_the_startup_timeout)
{
    check_fails(hangs, "startup_timeout_ms");
}

/* ---- under auto: exec, once and for all ------------------------------------------------------ */

static void check_falls_back(const char *const *preload)
{
    fork_rig rig;
    prepare(&rig, 2, preload);
    rig.pool.options.start_method = MU_START_AUTO;
    rig.pool.options.startup_timeout_ms = preload == hangs ? RIG_STARTUP_MS / 5 : RIG_STARTUP_MS;
    fork_open(&rig);
    mu_check_ok(rig_run(&rig.pool, "ping"));
    mu_check_eq(atomic_load(&rig.given_up), 1);
    mu_check_ge(atomic_load(&rig.fallbacks), 1);
    mu_check(fork_reason_has(&rig, preload[0]));
    fork_close(&rig);
}

MU_TEST(forks, C2_under_auto_a_preload_that_starts_a_thread_leads_to_exec)
{
    check_falls_back(starts_thread);
}

MU_TEST(forks, C2_under_auto_a_preload_that_exits_leads_to_exec)
{
    check_falls_back(exits);
}

MU_TEST(forks, C2_under_auto_a_preload_that_hangs_leads_to_exec)
{
    check_falls_back(hangs);
}

MU_TEST(forks, C2_under_auto_workers_are_execd_while_a_server_that_served_cannot_start_again)
{
    char path[] = "/tmp/muster-fault-XXXXXX", setting[64];
    static module_list once = {"preload_once", NULL};
    const char *const env[] = {setting, NULL};
    fork_rig rig;
    mu_check_eq(close(mkstemp(path)), 0);
    mu_check_eq(unlink(path), 0);
    snprintf(setting, sizeof setting, "PRELOAD_ONCE=%s", path);
    prepare(&rig, 1, once);
    rig.pool.options.start_method = MU_START_AUTO;
    rig.pool.options.env = env;
    fork_open(&rig);
    mu_check_eq(atomic_load(&rig.fallbacks), 0);
    mu_check_eq(kill(atomic_load(&rig.server), SIGKILL), 0);
    fork_kill_worker(&rig, 0);
    mu_check_eq(atomic_load(&rig.fallbacks), 1);
    mu_check_eq(atomic_load(&rig.given_up), 0);
    mu_check_eq(unlink(path), 0);
    mu_wait_until(atomic_load(&rig.ready) == 2, 30000); /* it was tried again, and can */
    fork_kill_worker(&rig, 0);
    mu_check_eq(atomic_load(&rig.fallbacks), 1);
    fork_close(&rig);
    mu_check_eq(unlink(path), 0);
}

/* ---- C5, C1: the server --------------------------------------------------------------------- */

/* A quarter of the startup timeout is what a fork may take. */
MU_TEST(forks, C5_a_server_that_is_stopped_is_killed_and_the_next_makes_the_worker)
{
    fork_rig rig;
    prepare(&rig, 2, NULL);
    rig.pool.options.startup_timeout_ms = 6000 * MU_TEST_SCALE;
    fork_open(&rig);
    int server = atomic_load(&rig.server);
    mu_check_eq(kill(server, SIGSTOP), 0);
    mu_worker_info other = rig_worker(&rig.pool, 1);
    fork_kill_worker(&rig, 0);
    mu_check_ne(atomic_load(&rig.server), server);
    mu_check(fork_reason_has(&rig, "did not fork within"));
    mu_check_eq(rig_worker(&rig.pool, 1).os_pid, other.os_pid);
    mu_check_ok(rig_run(&rig.pool, "ping"));
    fork_close(&rig);
}

/* Dies each time: it must be started again and again, and no request may be lost for it. */
MU_TEST(forks, C1_servers_that_die_again_and_again_cost_no_request)
{
    fork_rig rig;
    prepare(&rig, 2, NULL);
    fork_open(&rig);
    for (int i = 0; i < 4; i++) {
        int ready = atomic_load(&rig.ready);
        mu_check_eq(kill(atomic_load(&rig.server), SIGKILL), 0);
        mu_check_ok(rig_run(&rig.pool, "ping"));
        mu_wait_until(atomic_load(&rig.ready) > ready, 30000);
        fork_kill_worker(&rig, i % 2);
        mu_check_ok(rig_run(&rig.pool, "ping"));
    }
    fork_close(&rig);
}

/* Server and worker in one moment: the request for a fork may find the server in any state. */
MU_TEST(forks, C1_a_server_and_a_worker_that_die_together_are_both_replaced)
{
    fork_rig rig;
    prepare(&rig, 1, NULL);
    fork_open(&rig);
    for (int i = 0; i < 4; i++) {
        int server = atomic_load(&rig.server), ready = atomic_load(&rig.ready);
        mu_worker_info worker = rig_worker(&rig.pool, 0);
        mu_check_eq(kill(i % 2 ? server : worker.os_pid, SIGKILL), 0);
        mu_check_eq(kill(i % 2 ? worker.os_pid : server, SIGKILL), 0);
        mu_wait_until(fork_replaced(&rig, 0, worker.generation), 30000);
        mu_wait_until(atomic_load(&rig.ready) > ready, 30000);
        mu_check_ok(rig_run(&rig.pool, "ping"));
    }
    fork_close(&rig);
}

/* ---- H1: the host --------------------------------------------------------------------------- */

MU_ROLE(forking_host)
{
    static fork_rig rig;
    (void)argc;
    (void)argv;
    prepare(&rig, 3, NULL);
    fork_open(&rig);
    puts("ready");
    for (;;) {
        fork_kill_worker(&rig, 0); /* so that a fork is always under way */
        (void)rig_run(&rig.pool, "ping");
    }
    return 0;
}

MU_TEST(forks, H1_neither_server_nor_worker_outlives_a_host_that_is_killed, .timeout = 60)
{
    int64_t rounds = mu_test_size(6, 200);
    for (int64_t i = 0; i < rounds; i++) {
        mu_role host = mu_role_start("forking_host", NULL);
        const mu__proc_id self = mu_marked_host(host.pid);
        mu_check_str(mu_role_line(&host, 30000), "ready");
        struct pollfd never = {.fd = host.out, .events = 0};
        (void)poll(&never, 1, (int)(i * 7 % 50));
        mu_check_gt(mu_marked_by(self), 0);
        mu_check_eq(kill(host.pid, SIGKILL), 0);
        bool clean = mu_poll_until(mu_marked_by(self) == 0, 1000);
        mu_check_msg(clean, "%d processes are left", mu_marked_by(self));
        (void)mu_role_end(&host, 5000);
    }
}
