/*
 * mu_role: a test program that starts itself again to play another part
 *
 * The command line of a role is `PROGRAM --role NAME ARGUMENT...`; both runners hand theirs to
 * mu_role_dispatch first.
 */
#include "support/mu_role.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/mu_test.h"

#define ARGUMENTS_MAX 32

/* So that what passes unseen while a machine stands still is little of a role's time. */
#define LOOK_EACH_MS 100

extern char **environ;

static mu_role_entry *roles;

void mu_role_register(mu_role_entry *entry)
{
    entry->next = roles;
    roles = entry;
}

void mu_role_dispatch(int argc, char **argv)
{
    if (argc < 3 || strcmp(argv[1], "--role") != 0)
        return;
    setvbuf(stdout, NULL, _IONBF, 0);
    for (mu_role_entry *entry = roles; entry; entry = entry->next)
        if (strcmp(entry->name, argv[2]) == 0)
            exit(entry->run(argc - 2, argv + 2));
    mu_test_fail(__FILE__, __LINE__, "no role %s", argv[2]);
}

/* Starts argv with stdout into `out`, and no other fd from 3 on. Returns an errno. */
static int spawn(char *const argv[], int out, pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t all, none;
    int error;

    sigfillset(&all);
    sigemptyset(&none);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setsigmask(&attributes, &none);
    error = posix_spawn(ret_pid, "/proc/self/exe", &actions, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

mu_role mu_role_start(const char *name, ...)
{
    char *argv[ARGUMENTS_MAX + 1] = {(char *)"role", (char *)"--role", (char *)name};
    mu_role role = {.pid = -1, .out = -1};
    int pipes[2], count = 3, error;
    va_list arguments;

    va_start(arguments, name);
    while ((argv[count] = va_arg(arguments, char *)))
        if (++count >= ARGUMENTS_MAX)
            mu_test_fail(__FILE__, __LINE__, "too many arguments for role %s", name);
    va_end(arguments);
    if (pipe2(pipes, O_CLOEXEC) != 0)
        mu_test_fail(__FILE__, __LINE__, "pipe2: errno %d", errno);
    error = spawn(argv, pipes[1], &role.pid);
    close(pipes[1]);
    if (error)
        mu_test_fail(__FILE__, __LINE__, "posix_spawn of role %s: errno %d", name, error);
    role.out = pipes[0];
    return role;
}

/* Moves the first line of role->rest to role->line; false when there is no whole one yet. */
static bool take_line(mu_role *role)
{
    char *newline = memchr(role->rest, '\n', role->length);
    size_t length;

    if (!newline && role->length < sizeof role->rest)
        return false;
    length = newline ? (size_t)(newline - role->rest) : role->length - 1;
    memcpy(role->line, role->rest, length);
    role->line[length] = '\0';
    role->length -= length + 1;
    memmove(role->rest, role->rest + length + 1, role->length);
    return true;
}

const char *mu_role_line(mu_role *role, int ms)
{
    mu_test_patience patience = mu_test_patience_of((int64_t)ms * MU_TEST_SCALE);

    while (!take_line(role)) {
        struct pollfd out = {.fd = role->out, .events = POLLIN};
        ssize_t n;

        if (poll(&out, 1, LOOK_EACH_MS) <= 0) {
            if (!mu_test_has_patience(&patience))
                mu_test_fail(__FILE__, __LINE__, "the role printed no line within %d ms",
                             ms * MU_TEST_SCALE);
            continue;
        }
        n = read(role->out, role->rest + role->length, sizeof role->rest - role->length);
        if (n == 0)
            return NULL;
        if (n > 0)
            role->length += (size_t)n;
    }
    return role->line;
}

int mu_role_end(mu_role *role, int ms)
{
    siginfo_t info = {0};
    bool ended = mu_poll_until(
        waitid(P_PID, (id_t)role->pid, &info, WEXITED | WNOHANG) == 0 && info.si_pid != 0, ms);

    if (!ended) {
        kill(role->pid, SIGKILL);
        waitid(P_PID, (id_t)role->pid, &info, WEXITED);
        mu_test_fail(__FILE__, __LINE__, "the role still ran after %d ms", ms * MU_TEST_SCALE);
    }
    close(role->out);
    role->out = -1;
    return info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
}
