/*
 * Much at once: stops in the middle of everything (X1), callers that go (X4), storms of deaths
 * (X6), names that many want (X3), queues that are full (R6).
 */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "fault_rig.h"

enum { GRACE_MS = 1000, STOP_MS = GRACE_MS + 1000 }; /* fault_prepare's grace, and X1's bar */

/* Counts outcomes, and those that were MU_ESHUTDOWN. */
typedef struct tally {
    _Atomic int outcomes, shut_down, ok;
} tally;

static void count_outcome(void *ctx, const mu_outcome *outcome)
{
    tally *t = ctx;
    if (outcome->err == MU_ESHUTDOWN)
        atomic_fetch_add(&t->shut_down, 1);
    if (outcome->err == MU_OK)
        atomic_fetch_add(&t->ok, 1);
    atomic_fetch_add(&t->outcomes, 1);
}

static void check_stop(fault_rig *rig)
{
    mu_stopwatch watch;
    mu_stopwatch_start(&watch);
    mu_pool_stop(rig->pool.pool);
    mu_stopwatch_stop(&watch);
    mu_check_le(watch.ran_ms, STOP_MS * MU_TEST_SCALE);
    for (int i = 0; i < rig->pool.options.size; i++)
        mu_check_eq((int)rig_worker(&rig->pool, i).state, (int)MU_WORKER_STOPPED);
}

/* ---- X1 ------------------------------------------------------------------------------------ */

typedef struct starter {
    fault_rig *rig;
    _Atomic int spawned;
    _Atomic bool returned;
    mu_err err;
} starter;

static void count_spawned(void *ctx, const mu_worker_info *w)
{
    if (w->os_pid)
        atomic_fetch_add(&((starter *)ctx)->spawned, 1);
}

static void start_in_actor(void *arg)
{
    starter *s = arg;
    s->err = rig_open(&s->rig->pool);
    atomic_store(&s->returned, true);
}

MU_TEST(concurrency, X1_a_start_whose_actor_is_killed_is_broken_off_and_leaves_nothing)
{
    fault_rig rig;
    fault_prepare(&rig, 3, "starts.py", "slow_third");
    starter s = {.rig = &rig};
    rig.pool.options.progress = count_spawned;
    rig.pool.options.progress_ctx = &s;
    mu_pid pid;
    mu_check_ok(mu_spawn(rig.pool.system, NULL, start_in_actor, &s, &pid));
    mu_wait_until(atomic_load(&s.spawned) >= 3, 20000);
    mu_reason kill_it = mu_reason_kill();
    mu_stopwatch watch;
    mu_stopwatch_start(&watch);
    mu_check_ok(mu_exit_signal(pid, &kill_it));
    mu_wait_until(atomic_load(&s.returned), 10000);
    mu_stopwatch_stop(&watch);
    mu_check_le(watch.ran_ms, STOP_MS * MU_TEST_SCALE);
    mu_check_err(s.err, MU_EKILLED);
    mu_check(!rig.pool.pool);
    fault_close(&rig);
}

MU_TEST(concurrency, X1_a_stop_while_all_workers_restart_is_in_time)
{
    fault_rig rig;
    for (int round = 0; round < 4; round++) {
        fault_start(&rig, 4, "misfit.py", NULL);
        for (int i = 0; i < 4; i++)
            fault_kill(rig_worker(&rig.pool, i).os_pid, SIGKILL);
        if (round % 2)
            mu_wait_until(fault_stats(&rig).restarts > 0, 20000);
        check_stop(&rig);
        mu_check_err(rig_run(&rig.pool, "ping"), MU_ESHUTDOWN);
        fault_close(&rig);
    }
}

