/* base/proc: what /proc tells. */
#include "base/proc.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/mu_test.h"

static mu_err parse(const char *text, mu__proc_stat *st)
{
    return mu__proc_parse_stat(text, strlen(text), st);
}

MU_TEST(proc, counts_fields_from_the_last_parenthesis)
{
    mu__proc_stat st;
    mu_check_ok(
        parse("77 (a) S 1 1) R 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 12345 24\n", &st));
    mu_check_eq(st.pid, 77);
    mu_check_eq(st.state, 'R');
    mu_check_eq(st.ppid, 5);
    mu_check_eq(st.pgrp, 6);
    mu_check_eq(st.session, 7);
    mu_check_eq(st.start, 12345u);
    mu_check(!st.exiting); /* bit 2 of field 9, which was 10 */
    mu_check_ok(
        parse("77 (a) R 5 6 7 8 9 4194308 11 12 13 14 15 16 17 18 19 20 21 22 12345 24\n", &st));
    mu_check(st.exiting);
}

MU_TEST(proc, refuses_a_line_that_is_cut)
{
    mu__proc_stat st;
    mu_check_err(parse("", &st), MU_EDECODE);
    mu_check_err(parse("77 (a", &st), MU_EDECODE);
    mu_check_err(parse("77 (a) R 5 6 7", &st), MU_EDECODE);
    mu_check_err(parse("(a) R 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 1", &st),
                 MU_EDECODE);
}

static pid_t fork_sleeper(const char *name)
{
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_NAME, name);
        for (;;)
            pause();
    }
    return pid;
}

MU_TEST(proc, s5_kills_only_the_process_with_that_start_time)
{
    int status;
    pid_t pid = fork_sleeper("a) S 1 1");
    mu__proc_stat st;
    mu_check_ok(mu__proc_read_stat(pid, &st));
    mu_check_eq(st.ppid, getpid());
    const mu__proc_id stranger = {pid, st.start + 1}, known = {pid, st.start};
    mu_check_err(mu__proc_kill(&stranger, SIGKILL), MU_ENOTFOUND);
    mu_check_eq(waitpid(pid, &status, WNOHANG), 0);
    mu_check_ok(mu__proc_kill(&known, SIGKILL));
    mu_check_eq(waitpid(pid, &status, 0), pid);
    mu_check_err(mu__proc_kill(&known, SIGKILL), MU_ENOTFOUND);
}

/* ---- without pidfds ------------------------------------------------------------------------ */

int __real_kill(pid_t pid, int sig);
int __wrap_kill(pid_t pid, int sig);

static mu__proc_id *to_be_a_stranger; /* from the moment before it is stopped */
static int sent[NSIG];

int __wrap_kill(pid_t pid, int sig)
{
    if (sig == SIGSTOP && to_be_a_stranger)
        to_be_a_stranger->start++;
    sent[sig]++;
    return __real_kill(pid, sig);
}

static char state_of(pid_t pid)
{
    mu__proc_stat st;
    return mu__proc_read_stat(pid, &st) == MU_OK ? st.state : '?';
}

static mu__proc_id start_sleeper(void)
{
    mu__proc_stat st;
    pid_t pid = fork_sleeper("sleeper");
    mu_check_ok(mu__proc_read_stat(pid, &st));
    memset(sent, 0, sizeof sent);
    return (mu__proc_id){pid, st.start};
}

MU_TEST(proc, s5_a_stranger_who_takes_the_number_between_look_and_signal_goes_on)
{
    mu__proc_id id = start_sleeper();
    to_be_a_stranger = &id;
    mu_check_err(mu__proc_kill_stopped(&id, SIGKILL), MU_ENOTFOUND);
    to_be_a_stranger = NULL;
    mu_check_eq(sent[SIGSTOP], 1);
    mu_check_eq(sent[SIGKILL], 0);
    mu_wait_until(state_of(id.pid) == 'S' || state_of(id.pid) == 'R', 10000);
    mu_check_eq(kill(id.pid, SIGKILL), 0);
    mu_check_eq(waitpid(id.pid, NULL, 0), id.pid);
}

MU_TEST(proc, s5_a_stranger_who_has_the_number_is_not_even_stopped)
{
    mu__proc_id id = start_sleeper();
    id.start++;
    mu_check_err(mu__proc_kill_stopped(&id, SIGKILL), MU_ENOTFOUND);
    mu_check_eq(sent[SIGSTOP] + sent[SIGKILL] + sent[SIGCONT], 0);
    mu_check_eq(kill(id.pid, SIGKILL), 0);
    mu_check_eq(waitpid(id.pid, NULL, 0), id.pid);
}

