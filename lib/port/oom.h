/*
 * port/oom.h - has the kernel killed processes for want of memory?
 *
 * SIGKILL looks the same whoever sent it. The kernel counts what its OOM killer has ended, of the
 * whole machine or of a memory cgroup, in /proc/vmstat: a process that was killed by nobody known
 * while that number rose was probably one of them. Likely, never certain: it may have been another.
 *
 *     before = mu__oom_kills(sys);
 *     ...
 *     likely = mu__oom_rose(before, mu__oom_kills(sys));
 *
 * Thread-safety: any thread. Ownership: none. Blocks for one read of /proc.
 */
#ifndef MU_PORT_OOM_H
#define MU_PORT_OOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/sys.h"

#define MU__OOM_UNKNOWN INT64_MIN

/* So many since boot; MU__OOM_UNKNOWN if /proc does not say (before Linux 4.13). */
int64_t mu__oom_kills(const mu_sys *sys);

/* The number in the text of /proc/vmstat. */
int64_t mu__oom_parse(const char *text);

/* False if either is unknown. */
bool mu__oom_rose(int64_t before, int64_t now);

#endif
