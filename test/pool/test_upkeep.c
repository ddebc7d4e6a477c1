/* Workers come and go while requests are running: recycling, rolling restarts, resizing. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <muster/dynamic_supervisor.h>

#include "pool/pool_impl.h"
#include "pool/pool_rig.h"

enum { PATIENCE_MS = 60000, BREATH_US = 500 };

/*
 * Threads that ask all the time, but leave the processors to the workers that are being started:
 * interpreters share them with everything else that is tested. Whatever ends otherwise than well
 * is counted.
 */
typedef struct load {
    pool_rig *rig;
    pthread_t threads[4];
    int n;
    _Atomic bool over;
    _Atomic int good, bad;
} load;

static void *load_main(void *arg)
{
    load *l = arg;
    mu_execute_options patient = MU_EXECUTE_OPTIONS_INIT;
    patient.queue_timeout_ms = RIG_STARTUP_MS;
    while (!atomic_load(&l->over)) {
        mu_err err = mu_pool_execute(l->rig->pool, "ping", NULL, &patient, NULL, NULL);
        atomic_fetch_add(err == MU_OK ? &l->good : &l->bad, 1);
        (void)usleep(BREATH_US);
    }
    return NULL;
}

static void load_start(load *l, pool_rig *rig, int n)
{
    *l = (load){.rig = rig, .n = n};
    for (int i = 0; i < n; i++)
        mu_check_eq(pthread_create(&l->threads[i], NULL, load_main, l), 0);
}

/* Nothing has been lost. */
static void load_end(load *l)
{
    atomic_store(&l->over, true);
    for (int i = 0; i < l->n; i++)
        pthread_join(l->threads[i], NULL);
    mu_check_eq(atomic_load(&l->bad), 0);
    mu_check_gt(atomic_load(&l->good), 0);
}

static mu_pool_stats stats_of(pool_rig *rig)
{
    mu_pool_stats s;
    mu_pool_stats_get(rig->pool, &s);
    return s;
}

static size_t count_of(pool_rig *rig)
{
    mu_worker_info *workers;
    size_t count;
    mu_check_ok(mu_pool_workers(rig->pool, &workers, &count));
    free(workers);
    return count;
}

/* ---- recycling ---------------------------------------------------------------------------- */

MU_TEST(upkeep, max_requests_renews_a_worker_in_its_place_and_no_request_is_lost)
{
    pool_rig rig;
    rig_prepare(&rig, 2);
    rig.options.max_requests = 20;
    mu_check_ok(rig_open(&rig));
    load l;
    load_start(&l, &rig, 3);
    mu_wait_until(rig_worker(&rig, 0).generation >= 3 && rig_worker(&rig, 1).generation >= 3,
                  PATIENCE_MS);
    load_end(&l);
    mu_pool_stats s = stats_of(&rig);
    mu_check_ge(s.recycled, 4u);
    mu_check_eq(s.restarts, 0u);
    mu_check_eq(s.crashed, 0u);
    rig_check_books(&rig);
    rig_stop(&rig);
}

/* How often `total` requests, one after the other, renew the only worker. */
static uint64_t recycled_by(int jitter, int total)
{
    pool_rig rig;
    rig_prepare(&rig, 1);
    rig.options.max_requests = 10;
    rig.options.recycle_jitter = jitter;
    mu_check_ok(rig_open(&rig));
    for (int i = 0; i < total; i++)
        mu_check_ok(rig_run(&rig, "ping"));
    if (total >= 10)
        mu_wait_until(stats_of(&rig).recycled == 1, PATIENCE_MS);
    uint64_t recycled = stats_of(&rig).recycled;
    rig_stop(&rig);
    return recycled;
}

MU_TEST(upkeep, without_jitter_max_requests_is_exact)
{
    mu_check_eq(recycled_by(-1, 9), 0u);
    mu_check_eq(recycled_by(-1, 10), 1u);
}

MU_TEST(upkeep, max_lifetime_renews_a_worker_that_does_nothing)
{
    pool_rig rig;
    rig_prepare(&rig, 1);
    rig.options.max_lifetime_ms = 200;
    mu_check_ok(rig_open(&rig));
    int first = rig_worker(&rig, 0).os_pid;
    mu_wait_until(rig_worker(&rig, 0).generation >= 2, PATIENCE_MS);
    mu_wait_until(kill(first, 0) != 0, PATIENCE_MS);
    mu_check_ok(rig_run(&rig, "ping"));
    mu_check_eq(stats_of(&rig).restarts, 0u);
    rig_stop(&rig);
}

