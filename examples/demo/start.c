/* start: act 1, the workers start in parallel. Called by main; calls the pool and the chart. */
#include "start.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <muster/timer.h>

#include "chart.h"
#include "interrupt.h"

#define POOL "demo"

/* What the workers of all pools run with, beside their number. */
static const char *const environment[] = {"MUSTER_CALL_ALLOW=sysconfig.get_path", NULL};
static const mu_rlimit limits[] = {{RLIMIT_CORE, 0, 0}}; /* one of them will crash on purpose */

static bool meet_python(demo *d, start *st);
static bool time_start(demo *d, const start *st, int size, int concurrency, start_time *time);
static bool time_and_stop(demo *d, const start *st, int size, int concurrency, start_time *time);
static mu_err start_pool(demo *d, const char *python, int size, int concurrency);
static bool refuse(mu_err err, const mu_error *error);
static void show_progress(void *ctx, const mu_worker_info *worker);
static bool roll_call(mu_pool *pool, account *a, const mu_worker_info *workers, size_t n);

bool start_run(demo *d, start *st)
{
    int size = d->options.workers;
    bool one_by_one = d->options.sequential;
    start_time *own = one_by_one ? &st->sequential : &st->parallel;
    start_time *other = one_by_one ? &st->parallel : &st->sequential;

    /* What could not be started because of a Ctrl-C is no failure to start. */
    return (meet_python(d, st) && time_and_stop(d, st, 1, 1, &st->single) &&
            time_and_stop(d, st, size, one_by_one ? size : 1, other) &&
            time_start(d, st, size, one_by_one ? 1 : size, own)) ||
           interrupted();
}

void start_print(demo *d, const start *st)
{
    const start_time *own = d->options.sequential ? &st->sequential : &st->parallel;
    int64_t longest = st->sequential.answered > st->parallel.answered ? st->sequential.answered
                                                                      : st->parallel.answered;
    chart bars = chart_make(&d->screen, own->begun, own->answered);
    chart sums = chart_make(&d->screen, 0, longest);
    char note[32];

    chart_workers(&bars, own->workers, own->n_workers);
    screen_line(&d->screen, "%s", "");
    chart_total(&sums, "parallel", st->parallel.answered, "");
    snprintf(note, sizeof note, "  %.1f ×",
             (double)st->sequential.answered / (double)st->parallel.answered);
    chart_total(&sums, "one by one", st->sequential.answered, note);
    chart_total(&sums, "one alone", st->single.answered, "");
    screen_line(&d->screen, "  " DIM "from the call until the last worker had answered a ping; "
                            "measured in the order" END);
    screen_line(&d->screen, "  " DIM "one alone, %s; Python %s" END,
                d->options.sequential ? "parallel, one by one" : "one by one, parallel",
                st->version);
}

/* The start that is not timed. */
static bool meet_python(demo *d, start *st)
{
    mu_value info = MU_VALUE_INIT;
    mu_error error = MU_ERROR_INIT;
    mu_err err = start_pool(d, NULL, 1, 1);

    if (err != MU_OK)
        return false;
    err = mu_pool_execute(d->pool, "info", NULL, NULL, &info, &error);
    snprintf(st->python, sizeof st->python, "%s", mu_value_str(&info, "executable", ""));
    snprintf(st->version, sizeof st->version, "%s", mu_value_str(&info, "python", ""));
    mu_value_clear(&info);
    demo_end_pool(d);
    return err == MU_OK ? !interrupted() : refuse(err, &error);
}

/* Starts d->pool and has every worker of it answer. */
static bool time_start(demo *d, const start *st, int size, int concurrency, start_time *time)
{
    mu_err err;

    time->begun = mu_now(d->system);
    err = start_pool(d, st->python, size, concurrency);
    time->ready = mu_now(d->system) - time->begun;
    if (err != MU_OK)
        return false;
    err = mu_pool_workers(d->pool, &time->workers, &time->n_workers);
    if (err == MU_OK && !roll_call(d->pool, &d->account, time->workers, time->n_workers))
        err = MU_ESTART;
    time->answered = mu_now(d->system) - time->begun;
    return err == MU_OK ? !interrupted() : refuse(err, NULL);
}

static bool time_and_stop(demo *d, const start *st, int size, int concurrency, start_time *time)
{
    bool good = time_start(d, st, size, concurrency, time);

    demo_end_pool(d);
    /* The account is that of the pool that stays. */
    memset(&d->account, 0, sizeof d->account);
    return good;
}

