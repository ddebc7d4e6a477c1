/* Children that fork servers make (warden/forks.h). Called by main.c and requests.c. */
#include "warden/forks.h"

#include "base/child.h"
#include "base/proc.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SEND_BUFFER (1 << 20) /* an environment must fit; the kernel may allow less */

static int send_to(int socket, uint64_t request, const uint8_t *body, size_t size, const int *fds,
                   size_t n_fds);
static bool read_server(forks *f, children *c, const fork_server *server);
static void handle(forks *f, children *c, const fork_server *server, const uint8_t *data,
                   size_t size);
static bool is_new(children *c, pid_t pid, mu__proc_stat *ret_stat);
static void adopt(fork_request *r, children *c, const mu__proc_stat *st);
static void finish(fork_request *r, int error, mu__step step);
static void give_up(forks *f, fork_server *server);

int forks_make_sockets(const forks *f, int ret_sockets[2])
{
    const int size = SEND_BUFFER;
    if (f->n_servers == FORK_SERVERS_MAX)
        return EMFILE;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret_sockets) != 0)
        return errno;
    (void)setsockopt(ret_sockets[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    return 0;
}

void forks_add_server(forks *f, pid_t pid, uint64_t start, int take_socket)
{
    f->servers[f->n_servers++] = (fork_server){take_socket, pid, start};
}

static fork_server *find_server(forks *f, pid_t pid, uint64_t start)
{
    for (size_t i = 0; i < f->n_servers; i++) {
        if (f->servers[i].pid == pid && f->servers[i].start == start)
            return &f->servers[i];
    }
    return NULL;
}

static int reserve(forks *f)
{
    if (f->count < f->capacity)
        return 0;
    if (f->count == FORK_REQUESTS_MAX)
        return EAGAIN;
    size_t capacity = f->capacity ? 2 * f->capacity : 32;
    fork_request *requests = realloc(f->requests, capacity * sizeof *requests);
    if (!requests)
        return ENOMEM;
    f->requests = requests;
    f->capacity = capacity;
    return 0;
}

int forks_ask(forks *f, uint64_t request, const mu__wp_spawn *spec, const uint8_t *body,
              size_t size, const int *fds)
{
    const fork_server *server = find_server(f, spec->server_pid, spec->server_start);
    if (!server)
        return ESRCH;
    size_t n_fds = 0;
    for (size_t i = 0; i < spec->n_fds; i++)
        n_fds += spec->fds[i].source != MU__WP_FD_NULL;
    n_fds += (spec->flags & MU__SPAWN_CGROUP) != 0;
    int error = reserve(f);
    if (error == 0)
        error = send_to(server->socket, request, body, size, fds, n_fds);
    if (error)
        return error;
    fork_request *added = &f->requests[f->count++];
    *added = (fork_request){.request = request, .server = server->pid, .pidfd = -1};
    (void)snprintf(added->mark, sizeof added->mark, "%s", spec->mark);
    return 0;
}

static int send_to(int socket, uint64_t request, const uint8_t *body, size_t size, const int *fds,
                   size_t n_fds)
{
    mu__wp_control control;
    uint8_t header[MU__WP_HEADER_SIZE];
    mu__wp_encode_header(MU__WP_SPAWN, request, size, header);
    struct iovec parts[] = {{header, sizeof header}, {(void *)(uintptr_t)body, size}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    mu__wp_attach_fds(&message, &control, fds, n_fds);
    ssize_t n;
    do
        n = sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n >= 0)
        return 0;
    if (errno == EPIPE || errno == ECONNRESET)
        return ESRCH;
    return errno == ENOBUFS || errno == ETOOMANYREFS ? EAGAIN : errno;
}

/* ---- what comes back ----------------------------------------------------------------------- */

void forks_read(forks *f, children *c)
{
    for (size_t i = 0; i < f->n_servers;) {
        fork_server *server = &f->servers[i];
        /* First whether it lives, then what it said: so nothing said before its end is lost. */
        bool lives = children_find(c, server->pid, server->start) != NULL;
        if (read_server(f, c, server) && lives)
            i++;
        else
            give_up(f, server);
    }
}

/* False: the end of the stream; nobody is left who could say anything. */
static bool read_server(forks *f, children *c, const fork_server *server)
{
    uint8_t data[MU__WP_SMALL];
    for (;;) {
        ssize_t n = recv(server->socket, data, sizeof data, MSG_DONTWAIT);
        if (n > 0)
            handle(f, c, server, data, (size_t)n);
        else if (n == 0 || (errno != EINTR && errno != EAGAIN))
            return false;
        else if (errno == EAGAIN)
            return true;
    }
}

static fork_request *find_undone(forks *f, pid_t server, uint64_t request)
{
    for (size_t i = 0; i < f->count; i++) {
        fork_request *r = &f->requests[i];
        if (!r->done && r->server == server && r->request == request)
            return r;
    }
    return NULL;
}

/* A child of the warden's that is not in the table: any other pid is a mistake, or a trick. */
static bool is_new(children *c, pid_t pid, mu__proc_stat *ret_stat)
{
    return pid > 1 && !children_find_pid(c, pid) && mu__proc_read_stat(pid, ret_stat) == MU_OK &&
           ret_stat->ppid == getpid();
}

static void handle(forks *f, children *c, const fork_server *server, const uint8_t *data,
                   size_t size)
{
    mu__wp_header header;
    mu__wp_forked said;
    mu__proc_stat st;
    if (mu__wp_decode_header(data, size, &header) != MU_OK ||
        mu__wp_decode_forked(data + MU__WP_HEADER_SIZE, header.body_size, &said) != MU_OK)
        return;
    fork_request *r = find_undone(f, server->pid, header.request);
    if (!r)
        return; /* answered already, by the child or by its end */
    if (header.op == MU__WP_FORKING && is_new(c, said.pid, &st))
        r->result.pid = said.pid;
    else if (header.op == MU__WP_FORKED && said.error)
        finish(r, said.error, (mu__step)said.step);
    else if (header.op == MU__WP_FORKED && is_new(c, said.pid, &st))
        adopt(r, c, &st);
}

/* From here on it is a child like any other. It is unreaped, so the pid is its own. */
static void adopt(fork_request *r, children *c, const mu__proc_stat *st)
{
    if (!children_reserve(c)) {
        (void)kill(st->pid, SIGKILL);
        finish(r, ENOMEM, MU__STEP_FORK);
        return;
    }
    int pidfd = (int)syscall(SYS_pidfd_open, st->pid, 0);
    if (pidfd < 0 && !mu__pidfd_missing(errno)) {
        int error = errno;
        (void)kill(st->pid, SIGKILL);
        finish(r, error, MU__STEP_STAT);
        return;
    }
    children_add(c, st->pid, st->start, r->mark);
    r->result = (mu__wp_spawned){.pid = st->pid, .start = st->start};
    r->pidfd = pidfd;
    r->done = true;
}

static void finish(fork_request *r, int error, mu__step step)
{
    r->result = (mu__wp_spawned){.error = error, .step = step};
    r->done = true;
}

/* What it has begun to make cannot report any more and ends itself. */
static void give_up(forks *f, fork_server *server)
{
    for (size_t i = 0; i < f->count; i++) {
        if (!f->requests[i].done && f->requests[i].server == server->pid)
            finish(&f->requests[i], ESRCH, MU__STEP_FORK);
    }
    (void)close(server->socket);
    *server = f->servers[--f->n_servers];
}

bool forks_may_mean(forks *f, children *c, pid_t pid)
{
    bool unknown = false;
    mu__proc_stat st;
    for (size_t i = 0; i < f->count; i++) {
        fork_request *r = &f->requests[i];
        if (r->done)
            continue;
        if (r->result.pid == pid) {
            if (is_new(c, pid, &st))
                adopt(r, c, &st);
            else
                finish(r, EBADMSG, MU__STEP_STAT);
            return false;
        }
        unknown |= r->result.pid == 0;
    }
    return unknown;
}

bool forks_has_mark(const forks *f, const char *mark)
{
    for (size_t i = 0; i < f->count; i++) {
        if (!f->requests[i].done && strcmp(f->requests[i].mark, mark) == 0)
            return true;
    }
    return false;
}

/* ---- answers ------------------------------------------------------------------------------- */

fork_request *forks_next_done(forks *f)
{
    for (size_t i = 0; i < f->count; i++) {
        if (f->requests[i].done)
            return &f->requests[i];
    }
    return NULL;
}

void forks_drop(forks *f, fork_request *told)
{
    if (told->pidfd >= 0)
        (void)close(told->pidfd);
    *told = f->requests[--f->count];
}
