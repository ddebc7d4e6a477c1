/*
 * base/seccomp.h - profiles of system calls that a process is refused, and all that it starts.
 *
 * Why: the kernel's rarely used corners are where processes get out of their confinement, and a
 * worker has no business in them, root's least of all. A profile is a filter in the kernel
 * (seccomp, Linux 3.17): what it refuses fails with EPERM, whoever asks, and nothing takes it off.
 *
 *     err = mu__seccomp_supported();                       // in the host: MU_ENOTSUP
 *     program.len = mu__seccomp_build(profile, filter);    // in the warden
 *     seccomp(SECCOMP_SET_MODE_FILTER, 0, &program);       // in the child, no_new_privs being set
 *
 * The filter is made by the warden, which runs on the same machine as its children, out of numbers
 * that the compiler knows by name: so a profile is one number on its way there, and no library has
 * to be there to understand it. It refuses (rather than allows) by list: what a worker's libraries
 * call next year is not known today. Numbers of another calling convention (x32, i386 on x86-64,
 * 32-bit Arm) would mean other calls, so none of theirs is allowed at all.
 *
 * Thread-safety: pure functions.
 */
#ifndef MU_BASE_SECCOMP_H
#define MU_BASE_SECCOMP_H

#include <stddef.h>
#include <linux/filter.h>

#include <muster/error.h>

/* What muster/pool.h calls mu_seccomp; part of the warden's protocol: append only. */
typedef enum mu__seccomp {
    MU__SECCOMP_OFF = 0,
    MU__SECCOMP_DEFAULT = 1, /* nothing that administers the machine or looks into others */
    MU__SECCOMP_OFFLINE = 2, /* nor sockets, but AF_UNIX */
    MU__SECCOMP_LIMIT_
} mu__seccomp;

#define MU__SECCOMP_FILTER_MAX 192 /* instructions */

/* MU_OK; MU_ENOTSUP: the kernel was built without filters, or nobody knows this architecture. */
mu_err mu__seccomp_supported(void);

/* Writes the filter and returns how many instructions it has; 0 on an unknown architecture. */
size_t mu__seccomp_build(mu__seccomp profile, struct sock_filter filter[MU__SECCOMP_FILTER_MAX]);

#endif