static mu_err start_pool(demo *d, const char *python, int size, int concurrency)
{
    mu_pool_options options = MU_POOL_OPTIONS_INIT;
    mu_error error = MU_ERROR_INIT;
    mu_pool *pool;
    mu_err err;

    options.name = POOL;
    options.size = size;
    options.max_concurrency = concurrency;
    options.min_ready = size;
    options.balance = MU_BALANCE_LRU;
    options.python_path = python;
    options.env = environment;
    options.rlimits = limits;
    options.n_rlimits = sizeof limits / sizeof limits[0];
    options.queue_timeout_ms = 60000;
    options.progress = show_progress;
    options.progress_ctx = d;
    err = mu_pool_start(d->system, &options, &pool, &error);
    screen_status_end(&d->screen);
    if (err == MU_OK)
        demo_take_pool(d, pool);
    else
        refuse(err, &error);
    mu_error_clear(&error);
    return err;
}

/* Tells how far the start is; after a Ctrl-C it goes no further. */
static void show_progress(void *ctx, const mu_worker_info *worker)
{
    demo *d = ctx;

    screen_status(&d->screen, "  " DIM "%s  pid %d  %s" END, worker->id, worker->os_pid,
                  mu_worker_state_name(worker->state));
    if (interrupted())
        mu_pool_stop(mu_pool_find(d->system, POOL));
}

/*
 * Pings until each worker has answered once. The least recently used comes first, so that as many
 * pings as there are workers suffice.
 */
static bool roll_call(mu_pool *pool, account *a, const mu_worker_info *workers, size_t n)
{
    bool present[WORKERS_MAX] = {false};
    size_t missing = n;

    for (size_t pings = 0; missing > 0 && pings < 4 * n; pings++) {
        mu_value answer = MU_VALUE_INIT;
        const char *id;
        if (account_execute(a, pool, "ping", NULL, NULL, &answer, NULL) != MU_OK)
            return false;
        id = mu_value_str(&answer, "worker_id", "");
        for (size_t i = 0; i < n; i++)
            if (!present[i] && strcmp(workers[i].id, id) == 0) {
                present[i] = true;
                missing--;
            }
        mu_value_clear(&answer);
    }
    return missing == 0;
}

/* Says in one line why the pool cannot be started, unless it is our doing; always false. */
static bool refuse(mu_err err, const mu_error *error)
{
    int length = error ? (int)strcspn(error->message, "\n") : 0;

    if (interrupted())
        return false;
    if (length > 0)
        fprintf(stderr, "pool_demo: %.*s\n", length, error->message);
    else
        fprintf(stderr, "pool_demo: the workers do not answer: %s\n", mu_strerror(err));
    return false;
}

static json_t *time_json(const start_time *time)
{
    json_t *workers = json_array();

    for (size_t i = 0; i < time->n_workers; i++) {
        const mu_worker_info *w = &time->workers[i];
        json_array_append_new(workers, json_pack("{s:s, s:i, s:f, s:f, s:f, s:f, s:f, s:f}", "id",
                                                 w->id, "pid", w->os_pid, "begun_ms",
                                                 demo_ms(w->timeline.begun - time->begun),
                                                 "spawn_ms", demo_ms(w->timeline.spawn),
                                                 "interpreter_ms", demo_ms(w->timeline.interpreter),
                                                 "imports_ms", demo_ms(w->timeline.imports),
                                                 "on_start_ms", demo_ms(w->timeline.on_start),
                                                 "total_ms", demo_ms(w->timeline.total)));
    }
    return json_pack("{s:f, s:f, s:o}", "ready_ms", demo_ms(time->ready), "answered_ms",
                     demo_ms(time->answered), "workers", workers);
}

json_t *start_json(const start *st)
{
    double ratio = st->parallel.answered > 0
                       ? (double)st->sequential.answered / (double)st->parallel.answered
                       : 0.0;

    return json_pack("{s:s?, s:s?, s:o, s:o, s:o, s:f}", "python", st->version, "executable",
                     st->python, "single", time_json(&st->single), "parallel",
                     time_json(&st->parallel), "sequential", time_json(&st->sequential),
                     "sequential_over_parallel", ratio);
}

void start_free(start *st)
{
    free(st->single.workers);
    free(st->parallel.workers);
    free(st->sequential.workers);
}
