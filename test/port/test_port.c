/* port: a child with its pipes, its output and its end. */
#include "port/port.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <muster/timer.h>

#include "base/clock.h"
#include "base/lock.h"
#include "port/warden.h"
#include "runtime/runtime.h"
#include "support/mu_stopwatch.h"
#include "support/mu_test.h"

typedef struct world {
    mu_system *system;
    mu__warden *warden;
    mu_lock lock;
    char lines[4096];
    _Atomic int n_lines;
    _Atomic int deaths;
    mu__port_end end;
} world;

static void collect(void *ctx, const mu_event *event)
{
    world *w = ctx;
    if (strcmp(event->name, "worker.output") != 0)
        return;
    mu_lock_acquire(&w->lock);
    size_t used = strlen(w->lines);
    snprintf(w->lines + used, sizeof w->lines - used, "%s %s: %s\n", event->metadata[0].value,
             event->metadata[1].value, event->metadata[2].value);
    mu_lock_release(&w->lock);
    atomic_fetch_add(&w->n_lines, 1);
}

static void begin(world *w)
{
    memset(w, 0, sizeof *w);
    mu_lock_init(&w->lock);
    mu_system_options options = MU_SYSTEM_OPTIONS_INIT;
    options.event_hook = (mu_event_hook){collect, w};
    mu_check_ok(mu__runtime_start(&options, &w->system));
    mu_check_ok(mu__warden_start(w->system, NULL, &w->warden, NULL));
}

static void end(world *w)
{
    mu__warden_stop(&w->warden, 10000);
    mu_check_eq(mu__runtime_stop(&w->system), 0u);
}

static mu_err try_open(world *w, const char *script, mu__port **port, mu_error *error)
{
    char sh[] = "sh", c[] = "-c", *argv[] = {sh, c, (char *)(uintptr_t)script, NULL};
    const mu__port_spec spec = {.path = "/bin/sh", .argv = argv, .max_frame = 1000};
    return mu__port_open(w->system, &spec, "worker_1", 3, mu_now(w->system) + 10 * MU_SECOND, port,
                         error);
}

static mu__port *open_sh(world *w, const char *script)
{
    mu__port *port = NULL;
    mu_error error = MU_ERROR_INIT;
    mu_err err = try_open(w, script, &port, &error);
    mu_check_msg(err == MU_OK, "%s", error.message);
    return port;
}

static void died(void *ctx, const mu__port_end *end_)
{
    world *w = ctx;
    w->end = *end_;
    atomic_fetch_add(&w->deaths, 1);
}

static void await_death(world *w, mu__port *port)
{
    mu__port_watch(port, died, w);
    mu_wait_until(atomic_load(&w->deaths) == 1, 10000);
}

static void read_line(int fd, char *text, size_t size)
{
    size_t used = 0;
    while (used < size - 1 && (used == 0 || text[used - 1] != '\n')) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        mu_check_eq(poll(&ready, 1, 5000 * MU_TEST_SCALE), 1);
        mu_check_eq(read(fd, text + used, 1), 1);
        used++;
    }
    text[used] = '\0';
}

MU_TEST(port, gives_the_child_the_pipes_and_the_variables_of_the_protocol)
{
    world w;
    char text[256], expected[256];
    mu__port_pipes pipes;
    begin(&w);
    mu__port *port = open_sh(&w, "read x <&3; echo \"$x $MUSTER_WORKER_ID $MUSTER_PROTOCOL "
                                 "$MUSTER_MAX_FRAME $MUSTER_RUN_ID\" >&4");
    mu__port_take_pipes(port, &pipes);
    mu_check(fcntl(pipes.request_write, F_GETFL) & O_NONBLOCK);
    mu_check(fcntl(pipes.response_read, F_GETFL) & O_NONBLOCK);
    mu_check(!(fcntl(pipes.request_read, F_GETFL) & O_NONBLOCK));
    mu_check_eq(write(pipes.request_write, "hello\n", 6), 6);
    read_line(pipes.response_read, text, sizeof text);
    snprintf(expected, sizeof expected, "hello worker_1 1 1000 %s\n", mu__warden_run_id(w.warden));
    mu_check_str(text, expected);
    await_death(&w, port);
    mu_check_eq(w.end.exit.status, 0);
    mu_check_eq(w.end.exit.os_pid, mu__port_os_pid(port));
    mu__port_free(&port);
    mu_check(!port);
    close(pipes.request_write);
    close(pipes.request_read);
    close(pipes.response_read);
    end(&w);
}

