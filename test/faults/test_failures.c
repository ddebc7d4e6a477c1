/*
 * R1, R2, R3: every allocation and every system call of the library fails once, in the start of a
 * system, the start of a pool, a request, the restart of a worker and the stop of both.
 *
 * Each walk lets the first call of a kind fail, then the second, and so on until a run passes
 * untouched. A run that meets a failure either survives it or returns its own error; after it the
 * system serves, and nothing is left over. Threads run beside one another, so the n-th call of two
 * runs need not be the same one; the walk ends when there is no n-th call any more.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fail_nth.h"
#include "fault_rig.h"

typedef struct fault {
    fail_call call;
    int error;
} fault;

/* With which errors each call may fail on a machine that has too little of something. */
static const fault faults[] = {
    {FAIL_ALLOC, ENOMEM},
    {FAIL_PIPE2, EMFILE},
    {FAIL_PIPE2, ENFILE},
    {FAIL_SOCKETPAIR, EMFILE},
    {FAIL_SOCKETPAIR, ENOBUFS},
    {FAIL_EVENTFD, EMFILE},
    {FAIL_EVENTFD, ENOMEM},
    {FAIL_EPOLL_CREATE1, EMFILE},
    {FAIL_EPOLL_CTL, ENOMEM},
    {FAIL_EPOLL_CTL, ENOSPC},
    {FAIL_TIMERFD_CREATE, EMFILE},
    {FAIL_MEMFD_CREATE, EMFILE},
    {FAIL_MEMFD_CREATE, ENOMEM},
    {FAIL_OPEN, EMFILE},
    {FAIL_OPEN, ENFILE},
    {FAIL_OPEN, ENOSPC},
    {FAIL_MKDIR, ENOSPC},
    {FAIL_RENAMEAT, ENOSPC},
    {FAIL_RENAMEAT, EIO},
    {FAIL_FLOCK, ENOLCK},
    {FAIL_FTRUNCATE, EIO},
    {FAIL_PIDFD_OPEN, EMFILE},
    {FAIL_PIDFD_OPEN, ENOSYS},
    {FAIL_PIDFD_OPEN, ENOMEM},
    {FAIL_PIDFD_SEND_SIGNAL, EPERM},
    {FAIL_PIDFD_SEND_SIGNAL, ENOSYS},
    {FAIL_READ, EINTR},
    {FAIL_READ, EAGAIN},
    {FAIL_WRITE, EINTR},
    {FAIL_WRITE, EAGAIN},
    {FAIL_WRITE, ENOSPC},
    {FAIL_WRITE, EIO},
    {FAIL_WRITEV, EINTR},
    {FAIL_WRITEV, EAGAIN},
    {FAIL_SENDMSG, EINTR},
    {FAIL_SENDMSG, EAGAIN},
    {FAIL_SENDMSG, ENOBUFS},
    {FAIL_SENDMSG, ENOMEM},
    {FAIL_RECVMSG, EINTR},
    {FAIL_RECVMSG, ENOMEM},
    {FAIL_POLL, EINTR},
    {FAIL_POLL, ENOMEM},
    {FAIL_THREAD_CREATE, EAGAIN},
};

enum { N_FAULTS = sizeof faults / sizeof *faults };

/* What a run says of itself when it fails. */
static char here[128];

static void say_where(const char *what, const fault *f, int n)
{
    snprintf(here, sizeof here, "%s: %s number %d fails with %s", what, fail_name(f->call), n,
             strerrorname_np(f->error));
}

static int count_fds(void)
{
    return fault_count_in("/proc/self/fd");
}

/* The failure's own error: its errno, or what it is called here. */
static void check_own_error(const fault *f, mu_err err, const mu_error *error)
{
    bool own = err == MU_ERRNO(f->error) || (f->error == ENOMEM && err == MU_ENOMEM);
    mu_check_msg(own, "%s: %s: %s", here, mu_err_name(err), error->message);
}

/* Of the one system at a time; gone again with it, or there is a file left in it. */
static char tracking_dir[64];

