/* job: act 3, real work while workers are being killed. Called by main. */
#include "job.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <muster/timer.h>

#include "interrupt.h"

#define AHEAD     4     /* requests under way per worker: enough that none waits for us */
#define FRAME_MS  20    /* between two looks at workers and screen */
#define RETURN_MS 60000 /* patience with a worker that was killed so often that it has to pause */

static bool find_directory(demo *d, job *j);
static void submit_some(demo *d, job *j);
static void submit_one(demo *d, job *j, report_row *row);
static int settle_crashes(demo *d, job *j);
static void progress(demo *d, job *j, int64_t begun);

bool job_run(demo *d, job *j)
{
    int64_t begun;

    j->account = &d->account;
    victims_init(&j->victims, d->options.kill, d->options.seed);
    if (!find_directory(d, j))
        return false;
    if (!files_find(&j->files, j->directory) || !report_init(&j->report, &j->files, j->directory)) {
        fprintf(stderr, "pool_demo: %s: %s\n", j->directory, strerror(errno));
        return false;
    }

    gate_init(&j->gate);
    begun = mu_now(d->system);
    do {
        while (j->submitted < j->files.n && !interrupted()) {
            submit_some(d, j);
            gate_wait(&j->gate, AHEAD * d->options.workers / 2, FRAME_MS);
            progress(d, j, begun);
        }
        while (!gate_wait(&j->gate, 0, FRAME_MS))
            progress(d, j, begun);
    } while (settle_crashes(d, j) > 0);
    j->took_ns = mu_now(d->system) - begun;
    gate_deinit(&j->gate);
    screen_status_end(&d->screen);

    victims_await(&j->victims, d, RETURN_MS);
    report_sum(&j->report);
    if (interrupted())
        return false;
    account_check(&d->account, j->report.once == j->files.n && j->report.lost == 0,
                  "each of the %zu files is in the report exactly once", j->files.n);
    account_check(&d->account, j->victims.back == j->victims.killed,
                  "%d of %d killed workers serve again", j->victims.back, j->victims.killed);
    return true;
}

void job_print(demo *d, const job *j)
{
    double seconds = (double)j->took_ns / 1e9;
    mu_pool_stats stats;

    mu_pool_stats_get(d->pool, &stats);
    if (j->victims.killed > 0)
        screen_line(&d->screen, "%s", "");
    if (j->victims.killed < j->victims.wanted)
        screen_line(&d->screen, "  " WARN "%d of %d killed: then the job was over" END,
                    j->victims.killed, j->victims.wanted);
    screen_line(&d->screen,
                "  " BOLD "%zu files in %.2f s" END ": %.0f files/s, %.1f MB/s; %llu tried again",
                j->files.n, seconds, (double)j->files.n / seconds,
                (double)j->report.bytes / 1e6 / seconds, (unsigned long long)stats.retries);
    report_print(&j->report, &d->screen);
}

/* The directory that was asked for, or where the workers' Python has its standard library. */
static bool find_directory(demo *d, job *j)
{
    mu_value args = MU_VALUE_INIT, answer = MU_VALUE_INIT;
    mu_error error = MU_ERROR_INIT;
    const char *found = d->options.dir;

    if (!found &&
        mu_value_pack(&args, &error, "{s:s, s:[s]}", "function", "sysconfig.get_path", "args",
                      "stdlib") == MU_OK &&
        account_execute(&d->account, d->pool, "call", &args, NULL, &answer, &error) == MU_OK)
        found = mu_value_str(&answer, NULL, NULL);
    if (found)
        snprintf(j->directory, sizeof j->directory, "%s", found);
    else if (!interrupted())
        fprintf(stderr, "pool_demo: where is the standard library? %s\n", error.message);
    mu_value_clear(&args);
    mu_value_clear(&answer);
    mu_error_clear(&error);
    return found != NULL;
}

/* Runs in a thread of the pool, once per file. */
static void one_done(void *ctx, const mu_outcome *outcome)
{
    report_row *row = ctx;
    job *j = row->job;

    account_outcome(j->account, outcome->err);
    if (outcome->err == MU_ECRASHED) {
        snprintf(row->problem, sizeof row->problem, "%s", outcome->error->message);
        atomic_store(&row->crashed_pid, outcome->error->os_pid);
    } else {
        report_fill(row, outcome);
        atomic_fetch_add(&j->done, 1);
    }
    gate_leave(&j->gate);
}

static void submit_some(demo *d, job *j)
{
    int most = AHEAD * d->options.workers;

    while (j->submitted < j->files.n && gate_wait(&j->gate, most - 1, 0))
        submit_one(d, j, &j->report.rows[j->submitted++]);
}

static void submit_one(demo *d, job *j, report_row *row)
{
    mu_execute_options options = MU_EXECUTE_OPTIONS_INIT;
    mu_value args = MU_VALUE_INIT;
    mu_error error = MU_ERROR_INIT;
    mu_err err = mu_value_pack(&args, &error, "{s:s}", "path", row->path);

    if (err != MU_OK) {
        /* A name that is no UTF-8: no request is made, and the file has its row all the same. */
        report_fill_error(row, err, error.message);
        atomic_fetch_add(&j->done, 1);
        return;
    }
    row->job = j;
    options.idempotent = true;
    gate_enter(&j->gate);
    err = mu_pool_submit(d->pool, "analyse", &args, &options, one_done, row, NULL);
    if (err != MU_OK) {
        report_fill_error(row, err, mu_strerror(err));
        account_outcome(j->account, err);
        gate_leave(&j->gate);
    }
    mu_value_clear(&args);
    mu_error_clear(&error);
}

/*
 * What becomes of the files whose workers have died, none being under way: submits again those that
 * were our doing, and tells how many. The others have had their chance.
 */
static int settle_crashes(demo *d, job *j)
{
    int again = 0;

    for (size_t i = 0; i < j->submitted; i++) {
        report_row *row = &j->report.rows[i];
        int os_pid = atomic_exchange(&row->crashed_pid, 0);
        if (os_pid == 0)
            continue;
        if (victims_have(&j->victims, os_pid) && !interrupted()) {
            submit_one(d, j, row);
            again++;
        } else {
            char problem[sizeof row->problem];
            memcpy(problem, row->problem, sizeof problem);
            report_fill_error(row, MU_ECRASHED, problem);
            atomic_fetch_add(&j->done, 1);
        }
    }
    return again;
}

/* Between two steps: kills who is due, and tells how far the job is. */
static void progress(demo *d, job *j, int64_t begun)
{
    size_t done = atomic_load(&j->done), all = j->files.n;
    double share = all ? (double)done / (double)all : 1.0;
    double seconds = (double)(mu_now(d->system) - begun) / 1e9;
    double rate = (double)done / seconds;
    screen_bar_text bar;

    victims_look(&j->victims, d, share);
    screen_status(&d->screen,
                  "  " ACCENT "%s" END "│ %zu of %zu  " DIM "%.0f files/s, %.1f s left" END,
                  screen_bar(&bar, share, d->screen.width - 46), done, all, rate,
                  rate > 0 ? (double)(all - done) / rate : 0.0);
}

json_t *job_json(const job *j)
{
    return json_pack("{s:s?, s:f, s:o, s:i, s:o}", "directory", j->directory, "seconds",
                     (double)j->took_ns / 1e9, "report", report_json(&j->report), "kills_wanted",
                     j->victims.wanted, "kills", victims_json(&j->victims));
}

void job_free(job *j)
{
    report_free(&j->report);
    files_free(&j->files);
}
