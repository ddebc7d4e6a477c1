/* What the log tells of a pool: at which level, of which pool, and who says so. */
#include <pthread.h>
#include <stdio.h>

#include "pool/pool_rig.h"

enum { PATIENCE_MS = 60000 };

/* The lines that were heard, whole ones, as many as there is room for. */
typedef struct heard {
    pthread_mutex_t lock;
    char lines[32768];
} heard;

static void hear(void *ctx, const mu_log_record *record)
{
    heard *h = ctx;
    pthread_mutex_lock(&h->lock);
    size_t used = strlen(h->lines), more = strlen(record->text) + 16;
    if (used + more < sizeof h->lines)
        (void)snprintf(h->lines + used, sizeof h->lines - used, "%s %s\n",
                       mu_log_level_name(record->level), record->text);
    pthread_mutex_unlock(&h->lock);
}

static bool has(heard *h, const char *part)
{
    pthread_mutex_lock(&h->lock);
    bool found = strstr(h->lines, part) != NULL;
    pthread_mutex_unlock(&h->lock);
    return found;
}

static void prepare(pool_rig *rig, heard *h, mu_log_level level)
{
    mu_system_options system = MU_SYSTEM_OPTIONS_INIT;
    *h = (heard){.lock = PTHREAD_MUTEX_INITIALIZER};
    system.log_level = level;
    system.log = hear;
    system.log_ctx = h;
    rig_prepare_with(rig, 1, &system);
}

/* One answer, one exception, one crash; all that is told of them has been told when it returns. */
static void live(pool_rig *rig)
{
    mu_check_ok(rig_open(rig));
    mu_check_ok(rig_run(rig, "ping"));
    mu_check_err(rig_run(rig, "crash"), MU_ECRASHED);
    mu_check_ok(rig_run(rig, "ping"));
    rig_stop(rig);
}

MU_TEST(log, at_info_it_tells_starts_restarts_and_the_stop_and_no_request)
{
    pool_rig rig;
    heard h;
    prepare(&rig, &h, MU_LOG_INFO);
    live(&rig);
    mu_check(has(&h, "info worker.ready pool=pool worker=worker_1 "));
    mu_check(has(&h, "info pool.ready pool=pool "));
    mu_check(has(&h, "warning worker.exit pool=pool worker=worker_1 "));
    mu_check(has(&h, "info supervisor.restart "));
    mu_check(has(&h, "info pool.stop pool=pool "));
    mu_check(has(&h, "info pool.stopped pool=pool "));
    mu_check(!has(&h, "debug"));
}

MU_TEST(log, at_warning_it_tells_what_went_wrong_and_nothing_else)
{
    pool_rig rig;
    heard h;
    prepare(&rig, &h, MU_LOG_WARNING);
    live(&rig);
    mu_check(has(&h, "warning worker.exit pool=pool worker=worker_1 "));
    mu_check(!has(&h, "info ") && !has(&h, "debug "));
}

MU_TEST(log, at_debug_it_tells_each_request_before_its_caller_hears_of_it)
{
    pool_rig rig;
    heard h;
    mu_execute_options o = MU_EXECUTE_OPTIONS_INIT;
    prepare(&rig, &h, MU_LOG_DEBUG);
    mu_check_ok(rig_open(&rig));
    o.trace = "req 7";
    mu_check_ok(mu_pool_execute(rig.pool, "ping", NULL, &o, NULL, NULL));
    mu_check(has(&h, "debug request.done pool=pool command=ping outcome=MU_OK worker=worker_1 "
                     "trace=\"req 7\" queued="));
    mu_pool_pause(rig.pool);
    mu_check(has(&h, "info pool.pause pool=pool queued=0"));
    o.queue_timeout_ms = -1;
    mu_check_err(mu_pool_execute(rig.pool, "echo", NULL, &o, NULL, NULL), MU_EQUEUE_TIMEOUT);
    mu_check(has(&h, "debug request.done pool=pool command=echo outcome=MU_EQUEUE_TIMEOUT "
                     "worker=\"\" "));
    mu_pool_resume(rig.pool);
    mu_check(has(&h, "info pool.resume pool=pool queued=0"));
    mu_check_ok(mu_pool_drain(rig.pool, MU_INFINITY));
    mu_check(has(&h, "info pool.drain pool=pool requests=0"));
    rig_stop(&rig);
}

MU_TEST(log, a_new_size_is_told_with_the_old_one_and_what_comes_of_it_too)
{
    pool_rig rig;
    heard h;
    prepare(&rig, &h, MU_LOG_INFO);
    mu_check_ok(rig_open(&rig));
    mu_check_ok(mu_pool_resize(rig.pool, 1)); /* what it is */
    mu_check_err(mu_pool_resize(rig.pool, 0), MU_EINVAL);
    mu_check(!has(&h, "pool.resize"));
    mu_check_ok(mu_pool_resize(rig.pool, 3));
    mu_check(has(&h, "info pool.resize pool=pool type=\"\" size=3 before=1\n"));
    mu_wait_until(has(&h, "info pool.scale pool=pool type=\"\" workers=3 before="), PATIENCE_MS);
    mu_check_ok(mu_pool_resize(rig.pool, 2));
    mu_check(has(&h, "info pool.resize pool=pool type=\"\" size=2 before=3\n"));
    mu_wait_until(has(&h, "info pool.scale pool=pool type=\"\" workers=2 before=3\n"), PATIENCE_MS);
    rig_stop(&rig);
}

