/*
 * Pools whose workers reach only the files they are told of (pool/confine.c, base/landlock.c): a
 * real worker tries, and says how the kernel answered.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pool_rig.h"
#include "base/landlock.h"

/* A kernel without Landlock, when a test wants one. */
static bool kernel_has_none;
mu_err __real_mu__landlock_open(mu__landlock *ret_ruleset);
mu_err __wrap_mu__landlock_open(mu__landlock *ret_ruleset);
mu_err __wrap_mu__landlock_open(mu__landlock *ret_ruleset)
{
    return kernel_has_none ? MU_ENOTSUP : __real_mu__landlock_open(ret_ruleset);
}

/* Three directories with a file in each: one to read, one to write, one that is nobody's business.
 */
typedef struct place {
    char top[32], listed[40], ours[40], other[40];
    const char *read_only[4], *read_write[2];
    pool_rig rig;
    _Atomic int unconfined;
} place;

static void hear(void *ctx, const mu_event *event)
{
    place *p = ctx;
    if (strcmp(event->name, "pool.unconfined") == 0)
        atomic_fetch_add(&p->unconfined, 1);
}

static void make_dir(const char *top, const char *name, char *path, size_t size)
{
    char file[64];
    (void)snprintf(path, size, "%s/%s", top, name);
    mu_check_eq(mkdir(path, 0700), 0);
    (void)snprintf(file, sizeof file, "%s/file", path);
    int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
    mu_check_eq(write(fd, "#!/bin/true\n", 12), 12);
    (void)close(fd);
}

static void place_prepare(place *p)
{
    *p = (place){.top = "/tmp/muster-files-XXXXXX"};
    mu_check(mkdtemp(p->top) != NULL);
    make_dir(p->top, "listed", p->listed, sizeof p->listed);
    make_dir(p->top, "ours", p->ours, sizeof p->ours);
    make_dir(p->top, "other", p->other, sizeof p->other);
    p->read_only[0] = "/usr";
    p->read_only[1] = "/etc";
    p->read_only[2] = p->listed;
    p->read_write[0] = p->ours;
    rig_prepare_heard(&p->rig, 1, (mu_event_hook){hear, p});
    p->rig.options.script = MU_TEST_ROOT "/pool/workers/prober.py";
    p->rig.options.read_only = p->read_only;
    p->rig.options.read_write = p->read_write;
}

static void place_remove(place *p)
{
    const char *const dirs[] = {p->listed, p->ours, p->other};
    char file[64];
    rig_stop(&p->rig);
    for (int i = 0; i < 3; i++) {
        (void)snprintf(file, sizeof file, "%s/file", dirs[i]);
        (void)unlink(file);
        mu_check_eq(rmdir(dirs[i]), 0);
    }
    mu_check_eq(rmdir(p->top), 0);
}

/* True, and the rig is stopped: this kernel has no Landlock, and the start said so. */
static bool refused_without_landlock(place *p)
{
    if (syscall(SYS_landlock_create_ruleset, NULL, 0, 1) >= 1)
        return false;
    mu_check_err(rig_open(&p->rig), MU_ENOTSUP);
    mu_check_contains(p->rig.error.message, "no Landlock");
    return true;
}

/* The worker does that to the path; `answer` is "ok", or the name of an errno. */
static void check(place *p, const char *command, const char *dir, const char *name,
                  const char *answer)
{
    char args[128], expected[32], *json = NULL;
    (void)snprintf(args, sizeof args, "{\"path\": \"%s%s\"}", dir, name);
    (void)snprintf(expected, sizeof expected, "\"%s\"", answer);
    mu_check_ok(mu_pool_execute_json(p->rig.pool, command, args, NULL, &json, &p->rig.error));
    mu_check_msg(strcmp(json, expected) == 0, "%s %s: %s, not %s", command, args, json, expected);
    free(json);
}

MU_TEST(files, a_worker_reaches_what_it_was_told_of_and_nothing_else)
{
    place p;
    place_prepare(&p);
    if (!refused_without_landlock(&p)) {
        mu_check_ok(rig_open(&p.rig));
        for (int generation = 0; generation < 2; generation++) {
            check(&p, "read", p.listed, "", "ok");
            check(&p, "read", p.listed, "/file", "ok");
            check(&p, "write", p.listed, "/file", "EACCES");
            check(&p, "write", p.listed, "/new", "EACCES");
            check(&p, "remove", p.listed, "/file", "EACCES");
            check(&p, "write", p.ours, "/file", "ok");
            check(&p, "write", p.ours, "/new", "ok");
            check(&p, "remove", p.ours, "/new", "ok");
            check(&p, "read", p.other, "", "EACCES");
            check(&p, "read", p.other, "/file", "EACCES");
            check(&p, "write", p.other, "/new", "EACCES");
            check(&p, "run", p.listed, "/file", "ok");
            check(&p, "run", p.other, "/file", "EACCES");
            int before = rig_worker(&p.rig, 0).os_pid;
            mu_check_eq(kill(before, SIGKILL), 0);
            mu_wait_until(rig_worker(&p.rig, 0).os_pid != before && rig_available(&p.rig) == 1,
                          20000);
        }
    }
    place_remove(&p);
}

MU_TEST(files, without_landlock_the_start_is_refused_unless_it_is_optional)
{
    place p;
    place_prepare(&p);
    kernel_has_none = true;
    mu_check_err(rig_open(&p.rig), MU_ENOTSUP);
    mu_check_contains(p.rig.error.message, "no Landlock");
    mu_check_eq(atomic_load(&p.unconfined), 0);
    p.rig.options.landlock = MU_LANDLOCK_OPTIONAL;
    mu_check_ok(rig_open(&p.rig));
    mu_check_eq(atomic_load(&p.unconfined), 1);
    check(&p, "read", p.other, "/file", "ok");
    place_remove(&p);
}

MU_TEST(files, optional_is_not_off)
{
    place p;
    place_prepare(&p);
    p.rig.options.landlock = MU_LANDLOCK_OPTIONAL;
    mu_check_ok(rig_open(&p.rig));
    bool there = syscall(SYS_landlock_create_ruleset, NULL, 0, 1) >= 1;
    check(&p, "read", p.other, "/file", there ? "EACCES" : "ok");
    mu_check_eq(atomic_load(&p.unconfined), !there);
    place_remove(&p);
}

MU_TEST(files, a_path_that_is_not_there_is_refused_by_name)
{
    place p;
    place_prepare(&p);
    if (!refused_without_landlock(&p)) {
        p.read_only[2] = "/no/such/path";
        mu_check_err(rig_open(&p.rig), MU_ERRNO(ENOENT));
        mu_check_contains(p.rig.error.message, "pool option read_only: /no/such/path: ");
        p.read_only[2] = NULL;
        p.read_write[0] = "/no/such/path";
        mu_check_err(rig_open(&p.rig), MU_ERRNO(ENOENT));
        mu_check_contains(p.rig.error.message, "pool option read_write: /no/such/path: ");
    }
    p.read_write[0] = "relative";
    mu_check_err(rig_open(&p.rig), MU_EINVAL);
    mu_check_contains(p.rig.error.message, "pool option read_write: 'relative' is not absolute");
    place_remove(&p);
}
