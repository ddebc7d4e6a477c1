/*
 * The register of a system's processes and its file, with real systems: what it shows, what it
 * survives, and what the next system does with what a killed one left.
 */
#include "port/tracking.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <muster/system.h>
#include <muster/timer.h>
#include <muster/tracking.h>

#include "base/clock.h"
#include "base/proc.h"
#include "base/sys.h"
#include "port/warden.h"
#include "runtime/runtime.h"
#include "support/mu_role.h"
#include "support/mu_marked.h"
#include "support/mu_test.h"

static _Atomic int failures;

static void hear(void *ctx, const mu_event *event)
{
    (void)ctx;
    if (strcmp(event->name, "tracking.failed") == 0)
        atomic_fetch_add(&failures, 1);
}

static void make_dir(char dir[64])
{
    snprintf(dir, 64, "/tmp/muster-track-XXXXXX");
    mu_check(mkdtemp(dir) != NULL);
}

static mu_system_options options_for(const char *dir)
{
    mu_system_options options = MU_SYSTEM_OPTIONS_INIT;
    options.tracking_dir = dir;
    options.event_hook = (mu_event_hook){hear, NULL};
    return options;
}

static mu_system *start(const char *dir)
{
    mu_error error = MU_ERROR_INIT;
    mu_system *system = NULL;
    mu_system_options options = options_for(dir);
    mu_err err = mu_system_start(&options, &system, &error);
    mu_check_msg(err == MU_OK, "%s", error.message);
    return system;
}

static mu__child *start_sh(mu_system *system, const char *id, const char *script)
{
    char sh[] = "sh", c[] = "-c", *argv[] = {sh, c, (char *)(uintptr_t)script, NULL},
         *envp[] = {NULL};
    mu_error error = MU_ERROR_INIT;
    mu__child *child = NULL;
    mu__child_spec spec = MU__CHILD_SPEC_INIT;
    spec.path = "/bin/sh";
    spec.argv = argv;
    spec.envp = envp;
    spec.worker_id = id;
    spec.generation = 3;
    mu_err err = mu__child_spawn(mu__warden_of(system), &spec, mu_now(system) + 20 * MU_SECOND,
                                 &child, &error);
    mu_check_msg(err == MU_OK, "%s", error.message);
    return child;
}

static void end_child(mu_system *system, mu__child *child)
{
    (void)mu__child_signal(child, SIGKILL, MU__SCOPE_TREE);
    mu_check_ok(mu__child_wait(child, mu_now(system) + 20 * MU_SECOND, NULL));
    mu__child_unref(child);
}

static mu_tracking_stats stats_of(mu_system *system)
{
    mu_tracking_stats stats;
    mu_check_ok(mu_tracking_stats_get(system, &stats));
    return stats;
}

static mu_tracking_report report_of(mu_system *system)
{
    mu_tracking_report report;
    mu_check_ok(mu_tracking_validate(system, &report));
    return report;
}

static int files_in(const char *dir)
{
    int count = 0;
    DIR *d = opendir(dir);
    const struct dirent *entry;
    while ((entry = readdir(d)) != NULL)
        count += entry->d_name[0] != '.';
    closedir(d);
    return count;
}

MU_TEST(tracking, shows_what_lives_and_forgets_what_was_reaped)
{
    char dir[64];
    mu_tracked *list, found;
    size_t count;
    make_dir(dir);
    mu_system *system = start(dir);
    mu__child *first = start_sh(system, "worker_1", "exec sleep 1000"),
              *second = start_sh(system, "worker_2", "exec sleep 1000");
    mu_check_ok(mu_tracking_list(system, &list, &count));
    mu_check_eq(count, 2u);
    mu_check_str(list[0].worker, "worker_1");
    mu_check_eq(list[0].os_pid, mu__child_pid(first));
    mu_check_eq(list[0].start_time, mu__child_start_time(first));
    mu_check_eq(list[0].generation, 3u);
    free(list);
    mu_check_ok(mu_tracking_find(system, mu__child_pid(second), &found));
    mu_check_str(found.worker, "worker_2");
    mu_check_err(mu_tracking_find(system, getpid(), &found), MU_ENOTFOUND);

    mu_tracking_report report = report_of(system);
    mu_check_eq(report.alive, 2u);
    mu_check(report.file_ok);
    mu_check_eq(report.file_living, 2u);
    mu_check_eq(report.file_torn, 0u);

    end_child(system, first);
    mu_wait_until(stats_of(system).tracked == 1, 5000);
    mu_check_eq(stats_of(system).born, 2u);
    mu_check_eq(stats_of(system).gone, 1u);
    mu_check(report_of(system).file_ok);
    end_child(system, second);
    mu_check_eq(mu_system_stop(&system), 0u);
    mu_check_eq(files_in(dir), 0);
    rmdir(dir);
}