MU_TEST(log, log_level_of_a_pool_is_its_own_whatever_the_system_s)
{
    pool_rig rig;
    heard h;
    prepare(&rig, &h, MU_LOG_OFF);
    mu_pool *quiet;
    rig.options.log_level = MU_LOG_DEBUG;
    rig.options.name = "loud";
    mu_check_ok(rig_open(&rig));
    rig.options.log_level = MU_LOG_INHERIT;
    rig.options.name = "quiet";
    mu_check_ok(mu_pool_start(rig.system, &rig.options, &quiet, NULL));
    mu_check_ok(rig_run(&rig, "ping"));
    mu_check_ok(mu_pool_execute(quiet, "ping", NULL, NULL, NULL, NULL));
    mu_pool_free(&quiet);
    rig_stop(&rig);
    mu_check(has(&h, "info worker.ready pool=loud "));
    mu_check(has(&h, "debug request.done pool=loud "));
    mu_check(!has(&h, "pool=quiet") && !has(&h, "warden.start"));
}

MU_TEST(log, what_a_worker_prints_is_told_of_its_pool)
{
    pool_rig rig;
    heard h;
    prepare(&rig, &h, MU_LOG_OFF);
    rig.options.log_level = MU_LOG_INFO;
    mu_check_ok(rig_open(&rig));
    mu_check_ok(
        mu_pool_executef(rig.pool, "print", NULL, NULL, NULL, "{s:s}", "text", "well now\n"));
    mu_wait_until(has(&h, "info worker.output worker=worker_1 stream=stdout line=\"well now\" "
                          "pool=pool generation=1"),
                  10000);
    rig_stop(&rig);
}

MU_TEST(log, what_a_worker_logs_is_told_at_its_level_with_its_fields)
{
    pool_rig rig;
    heard h;
    prepare(&rig, &h, MU_LOG_OFF);
    rig.options.log_level = MU_LOG_INFO;
    rig.options.script = MU_TEST_ROOT "/pool/workers/teller.py";
    mu_check_ok(rig_open(&rig));
    mu_check_ok(mu_pool_executef(rig.pool, "tell", NULL, NULL, NULL, "{s:s, s:s, s:{s:s, s:i}}",
                                 "level", "warning", "message", "low on tea", "fields", "shop", "7",
                                 "left", 2));
    mu_check_ok(mu_pool_executef(rig.pool, "tell", NULL, NULL, NULL, "[ss]", "debug", "unheard"));
    mu_check_ok(mu_pool_executef(rig.pool, "tell", NULL, NULL, NULL, "[ss]", "info", "plain"));
    rig_stop(&rig);
    mu_check(has(&h, "warning worker.log pool=pool worker=worker_1 level=warning "
                     "message=\"low on tea\" "
                     "fields=\"{\\\"shop\\\": \\\"7\\\", \\\"left\\\": 2}\" bytes=10"));
    mu_check(has(&h, "info worker.log pool=pool worker=worker_1 level=info message=plain "
                     "fields=\"\" bytes=5"));
    mu_check(!has(&h, "unheard"));
}

/* Starts a system with this level and this variable, and says how the start of it ended. */
static mu_err start(const char *variable, mu_log_level level, heard *h, mu_error *error)
{
    mu_system_options o = MU_SYSTEM_OPTIONS_INIT;
    mu_system *system = NULL;
    *h = (heard){.lock = PTHREAD_MUTEX_INITIALIZER};
    o.log_level = level;
    o.log = hear;
    o.log_ctx = h;
    (void)setenv("MUSTER_LOG", variable, 1);
    mu_err err = mu_system_start(&o, &system, error);
    (void)unsetenv("MUSTER_LOG");
    (void)mu_system_stop(&system);
    return err;
}

MU_TEST(log, MUSTER_LOG_is_the_level_that_the_program_leaves_open)
{
    heard h;
    mu_check_ok(start("info", MU_LOG_INHERIT, &h, NULL));
    mu_check(has(&h, "info warden.start "));
    mu_check_ok(start("info", MU_LOG_OFF, &h, NULL));
    mu_check_str(h.lines, "");
    mu_check_ok(start("error", MU_LOG_INHERIT, &h, NULL));
    mu_check_str(h.lines, "");
    mu_check_ok(start("", MU_LOG_INHERIT, &h, NULL));
    mu_check_str(h.lines, "");
}

MU_TEST(log, what_is_no_level_is_refused_with_those_that_are)
{
    heard h;
    mu_error error = MU_ERROR_INIT;
    mu_check_err(start("verbose", MU_LOG_INHERIT, &h, &error), MU_EINVAL);
    mu_check_str(error.message,
                 "MUSTER_LOG is 'verbose'; allowed are off, error, warning, info and debug");
    mu_check_err(start("", (mu_log_level)6, &h, &error), MU_EINVAL);
    mu_check_contains(error.message, "log_level is 6; allowed are 0 to 5");
    mu_error_clear(&error);
}
