/*
 * Hosts that close what is not theirs: one that becomes a daemon and closes all fds above 2, one
 * that closes a number twice. The library notices, says so to who asks, opens its own anew, and
 * neither writes into nor closes what the host has opened in their place. Each host is a role.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fault_rig.h"

#include "support/mu_marked.h"
#include "support/mu_role.h"

enum { PATIENCE_MS = 20000, FDS_MOST = 256, FILES = 100 };

static void check_survives(const char *role_name)
{
    mu_role host = mu_role_start(role_name, NULL);
    const mu__proc_id self = mu_marked_host(host.pid);
    mu_check_str(mu_role_line(&host, 4 * PATIENCE_MS), "whole");
    mu_check_eq(mu_role_end(&host, PATIENCE_MS), 0);
    mu_wait_until(mu_marked_by(self) == 0, PATIENCE_MS);
}

/* A breaker would keep requests from the workers that come back. */
static void start(fault_rig *rig, int size, const char *tracking_dir)
{
    mu_system_options system = MU_SYSTEM_OPTIONS_INIT;
    system.tracking_dir = tracking_dir;
    fault_prepare_in(rig, &system, size, "odd.py", NULL);
    rig->pool.options.breaker_threshold = -1;
    fault_open(rig);
}

/* Until a worker serves again, requests may fail, but only with what has happened to a worker. */
static void check_heals(fault_rig *rig)
{
    mu_err err = rig_run(&rig->pool, "ping");
    for (int failures = 0; err != MU_OK && failures < 20; failures++) {
        mu_check_msg(err == MU_EPROTOCOL || err == MU_ECRASHED, "%s", mu_err_name(err));
        err = rig_run(&rig->pool, "ping");
    }
    mu_check_ok(err);
}

/* That wants a warden, alarms, and the tracking file. The worker may have gone with the last
 * warden, and its actor not have heard of it: then it is being replaced anyway. */
static void check_restarts(fault_rig *rig)
{
    const int size = rig->pool.options.size;
    mu_wait_until(rig_available(&rig->pool) == size, PATIENCE_MS);
    mu_worker_info before = rig_worker(&rig->pool, 0);
    if (before.os_pid > 0)
        (void)kill(before.os_pid, SIGKILL);
    mu_wait_until(rig_worker(&rig->pool, 0).generation > before.generation &&
                      rig_available(&rig->pool) == size,
                  PATIENCE_MS);
    mu_check_ok(rig_run(&rig->pool, "ping"));
}

static void close_above_2(void)
{
    mu_check_eq(close_range(3, ~0u, 0), 0);
}

/* What is open above 2, without the directory that tells. */
static int list_fds(int fds[FDS_MOST])
{
    int n = 0;
    DIR *dir = opendir("/proc/self/fd");
    const struct dirent *entry;
    mu_check(dir);
    while ((entry = readdir(dir)) != NULL) {
        int fd = atoi(entry->d_name);
        if (fd > 2 && fd != dirfd(dir) && n < FDS_MOST)
            fds[n++] = fd;
    }
    closedir(dir);
    return n;
}

/* ---- all of them ----------------------------------------------------------------------------- */

MU_ROLE(host_that_closes_all)
{
    static fault_rig rig;
    start(&rig, 2, NULL);
    check_heals(&rig);
    close_above_2();
    check_heals(&rig);
    check_restarts(&rig);
    fault_close(&rig);
    puts("whole");
    return 0;
}

MU_TEST(closed_fds, a_host_that_closes_every_fd_is_served_again, .timeout = 120)
{
    check_survives("host_that_closes_all");
}

MU_ROLE(host_that_closes_all_and_stops)
{
    static fault_rig rig;
    start(&rig, 2, NULL);
    close_above_2();
    fault_close(&rig);
    puts("whole");
    return 0;
}

MU_TEST(closed_fds, a_host_that_closes_every_fd_can_stop, .timeout = 120)
{
    check_survives("host_that_closes_all_and_stops");
}

MU_ROLE(host_that_closes_all_in_mid_request)
{
    static fault_rig rig;
    fault_asker asker;
    start(&rig, 2, NULL);
    fault_ask_aside(&asker, &rig, "odd", NULL, "{s:s}", "how", "sleep_for_ever");
    (void)fault_busy_worker(&rig);
    close_above_2();
    mu_err err = fault_answer(&asker);
    mu_check_msg(err == MU_EPROTOCOL || err == MU_ECRASHED, "%s", mu_err_name(err));
    fault_forget(&asker);
    check_heals(&rig);
    fault_close(&rig);
    puts("whole");
    return 0;
}

