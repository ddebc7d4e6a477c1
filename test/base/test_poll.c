/* Waiting by select(2): what poll would say, also where poll refuses. */
#include "base/poll.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <unistd.h>

#include "support/mu_test.h"

enum { SHORT_MS = 20, LONG_MS = 60000 };

typedef struct ends {
    int read, write;
} ends;

static ends pipe_new(void)
{
    int fds[2];
    mu_check_eq(pipe2(fds, O_CLOEXEC), 0);
    return (ends){fds[0], fds[1]};
}

static void pipe_close(ends *p)
{
    (void)close(p->read);
    if (p->write >= 0)
        (void)close(p->write);
}

MU_TEST(poll, by_select_tells_which_can_be_read_and_which_written)
{
    ends full = pipe_new(), empty = pipe_new();
    mu_check_eq(write(full.write, "x", 1), 1);
    struct pollfd fds[] = {{.fd = empty.read, .events = POLLIN},
                           {.fd = full.read, .events = POLLIN},
                           {.fd = -1, .events = POLLIN, .revents = POLLIN},
                           {.fd = empty.write, .events = POLLOUT},
                           {.fd = full.read, .events = 0}};
    mu_check_eq(mu__poll_by_select(fds, 5, LONG_MS), 2);
    mu_check_eq(fds[0].revents, 0);
    mu_check_eq(fds[1].revents, POLLIN);
    mu_check_eq(fds[2].revents, 0);
    mu_check_eq(fds[3].revents, POLLOUT);
    mu_check_eq(fds[4].revents, 0);
    mu_check_eq(mu__poll_by_select(fds, 1, SHORT_MS), 0); /* its time is over */
    pipe_close(&full);
    pipe_close(&empty);
}

MU_TEST(poll, by_select_sees_the_end_of_a_pipe)
{
    ends p = pipe_new();
    (void)close(p.write);
    p.write = -1;
    struct pollfd fd = {.fd = p.read, .events = POLLIN};
    mu_check_eq(mu__poll_by_select(&fd, 1, -1), 1);
    mu_check_eq(fd.revents, POLLIN);
    pipe_close(&p);
}

MU_TEST(poll, by_select_goes_on_where_poll_refuses_for_a_limit_of_fds)
{
    ends p = pipe_new();
    struct rlimit before, none;
    struct pollfd fd = {.fd = p.read, .events = POLLIN};
    mu_check_eq(write(p.write, "x", 1), 1);
    mu_check_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){0, before.rlim_max};
    mu_check_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    int polled = poll(&fd, 1, 0), error = errno;
    int n = mu__poll_by_select(&fd, 1, LONG_MS);
    mu_check_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    mu_check(polled < 0 && error == EINVAL);
    mu_check_eq(n, 1);
    mu_check_eq(fd.revents, POLLIN);
    pipe_close(&p);
}

MU_TEST(poll, by_select_refuses_a_number_that_it_cannot_take)
{
    struct pollfd fd = {.fd = FD_SETSIZE, .events = POLLIN};
    mu_check_eq(mu__poll_by_select(&fd, 1, 0), -1);
    mu_check_eq(errno, EINVAL);
}