MU_TEST(tracking, says_whose_processes_they_are)
{
    char dir[64], prefix[80];
    mu_tracking_info info;
    make_dir(dir);
    mu_system *system = start(dir);
    mu_check_ok(mu_tracking_info_get(system, &info));
    mu_check_str(info.run_id, mu_system_run_id(system));
    mu_check_eq(info.host_pid, getpid());
    mu__proc_stat st;
    mu_check_ok(mu__proc_read_stat(getpid(), &st));
    mu_check_eq(info.host_start_time, st.start);
    mu_check_eq(info.warden_pid, mu__warden_pid(mu__warden_of(system)));
    mu_check(info.boot_id[0] && info.pid_namespace);
    snprintf(prefix, sizeof prefix, "%s/%d-", dir, (int)getpid());
    mu_check_contains(info.file, prefix);
    mu_check_eq(mu_system_stop(&system), 0u);
    rmdir(dir);
}

MU_TEST(tracking, works_without_a_file_and_not_without_children)
{
    mu_tracking_info info;
    mu_system *system = start("");
    mu__child *child = start_sh(system, "worker_1", "exec sleep 1000");
    mu_check_ok(mu_tracking_info_get(system, &info));
    mu_check_str(info.file, "");
    mu_check_eq(stats_of(system).tracked, 1u);
    mu_check(report_of(system).file_ok);
    end_child(system, child);
    mu_check_eq(mu_system_stop(&system), 0u);

    mu_system_options options = options_for("");
    options.no_children = true;
    mu_check_ok(mu_system_start(&options, &system, NULL));
    mu_check_err(mu_tracking_info_get(system, &info), MU_ENOTSUP);
    mu_check_eq(mu_system_stop(&system), 0u);
}

MU_TEST(tracking, two_systems_in_one_directory_leave_each_other_alone)
{
    char dir[64];
    make_dir(dir);
    mu_system *one = start(dir);
    mu__child *child = start_sh(one, "worker_1", "exec sleep 1000");
    mu_system *two = start(dir);
    mu_check_eq(files_in(dir), 2);
    mu_check_eq(stats_of(two).swept_files, 0u);
    mu_check_eq(mu_system_stop(&two), 0u);
    mu_check(!mu__child_exited(child, NULL));
    mu_check_eq(report_of(one).alive, 1u);
    mu_check(report_of(one).file_ok);
    end_child(one, child);
    mu_check_eq(mu_system_stop(&one), 0u);
    rmdir(dir);
}

MU_TEST(tracking, uses_the_runtime_directory_by_default_and_does_without_a_bad_one)
{
    char dir[64], sub[80];
    struct stat st;
    make_dir(dir);
    snprintf(sub, sizeof sub, "%s/muster", dir);
    setenv("XDG_RUNTIME_DIR", dir, 1);
    mu_system *system = start(NULL);
    mu_check_eq(files_in(sub), 1);
    mu_check_eq(mu_system_stop(&system), 0u);
    mu_check_eq(files_in(sub), 0);
    rmdir(sub);

    mu_check_eq(symlink("/tmp", sub), 0);
    atomic_store(&failures, 0);
    system = start(NULL);
    mu_check_eq(atomic_load(&failures), 1);
    mu_check_eq(mu_system_stop(&system), 0u);
    mu_check_eq(lstat(sub, &st), 0);
    unlink(sub);
    rmdir(dir);
}

/* ---- Z3 ------------------------------------------------------------------------------------ */

static void check_refused_by(const mu_sys *sys, const char *dir, mu_err expected, const char *word)
{
    mu_error error = MU_ERROR_INIT;
    mu_system *system = NULL;
    mu_system_options options = options_for(dir);
    options.sys = sys;
    mu_check_err(mu_system_start(&options, &system, &error), expected);
    mu_check_contains(error.message, word);
    mu_check(!system);
    mu_error_clear(&error);
}

static void check_refused(const char *dir, mu_err expected, const char *word)
{
    check_refused_by(&mu__sys_real, dir, expected, word);
}

