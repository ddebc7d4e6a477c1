/*
 * roundtrip: what a request costs
 *
 * mu_pool_execute with a tiny map, encoding and decoding included, beside the bare write/read loop
 * over the same kind of pipes with the same worker; one caller on one worker and eight on eight;
 * with a Python worker and with one in C, which makes the host's own share visible; and the SDK's
 * loop beside the least that a Python worker can do. Everything twice: with host and workers on one
 * processor, and free to move. The two regimes differ by what a wake costs and are never mixed.
 *
 * bench/README.md says how to read the rows. The floor is in support/exchange.c.
 */
#include <stdio.h>

#include "support/bare.h"
#include "support/load.h"
#include "support/options.h"
#include "support/pool.h"
#include "support/report.h"

#define WORKERS 8

/* The budgets: value over floor. */
#define EXECUTE_P50 1.25 /* execute, 1 caller */
#define EIGHT_RATE  1.0  /* 8 callers on 8 workers, at least */
#define SDK_LOOP    1.3  /* the SDK's worker loop */

static const char about[] =
    "Round trips: mu_pool_execute beside a bare write/read loop with the same worker, and the\n"
    "Python SDK's loop beside a minimal one; on one processor, and unpinned.\n";

typedef struct kind {
    const char *name;
    const char *executable; /* NULL: the bundled general worker under Python */
} kind;

static const kind kinds[] = {
    {"Python worker", NULL},
    {"C worker", BENCH_ECHO_WORKER},
};

/* ---- comparing --------------------------------------------------------------------------------
 */

static void compare(const bench_options *options, const bench_load *floor, const bench_load *value,
                    bench_comparison *ret_found)
{
    bench_compare(floor, value, bench_effort_of(options, 1, 9, 25),
                  bench_effort_of(options, 2, 60, 200), ret_found);
}

/* One row; the budget is at least or at most, as more or less is better. */
static void row(bench_report *report, const char *what, const char *figure, const char *unit,
                bench_pair found, double at_most, double at_least)
{
    char name[96];
    snprintf(name, sizeof name, "%s: %s", what, figure);
    bench_report_row(report, &(bench_row){.name = name,
                                          .unit = unit,
                                          .value = found.value,
                                          .floor = found.floor,
                                          .at_most = at_most,
                                          .at_least = at_least});
}

/* mu_pool_execute by `callers` on as many workers, beside as many bare loops. */
static void measure_execute(bench_report *report, const bench_options *options, mu_system *system,
                            const kind *worker, int callers)
{
    static bench_bare bare;
    bench_comparison found;
    char what[64];
    mu_pool_options pool_options = MU_POOL_OPTIONS_INIT;
    pool_options.size = callers;
    pool_options.executable = worker->executable;
    mu_pool *pool = bench_pool_start(system, &pool_options);
    bench_command *command = bench_pool_command(pool);
    bench_bare_start(&bare, command, callers);

    bench_load floor = {.callers = callers, .step = bench_bare_step, .ctx = &bare};
    bench_load value = {.callers = callers, .step = bench_pool_step, .ctx = pool};
    compare(options, &floor, &value, &found);
    snprintf(what, sizeof what, "execute, %d caller%s", callers, callers == 1 ? "" : "s");
    row(report, what, "p50", "us", found.p50, callers == 1 ? EXECUTE_P50 : 0, 0);
    row(report, what, "p99", "us", found.p99, 0, 0);
    row(report, what, "rate", "1/s", found.rate, 0, callers == 1 ? 0 : EIGHT_RATE);

    bench_bare_stop(&bare);
    bench_command_free(command);
    mu_pool_free(&pool);
}

/* The SDK's loop beside the minimal one, both driven by the bare loop. */
static void measure_sdk(bench_report *report, const bench_options *options, mu_system *system)
{
    static bench_bare sdk, minimal;
    bench_comparison found;
    mu_pool_options pool_options = MU_POOL_OPTIONS_INIT;
    pool_options.size = 1;
    mu_pool *pool = bench_pool_start(system, &pool_options);
    bench_command *sdk_command = bench_pool_command(pool);
    const char *const loop[] = {bench_python(), BENCH_WORKERS "/minimal_loop.py", NULL};
    bench_command *minimal_command = bench_command_like(sdk_command, loop);
    mu_pool_free(&pool);
    bench_bare_start(&sdk, sdk_command, 1);
    bench_bare_start(&minimal, minimal_command, 1);

    bench_load floor = {.callers = 1, .step = bench_bare_step, .ctx = &minimal};
    bench_load value = {.callers = 1, .step = bench_bare_step, .ctx = &sdk};
    compare(options, &floor, &value, &found);
    row(report, "SDK loop, bare caller", "p50", "us", found.p50, SDK_LOOP, 0);
    row(report, "SDK loop, bare caller", "p99", "us", found.p99, 0, 0);
    row(report, "SDK loop, bare caller", "rate", "1/s", found.rate, 0, 0);

    bench_bare_stop(&sdk);
    bench_bare_stop(&minimal);
    bench_command_free(sdk_command);
    bench_command_free(minimal_command);
}

/* ---- the regimes ------------------------------------------------------------------------------
 */

static void measure_regime(bench_report *report, const bench_options *options, bool one_cpu)
{
    static const int callers[] = {1, WORKERS};
    const char *regime = one_cpu ? "one CPU" : "unpinned";
    char section[64], msgpack[32];
    /* Before the system starts: its threads, the warden and the workers inherit it. */
    bench_pin(one_cpu);
    mu_system *system = bench_system_start();
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        snprintf(section, sizeof section, "%s, %s", regime, kinds[k].name);
        if (!bench_wanted(options, section))
            continue;
        bench_report_section(report, section);
        for (size_t i = 0; i < sizeof callers / sizeof callers[0]; i++)
            measure_execute(report, options, system, &kinds[k], callers[i]);
    }
    snprintf(section, sizeof section, "%s, worker loop", regime);
    bench_python_module("msgpack", msgpack, sizeof msgpack);
    if (msgpack[0] != '\0' && bench_wanted(options, section)) {
        bench_report_section(report, section);
        measure_sdk(report, options, system);
    }
    mu_system_stop(&system);
}

int main(int argc, char **argv)
{
    bench_options options;
    bench_options_parse(&options, argc, argv, about);
    bench_report *report = bench_report_new("roundtrip", &options);
    bench_python_versions(report);
    measure_regime(report, &options, true);
    measure_regime(report, &options, false);
    bench_options_end(&options);
    bench_report_end(&report);
    return 0;
}