MU_TEST(concurrency, X1_a_thousand_who_wait_hear_of_the_stop_once)
{
    fault_rig rig;
    static tally t;
    fault_prepare(&rig, 2, "misfit.py", NULL);
    rig.pool.options.max_queue_size = 2000;
    fault_open(&rig);
    mu_value args = MU_VALUE_INIT;
    mu_check_ok(mu_value_pack(&args, NULL, "{s:s}", "path", "/no/such/file"));
    fault_asker waiting[8];
    for (int i = 0; i < 1000; i++)
        mu_check_ok(
            mu_pool_submit(rig.pool.pool, "await_file", &args, NULL, count_outcome, &t, NULL));
    for (int i = 0; i < 8; i++)
        fault_ask_aside(&waiting[i], &rig, "ping", NULL, "n");
    mu_wait_until(fault_stats(&rig).queued == 1006, 10000);
    check_stop(&rig);
    for (int i = 0; i < 8; i++) {
        mu_check_err(fault_answer(&waiting[i]), MU_ESHUTDOWN);
        fault_forget(&waiting[i]);
    }
    mu_value_clear(&args);
    mu_wait_until(atomic_load(&t.outcomes) == 1000, 10000);
    mu_check_eq(atomic_load(&t.shut_down), 1000);
    mu_check_eq(fault_stats(&rig).shut_down, 1008u);
    fault_close(&rig);
    mu_check_eq(atomic_load(&t.outcomes), 1000);
}

static void *stop_pool(void *arg)
{
    fault_rig *rig = arg;
    mu_pool_stop(rig->pool.pool);
    /* Whoever stops it, and whoever only waits: all workers are gone when it returns. */
    for (int i = 0; i < rig->pool.options.size; i++)
        mu_check_eq((int)rig_worker(&rig->pool, i).state, (int)MU_WORKER_STOPPED);
    return NULL;
}

MU_TEST(concurrency, X1_stops_beside_one_another_are_one_stop)
{
    fault_rig rig;
    pthread_t threads[8];
    fault_start(&rig, 2, "misfit.py", NULL);
    for (int i = 0; i < 8; i++)
        mu_check_eq(pthread_create(&threads[i], NULL, stop_pool, &rig), 0);
    check_stop(&rig);
    for (int i = 0; i < 8; i++)
        mu_check_eq(pthread_join(threads[i], NULL), 0);
    check_stop(&rig);
    fault_close(&rig);
}

typedef struct stopping {
    fault_rig *rig;
    tally tally;
} stopping;

static void stop_and_count(void *ctx, const mu_outcome *outcome)
{
    stopping *s = ctx;
    mu_pool_stop(s->rig->pool.pool);
    count_outcome(&s->tally, outcome);
}

MU_TEST(concurrency, X1_a_stop_from_each_of_many_callbacks_is_one_stop)
{
    fault_rig rig;
    static stopping s;
    s.rig = &rig;
    fault_start(&rig, 2, "misfit.py", NULL);
    int submitted = 0;
    for (int i = 0; i < 50; i++)
        submitted +=
            mu_pool_submit(rig.pool.pool, "ping", NULL, NULL, stop_and_count, &s, NULL) == MU_OK;
    mu_wait_until(atomic_load(&s.tally.outcomes) == submitted, 10000);
    mu_check_eq(atomic_load(&s.tally.ok) + atomic_load(&s.tally.shut_down), submitted);
    mu_check_gt(atomic_load(&s.tally.ok), 0);
    check_stop(&rig);
    fault_close(&rig);
}

/* ---- X4 ------------------------------------------------------------------------------------ */

typedef struct caller {
    mu_pool *pool;
    const char *command;
    mu_value args;
    _Atomic bool returned;
    mu_err err;
} caller;

static void execute_in_actor(void *arg)
{
    caller *c = arg;
    c->err = mu_pool_execute(c->pool, c->command, &c->args, NULL, NULL, NULL);
    atomic_store(&c->returned, true);
}

/* Kills a caller in the middle of its request, once its worker has said so. */
static void kill_caller(fault_rig *rig, const char *command, const char *said, const char *format,
                        ...)
{
    caller c = {.pool = rig->pool.pool, .command = command};
    va_list list;
    mu_pid pid;
    va_start(list, format);
    mu_check_ok(mu_value_vpack(&c.args, NULL, format, list));
    va_end(list);
    mu_check_ok(mu_spawn(rig->pool.system, NULL, execute_in_actor, &c, &pid));
    mu_wait_until(fault_heard(rig, said), 10000);
    mu_reason kill_it = mu_reason_kill();
    mu_check_ok(mu_exit_signal(pid, &kill_it));
    mu_wait_until(atomic_load(&c.returned), 10000);
    mu_check_err(c.err, MU_ECANCELLED);
    mu_check_ok(rig_run(&rig->pool, "ping"));
    mu_wait_until(rig_available(&rig->pool) == 1 && fault_stats(rig).in_flight == 0, 10000);
    mu_value_clear(&c.args);
}