MU_TEST(tracking, Z3_a_directory_that_others_could_write_is_refused)
{
    char dir[64], path[80], slash[96];
    make_dir(dir);
    snprintf(path, sizeof path, "%s/d", dir);
    mu_check_eq(mkdir(path, 0700), 0);
    mu_check_eq(chmod(path, 0777), 0);
    check_refused(path, MU_ERRNO(EPERM), "mode 777");
    mu_check_eq(chmod(path, 0710), 0);
    check_refused(path, MU_ERRNO(EPERM), "mode 710");
    mu_check_eq(chmod(path, 0700), 0);
    if (geteuid() == 0) {
        mu_check_eq(chown(path, 65534, 65534), 0);
        check_refused(path, MU_ERRNO(EPERM), "user 65534");
    }
    rmdir(path);
    mu_check_eq(symlink(dir, path), 0);
    check_refused(path, MU_ERRNO(ENOTDIR), "link");
    snprintf(slash, sizeof slash, "%s///", path);
    check_refused(slash, MU_ERRNO(ENOTDIR), "link");
    unlink(path);
    mu_check_eq(mkfifo(path, 0600), 0);
    check_refused(path, MU_ERRNO(ENOTDIR), "no directory");
    unlink(path);
    check_refused("relative", MU_EINVAL, "not absolute");
    check_refused("/no/such/parent/dir", MU_ERRNO(ENOENT), "/no/such/parent/dir");
    rmdir(dir);
}

MU_TEST(tracking, Z3_directory_and_file_are_private_whatever_the_umask_is)
{
    const mode_t masks[] = {0, 0777};
    for (int i = 0; i < 2; i++) {
        char dir[64], path[80];
        mu_tracking_info info;
        struct stat st;
        make_dir(dir);
        snprintf(path, sizeof path, "%s/d", dir);
        mode_t old = umask(masks[i]);
        mu_system *system = start(path);
        umask(old);
        mu_check_ok(mu_tracking_info_get(system, &info));
        mu_check_eq(stat(path, &st), 0);
        mu_check_eq(st.st_mode & 07777, 0700u);
        mu_check_eq(stat(info.file, &st), 0);
        mu_check_eq(st.st_mode & 07777, 0600u);
        mu_check_eq(mu_system_stop(&system), 0u);
        rmdir(path);
        rmdir(dir);
    }
}

/* ---- R4 ------------------------------------------------------------------------------------ */

static _Atomic int
    write_error; /* errno of writes to files; 0: none. Negative: half of it is written first */

static ssize_t failing_write(int fd, const void *data, size_t size)
{
    struct stat st;
    int error = atomic_load(&write_error);
    if (!error || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return mu__sys_real.write(fd, data, size);
    if (error < 0) {
        atomic_store(&write_error, -error);
        return mu__sys_real.write(fd, data, size / 2);
    }
    errno = error;
    return -1;
}

static mu_sys disk;

static mu_system *start_with_disk(const char *dir)
{
    mu_system *system = NULL;
    mu_system_options options = options_for(dir);
    disk = mu__sys_real;
    disk.write = failing_write;
    options.sys = &disk;
    mu_check_ok(mu_system_start(&options, &system, NULL));
    return system;
}

MU_TEST(tracking, R4_a_full_disk_is_told_and_the_file_stays_whole)
{
    static const int errors[] = {ENOSPC, EIO, EDQUOT, -ENOSPC};
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        char dir[64];
        make_dir(dir);
        atomic_store(&failures, 0);
        mu_system *system = start_with_disk(dir);
        mu__child *children[3];
        children[0] = start_sh(system, "worker_1", "exec sleep 1000");
        mu_check(report_of(system).file_ok);
        atomic_store(&write_error, errors[i]);
        children[1] = start_sh(system, "worker_2", "exec sleep 1000"); /* and serves */
        mu_check_eq(atomic_load(&failures), 1);
        mu_check_eq(stats_of(system).write_errors, 1u);
        mu_check_eq(stats_of(system).tracked, 2u);
        mu_check(!report_of(system).file_ok);
        mu_check_eq(report_of(system).file_living, 1u); /* the old file, whole */
        mu_check_eq(report_of(system).file_torn, 0u);
        atomic_store(&write_error, 0);
        children[2] = start_sh(system, "worker_3", "exec sleep 1000");
        mu_check(report_of(system).file_ok); /* with what it lacked */
        mu_check_eq(report_of(system).file_living, 3u);
        mu_check_eq(files_in(dir), 1);
        for (int c = 0; c < 3; c++)
            end_child(system, children[c]);
        mu_check_eq(mu_system_stop(&system), 0u);
        mu_check_eq(files_in(dir), 0);
        rmdir(dir);
    }
}

static _Atomic int boot_id_fd = -1;

static int open_and_note(const char *path, int flags, mode_t mode)
{
    int fd = mu__sys_real.open(path, flags, mode);
    if (strcmp(path, "/proc/sys/kernel/random/boot_id") == 0)
        atomic_store(&boot_id_fd, fd);
    return fd;
}

