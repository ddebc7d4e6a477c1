/* port/oom: what /proc/vmstat tells, and what follows from it for a process that was killed. */
#include "port/oom.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <muster/timer.h>

#include "base/clock.h"
#include "port/port.h"
#include "port/warden.h"
#include "runtime/runtime.h"
#include "support/mu_test.h"

MU_TEST(oom, reads_the_count_and_nothing_else)
{
    mu_check_eq(mu__oom_parse("nr_free 1\noom_kill 17\nx 2\n"), 17);
    mu_check_eq(mu__oom_parse("a 1\noom_kill 0\n"), 0);
    static const char *const bad[] = {"",
                                      "a 1\n",
                                      "a 1\nxoom_kill 3\n",
                                      "a 1\noom_kill -1\n",
                                      "a 1\noom_kill 3",
                                      "a 1\noom_kill three\n",
                                      "a 1\noom_kill 99999999999999999999\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        mu_check_msg(mu__oom_parse(bad[i]) == MU__OOM_UNKNOWN, "'%s'", bad[i]);
    mu_check_ge(mu__oom_kills(&mu__sys_real), 0);
}

MU_TEST(oom, an_unknown_count_accuses_nobody)
{
    mu_check(mu__oom_rose(3, 4));
    mu_check(!mu__oom_rose(3, 3));
    mu_check(!mu__oom_rose(MU__OOM_UNKNOWN, 4));
    mu_check(!mu__oom_rose(3, MU__OOM_UNKNOWN));
}

/* ---- processes ----------------------------------------------------------------------------- */

static char vmstat[64];

static void write_count(int kills)
{
    FILE *file = fopen(vmstat, "we");
    mu_check(file != NULL);
    (void)fprintf(file, "nr_free_pages 1\noom_kill %d\nlast 2\n", kills);
    (void)fclose(file);
}

static int open_other(const char *path, int flags, mode_t mode)
{
    return mu__sys_real.open(strcmp(path, "/proc/vmstat") == 0 ? vmstat : path, flags, mode);
}

static void keep_end(void *ctx, const mu__port_end *end)
{
    *(mu__port_end *)ctx = *end;
}

/* How it looks when a process ends while the count goes from 1 to `after`. */
static mu__exit end_one(const char *script, int after, int sig, bool by_us)
{
    mu_system_options options = MU_SYSTEM_OPTIONS_INIT;
    mu_sys sys = mu__sys_real;
    mu_system *system;
    mu__warden *warden;
    mu__port *port;
    mu__port_end end = {.tail = ""};
    char sh[] = "sh", c[] = "-c", *argv[] = {sh, c, (char *)(uintptr_t)script, NULL};
    const mu__port_spec spec = {.path = "/bin/sh", .argv = argv};
    const mu__port_stop_options at_once = {.graces = {.kill = 20 * MU_SECOND}};
    sys.open = open_other;
    options.sys = &sys;
    write_count(1);
    mu_check_ok(mu__runtime_start(&options, &system));
    mu_check_ok(mu__warden_start(system, NULL, &warden, NULL));
    mu_check_ok(
        mu__port_open(system, &spec, "worker_1", 1, mu_now(system) + 20 * MU_SECOND, &port, NULL));
    write_count(after);
    if (by_us)
        (void)mu__port_stop(port, &at_once);
    else if (sig)
        mu_check_eq(kill(mu__port_os_pid(port), sig), 0);
    mu_wait_until(mu__port_ended(port, &end), 20000);
    mu__port_watch(port, keep_end, &end);
    mu__port_free(&port);
    mu__warden_stop(&warden, 10000);
    mu_check_eq(mu__runtime_stop(&system), 0u);
    return end.exit;
}

MU_TEST(oom, a_process_that_nobody_known_has_killed_meanwhile_looks_like_its_victim)
{
    char text[MU__EXIT_TEXT];
    int fd;
    (void)snprintf(vmstat, sizeof vmstat, "/tmp/muster-oom-XXXXXX");
    mu_check_ge(fd = mkstemp(vmstat), 0);
    close(fd);
    mu__exit exit = end_one("exec sleep 1000", 2, SIGKILL, false);
    mu_check(exit.oom);
    mu_check_str(mu__exit_text(&exit, text, sizeof text),
                 "killed by SIGKILL, it seems by the kernel for want of memory");
    exit = end_one("exec sleep 1000", 1, SIGKILL, false);
    mu_check(!exit.oom);
    mu_check_str(mu__exit_text(&exit, text, sizeof text), "killed by SIGKILL");
    mu_check(!end_one("exec sleep 1000", 2, SIGTERM, false).oom);
    mu_check(!end_one("exit 137", 2, 0, false).oom);
    exit = end_one("exec sleep 1000", 2, SIGKILL, true);
    mu_check_eq(exit.status, SIGKILL);
    mu_check(!exit.oom);
    unlink(vmstat);
}
