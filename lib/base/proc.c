/*
 * Reading /proc (base/proc.h). Called by the warden's clean-up and by the host when a warden was
 * lost. Plain open and read with buffers on the stack: it must work when memory is short.
 */
#include "base/proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* PF_EXITING of linux/sched.h, shown in field 9. */
enum { TASK_EXITING = 0x4 };

/* How often a process is looked at until it has stopped: at once, then a millisecond apart. */
#define LOOKS_AT_ONCE 20
#define LOOKS         40

/* The NAME=value being read; only its start, since what is longer cannot be asked for. */
struct entry {
    const char *name;
    size_t name_size;
    size_t used;
    char text[512];
};

static mu_err entry_take(struct entry *entry, char byte, char *value, size_t size);
static bool is_in_exec(pid_t pid);
static bool nth_field(const char *stat, int n, unsigned long long *ret_value);
static mu_err read_whole(const char *path, char *buffer, size_t size, size_t *ret_length);
static int open_proc(const char *path);
static ssize_t read_some(int fd, char *buffer, size_t size);
static mu_err thread_children(pid_t pid, const char *tid, pid_t *pids, size_t capacity,
                              size_t *count);
static mu_err children_by_scan(pid_t pid, pid_t *pids, size_t capacity, size_t *count);

mu_err mu__proc_parse_stat(const char *text, size_t size, mu__proc_stat *ret_stat)
{
    const char *end = memrchr(text, ')', size);
    char fields[512];
    if (!end)
        return MU_EDECODE;
    size_t left = size - (size_t)(end + 1 - text);
    if (left >= sizeof fields)
        left = sizeof fields - 1;
    memcpy(fields, end + 1, left);
    fields[left] = '\0';

    mu__proc_stat st = {0};
    int ppid, pgrp, session;
    unsigned flags;
    unsigned long long start;
    /* Fields 3 to 6, 9, 20, 22. */
    int n = sscanf(fields,
                   " %c %d %d %d %*s %*s %u %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %d %*s %llu",
                   &st.state, &ppid, &pgrp, &session, &flags, &st.threads, &start);
    long pid = strtol(text, NULL, 10);
    if (n != 7 || pid <= 0)
        return MU_EDECODE;
    st.pid = (pid_t)pid;
    st.ppid = ppid;
    st.pgrp = pgrp;
    st.session = session;
    st.exiting = (flags & TASK_EXITING) != 0;
    st.start = start;
    *ret_stat = st;
    return MU_OK;
}

mu_err mu__proc_read_stat(pid_t pid, mu__proc_stat *ret_stat)
{
    char path[40], text[1024];
    size_t length;
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    mu_err err = read_whole(path, text, sizeof text, &length);
    return err == MU_OK ? mu__proc_parse_stat(text, length, ret_stat) : err;
}

mu_err mu__proc_rss(pid_t pid, size_t *ret_bytes)
{
    char path[40], text[256];
    unsigned long pages;
    size_t length;
    (void)snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    mu_err err = read_whole(path, text, sizeof text, &length);
    if (err != MU_OK)
        return err;
    if (sscanf(text, "%*s %lu", &pages) != 1) /* size resident shared ... */
        return MU_EDECODE;
    *ret_bytes = pages * (size_t)sysconf(_SC_PAGESIZE);
    return MU_OK;
}

mu_err mu__proc_environ(pid_t pid, const char *name, char *ret_value, size_t size)
{
    char path[40], chunk[4096];
    struct entry entry = {.name = name, .name_size = strlen(name)};
    (void)snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
    int fd = open_proc(path);
    if (fd < 0)
        return MU_ERRNO(errno);
    mu_err err = MU_ENOTFOUND;
    bool empty = true;
    ssize_t n;
    while (err == MU_ENOTFOUND && (n = read_some(fd, chunk, sizeof chunk)) != 0) {
        empty = false;
        if (n < 0)
            err = MU_ERRNO(errno);
        for (ssize_t i = 0; i < n && err == MU_ENOTFOUND; i++)
            err = entry_take(&entry, chunk[i], ret_value, size);
    }
    (void)close(fd);
    return empty && is_in_exec(pid) ? MU_ERRNO(EAGAIN) : err;
}

mu_err mu__proc_children(pid_t pid, pid_t *ret_pids, size_t capacity, size_t *ret_count)
{
    char path[40];
    (void)snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *tasks = opendir(path);
    if (!tasks)
        return MU_ERRNO(errno);
    size_t count = 0;
    mu_err err = MU_OK;
    const struct dirent *entry;
    while (err == MU_OK && (entry = readdir(tasks)) != NULL) {
        if (entry->d_name[0] != '.')
            err = thread_children(pid, entry->d_name, ret_pids, capacity, &count);
    }
    (void)closedir(tasks);
    if (err == MU_ENOTSUP) {
        count = 0;
        err = children_by_scan(pid, ret_pids, capacity, &count);
    }
    if (err == MU_OK)
        *ret_count = count;
    return err;
}

