/*
 * pool_demo: a pool of Python workers, from its start to the proof that nothing is left of it.
 *
 * Six acts, made of the nouns in demo/:
 *
 *     1 start       workers in parallel, with the sequential start measured beside it
 *     2 hello       the supervision tree; two first requests
 *     3 job         every file of Python's standard library is analysed ...
 *       victims     ... while busy workers are killed
 *     4 latency     a thousand requests at once
 *       failures    a hanging, a crashing and a raising request
 *     5 summary     what the pool counted
 *       report      what the job found
 *     6 leftovers   the stop, and what it left
 *
 * Whatever they promise is written down in an account; if all of it held the exit status is 0.
 * Ctrl-C stops the pool at any point; the acts see that and leave the rest to the same end.
 */
#include <stdio.h>
#include <muster/version.h>

#include "demo/demo.h"
#include "demo/failures.h"
#include "demo/hello.h"
#include "demo/interrupt.h"
#include "demo/job.h"
#include "demo/latency.h"
#include "demo/leftovers.h"
#include "demo/start.h"
#include "demo/summary.h"

enum { ACCOUNTED = 0, UNACCOUNTED = 1, NOT_STARTED = 2, SIGNALLED = 128 };

/* What the acts found; each is empty until its act has run. */
typedef struct findings {
    start start;
    hello hello;
    job job;
    latency latency;
    failures failures;
    summary summary;
    leftovers leftovers;
} findings;

static bool set_up(demo *d);
static bool begin(demo *d, findings *f);
static bool play(demo *d, findings *f);
static void finish(demo *d, const findings *f);
static int verdict(demo *d, const findings *f, bool complete);
static void print_json(const demo *d, const findings *f, bool complete);

int main(int argc, char **argv)
{
    static demo d;
    static findings f;
    options_verdict options = options_read(argc, argv, &d.options);
    bool begun, complete;
    int status = NOT_STARTED;

    if (options != OPTIONS_RUN)
        return options == OPTIONS_HELP ? ACCOUNTED : NOT_STARTED;
    if (!set_up(&d))
        return NOT_STARTED;
    begun = begin(&d, &f);
    complete = begun && !interrupted() && play(&d, &f);
    leftovers_stop(&d, &f.leftovers);
    if (begun) {
        finish(&d, &f);
        status = verdict(&d, &f, complete);
    }
    if (begun && d.options.json)
        print_json(&d, &f, complete);
    start_free(&f.start);
    hello_free(&f.hello);
    job_free(&f.job);
    interrupt_end();
    return status;
}

/* The screen, Ctrl-C and the system: what every act needs. */
static bool set_up(demo *d)
{
    screen_level level = d->options.quiet ? SCREEN_VERDICT : SCREEN_ALL;
    mu_error error = MU_ERROR_INIT;

    screen_open(&d->screen, d->options.json ? SCREEN_NOTHING : level, d->options.no_color);
    pthread_mutex_init(&d->stopping, NULL);
    if (interrupt_watch(demo_break_off, d) && mu_system_start(NULL, &d->system, &error) == MU_OK)
        return true;
    fprintf(stderr, "pool_demo: cannot start muster: %s\n", error.message);
    mu_error_clear(&error);
    return false;
}

/* Act 1. False: there is no pool to go on with. */
static bool begin(demo *d, findings *f)
{
    const char *how = d->options.sequential ? "one by one" : "in parallel";

    screen_line(&d->screen, BOLD "muster %s" END DIM " · pool demo · run %s" END, mu_version(),
                mu_system_run_id(d->system));
    screen_title(&d->screen, 1, "%d workers start %s", d->options.workers, how);
    if (!start_run(d, &f->start))
        return false;
    if (d->pool)
        start_print(d, &f->start);
    return true;
}

/* Acts 2 to 6, up to the stop. False if it was interrupted on the way, or an act could not run. */
static bool play(demo *d, findings *f)
{
    screen_title(&d->screen, 2, "The tree, and two requests");
    if (!hello_run(d, &f->hello))
        return false;
    hello_print(d, &f->hello);

    screen_title(&d->screen, 3, "A real job%s",
                 d->options.kill ? ", while workers are killed" : "");
    if (!job_run(d, &f->job))
        return false;
    job_print(d, &f->job);

    screen_title(&d->screen, 4, "%d requests at once, and three that go wrong", LATENCY_REQUESTS);
    if (!latency_run(d, &f->latency))
        return false;
    latency_print(d, &f->latency);

    screen_line(&d->screen, "%s", "");
    if (!failures_run(d, &f->failures))
        return false;
    failures_print(d, &f->failures);

    screen_title(&d->screen, 5, "What was counted, and what was found");
    summary_run(d, &f->summary);
    summary_print(d, &f->summary);
    screen_line(&d->screen, "%s", "");
    report_print_top(&f->job.report, &d->screen);
    return !interrupted();
}

/* Act 6, on every way out. */
static void finish(demo *d, const findings *f)
{
    screen_title(&d->screen, 6, "The stop, and what is left");
    leftovers_print(d, &f->leftovers);
    screen_line(&d->screen, "%s", "");
}

static int verdict(demo *d, const findings *f, bool complete)
{
    bool holds = account_holds(&d->account);
    int signal_number = interrupted();

    account_print(&d->account, &d->screen);
    screen_line(&d->screen, "%s", "");
    if (!holds || (!complete && !signal_number)) {
        screen_verdict(&d->screen, BAD "✗" END " not everything was accounted for");
        return UNACCOUNTED;
    }
    if (!complete) {
        screen_verdict(&d->screen, WARN "interrupted" END ": stopped in order, no process is left");
        return SIGNALLED + signal_number;
    }
    screen_verdict(&d->screen,
                   GOOD "✓" END " %llu requests, %zu files, %d workers killed: every outcome was "
                        "accounted for",
                   (unsigned long long)f->summary.stats.requests, f->job.files.n,
                   f->job.victims.killed);
    return ACCOUNTED;
}

static void print_json(const demo *d, const findings *f, bool complete)
{
    json_t *object = json_pack(
        "{s:s, s:i, s:b, s:I, s:b, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "muster",
        mu_version(), "workers", d->options.workers, "sequential", (int)d->options.sequential,
        "seed", (json_int_t)d->options.seed, "complete", (int)complete, "accounted",
        (int)(complete && account_holds(&d->account)), "promises", account_json(&d->account),
        "start", start_json(&f->start), "hello", hello_json(&f->hello), "job", job_json(&f->job),
        "latency", latency_json(&f->latency), "failures", failures_json(&f->failures), "stats",
        summary_json(&f->summary), "leftovers", leftovers_json(&f->leftovers));

    json_dumpf(object, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(object);
}
