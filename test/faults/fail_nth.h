/*
 * fail_nth: the n-th allocation or system call of the library fails
 *
 * Purpose: SQLite's way of proving that every failure is survived ("How SQLite Is Tested", section
 * 3.1): let the first call fail, then the second, and so on, until a run passes untouched.
 *
 * System calls fail through the table that a system is started with (base/sys.h). Allocations are
 * caught by the linker (--wrap, see meson.build), so that no allocation of the library can be
 * forgotten: those by the table, by malloc, by strdup alike, in whatever thread.
 *
 *     mu_system_options options = MU_SYSTEM_OPTIONS_INIT;
 *     options.sys = fail_table();
 *     for (int n = 1;; n++) {
 *         fail_arm(FAIL_PIPE2, n, EMFILE);
 *         err = something(system);
 *         if (!fail_disarm())
 *             break;
 *     }
 *
 * Thread-safety: armed and disarmed by one thread; the calls may come from any.
 */
#ifndef MU_TEST_FAIL_NTH_H
#define MU_TEST_FAIL_NTH_H

#include <stdbool.h>

#include "base/sys.h"

/* X(name, text): what can fail. */
#define FAIL_CALLS(X)                                                                              \
    X(FAIL_ALLOC, "allocation")                                                                    \
    X(FAIL_PIPE2, "pipe2")                                                                         \
    X(FAIL_SOCKETPAIR, "socketpair")                                                               \
    X(FAIL_EVENTFD, "eventfd")                                                                     \
    X(FAIL_EPOLL_CREATE1, "epoll_create1")                                                         \
    X(FAIL_EPOLL_CTL, "epoll_ctl")                                                                 \
    X(FAIL_TIMERFD_CREATE, "timerfd_create")                                                       \
    X(FAIL_MEMFD_CREATE, "memfd_create")                                                           \
    X(FAIL_OPEN, "open")                                                                           \
    X(FAIL_MKDIR, "mkdir")                                                                         \
    X(FAIL_RENAMEAT, "renameat")                                                                   \
    X(FAIL_FLOCK, "flock")                                                                         \
    X(FAIL_FTRUNCATE, "write, then ftruncate")                                                     \
    X(FAIL_PIDFD_OPEN, "pidfd_open")                                                               \
    X(FAIL_PIDFD_SEND_SIGNAL, "pidfd_send_signal")                                                 \
    X(FAIL_READ, "read")                                                                           \
    X(FAIL_WRITE, "write")                                                                         \
    X(FAIL_WRITEV, "writev")                                                                       \
    X(FAIL_SENDMSG, "sendmsg")                                                                     \
    X(FAIL_RECVMSG, "recvmsg")                                                                     \
    X(FAIL_POLL, "poll")                                                                           \
    X(FAIL_THREAD_CREATE, "thread_create")

typedef enum fail_call {
#define FAIL_ENUM_(name, text) name,
    FAIL_CALLS(FAIL_ENUM_)
#undef FAIL_ENUM_
} fail_call;

const char *fail_name(fail_call call);

/* The real table, through the counter. Constant. */
const mu_sys *fail_table(void);

/* From now on the n-th use of `call`, counted from 1, fails with `error`; that one alone. */
void fail_arm(fail_call call, int nth, int error);

/* Nothing fails any more. True: it has. */
bool fail_disarm(void);

/* A failure is armed and has not come yet. */
bool fail_pending(void);

#endif
