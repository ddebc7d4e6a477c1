/*
 * The test harness itself: what it should catch is done in roles, which begin and end a test of
 * their own and are expected to be aborted by the leak check.
 */
#include "support/mu_test.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/proc.h"
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

/* ---- what is older than the test ---- */

/* A baseline that shows a thread which is about to go cannot be met again. About one of a thousand
 * is still to be seen after its join. */
MU_TEST(mu_test, leaves_no_thread_of_its_own_in_the_baseline)
{
    struct stat before, after; /* st_nlink counts the threads */

    mu_check_eq(stat("/proc/self/task", &before), 0);
    for (int i = 0; i < 20000; i++) {
        mu_test_pass_a_thread();
        mu_check_eq(stat("/proc/self/task", &after), 0);
        mu_check_eq(after.st_nlink, before.st_nlink);
    }
}

/* "MUSTER_RUN_ID=pid-1": the mark of a host with this number. */
static void mark_of(pid_t host, char *text, size_t size)
{
    snprintf(text, size, "MUSTER_RUN_ID=%d-1", (int)host);
}

/* argv[1] was left by a host that had this process's number, and ends while it is a test. */
MU_ROLE(has_the_number_of_an_earlier_host)
{
    pid_t left = atoi(argv[1]);
    char mark[64], run[32];
    mu__proc_stat st;

    (void)argc;
    mark_of(getpid(), mark, sizeof mark);
    mu_wait_until(mu__proc_environ(left, "MUSTER_RUN_ID", run, sizeof run) == MU_OK, 20000);
    mu_check_str(run, strchr(mark, '=') + 1);
    mu_test_begin();
    kill(left, SIGKILL);
    mu_wait_until(mu__proc_read_stat(left, &st) == MU_OK && st.state == 'Z', 20000);
    mu_test_end();
    return 0;
}

static unsigned long long ticks_since_boot(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (unsigned long long)now.tv_sec * 100 + (unsigned long long)now.tv_nsec / 10000000;
}

MU_TEST(mu_test, leaves_out_what_is_older_than_the_test)
{
    char pid[16], mark[64] = "", *envp[] = {mark, NULL};
    int told[2], life[2];
    mu__proc_stat st;

    mu_check_eq(pipe2(told, O_CLOEXEC), 0);
    mu_check_eq(pipe2(life, O_CLOEXEC), 0);
    pid_t left = fork();
    if (left == 0) {
        if (read(told[0], mark, sizeof mark) > 0 && dup2(life[0], STDIN_FILENO) == STDIN_FILENO)
            execle("/bin/cat", "cat", (char *)NULL, envp);
        _exit(1);
    }
    mu_check_gt(left, 0);
    mu_check_ok(mu__proc_read_stat(left, &st));
    mu_wait_until(ticks_since_boot() > st.start + 1, 20000); /* the role begins in a later one */
    snprintf(pid, sizeof pid, "%d", (int)left);
    mu_role role = mu_role_start("has_the_number_of_an_earlier_host", pid, NULL);
    mark_of(role.pid, mark, sizeof mark);
    mu_check_eq(write(told[1], mark, sizeof mark), (ssize_t)sizeof mark);
    mu_check_eq(mu_role_end(&role, 60000), 0);
    mu_check_eq(waitpid(left, NULL, 0), left);
    for (int i = 0; i < 2; i++) {
        close(told[i]);
        close(life[i]);
    }
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

/* Waits only where the next test has asked for it. */
MU_TEST(mu_test, is_slow_if_asked, .timeout = 0.3)
{
    if (getenv("MUSTER_TEST_SLOW"))
        (void)mu_poll_until(false, 1000);
}

MU_TEST(mu_test, may_take_as_long_as_its_scaled_deadline)
{
    pid_t pid = fork();
    if (pid == 0) {
        setenv("MUSTER_TEST_FULL", "1", 1);
        setenv("MUSTER_TEST_SLOW", "1", 1);
        execl("/proc/self/exe", "test_mu_test", "--filter", "*is_slow_if_asked", NULL);
        _exit(127);
    }
    int status;
    mu_check_eq(waitpid(pid, &status, 0), pid);
    mu_check_eq(status, 0);
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
