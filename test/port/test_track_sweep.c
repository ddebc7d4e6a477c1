/*
 * What a start does with the files that it finds: the table of verdicts, and real directories with
 * real processes. The processes are forked copies of the test; their "run" is written by hand.
 */
#include "port/track_sweep.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <muster/system.h>
#include <muster/tracking.h>

#include "base/proc.h"
#include "support/mu_role.h"
#include "support/mu_test.h"

/* Their host's pid is nobody's; the rest tells tests that run at the same time apart. */
static char run_id[64], other_id[64], run_file[80], run_new[80];

typedef struct ground {
    char dir[64];
    int fd;
    mu__track_run here;
    mu__track_swept swept;
    mu_event_hook hook;
} ground;

static void begin(ground *g)
{
    memset(g, 0, sizeof *g);
    snprintf(run_id, sizeof run_id, "99999999-%032x", (unsigned)getpid());
    snprintf(other_id, sizeof other_id, "99999999-a%031x", (unsigned)getpid());
    snprintf(run_file, sizeof run_file, "%s.run", run_id);
    snprintf(run_new, sizeof run_new, "%s.new", run_id);
    snprintf(g->dir, sizeof g->dir, "/tmp/muster-sweep-XXXXXX");
    mu_check(mkdtemp(g->dir) != NULL);
    g->fd = open(g->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    mu_check(g->fd >= 0);
    g->here = (mu__track_run){.run_id = "", .boot_id = "this-boot", .pid_ns = 5};
}

static void end(ground *g)
{
    close(g->fd);
    mu_check_eq(rmdir(g->dir), 0);
}

static void sweep(ground *g)
{
    mu__track_sweep(&mu__sys_real, g->fd, &g->here, &g->hook, &g->swept);
}

/* A file with this host and, if `pid` is not 0, this process. */
static void write_file(const ground *g, const char *name, const mu__track_run *host, int pid,
                       uint64_t start)
{
    char line[MU__TRACK_LINE_MAX];
    mu__track_record run = {.kind = MU__TRACK_RUN, .run = *host};
    mu__track_record child = {.kind = MU__TRACK_BORN,
                              .child = {1, pid, start, 1, 1, 1, "worker_1"}};
    int fd = openat(g->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    mu_check(fd >= 0);
    size_t size = mu__track_format(&run, line);
    mu_check_eq(write(fd, line, size), (ssize_t)size);
    size = mu__track_format(&child, line);
    if (pid)
        mu_check_eq(write(fd, line, size), (ssize_t)size);
    close(fd);
}

static mu__track_run dead_host(const ground *g)
{
    mu__track_run run = g->here;
    snprintf(run.run_id, sizeof run.run_id, "%s", run_id);
    run.host_pid = 99999999;
    run.host_start = 1;
    return run;
}

static bool exists(const ground *g, const char *name)
{
    struct stat st;
    return fstatat(g->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static pid_t fork_sleeper(uint64_t *ret_start)
{
    mu__proc_stat st;
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        prctl(PR_SET_NAME, "a) S 1 1");
        for (;;)
            pause();
    }
    mu_check_ok(mu__proc_read_stat(pid, &st));
    *ret_start = st.start;
    return pid;
}

static bool was_killed(pid_t pid)
{
    int status;
    pid_t ended = waitpid(pid, &status, WNOHANG);
    return ended == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

static void end_sleeper(pid_t pid)
{
    mu_check_eq(waitpid(pid, NULL, WNOHANG), 0); /* it lives */
    kill(pid, SIGKILL);
    mu_check_eq(waitpid(pid, NULL, 0), pid);
}

MU_TEST(track_sweep, judges_as_its_table_says)
{
    for (unsigned bits = 0; bits < 64; bits++) {
        const mu__track_signs s = {.own = bits & 1,
                                   .locked = bits & 2,
                                   .readable = bits & 4,
                                   .same_boot = bits & 8,
                                   .same_namespace = bits & 16,
                                   .host_alive = bits & 32};
        mu__track_verdict expected;
        if (s.own)
            expected = MU__TRACK_LEAVE;
        else if (!s.readable)
            expected = s.locked ? MU__TRACK_KILL : MU__TRACK_LEAVE;
        else if (!s.same_boot)
            expected = s.locked ? MU__TRACK_REMOVE : MU__TRACK_LEAVE;
        else if (!s.same_namespace)
            expected = MU__TRACK_LEAVE;
        else
            expected = s.locked || !s.host_alive ? MU__TRACK_KILL : MU__TRACK_LEAVE;
        mu_check_msg(mu__track_judge(&s) == expected, "signs %u", bits);
    }
}

MU_TEST(track_sweep, kills_a_recorded_process_that_removed_its_marks)
{
    ground g;
    uint64_t start;
    begin(&g);
    mu__track_run run = dead_host(&g);
    pid_t pid = fork_sleeper(&start);
    write_file(&g, run_file, &run, pid, start);
    sweep(&g);
    mu_check(was_killed(pid));
    mu_check_eq(g.swept.files, 1u);
    mu_check_eq(g.swept.processes, 1u);
    mu_check(!exists(&g, run_file));
    end(&g);
}

MU_TEST(track_sweep, S5_a_stranger_with_a_recorded_pid_lives)
{
    ground g;
    uint64_t start;
    begin(&g);
    mu__track_run run = dead_host(&g);
    pid_t pid = fork_sleeper(&start);
    write_file(&g, run_file, &run, pid, start + 1);
    sweep(&g);
    end_sleeper(pid);
    mu_check_eq(g.swept.processes, 0u);
    mu_check(!exists(&g, run_file));
    end(&g);
}

MU_TEST(track_sweep, S6_nothing_is_killed_for_a_file_of_another_boot_or_namespace)
{
    ground g;
    uint64_t start;
    begin(&g);
    pid_t pid = fork_sleeper(&start);
    mu__track_run run = dead_host(&g);
    snprintf(run.boot_id, sizeof run.boot_id, "another-boot");
    write_file(&g, run_file, &run, pid, start);
    sweep(&g);
    mu_check(!exists(&g, run_file)); /* all that it names has ended with its boot */
    mu_check_eq(g.swept.processes, 0u);

    run = dead_host(&g);
    run.pid_ns = 6;
    write_file(&g, run_file, &run, pid, start);
    sweep(&g);
    mu_check(exists(&g, run_file));
    mu_check_eq(g.swept.files, 0u);
    mu_check_eq(unlinkat(g.fd, run_file, 0), 0);
    end_sleeper(pid);
    end(&g);
}

MU_TEST(track_sweep, S6_a_host_that_lives_keeps_its_processes)
{
    ground g;
    uint64_t start;
    mu__proc_stat self;
    begin(&g);
    mu_check_ok(mu__proc_read_stat(getpid(), &self));
    pid_t pid = fork_sleeper(&start);
    mu__track_run run = dead_host(&g);
    run.host_pid = getpid();
    run.host_start = self.start;
    write_file(&g, run_file, &run, pid, start);
    int owner = openat(g.fd, run_file, O_RDONLY | O_CLOEXEC);
    mu_check_eq(flock(owner, LOCK_EX | LOCK_NB), 0);
    sweep(&g);
    mu_check(exists(&g, run_file));
    mu_check_eq(waitpid(pid, NULL, WNOHANG), 0);

    /* Whoever has the lock of a dead host is a copy that was forked from it: nobody to be spared */
    run.host_start++;
    mu_check_eq(unlinkat(g.fd, run_file, 0), 0);
    write_file(&g, run_file, &run, pid, start);
    int copy = openat(g.fd, run_file, O_RDONLY | O_CLOEXEC);
    mu_check_eq(flock(copy, LOCK_EX | LOCK_NB), 0);
    sweep(&g);
    mu_check(was_killed(pid));
    mu_check(!exists(&g, run_file));
    close(owner);
    close(copy);
    end(&g);
}

static void *live_on(void *arg)
{
    (void)arg;
    puts("ready");
    for (;;)
        pause();
    return NULL;
}

MU_ROLE(host_without_its_first_thread)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, live_on, NULL) == 0)
        pthread_exit(NULL);
    return 1;
}

MU_TEST(track_sweep, S6_a_host_whose_first_thread_has_ended_lives)
{
    ground g;
    uint64_t start;
    mu__proc_stat st;
    begin(&g);
    pid_t pid = fork_sleeper(&start);
    mu_role host = mu_role_start("host_without_its_first_thread", NULL);
    mu_check_str(mu_role_line(&host, 10000), "ready");
    mu_wait_until(mu__proc_read_stat(host.pid, &st) == MU_OK && st.state == 'Z', 5000);
    mu__track_run run = dead_host(&g);
    run.host_pid = host.pid;
    run.host_start = st.start;
    write_file(&g, run_file, &run, pid, start);
    int owner = openat(g.fd, run_file, O_RDONLY | O_CLOEXEC);
    mu_check_eq(flock(owner, LOCK_EX | LOCK_NB), 0);
    sweep(&g);
    mu_check(exists(&g, run_file));
    end_sleeper(pid);
    mu_check_eq(kill(host.pid, SIGKILL), 0);
    mu_check_eq(mu_role_end(&host, 5000), -SIGKILL);
    mu_check_eq(unlinkat(g.fd, run_file, 0), 0);
    close(owner);
    end(&g);
}

/* A sleeper whose environment names the run, as an exec'd process has it. */
static pid_t start_marked(const char *whose)
{
    char mark[128], name[] = "sleep", time[] = "1000", *argv[] = {name, time, NULL};
    char *envp[] = {mark, NULL};
    char seen[MU__WP_RUN_ID_MAX];
    snprintf(mark, sizeof mark, MU__ENV_RUN_ID "=%s", whose);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execve("/bin/sleep", argv, envp);
        _exit(127);
    }
    mu_wait_until(mu__proc_environ(pid, MU__ENV_RUN_ID, seen, sizeof seen) == MU_OK, 5000);
    return pid;
}

