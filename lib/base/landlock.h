/*
 * base/landlock.h - a ruleset of the kernel's Landlock: which files a process may reach.
 *
 * The host builds it, since it is the one that knows the paths and can say which is wrong, but for
 * /proc, which the warden adds: in strict mode it has another. It is an fd, so the child between
 * clone and exec has nothing to do but to put it on, and what it has put on, everything that it
 * starts wears as well.
 *
 *     err = mu__landlock_open(&ruleset);              // MU_ENOTSUP: this kernel has no Landlock
 *     err = mu__landlock_allow(&ruleset, "/usr", false);
 *     err = mu__landlock_allow(&ruleset, "/tmp/work", true);
 *     spec.flags |= MU__SPAWN_LANDLOCK, spec.confine.landlock = ruleset.fd;
 *     mu__landlock_close(&ruleset);
 *
 * Everything that this kernel's Landlock can forbid is forbidden but where a rule allows it. What
 * it cannot, it cannot: before Linux 6.2 a file may be cut with truncate(2), before 6.10 devices
 * take any ioctl(2); and looking at a path (stat, chdir) is never forbidden. Source: the kernel's
 * userspace-api/landlock.rst.
 *
 * Thread-safety: one thread at a time. Ownership: the fd is the caller's, to close with this.
 */
#ifndef MU_BASE_LANDLOCK_H
#define MU_BASE_LANDLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include <muster/error.h>

typedef struct mu__landlock {
    int fd;
    uint64_t handled; /* what is forbidden unless allowed */
} mu__landlock;

/* MU_ENOTSUP: the kernel is older than 5.13, or was built or booted without it. MU_ESYS + errno. */
mu_err mu__landlock_open(mu__landlock *ret_ruleset);

/*
 * Allows reading and executing, and if `write` everything else, beneath a directory or of a file.
 * The path is followed and means what it means now. MU_ESYS + errno.
 */
mu_err mu__landlock_allow(mu__landlock *ruleset, const char *path, bool write);

/* Allows reading of /proc as the caller has it, in a ruleset of which only the fd is known. */
mu_err mu__landlock_allow_proc(int fd);

/* Also one that was never opened, if its fd is -1. */
void mu__landlock_close(mu__landlock *ruleset);

#endif
