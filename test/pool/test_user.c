/*
 * Pools whose workers are another user's (pool/confine.c). The kernel is asked what they are. Where
 * the tests do not run as root, what is shown is that the start is refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pool_rig.h"

/* A worker that everybody may execute, whoever owns the build directory. */
typedef struct public_worker {
    char dir[32], path[64];
} public_worker;

static void copy(const char *from, const char *to)
{
    char buffer[65536];
    int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
    mu_check(in >= 0 && out >= 0);
    ssize_t n;
    while ((n = read(in, buffer, sizeof buffer)) > 0)
        mu_check_eq(write(out, buffer, (size_t)n), n);
    mu_check_eq(n, 0);
    mu_check_eq(fchmod(out, 0755), 0);
    (void)close(in);
    (void)close(out);
}

static void public_worker_make(public_worker *w)
{
    (void)snprintf(w->dir, sizeof w->dir, "/tmp/muster-user-XXXXXX");
    mu_check(mkdtemp(w->dir) != NULL);
    mu_check_eq(chmod(w->dir, 0755), 0);
    (void)snprintf(w->path, sizeof w->path, "%s/worker", w->dir);
    copy(MU_TEST_ECHO_WORKER, w->path);
}

static void public_worker_remove(const public_worker *w)
{
    (void)unlink(w->path);
    (void)rmdir(w->dir);
}

static void check_status(pool_rig *rig, const char *line)
{
    char path[64], text[4096];
    (void)snprintf(path, sizeof path, "/proc/%d/status", rig_worker(rig, 0).os_pid);
    FILE *file = fopen(path, "re");
    mu_check(file != NULL);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    (void)fclose(file);
    mu_check_contains(text, line);
}

/* Groups that are to be dropped: root may have none. */
static void take_groups(void)
{
    const gid_t groups[] = {65530, 65531};
    if (geteuid() == 0)
        mu_check_eq(setgroups(2, groups), 0);
}

/* True, and the rig is stopped: not root, and the start said why it cannot be. */
static bool refused_unless_root(pool_rig *rig)
{
    if (geteuid() == 0)
        return false;
    mu_check_err(rig_open(rig), MU_ERRNO(EPERM));
    mu_check_contains(rig->error.message, "CAP_SETUID");
    rig_stop(rig);
    return true;
}

MU_TEST(user, a_worker_is_who_was_asked_for_in_every_generation)
{
    pool_rig rig;
    public_worker worker;
    public_worker_make(&worker);
    take_groups();
    rig_prepare(&rig, 1);
    rig.options.start_method = MU_START_EXEC;
    rig.options.python_path = NULL;
    rig.options.executable = worker.path;
    rig.options.cwd = "/";
    rig.options.user = "65534";
    rig.options.group = "65533";
    if (!refused_unless_root(&rig)) {
        mu_check_ok(rig_open(&rig));
        for (int generation = 0; generation < 2; generation++) {
            check_status(&rig, "\nUid:\t65534\t65534\t65534\t65534\n");
            check_status(&rig, "\nGid:\t65533\t65533\t65533\t65533\n");
            check_status(&rig, "\nGroups:\t \n");
            int before = rig_worker(&rig, 0).os_pid;
            mu_check_eq(kill(before, SIGKILL), 0);
            mu_wait_until(rig_worker(&rig, 0).os_pid != before && rig_run(&rig, "ping") == MU_OK,
                          20000);
        }
        rig_stop(&rig);
    }
    public_worker_remove(&worker);
}

/* Forked workers as well: their server has changed already. */
MU_TEST(user, a_group_alone_is_changed_and_every_other_dropped)
{
    pool_rig rig;
    take_groups();
    rig_prepare(&rig, 1);
    rig.options.group = "65533";
    if (refused_unless_root(&rig))
        return;
    mu_check_ok(rig_open(&rig));
    check_status(&rig, "\nUid:\t0\t0\t0\t0\n");
    check_status(&rig, "\nGid:\t65533\t65533\t65533\t65533\n");
    check_status(&rig, "\nGroups:\t \n");
    rig_stop(&rig);
}

MU_TEST(user, names_are_looked_up_and_a_user_brings_his_own_group)
{
    pool_rig rig;
    take_groups();
    rig_prepare(&rig, 1);
    rig.options.user = "root";
    if (refused_unless_root(&rig))
        return;
    mu_check_ok(rig_open(&rig));
    check_status(&rig, "\nUid:\t0\t0\t0\t0\n");
    check_status(&rig, "\nGid:\t0\t0\t0\t0\n");
    check_status(&rig, "\nGroups:\t \n");
    rig_stop(&rig);
}

static void check_refused(const char *user, const char *group, const char *words)
{
    pool_rig rig;
    rig_prepare(&rig, 1);
    rig.options.user = user;
    rig.options.group = group;
    mu_check_err(rig_open(&rig), MU_EINVAL);
    mu_check_contains(rig.error.message, words);
    rig_stop(&rig);
}

MU_TEST(user, who_is_nobody_is_refused_by_name)
{
    check_refused("", NULL, "pool option user is ''");
    check_refused(NULL, "", "pool option group is ''");
    check_refused("no such user", NULL, "pool option user: 'no such user' is neither");
    check_refused("0", "no such group", "pool option group: 'no such group' is neither");
    check_refused("4294967295", NULL, "pool option user: '4294967295' is neither");
    check_refused("4294967296", NULL, "pool option user: '4294967296' is neither");
    check_refused("-1", NULL, "pool option user: '-1' is neither");
    check_refused("4000000000", NULL, "so the option group must be given");
}