MU_TEST(upkeep, max_rss_weighs_the_workers_own_process)
{
    pool_rig rig;
    rig_start(&rig, 1);
    size_t lean = rig_worker(&rig, 0).rss;
    mu_check_gt(lean, (size_t)1 << 20);
    rig_stop(&rig);

    rig_prepare(&rig, 1);
    rig.options.max_rss = lean + (64 << 20);
    mu_check_ok(rig_open(&rig));
    mu_value args = MU_VALUE_INIT;
    mu_check_ok(mu_value_pack(&args, NULL, "{s:i}", "bytes", 100 * (1 << 20)));
    mu_check_ok(rig_run(&rig, "ping"));
    mu_check_ok(rig_ask(&rig, "leak", &args, NULL, NULL));
    mu_value_clear(&args);
    mu_wait_until(rig_worker(&rig, 0).generation == 2, PATIENCE_MS);
    mu_check_lt(rig_worker(&rig, 0).rss, rig.options.max_rss);
    rig_stop(&rig);
}

/* ---- rolling restart ---------------------------------------------------------------------- */

MU_TEST(upkeep, a_rolling_restart_renews_all_under_load_and_loses_nothing)
{
    pool_rig rig;
    rig_start(&rig, 3);
    load l;
    load_start(&l, &rig, 4);
    mu_error_clear(&rig.error);
    mu_check_ok(mu_pool_rolling_restart(rig.pool, PATIENCE_MS * MU_TEST_SCALE, &rig.error));
    for (int i = 0; i < 3; i++)
        mu_check_eq(rig_worker(&rig, i).generation, 2u);
    load_end(&l);
    mu_pool_stats s = stats_of(&rig);
    mu_check_eq(s.recycled, 3u);
    mu_check_eq(s.workers, 3);
    mu_check_eq(s.restarts, 0u);
    rig_check_books(&rig);
    rig_stop(&rig);
}

MU_TEST(upkeep, a_rolling_restart_waits_for_what_runs_and_the_time_limit_leaves_the_rest_alone)
{
    pool_rig rig;
    rig_start(&rig, 1);
    mu_value args = MU_VALUE_INIT;
    mu_job job;
    mu_check_ok(mu_value_pack(&args, NULL, "{s:i}", "seconds", 60));
    mu_check_ok(
        mu_pool_submit_to(rig.pool, "sleep", &args, NULL, mu_system_root(rig.system), 1, &job));
    mu_value_clear(&args);
    mu_wait_until(rig_worker(&rig, 0).state == MU_WORKER_BUSY, PATIENCE_MS);
    mu_check_err(mu_pool_rolling_restart(rig.pool, 300, &rig.error), MU_ETIMEOUT);
    mu_check_eq(rig_worker(&rig, 0).generation, 1u); /* it runs on */
    mu_check_ok(mu_job_cancel(rig.pool, job));
    mu_wait_until(rig_available(&rig) == 1, PATIENCE_MS);
    mu_check_ok(rig_run(&rig, "ping"));
    rig_check_books(&rig);
    rig_stop(&rig);
}

static void *roll_main(void *arg)
{
    pool_rig *rig = arg;
    mu_err err = mu_pool_rolling_restart(rig->pool, MU_INFINITY, NULL);
    return (void *)(intptr_t)err;
}

MU_TEST(upkeep, a_stop_in_the_middle_of_a_rolling_restart_ends_both)
{
    pool_rig rig;
    rig_start(&rig, 2);
    pthread_t thread;
    void *err;
    mu_check_eq(pthread_create(&thread, NULL, roll_main, &rig), 0);
    mu_wait_until(stats_of(&rig).recycled > 0, PATIENCE_MS);
    mu_pool_stop(rig.pool);
    pthread_join(thread, &err);
    mu_check((intptr_t)err == MU_ESHUTDOWN || (intptr_t)err == MU_OK);
    mu_check_err(mu_pool_rolling_restart(rig.pool, 1000, NULL), MU_ESHUTDOWN);
    mu_check_err(mu_pool_resize(rig.pool, 3), MU_ESHUTDOWN);
    rig_stop(&rig);
}

MU_TEST(upkeep, a_rolling_restart_also_renews_a_worker_that_was_starting_when_it_began)
{
    pool_rig rig;
    rig_start(&rig, 1);
    (void)kill(rig_worker(&rig, 0).os_pid, SIGKILL);
    mu_wait_until(rig_worker(&rig, 0).generation == 2, PATIENCE_MS); /* it starts */
    mu_check_ok(mu_pool_rolling_restart(rig.pool, PATIENCE_MS * MU_TEST_SCALE, &rig.error));
    mu_check_eq(rig_worker(&rig, 0).generation, 3u);
    rig_stop(&rig);
}

