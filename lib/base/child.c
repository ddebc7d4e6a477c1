/*
 * Processes that borrow their maker's memory until exec (base/child.h). Called by warden/spawn.c
 * and port/warden_launch.c. The functions marked MU_BORROWED run in the child.
 */
#include "base/child.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
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

MU_BORROWED static pid_t clone_raw(int (*body)(void *arg), void *stack, size_t stack_size,
                                   int flags, void *arg, int *ret_pidfd)
{
    uintptr_t top = ((uintptr_t)stack + stack_size) & ~(uintptr_t)63;
    return RAW_CLONE(body, (void *)top, CLONE_VM | CLONE_VFORK | flags, arg, ret_pidfd, NULL, NULL);
}

MU_BORROWED pid_t mu__child_clone(int (*body)(void *arg), void *stack, size_t stack_size, int flags,
                                  void *arg)
{
    return clone_raw(body, stack, stack_size, flags, arg, NULL);
}

MU_BORROWED pid_t mu__child_clone_pidfd(int (*body)(void *arg), void *stack, size_t stack_size,
                                        int flags, void *arg, int *ret_pidfd)
{
    *ret_pidfd = -1;
    pid_t pid = clone_raw(body, stack, stack_size, flags | CLONE_PIDFD, arg, ret_pidfd);
    if (pid < 0)
        *ret_pidfd = -1; /* the kernel may have written a number before it failed */
    bool refused = pid < 0 && (errno == ENOSYS || errno == EINVAL || errno == EPERM);
    return refused ? mu__child_clone(body, stack, stack_size, flags, arg) : pid;
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

/* The number that a name is, or UINT32_MAX. */
MU_BORROWED static unsigned number_of(const char *name)
{
    unsigned number = 0;
    for (; *name; name++) {
        if (*name < '0' || *name > '9')
            return UINT32_MAX;
        number = 10 * number + (unsigned)(*name - '0');
    }
    return number;
}

/* Closes what a piece of the list of /proc/self/fd names; how many. The list itself is `dir`. */
MU_BORROWED static int close_listed(const char *list, long size, unsigned first, unsigned end,
                                    long dir)
{
    int closed = 0;
    for (long at = 0; at < size;) {
        const struct dirent64 *entry = (const struct dirent64 *)(const void *)(list + at);
        unsigned fd = number_of(entry->d_name);
        if (fd >= first && fd < end && fd != (unsigned)dir)
            closed += mu__child_call(SYS_close, (long)fd, 0, 0, 0) == 0;
        at += entry->d_reclen;
    }
    return closed;
}

/*
 * Before Linux 5.9 there is no close_range. Those that are open are listed, again and again until
 * there are none, for a list that changes while it is read need not be whole.
 */
MU_BORROWED static int close_by_list(unsigned first, unsigned end)
{
    _Alignas(struct dirent64) char list[2048];
    const char *path = "/proc/self/fd";
    long size;
    int closed;
    do {
        long dir =
            mu__child_call(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
        if (dir < 0)
            return (int)-dir;
        closed = 0;
        while ((size = mu__child_call(SYS_getdents64, dir, (long)list, sizeof list, 0)) > 0)
            closed += close_listed(list, size, first, end, dir);
        (void)mu__child_call(SYS_close, dir, 0, 0, 0);
    } while (size == 0 && closed > 0);
    return (int)-size;
}

/* Closes `first` to `end`, which is not included: what lies between two targets. */
MU_BORROWED static int close_between(unsigned first, unsigned end)
{
    if (first >= end)
        return 0;
    int error = (int)-mu__child_call(SYS_close_range, (long)first, (long)end - 1, 0, 0);
    return error == ENOSYS || error == EPERM ? close_by_list(first, end) : error;
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
