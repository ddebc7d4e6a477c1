/*
 * base/proc.h - what /proc tells about processes.
 *
 * Why it exists: the warden has to find what its children left behind, and the host has to find
 * what a lost warden left behind. Both know processes by pid and start time, never by pid alone,
 * and by the run id in their environment, never by command line.
 *
 *     mu__proc_stat st;
 *     if (mu__proc_read_stat(pid, &st) == MU_OK && st.start == start)
 *         ...                       // it is the one that we know
 *
 * Everything here is a snapshot that may be outdated when it arrives: callers repeat until nothing
 * is found, and signal through mu__proc_kill, which cannot hit a stranger, with pidfds or without.
 *
 * Thread-safety: any thread. Ownership: none; no fd stays open.
 */
#ifndef MU_BASE_PROC_H
#define MU_BASE_PROC_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <muster/error.h>

typedef struct mu__proc_stat {
    pid_t pid;
    pid_t ppid;
    pid_t pgrp;
    pid_t session;
    char state;     /* R, S, D, T, Z, X: of its first thread */
    bool exiting;   /* on its way out already, though perhaps no zombie yet */
    int threads;    /* that have not ended; a first one counts as long as there are others */
    uint64_t start; /* clock ticks after boot: field 22 */
} mu__proc_stat;

/* A process as it can be recognised later. */
typedef struct mu__proc_id {
    pid_t pid;
    uint64_t start;
} mu__proc_id;

/*
 * Parses one line of /proc/PID/stat. The name in it may contain anything, `) S 1 1` included, so
 * the fields are counted from the last `)`. MU_EDECODE.
 */
mu_err mu__proc_parse_stat(const char *text, size_t size, mu__proc_stat *ret_stat);

/* Reads it. MU_ESYS + errno (ENOENT or ESRCH: gone), MU_EDECODE. A zombie still has one. */
mu_err mu__proc_read_stat(pid_t pid, mu__proc_stat *ret_stat);

/* All of it, and not only its first thread, has ended. */
static inline bool mu__proc_has_ended(const mu__proc_stat *st)
{
    return (st->state == 'Z' || st->state == 'X') && st->threads <= 1;
}

/* Resident memory of the process itself, in bytes. Errors as above. */
mu_err mu__proc_rss(pid_t pid, size_t *ret_bytes);

/*
 * Copies the value of `name` in the environment that `pid` was exec'd with. MU_ENOTFOUND if it has
 * none, MU_ETOOBIG if the value does not fit, MU_ESYS + errno. MU_ESYS + EAGAIN: it is in the
 * middle of execve, where it shows no environment; look again.
 */
mu_err mu__proc_environ(pid_t pid, const char *name, char *ret_value, size_t size);

/*
 * Lists the children of all threads of `pid`, `capacity` of them at most; writes the number.
 * MU_ESYS + errno if /proc cannot be read.
 */
mu_err mu__proc_children(pid_t pid, pid_t *ret_pids, size_t capacity, size_t *ret_count);

/*
 * Lists what descends from `root` (not itself), parents before their children, `capacity` at most.
 * Errors as above. What fails below the root is left out: it is dying.
 */
mu_err mu__proc_descendants(pid_t root, mu__proc_id *ret_ids, size_t capacity, size_t *ret_count);

/*
 * Sends a signal to exactly this process: a pidfd is opened, then the start time compared, then the
 * signal sent through the pidfd. MU_ENOTFOUND if it is gone or somebody else, MU_ESYS + errno.
 * Without pidfds: mu__proc_kill_stopped, if the start time is right.
 */
mu_err mu__proc_kill(const mu__proc_id *id, int sig);

/* The process of a pidfd, by its number here. MU_ENOTFOUND: it is reaped; MU_ESYS + errno. */
mu_err mu__proc_of_pidfd(int pidfd, pid_t *ret_pid);

/*
 * The way without pidfds. Between a look at a process and a signal to its number it could end and
 * the number become somebody else's. One that is stopped does not end of itself: so it is stopped,
 * looked at, and then signalled and continued. A stranger in its place is continued and no more.
 * What is left is that somebody kills it, reaps it, and that all numbers go round, between the look
 * and the signal. One that has not stopped within 20 ms - a disk's sleep, no processor - runs
 * nothing of its own before it stops, and counts as stopped.
 */
mu_err mu__proc_kill_stopped(const mu__proc_id *id, int sig);

/* Did a call for a pidfd fail because there is none here? ENOSYS, or EPERM of an old sandbox. */
static inline bool mu__pidfd_missing(int error)
{
    return error == ENOSYS || error == EPERM;
}

/*
 * Calls `visit` for every process of this pid namespace until it returns false. MU_ESYS + errno if
 * /proc cannot be read.
 */
mu_err mu__proc_each(bool (*visit)(pid_t pid, void *arg), void *arg);

#endif