/* A worker's program on disk; what is written later is what later generations run. */
static void write_script(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    mu_check(file != NULL);
    mu_check_ge(fputs(text, file), 0);
    mu_check_eq(fclose(file), 0);
}

MU_TEST(upkeep, a_successor_that_fails_breaks_off_the_rolling_restart_and_the_old_ones_go_on)
{
    static const char good[] = "from muster_worker import Worker\n"
                               "worker = Worker('good')\n"
                               "worker.command('ping')(lambda ctx: 42)\n"
                               "worker.run()\n";
    char path[] = "/tmp/muster-test-XXXXXX.py";
    close(mkstemps(path, 3));
    write_script(path, good);
    pool_rig rig;
    rig_prepare(&rig, 2);
    rig.options.script = path;
    mu_check_ok(rig_open(&rig));
    write_script(path, "raise ValueError('a broken release')\n");
    load l;
    load_start(&l, &rig, 3);
    mu_error_clear(&rig.error);
    mu_check_err(mu_pool_rolling_restart(rig.pool, MU_INFINITY, &rig.error), MU_ESTART);
    mu_check_contains(rig.error.message, "a broken release");
    load_end(&l);
    mu_check_eq(rig_available(&rig), 2);
    for (int i = 0; i < 2; i++)
        mu_check_eq(rig_worker(&rig, i).generation, 1u);
    mu_check_eq(stats_of(&rig).recycled, 0u);

    write_script(path, good);
    mu_error_clear(&rig.error);
    mu_check_ok(mu_pool_rolling_restart(rig.pool, PATIENCE_MS * MU_TEST_SCALE, &rig.error));
    mu_check_eq(stats_of(&rig).recycled, 2u);
    mu_check_eq(rig_available(&rig), 2);
    unlink(path);
    rig_stop(&rig);
}

MU_TEST(upkeep, actors_and_processes_killed_in_the_middle_of_it_all_are_replaced_in_their_places)
{
    enum { WORKERS = 4, STEPS = 12 };
    pool_rig rig;
    rig_start(&rig, WORKERS);
    uint32_t random = 7;
    pthread_t thread;
    void *err;
    for (int step = 0; step < STEPS; step++) {
        bool rolls = step % 4 == 0;
        if (rolls)
            mu_check_eq(pthread_create(&thread, NULL, roll_main, &rig), 0);
        random = random * 1664525u + 1013904223u;
        mu_worker_info victim = rig_worker(&rig, (int)(random >> 16) % WORKERS);
        mu_reason kill_it = mu_reason_kill();
        if (random & 1u << 30)
            (void)mu_exit_signal(victim.actor, &kill_it);
        else if (victim.os_pid)
            (void)kill(victim.os_pid, SIGKILL);
        (void)rig_run(&rig, "ping");
        if (rolls) {
            pthread_join(thread, &err);
            mu_check((intptr_t)err == MU_OK || (intptr_t)err == MU_ESTART);
        }
    }
    mu_wait_until(rig_available(&rig) == WORKERS, PATIENCE_MS * MU_TEST_SCALE);
    mu_check_eq(count_of(&rig), (size_t)WORKERS);
    for (int i = 0; i < WORKERS; i++)
        mu_check_ok(rig_run(&rig, "ping"));
    rig_check_books(&rig);
    rig_stop(&rig);
}

/* ---- resizing ----------------------------------------------------------------------------- */

MU_TEST(upkeep, a_pool_grows_and_shrinks_under_load_and_loses_nothing)
{
    pool_rig rig;
    rig_start(&rig, 2);
    load l;
    load_start(&l, &rig, 4);
    mu_check_ok(mu_pool_resize(rig.pool, 5));
    mu_wait_until(count_of(&rig) == 5 && stats_of(&rig).starting == 0, PATIENCE_MS);
    mu_check_ok(mu_pool_resize(rig.pool, 1));
    mu_wait_until(count_of(&rig) == 1, PATIENCE_MS);
    mu_check_ok(mu_pool_resize(rig.pool, 3));
    mu_wait_until(count_of(&rig) == 3 && stats_of(&rig).starting == 0, PATIENCE_MS);
    load_end(&l);
    mu_check_eq(stats_of(&rig).restarts, 0u);
    mu_check_eq(rig_available(&rig), 3);
    rig_check_books(&rig);
    rig_stop(&rig);
}

/* When a worker could not be added, while it cannot. */
enum { ATTEMPTS = 64 };
static struct {
    mu_system *_Atomic system; /* NULL: it can */
    int64_t at[ATTEMPTS];
    _Atomic int n;
} refused;