static void check_dir_is_empty(void)
{
    mu_check_msg(rmdir(tracking_dir) == 0, "%s: left in %s: %s", here, tracking_dir,
                 strerror(errno));
}

static mu_err start_system(mu_system **ret_system, mu_error *error)
{
    mu_system_options options = MU_SYSTEM_OPTIONS_INIT;
    options.sys = fail_table();
    snprintf(tracking_dir, sizeof tracking_dir, "/tmp/muster-fail-XXXXXX");
    mu_check(mkdtemp(tracking_dir));
    options.tracking_dir = tracking_dir;
    mu_err err = mu_system_start(&options, ret_system, error);
    if (err != MU_OK)
        check_dir_is_empty();
    return err;
}

static void stop_system(mu_system **take_system)
{
    size_t abandoned = mu_system_stop(take_system);
    mu_check_msg(abandoned == 0, "%s: threads are left", here);
    check_dir_is_empty();
}

static mu_err start_pool(mu_system *system, mu_pool **ret_pool, mu_error *error)
{
    mu_pool_options options = MU_POOL_OPTIONS_INIT;
    options.size = 1;
    options.executable = MU_TEST_ECHO_WORKER;
    options.startup_timeout_ms = RIG_STARTUP_MS;
    options.queue_timeout_ms = RIG_STARTUP_MS;
    options.shutdown_grace_ms = 1000;
    options.cancel_grace_ms = 1;
    return mu_pool_start(system, &options, ret_pool, error);
}

static mu_err ask(mu_pool *pool, mu_error *error)
{
    mu_value args = MU_VALUE_INIT, result = MU_VALUE_INIT;
    mu_err err = mu_value_pack(&args, NULL, "{s:s}", "text", "what comes back");
    if (err == MU_OK)
        err = mu_pool_execute(pool, "echo", &args, NULL, &result, error);
    mu_value_clear(&args);
    mu_value_clear(&result);
    return err;
}

static void check_serves(mu_pool *pool)
{
    mu_error error = MU_ERROR_INIT;
    mu_err err = ask(pool, &error);
    mu_check_msg(err == MU_OK, "%s: afterwards: %s: %s", here, mu_err_name(err), error.message);
    mu_error_clear(&error);
}

static uint64_t restarts(mu_pool *pool)
{
    mu_pool_stats stats;
    mu_pool_stats_get(pool, &stats);
    return stats.available == 1 ? stats.restarts : 0;
}

static int worker_pid(mu_pool *pool)
{
    mu_worker_info *workers;
    size_t count;
    mu_check_ok(mu_pool_workers(pool, &workers, &count));
    int pid = workers[0].os_pid;
    free(workers);
    return pid;
}

/* ---- the walks ---- */

/* A place in which calls fail: `run` arms, acts, disarms, judges; false: there was no n-th call. */
typedef bool (*place)(void *ctx, const fault *f, int n);

/*
 * A sanitizer makes a run ten times as long: where each takes a pool of its own, every third call
 * of a kind fails there, else each.
 */
#define SAMPLE (int)mu_test_size(MU_TEST_SANITIZED ? 3 : 1, 1)
#define EACH   1

/* Interpreters are started: each call fails with its first error alone, unless all is asked for. */
#define FIRST_ERRORS (mu_test_size(0, 1) == 0)

/* All failures of all kinds in one place. Each walk must have met some. */
static void walk_some(const char *what, place run, void *ctx, int stride, bool first_errors)
{
    int met = 0;
    for (int i = 0; i < N_FAULTS; i++) {
        int n = 1;
        if (first_errors && i > 0 && faults[i].call == faults[i - 1].call)
            continue;
        say_where(what, &faults[i], n);
        while (run(ctx, &faults[i], n)) {
            met++;
            say_where(what, &faults[i], n += stride);
        }
    }
    mu_check_gt(met, 5);
}

static void walk(const char *what, place run, void *ctx, int stride)
{
    walk_some(what, run, ctx, stride, false);
}

