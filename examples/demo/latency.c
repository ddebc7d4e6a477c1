/* latency: act 4, first half, a thousand requests at once. Called by main. */
#include "latency.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <muster/timer.h>

#include "gate.h"
#include "interrupt.h"

#define ROWS_MAX 14

/* One request. */
typedef struct shot {
    struct volley *volley;
    int64_t begun, ended, executed;
    mu_err err;
} shot;

/* All of them, for as long as they are under way. */
typedef struct volley {
    gate gate;
    mu_system *system;
    account *account;
    shot shots[LATENCY_REQUESTS];
} volley;

/* Runs in a thread of the pool, once per request. */
static void one_done(void *ctx, const mu_outcome *outcome)
{
    shot *one = ctx;

    one->ended = mu_now(one->volley->system);
    one->executed = outcome->executed_ns;
    one->err = outcome->err;
    account_outcome(one->volley->account, outcome->err);
    gate_leave(&one->volley->gate);
}

static void fire(demo *d, volley *v)
{
    for (int i = 0; i < LATENCY_REQUESTS; i++) {
        shot *one = &v->shots[i];
        one->volley = v;
        one->begun = mu_now(d->system);
        gate_enter(&v->gate);
        one->err = MU_OK;
        mu_err err = mu_pool_submit(d->pool, "ping", NULL, NULL, one_done, one, NULL);
        if (err != MU_OK) {
            one->ended = one->begun;
            one->err = err;
            account_outcome(v->account, err);
            gate_leave(&v->gate);
        }
    }
    while (!gate_wait(&v->gate, 0, 1000))
        ;
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

/* Sorts and looks; the nearest rank, as a thousand values need no interpolation. */
static latency_figures figures_of(int64_t *values, int n)
{
    if (n == 0)
        return (latency_figures){0, 0, 0, 0};
    qsort(values, (size_t)n, sizeof *values, by_size);
    return (latency_figures){values[(n - 1) / 2], values[(n - 1) * 9 / 10],
                             values[(n - 1) * 99 / 100], values[n - 1]};
}

bool latency_run(demo *d, latency *l)
{
    static volley v; /* too large for a stack, and gone before the next */
    static int64_t executed[LATENCY_REQUESTS];
    int64_t last = 0;

    gate_init(&v.gate);
    v.system = d->system;
    v.account = &d->account;
    fire(d, &v);
    l->answered = 0;
    for (int i = 0; i < LATENCY_REQUESTS; i++) {
        if (v.shots[i].ended > last)
            last = v.shots[i].ended;
        if (v.shots[i].err != MU_OK)
            continue;
        executed[l->answered] = v.shots[i].executed;
        l->total_ns[l->answered++] = v.shots[i].ended - v.shots[i].begun;
    }
    l->took_ns = last - v.shots[0].begun;
    l->total = figures_of(l->total_ns, l->answered);
    l->executed = figures_of(executed, l->answered);
    gate_deinit(&v.gate);
    if (interrupted())
        return false;
    account_check(&d->account, l->answered == LATENCY_REQUESTS,
                  "each of %d concurrent requests was answered", LATENCY_REQUESTS);
    return true;
}

/* The smallest step of 1, 2, 5, 10, ... times 10 us that covers `max` in ROWS_MAX rows. */
static int64_t step_for(int64_t max)
{
    static const int factors[] = {1, 2, 5};
    int64_t unit = 10000;

    for (int i = 0;; i++) {
        if (unit * factors[i % 3] * ROWS_MAX > max)
            return unit * factors[i % 3];
        if (i % 3 == 2)
            unit *= 10;
    }
}

static void print_histogram(demo *d, const latency *l)
{
    int64_t step = step_for(l->total.max);
    int counts[ROWS_MAX] = {0}, most = 1, rows = (int)(l->total.max / step) + 1;

    for (int i = 0; i < l->answered; i++) {
        int row = (int)(l->total_ns[i] / step);
        if (++counts[row] > most)
            most = counts[row];
    }
    for (int i = 0; i < rows; i++) {
        screen_bar_text bar;
        screen_line(&d->screen, "  %7.2f " DIM "to" END " %7.2f ms  " ACCENT "%s" END " %4d",
                    demo_ms(i * step), demo_ms((i + 1) * step),
                    screen_bar(&bar, (double)counts[i] / most, d->screen.width - 36), counts[i]);
    }
}

static void print_figures(demo *d, const char *label, const latency_figures *f)
{
    screen_line(&d->screen, "  %-17s p50 %7.2f  p90 %7.2f  p99 %7.2f  max %7.2f ms", label,
                demo_ms(f->p50), demo_ms(f->p90), demo_ms(f->p99), demo_ms(f->max));
}

void latency_print(demo *d, const latency *l)
{
    print_histogram(d, l);
    screen_line(&d->screen, "%s", "");
    print_figures(d, "to their callers", &l->total);
    print_figures(d, "in the workers", &l->executed);
    screen_line(&d->screen,
                "  " DIM "%d submitted at once; all answered after %.1f ms, %.0f requests/s" END,
                LATENCY_REQUESTS, demo_ms(l->took_ns), l->answered / ((double)l->took_ns / 1e9));
}

static json_t *figures_json(const latency_figures *f)
{
    return json_pack("{s:f, s:f, s:f, s:f}", "p50_ms", demo_ms(f->p50), "p90_ms", demo_ms(f->p90),
                     "p99_ms", demo_ms(f->p99), "max_ms", demo_ms(f->max));
}

json_t *latency_json(const latency *l)
{
    return json_pack("{s:i, s:i, s:f, s:o, s:o}", "requests", LATENCY_REQUESTS, "answered",
                     l->answered, "all_answered_ms", demo_ms(l->took_ns), "latency",
                     figures_json(&l->total), "execution", figures_json(&l->executed));
}
