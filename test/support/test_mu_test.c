/*
 * The test harness itself: what it should catch is done in roles, which begin and end a test of
 * their own and are expected to be aborted by the leak check.
 */
#include "support/mu_test.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/mu_role.h"

static void *sleep_for_ever(void *unused)
{
    for (;;)
        pause();
    return unused;
}

MU_ROLE(leaves_nothing)
{
    mu_test_begin();
    close(open("/dev/null", O_RDONLY));
    mu_test_end();
    return 0;
}

MU_ROLE(leaves_an_fd)
{
    mu_test_begin();
    mu_check_ge(open("/dev/null", O_RDONLY | O_CLOEXEC), 0);
    mu_test_end();
    return 0;
}

MU_ROLE(puts_another_file_under_a_number)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    mu_test_begin();
    dup2(STDERR_FILENO, fd);
    mu_test_end();
    return 0;
}

MU_ROLE(leaves_a_thread)
{
    pthread_t thread;

    mu_test_begin();
    pthread_create(&thread, NULL, sleep_for_ever, NULL);
    mu_test_end();
    return 0;
}

MU_ROLE(leaves_a_zombie)
{
    mu_test_begin();
    if (fork() == 0)
        _exit(0);
    mu_test_end();
    return 0;
}

/* An orphan in a session of its own is known by its environment alone. It ends with its role. */
MU_ROLE(leaves_an_orphan)
{
    int life[2], executed[2]; /* closed by the role's end, and by the exec */
    char nothing;

    mu_check_eq(pipe2(life, O_CLOEXEC), 0);
    mu_test_begin();
    mu_check_eq(pipe2(executed, O_CLOEXEC), 0);
    if (fork() == 0) {
        setsid();
        if (fork() == 0) {
            dup2(life[0], STDIN_FILENO);
            execl("/bin/cat", "cat", (char *)NULL);
        }
        _exit(0);
    }
    wait(NULL);
    close(executed[1]);
    mu_check_eq(read(executed[0], &nothing, 1), 0);
    close(executed[0]);
    mu_test_end();
    return 0;
}

MU_ROLE(changes_a_signal)
{
    mu_test_begin();
    signal(SIGUSR1, SIG_IGN);
    mu_test_end();
    return 0;
}

MU_TEST(mu_test, passes_a_test_that_leaves_nothing)
{
    mu_role role = mu_role_start("leaves_nothing", NULL);

    mu_check_eq(mu_role_end(&role, 5000), 0);
}

MU_TEST(mu_test, fails_a_test_that_leaves_something)
{
    static const char *const names[] = {"leaves_an_fd",     "puts_another_file_under_a_number",
                                        "leaves_a_thread",  "leaves_a_zombie",
                                        "leaves_an_orphan", "changes_a_signal"};
    enum { COUNT = sizeof names / sizeof names[0] };
    mu_role roles[COUNT];

    for (int i = 0; i < COUNT; i++)
        roles[i] = mu_role_start(names[i], NULL);
    for (int i = 0; i < COUNT; i++)
        mu_check_msg(mu_role_end(&roles[i], 60000) == -SIGABRT, "%s was not aborted", names[i]);
}

MU_TEST(mu_test, waits_only_as_long_as_the_condition_is_false)
{
    int looks = 0;
    int64_t start = mu_test_now_ms();

    mu_wait_until(++looks == 3, 20000);
    mu_check_eq(looks, 3);
    mu_check_lt(mu_test_now_ms() - start, 10000);
    mu_check(!mu_poll_until(false, 5));
}

MU_TEST(mu_test, knows_quick_sizes_from_full_ones)
{
    setenv("MUSTER_TEST_FULL", "1", 1);
    mu_check_eq(mu_test_size(3, 1000), 1000);
    mu_check_gt(mu_test_deadline(1), 10);
    unsetenv("MUSTER_TEST_FULL");
    mu_check_eq(mu_test_size(3, 1000), 3);
    mu_check_le(mu_test_deadline(1), MU_TEST_SCALE);
}

MU_TEST(mu_test, does_not_lose_its_patience_while_the_machine_stands_still)
{
    mu_test_patience patience = mu_test_patience_of(1000);
    int looks = 0;

    do {
        looks++;
        patience.looked_at -= 10000; /* ten seconds went by unseen */
    } while (mu_test_has_patience(&patience));
    mu_check_eq(looks, 4);
}
