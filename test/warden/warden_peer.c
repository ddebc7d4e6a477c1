/* See warden_peer.h. */
#include "warden_peer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/proc.h"
#include "support/mu_marked.h"
#include "support/mu_test.h"

static void note_exit(peer *p, const uint8_t *body, size_t size)
{
    mu_check(p->n_exits < 64);
    mu_check_ok(mu__wp_decode_exited(body, size, &p->exits[p->n_exits++]));
}

static void launch(peer *p, bool strict);

void peer_start(peer *p)
{
    launch(p, false);
}

void peer_start_strict(peer *p)
{
    launch(p, true);
}

static void launch(peer *p, bool strict)
{
    char path[PATH_MAX];
    static unsigned number;
    struct timespec now;
    mu_error error = MU_ERROR_INIT;
    memset(p, 0, sizeof *p);
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(p->run_id, sizeof p->run_id, "%d-test-%lx%lx-%u", (int)getpid(), (long)now.tv_sec,
             now.tv_nsec, number++);
    mu_check_ok(mu__warden_find(NULL, path, sizeof path, &error));
    mu_err err = mu__warden_launch(&mu__sys_real, &mu__clock_monotonic, path, p->run_id,
                                   &(mu__warden_place){.strict = strict}, 5000 * MU_TEST_SCALE,
                                   &p->link, &error);
    mu_check_msg(err == MU_OK, "%s", error.message);
}

static void send_message(peer *p, const void *data, size_t size, const int *fds, size_t n_fds)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * 32)];
    } control = {0};
    struct iovec part = {(void *)(uintptr_t)data, size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (n_fds > 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_LEN(sizeof(int) * n_fds);
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
    }
    ssize_t n = sendmsg(p->link.socket, &message, MSG_NOSIGNAL);
    mu_check_msg(n == (ssize_t)size, "sendmsg: %s", strerror(errno));
}

void peer_send_raw(peer *p, const void *data, size_t size)
{
    send_message(p, data, size, NULL, 0);
}

