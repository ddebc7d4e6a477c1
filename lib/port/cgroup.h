/*
 * port/cgroup.h - the cgroup v2 that a system's processes live in.
 *
 * Why: what is in a cgroup is found without asking anybody, marks and parents included, and
 * cgroup.kill ends all of it at once, also what is half forked. Whoever runs the host gives it a
 * directory to itself (delegation; systemd: Delegate=yes); in it each system makes one group, which
 * the warden and each of its children have one of their own. So all that ever descends from them is
 * inside, and whatever limits the directory has hold for it.
 *
 *     err = mu__cgroup_open("/sys/fs/cgroup/my.service", run_id, &cgroup, error);
 *     ... launch wardens with cgroup.warden, children in cells (port/cell.h) ...
 *     mu__cgroup_kill(&cgroup);                 // a warden was lost: its children with it
 *     mu__cgroup_close(&cgroup, deadline);      // nothing is left: the group goes
 *
 * A group belongs to whoever holds a lock on its directory. One that nobody holds is what a killed
 * host left behind: the next system in the same directory kills it and removes it, and only it.
 *
 * Thread-safety: kill from any thread, the others from the owner's. Ownership: the owner's.
 */
#ifndef MU_PORT_CGROUP_H
#define MU_PORT_CGROUP_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/error.h>
#include "base/fd.h"

typedef struct mu__cgroup {
    int fd;                     /* of the directory, locked; -1: there is none */
    mu__fd_id id;               /* of fd */
    char path[PATH_MAX];        /* "": there never was one; else it stays as it is */
    char warden[PATH_MAX + 16]; /* the group in it that wardens live in */
} mu__cgroup;

/*
 * Clears up what is left in `parent` and makes the group "muster.RUN_ID" there. MU_EINVAL: not
 * absolute, or of no cgroup v2 file system; MU_ESYS + errno. Blocks for a moment.
 */
mu_err mu__cgroup_open(const char *parent, const char *run_id, mu__cgroup *ret_cgroup,
                       mu_error *ret_error);

/* SIGKILL to everything inside, in the kernel; nothing without a group, or before Linux 5.14. */
void mu__cgroup_kill(const mu__cgroup *cgroup);

/* Kills, and removes the group as soon as the last one is gone; at the deadline (ns) it is left to
 * the next system. Blocks. */
void mu__cgroup_close(mu__cgroup *cgroup, int64_t deadline);

/* Files of a group, which are opened, read and written whole: 0 or errno. Never blocks. */
int mu__cgroup_open_file(const char *dir, const char *file, int flags, int *ret_fd);
int mu__cgroup_read(const char *dir, const char *file, char *text, size_t size);
int mu__cgroup_write(const char *dir, const char *file, const char *text);

#endif
