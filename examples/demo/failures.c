/* failures: act 4, second half, three requests that go wrong. Called by main. */
#include "failures.h"

#include <stdio.h>
#include <string.h>
#include <muster/timer.h>

#include "interrupt.h"

#define WHOLE_WITHIN_MS 10000

/* The three, with what each caller must hear. Their arguments are JSON, which is shown as it is. */
static const struct {
    const char *what, *command, *args;
    int64_t timeout_ms;
    mu_err expected;
} requests[FAILURES] = {
    {"hanging", "hang", "{\"how\": \"busy\"}", 500, MU_EEXEC_TIMEOUT},
    {"crashing", "crash", "{\"how\": \"segv\"}", 0, MU_ECRASHED},
    {"raising", "raise", "{\"type\": \"KeyError\", \"message\": \"no such row\"}", 0, MU_EWORKER},
};

static void await_replacements(demo *d, failures *f);

static bool fail(demo *d, int which, failure *f)
{
    mu_execute_options options = MU_EXECUTE_OPTIONS_INIT;
    mu_value args = MU_VALUE_INIT, answer = MU_VALUE_INIT;
    mu_error error = MU_ERROR_INIT;
    int64_t begun = mu_now(d->system);
    const char *text = requests[which].args;

    f->what = requests[which].what;
    f->request = requests[which].command;
    f->expected = requests[which].expected;
    options.execution_timeout_ms = requests[which].timeout_ms;
    if (mu_value_from_json(text, strlen(text), &args, &error) == MU_OK)
        f->err = account_execute(&d->account, d->pool, requests[which].command, &args, &options,
                                 &answer, &error);
    f->took_ns = mu_now(d->system) - begun;
    memcpy(f->worker, error.worker, sizeof f->worker);
    memcpy(f->type, error.type, sizeof f->type);
    memcpy(f->message, error.message, sizeof f->message);
    mu_error_clear(&error);
    mu_value_clear(&args);
    mu_value_clear(&answer);
    return f->err == f->expected;
}

bool failures_run(demo *d, failures *f)
{
    bool good = true;

    for (int i = 0; i < FAILURES; i++)
        good = fail(d, i, &f->list[i]) && good;
    if (interrupted())
        return false;
    account_check(&d->account, good,
                  "the hanging, the crashing and the raising request got their errors");
    await_replacements(d, f);
    return !interrupted();
}

static void await_replacements(demo *d, failures *f)
{
    int64_t begun = mu_now(d->system), patience = WHOLE_WITHIN_MS * INT64_C(1000000);
    mu_pool_stats stats;

    do {
        mu_pool_stats_get(d->pool, &stats);
        f->available = stats.available;
        f->whole_ns = mu_now(d->system) - begun;
    } while (f->available < d->options.workers && f->whole_ns < patience && !interrupted() &&
             mu_sleep(1) == MU_OK);
    if (!interrupted())
        account_check(&d->account, f->available == d->options.workers,
                      "%d of %d workers are there again", f->available, d->options.workers);
}

void failures_print(demo *d, const failures *f)
{
    char text[sizeof f->list[0].type + sizeof f->list[0].message + 3];

    for (int i = 0; i < FAILURES; i++) {
        const failure *one = &f->list[i];
        screen_line(&d->screen, "  %-10s" BOLD "%s" END " " DIM "%s" END, one->what, one->request,
                    requests[i].args);
        screen_line(&d->screen, "            " WARN "%s" END " after %.1f ms  " DIM "%s" END,
                    mu_err_name(one->err), demo_ms(one->took_ns), one->worker);
        snprintf(text, sizeof text, "%s%s%s", one->type, one->type[0] ? ": " : "", one->message);
        screen_text(&d->screen, "            ", text);
    }
    screen_line(&d->screen, "  " DIM "%d of %d workers available again after %.1f ms more" END,
                f->available, d->options.workers, demo_ms(f->whole_ns));
}

json_t *failures_json(const failures *f)
{
    json_t *list = json_array();

    for (int i = 0; i < FAILURES; i++) {
        const failure *one = &f->list[i];
        json_array_append_new(list, json_pack("{s:s?, s:s, s:s, s:s?, s:s?, s:s?, s:f}", "request",
                                              one->request, "expected", mu_err_name(one->expected),
                                              "error", mu_err_name(one->err), "worker", one->worker,
                                              "type", one->type, "message", one->message, "ms",
                                              demo_ms(one->took_ns)));
    }
    return list;
}
