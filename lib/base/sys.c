/* The real system calls behind base/sys.h. musl 1.2.3 lacks the pidfd wrappers: syscall(2). */
#include "base/sys.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

static void *real_alloc(size_t size)
{
    return calloc(1, size);
}

static int real_open(const char *path, int flags, mode_t mode)
{
    return open(path, flags | O_CLOEXEC, mode);
}

static int real_openat(int dir_fd, const char *path, int flags, mode_t mode)
{
    return openat(dir_fd, path, flags | O_CLOEXEC, mode);
}

static int real_pidfd_open(pid_t pid, unsigned flags)
{
    return (int)syscall(SYS_pidfd_open, pid, flags);
}

static int real_pidfd_send_signal(int pidfd, int sig, siginfo_t *info, unsigned flags)
{
    return (int)syscall(SYS_pidfd_send_signal, pidfd, sig, info, flags);
}

static int real_eventfd(unsigned initial, int flags)
{
    return eventfd(initial, flags);
}

static int real_epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
    return epoll_ctl(epfd, op, fd, event);
}

static int real_timerfd_create(int clockid, int flags)
{
    return timerfd_create(clockid, flags);
}

const mu_sys mu__sys_real = {
    .alloc = real_alloc,
    .resize = realloc,
    .pipe2 = pipe2,
    .socketpair = socketpair,
    .eventfd = real_eventfd,
    .epoll_create1 = epoll_create1,
    .epoll_ctl = real_epoll_ctl,
    .timerfd_create = real_timerfd_create,
    .timerfd_settime = timerfd_settime,
    .memfd_create = memfd_create,
    .open = real_open,
    .openat = real_openat,
    .mkdir = mkdir,
    .renameat = renameat,
    .flock = flock,
    .ftruncate = ftruncate,
    .pidfd_open = real_pidfd_open,
    .pidfd_send_signal = real_pidfd_send_signal,
    .read = read,
    .write = write,
    .writev = writev,
    .sendmsg = sendmsg,
    .recvmsg = recvmsg,
    .poll = poll,
    .thread_create = pthread_create,
};
