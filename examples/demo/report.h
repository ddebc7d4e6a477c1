/*
 * demo/report.h - act 5, second half, what the job found out: one row per file.
 *
 * Rows are there before the job begins, one for each file, and each is filled by the callback of
 * its request. So "exactly once" can be looked at: a row that was filled never, or twice, shows.
 *
 *     report_init(&report, &files);
 *     report_fill(&report.rows[i], outcome);        in the callback
 *     report_sum(&report);                          when all is done
 *     report_print_top(&report, &screen);
 *
 * Thread-safety: rows are filled from any threads, each by one; the rest is for main's thread, once
 * no request is under way. Ownership: paths are borrowed from the list of files.
 */
#ifndef DEMO_REPORT_H
#define DEMO_REPORT_H

#include <jansson.h>
#include <stdatomic.h>
#include <muster/pool.h>

#include "files.h"
#include "screen.h"

#define TOP 10

struct job;

typedef struct report_row {
    struct job *job; /* for the callback; the report does not look at it */
    const char *path;
    atomic_int filled;      /* how often; must end as 1 */
    atomic_int crashed_pid; /* it is not filled yet: its last worker, this one, has died */
    mu_err err;
    char problem[160]; /* what was wrong with the file, "" if nothing was */
    int64_t bytes, lines, functions, classes, depth;
    int64_t longest; /* lines of the longest function, 0 if it has none */
    int64_t longest_line;
    char longest_name[64];
} report_row;

typedef struct report {
    size_t root; /* length of the directory's name in front of each path */
    report_row *rows;
    size_t n_rows;
    /* what report_sum makes */
    size_t once;     /* rows filled exactly once */
    size_t analysed; /* with figures */
    size_t refused;  /* no Python, unreadable, deadly for its workers, ... */
    size_t lost;     /* with neither: the pool could not get them done */
    int64_t bytes, lines, functions, classes, depth;
    const report_row *top[TOP]; /* those with the longest functions, the longest first */
    size_t n_top;
} report;

/* False if memory is short. */
bool report_init(report *r, const files *f, const char *directory);
void report_free(report *r);

/* From the outcome of the row's request. */
void report_fill(report_row *row, const mu_outcome *outcome);

/* For a file that could not even be asked about. */
void report_fill_error(report_row *row, mu_err err, const char *problem);

void report_sum(report *r);

void report_print(const report *r, screen *s);
void report_print_top(const report *r, screen *s);
json_t *report_json(const report *r);

#endif
