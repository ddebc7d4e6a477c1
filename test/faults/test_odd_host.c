/*
 * Hosts in a state that faults.md does not name. Each is a role: what it does to itself would reach
 * the test's runner, too.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <muster/tracking.h>

#include "base/proc.h"
#include "fault_rig.h"
#include "port/warden.h"

#include "support/mu_marked.h"
#include "support/mu_role.h"

enum { PATIENCE_MS = 20000, BEYOND_SELECT = 1100, STOPS = 20 };

static void check_survives(const char *role_name)
{
    mu_role host = mu_role_start(role_name, NULL);
    const mu__proc_id self = mu_marked_host(host.pid);
    mu_check_str(mu_role_line(&host, PATIENCE_MS), "whole");
    mu_check_eq(mu_role_end(&host, PATIENCE_MS), 0);
    mu_wait_until(mu_marked_by(self) == 0, PATIENCE_MS);
}

static void start(fault_rig *rig)
{
    fault_start(rig, 1, "odd.py", NULL);
}

static void check_serves(fault_rig *rig)
{
    for (int i = 0; i < 3; i++)
        mu_check_ok(rig_run(&rig->pool, "ping"));
}

/* Kills the worker and waits for the next. */
static void check_restarts(fault_rig *rig)
{
    fault_kill(rig_worker(&rig->pool, 0).os_pid, SIGKILL);
    mu_wait_until(rig_worker(&rig->pool, 0).generation > 1 && rig_available(&rig->pool) == 1,
                  PATIENCE_MS);
    check_serves(rig);
}

/* The soft limit: it can be raised again. Returns the one before. */
static rlim_t limit(int resource, rlim_t soft)
{
    struct rlimit now;
    mu_check_eq(getrlimit(resource, &now), 0);
    rlim_t before = now.rlim_cur;
    now.rlim_cur = soft < now.rlim_max ? soft : now.rlim_max;
    mu_check_eq(setrlimit(resource, &now), 0);
    return before;
}

/* ---- its directory --------------------------------------------------------------------------- */

MU_ROLE(host_whose_directory_is_removed)
{
    static fault_rig rig;
    char directory[] = "/tmp/muster-odd-XXXXXX";
    mu_check(mkdtemp(directory));
    mu_check_eq(chdir(directory), 0);
    start(&rig);
    mu_check_eq(rmdir(directory), 0);
    check_restarts(&rig);
    fault_close(&rig);
    puts("whole");
    return 0;
}

MU_TEST(odd_host, workers_are_replaced_though_the_hosts_directory_was_removed)
{
    check_survives("host_whose_directory_is_removed");
}

/* ---- its tracking file ----------------------------------------------------------------------- */

static void write_into(const char *file, int flags)
{
    int fd = open(file, O_WRONLY | O_CLOEXEC | flags, 0600);
    mu_check(fd >= 0);
    if (!(flags & O_TRUNC))
        mu_check_eq(write(fd, "hello\n", 6), 6);
    close(fd);
}

static bool file_is_whole(fault_rig *rig)
{
    mu_tracking_report report;
    mu_check_ok(mu_tracking_validate(rig->pool.system, &report));
    return report.file_ok;
}

MU_TEST(odd_host, a_tracking_file_that_somebody_has_touched_is_written_anew_by_the_next_birth,
        .timeout = 60)
{
    enum { REMOVED, CUT, WRITTEN_INTO, REPLACED, WAYS };
    for (int way = 0; way < WAYS; way++) {
        fault_rig rig;
        mu_tracking_info info;
        char directory[] = "/tmp/muster-odd-XXXXXX";
        mu_check(mkdtemp(directory));
        mu_system_options options = MU_SYSTEM_OPTIONS_INIT;
        options.tracking_dir = directory;
        fault_prepare_in(&rig, &options, 1, "odd.py", NULL);
        fault_open(&rig);
        mu_check_ok(mu_tracking_info_get(rig.pool.system, &info));
        mu_check(file_is_whole(&rig));
        if (way == REMOVED || way == REPLACED)
            mu_check_eq(unlink(info.file), 0);
        if (way != REMOVED)
            write_into(info.file, way == CUT ? O_TRUNC : way == REPLACED ? O_CREAT : O_APPEND);
        mu_check(!file_is_whole(&rig));
        check_restarts(&rig);
        mu_wait_until(file_is_whole(&rig), PATIENCE_MS);
        fault_close(&rig);
        mu_check_eq(rmdir(directory), 0); /* empty */
    }
}

/* ---- its /proc ------------------------------------------------------------------------------- */

static void isolate(int spaces)
{
    mu_check_eq(unshare(spaces | (geteuid() == 0 ? 0 : CLONE_NEWUSER)), 0);
}

