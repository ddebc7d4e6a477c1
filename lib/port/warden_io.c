/*
 * What comes from the warden, and its loss (port/warden.h). Runs in the I/O thread, but for the
 * loss that stop makes of what is left.
 */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/child.h"
#include "base/event.h"
#include "base/proc.h"
#include "port/warden_impl.h"
#include "runtime/runtime.h"

#define BATCH 64 /* messages by one callback: others want the I/O thread too */

typedef struct incoming {
    mu__wp_header header;
    const uint8_t *body;
    int fd;       /* -1: none came */
    bool lost_fd; /* one was sent, and there was no room for it */
} incoming;

static mu_err receive(mu__warden *warden, int socket, uint8_t *data, size_t size, incoming *ret);
static mu__conduct handle(mu__warden *warden, incoming *message);
static mu__conduct on_spawned(mu__warden *warden, incoming *message);
static mu__conduct on_done(mu__warden *warden, const incoming *message);
static mu__conduct on_exited(mu__warden *warden, const incoming *message);

void mu__warden_readable(mu__io_source *source, uint32_t events)
{
    mu__link *link = (mu__link *)source;
    mu__warden *warden = link->warden;
    uint8_t data[MU__WP_HEADER_SIZE + MU__WP_SMALL];
    mu_err err = events & MU__IO_GONE ? MU_EWARDEN : MU_OK;
    for (int i = 0; i < BATCH && err == MU_OK; i++) {
        incoming message;
        err = receive(warden, link->fds.socket, data, sizeof data, &message);
        if (err != MU_OK && err != MU_EDECODE)
            break;
        mu__warden_alive(warden);
        mu__conduct conduct = err == MU_OK ? handle(warden, &message) : MU__CONDUCT_REFUSAL;
        err = mu__warden_judge(warden, link, conduct);
    }
    if (err == MU_EWARDEN)
        mu__warden_lost(link);
}

void mu__warden_lost(mu__link *take_link)
{
    mu__link *link = take_link;
    mu__warden *warden = link->warden;
    mu__io_remove(warden->system, &link->source);
    mu__wreck wreck;
    if (!mu__warden_take_link(warden, link, &wreck))
        return; /* it is stop's, which waits for this callback */
    MU__EMIT(mu__hook(warden->system), "warden.lost", MU__M({"os_pid", link->fds.id.pid}),
             MU__D({"path", warden->path}, {"run_id", warden->run_id}));
    mu__warden_ref(warden);
    mu__warden_clear(warden, &wreck);
    mu__warden_sweep_after(warden, wreck.last_serial);
    mu__warden_sweep_again(&warden->sweep_alarm);
    mu_lock_acquire(&warden->lock);
    warden->clearing = false;
    mu__sleepers_wake(&warden->idle_sleepers);
    mu_lock_release(&warden->lock);
    mu__warden_unref(warden);
}

/* MU_ETIMEOUT: nothing there; MU_EWARDEN: end; MU_EDECODE: something that is no message. */
static mu_err receive(mu__warden *warden, int socket, uint8_t *data, size_t size, incoming *ret)
{
    mu__wp_control control;
    for (;;) {
        struct iovec part = {data, size};
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
        mu__wp_expect_fds(&message, &control, 1);
        ssize_t n = warden->sys->recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (n == 0 || (n < 0 && (errno == ECONNRESET || errno == EPIPE)))
            return MU_EWARDEN;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return MU_ETIMEOUT;
        *ret = (incoming){.body = data + MU__WP_HEADER_SIZE, .fd = -1};
        ret->lost_fd = message.msg_flags & MSG_CTRUNC;
        (void)mu__wp_take_fds(&message, &ret->fd);
        if (mu__wp_decode_header(data, (size_t)n, &ret->header) == MU_OK)
            return MU_OK;
        if (ret->fd >= 0)
            (void)close(ret->fd);
        return MU_EDECODE;
    }
}

static mu__conduct handle(mu__warden *warden, incoming *message)
{
    mu__conduct conduct = MU__CONDUCT_REFUSAL;
    if (message->header.op == MU__WP_SPAWNED)
        conduct = on_spawned(warden, message);
    else if (message->header.op == MU__WP_DONE)
        conduct = on_done(warden, message);
    else if (message->header.op == MU__WP_EXITED)
        conduct = on_exited(warden, message);
    if (message->fd >= 0)
        (void)close(message->fd);
    return conduct;
}

static mu__pending *take_pending_locked(mu__warden *warden, uint64_t request)
    MU_REQUIRES(warden->lock)
{
    for (mu__sleeper *at = warden->pending; at; at = at->next) {
        mu__pending *pending = (mu__pending *)at;
        if (pending->request == request) {
            mu__sleeper_leave(&warden->pending, at);
            return pending;
        }
    }
    return NULL;
}

static void wake_locked(mu__pending *pending)
{
    atomic_store(&pending->sleeper.done, true);
    mu__notify(&pending->sleeper.waiter);
}