MU_TEST(concurrency, X4_the_slot_of_a_caller_that_is_killed_is_free_again)
{
    fault_rig rig;
    fault_prepare(&rig, 1, "misfit.py", NULL);
    rig.pool.options.cancel_grace_ms = 30000; /* it answers within the grace: it goes on */
    fault_open(&rig);
    kill_caller(&rig, "late", "late\n", "{s:f, s:i}", "seconds", 0.05, "token", 1);
    mu_check_eq(rig_worker(&rig.pool, 0).generation, 1u);
    mu_check_eq(fault_stats(&rig).cancelled, 1u);
    fault_close(&rig);
}

MU_TEST(concurrency, X4_a_worker_that_never_answers_a_caller_that_was_killed_is_replaced)
{
    fault_rig rig;
    fault_start(&rig, 1, "misfit.py", NULL);
    kill_caller(&rig, "await_file", "awaiting\n", "{s:s}", "path", "/no/such/file");
    mu_check_eq(rig_worker(&rig.pool, 0).generation, 2u);
    mu_check_eq(fault_stats(&rig).cancelled, 1u);
    fault_close(&rig);
}

MU_TEST(concurrency, X4_a_caller_that_is_killed_in_the_queue_leaves_it)
{
    fault_rig rig;
    fault_asker hang;
    fault_start(&rig, 1, "misfit.py", NULL);
    fault_ask_aside(&hang, &rig, "await_file", NULL, "{s:s}", "path", "/no/such/file");
    mu_wait_until(fault_stats(&rig).busy == 1, 10000);
    caller c = {.pool = rig.pool.pool, .command = "ping"};
    mu_pid pid;
    mu_check_ok(mu_spawn(rig.pool.system, NULL, execute_in_actor, &c, &pid));
    mu_wait_until(fault_stats(&rig).queued == 1, 10000);
    mu_reason kill_it = mu_reason_kill();
    mu_check_ok(mu_exit_signal(pid, &kill_it));
    mu_wait_until(atomic_load(&c.returned), 10000);
    mu_check_err(c.err, MU_ECANCELLED);
    mu_check_eq(fault_stats(&rig).queued, 0);
    check_stop(&rig);
    mu_check_err(fault_answer(&hang), MU_ESHUTDOWN);
    fault_forget(&hang);
    fault_close(&rig);
}

static void *execute_for_ever(void *arg)
{
    caller *c = arg;
    for (;;) {
        (void)mu_pool_execute(c->pool, c->command, &c->args, NULL, NULL, NULL);
        pthread_testcancel();
    }
    return NULL;
}

MU_TEST(concurrency, X4_threads_that_are_cancelled_leave_their_requests_in_order)
{
    fault_rig rig;
    fault_start(&rig, 2, "misfit.py", NULL);
    caller c = {.pool = rig.pool.pool, .command = "late"};
    mu_check_ok(mu_value_pack(&c.args, NULL, "{s:f, s:i}", "seconds", 0.002, "token", 1));
    for (int round = 0; round < 10; round++) {
        pthread_t threads[6]; /* more than workers: some are cancelled in the queue */
        void *result;
        uint64_t before = fault_stats(&rig).succeeded;
        for (int i = 0; i < 6; i++)
            mu_check_eq(pthread_create(&threads[i], NULL, execute_for_ever, &c), 0);
        mu_wait_until(fault_stats(&rig).succeeded > before + 6, 10000);
        for (int i = 0; i < 6; i++)
            mu_check_eq(pthread_cancel(threads[i]), 0);
        for (int i = 0; i < 6; i++) {
            mu_check_eq(pthread_join(threads[i], &result), 0);
            mu_check(result == PTHREAD_CANCELED);
        }
        mu_pool_stats s = fault_stats(&rig);
        mu_check_eq(s.in_flight + s.queued, 0);
        mu_check_eq(s.available, 2);
    }
    mu_value_clear(&c.args);
    fault_close(&rig);
}

