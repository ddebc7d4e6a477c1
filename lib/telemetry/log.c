/*
 * Where a log goes unless it is told otherwise: stderr (muster/log.h). Called through base/log.c in
 * any thread, the I/O thread of a system among them; calls nothing of muster but the clock.
 *
 * The library's only way to print, so it has to be harmless to the host: stderr may be a pipe that
 * nobody reads or whose reader has gone, or a file that may not grow. A line is one write of less
 * than PIPE_BUF bytes, so that it mixes with no other, made when there is room: it waits only if
 * others have filled the pipe since it looked, and making the host's stderr non-blocking is not
 * ours. And the signal that a failed write sends to its thread is taken back (lib/port/tracking.c
 * does the same).
 */
#include <muster/log.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/child.h"
#include "base/clock.h"
#include "base/lock.h"

enum { LINE = 1200 };

/* A write to a pipe without reader is SIGPIPE, one beyond RLIMIT_FSIZE SIGXFSZ, to this thread. */
static void write_quietly(const char *text, size_t size)
{
    sigset_t pending, ours;
    (void)sigemptyset(&pending);
    (void)sigpending(&pending);
    uint64_t mask = mu__signals_block();
    ssize_t n = write(STDERR_FILENO, text, size);
    int sent = n >= 0 ? 0 : errno == EPIPE ? SIGPIPE : errno == EFBIG ? SIGXFSZ : 0;
    if (sent && !sigismember(&pending, sent)) {
        (void)sigemptyset(&ours);
        (void)sigaddset(&ours, sent);
        (void)sigtimedwait(&ours, NULL, &(struct timespec){0});
    }
    mu__signals_restore(mask);
}

void mu_log_stderr(void *ctx, const mu_log_record *record)
{
    (void)ctx;
    char text[LINE];
    int64_t now = mu_clock_now(&mu__clock_monotonic) / 1000;
    int n =
        snprintf(text, sizeof text - 1, "[%5lld.%06lld] muster %s: %s", (long long)(now / 1000000),
                 (long long)(now % 1000000), mu_log_level_name(record->level), record->text);
    size_t size = n < (int)sizeof text - 1 ? (size_t)n : sizeof text - 2;
    text[size++] = '\n';
    struct pollfd room = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&room, 1, 0) == 1 && (room.revents & POLLOUT))
        write_quietly(text, size);
}