mu_err mu__proc_descendants(pid_t root, mu__proc_id *ret_ids, size_t capacity, size_t *ret_count)
{
    pid_t children[256];
    size_t count = 0, n_children;
    /* Breadth first: ret_ids is the queue as well; next - 1 is the parent being opened. */
    for (size_t next = 0; next <= count; next++) {
        pid_t parent = next == 0 ? root : ret_ids[next - 1].pid;
        mu_err err = mu__proc_children(parent, children, 256, &n_children);
        if (err != MU_OK && next == 0)
            return err;
        for (size_t i = 0; err == MU_OK && i < n_children && count < capacity; i++) {
            mu__proc_stat st;
            if (mu__proc_read_stat(children[i], &st) == MU_OK && st.ppid == parent)
                ret_ids[count++] = (mu__proc_id){st.pid, st.start};
        }
    }
    *ret_count = count;
    return MU_OK;
}

mu_err mu__proc_kill(const mu__proc_id *id, int sig)
{
    mu__proc_stat st;
    int fd = (int)syscall(SYS_pidfd_open, id->pid, 0);
    bool missing = fd < 0 && mu__pidfd_missing(errno);
    if (fd < 0 && !missing)
        return errno == ESRCH ? MU_ENOTFOUND : MU_ERRNO(errno);
    /* The order matters: while the pidfd is open it names one process, so the check holds. */
    mu_err err = MU_OK;
    if (mu__proc_read_stat(id->pid, &st) != MU_OK || st.start != id->start)
        err = MU_ENOTFOUND;
    else if (!missing && syscall(SYS_pidfd_send_signal, fd, sig, NULL, 0) != 0) {
        missing = mu__pidfd_missing(errno);
        err = errno == ESRCH ? MU_ENOTFOUND : MU_ERRNO(errno);
    }
    if (fd >= 0)
        (void)close(fd);
    return missing && err != MU_ENOTFOUND ? mu__proc_kill_stopped(id, sig) : err;
}

static mu_err send_to_number(pid_t pid, int sig)
{
    if (kill(pid, sig) == 0)
        return MU_OK;
    return errno == ESRCH ? MU_ENOTFOUND : MU_ERRNO(errno);
}

/* MU_OK: it stands still, and is the one. A first thread that has ended shows nothing of others. */
static mu_err await_stopped(const mu__proc_id *id)
{
    for (int look = 0;; look++) {
        mu__proc_stat st;
        if (mu__proc_read_stat(id->pid, &st) != MU_OK || mu__proc_has_ended(&st))
            return MU_ENOTFOUND;
        if (st.start != id->start) {
            (void)kill(id->pid, SIGCONT);
            return MU_ENOTFOUND;
        }
        if (strchr("TtZX", st.state) || look == LOOKS)
            return MU_OK;
        if (look < LOOKS_AT_ONCE)
            (void)sched_yield();
        else
            (void)poll(NULL, 0, 1);
    }
}

mu_err mu__proc_kill_stopped(const mu__proc_id *id, int sig)
{
    mu__proc_stat before;
    if (mu__proc_read_stat(id->pid, &before) != MU_OK || before.start != id->start)
        return MU_ENOTFOUND;
    mu_err err = send_to_number(id->pid, SIGSTOP);
    if (err == MU_OK)
        err = await_stopped(id);
    bool stays = before.state == 'T' || sig == SIGKILL || sig == SIGSTOP;
    if (err == MU_OK)
        err = send_to_number(id->pid, sig);
    if (err == MU_OK && !stays)
        (void)kill(id->pid, SIGCONT);
    return err;
}

mu_err mu__proc_of_pidfd(int pidfd, pid_t *ret_pid)
{
    char path[48], text[1024];
    int pid;
    size_t length;
    (void)snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pidfd);
    mu_err err = read_whole(path, text, sizeof text, &length);
    if (err != MU_OK)
        return err;
    const char *line = strstr(text, "\nPid:");
    if (!line || sscanf(line, "\nPid: %d", &pid) != 1)
        return MU_EDECODE;
    *ret_pid = pid;
    return pid > 0 ? MU_OK : MU_ENOTFOUND;
}

mu_err mu__proc_each(bool (*visit)(pid_t pid, void *arg), void *arg)
{
    DIR *proc = opendir("/proc");
    if (!proc)
        return MU_ERRNO(errno);
    const struct dirent *entry;
    while ((entry = readdir(proc)) != NULL) {
        long pid = strtol(entry->d_name, NULL, 10);
        if (pid > 0 && !visit((pid_t)pid, arg))
            break;
    }
    (void)closedir(proc);
    return MU_OK;
}

