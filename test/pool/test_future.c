/* Futures: fetched by waiting, looking and polling, cancelled, given up, and outliving the pool. */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

#include "pool/pool_rig.h"

static mu_future *submit(pool_rig *rig, const char *command)
{
    mu_future *future = NULL;
    mu_check_ok(mu_pool_submit_future(rig->pool, command, NULL, NULL, &future));
    return future;
}

static bool readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1 && (p.revents & POLLIN);
}

MU_TEST(future, gives_the_result_to_everybody_who_waits_as_often_as_they_ask)
{
    pool_rig rig;
    rig_start(&rig, 1);
    mu_value args = MU_VALUE_INIT;
    mu_check_ok(mu_value_pack(&args, NULL, "{s:s}", "expression", "6 * 7"));
    mu_future *future = NULL;
    mu_check_ok(mu_pool_submit_future(rig.pool, "calculate", &args, NULL, &future));
    mu_value_clear(&args);
    mu_check(mu_future_job(future) != 0);
    for (int i = 0; i < 3; i++) {
        mu_value result = MU_VALUE_INIT;
        mu_check_ok(mu_future_wait(future, MU_INFINITY, &result, &rig.error));
        mu_check_eq(mu_value_int(&result, "", -1), 42);
        mu_value_clear(&result);
    }
    mu_check(mu_future_done(future));
    mu_future_free(&future);
    mu_check(future == NULL);
    mu_future_free(&future);
    rig_check_books(&rig);
    rig_stop(&rig);
}

MU_TEST(future, a_look_at_one_without_outcome_and_a_wait_that_is_over_leave_the_request_alone)
{
    pool_rig rig;
    rig_start(&rig, 1);
    mu_future *hang = submit(&rig, "hang");
    mu_check_err(mu_future_wait(hang, 0, NULL, &rig.error), MU_ETIMEOUT);
    mu_check_err(mu_future_wait(hang, 5, NULL, &rig.error), MU_ETIMEOUT);
    mu_check_contains(rig.error.message, "not there yet");
    mu_check(!mu_future_done(hang));
    mu_check_err(mu_future_wait(hang, -5, NULL, NULL), MU_EINVAL);
    mu_check_ok(mu_future_cancel(hang));
    mu_check_err(mu_future_wait(hang, 10000, NULL, &rig.error), MU_ECANCELLED);
    mu_check_err(mu_future_cancel(hang), MU_ENOTFOUND);
    mu_future_free(&hang);
    rig_check_books(&rig);
    rig_stop(&rig);
}

MU_TEST(future, its_fd_is_readable_from_the_outcome_on_whether_it_was_asked_for_before_or_after)
{
    pool_rig rig;
    rig_start(&rig, 1);
    mu_future *first = submit(&rig, "hang"), *second = submit(&rig, "ping");
    int fd, same;
    mu_check_ok(mu_future_fd(first, &fd));
    mu_check_ok(mu_future_fd(first, &same));
    mu_check_eq(fd, same);
    mu_check(!readable(fd));
    mu_check_ok(mu_future_cancel(first));
    struct pollfd p = {.fd = fd, .events = POLLIN};
    mu_check_eq(poll(&p, 1, 10000 * MU_TEST_SCALE), 1);
    mu_check_err(mu_future_wait(first, 0, NULL, NULL), MU_ECANCELLED);
    mu_check(readable(fd));
    mu_wait_until(mu_future_done(second), 10000);
    mu_check_ok(mu_future_fd(second, &fd));
    mu_check(readable(fd));
    mu_future_free(&first);
    mu_future_free(&second);
    rig_stop(&rig);
}

MU_TEST(future, tells_the_exception_of_the_worker_and_what_could_not_be_begun_at_once)
{
    pool_rig rig;
    rig_prepare(&rig, 1);
    rig.options.max_queue_size = -1;
    mu_check_ok(rig_open(&rig));
    mu_future *future = submit(&rig, "no_such_command");
    mu_check_err(mu_future_wait(future, MU_INFINITY, NULL, &rig.error), MU_EWORKER);
    mu_check(rig.error.type[0] != '\0');
    mu_check_str(rig.error.worker, "worker_1");
    mu_future_free(&future);
    mu_wait_until(rig_available(&rig) == 1, 10000);
    mu_future *hang = submit(&rig, "hang");
    mu_check_err(mu_pool_submit_future(rig.pool, "ping", NULL, NULL, &future), MU_EQUEUE_FULL);
    mu_check(future == NULL);
    mu_future_free(&hang);
    rig_check_books(&rig);
    rig_stop(&rig);
}

