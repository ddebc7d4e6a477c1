/*
 * The cgroups of single children (port/cell.h): their limits, and what they tell of the dead. Needs
 * a cgroup v2 file system in which it may make groups; its controllers are played by mu_cgroup.h.
 */
#include "port/cell.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <muster/timer.h>

#include "base/clock.h"
#include "support/mu_cgroup.h"
#include "support/mu_test.h"

typedef struct world {
    char parent[64];
    mu__cgroup cgroup;
    mu_error error;
} world;

static void begin(world *w, const char *controllers)
{
    memset(w, 0, sizeof *w);
    mu_cgroup_make(w->parent, sizeof w->parent);
    mu_cgroup_play(controllers);
    mu_err err = mu__cgroup_open(w->parent, "1-test", &w->cgroup, &w->error);
    mu_check_msg(err == MU_OK, "%s", w->error.message);
}

static void end(world *w)
{
    mu__cgroup_close(&w->cgroup, mu_deadline(mu_clock_now(&mu__clock_monotonic), 10000));
    mu_error_clear(&w->error);
    mu_check_msg(rmdir(w->parent) == 0, "%s: %s", w->parent, strerror(errno));
}

static bool has_cell(const world *w, int serial)
{
    char path[PATH_MAX + 32];
    (void)snprintf(path, sizeof path, "%s/%d", w->cgroup.path, serial);
    return access(path, F_OK) == 0;
}

MU_TEST(cell, controllers_that_limits_need_are_passed_on_once_and_no_others)
{
    world w;
    const mu__limits memory = {.memory = 1000}, more = {.memory = 1000, .cpu = 50};
    begin(&w, "cpuset cpu io memory pids");
    mu_check_ok(mu__cells_delegate(&w.cgroup, &(mu__limits){0, 0, 0}, &w.error));
    mu_check_ok(mu__cells_delegate(&w.cgroup, &memory, &w.error));
    mu_check_eq(mu_cgroup_written("delegated cgroup.subtree_control +cpu"), 0);
    mu_check_ok(mu__cells_delegate(&w.cgroup, &more, &w.error));
    mu_check_eq(mu_cgroup_written("delegated cgroup.subtree_control +memory"), 1);
    mu_check_eq(mu_cgroup_written("system cgroup.subtree_control +memory"), 1);
    mu_check_eq(mu_cgroup_written("delegated cgroup.subtree_control +cpu"), 1);
    mu_check_eq(mu_cgroup_written("system cgroup.subtree_control +cpu"), 1);
    mu_check_eq(mu_cgroup_written("delegated cgroup.subtree_control +pids"), 0);
    end(&w);
}

MU_TEST(cell, a_controller_that_was_not_delegated_is_named_with_the_place)
{
    world w;
    begin(&w, "cpuset pids_of_another_name hugetlb");
    mu_check_err(mu__cells_delegate(&w.cgroup, &(mu__limits){.pids = 7}, &w.error), MU_ENOTSUP);
    mu_check_contains(w.error.message, w.parent);
    mu_check_contains(w.error.message, "has no controller pids, only 'cpuset pids_of_another_name");
    mu_error_clear(&w.error);
    mu_check_err(mu__cells_delegate(&w.cgroup, &(mu__limits){.cpu = 7}, &w.error), MU_ENOTSUP);
    mu_check_contains(w.error.message, "has no controller cpu,");
    end(&w);
}

MU_TEST(cell, processes_in_the_delegated_directory_are_named_as_what_is_in_the_way)
{
    world w;
    begin(&w, "memory");
    mu_cgroup_fail("cgroup.subtree_control", EBUSY);
    mu_check_err(mu__cells_delegate(&w.cgroup, &(mu__limits){.memory = 7}, &w.error),
                 MU_ERRNO(EBUSY));
    mu_check_contains(w.error.message, "passing the controller memory on in ");
    mu_check_contains(w.error.message, w.parent);
    mu_check_contains(w.error.message, "processes live in it");
    end(&w);
}

MU_TEST(cell, is_made_with_its_limits_and_removed)
{
    world w;
    int procs = -1;
    const mu__limits limits = {.memory = 5000000000, .pids = 20, .cpu = 150};
    begin(&w, "cpu memory pids");
    mu_check_ok(mu__cell_make(&w.cgroup, 3, &limits, &procs, &w.error));
    (void)close(procs);
    mu_check(has_cell(&w, 3));
    mu_check_eq(mu_cgroup_written("cell memory.max 5000000000"), 1);
    mu_check_eq(mu_cgroup_written("cell memory.oom.group 1"), 1);
    mu_check_eq(mu_cgroup_written("cell pids.max 20"), 1);
    mu_check_eq(mu_cgroup_written("cell cpu.max 150000 100000"), 1);
    mu_check(mu__cell_end(&w.cgroup, 3, NULL));
    mu_check(!has_cell(&w, 3));
    mu_check(mu__cell_end(&w.cgroup, 3, NULL)); /* gone is gone */
    end(&w);
}

MU_TEST(cell, a_limit_that_cannot_be_set_leaves_no_cell)
{
    world w;
    int procs = -1;
    begin(&w, "cpu memory pids");
    mu_cgroup_fail("pids.max", EINVAL);
    mu_check_err(mu__cell_make(&w.cgroup, 4, &(mu__limits){.pids = 1}, &procs, &w.error),
                 MU_ERRNO(EINVAL));
    mu_check_contains(w.error.message, "/4/pids.max: ");
    mu_check_eq(procs, -1);
    mu_check(!has_cell(&w, 4));
    end(&w);
}

/* What the cell says if memory.events says that. */
static mu__cell_oom oom_of(world *w, const char *events)
{
    int procs;
    mu__cell_oom oom;
    mu_check_ok(mu__cell_make(&w->cgroup, 5, &(mu__limits){0, 0, 0}, &procs, &w->error));
    (void)close(procs);
    mu_cgroup_events(events);
    mu_check(mu__cell_end(&w->cgroup, 5, &oom));
    return oom;
}

MU_TEST(cell, tells_whom_the_kernel_killed_for_want_of_memory)
{
    world w;
    begin(&w, "memory");
    mu_check_eq(oom_of(&w, NULL), MU__CELL_OOM_UNTOLD);
    mu_check_eq(oom_of(&w, "low 0\nhigh 0\nmax 3\noom 3\noom_kill 0\noom_group_kill 0\n"),
                MU__CELL_OOM_NONE);
    mu_check_eq(oom_of(&w, "low 0\nhigh 0\nmax 3\noom 1\noom_kill 2\noom_group_kill 1\n"),
                MU__CELL_OOM_KILLED);
    mu_check_eq(oom_of(&w, "oom_kill 1\n"), MU__CELL_OOM_KILLED); /* a first line counts as well */
    mu_check_eq(oom_of(&w, ""), MU__CELL_OOM_UNTOLD);
    end(&w);
}