static bool in_start_of_system(void *ctx, const fault *f, int n)
{
    (void)ctx;
    mu_system *system = NULL;
    mu_pool *pool = NULL;
    mu_error error = MU_ERROR_INIT;
    int fds = count_fds();
    fail_arm(f->call, n, f->error);
    mu_err err = start_system(&system, &error);
    bool fired = fail_disarm();
    if (err == MU_OK) {
        mu_check_ok(start_pool(system, &pool, NULL));
        check_serves(pool);
        mu_pool_free(&pool);
        stop_system(&system);
    } else {
        mu_check_msg(fired && !system, "%s: %s", here, mu_err_name(err));
        check_own_error(f, err, &error);
    }
    mu_error_clear(&error);
    mu_check_msg(mu_poll_until(count_fds() == fds, 5000), "%s: fds are left", here);
    return fired;
}

MU_TEST(failures, R1_R2_R3_every_failing_call_in_the_start_of_a_system_is_its_own_error,
        .timeout = 120)
{
    walk("start of a system", in_start_of_system, NULL, SAMPLE);
}

static bool in_start_of_pool(void *ctx, const fault *f, int n)
{
    (void)ctx;
    mu_system *system = NULL;
    mu_pool *pool = NULL;
    mu_error error = MU_ERROR_INIT;
    int fds = count_fds();
    mu_check_ok(start_system(&system, NULL));
    fail_arm(f->call, n, f->error);
    mu_err err = start_pool(system, &pool, &error);
    bool fired = fail_disarm();
    if (err != MU_OK) {
        mu_check_msg(fired && !pool, "%s: %s", here, mu_err_name(err));
        check_own_error(f, err, &error);
        mu_check_ok(start_pool(system, &pool, NULL));
    }
    check_serves(pool);
    mu_pool_free(&pool);
    stop_system(&system);
    mu_error_clear(&error);
    mu_check_msg(mu_poll_until(count_fds() == fds, 5000), "%s: fds are left", here);
    return fired;
}

MU_TEST(failures, R1_R2_R3_every_failing_call_in_the_start_of_a_pool_is_its_own_error,
        .timeout = 120)
{
    walk("start of a pool", in_start_of_pool, NULL, SAMPLE);
}

static bool in_request(void *ctx, const fault *f, int n)
{
    mu_pool *pool = ctx;
    mu_error error = MU_ERROR_INIT;
    fail_arm(f->call, n, f->error);
    mu_err err = ask(pool, &error);
    bool fired = fail_disarm();
    if (err != MU_OK) {
        mu_check_msg(fired, "%s: %s", here, mu_err_name(err));
        check_own_error(f, err, &error);
    }
    mu_error_clear(&error);
    check_serves(pool);
    return fired;
}

MU_TEST(failures, R1_R2_R3_every_failing_call_in_a_request_is_its_own_error, .timeout = 120)
{
    mu_system *system = NULL;
    mu_pool *pool = NULL;
    mu_check_ok(start_system(&system, NULL));
    mu_check_ok(start_pool(system, &pool, NULL));
    walk("request", in_request, pool, EACH);
    mu_pool_free(&pool);
    stop_system(&system);
}

/* The worker sleeps: its request is cancelled at its deadline, and the worker replaced. */
static bool in_overdue_request(void *ctx, const fault *f, int n)
{
    mu_system *system = ctx;
    mu_pool *pool = NULL;
    mu_error error = MU_ERROR_INIT;
    mu_execute_options options = MU_EXECUTE_OPTIONS_INIT;
    options.execution_timeout_ms = 1;
    mu_check_ok(start_pool(system, &pool, NULL));
    int pid = worker_pid(pool);
    fault_kill(pid, SIGSTOP);
    fail_arm(f->call, n, f->error);
    mu_err err = mu_pool_execute(pool, "ping", NULL, &options, NULL, &error);
    mu_check(err != MU_OK);
    if (err == MU_EEXEC_TIMEOUT)
        mu_check_msg(mu_poll_until(restarts(pool) >= 1, 10000), "%s: no replacement", here);
    bool fired = fail_disarm();
    if (err != MU_EEXEC_TIMEOUT) {
        mu_check_msg(fired, "%s: %s", here, mu_err_name(err));
        check_own_error(f, err, &error);
        (void)kill(pid, SIGCONT); /* the request may never have come to it */
    }
    mu_error_clear(&error);
    check_serves(pool);
    mu_pool_free(&pool);
    return fired;
}

