/*
 * Pools in a system in strict mode: the numbers that a user is told are those of his own pid
 * namespace, whatever the warden counts with, and everything else is as ever.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <muster/tracking.h>

#include "pool_rig.h"

static void strict_start(pool_rig *rig, int size)
{
    mu_system_options system = MU_SYSTEM_OPTIONS_INIT;
    system.strict = true;
    *rig = (pool_rig){.options = MU_POOL_OPTIONS_INIT, .error = MU_ERROR_INIT};
    rig->options.size = size;
    rig->options.start_method = rig_start_method();
    rig->options.python_path = "/usr/bin/python3";
    rig->options.startup_timeout_ms = RIG_STARTUP_MS;
    rig->options.queue_timeout_ms = RIG_STARTUP_MS;
    mu_err err = mu_system_start(&system, &rig->system, &rig->error);
    mu_check_msg(err == MU_OK, "%s", rig->error.message);
    err = rig_open(rig);
    mu_check_msg(err == MU_OK, "%s\n%s", rig->error.message,
                 rig->error.detail ? rig->error.detail : "");
}

/* The process with that number here is the worker, and the worker knows itself by another. */
static void check_worker(pool_rig *rig, int index)
{
    char path[64], text[4096], *json = NULL, expected[64];
    int pid = rig_worker(rig, index).os_pid, here = 0, there = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/status", pid);
    FILE *file = fopen(path, "re");
    mu_check_msg(file != NULL, "%s", path);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    (void)fclose(file);
    const char *numbers = strstr(text, "\nNSpid:");
    mu_check(numbers != NULL);
    mu_check_eq(sscanf(numbers, "\nNSpid: %d %d", &here, &there), 2);
    mu_check_eq(here, pid);
    mu_check_ok(mu_pool_execute_json(rig->pool, "ping", "null", NULL, &json, &rig->error));
    (void)snprintf(expected, sizeof expected, "\"pid\": %d}", there);
    mu_check_contains(json, expected);
    free(json);
}

MU_TEST(strict, workers_serve_and_have_numbers_that_mean_them_here)
{
    pool_rig rig;
    strict_start(&rig, 1);
    check_worker(&rig, 0);
    int before = rig_worker(&rig, 0).os_pid;
    mu_check_eq(kill(before, SIGKILL), 0);
    mu_wait_until(rig_worker(&rig, 0).os_pid != before && rig_run(&rig, "ping") == MU_OK, 20000);
    check_worker(&rig, 0);
    rig_stop(&rig);
    mu_check_eq(kill(before, 0), -1);
}

MU_TEST(strict, a_worker_that_hangs_is_killed_and_replaced)
{
    pool_rig rig;
    strict_start(&rig, 1);
    mu_execute_options options = MU_EXECUTE_OPTIONS_INIT;
    options.execution_timeout_ms = 200;
    int before = rig_worker(&rig, 0).os_pid;
    mu_check_err(rig_ask(&rig, "hang", NULL, &options, NULL), MU_EEXEC_TIMEOUT);
    mu_wait_until(rig_worker(&rig, 0).os_pid != before && rig_run(&rig, "ping") == MU_OK, 20000);
    mu_wait_until(kill(before, 0) != 0, 20000);
    rig_stop(&rig);
}

MU_TEST(strict, a_warden_that_is_killed_is_replaced_by_another_strict_one)
{
    pool_rig rig;
    char path[64], text[64] = "";
    strict_start(&rig, 1);
    int before = rig_worker(&rig, 0).os_pid;
    /* The parent of a worker is the warden. */
    int warden = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/stat", before);
    FILE *file = fopen(path, "re");
    mu_check(file != NULL);
    mu_check_eq(fscanf(file, "%*d (%63[^)]) %*c %d", text, &warden), 2);
    (void)fclose(file);
    mu_check_eq(kill(warden, SIGKILL), 0);
    mu_wait_until(rig_worker(&rig, 0).os_pid != before && rig_run(&rig, "ping") == MU_OK, 20000);
    check_worker(&rig, 0);
    rig_stop(&rig);
}
