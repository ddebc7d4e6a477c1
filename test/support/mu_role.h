/*
 * mu_role: a test program that starts itself again to play another part
 *
 * Purpose: some contracts can only be seen from outside: a host that is killed, that returns from
 * main, that ignores SIGCHLD from its first line on. Such a host is a role of the test's own
 * program: it runs in a freshly executed process, without the test runner, its threads or its fds.
 *
 * Usage:
 *     MU_ROLE(host_that_waits_to_be_killed)
 *     {
 *         ... argc, argv[1] ... argv[argc - 1] ...
 *         puts("ready");
 *         pause();
 *         return 0;
 *     }
 *
 *     MU_TEST(warden, H1_kill_of_the_host_leaves_no_process)
 *     {
 *         mu_role role = mu_role_start("host_that_waits_to_be_killed", "8", NULL);
 *         mu_check_str(mu_role_line(&role, 5000), "ready");
 *         kill(role.pid, SIGKILL);
 *         mu_check_eq(mu_role_end(&role, 1000), -SIGKILL);
 *     }
 *
 * The role's stdout is a pipe to the test, without a buffer between; stderr goes to the test's log;
 * checks of mu_test.h work in it. It inherits no fd beside these and has default signal
 * dispositions and an empty mask.
 *
 * Thread-safety: one thread at a time per role. Ownership: each role that was started must be
 * ended.
 */
#ifndef MU_ROLE_H
#define MU_ROLE_H

#include <stddef.h>
#include <sys/types.h>

typedef struct mu_role {
    pid_t pid;
    int out; /* read end of its stdout */
    size_t length;
    char line[4096];
    char rest[4096]; /* what was read behind the last line */
} mu_role;

/* Starts a role with arguments up to NULL. Fails the test when it cannot be started. */
mu_role mu_role_start(const char *name, ...) __attribute__((sentinel));

/* The next line of its stdout without the newline, NULL at its end. Fails the test after `ms`
 * (scaled). Borrowed until the next call. */
const char *mu_role_line(mu_role *role, int ms);

/*
 * Waits for its end and closes the pipe: its exit status, or minus the signal that ended it. Fails
 * the test, after killing it, when it still runs after `ms` (scaled).
 */
int mu_role_end(mu_role *role, int ms);

/* ---- what the macro stands on ---- */

typedef struct mu_role_entry {
    const char *name;
    int (*run)(int argc, char **argv);
    struct mu_role_entry *next;
} mu_role_entry;

void mu_role_register(mu_role_entry *entry);

/* For the runners' main: plays the role if the command line asks for one, and exits; else returns.
 */
void mu_role_dispatch(int argc, char **argv);

#define MU_ROLE(Name)                                                                              \
    static int mu_role_run_##Name(int argc, char **argv);                                          \
    __attribute__((constructor)) static void mu_role_add_##Name(void)                              \
    {                                                                                              \
        static mu_role_entry entry = {.name = #Name, .run = mu_role_run_##Name};                   \
        mu_role_register(&entry);                                                                  \
    }                                                                                              \
    static int mu_role_run_##Name(int argc __attribute__((unused)),                                \
                                  char **argv __attribute__((unused)))

#endif