MU_TEST(port, z2_the_child_has_its_five_fds_and_no_other)
{
    world w;
    begin(&w);
    mu__port *port = open_sh(&w, "exec sleep 1000");
    for (int fd = 0; fd < 256; fd++) {
        char path[64], target[8];
        snprintf(path, sizeof path, "/proc/%d/fd/%d", mu__port_os_pid(port), fd);
        /* Whatever the loader opens for a moment is its own. */
        mu_wait_until((readlink(path, target, sizeof target) >= 0) == (fd <= 4), 10000);
    }
    mu__port_free(&port);
    end(&w);
}

MU_TEST(port, C10_what_the_child_prints_becomes_events_and_the_tail_of_its_end)
{
    world w;
    begin(&w);
    mu__port *port = open_sh(&w, "echo to stdout; printf 'to \\033[1mstderr' >&2; kill -SEGV $$");
    await_death(&w, port);
    mu_check_eq((int)w.end.exit.kind, MU__EXIT_SIGNAL);
    mu_check_eq(w.end.exit.status, SIGSEGV);
    mu_check_contains(w.end.tail, "to stdout");
    mu_check_contains(w.end.tail, "stderr");
    mu_check(!strchr(w.end.tail, '\033'));
    mu_check_eq(atomic_load(&w.n_lines), 2);
    mu_check_contains(w.lines, "worker_1 stdout: to stdout\n");
    mu_check_contains(w.lines, "worker_1 stderr: to ");
    mu__port_end again;
    mu_check(mu__port_ended(port, &again));
    mu_check_str(again.tail, w.end.tail);
    mu__port_free(&port);
    end(&w);
}

MU_TEST(port, C9_ten_mebibytes_on_stderr_stall_nobody)
{
    world w;
    begin(&w);
    mu__port *port =
        open_sh(&w, "head -c 10485760 /dev/zero | tr '\\0' x >&2; echo >&2; echo last >&2");
    await_death(&w, port);
    mu_check_eq(w.end.exit.status, 0);
    mu_check_contains(w.end.tail, "last");
    mu_check_eq(atomic_load(&w.n_lines), 2);
    mu__port_free(&port);
    end(&w);
}

MU_TEST(port, C8_the_end_is_told_while_a_grandchild_holds_the_pipes)
{
    world w;
    begin(&w);
    /* env -i: it carries no mark, so it outlives the worker and keeps all its fds. */
    mu__port *port = open_sh(&w, "echo before; env -i setsid sleep 1000 & sleep 0.2; exit 4");
    mu_stopwatch watch;
    mu_stopwatch_start(&watch);
    await_death(&w, port);
    mu_stopwatch_stop(&watch);
    mu_check_eq(w.end.exit.status, 4);
    mu_check_contains(w.end.tail, "before");
    mu_check_lt(watch.ran_ms, 2000 * MU_TEST_SCALE);
    mu__port_free(&port);
    end(&w);
}

MU_TEST(port, a_watcher_hears_of_an_end_that_has_been)
{
    world w;
    mu__port_end seen;
    begin(&w);
    mu__port *port = open_sh(&w, "exit 9");
    mu_wait_until(mu__port_ended(port, &seen), 5000);
    mu__port_watch(port, died, &w);
    mu_check_eq(atomic_load(&w.deaths), 1);
    mu_check_eq(w.end.exit.status, 9);
    mu__port_free(&port);
    end(&w);
}

static int asked_fd;

static void ask(void *ctx)
{
    mu_check_eq(write(*(int *)ctx, "leave\n", 6), 6);
    asked_fd++;
}

static void close_nothing(void *ctx)
{
    (void)ctx;
}

