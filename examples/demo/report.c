/* report: what the job found out, one row per file. Called by the job and by main. */
#include "report.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool report_init(report *r, const files *f, const char *directory)
{
    memset(r, 0, sizeof *r);
    r->root = strlen(directory) + 1;
    r->rows = calloc(f->n ? f->n : 1, sizeof *r->rows);
    if (!r->rows)
        return false;
    r->n_rows = f->n;
    for (size_t i = 0; i < f->n; i++)
        r->rows[i].path = f->paths[i];
    return true;
}

void report_free(report *r)
{
    free(r->rows);
    r->rows = NULL;
}

void report_fill(report_row *row, const mu_outcome *outcome)
{
    const mu_value *v = outcome->result;

    if (outcome->err != MU_OK) {
        char problem[sizeof row->problem];
        snprintf(problem, sizeof problem, "%s%s%s", outcome->error->type,
                 outcome->error->type[0] ? ": " : "", outcome->error->message);
        report_fill_error(row, outcome->err, problem);
        return;
    }
    row->bytes = mu_value_int(v, "bytes", 0);
    row->lines = mu_value_int(v, "lines", 0);
    row->functions = mu_value_int(v, "functions", 0);
    row->classes = mu_value_int(v, "classes", 0);
    row->depth = mu_value_int(v, "deepest_nesting", 0);
    row->longest = mu_value_int(v, "longest_function.lines", 0);
    row->longest_line = mu_value_int(v, "longest_function.line", 0);
    snprintf(row->longest_name, sizeof row->longest_name, "%s",
             mu_value_str(v, "longest_function.name", ""));
    atomic_fetch_add(&row->filled, 1);
}

void report_fill_error(report_row *row, mu_err err, const char *problem)
{
    row->err = err;
    snprintf(row->problem, sizeof row->problem, "%s", problem);
    atomic_fetch_add(&row->filled, 1);
}

/* Keeps the rows with the longest functions, the longest first. */
static void rank(report *r, const report_row *row)
{
    size_t place = r->n_top;

    while (place > 0 && r->top[place - 1]->longest < row->longest)
        place--;
    if (row->longest == 0 || place == TOP)
        return;
    if (r->n_top < TOP)
        r->n_top++;
    memmove(r->top + place + 1, r->top + place, (r->n_top - 1 - place) * sizeof *r->top);
    r->top[place] = row;
}

void report_sum(report *r)
{
    for (size_t i = 0; i < r->n_rows; i++) {
        const report_row *row = &r->rows[i];
        r->once += atomic_load(&row->filled) == 1;
        r->analysed += row->err == MU_OK && atomic_load(&row->filled) > 0;
        r->refused += row->err == MU_EWORKER || row->err == MU_EDECODE || row->err == MU_ECRASHED;
        r->bytes += row->bytes;
        r->lines += row->lines;
        r->functions += row->functions;
        r->classes += row->classes;
        r->depth = row->depth > r->depth ? row->depth : r->depth;
        rank(r, row);
    }
    r->lost = r->n_rows - r->analysed - r->refused;
}

static const char *short_path(const report *r, const report_row *row)
{
    return row->path + r->root;
}

/* As much of a text as fits into `room` columns: its begin, or its end. */
static const char *cut(char *buffer, size_t size, const char *text, int room, bool keep_end)
{
    int length = (int)strlen(text);

    if (length <= room)
        snprintf(buffer, size, "%s", text);
    else if (keep_end)
        snprintf(buffer, size, "…%s", text + length - room + 1);
    else
        snprintf(buffer, size, "%.*s…", room - 1, text);
    return buffer;
}

static void print_problem(const report *r, screen *s, const report_row *row)
{
    char path[256], problem[256];

    cut(path, sizeof path, short_path(r, row), s->width / 2 - 6, true);
    cut(problem, sizeof problem, row->problem, s->width - 6 - (int)strlen(path), false);
    screen_line(s, "    %s  " DIM "%s" END, path, problem);
}

void report_print(const report *r, screen *s)
{
    int shown = 0;

    screen_line(s,
                "  %zu files, %" PRId64 " lines, %" PRId64 " functions, %" PRId64
                " classes, nested up to %" PRId64 " deep",
                r->n_rows, r->lines, r->functions, r->classes, r->depth);
    if (r->refused == 0)
        return;
    screen_line(s, "  %zu of them could not be analysed, as their workers answered:", r->refused);
    for (size_t i = 0; i < r->n_rows && shown < 3; i++)
        if (r->rows[i].err != MU_OK) {
            print_problem(r, s, &r->rows[i]);
            shown++;
        }
    if (r->refused > 3)
        screen_line(s, "    " DIM "… and %zu more" END, r->refused - 3);
}

void report_print_top(const report *r, screen *s)
{
    screen_line(s, "  " DIM "%5s  %-28s  %s" END, "lines", "longest function", "where");
    for (size_t i = 0; i < r->n_top; i++) {
        const report_row *row = r->top[i];
        char where[PATH_MAX + 32], text[256];
        snprintf(where, sizeof where, "%s:%" PRId64, short_path(r, row), row->longest_line);
        screen_line(s, "  %5" PRId64 "  %-28.28s  %s", row->longest, row->longest_name,
                    cut(text, sizeof text, where, s->width - 40, true));
    }
}

json_t *report_json(const report *r)
{
    json_t *top = json_array(), *refused = json_array();

    for (size_t i = 0; i < r->n_top; i++)
        json_array_append_new(top, json_pack("{s:s?, s:I, s:s, s:I}", "path", r->top[i]->path,
                                             "line", (json_int_t)r->top[i]->longest_line,
                                             "function", r->top[i]->longest_name, "lines",
                                             (json_int_t)r->top[i]->longest));
    for (size_t i = 0; i < r->n_rows; i++)
        if (r->rows[i].err != MU_OK)
            json_array_append_new(refused, json_pack("{s:s?, s:s, s:s?}", "path", r->rows[i].path,
                                                     "error", mu_err_name(r->rows[i].err),
                                                     "problem", r->rows[i].problem));
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "files",
                     (json_int_t)r->n_rows, "reported_once", (json_int_t)r->once, "analysed",
                     (json_int_t)r->analysed, "lines", (json_int_t)r->lines, "bytes",
                     (json_int_t)r->bytes, "functions", (json_int_t)r->functions, "classes",
                     (json_int_t)r->classes, "deepest_nesting", (json_int_t)r->depth, "refused",
                     refused, "top", top);
}
