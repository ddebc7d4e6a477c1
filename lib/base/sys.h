/*
 * base/sys.h - the table of system calls.
 *
 * Why a table: every call that can fail for want of resources goes through it, so that a test can
 * let the n-th one fail and see its own error come back with nothing leaked. The host library, not
 * the warden, is its user. Calls that cannot fail usefully (clock, futex, close) are called bare.
 *
 * Each entry behaves exactly as the call it is named after: -1 and errno. thread_create returns an
 * error number as pthread_create does. Everything that makes an fd sets close-on-exec.
 *
 *     int fd = sys->eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
 *
 * Thread-safety: the table is constant. Ownership: fds belong to the caller.
 */
#ifndef MU_BASE_SYS_H
#define MU_BASE_SYS_H

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

struct itimerspec;

typedef struct mu_sys {
    /* memory: NULL on failure */
    void *(*alloc)(size_t size);               /* zeroed */
    void *(*resize)(void *block, size_t size); /* as realloc */
    /* fds */
    int (*pipe2)(int fds[2], int flags);
    int (*socketpair)(int domain, int type, int protocol, int fds[2]);
    int (*eventfd)(unsigned initial, int flags);
    int (*epoll_create1)(int flags);
    int (*epoll_ctl)(int epfd, int op, int fd, struct epoll_event *event);
    int (*timerfd_create)(int clockid, int flags);
    int (*timerfd_settime)(int fd, int flags, const struct itimerspec *next,
                           struct itimerspec *old);
    int (*memfd_create)(const char *name, unsigned flags);
    int (*open)(const char *path, int flags, mode_t mode);
    int (*openat)(int dir_fd, const char *path, int flags, mode_t mode);
    /* names */
    int (*mkdir)(const char *path, mode_t mode);
    int (*renameat)(int old_dir_fd, const char *old_path, int new_dir_fd, const char *new_path);
    /* files */
    int (*flock)(int fd, int operation);
    int (*ftruncate)(int fd, off_t size);
    /* processes */
    int (*pidfd_open)(pid_t pid, unsigned flags);
    int (*pidfd_send_signal)(int pidfd, int sig, siginfo_t *info, unsigned flags);
    /* data */
    ssize_t (*read)(int fd, void *buffer, size_t size);
    ssize_t (*write)(int fd, const void *data, size_t size);
    ssize_t (*writev)(int fd, const struct iovec *parts, int count);
    ssize_t (*sendmsg)(int fd, const struct msghdr *message, int flags);
    ssize_t (*recvmsg)(int fd, struct msghdr *message, int flags);
    int (*poll)(struct pollfd *fds, nfds_t count, int timeout_ms);
    /* threads: 0 or an error number */
    int (*thread_create)(pthread_t *thread, const pthread_attr_t *attr, void *(*body)(void *),
                         void *arg);
} mu_sys;

/* The real calls. */
extern const mu_sys mu__sys_real;

#endif
