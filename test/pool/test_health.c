/* Health checks with real workers, and what is told of the pool as a whole. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "pool/pool_rig.h"

/* For an answer: no worker that is well takes so long on a machine that is busy. */
enum { PATIENCE_MS = 60000, ANSWER_MS = 3000 };

static mu_pool_stats stats_of(pool_rig *rig)
{
    mu_pool_stats s;
    mu_pool_stats_get(rig->pool, &s);
    return s;
}

static mu_pool_health health_of(pool_rig *rig)
{
    mu_pool_health health;
    mu_check_ok(mu_pool_health_check(rig->pool, &health));
    return health;
}

MU_TEST(health, an_idle_worker_that_hangs_is_found_and_replaced)
{
    pool_rig rig;
    rig_prepare(&rig, 2);
    rig.options.health_check_interval_ms = 50;
    rig.options.health_check_timeout_ms = ANSWER_MS;
    mu_check_ok(rig_open(&rig));
    int hung = rig_worker(&rig, 1).os_pid;
    mu_check_eq(kill(hung, SIGSTOP), 0);
    mu_wait_until(rig_worker(&rig, 1).generation >= 2, PATIENCE_MS);
    mu_wait_until(rig_available(&rig) == 2, PATIENCE_MS);
    mu_check_ge(stats_of(&rig).unhealthy, 1u);
    mu_check_contains(rig_worker(&rig, 1).reason, "did not answer a health check within");
    mu_check_eq(rig_worker(&rig, 1).error, MU_EEXEC_TIMEOUT);
    mu_wait_until(kill(hung, 0) != 0, PATIENCE_MS);
    mu_check_ok(rig_run(&rig, "ping"));
    rig_stop(&rig);
}

MU_TEST(health, a_check_on_demand_asks_all_idle_workers_though_none_is_due)
{
    pool_rig rig;
    rig_prepare(&rig, 3);
    rig.options.health_check_interval_ms = MU_INFINITY;
    rig.options.health_check_timeout_ms = ANSWER_MS;
    mu_check_ok(rig_open(&rig));
    mu_pool_health health = health_of(&rig);
    mu_check_eq(health.status, MU_HEALTH_HEALTHY);
    mu_check_eq(health.serving, 3);
    mu_check_str(health.reasons, "");
    mu_check_eq(stats_of(&rig).health_checks, 3u);
    mu_check_eq(kill(rig_worker(&rig, 0).os_pid, SIGSTOP), 0);
    health = health_of(&rig);
    mu_check_eq(health.unhealthy, 1);
    mu_wait_until(rig_worker(&rig, 0).generation == 2, PATIENCE_MS);
    mu_check_eq(stats_of(&rig).health_checks, 6u);
    rig_stop(&rig);
}

MU_TEST(health, a_worker_whose_own_health_check_fails_is_replaced_with_its_reason)
{
    static const char script[] = "import os\n"
                                 "from muster_worker import Worker\n"
                                 "worker = Worker('own')\n"
                                 "@worker.command()\n"
                                 "def health_check():\n"
                                 "    if os.environ['MUSTER_WORKER_ID'] == 'worker_2':\n"
                                 "        raise ValueError('the database is gone')\n"
                                 "worker.run()\n";
    char path[] = "/tmp/muster-test-XXXXXX.py";
    int fd = mkstemps(path, 3);
    mu_check_eq(write(fd, script, sizeof script - 1), (ssize_t)sizeof script - 1);
    close(fd);
    pool_rig rig;
    rig_prepare(&rig, 2);
    rig.options.script = path;
    rig.options.health_check_interval_ms = MU_INFINITY;
    mu_check_ok(rig_open(&rig));
    mu_check_eq(health_of(&rig).unhealthy, 1);
    mu_wait_until(rig_worker(&rig, 1).generation == 2, PATIENCE_MS);
    mu_check_contains(rig_worker(&rig, 1).reason, "ValueError: the database is gone");
    mu_check_eq(rig_worker(&rig, 1).error, MU_EWORKER);
    mu_check_eq(rig_worker(&rig, 0).generation, 1u);
    unlink(path);
    rig_stop(&rig);
}

typedef struct load {
    pool_rig *rig;
    _Atomic bool over;
    _Atomic int bad;
} load;

/* Pauses from half an interval of the checks to two and a half: none is due in the short ones. */
static void *load_main(void *arg)
{
    load *l = arg;
    for (unsigned i = 0; !atomic_load(&l->over); i++) {
        if (mu_pool_execute(l->rig->pool, "ping", NULL, NULL, NULL, NULL) != MU_OK)
            atomic_fetch_add(&l->bad, 1);
        (void)usleep(500 * (1 + i % 5));
    }
    return NULL;
}