MU_TEST(failures, R1_R2_R3_every_failing_call_in_a_request_that_is_cancelled_is_survived,
        .timeout = 120)
{
    mu_system *system = NULL;
    mu_check_ok(start_system(&system, NULL));
    walk("overdue request", in_overdue_request, system, SAMPLE);
    stop_system(&system);
}

typedef struct submission {
    _Atomic int outcomes;
    mu_err err;
} submission;

static void on_outcome(void *ctx, const mu_outcome *outcome)
{
    submission *s = ctx;
    s->err = outcome->err;
    atomic_fetch_add(&s->outcomes, 1);
}

static bool in_submission(void *ctx, const fault *f, int n)
{
    mu_pool *pool = ctx;
    submission s = {0, MU_OK};
    mu_value args = MU_VALUE_INIT;
    mu_check_ok(mu_value_pack(&args, NULL, "{s:s}", "text", "what comes back"));
    fail_arm(f->call, n, f->error);
    mu_err err = mu_pool_submit(pool, "echo", &args, NULL, on_outcome, &s, NULL);
    if (err == MU_OK)
        mu_check_msg(mu_poll_until(atomic_load(&s.outcomes) == 1, 10000), "%s: no outcome", here);
    bool fired = fail_disarm();
    mu_value_clear(&args);
    if (err == MU_OK)
        err = s.err;
    if (err != MU_OK) {
        mu_check_msg(fired, "%s: %s", here, mu_err_name(err));
        check_own_error(f, err, &(mu_error)MU_ERROR_INIT);
    }
    check_serves(pool);
    mu_check_msg(atomic_load(&s.outcomes) <= 1, "%s: two outcomes", here);
    return fired;
}

MU_TEST(failures, R1_R2_R3_every_failing_call_in_an_asynchronous_request_is_its_own_error,
        .timeout = 120)
{
    mu_system *system = NULL;
    mu_pool *pool = NULL;
    mu_check_ok(start_system(&system, NULL));
    mu_check_ok(start_pool(system, &pool, NULL));
    walk("asynchronous request", in_submission, pool, EACH);
    mu_pool_free(&pool);
    stop_system(&system);
}

/* By message to the calling actor: an outcome that could not be sent would never be heard of. */
static bool in_submission_to_actor(void *ctx, const fault *f, int n)
{
    mu_pool *pool = ctx;
    mu_value args = MU_VALUE_INIT;
    mu_message outcome;
    mu_check_ok(mu_value_pack(&args, NULL, "{s:s}", "text", "what comes back"));
    fail_arm(f->call, n, f->error);
    mu_err err = mu_pool_submit_to(pool, "echo", &args, NULL, mu_self(), 7, NULL);
    mu_err heard = err == MU_OK ? mu_receive(&outcome, 10000) : MU_ETIMEOUT;
    bool fired = fail_disarm();
    mu_value_clear(&args);
    if (err == MU_OK) {
        mu_check_msg(heard == MU_OK && outcome.tag == 7, "%s: no outcome", here);
        err = ((const mu_job_done *)outcome.data)->err;
        mu_message_clear(&outcome);
    }
    if (err != MU_OK) {
        mu_check_msg(fired, "%s: %s", here, mu_err_name(err));
        check_own_error(f, err, &(mu_error)MU_ERROR_INIT);
    }
    check_serves(pool);
    mu_check_msg(mu_receive(&outcome, 0) == MU_ETIMEOUT, "%s: two outcomes", here);
    return fired;
}

