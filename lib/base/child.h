/*
 * base/child.h - what happens between clone and exec.
 *
 * Both places that make a process - the host when it launches the warden, the warden when it starts
 * a child - make it vfork-style: the new process borrows the memory of its maker, on a stack of its
 * own, until it has exec'd. That costs the same however large the maker is (FAULTS of fork from a
 * threaded host do not arise), and the failing step is reported by plain memory.
 *
 * The price: until exec it may change nothing that its maker will look at, may take no lock, and
 * may enter no libc function with state. So all steps here are raw system calls, free of
 * sanitizers.
 *
 *     mu__child_report report = {0};
 *     pid = mu__child_clone_pidfd(body, stack, size, SIGCHLD, &arg, &pidfd);
 *     if (report.error) ...       // body has failed at report.step and exited
 *
 * Thread-safety: the maker's thread sleeps until exec; all its signals must be blocked, or a
 * handler would run in the borrowed memory. Ownership: the stack is the maker's.
 */
#ifndef MU_BASE_CHILD_H
#define MU_BASE_CHILD_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* For functions that run in borrowed memory. */
#if defined(__clang__) && __has_attribute(disable_sanitizer_instrumentation)
#define MU_BORROWED                                                                                \
    __attribute__((noinline, disable_sanitizer_instrumentation, no_sanitize("undefined")))
#elif defined(__clang__)
#define MU_BORROWED __attribute__((noinline, no_sanitize("address", "thread", "undefined")))
#else
#define MU_BORROWED                                                                                \
    __attribute__((noinline, no_sanitize_address, no_sanitize_thread, no_sanitize_undefined))
#endif

#define MU__CHILD_STACK (64 * 1024)

/*
 * X(name, text): the step at which a start failed, part of the warden's protocol: append only.
 */
#define MU__STEPS(X)                                                                               \
    X(NONE, "nothing")                                                                             \
    X(REQUEST, "request")                                                                          \
    X(CLONE, "clone")                                                                              \
    X(SETSID, "setsid")                                                                            \
    X(PDEATHSIG, "prctl(PR_SET_PDEATHSIG)")                                                        \
    X(ORPHAN, "warden died during the start")                                                      \
    X(NICE, "setpriority")                                                                         \
    X(NO_NEW_PRIVS, "prctl(PR_SET_NO_NEW_PRIVS)")                                                  \
    X(CHDIR, "chdir")                                                                              \
    X(FDS, "dup")                                                                                  \
    X(CLOSE, "close_range")                                                                        \
    X(RLIMIT, "setrlimit")                                                                         \
    X(EXECVE, "execve")                                                                            \
    X(STAT, "reading its start time")                                                              \
    X(DETACH, "clone of the intermediate")                                                         \
    X(FORK, "fork server")                                                                         \
    X(RIGHTS, "the right to end processes of another user (CAP_KILL)")                             \
    X(GROUPS, "setgroups")                                                                         \
    X(GROUP, "setresgid")                                                                          \
    X(USER, "setresuid")                                                                           \
    X(LANDLOCK, "landlock_restrict_self")                                                          \
    X(MAPS, "user namespace")                                                                      \
    X(MOUNT, "mount of /proc")                                                                     \
    X(CGROUP, "joining the cgroup")                                                                \
    X(SECCOMP, "seccomp")

typedef enum mu__step {
#define MU__STEP_ENUM_(name, text) MU__STEP_##name,
    MU__STEPS(MU__STEP_ENUM_)
#undef MU__STEP_ENUM_
        MU__STEP_LIMIT_
} mu__step;

/* "execve"; "unknown step" for a number that is none. */
const char *mu__step_text(uint32_t step);

/* Written by the child in its maker's memory before it gives up; zero means that it has exec'd. */
typedef struct mu__child_report {
    volatile int error; /* errno */
    volatile mu__step step;
} mu__child_report;

/* `source` of the maker becomes `target` of the child. */
typedef struct mu__child_fd {
    int source;
    int target;
} mu__child_fd;

/*
 * clone(2) with CLONE_VM | CLONE_VFORK | flags on `stack`. Returns the pid, or -1 and errno.
 */
pid_t mu__child_clone(int (*body)(void *arg), void *stack, size_t stack_size, int flags, void *arg);

/*
 * The same with a pidfd of the child, -1 where there are none: before Linux 5.2 the flag is not
 * heard, and sandboxes refuse it.
 */
pid_t mu__child_clone_pidfd(int (*body)(void *arg), void *stack, size_t stack_size, int flags,
                            void *arg, int *ret_pidfd);

/* Blocks every signal of the calling thread, libc's internal ones too; the old mask for restore. */
uint64_t mu__signals_block(void);
void mu__signals_restore(uint64_t mask);

/* ---- in the child, before exec -------------------------------------------------------------- */

/* A raw system call: the negated errno on failure. */
long mu__child_call(long number, long a, long b, long c, long d);

/* Reports and ends the child. */
_Noreturn void mu__child_fail(mu__child_report *report, mu__step step, int error);

/* Every signal, real-time ones included, gets its default action. */
void mu__child_reset_signals(void);

/*
 * Makes the child's table of fds exactly `fds`, which are sorted by rising target. Returns the step
 * that failed with *ret_error, or MU__STEP_NONE.
 */
mu__step mu__child_place_fds(const mu__child_fd *fds, size_t count, int *ret_error);

#endif