static void check_refused(mu_err expected)
{
    mu_system *system = NULL;
    mu_error error = MU_ERROR_INIT;
    mu_check_err(mu_system_start(NULL, &system, &error), expected);
    mu_check_contains(error.message, "mount -t proc proc /proc");
    mu_error_clear(&error);
}

/* At once: the leak sanitizer would look for threads in /proc, and start one of its own. */
_Noreturn static void leave_whole(void)
{
    puts("whole");
    _exit(0);
}

MU_ROLE(host_in_a_pid_namespace_with_the_proc_of_another)
{
    int status;
    isolate(CLONE_NEWPID);
    pid_t first = fork();
    if (first == 0) {
        check_refused(MU_ENOTSUP);
        _exit(0);
    }
    mu_check_eq(waitpid(first, &status, 0), first);
    mu_check_eq(status, 0);
    leave_whole();
}

MU_TEST(odd_host, a_system_is_not_started_with_the_proc_of_another_pid_namespace)
{
    check_survives("host_in_a_pid_namespace_with_the_proc_of_another");
}

MU_ROLE(host_without_proc)
{
    isolate(CLONE_NEWNS);
    mu_check_eq(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    mu_check_eq(mount("none", "/proc", "tmpfs", 0, NULL), 0);
    check_refused(MU_ERRNO(ENOENT));
    leave_whole();
}

MU_TEST(odd_host, a_system_is_not_started_without_proc)
{
    check_survives("host_without_proc");
}

/* ---- its limits ------------------------------------------------------------------------------ */

/* The default action of SIGXFSZ ends the process. */
MU_ROLE(host_that_may_write_no_file)
{
    char directory[] = "/tmp/muster-odd-XXXXXX";
    mu_system *system;
    mu_error error = MU_ERROR_INIT;
    sigset_t pending;
    mu_check(mkdtemp(directory));
    mu_system_options options = MU_SYSTEM_OPTIONS_INIT;
    options.tracking_dir = directory;
    rlim_t before = limit(RLIMIT_FSIZE, 0);
    mu_err err = mu_system_start(&options, &system, &error);
    mu_check_eq(sigpending(&pending), 0);
    (void)limit(RLIMIT_FSIZE, before);
    mu_check_err(err, MU_ERRNO(EFBIG));
    mu_check_contains(error.message, directory);
    mu_check(!sigismember(&pending, SIGXFSZ));
    mu_error_clear(&error);
    mu_check_ok(mu_system_start(&options, &system, NULL));
    mu_check_eq(mu_system_stop(&system), 0u);
    mu_check_eq(rmdir(directory), 0);
    puts("whole");
    return 0;
}

MU_TEST(odd_host, R4_a_host_that_may_write_no_file_is_told_so_and_lives)
{
    check_survives("host_that_may_write_no_file");
}

/* As some do who mean to open nothing any more: poll(2) then refuses more fds than that. */
MU_ROLE(host_that_may_open_nothing)
{
    static fault_rig rig;
    start(&rig);
    for (rlim_t most = 0; most < 3; most++) {
        rlim_t before = limit(RLIMIT_NOFILE, most);
        check_serves(&rig);
        mu_check_err(fault_ask(&rig, "odd", 300 * MU_TEST_SCALE, NULL, "{s:s}", "how", "half"),
                     MU_EEXEC_TIMEOUT);
        (void)limit(RLIMIT_NOFILE, before);
        uint32_t next = (uint32_t)most + 2;
        mu_wait_until(rig_worker(&rig.pool, 0).generation >= next && rig_available(&rig.pool) == 1,
                      PATIENCE_MS);
    }
    fault_close(&rig);
    puts("whole");
    return 0;
}

MU_TEST(odd_host, requests_and_their_deadlines_go_on_in_a_host_that_may_open_nothing_any_more,
        .timeout = 60)
{
    check_survives("host_that_may_open_nothing");
}

/* ---- a limit of fds that is none at all ---- */

static bool runs(const mu__proc_id *id)
{
    mu__proc_stat st;
    return mu__proc_read_stat(id->pid, &st) == MU_OK && st.start == id->start &&
           !mu__proc_has_ended(&st);
}

static mu__proc_id warden_of(mu_system *system)
{
    mu__proc_stat st;
    mu__proc_id id = {.pid = mu__warden_pid(mu__warden_of(system))};
    mu_check_ok(mu__proc_read_stat(id.pid, &st));
    id.start = st.start;
    return id;
}

MU_ROLE(host_that_may_open_nothing_and_stops)
{
    for (int i = 0; i < STOPS; i++) {
        mu_system *system;
        mu_check_ok(mu_system_start(NULL, &system, NULL));
        mu__proc_id warden = warden_of(system);
        rlim_t before = limit(RLIMIT_NOFILE, 0);
        mu_check_eq(mu_system_stop(&system), 0u);
        (void)limit(RLIMIT_NOFILE, before);
        mu_check_msg(!runs(&warden), "stop %d has returned before the warden's end", i);
    }
    puts("whole");
    return 0;
}

MU_TEST(odd_host, no_warden_is_left_when_a_host_has_stopped_that_may_open_nothing_any_more,
        .timeout = 60)
{
    check_survives("host_that_may_open_nothing_and_stops");
}

/* As anybody may do who has the host's user. */
static void limit_warden(const mu__proc_id *warden, rlim_t soft, rlim_t hard)
{
    struct rlimit none = {soft, hard};
    mu_check_eq(prlimit(warden->pid, RLIMIT_NOFILE, &none, NULL), 0);
}

MU_ROLE(host_whose_warden_is_limited)
{
    static fault_rig rig;
    struct rlimit before, now;
    start(&rig);
    mu__proc_id warden = warden_of(rig.pool.system);
    mu_check_eq(prlimit(warden.pid, RLIMIT_NOFILE, NULL, &before), 0);
    limit_warden(&warden, 0, before.rlim_max);
    check_restarts(&rig);
    mu_check(runs(&warden)); /* it was never given up */
    mu_check_eq(prlimit(warden.pid, RLIMIT_NOFILE, NULL, &now), 0);
    mu_check_eq(now.rlim_cur, before.rlim_cur);
    fault_close(&rig);
    puts("whole");
    return 0;
}

MU_TEST(odd_host, a_warden_whose_limit_of_fds_somebody_lowers_takes_it_back)
{
    check_survives("host_whose_warden_is_limited");
}

static bool sleeps(const mu__proc_id *id)
{
    char path[40], text[256] = "";
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)id->pid);
    FILE *file = fopen(path, "re");
    mu_check(file);
    (void)!fread(text, 1, sizeof text - 1, file);
    (void)fclose(file);
    const char *state = strrchr(text, ')');
    return state && state[2] == 'S';
}

