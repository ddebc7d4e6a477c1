/* The pool with real workers: start, requests, outcomes, queue, stop. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pool/pool_rig.h"

MU_TEST(pool, starts_all_workers_and_answers)
{
    pool_rig rig;
    rig_start(&rig, 4);
    mu_check_eq(rig_available(&rig), 4);
    mu_value args = MU_VALUE_INIT, result = MU_VALUE_INIT;
    mu_check_ok(mu_value_pack(&args, NULL, "{s:s}", "expression", "6 * 7"));
    mu_check_ok(rig_ask(&rig, "calculate", &args, NULL, &result));
    mu_check_eq(mu_value_int(&result, "", 0), 42);
    mu_value_clear(&args);
    mu_value_clear(&result);
    for (int i = 0; i < 4; i++) {
        mu_worker_info w = rig_worker(&rig, i);
        mu_check_gt(w.os_pid, 0);
        mu_check_eq(w.generation, 1u);
        mu_timeline t = w.timeline;
        mu_check(t.spawn > 0 && t.interpreter >= 0 && t.imports > 0 && t.on_start >= 0);
        mu_check_ge(t.total, t.spawn + t.interpreter + t.imports + t.on_start);
    }
    rig_check_books(&rig);
    rig_stop(&rig);
}

MU_TEST(pool, each_outcome_has_its_error)
{
    pool_rig rig;
    rig_start(&rig, 1);
    mu_check_err(rig_run(&rig, "raise"), MU_EWORKER);
    mu_check_str(rig.error.type, "ValueError");
    mu_check_contains(rig.error.detail, "Traceback");
    mu_check_err(rig_run(&rig, "nosuch"), MU_EWORKER);
    mu_check_str(rig.error.type, "UnknownCommand");
    mu_check_err(rig_run(&rig, ""), MU_EINVAL);
    mu_check_err(rig_run(&rig, "a\xff"), MU_EINVAL);
    mu_check_str(rig.error.message, "the command 'a\\xff' is not UTF-8");
    mu_check_err(rig_run(&rig, "crash"), MU_ECRASHED);
    mu_check_contains(rig.error.message, "worker_1");
    mu_check_gt(rig.error.os_pid, 0);
    mu_execute_options o = MU_EXECUTE_OPTIONS_INIT;
    o.session = "\xc3(";
    mu_check_err(rig_ask(&rig, "ping", NULL, &o, NULL), MU_EINVAL);
    mu_check_contains(rig.error.message, "the session '\\xc3(' is not UTF-8");
    o.session = NULL;
    o.trace = "\xff";
    mu_check_err(rig_ask(&rig, "ping", NULL, &o, NULL), MU_EINVAL);
    mu_check_contains(rig.error.message, "the trace '\\xff' is not UTF-8");
    o.trace = NULL;
    o.deadline_ns = 1; /* long ago */
    mu_check_err(rig_ask(&rig, "ping", NULL, &o, NULL), MU_EQUEUE_TIMEOUT);
    mu_check_str(rig.error.message, "deadline_ns was over when 'ping' was asked for");
    o.deadline_ns = 0;
    o.execution_timeout_ms = 50;
    o.queue_timeout_ms = RIG_STARTUP_MS;
    mu_check_err(rig_ask(&rig, "hang", NULL, &o, NULL), MU_EEXEC_TIMEOUT);
    mu_check_ok(rig_ask(
        &rig, "ping", NULL,
        &(mu_execute_options){.struct_size = sizeof o, .queue_timeout_ms = RIG_STARTUP_MS}, NULL));
    mu_pool_stats s;
    mu_pool_stats_get(rig.pool, &s);
    mu_check_eq(s.worker_errors, 2u);
    mu_check_eq(s.crashed, 1u);
    mu_check_eq(s.exec_timeouts, 1u);
    mu_check_eq(s.queue_timeouts, 1u);
    mu_check_eq(s.refused, 0u); /* what cannot be a request is none */
    mu_check_eq(s.restarts, 2u);
    rig_check_books(&rig);
    rig_stop(&rig);
}

typedef struct asker {
    pthread_t thread;
    pool_rig *rig;
    const char *command;
    mu_execute_options options;
    _Atomic bool done;
    mu_err err;
} asker;

static void *ask_main(void *arg)
{
    asker *a = arg;
    mu_error error = MU_ERROR_INIT;
    a->err = mu_pool_execute(a->rig->pool, a->command, NULL, &a->options, NULL, &error);
    mu_error_clear(&error);
    atomic_store(&a->done, true);
    return NULL;
}

static void ask_in_thread(asker *a, pool_rig *rig, const char *command)
{
    *a = (asker){.rig = rig, .command = command, .options = MU_EXECUTE_OPTIONS_INIT};
    mu_check_eq(pthread_create(&a->thread, NULL, ask_main, a), 0);
}

static mu_err answer_of(asker *a)
{
    pthread_join(a->thread, NULL);
    return a->err;
}

static mu_pool_stats stats_of(pool_rig *rig)
{
    mu_pool_stats s;
    mu_pool_stats_get(rig->pool, &s);
    return s;
}

