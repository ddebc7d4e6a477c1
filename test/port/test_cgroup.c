/*
 * The cgroup of a system (port/cgroup.h): what is in it, what it ends, what it leaves alone. Needs
 * a cgroup v2 file system in which it may make groups.
 */
#include "port/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <muster/timer.h>

#include "base/clock.h"
#include "base/sys.h"
#include "port/warden.h"
#include "runtime/runtime.h"
#include "support/mu_cgroup.h"
#include "support/mu_test.h"

typedef struct world {
    char parent[64]; /* the delegated directory */
    mu_system *system;
    mu__warden *warden;
    char group[192];
} world;

/* Delegates a directory to nobody but this test. */
static void delegate(world *w)
{
    memset(w, 0, sizeof *w);
    mu_cgroup_make(w->parent, sizeof w->parent);
}

static mu_err start(world *w, const char *parent, mu_error *error)
{
    mu_system_options options = MU_SYSTEM_OPTIONS_INIT;
    options.sys = &mu__sys_real;
    options.cgroup = parent;
    mu_check_ok(mu__runtime_start(&options, &w->system));
    mu_err err = mu__warden_start(w->system, NULL, &w->warden, error);
    if (err == MU_OK)
        (void)snprintf(w->group, sizeof w->group, "%s/muster.%s", parent,
                       mu__warden_run_id(w->warden));
    return err;
}

static void begin(world *w)
{
    mu_error error = MU_ERROR_INIT;
    mu_err err = start(w, w->parent, &error);
    mu_check_msg(err == MU_OK, "%s", error.message);
}

static void end(world *w)
{
    mu__warden_stop(&w->warden, 10000);
    mu_check_eq(mu__runtime_stop(&w->system), 0u);
    mu_check_msg(rmdir(w->parent) == 0, "%s: %s", w->parent, strerror(errno));
}

/* `fd` becomes 3 of the script; -1: none. */
static mu__child *sh(world *w, const char *script, int fd)
{
    char name[] = "sh", c[] = "-c", *argv[] = {name, c, (char *)(uintptr_t)script, NULL},
         *envp[] = {NULL};
    const mu__child_pass pass = {3, fd};
    mu__child_spec spec = MU__CHILD_SPEC_INIT;
    mu_error error = MU_ERROR_INIT;
    mu__child *child = NULL;
    spec.path = "/bin/sh";
    spec.argv = argv;
    spec.envp = envp;
    spec.passes = &pass;
    spec.n_passes = fd >= 0;
    mu_err err =
        mu__child_spawn(w->warden, &spec, mu_now(w->system) + 20 * MU_SECOND, &child, &error);
    mu_check_msg(err == MU_OK, "%s", error.message);
    return child;
}

/* The group that a process lives in, as /proc has it; "" if there is no such process. */
static void group_of(int pid, char *text, size_t size)
{
    char path[64];
    text[0] = '\0';
    (void)snprintf(path, sizeof path, "/proc/%d/cgroup", pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return;
    text[fread(text, 1, size - 1, file)] = '\0';
    (void)fclose(file);
}

static void check_member(const world *w, int pid)
{
    char text[1024];
    group_of(pid, text, sizeof text);
    mu_check_contains(text, strrchr(w->group, '/'));
}

MU_TEST(cgroup, warden_and_children_live_in_a_group_that_goes_with_the_system)
{
    world w;
    delegate(&w);
    begin(&w);
    mu__child *child = sh(&w, "exec sleep 1000", -1);
    check_member(&w, mu__warden_pid(w.warden));
    check_member(&w, mu__child_pid(child));
    mu__child_unref(child);
    end(&w); /* which finds the directory empty */
}

/* Where its group would be: each child of a system has a number, from 1 on. */
static bool has_group(const world *w, int serial)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%d", w->group, serial);
    return access(path, F_OK) == 0;
}

/* A group that was not quite empty when its child had ended is looked at again by each start. */
static bool is_removed_by_a_start(world *w, int serial)
{
    mu__child_unref(sh(w, "exit 0", -1));
    return !has_group(w, serial);
}

MU_TEST(cgroup, each_child_has_a_group_of_its_own_that_goes_with_it)
{
    world w;
    char one[1024], two[1024], of_warden[1024];
    delegate(&w);
    begin(&w);
    mu__child *first = sh(&w, "exec sleep 1000", -1), *second = sh(&w, "exec sleep 1000", -1);
    group_of(mu__child_pid(first), one, sizeof one);
    group_of(mu__child_pid(second), two, sizeof two);
    group_of(mu__warden_pid(w.warden), of_warden, sizeof of_warden);
    mu_check_ne(strcmp(one, two), 0);
    mu_check_ne(strcmp(one, of_warden), 0);
    mu_check_ne(strcmp(two, of_warden), 0);
    mu_check(has_group(&w, 1) && has_group(&w, 2));
    mu_check_ok(mu__child_signal(first, SIGKILL, MU__SCOPE_LEADER));
    mu_check_ok(mu__child_wait(first, mu_now(w.system) + 20 * MU_SECOND, NULL));
    mu_wait_until(is_removed_by_a_start(&w, 1), 10000);
    mu_check(has_group(&w, 2));
    mu__child_unref(first);
    mu__child_unref(second);
    end(&w);
}

