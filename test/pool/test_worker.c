/* Generations of a worker: what becomes of slot, callers and process when its actor is killed. */
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include <muster/timer.h>

#include "base/clock.h"
#include "pool/pool_rig.h"

static void kill_actor(mu_pid pid)
{
    mu_reason kill = mu_reason_kill();
    mu_check_ok(mu_exit_signal(pid, &kill));
}

MU_TEST(worker, one_whose_actor_is_killed_again_and_again_stays_one_worker)
{
    pool_rig rig;
    rig_start(&rig, 2);
    for (int i = 0; i < 3; i++) { /* as often as back-off lets it come back at once */
        kill_actor(rig_worker(&rig, 0).actor);
        kill_actor(rig_worker(&rig, 1).actor);
        mu_wait_until(rig_worker(&rig, 0).generation == i + 2u &&
                          rig_worker(&rig, 1).generation == i + 2u && rig_available(&rig) == 2,
                      20000);
        for (int j = 0; j < 4; j++)
            mu_check_ok(rig_run(&rig, "ping"));
        mu_check_eq(rig_available(&rig), 2);
    }
    mu_check(kill(rig_worker(&rig, 0).os_pid, 0) == 0 && kill(rig_worker(&rig, 1).os_pid, 0) == 0);
    rig_check_books(&rig);
    rig_stop(&rig);
}

/* By back-off alone the last of these would be held for more than twenty seconds. */
MU_TEST(worker, the_only_one_comes_back_soon_however_often_it_is_killed, .timeout = 120)
{
    enum { KILLS = 14 };
    pool_rig rig;
    rig_start(&rig, 1);
    for (uint32_t i = 0; i < KILLS; i++) {
        mu_check_eq(kill(rig_worker(&rig, 0).os_pid, SIGKILL), 0);
        mu_wait_until(rig_worker(&rig, 0).generation == i + 2 && rig_available(&rig) == 1, 20000);
    }
    mu_check_ok(rig_run(&rig, "ping"));
    rig_stop(&rig);
}

typedef struct request {
    pthread_t thread;
    mu_pool *pool;
    mu_err err;
    mu_error error;
} request;

static void *hang_main(void *arg)
{
    request *r = arg;
    r->err = mu_pool_execute(r->pool, "hang", NULL, NULL, NULL, &r->error);
    return NULL;
}

MU_TEST(worker, a_caller_hears_at_once_that_the_actor_was_killed)
{
    pool_rig rig;
    rig_start(&rig, 1);
    request r = {.pool = rig.pool, .error = MU_ERROR_INIT};
    mu_check_eq(pthread_create(&r.thread, NULL, hang_main, &r), 0);
    mu_wait_until(rig_worker(&rig, 0).state == MU_WORKER_BUSY, 10000);
    int64_t from = mu_now(rig.system);
    kill_actor(rig_worker(&rig, 0).actor);
    pthread_join(r.thread, NULL);
    mu_check_lt(mu_now(rig.system) - from, 5000 * MU_MS * MU_TEST_SCALE);
    mu_check_err(r.err, MU_ECRASHED);
    mu_check_contains(r.error.message, "its owner");
    mu_error_clear(&r.error);
    mu_execute_options patient = MU_EXECUTE_OPTIONS_INIT;
    patient.queue_timeout_ms = RIG_STARTUP_MS;
    mu_check_ok(rig_ask(&rig, "ping", NULL, &patient, NULL));
    rig_check_books(&rig);
    rig_stop(&rig);
}

MU_TEST(worker, X6_a_request_that_comes_when_all_have_just_died_meets_no_dead_worker_for_long)
{
    enum { WORKERS = 6 };
    pool_rig rig;
    rig_start(&rig, WORKERS);
    for (int i = 0; i < WORKERS; i++)
        mu_check_eq(kill(rig_worker(&rig, i).os_pid, SIGKILL), 0);
    mu_execute_options patient = MU_EXECUTE_OPTIONS_INIT;
    patient.queue_timeout_ms = RIG_STARTUP_MS;
    /* A process that is being killed may still take a request out of the pipe: nobody can tell. */
    patient.idempotent = true;
    mu_check_ok(rig_ask(&rig, "ping", NULL, &patient, NULL));
    mu_wait_until(rig_available(&rig) == WORKERS, 20000);
    rig_check_books(&rig);
    rig_stop(&rig);
}