MU_TEST(health, checks_in_between_requests_disturb_none)
{
    pool_rig rig;
    rig_prepare(&rig, 2);
    rig.options.health_check_interval_ms = 1;
    rig.options.health_check_timeout_ms = PATIENCE_MS;
    mu_check_ok(rig_open(&rig));
    load l = {.rig = &rig};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        mu_check_eq(pthread_create(&threads[i], NULL, load_main, &l), 0);
    mu_wait_until(stats_of(&rig).health_checks >= 200, PATIENCE_MS);
    atomic_store(&l.over, true);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    mu_check_eq(atomic_load(&l.bad), 0);
    mu_pool_stats s = stats_of(&rig);
    mu_check_eq(s.unhealthy, 0u);
    mu_check_eq(s.late_replies, 0u);
    mu_check_eq(s.requests, s.succeeded); /* a check is no request */
    rig_stop(&rig);
}

MU_TEST(health, what_callers_have_cancelled_says_nothing_about_the_pool)
{
    enum { CANCELLED = 5 };
    pool_rig rig;
    mu_future *futures[CANCELLED];
    rig_start(&rig, 1);
    mu_pool_pause(rig.pool);
    for (int i = 0; i < CANCELLED; i++)
        mu_check_ok(mu_pool_submit_future(rig.pool, "ping", NULL, NULL, &futures[i]));
    for (int i = 0; i < CANCELLED; i++) {
        mu_check_ok(mu_future_cancel(futures[i]));
        mu_check_err(mu_future_wait(futures[i], MU_INFINITY, NULL, NULL), MU_ECANCELLED);
        mu_future_free(&futures[i]);
    }
    mu_pool_resume(rig.pool);
    mu_wait_until(stats_of(&rig).cancelled == CANCELLED, PATIENCE_MS);
    mu_pool_health health = health_of(&rig);
    mu_check_str(health.reasons, "");
    mu_check_eq(health.status, MU_HEALTH_HEALTHY);
    for (int i = 0; i < 19; i++)
        mu_check_ok(rig_run(&rig, "ping"));
    mu_check_err(rig_run(&rig, "raise"), MU_EWORKER);
    health = health_of(&rig);
    mu_check_eq(health.status, MU_HEALTH_HEALTHY);
    mu_check(health.error_rate == 0.05); /* they are not of the others either */
    rig_stop(&rig);
}

MU_TEST(health, failing_requests_and_vain_waits_degrade_a_pool_and_no_worker_makes_it_unhealthy)
{
    pool_rig rig;
    rig_prepare(&rig, 1);
    rig.options.restart = MU_POOL_TEMPORARY;
    mu_check_ok(rig_open(&rig));
    for (int i = 0; i < 19; i++)
        mu_check_ok(rig_run(&rig, "ping"));
    mu_check_err(rig_run(&rig, "raise"), MU_EWORKER);
    mu_check_eq(health_of(&rig).status, MU_HEALTH_HEALTHY); /* 5 %, and no more */
    mu_check_err(rig_run(&rig, "raise"), MU_EWORKER);
    mu_pool_health health = health_of(&rig);
    mu_check_eq(health.status, MU_HEALTH_DEGRADED);
    mu_check_contains(health.reasons, "9.5 % of the requests failed");
    mu_pool_pause(rig.pool);
    mu_execute_options impatient = MU_EXECUTE_OPTIONS_INIT;
    impatient.queue_timeout_ms = 1;
    mu_check_err(rig_ask(&rig, "ping", NULL, &impatient, NULL), MU_EQUEUE_TIMEOUT);
    mu_pool_resume(rig.pool);
    mu_check_contains(health_of(&rig).reasons, "1 requests waited in vain");
    (void)kill(rig_worker(&rig, 0).os_pid, SIGKILL);
    mu_wait_until(rig_worker(&rig, 0).state == MU_WORKER_STOPPED, PATIENCE_MS);
    health = health_of(&rig);
    mu_check_eq(health.status, MU_HEALTH_UNHEALTHY);
    mu_check_contains(health.reasons, "no worker is available");
    mu_check_eq(health.serving, 0);
    mu_pool_stop(rig.pool);
    mu_check_err(mu_pool_health_check(rig.pool, &health), MU_ESHUTDOWN);
    mu_check_err(mu_pool_health_check(NULL, &health), MU_EINVAL);
    rig_stop(&rig);
}
