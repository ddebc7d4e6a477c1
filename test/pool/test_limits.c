/*
 * Pools whose workers are limited by cgroups of their own (pool/confine.c, port/cell.h): who gets
 * which limits, and what becomes of a worker that the kernel kills for them. Needs a cgroup v2 file
 * system in which it may make groups; its controllers are played by mu_cgroup.h.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "pool_rig.h"
#include "support/mu_cgroup.h"

typedef struct place {
    char parent[64];
    pool_rig rig;
} place;

static void prepare(place *p, const char *controllers)
{
    mu_system_options system = MU_SYSTEM_OPTIONS_INIT;
    mu_cgroup_make(p->parent, sizeof p->parent);
    mu_cgroup_play(controllers);
    system.cgroup = p->parent;
    rig_prepare_with(&p->rig, 2, &system);
}

static void finish(place *p)
{
    rig_stop(&p->rig);
    mu_check_eq(rmdir(p->parent), 0);
}

/* The path of a worker's group, below all others: "0::/…/muster.RUN_ID/SERIAL". */
static void group_of(int pid, char *text, size_t size)
{
    char path[64], line[512];
    text[0] = '\0';
    (void)snprintf(path, sizeof path, "/proc/%d/cgroup", pid);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, "0::", 3) == 0)
            (void)snprintf(text, size, "%s", line);
    if (file)
        (void)fclose(file);
}

MU_TEST(limits, each_worker_gets_them_in_a_group_of_its_own)
{
    place p;
    char one[512], two[512];
    prepare(&p, "cpu memory pids");
    p.rig.options.memory_max = 3000000000;
    p.rig.options.pids_max = 64;
    p.rig.options.cpu_max = 50;
    mu_check_ok(rig_open(&p.rig));
    int limited = mu_cgroup_written("cell memory.max 3000000000");
    mu_check_ge(limited, 2); /* more if a start had to be repeated */
    mu_check_eq(mu_cgroup_written("cell pids.max 64"), limited);
    mu_check_eq(mu_cgroup_written("cell cpu.max 50000 100000"), limited);
    group_of(rig_worker(&p.rig, 0).os_pid, one, sizeof one);
    group_of(rig_worker(&p.rig, 1).os_pid, two, sizeof two);
    mu_check_contains(one, "/muster.");
    mu_check_contains(two, "/muster.");
    mu_check_ne(strcmp(one, two), 0);
    int before = rig_worker(&p.rig, 0).os_pid;
    mu_check_eq(kill(before, SIGKILL), 0);
    mu_wait_until(rig_worker(&p.rig, 0).os_pid != before && rig_available(&p.rig) == 2, 20000);
    mu_check_gt(mu_cgroup_written("cell memory.max 3000000000"), limited); /* the next, too */
    group_of(rig_worker(&p.rig, 0).os_pid, two, sizeof two);
    mu_check_ne(strcmp(one, two), 0);
    finish(&p);
}

/* Why the one worker is gone, after somebody has killed it while its group says that. */
static void kill_and_ask(const char *events, char *reason, size_t size)
{
    place p;
    prepare(&p, "memory");
    p.rig.options.size = 1;
    p.rig.options.memory_max = 3000000000;
    mu_check_ok(rig_open(&p.rig));
    mu_worker_info before = rig_worker(&p.rig, 0);
    mu_cgroup_events(events);
    mu_check_eq(kill(before.os_pid, SIGKILL), 0);
    mu_wait_until(
        rig_worker(&p.rig, 0).generation > before.generation && rig_available(&p.rig) == 1, 20000);
    (void)snprintf(reason, size, "%s", rig_worker(&p.rig, 0).reason);
    finish(&p);
}

MU_TEST(limits, a_worker_that_the_kernel_kills_for_want_of_memory_is_known_to_be_one)
{
    char reason[256];
    kill_and_ask("low 0\nmax 9\noom 1\noom_kill 1\noom_group_kill 1\n", reason, sizeof reason);
    mu_check_contains(reason, "killed by SIGKILL, by the kernel for want of memory");
    kill_and_ask("low 0\nmax 9\noom 0\noom_kill 0\noom_group_kill 0\n", reason, sizeof reason);
    mu_check_contains(reason, "killed by SIGKILL");
    mu_check(strstr(reason, "want of memory") == NULL);
}

MU_TEST(limits, what_cannot_be_limited_refuses_the_start)
{
    place p;
    prepare(&p, "cpu pids");
    p.rig.options.memory_max = 3000000000;
    mu_check_err(rig_open(&p.rig), MU_ENOTSUP);
    mu_check_contains(p.rig.error.message, "has no controller memory, only 'cpu pids'");
    mu_check_contains(p.rig.error.message, p.parent);
    p.rig.options.memory_max = 0;
    mu_check_ok(rig_open(&p.rig));
    finish(&p);
}

MU_TEST(limits, without_a_cgroup_they_are_refused)
{
    pool_rig rig;
    rig_prepare(&rig, 1);
    rig.options.pids_max = 64;
    mu_check_err(rig_open(&rig), MU_EINVAL);
    mu_check_contains(rig.error.message, "need a cgroup");
    rig_stop(&rig);
}