MU_TEST(pool, a_full_queue_answers_at_once_and_a_waiting_request_times_out)
{
    pool_rig rig;
    rig_prepare(&rig, 1);
    rig.options.max_queue_size = 1;
    mu_check_ok(rig_open(&rig));
    asker hang, waiting;
    ask_in_thread(&hang, &rig, "hang");
    mu_wait_until(stats_of(&rig).busy == 1, 10000);
    ask_in_thread(&waiting, &rig, "ping");
    mu_wait_until(stats_of(&rig).queued == 1, 10000);
    mu_check_err(rig_run(&rig, "ping"), MU_EQUEUE_FULL);
    mu_check_contains(rig.error.message, "max_queue_size");
    mu_execute_options o = MU_EXECUTE_OPTIONS_INIT;
    o.queue_timeout_ms = -1;
    mu_check_err(rig_ask(&rig, "ping", NULL, &o, NULL), MU_EQUEUE_TIMEOUT);
    mu_pool_stop(rig.pool);
    mu_check_err(answer_of(&waiting), MU_ESHUTDOWN);
    mu_check_err(answer_of(&hang), MU_ESHUTDOWN);
    mu_check_err(rig_run(&rig, "ping"), MU_ESHUTDOWN);
    rig_check_books(&rig);
    rig_stop(&rig);
}

/* 1: it succeeded; otherwise the negated error. */
static void note_outcome(void *ctx, const mu_outcome *o)
{
    atomic_store((_Atomic int *)ctx, o->err == MU_OK ? 1 : -(int)o->err);
}

/* One request whose worker is killed, soon after it was given to it. */
static void kill_under_request(pool_rig *rig, const mu_value *args, const mu_execute_options *o)
{
    mu_job job;
    static _Atomic int outcome;
    atomic_store(&outcome, 0);
    mu_check_ok(mu_pool_submit(rig->pool, "sleep", args, o, note_outcome, (void *)&outcome, &job));
    mu_wait_until(stats_of(rig).busy == 1 || atomic_load(&outcome) != 0, 10000);
    bool killed = false; /* one: the other may be busy with the next attempt by now */
    for (int i = 0; i < 2 && !killed; i++) {
        mu_worker_info w = rig_worker(rig, i);
        killed = w.state == MU_WORKER_BUSY && kill(w.os_pid, SIGKILL) == 0;
    }
    mu_wait_until(atomic_load(&outcome) != 0, 10000);
    mu_check_eq(atomic_load(&outcome), 1);
    /* The outcome is told before it is counted. */
    mu_wait_until(rig_available(rig) == 2 && stats_of(rig).in_flight == 0, 20000);
}

/* A worker that dies before it has read the request makes no retry of it: till one has read it. */
MU_TEST(pool, an_idempotent_request_survives_the_death_of_its_worker)
{
    pool_rig rig;
    rig_start(&rig, 2);
    mu_value args = MU_VALUE_INIT;
    mu_check_ok(mu_value_pack(&args, NULL, "{s:f}", "seconds", 0.2));
    mu_execute_options o = MU_EXECUTE_OPTIONS_INIT;
    o.idempotent = true;
    for (int i = 0; i < 20 && stats_of(&rig).retries == 0; i++)
        kill_under_request(&rig, &args, &o);
    mu_check_eq(stats_of(&rig).retries, 1u);
    mu_value_clear(&args);
    rig_check_books(&rig);
    rig_stop(&rig);
}

static int workers_below(pool_rig *rig)
{
    int n = 0;
    char *tree;
    mu_check_ok(mu_pool_tree(rig->pool, &tree));
    for (char *at = tree; (at = strstr(at, "generation 1 ")) != NULL; at++)
        n++;
    free(tree);
    return n;
}

/* Only the manager is new then: its workers have not gone, and must not be added once more. */
MU_TEST(pool, a_manager_that_is_killed_leaves_the_workers_alone)
{
    pool_rig rig;
    rig_start(&rig, 2);
    mu_pid manager = mu_whereis(rig.system, "pool:pool");
    mu_reason kill_it = mu_reason_kill();
    mu_check_ok(mu_exit_signal(manager, &kill_it));
    mu_wait_until(mu_pool_find(rig.system, "pool") == rig.pool, 10000);
    mu_check(!mu_pid_equal(mu_whereis(rig.system, "pool:pool"), manager));
    mu_check_eq(workers_below(&rig), 2);
    mu_check_eq(stats_of(&rig).restarts, 0u);
    mu_check_ok(rig_run(&rig, "ping"));
    rig_stop(&rig);
}

MU_TEST(pool, Z6_what_a_worker_says_of_its_failed_start_is_escaped)
{
    char path[] = "/tmp/muster-test-XXXXXX.py";
    static const char script[] = "raise ValueError('a\\x1b[2Jb')\n";
    int fd = mkstemps(path, 3);
    mu_check_ge(fd, 0);
    mu_check_eq(write(fd, script, sizeof script - 1), (ssize_t)sizeof script - 1);
    close(fd);
    pool_rig rig;
    rig_prepare(&rig, 1);
    rig.options.script = path;
    mu_check_err(rig_open(&rig), MU_ESTART);
    mu_check_contains(rig.error.detail, "ValueError: a");
    mu_check(!strchr(rig.error.detail, '\x1b'));
    unlink(path);
    rig_stop(&rig);
}

MU_TEST(pool, H3_a_forked_copy_of_the_host_is_refused)
{
    pool_rig rig;
    rig_start(&rig, 1);
    pid_t copy = fork();
    mu_check_ge(copy, 0);
    if (copy == 0) {
        static _Atomic int outcome;
        bool refused = mu_pool_execute(rig.pool, "ping", NULL, NULL, NULL, NULL) == MU_EFORKED &&
                       mu_pool_submit(rig.pool, "ping", NULL, NULL, note_outcome, (void *)&outcome,
                                      NULL) == MU_EFORKED;
        _exit(refused ? 0 : 1);
    }
    int status;
    mu_check_eq(waitpid(copy, &status, 0), copy);
    mu_check_eq(status, 0);
    mu_check_ok(rig_run(&rig, "ping"));
    rig_stop(&rig);
}