MU_TEST(proc, the_one_that_is_meant_gets_its_signal_and_goes_on_if_it_went_before)
{
    int status;
    mu__proc_id id = start_sleeper();
    mu_check_ok(mu__proc_kill_stopped(&id, SIGKILL));
    mu_check_eq(waitpid(id.pid, &status, 0), id.pid);
    mu_check(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    mu_check_err(mu__proc_kill_stopped(&id, SIGKILL), MU_ENOTFOUND);

    id = start_sleeper(); /* acts on this one only when it goes on */
    mu_check_ok(mu__proc_kill_stopped(&id, SIGTERM));
    mu_check_eq(waitpid(id.pid, &status, 0), id.pid);
    mu_check(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);

    id = start_sleeper();
    mu_check_eq(kill(id.pid, SIGSTOP), 0);
    mu_wait_until(state_of(id.pid) == 'T', 10000);
    mu_check_ok(mu__proc_kill_stopped(&id, SIGURG));
    mu_check_eq(sent[SIGCONT], 0);
    mu_check_eq(state_of(id.pid), 'T');
    mu_check_ok(mu__proc_kill_stopped(&id, SIGCONT));
    mu_wait_until(state_of(id.pid) != 'T', 10000);
    mu_check_eq(kill(id.pid, SIGKILL), 0);
    mu_check_eq(waitpid(id.pid, NULL, 0), id.pid);
}

/* ---- the tree ------------------------------------------------------------------------------ */

MU_TEST(proc, lists_children_and_descendants)
{
    int ready[2];
    mu__proc_id ids[8];
    pid_t pids[8];
    size_t count = 0;
    mu_check_eq(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        pid_t inner = fork_sleeper("inner");
        if (write(ready[1], &inner, sizeof inner) < 0)
            _exit(1);
        (void)waitpid(inner, NULL, 0);
        _exit(0);
    }
    pid_t inner;
    mu_check_eq(read(ready[0], &inner, sizeof inner), (ssize_t)sizeof inner);
    mu_check_ok(mu__proc_children(child, pids, 8, &count));
    mu_check_eq(count, 1u);
    mu_check_eq(pids[0], inner);
    mu_check_ok(mu__proc_descendants(getpid(), ids, 8, &count));
    size_t found = 0;
    for (size_t i = 0; i < count; i++)
        found += ids[i].pid == child || ids[i].pid == inner;
    mu_check_eq(found, 2u);
    mu_check_eq(kill(inner, SIGKILL), 0);
    mu_check_eq(waitpid(child, NULL, 0), child);
    mu_check(mu__proc_children(child, pids, 8, &count) > MU_ESYS);
    close(ready[0]);
    close(ready[1]);
}

MU_TEST(proc, reads_one_variable_of_the_environment_of_another)
{
    char value[32], small[3], name[] = "sleep", time[] = "1000";
    char first[6000] = "LONG=", one[] = "NAMES=no", two[] = "NAME=yes",
         *argv[] = {name, time, NULL};
    char *env[] = {first, one, two, NULL};
    memset(first + 5, 'x', sizeof first - 6);
    pid_t pid = fork();
    if (pid == 0) {
        execve("/bin/sleep", argv, env);
        _exit(127);
    }
    mu_wait_until(mu__proc_environ(pid, "NAME", value, sizeof value) == MU_OK, 10000);
    mu_check_str(value, "yes");
    mu_check_err(mu__proc_environ(pid, "NAM", value, sizeof value), MU_ENOTFOUND);
    mu_check_err(mu__proc_environ(pid, "NAME", small, sizeof small), MU_ETOOBIG);
    mu_check_err(mu__proc_environ(pid, "LONG", value, sizeof value), MU_ETOOBIG);
    mu_check_eq(kill(pid, SIGKILL), 0);
    mu_check_eq(waitpid(pid, NULL, 0), pid);
}

/*
 * One look in six or so meets it in execve, where it has no environment: that must not read as
 * having none. One that has none for good must, or whoever looks for a name would look for ever.
 */
MU_TEST(proc, tells_one_in_the_middle_of_execve_from_one_without_an_environment)
{
    char value[32], sh[] = "sh", c[] = "-c", again[] = "exec /bin/sh -c \"$A\"",
                    a[] = "A=exec /bin/sh -c \"$A\"", name[] = "NAME=yes", time[] = "1000";
    char *restless[] = {sh, c, again, NULL}, *env[] = {a, name, NULL},
         *sleeper[] = {sh, time, NULL}, *none[] = {NULL};
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execve("/bin/sh", restless, env);
        _exit(127);
    }
    pid_t bare = fork();
    if (bare == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execve("/bin/sleep", sleeper, none);
        _exit(127);
    }
    mu_wait_until(mu__proc_environ(pid, "NAME", value, sizeof value) == MU_OK, 5000);
    mu_wait_until(mu__proc_environ(bare, "NAME", value, sizeof value) == MU_ENOTFOUND, 5000);
    int in_exec = 0;
    for (int i = 0; i < 2000 || (in_exec == 0 && i < 1000000); i++) {
        mu_err err = mu__proc_environ(pid, "NAME", value, sizeof value);
        mu_check_msg(err == MU_OK || err == MU_ERRNO(EAGAIN), "%s", mu_strerror(err));
        in_exec += err != MU_OK;
    }
    mu_check_gt(in_exec, 0);
    mu_check_eq(kill(pid, SIGKILL), 0);
    mu_check_eq(kill(bare, SIGKILL), 0);
    mu_check_eq(waitpid(pid, NULL, 0), pid);
    mu_check_eq(waitpid(bare, NULL, 0), bare);
}
