/*
 * support/pool: see pool.h.
 */
#include "support/pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <muster/value.h>

#include "support/exchange.h"

mu_system *bench_system_start(void)
{
    mu_system *system = NULL;
    mu_error error = MU_ERROR_INIT;
    mu_err err = mu_system_start(NULL, &system, &error);
    if (err != MU_OK)
        bench_die("the system does not start: %s: %s", mu_strerror(err), error.message);
    return system;
}

const char *bench_python(void)
{
    const char *chosen = getenv("MUSTER_PYTHON");
    return chosen != NULL && chosen[0] != '\0' ? chosen : "/usr/bin/python3";
}

void bench_python_module(const char *module, char *version, size_t size)
{
    /* A release of msgpack keeps its version as a tuple only. */
    static const char *program = "import sys, importlib as i; m = i.import_module(sys.argv[1]);"
                                 "v = getattr(m, '__version__', None) or m.version;"
                                 "print(v if isinstance(v, str) else '.'.join(map(str, v)))";
    bench_last_line((const char *const[]){bench_python(), "-c", program, module, NULL}, version,
                    size);
}

void bench_python_versions(bench_report *report)
{
    char line[64];
    bench_last_line((const char *const[]){bench_python(), "-c",
                                          "import platform; print(platform.python_version())",
                                          NULL},
                    line, sizeof line);
    if (line[0] == '\0')
        bench_die("%s does not run; MUSTER_PYTHON names another", bench_python());
    bench_report_version(report, "python", line);
    bench_python_module("msgpack", line, sizeof line);
    bench_report_version(report, "msgpack", line[0] != '\0' ? line : "absent");
}

mu_pool *bench_pool_start(mu_system *system, mu_pool_options *options)
{
    mu_pool *pool = NULL;
    mu_error error = MU_ERROR_INIT;
    if (options->executable == NULL)
        options->python_path = bench_python();
    options->min_ready = options->size;
    mu_err err = mu_pool_start(system, options, &pool, &error);
    if (err != MU_OK)
        bench_die("the pool does not start: %s: %s", mu_strerror(err), error.message);
    return pool;
}

size_t bench_pool_pids(mu_pool *pool, pid_t *pids, size_t room)
{
    mu_worker_info *workers = NULL;
    size_t count = 0;
    mu_err err = mu_pool_workers(pool, &workers, &count);
    if (err != MU_OK)
        bench_die("the pool does not tell its workers: %s", mu_strerror(err));
    for (size_t i = 0; i < count && i < room; i++)
        pids[i] = workers[i].os_pid;
    free(workers);
    return count < room ? count : room;
}

bench_command *bench_pool_command(mu_pool *pool)
{
    pid_t pid = 0;
    if (bench_pool_pids(pool, &pid, 1) == 0 || pid == 0)
        bench_die("the pool has no worker");
    return bench_command_of(pid);
}

void bench_pool_step(void *pool, int caller)
{
    mu_value args = MU_VALUE_INIT, result = MU_VALUE_INIT;
    mu_error error = MU_ERROR_INIT;
    (void)caller;
    mu_err err = mu_value_pack(&args, NULL, "{s:i}", "x", BENCH_ECHO_NUMBER);
    if (err == MU_OK)
        err = mu_pool_execute(pool, "echo", &args, NULL, &result, &error);
    if (err != MU_OK)
        bench_die("a request failed: %s: %s", mu_strerror(err), error.message);
    if (mu_value_int(&result, "x", 0) != BENCH_ECHO_NUMBER)
        bench_die("a worker answered something else than it was asked");
    mu_value_clear(&args);
    mu_value_clear(&result);
}
