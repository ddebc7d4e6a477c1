/* The number of real workers follows the load. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "pool/pool_rig.h"

enum { PATIENCE_MS = 60000, JOBS_MOST = 12 };

static const char misfit[] = MU_TEST_ROOT "/faults/workers/misfit.py";

static mu_pool_stats stats_of(pool_rig *rig)
{
    mu_pool_stats s;
    mu_pool_stats_get(rig->pool, &s);
    return s;
}

/* Requests that last until they are let go: however long a start takes, all are seen busy. */
typedef struct jobs {
    char dir[32];
    int n;
    mu_future *futures[JOBS_MOST];
} jobs;

static void gate_of(const jobs *j, int number, char path[64])
{
    (void)snprintf(path, 64, "%s/%d", j->dir, number);
}

static void submit_jobs(pool_rig *rig, jobs *j, int n)
{
    char path[64];
    mu_value args = MU_VALUE_INIT;
    mu_execute_options options = MU_EXECUTE_OPTIONS_INIT;
    options.queue_timeout_ms = MU_INFINITY;
    options.execution_timeout_ms = MU_INFINITY;
    *j = (jobs){.dir = "/tmp/muster-scaling-XXXXXX", .n = n};
    mu_check(mkdtemp(j->dir) != NULL);
    for (int i = 0; i < n; i++) {
        gate_of(j, i, path);
        mu_check_ok(mu_value_pack(&args, NULL, "{s:s}", "path", path));
        mu_check_ok(
            mu_pool_submit_future(rig->pool, "await_file", &args, &options, &j->futures[i]));
        mu_value_clear(&args);
    }
}

/* One after the other, so that the workers become idle apart. */
static void let_go(jobs *j)
{
    char path[64];
    for (int i = 0; i < j->n; i++) {
        gate_of(j, i, path);
        int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
        mu_check_ge(fd, 0);
        (void)close(fd);
        mu_check_ok(mu_future_wait(j->futures[i], MU_INFINITY, NULL, NULL));
        mu_future_free(&j->futures[i]);
        mu_check_eq(unlink(path), 0);
    }
    mu_check_eq(rmdir(j->dir), 0);
}

MU_TEST(scaling, max_overflow_workers_come_while_requests_wait_and_go_after_the_linger)
{
    jobs j;
    pool_rig rig;
    rig_prepare(&rig, 1);
    rig.options.script = misfit;
    rig.options.max_overflow = 2;
    rig.options.linger_ms = 200;
    rig.options.health_check_interval_ms = MU_INFINITY; /* nothing else wakes the manager */
    mu_check_ok(rig_open(&rig));
    mu_check_eq(stats_of(&rig).workers, 1);
    for (int round = 0; round < 2; round++) {
        submit_jobs(&rig, &j, 9);
        mu_wait_until(stats_of(&rig).busy == 3, PATIENCE_MS);
        let_go(&j);
        mu_wait_until(stats_of(&rig).workers == 1, PATIENCE_MS);
    }
    mu_check_ok(rig_run(&rig, "ping"));
    mu_check_eq(stats_of(&rig).restarts, 0u);
    rig_check_books(&rig);
    rig_stop(&rig);
}

MU_TEST(scaling, a_pool_starts_with_min_size_and_grows_to_its_size_and_no_further)
{
    jobs j;
    pool_rig rig;
    rig_prepare(&rig, 3);
    rig.options.script = misfit;
    rig.options.min_size = 1;
    rig.options.linger_ms = 200;
    mu_check_ok(rig_open(&rig));
    mu_check_eq(stats_of(&rig).workers, 1);
    submit_jobs(&rig, &j, JOBS_MOST);
    mu_wait_until(stats_of(&rig).busy == 3, PATIENCE_MS);
    mu_check_eq(stats_of(&rig).workers, 3);
    let_go(&j);
    mu_wait_until(stats_of(&rig).workers == 1, PATIENCE_MS);
    rig_stop(&rig);
}

MU_TEST(scaling, a_lazy_pool_starts_no_worker_until_it_is_asked)
{
    pool_rig rig;
    rig_prepare(&rig, 4);
    rig.options.lazy = true;
    mu_check_ok(rig_open(&rig));
    mu_check_eq(stats_of(&rig).workers, 0);
    mu_pool_health health;
    mu_check_ok(mu_pool_health_check(rig.pool, &health));
    mu_check_eq(health.status, MU_HEALTH_HEALTHY);
    mu_execute_options patient = MU_EXECUTE_OPTIONS_INIT;
    patient.queue_timeout_ms = RIG_STARTUP_MS;
    mu_check_ok(rig_ask(&rig, "ping", NULL, &patient, NULL));
    mu_check_eq(stats_of(&rig).workers, 1);
    rig_stop(&rig);
}

MU_TEST(scaling, prewarm_keeps_so_many_workers_idle_ahead_of_the_requests)
{
    pool_rig rig;
    rig_prepare(&rig, 4);
    rig.options.min_size = 1;
    rig.options.prewarm = 2;
    mu_check_ok(rig_open(&rig));
    mu_wait_until(rig_available(&rig) == 2, PATIENCE_MS);
    mu_value args = MU_VALUE_INIT;
    mu_future *hung;
    mu_check_ok(mu_value_pack(&args, NULL, "{s:f}", "seconds", 3600.0));
    mu_execute_options endless = MU_EXECUTE_OPTIONS_INIT;
    endless.execution_timeout_ms = MU_INFINITY;
    mu_check_ok(mu_pool_submit_future(rig.pool, "sleep", &args, &endless, &hung));
    mu_value_clear(&args);
    mu_wait_until(stats_of(&rig).busy == 1 && rig_available(&rig) == 2, PATIENCE_MS);
    mu_check_eq(stats_of(&rig).workers, 3);
    mu_future_free(&hung);
    rig_stop(&rig);
}

static void check_refused(pool_rig *rig, const char *option, const char *allowed)
{
    mu_check_err(rig_open(rig), MU_EINVAL);
    mu_check_contains(rig->error.message, option);
    mu_check_contains(rig->error.message, allowed);
    mu_error_clear(&rig->error);
}

MU_TEST(scaling, bounds_that_contradict_one_another_are_refused)
{
    pool_rig rig;
    rig_prepare(&rig, 4);
    rig.options.min_size = 5;
    check_refused(&rig, "min_size is 5", "1 to 4");
    rig.options.min_size = 2;
    rig.options.min_ready = 3;
    check_refused(&rig, "min_ready is 3", "1 to 2");
    rig.options.min_ready = 1;
    rig.options.lazy = true;
    check_refused(&rig, "min_ready is 1", "allowed is 0 if lazy");
    rig.options.min_ready = 0;
    rig.options.max_overflow = 1021;
    check_refused(&rig, "max_overflow is 1021", "0 to 1020");
    rig.options.max_overflow = -1;
    check_refused(&rig, "max_overflow is -1", "0 to 1023");
    rig_stop(&rig);
}