MU_TEST(track_sweep, kills_by_the_run_idalso_when_the_file_cannot_be_read)
{
    ground g;
    begin(&g);
    pid_t left = start_marked(run_id), other = start_marked(other_id);
    int fd = openat(g.fd, run_file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    mu_check_eq(write(fd, "run 1 999", 9), 9);
    close(fd);
    sweep(&g);
    mu_check(was_killed(left));
    mu_check_eq(g.swept.processes, 1u);
    mu_check(!exists(&g, run_file));
    end_sleeper(other);
    end(&g);
}

MU_TEST(track_sweep, a_process_that_names_another_run_is_that_ones)
{
    ground g;
    mu__proc_stat st;
    begin(&g);
    mu__track_run run = dead_host(&g);
    pid_t other = start_marked(other_id);
    mu_check_ok(mu__proc_read_stat(other, &st));
    write_file(&g, run_file, &run, other, st.start);
    sweep(&g);
    end_sleeper(other);
    mu_check_eq(g.swept.processes, 0u);
    end(&g);
}

/* None of them may be opened, followed, read or removed. */
MU_TEST(track_sweep, Z3_links_pipes_and_files_of_others_are_refused)
{
    static const char *const names[] = {
        "1-00000000000000000000000000000001.run", "1-00000000000000000000000000000002.run",
        "1-00000000000000000000000000000003.run", "1-00000000000000000000000000000004.run",
        "1-00000000000000000000000000000005.run"};
    const size_t n = geteuid() == 0 ? 5 : 4;
    ground g;
    uint64_t start;
    begin(&g);
    mu__track_run run = dead_host(&g);
    pid_t pid = fork_sleeper(&start);
    write_file(&g, "real", &run, pid, start);
    mu_check_eq(symlinkat("real", g.fd, names[0]), 0);
    mu_check_eq(mkfifoat(g.fd, names[1], 0600), 0);
    write_file(&g, names[2], &run, pid, start);
    mu_check_eq(linkat(g.fd, names[2], g.fd, "second", 0), 0);
    write_file(&g, names[3], &run, pid, start);
    mu_check_eq(fchmodat(g.fd, names[3], 0666, 0), 0);
    if (n == 5) {
        write_file(&g, names[4], &run, pid, start);
        mu_check_eq(fchownat(g.fd, names[4], 65534, 65534, 0), 0);
    }
    sweep(&g);
    mu_check_eq(g.swept.refused, n);
    mu_check_eq(g.swept.files, 0u);
    end_sleeper(pid);
    for (size_t i = 0; i < n; i++) {
        mu_check(exists(&g, names[i]));
        mu_check_eq(unlinkat(g.fd, names[i], 0), 0);
    }
    mu_check_eq(unlinkat(g.fd, "real", 0), 0);
    mu_check_eq(unlinkat(g.fd, "second", 0), 0);
    end(&g);
}

MU_TEST(track_sweep, leaves_what_has_other_names_and_removes_what_was_never_finished)
{
    ground g;
    char mine[64];
    begin(&g);
    mu__track_run run = dead_host(&g);
    snprintf(mine, sizeof mine, "%d-0123456789abcdef0123456789abcdef.new", (int)getpid());
    write_file(&g, "notes.run", &run, 0, 0);
    write_file(&g, run_new, &run, 0, 0);
    write_file(&g, mine, &run, 0, 0);
    sweep(&g);
    mu_check(exists(&g, "notes.run"));
    mu_check(!exists(&g, run_new));
    mu_check(exists(&g, mine)); /* its writer lives, and may be about to rename it */
    mu_check_eq(unlinkat(g.fd, "notes.run", 0), 0);
    mu_check_eq(unlinkat(g.fd, mine, 0), 0);
    end(&g);
}

MU_TEST(track_sweep, nothing_is_told_without_a_system_or_a_place_for_it)
{
    mu_tracked *list, found;
    size_t count;
    mu_tracking_info info;
    mu_tracking_stats stats;
    mu_tracking_report report;
    mu_system *system;
    mu_check_err(mu_tracking_list(NULL, &list, &count), MU_EINVAL);
    mu_check_err(mu_tracking_find(NULL, 1, &found), MU_EINVAL);
    mu_check_err(mu_tracking_info_get(NULL, &info), MU_EINVAL);
    mu_check_err(mu_tracking_stats_get(NULL, &stats), MU_EINVAL);
    mu_check_err(mu_tracking_validate(NULL, &report), MU_EINVAL);
    mu_check_ok(mu_system_start(NULL, &system, NULL));
    mu_check_err(mu_tracking_list(system, &list, NULL), MU_EINVAL);
    mu_check_err(mu_tracking_validate(system, NULL), MU_EINVAL);
    mu_check_eq(mu_system_stop(&system), 0u);
}
