/* The host's socket (warden/host.h). Called by main.c and requests.c. */
#include "warden/host.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static host_state open_packet(packet *p, const uint8_t *data, size_t size, const int *fds,
                              size_t n_fds, int error);
static int read_apart(packet *p, int memfd);
static host_state send_packet(host *h, const uint8_t *data, size_t size, int fd);

bool host_has_ended(const host *h)
{
    mu__proc_stat st;
    if (h->pidfd >= 0)
        return false; /* poll tells */
    mu_err err = mu__proc_read_stat(h->id.pid, &st);
    if (err != MU_OK) /* or it could not be looked at just now */
        return err == MU_ERRNO(ENOENT) || err == MU_ERRNO(ESRCH);
    return st.start != h->id.start || mu__proc_has_ended(&st);
}

host_state host_receive(host *h, packet *ret_packet)
{
    static uint8_t data[MU__WP_HEADER_SIZE + MU__WP_INLINE_MAX];
    mu__wp_control control;
    struct iovec part = {data, sizeof data};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    int fds[MU__WP_PASSED_MAX];
    mu__wp_expect_fds(&message, &control, MU__WP_PASSED_MAX);
    ssize_t size = recvmsg(h->socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (size < 0)
        return errno == EAGAIN || errno == EINTR ? HOST_BLOCKED : HOST_GONE;
    if (size == 0)
        return HOST_GONE;
    size_t n_fds = mu__wp_take_fds(&message, fds);
    /* Fewer fds than were passed: this process may hold no more of them. */
    int error = message.msg_flags & MSG_CTRUNC ? EMFILE : 0;
    if (message.msg_flags & MSG_TRUNC)
        size = 0;
    return open_packet(ret_packet, data, (size_t)size, fds, n_fds, error);
}

void packet_release(packet *p)
{
    for (size_t i = 0; i < p->n_fds; i++)
        (void)close(p->fds[i]);
    free(p->apart);
    *p = (packet){0};
}

void host_answer(host *h, const uint8_t *data, size_t size, int take_fd)
{
    memcpy(h->answer, data, size);
    h->answer_size = size;
    h->answer_fd = take_fd;
    h->answer_waits = true;
}

host_state host_flush(host *h)
{
    if (!h->answer_waits)
        return HOST_OK;
    host_state state = send_packet(h, h->answer, h->answer_size, h->answer_fd);
    if (state == HOST_BLOCKED)
        return state;
    if (h->answer_fd >= 0)
        (void)close(h->answer_fd);
    h->answer_fd = -1;
    h->answer_waits = false;
    return state;
}

host_state host_send(host *h, const uint8_t *data, size_t size)
{
    return send_packet(h, data, size, -1);
}

static host_state open_packet(packet *p, const uint8_t *data, size_t size, const int *fds,
                              size_t n_fds, int error)
{
    *p = (packet){.error = error};
    bool ok = mu__wp_decode_header(data, size, &p->header) == MU_OK;
    bool apart = ok && p->header.flags & MU__WP_IN_MEMFD;
    size_t first = apart ? 1 : 0;
    p->body = data + MU__WP_HEADER_SIZE;
    if (!error && (n_fds < first || n_fds - first > MU__WP_FDS_MAX))
        p->error = EBADMSG;
    if (apart && !p->error)
        p->error = read_apart(p, fds[0]);
    for (size_t i = 0; i < n_fds; i++) {
        if (ok && !p->error && i >= first)
            p->fds[p->n_fds++] = fds[i];
        else
            (void)close(fds[i]);
    }
    return ok ? HOST_OK : HOST_MALFORMED;
}

/* Read, not mapped: a file that shrinks under a mapping would kill the reader. 0 or errno. */
static int read_apart(packet *p, int memfd)
{
    size_t size = p->header.body_size, done = 0;
    uint8_t *body = malloc(size ? size : 1);
    if (!body)
        return ENOMEM;
    p->apart = body;
    p->body = body;
    while (done < size) {
        ssize_t n = pread(memfd, body + done, size - done, (off_t)done);
        if (n == 0)
            return EBADMSG;
        if (n < 0 && errno != EINTR)
            return errno;
        if (n > 0)
            done += (size_t)n;
    }
    return 0;
}

static host_state send_packet(host *h, const uint8_t *data, size_t size, int fd)
{
    mu__wp_control control;
    struct iovec part = {(void *)(uintptr_t)data, size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    mu__wp_attach_fds(&message, &control, &fd, fd >= 0);
    ssize_t n;
    do
        n = sendmsg(h->socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    h->short_of_memory = n < 0 && (errno == ENOBUFS || errno == ENOMEM || errno == ETOOMANYREFS);
    if (n >= 0)
        return HOST_OK;
    return errno == EAGAIN || h->short_of_memory ? HOST_BLOCKED : HOST_GONE;
}
