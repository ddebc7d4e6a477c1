/*
 * The host's end of the warden: start, stop, launching (port/warden.h). Called by lib/system; calls
 * warden_launch.c. What comes from the warden is warden_io.c's, children are child.c's.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/event.h"
#include "port/warden_impl.h"
#include "runtime/runtime.h"

#define HANDSHAKE_MS 5000
#define KILL_MS      1000 /* from SIGKILL to its end */

static void make_run_id(char run_id[MU__WP_RUN_ID_MAX]);
static mu_err launch(mu__warden *warden, mu_error *ret_error);
static mu_err ask_to_stop(mu__warden *warden, int64_t deadline);
static mu_err reserve_alarms(mu__warden *warden, mu_error *ret_error);
static void cancel_alarms(mu__warden *warden);

/* ---- start and stop ------------------------------------------------------------------------ */

/*
 * Children are known by what /proc tells of their numbers. Where it is that of another pid
 * namespace those numbers are other processes', here as there.
 */
static mu_err look_at_proc(mu_error *ret_error)
{
    char self[16] = "";
    if (readlink("/proc/self", self, sizeof self - 1) < 0)
        return mu_error_set(ret_error, MU_ERRNO(errno),
                            "/proc/self: %s; children cannot be told apart without /proc: mount it "
                            "(mount -t proc proc /proc)",
                            strerror(errno));
    if (strtol(self, NULL, 10) != (long)getpid())
        return mu_error_set(ret_error, MU_ENOTSUP,
                            "/proc is that of another pid namespace, where this process is %s and "
                            "not %d: mount this one's (mount -t proc proc /proc; unshare "
                            "--mount-proc)",
                            self, (int)getpid());
    return MU_OK;
}

mu_err mu__warden_start(mu_system *system, const char *path, mu__warden **ret_warden,
                        mu_error *ret_error)
{
    char found[PATH_MAX];
    mu_err err = look_at_proc(ret_error);
    if (err == MU_OK)
        err = mu__warden_find(path, found, sizeof found, ret_error);
    if (err != MU_OK)
        return err;
    const mu_sys *sys = mu__sys(system);
    mu__warden *warden = sys->alloc(sizeof *warden);
    char *copy = sys->alloc(strlen(found) + 1);
    if (!warden || !copy) {
        free(warden);
        free(copy);
        return mu_error_set(ret_error, MU_ENOMEM, "no memory for the warden");
    }
    memcpy(copy, found, strlen(found) + 1);
    atomic_store(&warden->refs, 1);
    warden->system = system;
    warden->sys = sys;
    warden->path = copy;
    warden->sweep_alarm.fire = mu__warden_sweep_again;
    warden->watch_alarm.fire = mu__warden_tick;
    mu_lock_init(&warden->lock);
    make_run_id(warden->run_id);
    warden->cgroup.fd = -1;
    err = reserve_alarms(warden, ret_error);
    if (err == MU_OK)
        err = mu__tracking_open(system, warden->run_id, &warden->tracking, ret_error);
    if (err == MU_OK) {
        if (mu__options(system)->cgroup)
            err = mu__cgroup_open(mu__options(system)->cgroup, warden->run_id, &warden->cgroup,
                                  ret_error);
        if (err == MU_OK)
            err = launch(warden, ret_error);
        if (err != MU_OK)
            mu__tracking_close(warden->tracking, true);
    }
    if (err != MU_OK) {
        cancel_alarms(warden);
        mu__cgroup_close(&warden->cgroup, mu_deadline(mu__now(system), KILL_MS));
        mu__warden_unref(warden);
        return err;
    }
    mu__slot_set(system, MU__SLOT_WARDEN, warden);
    *ret_warden = warden;
    return MU_OK;
}

/* They set themselves anew, when there is nobody to be told that this has failed. */
static mu_err reserve_alarms(mu__warden *warden, mu_error *ret_error)
{
    mu_err err = mu__alarm_reserve(warden->system, &warden->watch_alarm);
    if (err == MU_OK)
        err = mu__alarm_reserve(warden->system, &warden->sweep_alarm);
    return err == MU_OK ? err : mu_error_set(ret_error, err, "no memory for the warden's alarms");
}

