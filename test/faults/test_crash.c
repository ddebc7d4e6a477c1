/*
 * Workers that die: in a request, before they are ready, before they exist (C1, C2, C8, C11).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sys.h"
#include "fault_rig.h"
#include "port/warden.h"

/* Milliseconds from the moment that the dying worker wrote down until now. */
static double ms_since_death(const mu_error *error)
{
    long long died = 0;
    const char *note = error->detail ? strstr(error->detail, "dying at ") : NULL;
    mu_check_msg(note && sscanf(note, "dying at %lld", &died) == 1, "the tail is \"%s\"",
                 error->detail ? error->detail : "(null)");
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return ((double)now.tv_sec * 1e9 + (double)now.tv_nsec - (double)died) / 1e6;
}

/* Stops the watch that was started before its request. */
static void check_heard_at_once(const mu_error *error, mu_stopwatch *watch)
{
    double a_ms = ms_since_death(error);
    mu_stopwatch_stop(watch);
    mu_check_msg(a_ms <= BAR_A_MS + (double)watch->still_ms, "its caller heard after %.0f ms",
                 a_ms);
}

static void make_file(const char *path)
{
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    mu_check(fd >= 0);
    close(fd);
}

/* One death beside a worker that goes on; `expected` stands in the error. */
static void die_beside_another(const char *how, int code, const char *expected)
{
    fault_rig rig;
    fault_asker other;
    char directory[] = "/tmp/muster-fault-XXXXXX", path[64];
    mu_check(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/go", directory);
    fault_start(&rig, 2, "misfit.py", NULL);
    fault_ask_aside(&other, &rig, "await_file", NULL, "{s:s}", "path", path);
    mu_worker_info busy = fault_busy_worker(&rig);
    mu_stopwatch request, restart;

    mu_stopwatch_start(&restart);
    mu_stopwatch_start(&request);
    mu_check_err(fault_ask(&rig, "die", 0, NULL, "{s:s, s:i}", "how", how, "code", code),
                 MU_ECRASHED);
    check_heard_at_once(&rig.pool.error, &request);
    mu_check_contains(rig.pool.error.message, expected);
    int victim = strcmp(busy.id, "worker_1") == 0 ? 1 : 0;
    mu_check_str(rig.pool.error.worker, rig_worker(&rig.pool, victim).id);

    /* The other worker is busy: this one is served by the replacement. */
    mu_check_ok(rig_run(&rig.pool, "ping"));
    mu_stopwatch_stop(&restart);
    mu_worker_info replaced = rig_worker(&rig.pool, victim);
    mu_check_eq(replaced.generation, 2u);
    mu_check_eq((int)replaced.error, (int)MU_ECRASHED);
    mu_check_contains(replaced.reason, expected);
    fault_check_restart(&replaced, restart.still_ms);

    make_file(path);
    mu_check_ok(fault_answer(&other));
    mu_check_eq(rig_worker(&rig.pool, 1 - victim).generation, 1u);
    fault_forget(&other);
    unlink(path);
    rmdir(directory);
    fault_close(&rig);
}

MU_TEST(crash, C1_a_worker_killed_by_SIGKILL_in_mid_request_is_named_and_replaced)
{
    die_beside_another("signal", SIGKILL, "killed by SIGKILL");
}

MU_TEST(crash, C1_a_worker_that_segfaults_in_mid_request_is_named_and_replaced)
{
    die_beside_another("signal", SIGSEGV, "killed by SIGSEGV");
}

MU_TEST(crash, C1_the_error_of_a_crash_is_a_dossier_of_it)
{
    fault_rig rig;
    char how_long[32];
    fault_start(&rig, 1, "misfit.py", NULL);
    mu_check_err(
        fault_ask(&rig, "die", 0, NULL, "{s:s, s:i}", "how", "signal", "code", (int)SIGSEGV),
        MU_ECRASHED);
    const mu_error *error = &rig.pool.error;
    mu_check_contains(error->message, "worker_1 (pid ");
    mu_check_contains(error->message, "ended while it ran 'die' for ");
    mu_check_eq(
        sscanf(strstr(error->message, "'die' for "), "'die' for %31[0-9] ms: killed", how_long), 1);
    mu_check_contains(error->message, ": killed by SIGSEGV");
    mu_check_str(error->worker, "worker_1");
    mu_check_eq(error->generation, 1u);
    mu_check_eq(error->attempts, 1);
    mu_check_str(error->command, "die");
    mu_check(error->ran_ns > 0);
    mu_check_eq(error->ending, MU_ENDING_SIGNAL);
    mu_check_str(error->signal, "SIGSEGV");
    mu_check(!error->oom);
    mu_check_contains(error->detail, "dying at "); /* what it had to say */
    mu_check(error->trace != NULL); /* what the interpreter had to say, from its first line on */
    mu_check_eq(strncmp(error->trace, "Fatal Python error: Segmentation fault\n", 39), 0);
    mu_check_contains(error->trace, "in die");
    mu_check(!strstr(error->trace, "dying at "));
    fault_close(&rig);
}

MU_TEST(crash, C1_an_error_names_the_generation_and_how_it_ended_whatever_the_failure)
{
    fault_rig rig;
    const mu_error *error = &rig.pool.error;
    fault_start(&rig, 1, "misfit.py", NULL);
    mu_check_err(fault_ask(&rig, "die", 0, NULL, "{s:s, s:i}", "how", "exit", "code", 3),
                 MU_ECRASHED);
    mu_check_eq(error->ending, MU_ENDING_EXIT);
    mu_check_eq(error->exit_code, 3);
    mu_check_str(error->signal, "");
    int first = error->os_pid;

    mu_check_err(rig_run(&rig.pool, "no_such_command"), MU_EWORKER);
    mu_check_str(error->worker, "worker_1");
    mu_check_eq(error->generation, 2u);
    mu_check(error->os_pid != 0 && error->os_pid != first);
    mu_check_str(error->command, "no_such_command");
    mu_check(error->ran_ns > 0);
    mu_check_eq(error->ending, MU_ENDING_NONE);

    mu_execute_options at_once = MU_EXECUTE_OPTIONS_INIT;
    at_once.queue_timeout_ms = -1;
    mu_pool_pause(rig.pool.pool);
    mu_check_err(rig_ask(&rig.pool, "ping", NULL, &at_once, NULL), MU_EQUEUE_TIMEOUT);
    mu_check_str(error->worker, "");
    mu_check_eq(error->generation, 0u);
    mu_check_eq(error->ran_ns, 0);
    mu_check_str(error->command, "ping");
    mu_check_contains(error->message, "; it is paused");
    fault_close(&rig);
}

/* The only worker's program is gone: who asks is told `err`, and why nobody serves. */
static void ask_without_program(int breaker_threshold, mu_err err)
{
    fault_rig rig;
    char path[64];
    mu_execute_options at_once = MU_EXECUTE_OPTIONS_INIT;
    at_once.queue_timeout_ms = -1;
    (void)snprintf(path, sizeof path, "/tmp/muster-test-worker-%d", (int)getpid());
    mu_check_eq(symlink(MU_TEST_ECHO_WORKER, path), 0);
    fault_prepare(&rig, 1, NULL, NULL);
    rig.pool.options.start_method = MU_START_EXEC;
    rig.pool.options.python_path = NULL;
    rig.pool.options.executable = path;
    rig.pool.options.breaker_threshold = breaker_threshold;
    rig.pool.options.breaker_reset_ms = 3600000;
    fault_open(&rig);
    mu_check_eq(unlink(path), 0);
    fault_kill(rig_worker(&rig.pool, 0).os_pid, SIGKILL);
    mu_wait_until(strstr(rig_worker(&rig.pool, 0).reason, "No such file"), 20000);
    mu_wait_until(rig_ask(&rig.pool, "ping", NULL, &at_once, NULL) == err, 20000);
    mu_check_contains(rig.pool.error.message, "; none serves: worker_1: execve /tmp/muster-test");
    mu_check_contains(rig.pool.error.message, "No such file");
    fault_close(&rig);
}

MU_TEST(crash, C11_who_finds_no_worker_since_none_can_start_is_told_why)
{
    ask_without_program(-1, MU_EQUEUE_TIMEOUT);
    ask_without_program(1, MU_EBREAKER_OPEN);
}

MU_TEST(crash, C1_a_worker_that_aborts_in_mid_request_is_named_and_replaced)
{
    die_beside_another("abort", 0, "killed by SIGABRT");
}

MU_TEST(crash, C1_a_worker_that_exits_with_0_in_mid_request_is_named_and_replaced)
{
    die_beside_another("exit", 0, "exit status 0");
}

MU_TEST(crash, C1_a_worker_that_exits_with_3_in_mid_request_is_named_and_replaced)
{
    die_beside_another("exit", 3, "exit status 3");
}

/* Looks after an end of file that find nothing at once, as on a machine too busy to tell news. */
static _Atomic int idle_looks;
enum { IDLE_LOOKS = 3 };

static int poll_in_vain(struct pollfd *fds, nfds_t count, int timeout)
{
    bool after_end_of_file = count == 2 && fds[1].fd < 0 && timeout > 0;
    if (after_end_of_file && atomic_fetch_add(&idle_looks, 1) < IDLE_LOOKS)
        return 0;
    return mu__sys_real.poll(fds, count, timeout);
}

MU_TEST(crash, C1_a_death_whose_news_is_late_is_a_crash_all_the_same)
{
    mu_sys sys = mu__sys_real;
    sys.poll = poll_in_vain;
    mu_system_options options = MU_SYSTEM_OPTIONS_INIT;
    options.sys = &sys;
    options.warden_timeout_ms = 600000; /* nobody else shall make it go on */
    pool_rig rig;
    mu_future *future = NULL;
    mu_value args = MU_VALUE_INIT;
    rig_prepare_with(&rig, 1, &options);
    rig.options.script = MU_TEST_ROOT "/faults/workers/misfit.py";
    mu_check_ok(rig_open(&rig));
    int warden = mu__warden_pid(mu__warden_of(rig.system));
    fault_kill(warden, SIGSTOP); /* which would reap it and tell */
    mu_check_ok(mu_value_pack(&args, NULL, "{s:s, s:i}", "how", "signal", "code", SIGKILL));
    mu_check_ok(mu_pool_submit_future(rig.pool, "die", &args, NULL, &future));
    mu_wait_until(atomic_load(&idle_looks) > IDLE_LOOKS, 20000);
    mu_check(!mu_future_done(future));
    fault_kill(warden, SIGCONT);
    mu_check_err(mu_future_wait(future, MU_INFINITY, NULL, &rig.error), MU_ECRASHED);
    mu_check_contains(rig.error.message, "SIGKILL");
    mu_future_free(&future);
    mu_value_clear(&args);
    rig_check_books(&rig);
    rig_stop(&rig);
}

MU_TEST(crash, C1_a_worker_that_dies_idle_costs_no_request)
{
    fault_rig rig;
    fault_start(&rig, 1, "misfit.py", NULL);
    for (int i = 0; i < 5; i++) {
        /*
         * At once, so that some requests meet the dead worker before anybody has told of it. They
         * are idempotent: a process that SIGKILL finds in read(2) may still take the request out of
         * the pipe, and then nobody can know that it was not executed.
         */
        mu_execute_options again = MU_EXECUTE_OPTIONS_INIT;
        again.idempotent = true;
        fault_kill(rig_worker(&rig.pool, 0).os_pid, SIGKILL);
        mu_check_ok(rig_ask(&rig.pool, "ping", NULL, &again, NULL));
    }
    fault_close(&rig);
}

/* ---- C2: none becomes ready ---------------------------------------------------------------- */

static void check_start_fails_with(const char *how, const char *reason)
{
    fault_rig rig;
    fault_prepare(&rig, 4, "starts.py", how);
    mu_stopwatch watch;
    mu_stopwatch_start(&watch);
    mu_check_err(rig_open(&rig.pool), MU_ESTART);
    mu_stopwatch_stop(&watch);
    mu_check_lt(watch.ran_ms, RIG_STARTUP_MS / 2); /* interpreters, no time-outs */
    mu_check_contains(rig.pool.error.detail, reason);
    mu_check_contains(rig.pool.error.detail, "worker_4");
    mu_check_contains(rig.pool.error.message, "0 of 4");
    /* Each has its free restarts, and beyond them waits: nobody span while the others came up. */
    mu_check_le(atomic_load(&rig.exits), 4 * 8);
    fault_close(&rig);
}

MU_TEST(crash, C2_imports_that_fail_in_all_workers_fail_the_start_at_once)
{
    check_start_fails_with("import", "No module named 'no_such_module'");
}

MU_TEST(crash, C2_the_reason_of_an_exit_before_ready_holds_the_end_of_stderr)
{
    check_start_fails_with("exit", "exit status 3");
    check_start_fails_with("exit", "the reason stands at the end");
}

MU_TEST(crash, C2_a_worker_that_never_becomes_ready_is_tried_with_growing_pauses)
{
    fault_rig rig;
    fault_start(&rig, 2, "starts.py", "exit_one");
    mu_check_eq(rig_available(&rig.pool), 1);
    int before = atomic_load(&rig.exits);
    mu_check_eq(mu_poll_until(atomic_load(&rig.exits) > before + 8, 1500 / MU_TEST_SCALE), false);
    mu_check_ok(rig_run(&rig.pool, "ping"));
    mu_check_contains(rig_worker(&rig.pool, 0).reason, "the reason stands at the end");
    fault_close(&rig);
}

/* What progress says of worker_1, heard by one who does not listen until it has died twice. */
typedef struct slow_listener {
    fault_rig rig;
    mu_worker_info last;
} slow_listener;

static void listen_late(void *ctx, const mu_worker_info *w)
{
    slow_listener *s = ctx;
    mu_wait_until(atomic_load(&s->rig.exits) >= 2, 20000);
    if (strcmp(w->id, "worker_1") == 0)
        s->last = *w;
}

MU_TEST(crash, C2_progress_tells_of_the_first_start_though_the_second_is_under_way)
{
    static slow_listener s;
    fault_prepare(&s.rig, 2, "starts.py", "exit_one");
    s.rig.pool.options.progress = listen_late;
    s.rig.pool.options.progress_ctx = &s;
    fault_open(&s.rig);
    mu_check_eq(s.last.generation, 1u);
    mu_check_eq((int)s.last.state, (int)MU_WORKER_RESTARTING);
    mu_check_eq(s.last.os_pid, 0);
    mu_check_eq((int)s.last.error, (int)MU_ESTART);
    mu_check_contains(s.last.reason, "3");
    fault_close(&s.rig);
}

/* ---- C8 ------------------------------------------------------------------------------------ */

MU_TEST(crash, C8_a_death_is_seen_while_a_grandchild_holds_all_pipes)
{
    fault_rig rig;
    fault_start(&rig, 1, "misfit.py", NULL);
    for (int i = 0; i < 3; i++) {
        mu_stopwatch request, restart;
        mu_stopwatch_start(&restart);
        mu_stopwatch_start(&request);
        mu_check_err(rig_run(&rig.pool, "orphan"), MU_ECRASHED);
        check_heard_at_once(&rig.pool.error, &request);
        mu_check_contains(rig.pool.error.message, "exit status 7");
        mu_check_ok(rig_run(&rig.pool, "ping"));
        mu_stopwatch_stop(&restart);
        mu_worker_info replaced = rig_worker(&rig.pool, 0);
        fault_check_restart(&replaced, restart.still_ms);
    }
    fault_close(&rig);
}

/* ---- C11: it cannot even be executed ------------------------------------------------------- */

static void check_errno(fault_rig *rig, int error, const char *name)
{
    mu_err err = rig_open(&rig->pool);
    mu_check_msg(err == MU_ERRNO(error), "%s (%s), not errno %d: %s", mu_err_name(err),
                 mu_strerror(err), error, rig->pool.error.message);
    mu_check_contains(rig->pool.error.message, name);
    mu_check_contains(rig->pool.error.message, mu_strerror(MU_ERRNO(error)));
    fault_close(rig);
}

static void write_program(char *path, const char *text, mode_t mode)
{
    int fd = mkostemp(path, O_CLOEXEC);
    mu_check(fd >= 0);
    mu_check_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    mu_check_eq(fchmod(fd, mode), 0);
    close(fd);
}

static void run_program(fault_rig *rig, const char *path)
{
    rig->pool.options.python_path = NULL;
    rig->pool.options.executable = path;
    rig->pool.options.start_method = MU_START_EXEC; /* what is no Python is never forked */
}

static void check_program(const char *text, mode_t mode, int error)
{
    fault_rig rig;
    char path[] = "/tmp/muster-fault-XXXXXX";
    write_program(path, text, mode);
    fault_prepare(&rig, 2, NULL, NULL);
    run_program(&rig, path);
    check_errno(&rig, error, path);
    unlink(path);
}

MU_TEST(crash, C11_a_program_that_is_not_there_is_ENOENT_from_start)
{
    fault_rig rig;
    fault_prepare(&rig, 2, NULL, NULL);
    run_program(&rig, "/no/such/program");
    check_errno(&rig, ENOENT, "/no/such/program");
}

MU_TEST(crash, C11_a_program_that_may_not_be_executed_is_EACCES_from_start)
{
    check_program("#!/bin/sh\n", 0600, EACCES);
}

MU_TEST(crash, C11_a_script_whose_interpreter_is_not_there_is_ENOENT_from_start)
{
    check_program("#!/no/such/interpreter\n", 0700, ENOENT);
}

MU_TEST(crash, C11_a_file_that_is_no_program_is_ENOEXEC_from_start)
{
    check_program("no program\n", 0700, ENOEXEC);
}

MU_TEST(crash, C11_a_working_directory_that_is_gone_is_ENOENT_from_start)
{
    fault_rig rig;
    fault_prepare(&rig, 2, NULL, NULL);
    rig.pool.options.cwd = "/no/such/directory";
    check_errno(&rig, ENOENT, "/no/such/directory");
}
