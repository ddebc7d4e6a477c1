/* Waiting for fds where poll(2) refuses to (poll.h). Called by the warden and by port. */
#include "base/poll.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/select.h>

typedef struct sets {
    fd_set in, out;
    int beyond; /* all numbers are below */
} sets;

static bool fill(sets *s, const struct pollfd *fds, size_t count)
{
    FD_ZERO(&s->in);
    FD_ZERO(&s->out);
    s->beyond = 0;
    for (size_t i = 0; i < count; i++) {
        int fd = fds[i].fd;
        if (fd >= FD_SETSIZE)
            return false;
        if (fd >= 0 && fds[i].events & POLLIN)
            FD_SET(fd, &s->in);
        if (fd >= 0 && fds[i].events & POLLOUT)
            FD_SET(fd, &s->out);
        if (fd >= s->beyond)
            s->beyond = fd + 1;
    }
    return true;
}

static short found(const sets *s, const struct pollfd *fd)
{
    int events = 0;
    if (fd->fd >= 0 && fd->events & POLLIN && FD_ISSET(fd->fd, &s->in))
        events |= POLLIN;
    if (fd->fd >= 0 && fd->events & POLLOUT && FD_ISSET(fd->fd, &s->out))
        events |= POLLOUT;
    return (short)events;
}

int mu__poll_by_select(struct pollfd *fds, size_t count, int timeout_ms)
{
    sets s;
    struct timeval left = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};
    if (!fill(&s, fds, count)) {
        errno = EINVAL;
        return -1;
    }
    if (select(s.beyond, &s.in, &s.out, NULL, timeout_ms < 0 ? NULL : &left) < 0)
        return -1;
    int n = 0;
    for (size_t i = 0; i < count; i++) {
        fds[i].revents = found(&s, &fds[i]);
        n += fds[i].revents != 0;
    }
    return n;
}
