#include "support/mu_marked.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/warden_proto.h"
#include "support/mu_test.h"

/* A process that will carry a run id of the host whose pid it is sent. It is as old as its fork:
 * execve keeps the start time. */
static pid_t start_bearer(int *ret_pipe)
{
    int ends[2];
    mu_check_eq(pipe(ends), 0);
    pid_t bearer = fork();
    if (bearer == 0) {
        char mark[64];
        pid_t host;
        if (read(ends[0], &host, sizeof host) != sizeof host)
            _exit(1);
        snprintf(mark, sizeof mark, MU__ENV_RUN_ID "=%d-0", (int)host);
        execle("/bin/sleep", "sleep", "1000", NULL, (char *const[]){mark, NULL});
        _exit(1);
    }
    mu_check_gt(bearer, 0);
    close(ends[0]);
    *ret_pipe = ends[1];
    return bearer;
}

static void give_mark(int to, pid_t host)
{
    mu_check_eq(write(to, &host, sizeof host), (ssize_t)sizeof host);
    close(to);
}

static void end(pid_t pid)
{
    mu_check_eq(kill(pid, SIGKILL), 0);
    mu_check_eq(waitpid(pid, NULL, 0), pid);
}

static pid_t start_host(void)
{
    pid_t host = fork();
    if (host == 0) {
        pause();
        _exit(0);
    }
    mu_check_gt(host, 0);
    return host;
}

/* The start time is counted in hundredths of a second. */
static pid_t start_host_younger_than(pid_t pid)
{
    pid_t host = start_host();
    while (mu_marked_host(host).start == mu_marked_host(pid).start) {
        end(host);
        host = start_host();
    }
    return host;
}

MU_TEST(mu_marked, a_process_that_carries_the_pid_of_a_host_and_is_older_is_not_of_it)
{
    int to_old, to_young;
    char mark[64];
    pid_t old = start_bearer(&to_old);
    pid_t host = start_host_younger_than(old);
    const mu__proc_id self = mu_marked_host(host);
    pid_t young = start_bearer(&to_young);
    snprintf(mark, sizeof mark, "%d-0", (int)host);
    mu_check_eq(mu_marked_by(self), 0);
    give_mark(to_old, host);
    mu_wait_until(mu_marked(MU__ENV_RUN_ID, mark) == 1, 10000);
    mu_check_eq(mu_marked_by(self), 0);
    give_mark(to_young, host);
    mu_wait_until(mu_marked(MU__ENV_RUN_ID, mark) == 2, 10000);
    mu_check_eq(mu_marked_by(self), 1);
    end(host);
    mu_check_eq(mu_marked_by(self), 1);
    end(young);
    mu_check_eq(mu_marked_by(self), 0);
    end(old);
}