static mu__wp_header receive(peer *p, uint8_t body[MU__WP_SMALL], int *ret_fd)
{
    uint8_t data[MU__WP_HEADER_SIZE + MU__WP_SMALL];
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {data, sizeof data};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    struct pollfd ready = {.fd = p->link.socket, .events = POLLIN};
    mu_check_eq(poll(&ready, 1, 10000 * MU_TEST_SCALE), 1);
    ssize_t n = recvmsg(p->link.socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    mu_check_msg(n > 0, "the warden is gone (%s)", n ? strerror(errno) : "end of file");
    mu__wp_header header;
    mu_check_ok(mu__wp_decode_header(data, (size_t)n, &header));
    memcpy(body, data + MU__WP_HEADER_SIZE, header.body_size);
    *ret_fd = -1;
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    if (c)
        memcpy(ret_fd, CMSG_DATA(c), sizeof *ret_fd);
    return header;
}

mu__wp_header peer_receive(peer *p, uint8_t body[MU__WP_SMALL])
{
    int fd;
    mu__wp_header header = receive(p, body, &fd);
    if (fd >= 0)
        close(fd);
    return header;
}

/* The answer with this number; exits that come before it are noted. */
static mu__wp_header receive_answer(peer *p, uint64_t request, uint8_t body[MU__WP_SMALL], int *fd)
{
    for (;;) {
        mu__wp_header header = receive(p, body, fd);
        if (header.op != MU__WP_EXITED) {
            mu_check_eq(header.request, request);
            return header;
        }
        note_exit(p, body, header.body_size);
    }
}

static void send_large(peer *p, uint8_t *data, size_t size, const int *fds, size_t n_fds)
{
    int all[32];
    all[0] = memfd_create("spawn", MFD_CLOEXEC);
    mu_check(all[0] >= 0);
    mu_check_eq(write(all[0], data + MU__WP_HEADER_SIZE, size - MU__WP_HEADER_SIZE),
                (ssize_t)(size - MU__WP_HEADER_SIZE));
    if (n_fds)
        memcpy(all + 1, fds, n_fds * sizeof *fds);
    mu__wp_body_in_memfd(data);
    send_message(p, data, MU__WP_HEADER_SIZE, all, n_fds + 1);
    close(all[0]);
}

mu__wp_spawned peer_spawn_child(peer *p, const peer_spawn *spawn, int *ret_pidfd)
{
    char run[128], child[256], sh[] = "sh", dash_c[] = "-c", mark[MU__WP_MARK_MAX];
    char *env[32] = {run, child};
    char *argv[] = {sh, dash_c, (char *)(uintptr_t)spawn->script, NULL};
    snprintf(mark, sizeof mark, "%s.%s", p->run_id, spawn->serial ? spawn->serial : "1");
    snprintf(run, sizeof run, MU__ENV_RUN_ID "=%s", p->run_id);
    snprintf(child, sizeof child, MU__ENV_CHILD "=%s", mark);
    for (size_t i = 0; spawn->extra_env && spawn->extra_env[i]; i++)
        env[i + 2] = spawn->extra_env[i];
    mu__wp_spawn spec = spawn->more;
    spec.path = spawn->path ? spawn->path : "/bin/sh";
    spec.argv = spawn->argv ? spawn->argv : argv;
    spec.envp = env;
    spec.cwd = spawn->cwd;
    spec.mark = mark;
    size_t size = mu__wp_encode_spawn(++p->requests, &spec, NULL, 0);
    uint8_t *data = malloc(size);
    mu__wp_encode_spawn(p->requests, &spec, data, size);
    if (size > MU__WP_HEADER_SIZE + MU__WP_INLINE_MAX)
        send_large(p, data, size, spawn->fds, spawn->n_fds);
    else
        send_message(p, data, size, spawn->fds, spawn->n_fds);
    free(data);

    uint8_t body[MU__WP_SMALL];
    int pidfd;
    mu__wp_spawned spawned;
    mu__wp_header header = receive_answer(p, p->requests, body, &pidfd);
    mu_check_eq(header.op, MU__WP_SPAWNED);
    mu_check_ok(mu__wp_decode_spawned(body, header.body_size, &spawned));
    mu_check_eq(pidfd >= 0, spawned.error == 0 && p->link.pidfd >= 0);
    if (ret_pidfd)
        *ret_pidfd = pidfd;
    else if (pidfd >= 0)
        close(pidfd);
    return spawned;
}

mu__wp_spawned peer_sh(peer *p, const char *script)
{
    const peer_spawn spawn = {.script = script};
    mu__wp_spawned spawned = peer_spawn_child(p, &spawn, NULL);
    mu_check_eq(spawned.error, 0);
    return spawned;
}

int peer_signal(peer *p, const mu__wp_spawned *child, int sig, mu__wp_scope scope)
{
    const mu__wp_signal ask = {child->pid, child->start, sig, scope};
    uint8_t data[MU__WP_SMALL];
    int fd;
    mu__wp_done done;
    peer_send_raw(p, data, mu__wp_encode_signal(++p->requests, &ask, data, sizeof data));
    mu__wp_header header = receive_answer(p, p->requests, data, &fd);
    mu_check_eq(header.op, MU__WP_DONE);
    mu_check_ok(mu__wp_decode_done(data, header.body_size, &done));
    return done.error;
}

mu__wp_exited peer_wait_exit(peer *p, const mu__wp_spawned *child)
{
    uint8_t body[MU__WP_SMALL];
    for (size_t i = 0;; i++) {
        if (i == p->n_exits) {
            mu__wp_header header = peer_receive(p, body);
            mu_check_eq(header.op, MU__WP_EXITED);
            note_exit(p, body, header.body_size);
        }
        if (p->exits[i].pid == child->pid && p->exits[i].start == child->start)
            return p->exits[i];
    }
}

void peer_stop(peer *p)
{
    uint8_t data[MU__WP_SMALL];
    int fd;
    peer_send_raw(p, data, mu__wp_encode_stop(++p->requests, data, sizeof data));
    mu_check_eq(receive_answer(p, p->requests, data, &fd).op, MU__WP_DONE);
    mu_check_eq(processes_of_run(p->run_id) <= 1, true); /* the warden itself may still be there */
    peer_drop(p);
}

void peer_drop(peer *p)
{
    mu__proc_stat st;
    close(p->link.socket);
    p->link.socket = -1;
    mu__warden_link_await_end(&mu__sys_real, &mu__clock_monotonic, &p->link,
                              mu_clock_now(&mu__clock_monotonic) + 5 * MU_SECOND * MU_TEST_SCALE);
    mu_check(mu__proc_read_stat(p->link.id.pid, &st) != MU_OK || mu__proc_has_ended(&st));
    mu__warden_link_close(&p->link);
    mu_wait_until(processes_of_run(p->run_id) == 0, 1000);
}

int processes_of_run(const char *run_id)
{
    return mu_marked(MU__ENV_RUN_ID, run_id);
}

bool process_exists(int pid)
{
    mu__proc_stat st;
    return mu__proc_read_stat(pid, &st) == MU_OK;
}

void read_text(int fd, char *text, size_t size)
{
    size_t used = 0;
    ssize_t n;
    while (used < size - 1 && (n = read(fd, text + used, size - 1 - used)) > 0)
        used += (size_t)n;
    text[used] = '\0';
}

void read_file_text(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    mu_check_msg(fd >= 0, "%s: %s", path, strerror(errno));
    read_text(fd, text, size);
    close(fd);
}

void peer_check_refused(peer *p, const peer_spawn *spawn, int error, mu__step step)
{
    pid_t children[8];
    size_t count = 0;
    mu__wp_spawned spawned = peer_spawn_child(p, spawn, NULL);
    mu_check_eq(spawned.error, error);
    mu_check_str(mu__step_text(spawned.step), mu__step_text(step));
    mu_check_ok(mu__proc_children(p->link.id.pid, children, 8, &count));
    mu_check_eq(count, 0u);
}

void peer_output(peer *p, peer_spawn spawn, char *text, size_t size)
{
    int out[2];
    mu_check_eq(pipe2(out, O_CLOEXEC), 0);
    spawn.more.n_fds = 1;
    spawn.more.fds[0] = (mu__wp_fd){1, 0};
    spawn.fds = &out[1];
    spawn.n_fds = 1;
    mu__wp_spawned spawned = peer_spawn_child(p, &spawn, NULL);
    mu_check_msg(spawned.error == 0, "%s: %s", mu__step_text(spawned.step),
                 strerror(spawned.error));
    close(out[1]);
    read_text(out[0], text, size);
    close(out[0]);
    (void)peer_wait_exit(p, &spawned);
}

static int read_number(int fd)
{
    char text[32];
    ssize_t n = read(fd, text, sizeof text - 1);
    mu_check(n > 0);
    text[n] = '\0';
    return atoi(text);
}

int peer_spawn_offspring(peer *p, const char *script, mu__wp_spawned *ret_spawned)
{
    return peer_spawn_offspring_of(p, (peer_spawn){.script = script}, ret_spawned);
}

int peer_spawn_offspring_of(peer *p, peer_spawn spawn, mu__wp_spawned *ret_spawned)
{
    int out[2];
    mu_check_eq(pipe2(out, O_CLOEXEC), 0);
    spawn.more.n_fds = 1;
    spawn.more.fds[0] = (mu__wp_fd){3, 0};
    spawn.fds = &out[1];
    spawn.n_fds = 1;
    *ret_spawned = peer_spawn_child(p, &spawn, NULL);
    mu_check_eq(ret_spawned->error, 0);
    close(out[1]);
    int pid = read_number(out[0]);
    close(out[0]);
    return pid;
}