typedef struct actor_walk {
    mu_pool *pool;
    _Atomic bool done;
} actor_walk;

static void walk_as_actor(void *arg)
{
    actor_walk *w = arg;
    walk("request for an actor", in_submission_to_actor, w->pool, EACH);
    atomic_store(&w->done, true);
}

MU_TEST(failures, R1_R2_R3_no_failing_call_loses_the_outcome_that_an_actor_waits_for,
        .timeout = 120)
{
    mu_system *system = NULL;
    actor_walk w = {NULL, false};
    mu_pid pid;
    mu_check_ok(start_system(&system, NULL));
    mu_check_ok(start_pool(system, &w.pool, NULL));
    mu_check_ok(mu_spawn(system, NULL, walk_as_actor, &w, &pid));
    mu_wait_until(atomic_load(&w.done), 60000);
    mu_pool_free(&w.pool);
    stop_system(&system);
}

/* A pool of its own for each, whose first restarts are free of back-off. */
static bool in_restart(void *ctx, const fault *f, int n)
{
    mu_system *system = ctx;
    mu_pool *pool = NULL;
    int fds = count_fds();
    mu_check_ok(start_pool(system, &pool, NULL));
    int pid = worker_pid(pool);
    fail_arm(f->call, n, f->error);
    fault_kill(pid, SIGKILL);
    mu_check_msg(mu_poll_until(restarts(pool) >= 1, 10000), "%s: no replacement", here);
    bool fired = fail_disarm();
    check_serves(pool);
    mu_pool_free(&pool);
    mu_check_msg(mu_poll_until(count_fds() == fds, 5000), "%s: fds are left", here);
    return fired;
}

MU_TEST(failures, R1_R2_R3_every_failing_call_in_a_restart_is_survived, .timeout = 120)
{
    mu_system *system = NULL;
    mu_check_ok(start_system(&system, NULL));
    walk("restart", in_restart, system, SAMPLE);
    stop_system(&system);
}

/* ---- a limit, and not one call ---- */

/* Starts all, asks, and stops all, with no fd beyond `limit`. */
static mu_err live_below(rlim_t limit, mu_error *error)
{
    mu_system *system = NULL;
    mu_pool *pool = NULL;
    struct rlimit old, low;
    mu_check_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
    low = (struct rlimit){limit, old.rlim_max};
    mu_check_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
    mu_err err = mu_system_start(NULL, &system, error);
    if (err == MU_OK)
        err = start_pool(system, &pool, error);
    if (err == MU_OK)
        err = ask(pool, error);
    mu_pool_free(&pool);
    if (system)
        mu_check_eq(mu_system_stop(&system), 0u);
    mu_check_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
    return err;
}

MU_TEST(failures, R1_under_each_limit_of_fds_all_serves_or_says_EMFILE, .timeout = 120)
{
    enum { MOST = 100, ENOUGH = 3 };
    int fds = count_fds(), refused = 0, served = 0;
    for (rlim_t limit = 3; served < ENOUGH && limit < (rlim_t)fds + MOST; limit++) {
        mu_error error = MU_ERROR_INIT;
        snprintf(here, sizeof here, "RLIMIT_NOFILE %d", (int)limit);
        mu_err err = live_below(limit, &error);
        mu_check_msg(err == MU_OK || err == MU_ERRNO(EMFILE), "%s: %s: %s", here, mu_err_name(err),
                     error.message);
        served += err == MU_OK;
        refused += err != MU_OK;
        mu_error_clear(&error);
        mu_check_msg(mu_poll_until(count_fds() == fds, 5000), "%s: fds are left", here);
    }
    mu_check_eq(served, ENOUGH);
    mu_check_gt(refused, 10);
}

/* ---- a pool with a fork server ---- */