/* Its warden may not raise its limit again; only root may, and what root starts has to be told. */
MU_ROLE(host_whose_warden_is_limited_for_good)
{
    static fault_rig rig;
    (void)prctl(PR_CAPBSET_DROP, CAP_SYS_RESOURCE, 0, 0, 0);
    start(&rig);
    mu__proc_id warden = warden_of(rig.pool.system);
    limit_warden(&warden, 0, 0);
    check_serves(&rig);
    fault_kill(rig_worker(&rig.pool, 0).os_pid, SIGKILL);
    mu_wait_until(rig_worker(&rig.pool, 0).state == MU_WORKER_RESTARTING, PATIENCE_MS);
    mu_wait_until(sleeps(&warden), PATIENCE_MS); /* it has nothing to do, and does nothing */
    mu_check(runs(&warden));
    fault_close(&rig);
    mu_check(!runs(&warden));
    puts("whole");
    return 0;
}

MU_TEST(odd_host, a_warden_that_may_open_nothing_any_more_sleeps_and_can_be_stopped)
{
    check_survives("host_whose_warden_is_limited_for_good");
}

/* ---- its fds --------------------------------------------------------------------------------- */

MU_ROLE(host_with_more_fds_than_select_takes)
{
    static fault_rig rig;
    (void)limit(RLIMIT_NOFILE, 2 * BEYOND_SELECT);
    for (int fd = 0; fd >= 0 && fd < BEYOND_SELECT; fd = fcntl(2, F_DUPFD_CLOEXEC, fd))
        ;
    start(&rig);
    check_restarts(&rig);
    fault_close(&rig);
    puts("whole");
    return 0;
}

MU_TEST(odd_host, a_host_with_more_fds_than_select_takes_is_served)
{
    check_survives("host_with_more_fds_than_select_takes");
}

/* A daemon that has closed them and opened nothing in their place. */
MU_ROLE(host_without_standard_input_and_output)
{
    static fault_rig rig;
    int out = fcntl(1, F_DUPFD_CLOEXEC, 100);
    mu_check_gt(out, 0);
    close(0);
    close(1);
    start(&rig);
    check_restarts(&rig);
    fault_close(&rig);
    mu_check_eq(write(out, "whole\n", 6), 6);
    return 0;
}

MU_TEST(odd_host, a_host_that_has_closed_its_standard_input_and_output_is_served)
{
    check_survives("host_without_standard_input_and_output");
}
