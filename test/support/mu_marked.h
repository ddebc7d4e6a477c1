/*
 * mu_marked: the living processes that carry a mark in their environment
 *
 * Purpose: whether a run has left anything behind is asked of the kernel, not of the library: every
 * process of a system was executed with the run id (MU__ENV_RUN_ID) and its own mark
 * (MU__ENV_CHILD) in its environment, and keeps them wherever it goes.
 *
 *     mu_wait_until(mu_marked(MU__ENV_RUN_ID, run_id) == 0, 1000);
 *
 * What a host has left is asked for before its run id is known: by the host's pid, with which run
 * ids begin. Pids come again, so the host is known by its start time too: what carries its pid and
 * is older than it was left by another one.
 *
 *     mu__proc_id host = mu_marked_host(pid);      // while it lives, or before it is reaped
 *     mu_wait_until(mu_marked_by(host) == 0, 1000);
 *
 * A process in the middle of execve shows no environment: it is waited for, so that a count is
 * never too low because somebody was just becoming somebody else. Zombies are not counted.
 *
 * Thread-safety: any thread.
 */
#ifndef MU_MARKED_H
#define MU_MARKED_H

#include "base/proc.h"

/* How many have the variable `name` with this very value. */
int mu_marked(const char *name, const char *value);

/* How many have it with a value that begins so. */
int mu_marked_prefix(const char *name, const char *prefix);

/* The process `pid` as a host; it may be a zombie. */
mu__proc_id mu_marked_host(pid_t pid);

/* How many processes of all runs of this host there are, their wardens included. */
int mu_marked_by(mu__proc_id host);

#endif