static mu_err start_forked_pool(mu_system *system, mu_pool **ret_pool, mu_error *error)
{
    static const char *const modules[] = {"json", NULL};
    mu_pool_options options = MU_POOL_OPTIONS_INIT;
    options.size = 1;
    options.start_method = MU_START_FORK_SERVER;
    options.preload = modules;
    options.python_path = "/usr/bin/python3";
    options.startup_timeout_ms = RIG_STARTUP_MS;
    options.queue_timeout_ms = RIG_STARTUP_MS;
    options.shutdown_grace_ms = 1000;
    return mu_pool_start(system, &options, ret_pool, error);
}

static void check_computes(mu_pool *pool)
{
    mu_error error = MU_ERROR_INIT;
    mu_err err = mu_pool_execute(pool, "ping", NULL, NULL, NULL, &error);
    mu_check_msg(err == MU_OK, "%s: afterwards: %s: %s", here, mu_err_name(err), error.message);
    mu_error_clear(&error);
}

static bool in_start_of_forked_pool(void *ctx, const fault *f, int n)
{
    mu_system *system = ctx;
    mu_pool *pool = NULL;
    mu_error error = MU_ERROR_INIT;
    int fds = count_fds();
    fail_arm(f->call, n, f->error);
    mu_err err = start_forked_pool(system, &pool, &error);
    bool fired = fail_disarm();
    if (err != MU_OK) {
        mu_check_msg(fired && !pool, "%s: %s", here, mu_err_name(err));
        check_own_error(f, err, &error);
    } else {
        check_computes(pool);
        mu_pool_free(&pool);
    }
    mu_error_clear(&error);
    mu_check_msg(mu_poll_until(count_fds() == fds, 5000), "%s: fds are left", here);
    return fired;
}

MU_TEST(failures, R1_R2_R3_every_failing_call_in_the_start_of_a_fork_server_is_its_own_error,
        .timeout = 120)
{
    mu_system *system = NULL;
    mu_check_ok(start_system(&system, NULL));
    walk_some("start of a fork server", in_start_of_forked_pool, system,
              (int)mu_test_size(MU_TEST_SANITIZED ? 80 : 30, 1), FIRST_ERRORS);
    stop_system(&system);
}

/* The successor is forked; who is to be relieved stays until it is there. */
static bool in_forked_replacement(void *ctx, const fault *f, int n)
{
    mu_pool *pool = ctx;
    mu_error error = MU_ERROR_INIT;
    fail_arm(f->call, n, f->error);
    mu_err err = mu_pool_rolling_restart(pool, 10000, &error);
    bool fired = fail_disarm();
    mu_check_msg(err == MU_OK || fired, "%s: %s: %s", here, mu_err_name(err), error.message);
    mu_error_clear(&error);
    check_computes(pool);
    return fired;
}

MU_TEST(failures, R1_R2_R3_every_failing_call_in_a_fork_is_survived, .timeout = 120)
{
    mu_system *system = NULL;
    mu_pool *pool = NULL;
    mu_check_ok(start_system(&system, NULL));
    mu_check_ok(start_forked_pool(system, &pool, NULL));
    walk_some("fork", in_forked_replacement, pool, (int)mu_test_size(MU_TEST_SANITIZED ? 12 : 4, 1),
              FIRST_ERRORS);
    mu_pool_free(&pool);
    stop_system(&system);
}

/* ---- the end ---- */

static bool in_stop(void *ctx, const fault *f, int n)
{
    (void)ctx;
    mu_system *system = NULL;
    mu_pool *pool = NULL;
    int fds = count_fds();
    mu_check_ok(start_system(&system, NULL));
    mu_check_ok(start_pool(system, &pool, NULL));
    int pid = worker_pid(pool);
    fail_arm(f->call, n, f->error);
    mu_pool_free(&pool);
    stop_system(&system);
    bool fired = fail_disarm();
    mu_check_msg(!fault_process_lives(pid), "%s: the worker is left", here);
    mu_check_msg(mu_poll_until(count_fds() == fds, 5000), "%s: fds are left", here);
    return fired;
}

MU_TEST(failures, R1_R2_R3_every_failing_call_in_a_stop_is_survived, .timeout = 120)
{
    walk("stop", in_stop, NULL, SAMPLE);
}
