/*
 * mu_cgroup: a delegated directory of cgroup v2, and a double of its controllers
 *
 * Purpose: what limits do needs the controllers memory, pids and cpu, which few machines hand to a
 * test: where cgroup v1 has them, cgroup v2 has none. So groups are real, made in the kernel's file
 * system, and so are their processes and cgroup.kill; the files of controllers are played here.
 *
 * Usage: the test is linked with wrap mu__cgroup_read and mu__cgroup_write, and
 *     mu_cgroup_make(parent, sizeof parent);        // to be removed with rmdir
 *     mu_cgroup_play("cpu memory pids");            // the controllers that `parent` was given
 *     ... mu_cgroup_written("cell memory.max 1000") ...
 *
 * Thread-safety: all but make and play from any thread.
 */
#ifndef MU_CGROUP_H
#define MU_CGROUP_H

#include <stdbool.h>
#include <stddef.h>

/* Makes a directory in a cgroup v2 file system, which must be there. */
void mu_cgroup_make(char *parent, size_t size);

/* From now on reads and writes of controllers' files are answered here. NULL: by the kernel. */
void mu_cgroup_play(const char *controllers);

/* `error` is what writing to that file answers; NULL: none fails. */
void mu_cgroup_fail(const char *file, int error);

/* What memory.events of every group says; NULL: there is no such file. */
void mu_cgroup_events(const char *text);

/* How often was this line written: "WHERE FILE TEXT", WHERE being "delegated", "system", "cell"? */
int mu_cgroup_written(const char *line);

#endif
