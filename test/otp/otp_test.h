/*
 * otp_test: what the tests of the behaviours share
 *
 * A system for each test, bodies that run as an actor, and a counter server, which is the smallest
 * server that can be asked, told, stopped and made to fail.
 */
#ifndef MU_OTP_TEST_H
#define MU_OTP_TEST_H

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/gen_server.h>
#include <muster/supervisor.h>
#include <muster/sys.h>

#include "runtime/actor.h"
#include "runtime/as_actor.h"
#include "runtime/runtime.h"
#include "support/mu_test.h"

static inline mu_system *start_system(void)
{
    mu_system *system = NULL;
    mu_check_ok(mu__runtime_start(NULL, &system));
    return system;
}

static inline void stop_system(mu_system *system)
{
    mu_check_eq(mu__runtime_stop(&system), 0u);
}

/* ---- a diary: what happened, in order, as text; any thread ---- */

typedef struct diary {
    pthread_mutex_t lock; /* zero is initialised */
    _Atomic int n;        /* grows when a line stands there */
    char lines[256][64];
} diary;

__attribute__((format(printf, 2, 3))) static inline void note(diary *d, const char *format, ...)
{
    char line[64];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(line, sizeof line, format, args);
    va_end(args);
    (void)pthread_mutex_lock(&d->lock);
    int i = atomic_load(&d->n);
    if (i < 256)
        memcpy(d->lines[i], line, sizeof line);
    atomic_store(&d->n, i + 1);
    (void)pthread_mutex_unlock(&d->lock);
}

/* All lines from `first` on, with blanks between. For moments when nobody writes. */
static inline const char *read_from(const diary *d, int first, char *buffer, size_t size)
{
    size_t used = 0;
    buffer[0] = '\0';
    for (int i = first; i < atomic_load(&d->n) && i < 256; i++)
        used +=
            (size_t)snprintf(buffer + used, size - used, "%s%s", i > first ? " " : "", d->lines[i]);
    return buffer;
}

#define mu_check_diary(d, expected)                                                                \
    do {                                                                                           \
        char text_[4096];                                                                          \
        mu_check_str(read_from((d), 0, text_, sizeof text_), expected);                            \
    } while (0)

static inline void forget_diary(diary *d)
{
    atomic_store(&d->n, 0);
}

/* ---- waiting for deaths ---- */

static inline mu_reason await_down(mu_ref ref)
{
    return await_down_within(ref, 10000);
}

static inline mu_reason await_exit(mu_pid from)
{
    mu_message m;
    mu_check_ok(mu_receive(&m, 10000));
    mu_check_eq(m.tag, MU_TAG_EXIT);
    mu_exit_notice *notice = m.data;
    mu_check(mu_pid_equal(notice->from, from));
    mu_reason reason = notice->reason;
    mu_message_clear(&m);
    return reason;
}

static inline void expect_empty_mailbox(void)
{
    mu_message m;
    mu_check_eq(mu_receive(&m, 0), MU_ETIMEOUT);
}

/* ---- a start function that exits ---- */

static inline mu_err start_raising(void *extra, void *arg, mu_pid *ret_pid, mu_reason *ret_reason)
{
    (void)extra;
    (void)arg;
    (void)ret_pid;
    (void)ret_reason;
    mu_reason reason = mu_reason_exit(77, "raised");
    mu_exit(&reason);
    return MU_OK;
}

#endif