/* Its requests are handled one by one: with a later answer there, these have been passed over. */
static bool passed_over_locked(mu__warden *warden, uint64_t answered) MU_REQUIRES(warden->lock)
{
    for (mu__sleeper *at = warden->pending; at; at = at->next) {
        const mu__pending *pending = (const mu__pending *)at;
        if (pending->in_turn && pending->request < answered)
            return true;
    }
    return false;
}

/* A start may fail for want of something, or in a step of its own. */
static bool is_honest(const mu__wp_spawned *spawned)
{
    int error = spawned->error;
    if (error == 0)
        return spawned->pid > 1;
    return (spawned->step > MU__STEP_REQUEST && spawned->step < MU__STEP_LIMIT_) ||
           error == ENOMEM || error == EMFILE || error == ENFILE;
}

/* A child that nobody waits for any more, or whose pidfd got lost on its way, has to go. */
static void kill_unwanted_locked(mu__warden *warden, const mu__wp_spawned *spawned)
    MU_REQUIRES(warden->lock)
{
    const mu__wp_signal ask = {spawned->pid, spawned->start, SIGKILL, MU__SCOPE_TREE};
    uint8_t data[MU__WP_SMALL];
    if (!warden->link)
        return;
    size_t size = mu__wp_encode_signal(++warden->next_request, &ask, data, sizeof data);
    bool sent = mu__warden_send_locked(warden, data, size, NULL, 0) == MU_OK;
    if (!sent && !mu__options(warden->system)->strict) { /* else the number means nothing here */
        const mu__proc_id id = {spawned->pid, spawned->start};
        (void)mu__proc_kill(&id, SIGKILL);
    }
}

/*
 * A strict warden counts in a namespace of its own. A child that is reaped already has no number
 * any more: 0.
 */
static int number_here(const mu__warden *warden, const mu__wp_spawned *spawned, int pidfd)
{
    pid_t pid = 0;
    if (!mu__options(warden->system)->strict)
        return spawned->pid;
    return mu__proc_of_pidfd(pidfd, &pid) == MU_OK ? pid : 0;
}

static void adopt_locked(mu__warden *warden, mu__child *child, const mu__wp_spawned *spawned,
                         int pid, int *take_pidfd) MU_REQUIRES(warden->lock)
{
    child->pid = pid;
    child->pid_there = spawned->pid;
    child->start = spawned->start;
    child->pidfd = *take_pidfd;
    child->pidfd_id = mu__fd_id_of(child->pidfd);
    child->exit.os_pid = pid;
    *take_pidfd = -1;
    (void)mu__child_ref(child);
    child->next = warden->children;
    warden->children = child;
}

static mu__conduct on_spawned(mu__warden *warden, incoming *message)
{
    mu__wp_spawned spawned;
    if (mu__wp_decode_spawned(message->body, message->header.body_size, &spawned) != MU_OK)
        return MU__CONDUCT_REFUSAL;
    mu_lock_acquire(&warden->lock);
    mu__pending *pending = take_pending_locked(warden, message->header.request);
    bool honest = is_honest(&spawned), runs = honest && spawned.error == 0;
    bool lost = message->lost_fd || (message->fd < 0 && mu__options(warden->system)->strict);
    if (runs && (!pending || lost)) {
        kill_unwanted_locked(warden, &spawned);
        spawned.error = EMFILE;
        spawned.step = MU__STEP_CLONE;
        runs = false;
    }
    if (runs)
        adopt_locked(warden, pending->child, &spawned, number_here(warden, &spawned, message->fd),
                     &message->fd);
    if (pending) {
        pending->err = honest ? MU_OK : MU_EWARDEN;
        pending->error = spawned.error;
        pending->step = spawned.step;
        wake_locked(pending);
    }
    bool breach = passed_over_locked(warden, message->header.request);
    mu_lock_release(&warden->lock);
    return breach ? MU__CONDUCT_BREACH : honest ? MU__CONDUCT_HONEST : MU__CONDUCT_REFUSAL;
}

static mu__conduct on_done(mu__warden *warden, const incoming *message)
{
    mu__wp_done done;
    if (mu__wp_decode_done(message->body, message->header.body_size, &done) != MU_OK)
        return MU__CONDUCT_REFUSAL;
    mu_lock_acquire(&warden->lock);
    mu__pending *pending = take_pending_locked(warden, message->header.request);
    if (pending) {
        pending->err = MU_OK;
        pending->error = done.error;
        wake_locked(pending);
    }
    bool breach = passed_over_locked(warden, message->header.request);
    mu_lock_release(&warden->lock);
    bool refused = done.error == EPROTO || done.error == ENOSYS || done.error == EBADMSG;
    return breach ? MU__CONDUCT_BREACH : refused ? MU__CONDUCT_REFUSAL : MU__CONDUCT_HONEST;
}