/* Twice: one that was firing may have set itself anew while the first call waited. */
static void cancel_alarms(mu__warden *warden)
{
    for (int i = 0; i < 2; i++) {
        (void)mu__alarm_cancel(warden->system, &warden->watch_alarm);
        (void)mu__alarm_cancel(warden->system, &warden->sweep_alarm);
    }
    mu__alarm_release(warden->system, &warden->watch_alarm);
    mu__alarm_release(warden->system, &warden->sweep_alarm);
}

void mu__warden_stop(mu__warden **take_warden, int64_t timeout_ms)
{
    mu__warden *warden = *take_warden;
    *take_warden = NULL;
    if (!warden)
        return;
    int64_t deadline = mu_deadline(mu__now(warden->system), timeout_ms);
    mu_lock_acquire(&warden->lock);
    warden->stopping = true;
    mu_lock_release(&warden->lock);
    bool obeyed = ask_to_stop(warden, deadline) == MU_OK;
    mu__wreck wreck;
    cancel_alarms(warden);
    if (mu__warden_take_link(warden, NULL, &wreck)) {
        mu__io_remove(warden->system, &wreck.link->source);
        if (!obeyed) {
            mu__warden_link_signal(warden->sys, &wreck.link->fds, SIGKILL);
            deadline = mu_deadline(mu__now(warden->system), KILL_MS);
        }
        mu__warden_link_await_end(warden->sys, mu__clock(warden->system), &wreck.link->fds,
                                  deadline); /* so that no process is left when stop returns */
        mu__warden_clear(warden, &wreck);
        if (!obeyed)
            mu__warden_sweep_after(warden, wreck.last_serial);
    }
    while (warden->sweeps_left > 0 && mu__warden_sweep(warden))
        (void)mu_sleep(MU__SWEEP_MS);
    mu__cgroup_close(&warden->cgroup, mu_deadline(mu__now(warden->system), timeout_ms));
    mu__tracking_close(warden->tracking, obeyed || !warden->sweep_found);
    mu__slot_set(warden->system, MU__SLOT_WARDEN, NULL);
    mu__warden_unref(warden);
}

mu__warden *mu__warden_of(const mu_system *system)
{
    return mu__slot_get(system, MU__SLOT_WARDEN);
}

const char *mu__warden_run_id(const mu__warden *warden)
{
    return warden->run_id;
}

mu__tracking *mu__warden_tracking(const mu__warden *warden)
{
    return warden->tracking;
}

int mu__warden_pid(mu__warden *warden)
{
    mu_lock_acquire(&warden->lock);
    int pid = warden->link ? (int)warden->link->fds.id.pid : 0;
    mu_lock_release(&warden->lock);
    return pid;
}

mu__warden *mu__warden_ref(mu__warden *warden)
{
    (void)atomic_fetch_add(&warden->refs, 1);
    return warden;
}

void mu__warden_unref(mu__warden *warden)
{
    if (!warden || atomic_fetch_sub(&warden->refs, 1) != 1)
        return;
    mu_lock_deinit(&warden->lock);
    mu__tracking_free(&warden->tracking);
    free(warden->path);
    free(warden);
}

/* ---- sleepers ------------------------------------------------------------------------------ */

void mu__sleeper_enter(mu__sleeper **list, mu__sleeper *sleeper)
{
    mu__waiter_init(&sleeper->waiter);
    atomic_store(&sleeper->done, false);
    sleeper->next = *list;
    *list = sleeper;
}

void mu__sleeper_leave(mu__sleeper **list, mu__sleeper *sleeper)
{
    for (mu__sleeper **at = list; *at; at = &(*at)->next) {
        if (*at == sleeper) {
            *at = sleeper->next;
            return;
        }
    }
}

