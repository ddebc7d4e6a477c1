/* chart: the start of a pool as a drawing. Called by the act that starts it. */
#include "chart.h"

#include <stdio.h>
#include <string.h>

#include "demo.h"

#define LABEL  11 /* columns to the left of a bar */
#define FIGURE 24 /* and to its right: "  123.4 ms  pid 1234567" */
#define ROWS   32 /* drawn at most */

#define PHASES 4

/* The phases in their order; each sign also tells without colour. */
static const struct {
    const char *name, *mark, *sign;
} phases[PHASES] = {
    {"spawn", PHASE_1, "░"},
    {"interpreter", PHASE_2, "▒"},
    {"imports", PHASE_3, "▓"},
    {"on_start", PHASE_4, "█"},
};

static void lengths_of(const mu_timeline *t, int64_t lengths[PHASES])
{
    lengths[0] = t->spawn;
    lengths[1] = t->interpreter;
    lengths[2] = t->imports;
    lengths[3] = t->on_start;
}

chart chart_make(screen *s, int64_t begin, int64_t span)
{
    return (chart){s, begin, span > 0 ? span : 1, s->width - LABEL - FIGURE - 3};
}

static int column(const chart *c, int64_t ns)
{
    int at = (int)((double)ns / (double)c->span * c->columns + 0.5);

    return at < 0 ? 0 : at > c->columns ? c->columns : at;
}

/* Blanks up to the begin, then each phase with its sign, then the wait until the host has heard. */
static void draw(const chart *c, const mu_timeline *t, char *at, size_t room)
{
    int64_t lengths[PHASES], now = t->begun - c->begin;
    const char *end = at + room;
    int drawn = column(c, now);

    lengths_of(t, lengths);
    at += snprintf(at, room, "%*s", drawn, "");
    for (int phase = 0; phase < PHASES; phase++) {
        now += lengths[phase];
        at += snprintf(at, (size_t)(end - at), "%s", phases[phase].mark);
        for (; drawn < column(c, now); drawn++)
            at += snprintf(at, (size_t)(end - at), "%s", phases[phase].sign);
    }
    snprintf(at, (size_t)(end - at), END "%*s", c->columns - drawn, "");
}

static void legend(const chart *c, const mu_worker_info *workers, size_t n)
{
    int64_t lengths[PHASES], sums[PHASES] = {0};
    char text[512], *at = text;

    for (size_t i = 0; i < n; i++) {
        lengths_of(&workers[i].timeline, lengths);
        for (int phase = 0; phase < PHASES; phase++)
            sums[phase] += lengths[phase];
    }
    for (int phase = 0; phase < PHASES; phase++) {
        double mean = demo_ms(sums[phase]) / (double)(n ? n : 1);
        at += snprintf(at, (size_t)(text + sizeof text - at), "%s%s" END " %s %.*f  ",
                       phases[phase].mark, phases[phase].sign, phases[phase].name,
                       mean < 100 ? 1 : 0, mean);
    }
    screen_line(c->screen, "  " DIM "%-*s" END "%s", LABEL, "mean, ms", text);
}

void chart_workers(const chart *c, const mu_worker_info *workers, size_t n)
{
    char bar[120 * 4 + 64];

    screen_line(c->screen, "  %*s" DIM "0 ms%*.1f ms" END, LABEL, "", c->columns - 7,
                demo_ms(c->span));
    for (size_t i = 0; i < n && i < ROWS; i++) {
        draw(c, &workers[i].timeline, bar, sizeof bar);
        screen_line(c->screen, "  %-*.*s%s%9.1f ms  " DIM "pid %d" END, LABEL, LABEL - 1,
                    workers[i].id, bar, demo_ms(workers[i].timeline.total), workers[i].os_pid);
    }
    if (n > ROWS)
        screen_line(c->screen, "  " DIM "… and %zu more" END, n - ROWS);
    legend(c, workers, n);
}

void chart_total(const chart *c, const char *label, int64_t ns, const char *note)
{
    screen_bar_text bar;

    screen_line(c->screen, "  %-*s" ACCENT "%s" END "%9.1f ms%s", LABEL, label,
                screen_bar(&bar, (double)ns / (double)c->span, c->columns), demo_ms(ns), note);
}
