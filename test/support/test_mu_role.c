#include "support/mu_role.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "support/mu_test.h"

MU_ROLE(speaker)
{
    for (int i = 1; i < argc; i++)
        puts(argv[i]);
    return argc;
}

MU_ROLE(sleeper)
{
    puts("ready");
    pause();
    return 0;
}

MU_ROLE(host_with_what_it_inherited)
{
    /* Not all: sanitizers have handlers for the signals of a crash. */
    static const int signals[] = {SIGHUP, SIGINT, SIGPIPE, SIGTERM, SIGCHLD, SIGUSR1};
    struct sigaction action;
    sigset_t mask;
    int changed = 0;

    sigprocmask(SIG_SETMASK, NULL, &mask);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        sigaction(signals[i], NULL, &action);
        changed += action.sa_handler != SIG_DFL || sigismember(&mask, signals[i]);
    }
    for (int fd = 3; fd < 100; fd++)
        changed += dup2(fd, fd) >= 0;
    return changed;
}

MU_TEST(mu_role, gets_its_arguments_and_tells_lines_and_exit_status)
{
    mu_role role = mu_role_start("speaker", "one", "two", NULL);

    mu_check_str(mu_role_line(&role, 5000), "one");
    mu_check_str(mu_role_line(&role, 5000), "two");
    mu_check_str(mu_role_line(&role, 5000), NULL);
    mu_check_eq(mu_role_end(&role, 5000), 3);
}

MU_TEST(mu_role, tells_the_signal_that_ended_it)
{
    mu_role role = mu_role_start("sleeper", NULL);

    mu_check_str(mu_role_line(&role, 5000), "ready");
    kill(role.pid, SIGKILL);
    mu_check_eq(mu_role_end(&role, 5000), -SIGKILL);
}

MU_TEST(mu_role, inherits_no_fds_and_no_signal_state)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
    mu_role role;

    sigaction(SIGUSR1, &ignore, &before);
    role = mu_role_start("host_with_what_it_inherited", NULL);
    sigaction(SIGUSR1, &before, NULL);
    mu_check_eq(mu_role_end(&role, 5000), 0);
}
