/* Pools whose workers are forked (pool/fork.c, pool/worker.c, port/fork_server.c). */
#include "base/warden_proto.h"
#include "fork_rig.h"
#include "support/mu_marked.h"

static const char *const json[] = {"json", NULL};
static const char *const missing[] = {"no_such_module_anywhere", NULL};

MU_TEST(fork_server, forked_workers_answer_and_have_pids_and_names_of_their_own)
{
    fork_rig rig;
    fork_prepare(&rig, 4);
    rig.pool.options.preload = json;
    fork_open(&rig);
    mu_check_ok(rig_run(&rig.pool, "ping"));
    for (int i = 0; i < 4; i++) {
        mu_worker_info worker = rig_worker(&rig.pool, i);
        mu_check_gt(worker.os_pid, 0);
        mu_check_ne(worker.os_pid, atomic_load(&rig.server));
        for (int j = 0; j < i; j++)
            mu_check_ne(worker.os_pid, rig_worker(&rig.pool, j).os_pid);
    }
    mu_check_eq(atomic_load(&rig.ready), 1);
    mu_check_eq(atomic_load(&rig.fallbacks), 0);
    fork_close(&rig);
}

MU_TEST(fork_server, a_pool_that_preloads_nothing_and_asks_for_nothing_has_none)
{
    fork_rig rig;
    fork_prepare(&rig, 1);
    rig.pool.options.start_method = MU_START_AUTO;
    fork_open(&rig);
    mu_check_ok(rig_run(&rig.pool, "ping"));
    mu_check_eq(atomic_load(&rig.ready), 0);
    mu_check_eq(atomic_load(&rig.fallbacks), 0);
    fork_close(&rig);
}

MU_TEST(fork_server, a_module_that_cannot_be_imported_fails_the_start_by_its_name)
{
    fork_rig rig;
    fork_prepare(&rig, 2);
    rig.pool.options.preload = missing;
    mu_check_err(rig_open(&rig.pool), MU_ESTART);
    mu_check_contains(rig.pool.error.message, "no_such_module_anywhere");
    fork_close(&rig);
}

MU_TEST(fork_server, under_auto_a_module_that_cannot_be_imported_leads_to_exec_and_is_told)
{
    fork_rig rig;
    fork_prepare(&rig, 2);
    rig.pool.options.start_method = MU_START_AUTO;
    rig.pool.options.preload = missing;
    fork_open(&rig);
    mu_check_ok(rig_run(&rig.pool, "ping"));
    mu_check_eq(atomic_load(&rig.given_up), 1);
    mu_check_eq(atomic_load(&rig.fallbacks), 2);
    mu_check(fork_reason_has(&rig, "no_such_module_anywhere"));
    fork_close(&rig);
}

MU_TEST(fork_server, a_killed_worker_is_forked_anew_by_the_same_server)
{
    fork_rig rig;
    fork_prepare(&rig, 1);
    fork_open(&rig);
    fork_kill_worker(&rig, 0);
    mu_check_ok(rig_run(&rig.pool, "ping"));
    mu_check_eq(atomic_load(&rig.ready), 1);
    fork_close(&rig);
}

MU_TEST(fork_server, its_death_costs_no_live_worker_its_request_and_it_is_started_again)
{
    fork_rig rig;
    fork_prepare(&rig, 1);
    fork_open(&rig);
    int worker = rig_worker(&rig.pool, 0).os_pid, server = atomic_load(&rig.server);
    mu_check_eq(kill(server, SIGKILL), 0);
    mu_check_ok(rig_run(&rig.pool, "ping"));
    mu_check_eq(rig_worker(&rig.pool, 0).os_pid, worker);
    fork_kill_worker(&rig, 0);
    mu_check_ok(rig_run(&rig.pool, "ping"));
    mu_check_ne(atomic_load(&rig.server), server);
    mu_check_ge(atomic_load(&rig.ready), 2);
    fork_close(&rig);
}

MU_TEST(fork_server, more_forks_than_its_socket_holds_are_made_all_the_same)
{
    enum { MANY = 64 };
    fork_rig rig;
    fork_prepare(&rig, MANY);
    rig.pool.options.min_ready = MANY;
    rig.pool.options.startup_timeout_ms = 60000 * MU_TEST_SCALE;
    fork_open(&rig);
    mu_check_eq(rig_available(&rig.pool), MANY);
    mu_check_eq(atomic_load(&rig.ready), 1);
    fork_close(&rig);
}

/* All that carry the run's mark: the warden, the server, its worker, and who waits. */
static void check_spares(int asked, int count)
{
    fork_rig rig;
    fork_prepare(&rig, 1);
    rig.pool.options.spare_forks = asked;
    fork_open(&rig);
    const char *run = mu_system_run_id(rig.pool.system);
    mu_wait_until(mu_marked(MU__ENV_RUN_ID, run) == 3 + count, 30000);
    fork_kill_worker(&rig, 0);
    mu_check_ok(rig_run(&rig.pool, "ping"));
    mu_wait_until(mu_marked(MU__ENV_RUN_ID, run) == 3 + count, 30000);
    mu_check_eq(atomic_load(&rig.ready), 1);
    fork_close(&rig);
}

MU_TEST(fork_server, one_process_is_forked_ahead_and_replaced_when_it_has_become_a_worker)
{
    check_spares(0, 1);
}

MU_TEST(fork_server, spare_forks_is_how_many_are_forked_ahead)
{
    check_spares(3, 3);
}

MU_TEST(fork_server, without_spare_forks_none_is_forked_ahead)
{
    check_spares(-1, 0);
}
