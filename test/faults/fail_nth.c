/* The n-th allocation or system call of the library fails (fail_nth.h). */
#include "fail_nth.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>

static _Atomic int armed_call = -1;
static _Atomic int countdown;
static _Atomic int armed_error;

const char *fail_name(fail_call call)
{
    static const char *const names[] = {
#define FAIL_NAME_(name, text) [name] = text,
        FAIL_CALLS(FAIL_NAME_)
#undef FAIL_NAME_
    };
    return names[call];
}

void fail_arm(fail_call call, int nth, int error)
{
    atomic_store(&armed_error, error);
    atomic_store(&countdown, nth);
    atomic_store(&armed_call, (int)call);
}

bool fail_disarm(void)
{
    atomic_store(&armed_call, -1);
    return atomic_load(&countdown) <= 0;
}

bool fail_pending(void)
{
    return atomic_load(&armed_call) >= 0 && atomic_load(&countdown) > 0;
}

/* Is this the one? Then errno is set. */
static bool fails(fail_call call)
{
    if (atomic_load(&armed_call) != (int)call || atomic_fetch_sub(&countdown, 1) != 1)
        return false;
    errno = atomic_load(&armed_error);
    return true;
}

/* ---- allocations: --wrap sends the library's here ---------------------------------------------
 */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);
char *__wrap_strdup(const char *text);

void *__wrap_malloc(size_t size)
{
    return fails(FAIL_ALLOC) ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails(FAIL_ALLOC) ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *block, size_t size)
{
    return fails(FAIL_ALLOC) ? NULL : __real_realloc(block, size);
}

char *__wrap_strdup(const char *text)
{
    return fails(FAIL_ALLOC) ? NULL : __real_strdup(text);
}

/* ---- system calls: the table ------------------------------------------------------------------
 */

#define OR_REAL(call, failure, real) (fails(call) ? (failure) : mu__sys_real.real)

static int fail_pipe2(int fds[2], int flags)
{
    return OR_REAL(FAIL_PIPE2, -1, pipe2(fds, flags));
}

static int fail_socketpair(int domain, int type, int protocol, int fds[2])
{
    return OR_REAL(FAIL_SOCKETPAIR, -1, socketpair(domain, type, protocol, fds));
}

static int fail_eventfd(unsigned initial, int flags)
{
    return OR_REAL(FAIL_EVENTFD, -1, eventfd(initial, flags));
}

static int fail_epoll_create1(int flags)
{
    return OR_REAL(FAIL_EPOLL_CREATE1, -1, epoll_create1(flags));
}

/* Taking an fd out, or looking at it again, needs nothing that could be missing. */
static int fail_epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
    if (op != EPOLL_CTL_ADD)
        return mu__sys_real.epoll_ctl(epfd, op, fd, event);
    return OR_REAL(FAIL_EPOLL_CTL, -1, epoll_ctl(epfd, op, fd, event));
}

static int fail_timerfd_create(int clockid, int flags)
{
    return OR_REAL(FAIL_TIMERFD_CREATE, -1, timerfd_create(clockid, flags));
}

static int fail_memfd_create(const char *name, unsigned flags)
{
    return OR_REAL(FAIL_MEMFD_CREATE, -1, memfd_create(name, flags));
}

static int fail_open(const char *path, int flags, mode_t mode)
{
    return OR_REAL(FAIL_OPEN, -1, open(path, flags, mode));
}

static int fail_openat(int dir_fd, const char *path, int flags, mode_t mode)
{
    return OR_REAL(FAIL_OPEN, -1, openat(dir_fd, path, flags, mode));
}

static int fail_mkdir(const char *path, mode_t mode)
{
    return OR_REAL(FAIL_MKDIR, -1, mkdir(path, mode));
}

static int fail_renameat(int old_dir, const char *old_path, int new_dir, const char *new_path)
{
    return OR_REAL(FAIL_RENAMEAT, -1, renameat(old_dir, old_path, new_dir, new_path));
}