MU_TEST(future, one_that_is_freed_without_outcome_cancels_its_request)
{
    pool_rig rig;
    rig_start(&rig, 1);
    mu_future *hang = submit(&rig, "hang"), *waiting = submit(&rig, "ping");
    mu_future_free(&waiting);
    mu_future_free(&hang);
    mu_pool_stats s = {0};
    mu_wait_until((mu_pool_stats_get(rig.pool, &s), s.cancelled == 2), 10000);
    mu_check_ok(rig_run(&rig, "ping"));
    rig_check_books(&rig);
    rig_stop(&rig);
}

MU_TEST(future, outlives_its_pool_and_its_system)
{
    pool_rig rig;
    rig_prepare(&rig, 1);
    rig.options.drain_timeout_ms = 1;
    mu_check_ok(rig_open(&rig));
    mu_future *hang = submit(&rig, "hang"), *waiting = submit(&rig, "ping");
    rig_stop(&rig);
    mu_error error = MU_ERROR_INIT;
    mu_check_err(mu_future_wait(hang, MU_INFINITY, NULL, &error), MU_ESHUTDOWN);
    mu_check_err(mu_future_wait(waiting, MU_INFINITY, NULL, &error), MU_ESHUTDOWN);
    mu_error_clear(&error);
    mu_future_free(&hang);
    mu_future_free(&waiting);
}

typedef struct waiting {
    mu_future *future;
    _Atomic int begun, fetched;
} waiting;

static void *wait_for_it(void *arg)
{
    waiting *w = arg;
    mu_value result = MU_VALUE_INIT;
    if (mu_future_wait(w->future, MU_INFINITY, &result, NULL) == MU_OK)
        atomic_fetch_add(&w->fetched, 1);
    mu_value_clear(&result);
    return NULL;
}

MU_TEST(future, many_threads_fetch_many_outcomes_while_they_come)
{
    enum { FUTURES = 50, THREADS = 4 };
    pool_rig rig;
    rig_start(&rig, 2);
    for (int i = 0; i < FUTURES; i++) {
        waiting w = {.future = submit(&rig, "ping")};
        pthread_t threads[THREADS];
        for (int t = 0; t < THREADS; t++)
            mu_check_eq(pthread_create(&threads[t], NULL, wait_for_it, &w), 0);
        for (int t = 0; t < THREADS; t++)
            mu_check_eq(pthread_join(threads[t], NULL), 0);
        mu_check_eq(atomic_load(&w.fetched), THREADS);
        mu_future_free(&w.future);
    }
    rig_stop(&rig);
}

/* An actor that is told to exit while it waits. */
static void wait_as_actor(void *arg)
{
    waiting *w = arg;
    atomic_store(&w->begun, 1);
    if (mu_future_wait(w->future, MU_INFINITY, NULL, NULL) == MU_EKILLED)
        atomic_fetch_add(&w->fetched, 1);
}

MU_TEST(future, an_actor_that_is_told_to_exit_waits_no_longer_and_the_request_goes_on)
{
    pool_rig rig;
    rig_start(&rig, 1);
    waiting w = {.future = submit(&rig, "hang")};
    mu_pid pid;
    mu_check_ok(mu_spawn(rig.system, NULL, wait_as_actor, &w, &pid));
    mu_wait_until(atomic_load(&w.begun) == 1, 10000);
    mu_reason kill = mu_reason_kill();
    mu_check_ok(mu_exit_signal(pid, &kill));
    mu_wait_until(atomic_load(&w.fetched) == 1, 10000);
    mu_check(!mu_future_done(w.future));
    mu_future_free(&w.future);
    rig_stop(&rig);
}