mu_err __real_mu_dynamic_supervisor_start_child(mu_pid supervisor, const mu_child_spec *spec,
                                                mu_pid *ret_pid, mu_reason *ret_reason);
mu_err __wrap_mu_dynamic_supervisor_start_child(mu_pid supervisor, const mu_child_spec *spec,
                                                mu_pid *ret_pid, mu_reason *ret_reason);
mu_err __wrap_mu_dynamic_supervisor_start_child(mu_pid supervisor, const mu_child_spec *spec,
                                                mu_pid *ret_pid, mu_reason *ret_reason)
{
    mu_system *system = atomic_load(&refused.system);
    if (!system)
        return __real_mu_dynamic_supervisor_start_child(supervisor, spec, ret_pid, ret_reason);
    int i = atomic_load(&refused.n); /* the manager alone adds workers now */
    if (i < ATTEMPTS) {
        refused.at[i] = mu_now(system);
        atomic_store(&refused.n, i + 1);
    }
    return MU_ENOMEM;
}

/* So many attempts, or its first second is over. */
static bool has_seen_enough(void)
{
    int n = atomic_load(&refused.n);
    return n == ATTEMPTS ||
           (n > 0 && mu_now(atomic_load(&refused.system)) - refused.at[0] >= MU_SECOND);
}

/*
 * 10 ms after the first attempt, 20 after the second, and so on: eight in the first second. A few
 * more may be due to whatever else has the manager look.
 */
MU_TEST(upkeep, a_worker_that_cannot_be_added_is_tried_again_with_pauses_that_grow)
{
    enum { MOST = 20 };
    pool_rig rig;
    rig_prepare(&rig, 1);
    mu_check_ok(rig_open(&rig));
    atomic_store(&refused.system, rig.system);
    mu_check_ok(mu_pool_resize(rig.pool, 2));
    mu_wait_until(has_seen_enough(), PATIENCE_MS);
    int early = 0;
    for (int i = 0; i < atomic_load(&refused.n); i++)
        early += refused.at[i] - refused.at[0] < MU_SECOND;
    mu_check_ge(early, 1);
    mu_check_le(early, MOST);
    mu_check_ok(rig_run(&rig, "ping")); /* nobody else is held up */
    atomic_store(&refused.system, NULL);
    mu_wait_until(stats_of(&rig).available == 2, PATIENCE_MS);
    rig_stop(&rig);
}

MU_TEST(upkeep, workers_that_are_too_many_finish_their_requests_before_they_leave)
{
    enum { WORKERS = 3 };
    pool_rig rig;
    rig_prepare(&rig, WORKERS);
    rig.options.shutdown_grace_ms = 50; /* much less than what they are doing takes */
    mu_check_ok(rig_open(&rig));
    mu_value args = MU_VALUE_INIT;
    mu_future *futures[WORKERS];
    mu_check_ok(mu_value_pack(&args, NULL, "{s:f}", "seconds", 1.0));
    for (int i = 0; i < WORKERS; i++)
        mu_check_ok(mu_pool_submit_future(rig.pool, "sleep", &args, NULL, &futures[i]));
    mu_value_clear(&args);
    mu_check_ok(mu_pool_resize(rig.pool, 1));
    for (int i = 0; i < WORKERS; i++) {
        mu_check_ok(mu_future_wait(futures[i], MU_INFINITY, NULL, NULL));
        mu_future_free(&futures[i]);
    }
    mu_wait_until(count_of(&rig) == 1, PATIENCE_MS);
    rig_stop(&rig);
}

/* Whoever meets a dead process first marks its slot; its actor hears of the death a little later.
 */
MU_TEST(upkeep, a_worker_that_is_dropped_between_its_death_and_the_news_leaves_nothing)
{
    pool_rig rig;
    rig_start(&rig, 2);
    mu_pool *pool = rig.pool;
    mu_lock_acquire(&pool->lock);
    mu__slot *slot = pool->slots[1];
    mu__slot_hide_locked(pool, slot);
    mu__slot_move_locked(slot, MU__WORKER_DIED);
    mu_lock_release(&pool->lock);
    mu_check_ok(mu_pool_resize(pool, 1)); /* it is spared before one that serves */
    mu_wait_until(stats_of(&rig).workers == 1, 20000);
    mu_check_ok(rig_run(&rig, "ping"));
    rig_stop(&rig); /* and the leak check finds its pipes, if anybody still has them */
}

