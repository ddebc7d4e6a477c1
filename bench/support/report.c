/*
 * support/report: see report.h. Called by the benchmarks' mains; it calls jansson and stdio.
 */
#include "support/report.h"

#include <errno.h>
#include <jansson.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <muster/version.h>

/* Work of others beside the benchmark, in processors, from which figures are not to be trusted. */
#define LOUD 0.3

struct bench_report {
    char bench[32];
    char section[96];
    bool json;
    bool head_printed, section_printed;
    bool missed;
    json_t *machine, *versions, *rows;
};

/* ---- the machine ------------------------------------------------------------------------------
 */

static void cpu_model(char *model, size_t size)
{
    char line[256];
    snprintf(model, size, "unknown");
    FILE *file = fopen("/proc/cpuinfo", "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        const char *colon = strstr(line, ": ");
        if (colon != NULL && strncmp(line, "model name", 10) == 0) {
            snprintf(model, size, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
            break;
        }
    }
    if (file != NULL)
        fclose(file);
}

static json_t *machine(void)
{
    char model[128], kernel[sizeof(struct utsname)];
    struct utsname name;
    cpu_set_t usable;
    double load = 0;
    cpu_model(model, sizeof model);
    uname(&name);
    snprintf(kernel, sizeof kernel, "%s %s %s", name.sysname, name.release, name.machine);
    int cpus = sched_getaffinity(0, sizeof usable, &usable) == 0 ? CPU_COUNT(&usable) : 1;
    if (getloadavg(&load, 1) != 1)
        load = 0;
    return json_pack("{s:s, s:i, s:s, s:f}", "cpu", model, "cpus", cpus, "kernel", kernel,
                     "load_before", load);
}

/* ---- making -----------------------------------------------------------------------------------
 */

bench_report *bench_report_new(const char *bench, const bench_options *options)
{
    bench_report *report = calloc(1, sizeof *report);
    if (report == NULL)
        bench_die("out of memory");
    snprintf(report->bench, sizeof report->bench, "%s", bench);
    report->json = options->json;
    report->machine = machine();
    report->versions = json_object();
    report->rows = json_array();
    bench_report_version(report, "muster", mu_version());
    bench_report_version(report, "compiler", __VERSION__);
    return report;
}

void bench_report_version(bench_report *report, const char *name, const char *version)
{
    if (json_object_set_new(report->versions, name, json_string(version)) != 0)
        bench_die("the version of %s is no text", name);
}

static void print_head(bench_report *report)
{
    const char *name;
    json_t *version;
    double load = json_number_value(json_object_get(report->machine, "load_before"));
    report->head_printed = true;
    printf("%s on %s, %d processors, %s\n", report->bench,
           json_string_value(json_object_get(report->machine, "cpu")),
           (int)json_integer_value(json_object_get(report->machine, "cpus")),
           json_string_value(json_object_get(report->machine, "kernel")));
    json_object_foreach(report->versions, name, version)
    {
        printf("%s %s  ", name, json_string_value(version));
    }
    printf("\n");
    if (load > LOUD)
        printf("The machine was busy before (load %.2f): do not trust the unpinned figures.\n",
               load);
}

void bench_report_section(bench_report *report, const char *title)
{
    snprintf(report->section, sizeof report->section, "%s", title);
    report->section_printed = false;
}

void bench_report_line(bench_report *report, const char *format, ...)
{
    va_list args;
    if (report->json)
        return;
    if (!report->head_printed)
        print_head(report);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
    fflush(stdout);
}

/* ---- rows -------------------------------------------------------------------------------------
 */

static json_t *number_or_null(double number)
{
    return number > 0 ? json_real(number) : json_null();
}

static void print_row(bench_report *report, const bench_row *row, double ratio, bool ok)
{
    char compared[64], judged[64] = "";
    snprintf(compared, sizeof compared, "%12s", "absent");
    if (ratio > 0)
        snprintf(compared, sizeof compared, "%12.2f %8.2f", row->floor, ratio);
    if (row->at_least > 0)
        snprintf(judged, sizeof judged, "  >= %4.2f %s", row->at_least, ok ? "ok" : "MISSED");
    else if (row->at_most > 0)
        snprintf(judged, sizeof judged, "  <= %4.2f %s", row->at_most, ok ? "ok" : "MISSED");
    if (!report->section_printed)
        bench_report_line(report, "\n%-44s %12s      %12s %8s  %s", report->section, "value",
                          "floor", "ratio", "budget");
    report->section_printed = true;
    bench_report_line(report, "  %-42s %12.2f %-4s %s%s", row->name, row->value, row->unit,
                      compared, judged);
}

void bench_report_row(bench_report *report, const bench_row *row)
{
    char name[256];
    double ratio = row->floor > 0 ? row->value / row->floor : 0;
    double budget = row->at_least > 0 ? row->at_least : row->at_most;
    bool ok = budget <= 0 || ratio <= 0 ||
              (row->at_least > 0 ? ratio >= row->at_least : ratio <= row->at_most);
    snprintf(name, sizeof name, "%s%s%s", report->section, report->section[0] ? ": " : "",
             row->name);
    json_t *entry =
        json_pack("{s:s, s:f, s:s, s:o, s:o, s:o, s:b}", "name", name, "value", row->value, "unit",
                  row->unit, "floor", number_or_null(row->floor), "ratio", number_or_null(ratio),
                  "budget", number_or_null(budget), "ok", ok);
    if (entry == NULL || json_array_append_new(report->rows, entry) != 0)
        bench_die("the row %s cannot be kept", name);
    report->missed |= !ok;
    if (!row->unlisted)
        print_row(report, row, ratio, ok);
}

void bench_report_end(bench_report **take_report)
{
    bench_report *report = *take_report;
    *take_report = NULL;
    if (report->json) {
        json_t *all =
            json_pack("{s:s, s:O, s:O, s:O}", "bench", report->bench, "machine", report->machine,
                      "versions", report->versions, "rows", report->rows);
        if (all == NULL || json_dumpf(all, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) != 0)
            bench_die("the JSON object cannot be written");
        printf("\n");
        json_decref(all);
    } else {
        printf("\n%s\n", report->missed ? "A budget was missed." : "All budgets hold.");
    }
    json_decref(report->machine);
    json_decref(report->versions);
    json_decref(report->rows);
    free(report);
}

void bench_die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fflush(stdout);
    fprintf(stderr, "%s: ", program_invocation_short_name);
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    va_end(args);
    exit(1);
}