MU_TEST(concurrency, X4_a_workers_actor_that_is_killed_costs_its_request_and_nothing_else)
{
    fault_rig rig;
    static tally t;
    fault_start(&rig, 2, "misfit.py", NULL);
    mu_value args = MU_VALUE_INIT;
    mu_check_ok(mu_value_pack(&args, NULL, "{s:f, s:i}", "seconds", 0.003, "token", 1));
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 60; i++)
            mu_check_ok(
                mu_pool_submit(rig.pool.pool, "late", &args, NULL, count_outcome, &t, NULL));
        mu_wait_until(fault_stats(&rig).busy > 0, 10000);
        mu_worker_info w = rig_worker(&rig.pool, round % 2);
        mu_reason kill_it = mu_reason_kill();
        (void)mu_exit_signal(w.actor, &kill_it);
        mu_wait_until(atomic_load(&t.outcomes) == 60 * (round + 1), 10000);
        mu_wait_until(!fault_process_lives(w.os_pid), 10000);
        mu_wait_until(rig_available(&rig.pool) == 2, 10000);
    }
    mu_check_ge(atomic_load(&t.ok), 3 * 59);
    mu_value_clear(&args);
    fault_close(&rig);
}

/* ---- X6 ------------------------------------------------------------------------------------ */

typedef struct load {
    fault_rig *rig;
    _Atomic int left, crashed, other;
} load;

static void *work(void *arg)
{
    load *l = arg;
    mu_value args = MU_VALUE_INIT;
    mu_check_ok(mu_value_pack(&args, NULL, "{s:f, s:i}", "seconds", 0.01, "token", 1));
    while (atomic_fetch_sub(&l->left, 1) > 0) {
        mu_err err = mu_pool_execute(l->rig->pool.pool, "late", &args, NULL, NULL, NULL);
        if (err == MU_ECRASHED)
            atomic_fetch_add(&l->crashed, 1);
        else if (err != MU_OK)
            atomic_fetch_add(&l->other, 1);
    }
    mu_value_clear(&args);
    return NULL;
}

/* SIGKILL for one of the living workers at random, if there is one; how many that were. */
static int kill_one(fault_rig *rig)
{
    for (int tries = 0; tries < 16; tries++) {
        int pid = rig_worker(&rig->pool, rand() % rig->pool.options.size).os_pid;
        if (pid > 0 && kill(pid, SIGKILL) == 0)
            return 1;
    }
    return 0;
}

static int living(fault_rig *rig)
{
    int n = 0;
    for (int i = 0; i < rig->pool.options.size; i++) {
        mu_worker_info w = rig_worker(&rig->pool, i);
        n += w.os_pid > 0 && fault_process_lives(w.os_pid);
    }
    return n;
}

MU_TEST(concurrency, X6_in_a_storm_of_kills_only_requests_on_a_killed_worker_fail)
{
    fault_rig rig;
    load l = {.rig = &rig, .left = 200};
    pthread_t threads[16];
    int kills = 0;
    srand(6);
    fault_start(&rig, 8, "misfit.py", NULL);
    for (int i = 0; i < 16; i++)
        mu_check_eq(pthread_create(&threads[i], NULL, work, &l), 0);
    for (int i = 0; i < 30; i++) {
        kills += kill_one(&rig) + kill_one(&rig);
        int64_t next = mu_test_now_ms() + 25;
        (void)mu_poll_until(mu_test_now_ms() >= next, 1000);
    }
    for (int i = 0; i < 16; i++)
        pthread_join(threads[i], NULL);
    /* A worker that was killed last may count as available until its death is told. */
    mu_wait_until(rig_available(&rig.pool) == 8 && living(&rig) == 8, 2000);
    mu_check_eq(atomic_load(&l.other), 0);
    mu_check_le(atomic_load(&l.crashed), kills);
    mu_check_le(kills, 60);
    mu_pool_stats s = fault_stats(&rig);
    mu_check_eq(s.crashed, (uint64_t)atomic_load(&l.crashed));
    mu_check_eq(s.succeeded + s.crashed, 200u);
    fault_close(&rig);
}

MU_TEST(concurrency, X6_all_eight_at_once_are_back_within_two_seconds)
{
    fault_rig rig;
    fault_start(&rig, 8, "misfit.py", NULL);
    for (int round = 0; round < 3; round++) {
        uint64_t before = fault_stats(&rig).restarts;
        for (int i = 0; i < 8; i++)
            fault_kill(rig_worker(&rig.pool, i).os_pid, SIGKILL);
        mu_wait_until(fault_stats(&rig).restarts == before + 8 && rig_available(&rig.pool) == 8,
                      2000);
        mu_check_eq(living(&rig), 8);
        mu_check_ok(rig_run(&rig.pool, "ping"));
    }
    fault_close(&rig);
}

/* ---- X3 ------------------------------------------------------------------------------------ */

static void wait_for_the_end(void *arg)
{
    mu_message message;
    (void)arg;
    while (mu_receive(&message, MU_INFINITY) == MU_OK)
        mu_message_clear(&message);
}

/* Whoever has got the name has it alone, until it gives it back or is dead, and not a moment
 * longer. */
static void *want_the_name(void *arg)
{
    mu_system *system = arg;
    const mu_reason kill_it = mu_reason_kill();
    for (int64_t i = mu_test_size(500, 20000); i > 0; i--) {
        mu_pid pid;
        mu_check_ok(mu_spawn(system, NULL, wait_for_the_end, NULL, &pid));
        mu_err err = mu_register("wanted", pid);
        mu_check(err == MU_OK || err == MU_ENAMETAKEN);
        mu_check_eq(mu_pid_equal(mu_whereis(system, "wanted"), pid), err == MU_OK);
        if (err == MU_OK && i % 2) {
            mu_check_ok(mu_unregister(system, "wanted"));
            mu_check(!mu_pid_equal(mu_whereis(system, "wanted"), pid));
        }
        mu_check_ok(mu_exit_signal(pid, &kill_it));
        mu_check(!mu_pid_equal(mu_whereis(system, "wanted"), pid));
        mu_check_err(mu_register("wanted", pid), MU_ENOPROC);
    }
    return NULL;
}

MU_TEST(concurrency, X3_a_name_that_sixteen_threads_want_has_one_living_owner_or_none)
{
    mu_system *system = NULL;
    pthread_t threads[16];
    mu_check_ok(mu_system_start(NULL, &system, NULL));
    for (int i = 0; i < 16; i++)
        mu_check_eq(pthread_create(&threads[i], NULL, want_the_name, system), 0);
    for (int i = 0; i < 16; i++)
        mu_check_eq(pthread_join(threads[i], NULL), 0);
    mu_check(mu_pid_equal(mu_whereis(system, "wanted"), MU_PID_NONE));
    mu_check_eq(mu_system_stop(&system), 0u);
}

/* ---- R6 ------------------------------------------------------------------------------------ */

MU_TEST(concurrency, R6_a_full_queue_refuses_at_once_and_takes_no_memory)
{
    fault_rig rig;
    static tally t;
    const int64_t attempts = mu_test_size(100000, 1000000);
    int64_t refused = 0, rss = 0;
    fault_prepare(&rig, 1, "misfit.py", NULL);
    rig.pool.options.max_queue_size = 1000;
    fault_open(&rig);
    mu_value args = MU_VALUE_INIT;
    mu_check_ok(mu_value_pack(&args, NULL, "{s:s}", "path", "/no/such/file"));
    mu_stopwatch watch;
    mu_stopwatch_start(&watch);
    for (int64_t i = 0; i < attempts; i++) {
        mu_err err =
            mu_pool_submit(rig.pool.pool, "await_file", &args, NULL, count_outcome, &t, NULL);
        if (err == MU_EQUEUE_FULL)
            refused++;
        else
            mu_check_ok(err);
        if (i == 2000)
            rss = fault_rss_kb();
    }
    mu_stopwatch_stop(&watch);
    mu_check_lt(watch.ran_ms * 20, attempts * MU_TEST_SCALE); /* 50 us each */
    mu_check_eq(refused, attempts - 1001);
    if (!MU_TEST_SANITIZED)
        mu_check_lt(fault_rss_kb() - rss, 1024);
    mu_check_eq(fault_stats(&rig).queue_full, (uint64_t)refused);
    mu_check_eq(fault_stats(&rig).max_queued, 1000);
    mu_value_clear(&args);
    check_stop(&rig);
    mu_wait_until(atomic_load(&t.outcomes) == 1001, 10000);
    mu_check_eq(atomic_load(&t.shut_down), 1001);
    fault_close(&rig);
}