void mu__sleepers_wake(mu__sleeper **list)
{
    mu__sleeper *sleeper = *list;
    *list = NULL;
    while (sleeper) {
        mu__sleeper *next = sleeper->next;
        atomic_store(&sleeper->done, true);
        mu__notify(&sleeper->waiter);
        sleeper = next;
    }
}

static bool is_done(void *arg)
{
    return atomic_load((_Atomic bool *)arg);
}

mu_err mu__sleeper_sleep(mu__sleeper *sleeper, int64_t deadline)
{
    return mu__wait(&sleeper->waiter, is_done, &sleeper->done, deadline);
}

void mu__sleeper_sleep_out(mu__sleeper *sleeper)
{
    mu__wait_out(&sleeper->waiter, is_done, &sleeper->done);
}

/* ---- the link ------------------------------------------------------------------------------ */

mu_err mu__warden_lock_link(mu__warden *warden, int64_t deadline, mu_error *ret_error) MU_NO_TSA
{
    mu_err err = mu__usable(warden->system);
    while (err == MU_OK) {
        mu__sleeper sleeper;
        mu_lock_acquire(&warden->lock);
        if (warden->stopping) {
            mu_lock_release(&warden->lock);
            err = MU_ESTOPPED;
            break;
        }
        if (warden->link)
            return MU_OK;
        bool mine = !warden->launching;
        warden->launching = true;
        if (!mine)
            mu__sleeper_enter(&warden->idle_sleepers, &sleeper);
        mu_lock_release(&warden->lock);
        if (mine) {
            err = launch(warden, ret_error);
            continue;
        }
        err = mu__sleeper_sleep(&sleeper, deadline);
        mu_lock_acquire(&warden->lock);
        mu__sleeper_leave(&warden->idle_sleepers, &sleeper);
        mu_lock_release(&warden->lock);
    }
    if (err == MU_ESTOPPED || err == MU_EFORKED || err == MU_ETIMEOUT)
        (void)mu_error_set(ret_error, err, "the warden: %s", mu_strerror(err));
    return err;
}