/* A child, and a daemon of its to which no mark, no session and no parent leads. `ret_life` is
 * readable to its end when both have ended. */
static mu__child *start_with_daemon(world *w, int *ret_life)
{
    int life[2];
    char byte;
    mu_check_eq(pipe2(life, O_CLOEXEC), 0);
    mu__child *child = sh(w,
                          "(env -i setsid sh -c 'trap \"\" HUP TERM; echo x >&3; sleep 1000; :' &)"
                          "; exec sleep 1000",
                          life[1]);
    (void)close(life[1]);
    mu_check_eq(read(life[0], &byte, 1), 1);
    *ret_life = life[0];
    return child;
}

static void await_all_ended(int life)
{
    struct pollfd last = {.fd = life, .events = POLLIN};
    char said[64];
    ssize_t n;
    do {
        mu_check_eq(poll(&last, 1, 10000 * MU_TEST_SCALE), 1);
        n = read(life, said, sizeof said);
    } while (n > 0);
    mu_check_eq(n, 0);
    (void)close(life);
}

/* Without a group the daemon would live until the system ends. */
MU_TEST(cgroup, what_a_child_leaves_behind_ends_with_it_whatever_it_has_done)
{
    world w;
    int life;
    delegate(&w);
    begin(&w);
    mu__child *child = start_with_daemon(&w, &life);
    mu_check_ok(mu__child_signal(child, SIGKILL, MU__SCOPE_LEADER));
    mu_check_ok(mu__child_wait(child, mu_now(w.system) + 20 * MU_SECOND, NULL));
    await_all_ended(life);
    mu__child_unref(child);
    mu_wait_until(is_removed_by_a_start(&w, 1), 10000);
    end(&w);
}

MU_TEST(cgroup, nothing_survives_a_warden_that_is_killed)
{
    world w;
    int life;
    delegate(&w);
    begin(&w);
    mu__child *child = start_with_daemon(&w, &life);
    int before = mu__warden_pid(w.warden);
    mu_check_eq(kill(before, SIGKILL), 0);
    await_all_ended(life);
    mu__child_unref(child);
    child = sh(&w, "exec sleep 1000", -1);
    mu_check_ne(mu__warden_pid(w.warden), before);
    check_member(&w, mu__child_pid(child)); /* the next warden's as well */
    mu__child_unref(child);
    end(&w);
}

/* A group with a process in it, as a host leaves it behind, or has it. */
static pid_t make_group(const world *w, const char *name, char *path, size_t size)
{
    char procs[256];
    (void)snprintf(path, size, "%s/%s", w->parent, name);
    (void)snprintf(procs, sizeof procs, "%s/cgroup.procs", path);
    mu_check_eq(mkdir(path, 0755), 0);
    int ready[2];
    char byte;
    mu_check_eq(pipe2(ready, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open(procs, O_WRONLY | O_CLOEXEC);
        if (fd < 0 || write(fd, "0", 1) != 1 || write(ready[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            (void)pause();
    }
    (void)close(ready[1]);
    mu_check_eq(read(ready[0], &byte, 1), 1);
    (void)close(ready[0]);
    return pid;
}

MU_TEST(cgroup, what_a_system_left_behind_is_ended_and_what_one_has_is_left_alone)
{
    world w;
    char left[128], had[128];
    int status;
    delegate(&w);
    pid_t of_left = make_group(&w, "muster.1-left", left, sizeof left);
    pid_t of_had = make_group(&w, "muster.1-had", had, sizeof had);
    int owner = open(had, O_RDONLY | O_CLOEXEC);
    mu_check_eq(flock(owner, LOCK_EX | LOCK_NB), 0);
    begin(&w);
    mu_check_eq(waitpid(of_left, &status, 0), of_left);
    mu_check(WIFSIGNALED(status));
    mu_check_ne(access(left, F_OK), 0);
    mu_check_eq(waitpid(of_had, &status, WNOHANG), 0);
    mu_check_eq(kill(of_had, SIGKILL), 0);
    mu_check_eq(waitpid(of_had, &status, 0), of_had);
    mu_wait_until(rmdir(had) == 0, 10000);
    (void)close(owner);
    end(&w);
}

static void check_refused(const char *parent, mu_err expected, const char *words)
{
    world w = {.parent = ""};
    mu_error error = MU_ERROR_INIT;
    mu_check_err(start(&w, parent, &error), expected);
    mu_check_contains(error.message, words);
    mu_check_eq(mu__runtime_stop(&w.system), 0u);
}

MU_TEST(cgroup, what_is_no_directory_of_cgroup_v2_is_refused_by_name)
{
    check_refused("relative", MU_EINVAL, "option cgroup: 'relative' is not absolute");
    check_refused("/tmp", MU_EINVAL, "option cgroup: /tmp is not in a cgroup v2 file system");
    check_refused("/no/such", MU_ERRNO(ENOENT), "option cgroup: /no/such: ");
}