static mu__conduct on_exited(mu__warden *warden, const incoming *message)
{
    mu__wp_exited exited;
    mu__child *child = NULL;
    if (mu__wp_decode_exited(message->body, message->header.body_size, &exited) != MU_OK)
        return MU__CONDUCT_REFUSAL;
    mu_lock_acquire(&warden->lock);
    for (mu__child **at = &warden->children; *at; at = &(*at)->next) {
        if ((*at)->pid_there == exited.pid && (*at)->start == exited.start) {
            child = *at;
            *at = child->next;
            break;
        }
    }
    mu_lock_release(&warden->lock);
    const mu__exit exit = {.kind = exited.code == CLD_EXITED ? MU__EXIT_CODE : MU__EXIT_SIGNAL,
                           .os_pid = child ? child->pid : 0,
                           .status = exited.status,
                           .user_us = exited.user_us,
                           .system_us = exited.system_us,
                           .max_rss_kb = exited.max_rss_kb};
    if (child)
        mu__child_finish(child, &exit);
    return MU__CONDUCT_OPEN;
}

/* ---- loss ---------------------------------------------------------------------------------- */

bool mu__warden_take_link(mu__warden *warden, const mu__link *only, mu__wreck *ret_wreck)
{
    mu_lock_acquire(&warden->lock);
    bool taken = warden->link && (!only || (warden->link == only && !warden->stopping));
    if (taken) {
        *ret_wreck = (mu__wreck){warden->link, warden->children, warden->next_serial};
        warden->link = NULL;
        warden->children = NULL;
        warden->clearing = only != NULL;
        warden->lost_serial = warden->next_serial;
    }
    mu__sleepers_wake(&warden->pending); /* their err is still MU_EWARDEN */
    mu_lock_release(&warden->lock);
    return taken;
}

void mu__warden_clear(mu__warden *warden, mu__wreck *wreck)
{
    mu__cgroup_kill(&warden->cgroup); /* the next warden is not launched before this has returned */
    while (wreck->children) {
        mu__child *child = wreck->children;
        wreck->children = child->next;
        /* PDEATHSIG has done it already, unless the child had changed its user since. */
        (void)mu__child_signal_itself(child, SIGKILL);
        mu__child_finish(child, &(mu__exit){.kind = MU__EXIT_LOST, .os_pid = child->pid});
    }
    mu__warden_link_close(&wreck->link->fds);
    free(wreck->link);
    mu__warden_unref(warden);
}

struct sweep {
    const char *run_id;
    size_t run_size;
    uint64_t last;
    bool found;  /* one that lives, or is dying */
    bool hidden; /* one that may be ours: it is in the middle of execve */
};

static bool sweep_one(pid_t pid, void *arg)
{
    struct sweep *sweep = arg;
    char mark[MU__WP_MARK_MAX];
    mu__proc_stat st;
    /* The start time first: it is what makes sure that the mark is this process's. */
    if (mu__proc_read_stat(pid, &st) != MU_OK || mu__proc_has_ended(&st))
        return true;
    mu_err err = mu__proc_environ(pid, MU__ENV_CHILD, mark, sizeof mark);
    sweep->hidden |= err == MU_ERRNO(EAGAIN);
    if (err != MU_OK || strncmp(mark, sweep->run_id, sweep->run_size) != 0 ||
        mark[sweep->run_size] != '.')
        return true;
    if (strtoull(mark + sweep->run_size + 1, NULL, 10) <= sweep->last) {
        const mu__proc_id id = {pid, st.start};
        (void)mu__proc_kill(&id, SIGKILL);
        sweep->found = true;
    }
    return true;
}

void mu__warden_sweep_after(mu__warden *warden, uint64_t last)
{
    warden->sweep_serial = last;
    warden->sweeps_left = last > 0 ? MU__SWEEPS : 0; /* 0: there never was a child */
    warden->sweep_until = mu__now(warden->system) + MU__SWEEP_MAX;
}

/*
 * Reads all of /proc, in the I/O thread: some milliseconds, on the day that somebody kills a
 * warden.
 */
bool mu__warden_sweep(mu__warden *warden)
{
    struct sweep sweep = {warden->run_id, strlen(warden->run_id), warden->sweep_serial, false,
                          false};
    (void)mu__proc_each(sweep_one, &sweep);
    warden->sweep_found = sweep.found;
    warden->sweeps_left = sweep.found || sweep.hidden ? MU__SWEEPS : warden->sweeps_left - 1;
    if (mu__now(warden->system) >= warden->sweep_until)
        warden->sweeps_left = 0;
    return warden->sweeps_left > 0;
}

void mu__warden_sweep_again(mu__alarm *alarm)
{
    mu__warden *warden =
        (mu__warden *)(void *)((char *)alarm - offsetof(struct mu__warden, sweep_alarm));
    mu_lock_acquire(&warden->lock);
    bool stopping = warden->stopping;
    mu_lock_release(&warden->lock);
    if (stopping || warden->sweeps_left == 0 || !mu__warden_sweep(warden))
        return;
    (void)mu__alarm_set(warden->system, alarm, mu_deadline(mu__now(warden->system), MU__SWEEP_MS));
}