static int fail_flock(int fd, int operation)
{
    return OR_REAL(FAIL_FLOCK, -1, flock(fd, operation));
}

/*
 * A file is cut only after a write that failed. So the n-th write is the one that counts: half of
 * it is written, and what is there of it can then not be cut off again.
 */
static _Atomic bool torn;

static bool tears(int fd, const void *data, size_t size)
{
    if (!fails(FAIL_FTRUNCATE))
        return false;
    int error = errno;
    (void)!mu__sys_real.write(fd, data, size / 2);
    atomic_store(&torn, true);
    errno = error;
    return true;
}

static int fail_ftruncate(int fd, off_t size)
{
    if (!atomic_exchange(&torn, false))
        return mu__sys_real.ftruncate(fd, size);
    errno = EIO;
    return -1;
}

static int fail_pidfd_open(pid_t pid, unsigned flags)
{
    return OR_REAL(FAIL_PIDFD_OPEN, -1, pidfd_open(pid, flags));
}

static int fail_pidfd_send_signal(int pidfd, int sig, siginfo_t *info, unsigned flags)
{
    return OR_REAL(FAIL_PIDFD_SEND_SIGNAL, -1, pidfd_send_signal(pidfd, sig, info, flags));
}

static ssize_t fail_read(int fd, void *buffer, size_t size)
{
    return OR_REAL(FAIL_READ, -1, read(fd, buffer, size));
}

/*
 * A disk alone can be full or broken, and only a pipe can be full for now: an eventfd takes no more
 * only if it has been written to already, which is no failure.
 */
static ssize_t fail_write(int fd, const void *data, size_t size)
{
    int error = atomic_load(&armed_error);
    struct stat file;
    mode_t kind = error == EINTR || fstat(fd, &file) != 0 ? 0 : file.st_mode & S_IFMT;
    if (error != EINTR && kind != (error == EAGAIN ? S_IFIFO : S_IFREG))
        return mu__sys_real.write(fd, data, size);
    if (kind == S_IFREG && tears(fd, data, size))
        return -1;
    return OR_REAL(FAIL_WRITE, -1, write(fd, data, size));
}

static ssize_t fail_writev(int fd, const struct iovec *parts, int count)
{
    return OR_REAL(FAIL_WRITEV, -1, writev(fd, parts, count));
}

static ssize_t fail_sendmsg(int fd, const struct msghdr *message, int flags)
{
    return OR_REAL(FAIL_SENDMSG, -1, sendmsg(fd, message, flags));
}

static ssize_t fail_recvmsg(int fd, struct msghdr *message, int flags)
{
    return OR_REAL(FAIL_RECVMSG, -1, recvmsg(fd, message, flags));
}

static int fail_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    return OR_REAL(FAIL_POLL, -1, poll(fds, count, timeout_ms));
}

static int fail_thread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*body)(void *),
                              void *arg)
{
    return fails(FAIL_THREAD_CREATE) ? errno : mu__sys_real.thread_create(thread, attr, body, arg);
}

const mu_sys *fail_table(void)
{
    static mu_sys table;
    table = mu__sys_real;
    table.pipe2 = fail_pipe2;
    table.socketpair = fail_socketpair;
    table.eventfd = fail_eventfd;
    table.epoll_create1 = fail_epoll_create1;
    table.epoll_ctl = fail_epoll_ctl;
    table.timerfd_create = fail_timerfd_create;
    table.memfd_create = fail_memfd_create;
    table.open = fail_open;
    table.openat = fail_openat;
    table.mkdir = fail_mkdir;
    table.renameat = fail_renameat;
    table.flock = fail_flock;
    table.ftruncate = fail_ftruncate;
    table.pidfd_open = fail_pidfd_open;
    table.pidfd_send_signal = fail_pidfd_send_signal;
    table.read = fail_read;
    table.write = fail_write;
    table.writev = fail_writev;
    table.sendmsg = fail_sendmsg;
    table.recvmsg = fail_recvmsg;
    table.poll = fail_poll;
    table.thread_create = fail_thread_create;
    return &table;
}