static ssize_t read_all_but_the_boot_id(int fd, void *data, size_t size)
{
    int noted = fd;
    if (!atomic_compare_exchange_strong(&boot_id_fd, &noted, -1))
        return mu__sys_real.read(fd, data, size);
    errno = EIO;
    return -1;
}

static int open_no_list(int dir_fd, const char *path, int flags, mode_t mode)
{
    if (strcmp(path, ".") != 0)
        return mu__sys_real.openat(dir_fd, path, flags, mode);
    errno = EMFILE;
    return -1;
}

/* Who cannot tell one boot from another would take each file for one of an earlier boot. */
MU_TEST(tracking, R4_a_start_that_cannot_tell_what_others_left_is_refused)
{
    char dir[64];
    make_dir(dir);
    mu_sys no_boot_id = mu__sys_real, no_list = mu__sys_real;
    no_boot_id.open = open_and_note;
    no_boot_id.read = read_all_but_the_boot_id;
    check_refused_by(&no_boot_id, dir, MU_ERRNO(EIO), "what this process is");
    no_list.openat = open_no_list;
    check_refused_by(&no_list, dir, MU_ERRNO(EMFILE), dir);
    mu_check_eq(files_in(dir), 0);
    rmdir(dir);
}

MU_TEST(tracking, R4_a_file_that_cannot_be_made_refuses_the_start)
{
    char dir[64];
    mu_error error = MU_ERROR_INIT;
    mu_system *system = NULL;
    make_dir(dir);
    mu_system_options options = options_for(dir);
    disk = mu__sys_real;
    disk.write = failing_write;
    options.sys = &disk;
    atomic_store(&write_error, ENOSPC);
    mu_check_err(mu_system_start(&options, &system, &error), MU_ERRNO(ENOSPC));
    mu_check_contains(error.message, dir);
    atomic_store(&write_error, 0);
    mu_check_eq(files_in(dir), 0);
    mu_error_clear(&error);
    rmdir(dir);
}

MU_TEST(tracking, a_long_life_does_not_make_a_long_file)
{
    char dir[64];
    make_dir(dir);
    mu_system *system = start(dir);
    mu__tracking *tracking = mu__warden_tracking(mu__warden_of(system));
    for (uint64_t serial = 1000; serial < 4000; serial++) {
        const mu__track_child child = {serial, 999999, serial, 1, 1, 1, "worker_1"};
        mu__tracking_born(tracking, &child, MU_PID_NONE);
        mu__tracking_gone(tracking, serial);
    }
    mu_tracking_stats stats = stats_of(system);
    mu_check_eq(stats.tracked, 0u);
    mu_check_gt(stats.rewrites, 0u);
    mu_check_lt(stats.file_bytes, 70000u);
    mu_check_eq(files_in(dir), 1);
    mu_check_eq(mu_system_stop(&system), 0u);
    rmdir(dir);
}

/* ---- hosts that are killed ----------------------------------------------------------------- */

static int killing_at; /* the n-th write or open of the tracking file; 0: none */

static void count_down(void)
{
    if (killing_at > 0 && --killing_at == 0)
        kill(getpid(), SIGKILL);
}

/* Half of it, then the end. */
static ssize_t deadly_write(int fd, const void *data, size_t size)
{
    struct stat st;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        if (killing_at == 1)
            (void)!write(fd, data, size / 2);
        count_down();
    }
    return mu__sys_real.write(fd, data, size);
}

static int deadly_openat(int dir_fd, const char *path, int flags, mode_t mode)
{
    int fd = mu__sys_real.openat(dir_fd, path, flags, mode);
    count_down();
    return fd;
}

/*
 * tracked_host DIR N: starts three processes that leave things behind; tells its warden, its run
 * and the three.
 */
MU_ROLE(tracked_host)
{
    killing_at = atoi(argv[2]);
    disk = mu__sys_real;
    disk.write = deadly_write;
    disk.openat = deadly_openat;
    mu_system_options options = options_for(argv[1]);
    options.sys = &disk;
    mu_system *system = NULL;
    mu_check_ok(mu_system_start(&options, &system, NULL));
    int pids[3];
    for (int i = 0; i < 3; i++)
        pids[i] =
            mu__child_pid(start_sh(system, "worker_1", "setsid sleep 1000 & exec sleep 1000"));
    printf("%d %s %d %d %d\n", mu__warden_pid(mu__warden_of(system)), mu_system_run_id(system),
           pids[0], pids[1], pids[2]);
    for (;;)
        pause();
}