mu_err mu__warden_send_locked(mu__warden *warden, const void *data, size_t size, const int *fds,
                              size_t n_fds)
{
    mu__wp_control control;
    struct iovec part = {(void *)(uintptr_t)data, size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    mu__wp_attach_fds(&message, &control, fds, n_fds);
    ssize_t n;
    if (!mu__fd_is(warden->link->fds.socket, &warden->link->fds.socket_id))
        return MU_EWARDEN;
    do
        n = warden->sys->sendmsg(warden->link->fds.socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n >= 0)
        return MU_OK;
    return errno == EPIPE || errno == ECONNRESET ? MU_EWARDEN : MU_ERRNO(errno);
}

static mu_err make_link(mu__warden *warden, mu__link **ret_link, mu_error *ret_error)
{
    mu__link *link = warden->sys->alloc(sizeof *link);
    if (!link)
        return mu_error_set(ret_error, MU_ENOMEM, "no memory for the warden");
    const mu__warden_place place = {.strict = mu__options(warden->system)->strict,
                                    .cgroup =
                                        warden->cgroup.path[0] ? warden->cgroup.warden : NULL};
    link->fds = (mu__warden_link)MU__WARDEN_LINK_INIT;
    mu_err err = mu__warden_launch(warden->sys, mu__clock(warden->system), warden->path,
                                   warden->run_id, &place, HANDSHAKE_MS, &link->fds, ret_error);
    if (err != MU_OK) {
        free(link);
        return err;
    }
    link->warden = mu__warden_ref(warden);
    link->source.fd = link->fds.socket;
    link->source.events = EPOLLIN;
    link->source.ready = mu__warden_readable;
    *ret_link = link;
    return MU_OK;
}

/* The link is there before it is watched, so that its loss, however early, is seen as its loss. */
static mu_err publish_link(mu__warden *warden, mu__link *link, mu_error *ret_error)
{
    MU__EMIT(mu__hook(warden->system), "warden.start", MU__M({"os_pid", link->fds.id.pid}),
             MU__D({"path", warden->path}, {"run_id", warden->run_id}));
    mu_lock_acquire(&warden->lock);
    warden->link = link;
    mu_lock_release(&warden->lock);
    mu_err err = mu__warden_watch(warden);
    if (err == MU_OK)
        err = mu__io_add(warden->system, &link->source);
    mu__wreck wreck;
    if (err != MU_OK && mu__warden_take_link(warden, NULL, &wreck)) {
        mu__warden_clear(warden, &wreck);
        (void)mu_error_set(ret_error, err, "watching the warden: %s", mu_strerror(err));
    }
    return err;
}

/* Without the lock, by the one thread that has set `launching`, for which stop waits, or by start.
 */
static mu_err launch(mu__warden *warden, mu_error *ret_error)
{
    mu__link *link = NULL;
    mu_err err = make_link(warden, &link, ret_error);
    if (err == MU_OK)
        err = publish_link(warden, link, ret_error);
    mu_lock_acquire(&warden->lock);
    warden->launching = false;
    mu__sleepers_wake(&warden->idle_sleepers);
    mu_lock_release(&warden->lock);
    return err;
}

/* ---- stopping ------------------------------------------------------------------------------ */

/*
 * Waits for a launch that is under way, whose warden has to be stopped as well, and for a loss that
 * is being cleared. Neither takes long: the handshake has a deadline of its own.
 */
static void await_idle(mu__warden *warden)
{
    for (;;) {
        mu__sleeper sleeper;
        mu_lock_acquire(&warden->lock);
        bool idle = !warden->launching && !warden->clearing;
        if (!idle)
            mu__sleeper_enter(&warden->idle_sleepers, &sleeper);
        mu_lock_release(&warden->lock);
        if (idle)
            return;
        mu_err err = mu__sleeper_sleep(&sleeper, MU_NEVER);
        mu_lock_acquire(&warden->lock);
        mu__sleeper_leave(&warden->idle_sleepers, &sleeper);
        mu_lock_release(&warden->lock);
        if (err != MU_OK)
            return;
    }
}

/* MU_OK: it has killed everything and says so. */
static mu_err ask_to_stop(mu__warden *warden, int64_t deadline)
{
    uint8_t data[MU__WP_SMALL];
    mu__pending pending = {.err = MU_EWARDEN};
    await_idle(warden);
    mu_lock_acquire(&warden->lock);
    mu_err err = warden->link ? MU_OK : MU_EWARDEN;
    if (err == MU_OK) {
        pending.request = ++warden->next_request;
        size_t size = mu__wp_encode_stop(pending.request, data, sizeof data);
        err = mu__warden_send_locked(warden, data, size, NULL, 0);
    }
    if (err == MU_OK)
        mu__sleeper_enter(&warden->pending, &pending.sleeper);
    mu_lock_release(&warden->lock);
    if (err != MU_OK)
        return err;
    err = mu__sleeper_sleep(&pending.sleeper, deadline);
    mu_lock_acquire(&warden->lock);
    mu__sleeper_leave(&warden->pending, &pending.sleeper);
    mu_lock_release(&warden->lock);
    return err == MU_OK ? pending.err : err;
}

/* The pid is for people and for tests; the random part makes it unique. */
static void make_run_id(char run_id[MU__WP_RUN_ID_MAX])
{
    uint64_t random[2] = {0, 0};
    if (getrandom(random, sizeof random, GRND_NONBLOCK) != (ssize_t)sizeof random) {
        /* Early in boot: the moment and the address tell runs apart. */
        struct timespec now;
        (void)clock_gettime(CLOCK_BOOTTIME, &now);
        random[0] = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
        random[1] = (uint64_t)(uintptr_t)run_id;
    }
    (void)snprintf(run_id, MU__WP_RUN_ID_MAX, "%d-%016llx%016llx", (int)getpid(),
                   (unsigned long long)random[0], (unsigned long long)random[1]);
}
