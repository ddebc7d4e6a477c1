/*
 * A warden that does not die and does not serve (port/warden.h). Runs in the I/O thread.
 *
 * A dead warden is learned of from its socket. One that is stopped, hangs in the kernel or loops
 * says nothing at all: deaths of workers are not told, and starts wait for their deadline. So it is
 * asked for a sign of life ten times in `warden_timeout_ms`, and anything it says is one:
 *
 *     ticks without a word   1: asked again, and SIGCONT, in case it is only stopped
 *                            TICKS: SIGKILL, and lost, as if it had died
 *
 * Ticks are counted, not time: of a host that was stopped itself, for an hour, one tick is late.
 *
 * And one that answers, but not as a warden does: it has been damaged, or is another program. What
 * it says of a start that failed is believed - no memory, no program of that name, no permission -
 * since the next one would say the same, and all children die with this one. Not believed is that
 * it does not understand a request, or what cannot be understood itself. REFUSALS of that in a row
 * are too many; and once is too often that a later request is answered before an earlier one.
 */
#include <signal.h>
#include <stddef.h>

#include "base/event.h"
#include "port/warden_impl.h"
#include "runtime/runtime.h"

#define TICKS      10
#define DEFAULT_MS 10000
#define REFUSALS   3

static int64_t tick_ms(const mu__warden *warden)
{
    int64_t ms = mu__options(warden->system)->warden_timeout_ms;
    return ((ms > 0 ? ms : DEFAULT_MS) + TICKS - 1) / TICKS;
}

mu_err mu__warden_watch(mu__warden *warden)
{
    mu__warden_alive(warden);
    atomic_store(&warden->refusals, 0);
    return mu__alarm_set(warden->system, &warden->watch_alarm,
                         mu_deadline(mu__now(warden->system), tick_ms(warden)));
}

void mu__warden_alive(mu__warden *warden)
{
    atomic_store(&warden->silence, 0);
}

/* Asks, or makes sure that it can answer what it was asked. Returns the link to be given up. */
static mu__link *tick_locked(mu__warden *warden, int silence) MU_REQUIRES(warden->lock)
{
    uint8_t data[MU__WP_SMALL];
    mu__link *link = warden->link;
    bool over = silence >= TICKS;
    if (over || silence > 0) /* its pidfd: while the link is there */
        mu__warden_link_signal(warden->sys, &link->fds, over ? SIGKILL : SIGCONT);
    size_t size = mu__wp_encode_ping(++warden->next_request, data, sizeof data);
    /* No room is no answer, too; EWARDEN: it has ended, or our end of the socket was closed. */
    mu_err err = mu__warden_send_locked(warden, data, size, NULL, 0);
    return over || err == MU_EWARDEN ? link : NULL;
}

void mu__warden_tick(mu__alarm *alarm)
{
    mu__warden *warden =
        (mu__warden *)(void *)((char *)alarm - offsetof(struct mu__warden, watch_alarm));
    int silence = atomic_fetch_add(&warden->silence, 1);
    mu__link *hung = NULL;
    mu_lock_acquire(&warden->lock);
    bool there = warden->link != NULL;
    if (there)
        hung = tick_locked(warden, silence);
    mu_lock_release(&warden->lock);
    if (hung) {
        if (silence >= TICKS)
            MU__EMIT(mu__hook(warden->system), "warden.hung", MU__M({"os_pid", hung->fds.id.pid}),
                     MU__D({"run_id", warden->run_id}));
        mu__warden_lost(hung);
    } else if (there) { /* the next link begins anew */
        (void)mu__alarm_set(warden->system, alarm,
                            mu_deadline(mu__now(warden->system), tick_ms(warden)));
    }
}

mu_err mu__warden_judge(mu__warden *warden, const mu__link *link, mu__conduct conduct)
{
    if (conduct == MU__CONDUCT_OPEN)
        return MU_OK;
    int refusals = conduct == MU__CONDUCT_HONEST   ? 0
                   : conduct == MU__CONDUCT_BREACH ? REFUSALS
                                                   : atomic_load(&warden->refusals) + 1;
    atomic_store(&warden->refusals, refusals);
    if (refusals < REFUSALS)
        return MU_OK;
    MU__EMIT(mu__hook(warden->system), "warden.refused", MU__M({"os_pid", link->fds.id.pid}),
             MU__D({"path", warden->path}, {"run_id", warden->run_id}));
    mu__warden_link_signal(warden->sys, &link->fds, SIGKILL);
    return MU_EWARDEN;
}
