/* The log's way to stderr: what it writes, and that it harms nobody when stderr is in trouble. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <muster/log.h>

#include "support/mu_test.h"

/* stderr is a pipe from `seize` to `give_back`; what comes out of it. */
typedef struct seized {
    int saved, read_end;
} seized;

static seized seize(void)
{
    int fds[2];
    seized s = {.saved = dup(STDERR_FILENO)};
    mu_check_eq(pipe2(fds, O_CLOEXEC), 0);
    mu_check(s.saved >= 0 && dup2(fds[1], STDERR_FILENO) == STDERR_FILENO);
    (void)close(fds[1]);
    s.read_end = fds[0];
    return s;
}

static void give_back(seized *s)
{
    mu_check_eq(dup2(s->saved, STDERR_FILENO), STDERR_FILENO);
    (void)close(s->saved);
    if (s->read_end >= 0)
        (void)close(s->read_end);
}

static void say(const char *text)
{
    mu_event event = {.name = "worker.exit"};
    mu_log_record record = {.level = MU_LOG_WARNING, .pool = "web", .event = &event, .text = text};
    mu_log_stderr(NULL, &record);
}

MU_TEST(log_stderr, a_record_is_one_line_with_time_and_level)
{
    char text[256] = "";
    int end = -1;
    seized s = seize();
    say("worker.exit pool=web");
    ssize_t n = read(s.read_end, text, sizeof text - 1);
    give_back(&s);
    mu_check(n > 0 && text[n - 1] == '\n' && strchr(text, '\n') == text + n - 1);
    long long seconds, micros;
    (void)sscanf(text, "[%lld.%6lld] muster warning: worker.exit pool=web\n%n", &seconds, &micros,
                 &end);
    mu_check_msg(end == (int)n, "%s", text);
}

MU_TEST(log_stderr, a_text_of_any_length_is_one_whole_line)
{
    char text[4096], got[4096] = "";
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    seized s = seize();
    say(text);
    ssize_t n = read(s.read_end, got, sizeof got - 1);
    give_back(&s);
    mu_check(n > 1000 && n < 1300 && got[n - 1] == '\n' && got[n - 2] == 'x');
}

MU_TEST(log_stderr, a_pipe_that_nobody_reads_costs_the_line_and_no_time)
{
    char block[4096];
    memset(block, 'y', sizeof block);
    seized s = seize();
    int flags = fcntl(STDERR_FILENO, F_GETFL);
    (void)fcntl(STDERR_FILENO, F_SETFL, flags | O_NONBLOCK);
    while (write(STDERR_FILENO, block, sizeof block) > 0)
        ;
    mu_check_eq(errno, EAGAIN);
    (void)fcntl(STDERR_FILENO, F_SETFL, flags);
    say("lost"); /* would wait for ever */
    give_back(&s);
}

static volatile sig_atomic_t told;

static void on_signal(int number)
{
    (void)number;
    told = 1;
}

MU_TEST(log_stderr, a_pipe_whose_reader_has_gone_sends_the_host_no_signal)
{
    struct sigaction old, heard = {.sa_handler = on_signal};
    told = 0;
    mu_check_eq(sigaction(SIGPIPE, &heard, &old), 0);
    seized s = seize();
    (void)close(s.read_end);
    s.read_end = -1;
    say("lost");
    give_back(&s);
    sigset_t pending;
    mu_check_eq(sigpending(&pending), 0);
    mu_check_eq(sigismember(&pending, SIGPIPE), 0);
    mu_check_eq((int)told, 0);
    mu_check_eq(sigaction(SIGPIPE, &old, NULL), 0);
}