MU_TEST(closed_fds, who_waits_for_an_answer_hears_of_it, .timeout = 120)
{
    check_survives("host_that_closes_all_in_mid_request");
}

/* ---- with others in their place -------------------------------------------------------------- */

/* Fills the numbers with empty files, which have no names. */
static void open_files(int fds[FILES], struct stat was[FILES])
{
    for (int i = 0; i < FILES; i++) {
        fds[i] = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        mu_check_ge(fds[i], 0);
        mu_check_eq(fstat(fds[i], &was[i]), 0);
    }
}

static void check_untouched(const int fds[FILES], const struct stat was[FILES])
{
    struct stat is;
    for (int i = 0; i < FILES; i++) {
        mu_check_eq(fstat(fds[i], &is), 0);
        mu_check_eq(is.st_ino, was[i].st_ino);
        mu_check_eq(is.st_size, 0);
    }
}

MU_ROLE(host_that_opens_files_in_their_place)
{
    static fault_rig rig;
    int fds[FILES];
    struct stat was[FILES];
    char directory[] = "/tmp/muster-closed-XXXXXX";
    mu_check(mkdtemp(directory));
    start(&rig, 2, directory);
    check_heals(&rig);
    int64_t last = mu_test_now_ms();
    close_above_2();
    open_files(fds, was);
    /* A worker's fds are looked at when nobody has done so for a tenth of a second. */
    mu_wait_until(mu_test_now_ms() > last + 200, PATIENCE_MS);
    check_heals(&rig);
    check_restarts(&rig);
    check_untouched(fds, was);
    fault_close(&rig);
    check_untouched(fds, was);
    mu_check_eq(rmdir(directory), 0); /* the tracking file was found and removed */
    puts("whole");
    return 0;
}

MU_TEST(closed_fds, what_the_host_opens_in_their_place_is_left_alone, .timeout = 120)
{
    check_survives("host_that_opens_files_in_their_place");
}

/* ---- one ------------------------------------------------------------------------------------- */

/* Each from a system that is whole: what is being made has no guards yet. */
MU_ROLE(host_that_closes_one)
{
    static fault_rig rig;
    int fds[FDS_MOST];
    for (int i = 0, n = 1; i < n; i++) {
        start(&rig, 1, NULL);
        check_heals(&rig);
        n = list_fds(fds);
        mu_check_gt(n, 10);
        close(fds[i]);
        check_heals(&rig);
        check_restarts(&rig);
        fault_close(&rig);
    }
    puts("whole");
    return 0;
}

MU_TEST(closed_fds, whichever_fd_a_host_closes_it_is_served_again, .timeout = 120)
{
    check_survives("host_that_closes_one");
}

/* Without a bell its caller cannot be told of the deadline: the worker's end tells it. */
MU_ROLE(host_that_closes_what_it_would_be_woken_by)
{
    static fault_rig rig;
    fault_asker asker;
    int fds[FDS_MOST];
    char link[64], what[64];
    mu_execute_options options = MU_EXECUTE_OPTIONS_INIT;
    options.execution_timeout_ms = 1000 * MU_TEST_SCALE;
    start(&rig, 2, NULL);
    fault_ask_aside(&asker, &rig, "odd", &options, "{s:s}", "how", "sleep_for_ever");
    (void)fault_busy_worker(&rig);
    int n = list_fds(fds);
    for (int i = 0; i < n; i++) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fds[i]);
        ssize_t size = readlink(link, what, sizeof what - 1);
        if (size == (ssize_t)strlen("anon_inode:[eventfd]") &&
            strncmp(what, "anon_inode:[eventfd]", 20) == 0)
            close(fds[i]);
    }
    mu_check_ne(fault_answer(&asker), MU_OK);
    fault_forget(&asker);
    check_heals(&rig);
    fault_close(&rig);
    puts("whole");
    return 0;
}

MU_TEST(closed_fds, a_deadline_holds_though_its_bell_was_closed, .timeout = 120)
{
    check_survives("host_that_closes_what_it_would_be_woken_by");
}
