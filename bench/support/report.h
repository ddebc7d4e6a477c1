/*
 * support/report.h - what a benchmark found: rows, as a table or as JSON.
 *
 * All benchmarks share one form. A row is a value beside its floor - what the machine itself can
 * do, measured in the same run without libmuster - because only their ratio can be compared between
 * runs and machines. Where there is a budget for the ratio the row says whether it holds.
 *
 *     bench_report *report = bench_report_new("roundtrip", &options);
 *     bench_report_version(report, "python", "3.11.2");
 *     bench_report_section(report, "one CPU");
 *     bench_report_row(report, &(bench_row){.name = "execute p50", .unit = "us", .value = 5.2,
 *                                           .floor = 4.6, .at_most = 1.25});
 *     bench_report_end(&report);
 *
 * A table's rows are printed as they come, the JSON object at the end: {"bench", "machine",
 * "versions", "rows": [{"name", "value", "unit", "floor", "ratio", "budget", "ok"}]}.
 *
 * Thread-safety: none. Ownership: all texts are copied. Out of memory ends the process.
 */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include <stdbool.h>

#include "support/options.h"

typedef struct bench_report bench_report;

/* Zero-initialise; at most one of at_most and at_least is set. */
typedef struct bench_row {
    const char *name; /* within its section */
    const char *unit; /* "us", "ms", "1/s", "%" */
    double value;
    double floor;    /* 0: nothing to compare with on this machine; then there is no ratio */
    double at_most;  /* budget of value / floor where less is better; 0: none */
    double at_least; /* budget of value / floor where more is better; 0: none */
    bool unlisted; /* not in the table: the benchmark prints one of its own, by bench_report_line */
} bench_row;

bench_report *bench_report_new(const char *bench, const bench_options *options);

/* A program or library that took part. Before the first row. */
void bench_report_version(bench_report *report, const char *name, const char *version);

/* The rows that follow belong together; in JSON the section stands before their names. */
void bench_report_section(bench_report *report, const char *title);

void bench_report_row(bench_report *report, const bench_row *row);

/* A line of the table, without its end; nothing where JSON was asked for. */
void bench_report_line(bench_report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Prints what has not been printed yet, and frees. */
void bench_report_end(bench_report **take_report);

/* One line to stderr, "bench_NAME: …", and exit status 1: a benchmark that cannot measure ends. */
void bench_die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif
