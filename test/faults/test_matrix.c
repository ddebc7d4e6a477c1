/*
 * The crash matrix: SIGKILL of the host, of the warden and of a worker at every system call of a
 * pool's life: start, request, restart, request, stop.
 *
 * The host plays that life under a tracer (kill_nth.h), with two workers of C, which make few
 * system calls, and with two that a fork server makes. What it checks itself depends on who may be
 * killed beside it:
 *
 *     host     nothing; a second later no process of it lives
 *     warden   a start may fail once, and the next one does not; at most two requests hear that
 *              their worker is gone, and the next one is served
 *     worker   at most one request hears it, and the next one is served; if it was a fork server, a
 *              start may fail once
 *
 * Whoever it was, the next system in the same tracking directory leaves nothing in it.
 *
 * Each push takes a sample of it, evenly spread; --full takes every call until there is none left.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "fault_rig.h"
#include "kill_nth.h"

#include "support/mu_marked.h"
#include "support/mu_role.h"

enum { WORKERS = 2, PATIENCE_MS = 10000, LIFE_S = 60 };

/* ---- the life of a pool -------------------------------------------------------------------- */

typedef struct life {
    mu_system *system;
    mu_pool *pool;
    bool forked;
    int starts_may_fail, requests_may_fail;
    uint32_t killed; /* the generation of the first worker */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t events;
} life;

/* What has to be waited for is told by some event: the fewer calls are made for waiting, the more
 * of those that are counted are made for a reason. */
static void hear(void *ctx, const mu_event *event)
{
    life *l = ctx;
    if (strcmp(event->name, "worker.ready") != 0)
        return;
    pthread_mutex_lock(&l->lock);
    l->events++;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
}

static mu_err start_system(life *l, const char *directory, mu_error *error)
{
    mu_system_options options = MU_SYSTEM_OPTIONS_INIT;
    options.tracking_dir = directory;
    options.event_hook = (mu_event_hook){hear, l};
    return mu_system_start(&options, &l->system, error);
}

static mu_err start_pool(life *l, mu_error *error)
{
    mu_pool_options options = MU_POOL_OPTIONS_INIT;
    options.size = WORKERS;
    if (l->forked) {
        options.start_method = MU_START_FORK_SERVER;
        options.python_path = "/usr/bin/python3";
    } else {
        options.executable = MU_TEST_ECHO_WORKER;
    }
    options.startup_timeout_ms = PATIENCE_MS * MU_TEST_SCALE;
    options.queue_timeout_ms = PATIENCE_MS * MU_TEST_SCALE;
    options.shutdown_grace_ms = 1000;
    return mu_pool_start(l->system, &options, &l->pool, error);
}

/* It succeeds, or it says why it does not and does the next time. */
static void check_started(life *l, const char *what, mu_err err, mu_error *error)
{
    mu_check_msg(err == MU_OK || l->starts_may_fail-- > 0, "%s: %s: %s\n%s", what, mu_err_name(err),
                 error->message, error->detail ? error->detail : "");
    mu_error_clear(error);
}

static void start(life *l, const char *directory)
{
    mu_error error = MU_ERROR_INIT;
    while (!l->system)
        check_started(l, "system", start_system(l, directory, &error), &error);
    while (!l->pool)
        check_started(l, "pool", start_pool(l, &error), &error);
}

static void ask(life *l)
{
    mu_err err;
    do {
        mu_error error = MU_ERROR_INIT;
        err = mu_pool_execute(l->pool, "ping", NULL, NULL, NULL, &error);
        bool may = err == MU_OK || (err == MU_ECRASHED && l->requests_may_fail-- > 0);
        mu_check_msg(may, "request: %s: %s", mu_err_name(err), error.message);
        mu_error_clear(&error);
    } while (err != MU_OK);
}

static mu_worker_info first_worker(const life *l)
{
    pool_rig rig = {.pool = l->pool};
    return rig_worker(&rig, 0);
}

static bool all_serve(const life *l)
{
    mu_pool_stats stats;
    mu_pool_stats_get(l->pool, &stats);
    return stats.available == WORKERS && first_worker(l).generation > l->killed;
}

static void await_restart(life *l)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_MS / 1000 * MU_TEST_SCALE;
    pthread_mutex_lock(&l->lock);
    for (;;) {
        uint64_t seen = l->events;
        pthread_mutex_unlock(&l->lock);
        if (all_serve(l))
            return;
        pthread_mutex_lock(&l->lock);
        while (seen == l->events)
            mu_check_eq(pthread_cond_timedwait(&l->changed, &l->lock, &until), 0);
    }
}

static void kill_a_worker(life *l)
{
    mu_worker_info worker = first_worker(l);
    if (worker.os_pid <= 0)
        return; /* it is being replaced already */
    l->killed = worker.generation;
    (void)kill(worker.os_pid, SIGKILL);
}

