/*
 * kill_nth: a process of a pool dies at its n-th system call
 *
 * Purpose: what fail_nth does for calls that fail, for processes that are gone: SIGKILL is sent
 * between any two system calls of a host, of its warden, or of its workers. A tracer (ptrace)
 * follows a role of the test's own program and all that descends from it, and counts.
 *
 *     kill_run run;
 *     for (int n = 1;; n++) {
 *         kill_nth("host", directory, KILL_WARDEN, n, &run);
 *         mu_check_eq(run.left, 0);
 *         if (!run.call)
 *             break;                    // it makes fewer calls than that
 *     }
 *
 * The role calls kill_here() where the counting is to begin. A process is killed at the entry of
 * the call, which is therefore not made. All workers count together, and so does whatever stands
 * for the warden while it is being launched. The role must end by itself (alarm(2)): it is waited
 * for without a limit.
 *
 * Thread-safety: one thread, and no other child of this process meanwhile.
 */
#ifndef MU_TEST_KILL_NTH_H
#define MU_TEST_KILL_NTH_H

#include "base/proc.h"

/* X(name, text): who. */
#define KILL_WHOS(X)                                                                               \
    X(KILL_HOST, "host")                                                                           \
    X(KILL_WARDEN, "warden")                                                                       \
    X(KILL_WORKER, "worker")

typedef enum kill_who {
#define KILL_WHO_ENUM(name, text) name,
    KILL_WHOS(KILL_WHO_ENUM)
#undef KILL_WHO_ENUM
        KILL_WHO_COUNT
} kill_who;

const char *kill_who_name(kill_who who);

enum { KILL_NONE = -1 };

typedef struct kill_run {
    mu__proc_id host;
    long call;                 /* the number of the system call, KILL_NONE if nobody was killed */
    int calls[KILL_WHO_COUNT]; /* made by each, until the kill */
    int status;                /* of the host: its exit status, or minus the signal */
    int left;                  /* processes that lived a second after the host's end */
} kill_run;

/* Plays the role with the arguments WHO and `argument`. `n` 0: nobody is killed. */
void kill_nth(const char *role, const char *argument, kill_who who, int n, kill_run *ret_run);

/* In the role: waits for the tracer. */
void kill_here(void);

#endif
