/* fds that are known by more than their numbers. */
#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "support/mu_test.h"

MU_TEST(fd, is_the_same_until_its_number_means_another_file)
{
    int pipe_fds[2], file = open("/dev/null", O_RDWR | O_CLOEXEC);
    mu_check_eq(pipe2(pipe_fds, O_CLOEXEC), 0);
    mu__fd_id id = mu__fd_id_of(pipe_fds[0]);
    mu_check(mu__fd_is(pipe_fds[0], &id));
    mu_check(mu__fd_is(pipe_fds[1], &id)); /* the same pipe */
    mu_check(!mu__fd_is(file, &id));
    close(pipe_fds[0]);
    mu_check(!mu__fd_is(pipe_fds[0], &id));
    mu_check_eq(dup3(file, pipe_fds[0], O_CLOEXEC), pipe_fds[0]);
    mu_check(!mu__fd_is(pipe_fds[0], &id));
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    close(file);
}

MU_TEST(fd, that_was_never_open_is_none)
{
    mu__fd_id id = mu__fd_id_of(-1);
    mu_check(!id.known);
    mu_check(!mu__fd_is(-1, &id));
    mu_check(!mu__fd_is(0, &id));
}

MU_TEST(fd, is_closed_only_while_it_is_that_one)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC), other[2];
    mu__fd_id id = mu__fd_id_of(fd);
    mu_check_eq(pipe2(other, O_CLOEXEC), 0);
    int number = other[0];
    mu__fd_close(&number, &id);
    mu_check_eq(number, -1);
    mu_check_ne(fcntl(other[0], F_GETFD), -1);
    number = fd;
    mu__fd_close(&fd, &id);
    mu_check_eq(fd, -1);
    mu_check_eq(fcntl(number, F_GETFD), -1);
    close(other[0]);
    close(other[1]);
}
