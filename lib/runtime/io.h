/*
 * runtime/io.h - the I/O thread: fds and alarms of a system.
 *
 * One thread per system holds an epoll with pidfds, captured output, the warden's socket, and the
 * alarms (deadlines and message timers). It runs no user code but the event hook: its callbacks
 * belong to the library, must not block, and usually end in a mu_send or a mu__notify.
 *
 *     src->fd = pidfd; src->events = EPOLLIN; src->ready = on_exit;
 *     mu__io_add(system, src);
 *     mu__io_remove(system, src);     // after it `ready` neither runs nor ever will
 *
 * Thread-safety: any thread. Removing from within the own callback is allowed; the same
 * call from another thread waits for a running callback, so hold no lock that the callback takes.
 * The fds of the thread and of its sources can be closed behind its back (base/fd.h). It looks when
 * nothing has happened for a second, and when the kernel or an event says so; then it opens its own
 * anew, and tells each source whose fd is not the one that was added: MU__IO_GONE.
 * Ownership: sources and alarms are embedded in the caller's objects; the fd stays the caller's and
 * must be closed only after removal.
 */
#ifndef MU_RUNTIME_IO_H
#define MU_RUNTIME_IO_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include <muster/actor.h>

/* An event of its own: the fd has been closed by somebody else, and its number may mean another
 * file. The source is not watched any more, and has to be removed as usual. */
#define MU__IO_GONE (1u << 27)

typedef struct mu__io_source {
    int fd;
    uint32_t events; /* EPOLLIN, EPOLLOUT, EPOLLONESHOT, ... */
    void (*ready)(struct mu__io_source *source, uint32_t events); /* in the I/O thread, no locks */
    uint32_t index; /* private: place in the table, 0 = not added */
} mu__io_source;

/* MU_ENOMEM, MU_ESYS + errno of epoll_ctl, MU_ESTOPPED. */
mu_err mu__io_add(mu_system *system, mu__io_source *source);
/* Changes (or re-arms, with EPOLLONESHOT) what is watched for. */
mu_err mu__io_modify(mu_system *system, mu__io_source *source, uint32_t events);
void mu__io_remove(mu_system *system, mu__io_source *source);

/* A deadline: `fire` runs once in the I/O thread, never early. Zero-initialise before first use. */
typedef struct mu__alarm {
    int64_t deadline;
    void (*fire)(struct mu__alarm *alarm);
    size_t heap_index; /* private: 0 = not set, else place + 1 */
    bool reserved;     /* private: a place is kept for it */
} mu__alarm;

/*
 * Keeps a place for an alarm that is not set, for ever: whoever cannot say that an alarm could not
 * be set reserves it when it is made. MU_ENOMEM, MU_ESTOPPED.
 */
mu_err mu__alarm_reserve(mu_system *system, mu__alarm *alarm);
/* Gives its place back; it must not be set. One that was not reserved is left as it is. */
void mu__alarm_release(mu_system *system, mu__alarm *alarm);

/* Sets or moves an alarm. MU_ESTOPPED; MU_ENOMEM, unless it is reserved. */
mu_err mu__alarm_set(mu_system *system, mu__alarm *alarm, int64_t deadline);
/*
 * Unsets it. True: it will not fire. False: it was not set, has fired, or fires right now - then,
 * from another thread than the I/O thread, the call has waited for `fire` to return.
 */
bool mu__alarm_cancel(mu_system *system, mu__alarm *alarm);

#endif