/* MU_ENOTFOUND until the last byte of the right entry has come. */
static mu_err entry_take(struct entry *entry, char byte, char *value, size_t size)
{
    if (entry->used < sizeof entry->text)
        entry->text[entry->used++] = byte;
    if (byte != '\0')
        return MU_ENOTFOUND;
    size_t used = entry->used;
    entry->used = 0;
    if (used <= entry->name_size || entry->text[entry->name_size] != '=' ||
        memcmp(entry->text, entry->name, entry->name_size) != 0)
        return MU_ENOTFOUND;
    size_t value_size = used - entry->name_size - 1;
    if (entry->text[used - 1] != '\0' || value_size > size)
        return MU_ETOOBIG;
    memcpy(value, entry->text + entry->name_size + 1, value_size);
    return MU_OK;
}

/*
 * Asked of one whose environment was empty. One that dies, and a thread of the kernel's, has no
 * memory; one in the middle of execve has, with an environment that is yet to be placed, or has
 * been by now. What is left was given none - once its code has a place, which the kernel says last:
 * before that the environment begins and ends at one address while it is being laid down.
 */
static bool is_in_exec(pid_t pid)
{
    char path[40], text[1024];
    unsigned long long vsize, code, env_start, env_end;
    size_t length;
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    return read_whole(path, text, sizeof text, &length) == MU_OK && nth_field(text, 23, &vsize) &&
           vsize != 0 && nth_field(text, 26, &code) && nth_field(text, 50, &env_start) &&
           nth_field(text, 51, &env_end) && (code == 0 || env_end == 0 || env_end > env_start);
}

/* Of a whole line of /proc/PID/stat, counted as proc(5) counts them; n is 4 or more. */
static bool nth_field(const char *stat, int n, unsigned long long *ret_value)
{
    const char *at = strrchr(stat, ')');
    for (int field = 2; at && field < n; field++)
        at = strchr(at + 1, ' ');
    return at && sscanf(at, "%llu", ret_value) == 1;
}

/* A file that one read gives whole, as a text; cut where it is longer. */
static mu_err read_whole(const char *path, char *buffer, size_t size, size_t *ret_length)
{
    int fd = open_proc(path);
    if (fd < 0)
        return MU_ERRNO(errno);
    ssize_t n = read_some(fd, buffer, size - 1);
    mu_err err = n < 0 ? MU_ERRNO(errno) : MU_OK;
    (void)close(fd);
    if (err != MU_OK)
        return err;
    buffer[n] = '\0';
    *ret_length = (size_t)n;
    return MU_OK;
}

static int open_proc(const char *path)
{
    return open(path, O_RDONLY | O_CLOEXEC);
}

static ssize_t read_some(int fd, char *buffer, size_t size)
{
    ssize_t n;
    do
        n = read(fd, buffer, size);
    while (n < 0 && errno == EINTR);
    return n;
}

/* MU_ENOTSUP if this kernel was built without the list of children. */
static mu_err thread_children(pid_t pid, const char *tid, pid_t *pids, size_t capacity,
                              size_t *count)
{
    char path[80], text[2048];
    size_t held = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/task/%.20s/children", (int)pid, tid);
    int fd = open_proc(path);
    if (fd < 0) {
        (void)snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)gettid());
        return access(path, F_OK) == 0 ? MU_OK : MU_ENOTSUP; /* the thread has just ended */
    }
    ssize_t n;
    while ((n = read_some(fd, text + held, sizeof text - held - 1)) > 0) {
        held += (size_t)n;
        text[held] = '\0';
        char *at = text, *space;
        while ((space = strchr(at, ' ')) != NULL) {
            if (*count < capacity)
                pids[(*count)++] = (pid_t)strtol(at, NULL, 10);
            at = space + 1;
        }
        held -= (size_t)(at - text);
        memmove(text, at, held);
    }
    (void)close(fd);
    return MU_OK;
}

struct scan {
    pid_t parent;
    pid_t *pids;
    size_t capacity;
    size_t *count;
};

static bool scan_one(pid_t pid, void *arg)
{
    struct scan *scan = arg;
    mu__proc_stat st;
    if (mu__proc_read_stat(pid, &st) == MU_OK && st.ppid == scan->parent &&
        *scan->count < scan->capacity)
        scan->pids[(*scan->count)++] = pid;
    return true;
}

static mu_err children_by_scan(pid_t pid, pid_t *pids, size_t capacity, size_t *count)
{
    struct scan scan = {pid, pids, capacity, count};
    return mu__proc_each(scan_one, &scan);
}
