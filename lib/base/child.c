/*
 * Processes that borrow their maker's memory until exec (base/child.h). Called by warden/spawn.c
 * and port/warden_launch.c. The functions marked MU_BORROWED run in the child.
 */
#include "base/child.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAX_FDS            32
#define KERNEL_SIGSET_SIZE 8
#define KERNEL_SIGNALS     64

/*
 * ThreadSanitizer puts itself before clone() as if it were fork; glibc's other name for the same
 * function leads past it. musl has no sanitizers and only the one name.
 */
#ifdef __GLIBC__
int __clone(int (*body)(void *), void *stack, int flags, void *arg, ...);
#define RAW_CLONE __clone
#else
#define RAW_CLONE clone
#endif

const char *mu__step_text(uint32_t step)
{
    static const char *const texts[] = {
#define TEXT(name, text) text,
        MU__STEPS(TEXT)
#undef TEXT
    };
    return step < MU__STEP_LIMIT_ ? texts[step] : "unknown step";
}

pid_t mu__child_clone(int (*body)(void *arg), void *stack, size_t stack_size, int flags, void *arg,
                      int *ret_pidfd)
{
    uintptr_t top = ((uintptr_t)stack + stack_size) & ~(uintptr_t)63;
    return RAW_CLONE(body, (void *)top, CLONE_VM | CLONE_VFORK | flags, arg, ret_pidfd, NULL, NULL);
}

uint64_t mu__signals_block(void)
{
    uint64_t all = ~UINT64_C(0), old = 0;
    (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &old, KERNEL_SIGSET_SIZE);
    return old;
}

void mu__signals_restore(uint64_t mask)
{
    (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, KERNEL_SIGSET_SIZE);
}

/* syscall(2) writes errno: the maker's, since the memory is borrowed; makers expect no other. */
MU_BORROWED long mu__child_call(long number, long a, long b, long c, long d)
{
    long result = syscall(number, a, b, c, d, 0L, 0L); /* prctl insists on zeros */
    return result == -1 ? -(long)errno : result;
}

MU_BORROWED void mu__child_fail(mu__child_report *report, mu__step step, int error)
{
    report->step = step;
    report->error = error;
    for (;;)
        (void)mu__child_call(SYS_exit_group, 127, 0, 0, 0);
}

MU_BORROWED void mu__child_reset_signals(void)
{
    /* The kernel's sigaction of every architecture: four or fewer longs, all zero is SIG_DFL. */
    const unsigned long zero[4] = {0};
    for (int sig = 1; sig <= KERNEL_SIGNALS; sig++) {
        if (sig != SIGKILL && sig != SIGSTOP)
            (void)mu__child_call(SYS_rt_sigaction, sig, (long)zero, 0, KERNEL_SIGSET_SIZE);
    }
}

/* Closes `first` to `end`, which is not included: what lies between two targets. */
MU_BORROWED static int close_between(unsigned first, unsigned end)
{
    if (first >= end)
        return 0;
    return (int)-mu__child_call(SYS_close_range, (long)first, (long)end - 1, 0, 0);
}

MU_BORROWED mu__step mu__child_place_fds(const mu__child_fd *fds, size_t count, int *ret_error)
{
    int high[MAX_FDS];
    if (count == 0 || count > MAX_FDS) {
        *ret_error = EINVAL;
        return MU__STEP_FDS;
    }
    /* First out of the way of every target, or a source could be overwritten before its turn. */
    for (size_t i = 0; i < count; i++) {
        long fd =
            mu__child_call(SYS_fcntl, fds[i].source, F_DUPFD_CLOEXEC, fds[count - 1].target + 1, 0);
        if (fd < 0) {
            *ret_error = (int)-fd;
            return MU__STEP_FDS;
        }
        high[i] = (int)fd;
    }
    unsigned next = 0;
    for (size_t i = 0; i < count; i++) {
        long fd = mu__child_call(SYS_dup3, high[i], fds[i].target, 0, 0);
        if (fd < 0) {
            *ret_error = (int)-fd;
            return MU__STEP_FDS;
        }
        *ret_error = close_between(next, (unsigned)fds[i].target);
        if (*ret_error)
            return MU__STEP_CLOSE;
        next = (unsigned)fds[i].target + 1;
    }
    *ret_error = close_between(next, UINT32_MAX);
    return *ret_error ? MU__STEP_CLOSE : MU__STEP_NONE;
}