/* WHO DIRECTORY: who may be killed; where the tracking file is kept. */
static int live(char **argv, bool forked)
{
    static life l = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    l.forked = forked;
    if (strcmp(argv[1], kill_who_name(KILL_WARDEN)) == 0) {
        l.starts_may_fail = 1;
        l.requests_may_fail = WORKERS;
    } else if (strcmp(argv[1], kill_who_name(KILL_WORKER)) == 0) {
        l.starts_may_fail = forked; /* it was the fork server */
        l.requests_may_fail = 1;
    }
    (void)alarm(LIFE_S * MU_TEST_SCALE);
    kill_here();
    start(&l, argv[2]);
    ask(&l);
    kill_a_worker(&l);
    await_restart(&l);
    ask(&l);
    mu_pool_free(&l.pool);
    mu_check_eq(mu_system_stop(&l.system), 0u);
    return 0;
}

MU_ROLE(life_of_a_pool)
{
    return live(argv, false);
}

MU_ROLE(life_of_a_forked_pool)
{
    return live(argv, true);
}

/* ---- the matrix ---------------------------------------------------------------------------- */

typedef struct matrix {
    const char *life;
    kill_who who;
    int points; /* on each push */
    int all;    /* with --full; 0: every call */
} matrix;

static char directory[64]; /* of the one life at a time */

/* What is left in the directory is nobody's after the next start, and gone with its end. */
static void check_next_start(const char *where)
{
    mu_system_options options = MU_SYSTEM_OPTIONS_INIT;
    mu_system *system;
    mu_error error = MU_ERROR_INIT;
    options.tracking_dir = directory;
    mu_err err = mu_system_start(&options, &system, &error);
    mu_check_msg(err == MU_OK, "%s: the next start: %s", where, error.message);
    mu_check_eq(mu_system_stop(&system), 0u);
    mu_check_msg(rmdir(directory) == 0, "%s: left in %s: %s", where, directory, strerror(errno));
}

/* False: there is no n-th call. */
static bool kill_at(const matrix *m, int n, kill_run *ret_run)
{
    char where[64];
    snprintf(directory, sizeof directory, "/tmp/muster-matrix-XXXXXX");
    mu_check(mkdtemp(directory));
    kill_nth(m->life, directory, m->who, n, ret_run);
    bool killed = ret_run->call != KILL_NONE;
    snprintf(where, sizeof where, "%s, call %d (%ld)", kill_who_name(m->who), n, ret_run->call);
    int expected = killed && m->who == KILL_HOST ? -SIGKILL : 0;
    mu_check_msg(ret_run->status == expected, "%s: the host ends with %d", where, ret_run->status);
    mu_check_msg(ret_run->left == 0 && mu_marked_by(ret_run->host) == 0,
                 "%s: %d processes outlive the host", where, ret_run->left);
    check_next_start(where);
    return killed;
}

static void kill_everywhere(const matrix *m)
{
    kill_run run;
    /* LeakSanitizer is a tracer, too, and a process has one. */
    setenv("ASAN_OPTIONS", "abort_on_error=1:detect_leaks=0", 1);
    mu_check(!kill_at(m, 0, &run));
    const int calls = run.calls[m->who];
    const int points = (int)mu_test_size(m->points, m->all ? m->all : calls);
    fprintf(stderr, "%s: %d calls, %d of them tried\n", kill_who_name(m->who), calls, points);
    mu_check_gt(calls, 20);
    for (int i = 0; i < points; i++)
        (void)kill_at(m, 1 + (int)((int64_t)i * calls / points), &run);
    for (int n = calls + 1; points == calls && kill_at(m, n, &run); n++)
        ;
}

MU_TEST(matrix, H1_a_host_killed_at_any_system_call_leaves_nothing, .timeout = 7200)
{
    kill_everywhere(&(matrix){"life_of_a_pool", KILL_HOST, 30, 0});
}

MU_TEST(matrix, a_warden_killed_at_any_system_call_is_replaced, .timeout = 7200)
{
    kill_everywhere(&(matrix){"life_of_a_pool", KILL_WARDEN, 30, 0});
}

MU_TEST(matrix, C1_a_worker_killed_at_any_system_call_is_replaced, .timeout = 7200)
{
    kill_everywhere(&(matrix){"life_of_a_pool", KILL_WORKER, 20, 0});
}

/* Python makes thousands of calls before it has begun: here --full is a larger sample. */
MU_TEST(matrix, H1_a_host_of_forked_workers_killed_at_any_system_call_leaves_nothing,
        .timeout = 7200)
{
    kill_everywhere(&(matrix){"life_of_a_forked_pool", KILL_HOST, 4, 300});
}

MU_TEST(matrix, a_warden_of_forked_workers_killed_at_any_system_call_is_replaced, .timeout = 7200)
{
    kill_everywhere(&(matrix){"life_of_a_forked_pool", KILL_WARDEN, 4, 300});
}

MU_TEST(matrix, a_fork_server_or_its_worker_killed_at_any_system_call_is_replaced, .timeout = 7200)
{
    kill_everywhere(&(matrix){"life_of_a_forked_pool", KILL_WORKER, 4, 300});
}
