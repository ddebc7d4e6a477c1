/*
 * port/exit.h - how a child process ended.
 *
 *     mu__exit_text(&exit, text, sizeof text);      // "killed by SIGSEGV", "exit status 3"
 *
 * Thread-safety: pure values. Ownership: none.
 */
#ifndef MU_PORT_EXIT_H
#define MU_PORT_EXIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum mu__exit_kind {
    MU__EXIT_CODE,   /* it exited by itself: `status` is its code */
    MU__EXIT_SIGNAL, /* `status` is the signal that ended it */
    MU__EXIT_LOST    /* what owned it died, warden or actor, and killed it by that; nobody knows its
                        status */
} mu__exit_kind;

typedef struct mu__exit {
    mu__exit_kind kind;
    int os_pid;
    int status;
    int64_t user_us, system_us; /* processor time, its waited-for children included; LOST: 0 */
    int64_t max_rss_kb;
    bool oom;      /* SIGKILL of unknown origin, while the kernel killed for want of memory */
    bool oom_told; /* whether it was that, or not, is known from its own cgroup */
} mu__exit;

#define MU__EXIT_TEXT 80

/*
 * Somebody else seems to have ended it, whatever it was doing: SIGKILL or SIGTERM, unless the
 * kernel was killing for want of memory, or with its owner. The kernel does not tell who sent a
 * signal, so a process that sent it to itself looks the same.
 */
bool mu__exit_by_others(const mu__exit *exit);

/* In words, cut to `size`; returns `text`. */
const char *mu__exit_text(const mu__exit *exit, char *text, size_t size);

/* "SIGKILL"; "SIGRTMIN+3" and "signal 32" are put into `buffer`, of 16 bytes or more. */
const char *mu__signal_name(int signal, char *buffer, size_t size);

#endif