MU_TEST(upkeep, a_size_out_of_range_is_refused)
{
    pool_rig rig;
    rig_start(&rig, 1);
    mu_check_err(mu_pool_resize(rig.pool, 0), MU_EINVAL);
    mu_check_err(mu_pool_resize(rig.pool, 1025), MU_EINVAL);
    mu_check_err(mu_pool_resize(NULL, 1), MU_EINVAL);
    rig_stop(&rig);
}

MU_TEST(upkeep, a_pool_that_has_grown_survives_that_all_its_workers_die_at_once)
{
    enum { WORKERS = 12 };
    pool_rig rig;
    rig_start(&rig, 1);
    mu_check_ok(mu_pool_resize(rig.pool, WORKERS));
    mu_wait_until(rig_available(&rig) == WORKERS, PATIENCE_MS * MU_TEST_SCALE);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < WORKERS; i++)
            (void)kill(rig_worker(&rig, i).os_pid, SIGKILL);
        mu_wait_until(stats_of(&rig).restarts == (round + 1u) * WORKERS, PATIENCE_MS);
        mu_wait_until(rig_available(&rig) == WORKERS, PATIENCE_MS * MU_TEST_SCALE);
    }
    mu_check_ok(rig_run(&rig, "ping"));
    rig_stop(&rig);
}

/* ---- pause -------------------------------------------------------------------------------- */

typedef struct asker {
    pthread_t thread;
    pool_rig *rig;
    mu_err err;
} asker;

static void *ask_main(void *arg)
{
    asker *a = arg;
    a->err = mu_pool_execute(a->rig->pool, "ping", NULL, NULL, NULL, NULL);
    return NULL;
}

MU_TEST(upkeep, a_drained_pool_finishes_what_it_has_and_takes_nothing_new_until_it_is_resumed)
{
    enum { JOBS = 4 };
    pool_rig rig;
    rig_start(&rig, 1);
    mu_future *futures[JOBS];
    mu_value args = MU_VALUE_INIT;
    mu_check_ok(mu_value_pack(&args, NULL, "{s:f}", "seconds", 0.5));
    for (int i = 0; i < JOBS; i++)
        mu_check_ok(mu_pool_submit_future(rig.pool, "sleep", &args, NULL, &futures[i]));
    mu_value_clear(&args);
    mu_check_err(mu_pool_drain(rig.pool, 1), MU_ETIMEOUT);
    mu_check_err(rig_run(&rig, "ping"), MU_ESHUTDOWN);
    mu_check_ok(mu_pool_drain(rig.pool, MU_INFINITY));
    for (int i = 0; i < JOBS; i++) {
        mu_check_ok(mu_future_wait(futures[i], 0, NULL, NULL));
        mu_future_free(&futures[i]);
    }
    mu_check_eq(stats_of(&rig).queued + stats_of(&rig).in_flight, 0);
    mu_check_err(rig_run(&rig, "ping"), MU_ESHUTDOWN);
    mu_check_contains(rig.error.message, "is drained and takes nothing new until it is resumed");
    mu_pool_resume(rig.pool);
    mu_check_ok(rig_run(&rig, "ping"));
    rig_check_books(&rig);
    mu_pool_stop(rig.pool);
    mu_check_err(rig_run(&rig, "ping"), MU_ESHUTDOWN);
    mu_check_contains(rig.error.message, "is shutting down");
    mu_check_err(mu_pool_drain(rig.pool, 1), MU_ESHUTDOWN);
    mu_check_err(mu_pool_drain(NULL, 1), MU_EINVAL);
    rig_stop(&rig);
}

MU_TEST(upkeep, a_paused_pool_gives_out_no_worker_until_it_is_resumed)
{
    pool_rig rig;
    rig_start(&rig, 2);
    mu_pool_pause(rig.pool);
    mu_execute_options impatient = MU_EXECUTE_OPTIONS_INIT;
    impatient.queue_timeout_ms = 50;
    mu_check_err(rig_ask(&rig, "ping", NULL, &impatient, NULL), MU_EQUEUE_TIMEOUT);
    asker askers[3];
    for (int i = 0; i < 3; i++) {
        askers[i] = (asker){.rig = &rig};
        mu_check_eq(pthread_create(&askers[i].thread, NULL, ask_main, &askers[i]), 0);
    }
    mu_wait_until(stats_of(&rig).queued == 3, 10000);
    mu_check_eq(rig_available(&rig), 2);
    mu_pool_resume(rig.pool);
    for (int i = 0; i < 3; i++) {
        pthread_join(askers[i].thread, NULL);
        mu_check_ok(askers[i].err);
    }
    rig_check_books(&rig);
    rig_stop(&rig);
}