MU_TEST(port, stop_ends_with_the_first_rung_that_is_heard)
{
    world w;
    mu__port_pipes pipes;
    mu__port_end seen;
    begin(&w);
    mu__port *port = open_sh(&w, "trap '' TERM; read x <&3; [ \"$x\" = leave ] && exit 12");
    mu__port_take_pipes(port, &pipes);
    const mu__port_stop_options stop = {.graces = {10000, 10000, 10000, 1000},
                                        .ask = ask,
                                        .close = close_nothing,
                                        .ctx = &pipes.request_write};
    mu_check_ok(mu__port_stop(port, &stop));
    mu_wait_until(mu__port_ended(port, &seen), 10000);
    mu_check_eq(seen.exit.status, 12);
    mu_check_ok(mu__port_stop(port, &stop)); /* twice is once */
    mu_check_eq(asked_fd, 1);
    mu__port_free(&port);
    close(pipes.request_write);
    close(pipes.request_read);
    close(pipes.response_read);
    end(&w);
}

static mu_stopwatch stop_after(mu__port *port, mu__graces graces, mu__port_end *seen)
{
    const mu__port_stop_options stop = {.graces = graces};
    mu_stopwatch watch;
    mu_stopwatch_start(&watch);
    mu_check_ok(mu__port_stop(port, &stop));
    mu_stopwatch_stop(&watch);
    mu_wait_until(mu__port_ended(port, seen), 10000);
    return watch;
}

MU_TEST(port, C6_sigterm_ignored_is_followed_by_sigkill_after_its_grace)
{
    world w;
    mu__port_end seen;
    begin(&w);
    mu__port *port = open_sh(&w, "trap '' TERM; echo up >&4; sleep 1000; sleep 1000");
    mu__port_pipes pipes;
    char text[8];
    mu__port_take_pipes(port, &pipes);
    read_line(pipes.response_read, text, sizeof text);
    mu_stopwatch watch = stop_after(port, (mu__graces){.term = 100, .kill = 5000}, &seen);
    mu_check_eq(seen.exit.status, SIGKILL);
    mu_check_ge(watch.passed_ms, 100);
    mu_check_le(watch.ran_ms, (100 + 1000) * MU_TEST_SCALE);
    mu__port_free(&port);
    close(pipes.request_write);
    close(pipes.request_read);
    close(pipes.response_read);
    end(&w);
}

MU_TEST(port, C5_a_stopped_child_hears_sigterm)
{
    world w;
    mu__port_end seen;
    begin(&w);
    mu__port *port = open_sh(&w, "exec sleep 1000");
    mu_check_eq(kill(mu__port_os_pid(port), SIGSTOP), 0);
    (void)stop_after(port, (mu__graces){.term = 10000, .kill = 1000}, &seen);
    mu_check_eq(seen.exit.status, SIGTERM);
    mu__port_free(&port);
    end(&w);
}

MU_TEST(port, freeing_a_port_kills_what_runs_in_it)
{
    world w;
    begin(&w);
    for (int i = 0; i < 20; i++) {
        mu__port *port = open_sh(&w, "trap '' TERM; while :; do echo noise; done");
        int pid = mu__port_os_pid(port);
        mu__port_free(&port);
        mu_wait_until(kill(pid, 0) != 0, 10000);
    }
    end(&w);
}

MU_TEST(port, one_that_cannot_be_opened_leaves_nothing)
{
    world w;
    mu_error error = MU_ERROR_INIT;
    mu__port *port = NULL;
    char name[] = "x", *argv[] = {name, NULL};
    begin(&w);
    const mu__port_spec spec = {.path = "/no/such/program", .argv = argv};
    mu_check(mu__port_open(w.system, &spec, "worker_1", 1, mu_now(w.system) + MU_SECOND, &port,
                           &error) != MU_OK);
    mu_check_contains(error.message, "execve /no/such/program");
    mu_check(!port);
    end(&w);
    mu_check_ok(mu__runtime_start(NULL, &w.system));
    mu_check_err(try_open(&w, "exit 0", &port, &error), MU_EWARDEN);
    mu_check_eq(mu__runtime_stop(&w.system), 0u);
}