static bool is_dead(pid_t pid)
{
    mu__proc_stat st;
    return mu__proc_read_stat(pid, &st) != MU_OK || st.state == 'Z';
}

/*
 * The warden's end kills its children, the three, by PDEATHSIG; what they left outlives it and is
 * what the next start has to find. The three are waited for: one that is still dying has no
 * environment any more, so no count by run id shows it, but a start that finds it on record before
 * it is a zombie sweeps it, too, as it should.
 */
MU_TEST(tracking, the_next_start_sweeps_what_host_and_warden_left)
{
    char dir[64], run_id[MU__WP_RUN_ID_MAX];
    int warden, pids[3];
    make_dir(dir);
    mu_role host = mu_role_start("tracked_host", dir, "0", NULL);
    mu_check_eq(sscanf(mu_role_line(&host, 20000), "%d %63s %d %d %d", &warden, run_id, &pids[0],
                       &pids[1], &pids[2]),
                5);
    mu_wait_until(mu_marked(MU__ENV_RUN_ID, run_id) == 7,
                  10000);                  /* three, what they left, the warden */
    mu_check_eq(kill(warden, SIGSTOP), 0); /* so that neither can clean up after the other */
    mu_check_eq(kill(host.pid, SIGKILL), 0);
    mu_check_eq(kill(warden, SIGKILL), 0);
    mu_check_eq(mu_role_end(&host, 10000), -SIGKILL);
    for (int i = 0; i < 3; i++)
        mu_wait_until(is_dead(pids[i]), 10000);
    mu_wait_until(is_dead(warden) && mu_marked(MU__ENV_RUN_ID, run_id) == 3, 10000);

    mu_system *system = start(dir);
    mu_check_eq(mu_marked(MU__ENV_RUN_ID, run_id), 0);
    mu_check_eq(stats_of(system).swept_files, 1u);
    mu_check_eq(stats_of(system).swept_processes, 3u);
    mu_check_eq(mu_system_stop(&system), 0u);
    mu_check_eq(files_in(dir), 0);
    rmdir(dir);
}

static int no_boot_open(const char *path, int flags, mode_t mode)
{
    if (strstr(path, "boot_id")) {
        errno = EMFILE;
        return -1;
    }
    return mu__sys_real.open(path, flags, mode);
}

MU_TEST(tracking, S3_a_start_that_cannot_tell_its_boot_throws_no_file_of_another_run_away)
{
    char dir[64];
    int warden, pids[3];
    make_dir(dir);
    mu_role host = mu_role_start("tracked_host", dir, "0", NULL);
    mu_check_eq(sscanf(mu_role_line(&host, 20000), "%d %*s %d %d %d", &warden, &pids[0], &pids[1],
                       &pids[2]),
                4);
    mu_check_eq(kill(warden, SIGSTOP), 0);
    mu_check_eq(kill(host.pid, SIGKILL), 0);
    mu_check_eq(kill(warden, SIGKILL), 0);
    mu_check_eq(mu_role_end(&host, 10000), -SIGKILL);

    mu_error error = MU_ERROR_INIT;
    mu_system *system = NULL;
    mu_system_options options = options_for(dir);
    mu_sys blind = mu__sys_real;
    blind.open = no_boot_open;
    options.sys = &blind;
    mu_check_err(mu_system_start(&options, &system, &error), MU_ERRNO(EMFILE));
    mu_check_contains(error.message, dir);
    mu_error_clear(&error);
    mu_check_eq(files_in(dir), 1);

    system = start(dir); /* one who knows it sweeps what the file names */
    mu_check_eq(mu_system_stop(&system), 0u);
    mu_check_eq(files_in(dir), 0);
    rmdir(dir);
}

MU_TEST(tracking, S3_a_host_killed_at_any_write_of_its_file_leaves_nothing_that_is_not_swept,
        .timeout = 120)
{
    char dir[64], nth[16];
    bool whole = false;
    make_dir(dir);
    for (int n = 1; !whole; n++) {
        snprintf(nth, sizeof nth, "%d", n);
        mu_role host = mu_role_start("tracked_host", dir, nth, NULL);
        const mu__proc_id self = mu_marked_host(host.pid);
        whole = mu_role_line(&host, 20000) != NULL; /* it came through: there is no n-th */
        (void)kill(host.pid, SIGKILL);
        mu_check_eq(mu_role_end(&host, 10000), -SIGKILL);
        mu_system *system = start(dir);
        mu_wait_until(mu_marked_by(self) == 0, 5000);
        mu_check_eq(mu_system_stop(&system), 0u);
        mu_check_eq(files_in(dir), 0);
        mu_check_lt(n, 40);
    }
    rmdir(dir);
}
