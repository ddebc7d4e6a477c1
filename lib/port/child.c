/*
 * Children of the warden: spawning, signals, exits (port/warden.h). Called by port.c; the I/O
 * thread comes in through mu__child_finish.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/child.h"
#include "base/proc.h"
#include "port/warden_impl.h"
#include "runtime/runtime.h"

#define RETRY_FIRST (10 * MU_MS)
#define RETRY_MOST  (200 * MU_MS)

/* A spawn on its way: the encoded message and the fds that go with it. */
typedef struct errand {
    mu__wp_spawn spec;
    uint8_t *data;
    size_t size;
    char **envp;
    int fds[MU__WP_FDS_MAX + 1]; /* the first is for the memfd */
    size_t n_fds;
    int memfd; /* -1: the body travels inline */
    int procs; /* of the cgroup that it is to join; -1: none */
} errand;

static mu_err check_spec(const mu__warden *warden, const mu__child_spec *spec, mu_error *ret_error);
static mu__child *child_new(mu__warden *warden, const mu__child_spec *spec);
static mu_err attempt(mu__warden *warden, errand *e, mu__child *child, int64_t deadline,
                      mu__pending *pending, mu_error *ret_error);
static mu_err send_spawn(mu__warden *warden, errand *e, mu__pending *pending, int64_t deadline,
                         mu_error *ret_error);
static mu_err errand_make(errand *e, mu__warden *warden, const mu__child_spec *spec,
                          uint64_t serial, mu_error *ret_error);
static void errand_drop(errand *e);
static mu_err explain(const mu__child_spec *spec, const mu__pending *pending, mu_error *ret_error);
static mu_err pause_for(int64_t ns, int64_t deadline, const mu__warden *warden);
static void track(mu__child *child, const mu__child_spec *spec);
static mu_err make_cell(mu__child *child, const mu__child_spec *spec, int *ret_procs,
                        mu_error *ret_error);
static mu__cell_oom end_cell(mu__child *child);
static void retry_cells(mu__warden *warden);

/* ---- spawning ------------------------------------------------------------------------------ */

mu_err mu__child_spawn(mu__warden *warden, const mu__child_spec *spec, int64_t deadline,
                       mu__child **ret_child, mu_error *ret_error)
{
    mu_err err = check_spec(warden, spec, ret_error);
    if (err != MU_OK)
        return err;
    mu__child *child = child_new(warden, spec);
    if (!child)
        return mu_error_set(ret_error, MU_ENOMEM, "no memory to start %s", spec->path);
    errand e = {.memfd = -1, .procs = -1};
    mu__pending pending;
    int64_t wait = RETRY_FIRST;
    retry_cells(warden);
    err = make_cell(child, spec, &e.procs, ret_error);
    if (err == MU_OK)
        err = errand_make(&e, warden, spec, child->serial, ret_error);
    while (err == MU_OK) {
        err = attempt(warden, &e, child, deadline, &pending, ret_error);
        bool again = err == MU_OK && pending.error == EAGAIN && pending.step == MU__STEP_CLONE;
        if (!again)
            break;
        /* The process table is full, or a limit is reached: often for a moment only. */
        if (pause_for(wait, deadline, warden) != MU_OK)
            break;
        wait = 2 * wait < RETRY_MOST ? 2 * wait : RETRY_MOST;
    }
    errand_drop(&e);
    if (err == MU_OK && pending.error != 0)
        err = explain(spec, &pending, ret_error);
    if (err == MU_OK) {
        track(child, spec);
        *ret_child = child;
    } else {
        mu__child_unref(child);
    }
    return err;
}

static mu_err check_spec(const mu__warden *warden, const mu__child_spec *spec, mu_error *ret_error)
{
    if (!spec->path || spec->path[0] != '/')
        return mu_error_set(ret_error, MU_EINVAL, "the program's path must be absolute");
    if (spec->cwd && spec->cwd[0] != '/')
        return mu_error_set(ret_error, MU_EINVAL, "cwd \"%s\" must be absolute", spec->cwd);
    if (!spec->argv || !spec->argv[0] || !spec->envp)
        return mu_error_set(ret_error, MU_EINVAL, "%s: no arguments or environment", spec->path);
    size_t n_fds = spec->n_passes + (spec->flags & MU__SPAWN_LANDLOCK ? 1 : 0) +
                   (warden->cgroup.path[0] ? 1 : 0);
    if (n_fds > MU__WP_FDS_MAX || spec->n_rlimits > MU__WP_RLIMITS_MAX)
        return mu_error_set(ret_error, MU_EINVAL, "%s: too many fds or limits", spec->path);
    return MU_OK;
}

static mu__child *child_new(mu__warden *warden, const mu__child_spec *spec)
{
    mu__child *child = warden->sys->alloc(sizeof *child);
    if (!child)
        return NULL;
    atomic_store(&child->refs, 1);
    child->warden = mu__warden_ref(warden);
    child->pidfd = -1;
    child->on_exit = spec->on_exit;
    child->ctx = spec->ctx;
    mu_lock_acquire(&warden->lock);
    child->serial = ++warden->next_serial;
    mu_lock_release(&warden->lock);
    return child;
}

/* Sends it once and waits for the answer. MU_OK: see `pending` for what became of it. */
static mu_err attempt(mu__warden *warden, errand *e, mu__child *child, int64_t deadline,
                      mu__pending *pending, mu_error *ret_error)
{
    *pending = (mu__pending){.child = child, .in_turn = e->spec.server_pid == 0, .err = MU_EWARDEN};
    mu_err err = send_spawn(warden, e, pending, deadline, ret_error);
    if (err != MU_OK)
        return err;
    err = mu__sleeper_sleep(&pending->sleeper, deadline);
    mu_lock_acquire(&warden->lock);
    mu__sleeper_leave(&warden->pending, &pending->sleeper);
    bool answered = atomic_load(&pending->sleeper.done);
    mu_lock_release(&warden->lock);
    /* An answer that came in the last moment counts: the child is there. */
    if (answered)
        err = pending->err;
    if (err != MU_OK)
        return mu_error_set(ret_error, err, "starting %s: %s", e->spec.path, mu_strerror(err));
    return MU_OK;
}

/* Puts the request on its way; waits for room in the socket, without the lock. */
static mu_err send_spawn(mu__warden *warden, errand *e, mu__pending *pending, int64_t deadline,
                         mu_error *ret_error) MU_NO_TSA
{
    const mu__child *child = pending->child;
    for (;;) {
        mu_err err = mu__warden_lock_link(warden, deadline, ret_error);
        if (err != MU_OK)
            return err;
        if (child->serial <= warden->lost_serial) {
            /* Its mark is among those that are being swept: it belongs to the warden that died. */
            mu_lock_release(&warden->lock);
            return mu_error_set(ret_error, MU_EWARDEN, "starting %s: the warden died meanwhile",
                                e->spec.path);
        }
        pending->request = ++warden->next_request;
        memcpy(e->data + 8, &pending->request, sizeof pending->request);
        bool inlined = e->memfd < 0;
        err = mu__warden_send_locked(warden, e->data, inlined ? e->size : MU__WP_HEADER_SIZE,
                                     inlined ? e->fds + 1 : e->fds, e->n_fds + !inlined);
        if (err == MU_OK)
            mu__sleeper_enter(&warden->pending, &pending->sleeper);
        mu_lock_release(&warden->lock);
        if (err == MU_OK)
            return MU_OK;
        bool again =
            err == MU_ERRNO(EAGAIN) || err == MU_ERRNO(ENOBUFS) || err == MU_ERRNO(ETOOMANYREFS);
        if (again)
            err = pause_for(RETRY_FIRST, deadline, warden);
        if (err != MU_OK)
            return mu_error_set(ret_error, err, "asking the warden: %s", mu_strerror(err));
    }
}

/* Into the register of processes; out of it again if it has ended meanwhile. */
static void track(mu__child *child, const mu__child_spec *spec)
{
    mu__tracking *tracking = child->warden->tracking;
    if (child->pid == 0)
        return;
    mu__track_child born = {.serial = child->serial,
                            .pid = child->pid,
                            .start = child->start,
                            .generation = spec->generation};
    (void)snprintf(born.id, sizeof born.id, "%s", spec->worker_id ? spec->worker_id : "-");
    mu__tracking_born(tracking, &born, mu_self());
    if (mu__child_exited(child, NULL))
        mu__tracking_gone(tracking, child->serial);
}

/* MU_ETIMEOUT if the deadline comes first. */
static mu_err pause_for(int64_t ns, int64_t deadline, const mu__warden *warden)
{
    if (mu__now(warden->system) + ns >= deadline)
        return MU_ETIMEOUT;
    return mu_sleep(ns / MU_MS);
}

/* The errno as it was, and words that say where it came from. */
static mu_err explain(const mu__child_spec *spec, const mu__pending *pending, mu_error *ret_error)
{
    const char *what = spec->path;
    if (pending->step == MU__STEP_FORK && pending->error == ESRCH)
        return mu_error_set(ret_error, MU_EDOWN, "the fork server is gone");
    if (pending->step == MU__STEP_CHDIR && spec->cwd)
        what = spec->cwd;
    if (pending->error == EPERM && pending->step >= MU__STEP_RIGHTS &&
        pending->step <= MU__STEP_USER)
        return mu_error_set(ret_error, MU_ERRNO(EPERM),
                            "%s: to change user and groups the system's warden needs CAP_SETUID, "
                            "CAP_SETGID and CAP_KILL; it failed at: %s",
                            what, mu__step_text(pending->step));
    return mu_error_set(ret_error, MU_ERRNO(pending->error), "%s %s: %s",
                        mu__step_text(pending->step), what, mu_strerror(MU_ERRNO(pending->error)));
}

/* ---- the message --------------------------------------------------------------------------- */

/* The environment with the two variables that tell whose child it is, first. */
static mu_err add_marks(errand *e, mu__warden *warden, char *const *envp, uint64_t serial,
                        char *marks[2], size_t size)
{
    size_t count = 0;
    while (envp[count])
        count++;
    e->envp = warden->sys->alloc((count + 3) * sizeof *e->envp);
    if (!e->envp)
        return MU_ENOMEM;
    (void)snprintf(marks[0], size, MU__ENV_RUN_ID "=%s", warden->run_id);
    /* Of one length: a forked worker writes its own over its server's. */
    (void)snprintf(marks[1], size, MU__ENV_CHILD "=%s.%08llu", warden->run_id,
                   (unsigned long long)serial);
    e->envp[0] = marks[0];
    e->envp[1] = marks[1];
    memcpy(e->envp + 2, envp, count * sizeof *envp);
    return MU_OK;
}

static mu_err put_in_memfd(errand *e, mu__warden *warden)
{
    e->memfd = warden->sys->memfd_create("muster-spawn", MFD_CLOEXEC);
    if (e->memfd < 0)
        return MU_ERRNO(errno);
    size_t done = MU__WP_HEADER_SIZE;
    while (done < e->size) {
        ssize_t n = warden->sys->write(e->memfd, e->data + done, e->size - done);
        if (n < 0 && errno != EINTR)
            return MU_ERRNO(errno);
        if (n > 0)
            done += (size_t)n;
    }
    mu__wp_body_in_memfd(e->data);
    e->fds[0] = e->memfd;
    return MU_OK;
}

static mu_err errand_make(errand *e, mu__warden *warden, const mu__child_spec *spec,
                          uint64_t serial, mu_error *ret_error)
{
    char run[MU__WP_MARK_MAX + 32], mark[MU__WP_MARK_MAX + 32], *marks[2] = {run, mark};
    e->spec = (mu__wp_spawn){.flags = spec->flags,
                             .umask = spec->umask,
                             .nice = spec->nice,
                             .confine = spec->confine,
                             .path = spec->path,
                             .cwd = spec->cwd,
                             .mark = mark + sizeof MU__ENV_CHILD,
                             .argv = spec->argv,
                             .n_rlimits = spec->n_rlimits,
                             .n_fds = spec->n_passes};
    if (spec->fork_server) {
        e->spec.server_pid = spec->fork_server->pid_there;
        e->spec.server_start = spec->fork_server->start;
    }
    for (size_t i = 0; i < spec->n_rlimits; i++)
        e->spec.rlimits[i] = spec->rlimits[i];
    for (size_t i = 0; i < spec->n_passes; i++) {
        bool passed = spec->passes[i].fd >= 0;
        e->spec.fds[i] =
            (mu__wp_fd){spec->passes[i].target, passed ? (int32_t)e->n_fds : MU__WP_FD_NULL};
        if (passed)
            e->fds[1 + e->n_fds++] = spec->passes[i].fd;
    }
    if (e->procs >= 0) { /* next to those above: a fork server gets them, and nothing behind */
        e->spec.flags |= MU__SPAWN_CGROUP;
        e->spec.confine.cgroup = (int32_t)e->n_fds;
        e->fds[1 + e->n_fds++] = e->procs;
    }
    if (spec->flags & MU__SPAWN_LANDLOCK) {
        e->spec.confine.landlock = (int32_t)e->n_fds;
        e->fds[1 + e->n_fds++] = spec->confine.landlock;
    }
    mu_err err = add_marks(e, warden, spec->envp, serial, marks, sizeof run);
    if (err == MU_OK) {
        e->spec.envp = e->envp;
        e->size = mu__wp_encode_spawn(0, &e->spec, NULL, 0);
        e->data =
            e->size - MU__WP_HEADER_SIZE > MU__WP_BODY_MAX ? NULL : warden->sys->alloc(e->size);
        err = e->data                                          ? MU_OK
              : e->size - MU__WP_HEADER_SIZE > MU__WP_BODY_MAX ? MU_ERRNO(E2BIG)
                                                               : MU_ENOMEM;
    }
    if (err == MU_OK) {
        (void)mu__wp_encode_spawn(0, &e->spec, e->data, e->size);
        if (e->size > MU__WP_HEADER_SIZE + MU__WP_INLINE_MAX)
            err = put_in_memfd(e, warden);
    }
    if (err != MU_OK)
        return mu_error_set(ret_error, err, "starting %s: %s", spec->path, mu_strerror(err));
    return MU_OK;
}

static void errand_drop(errand *e)
{
    if (e->memfd >= 0)
        (void)close(e->memfd);
    if (e->procs >= 0)
        (void)close(e->procs);
    free(e->data);
    free(e->envp);
}

/* ---- cgroups ------------------------------------------------------------------------------- */

mu_err mu__warden_delegate(mu__warden *warden, const mu__limits *limits, mu_error *ret_error)
{
    if (!warden->cgroup.path[0])
        return mu_error_set(ret_error, MU_EINVAL,
                            "limits of memory, processes and processor need a cgroup: the option "
                            "cgroup of the system");
    return mu__cells_delegate(&warden->cgroup, limits, ret_error);
}

static mu_err make_cell(mu__child *child, const mu__child_spec *spec, int *ret_procs,
                        mu_error *ret_error)
{
    mu__warden *warden = child->warden;
    if (!warden->cgroup.path[0])
        return MU_OK;
    mu_err err = mu__cell_make(&warden->cgroup, child->serial, &spec->limits, ret_procs, ret_error);
    child->celled = err == MU_OK;
    return err;
}

static void keep_cell(mu__warden *warden, uint64_t serial)
{
    mu_lock_acquire(&warden->lock);
    if (warden->n_cells < MU__CELLS_LEFT)
        warden->cells[warden->n_cells++] = serial;
    mu_lock_release(&warden->lock);
}

/* What it left is killed, which takes a moment: then the next start looks again. */
static mu__cell_oom end_cell(mu__child *child)
{
    mu__cell_oom oom = MU__CELL_OOM_UNTOLD;
    if (!child->celled)
        return oom;
    child->celled = false;
    if (!mu__cell_end(&child->warden->cgroup, child->serial, &oom))
        keep_cell(child->warden, child->serial);
    return oom;
}

static void retry_cells(mu__warden *warden)
{
    uint64_t left[MU__CELLS_LEFT];
    mu_lock_acquire(&warden->lock);
    size_t count = warden->n_cells;
    memcpy(left, warden->cells, count * sizeof *left);
    warden->n_cells = 0;
    mu_lock_release(&warden->lock);
    for (size_t i = 0; i < count; i++) {
        if (!mu__cell_end(&warden->cgroup, left[i], NULL))
            keep_cell(warden, left[i]);
    }
}

/* ---- handles ------------------------------------------------------------------------------- */

mu__child *mu__child_ref(mu__child *child)
{
    (void)atomic_fetch_add(&child->refs, 1);
    return child;
}

void mu__child_unref(mu__child *child)
{
    if (!child || atomic_fetch_sub(&child->refs, 1) != 1)
        return;
    mu__fd_close(&child->pidfd, &child->pidfd_id);
    (void)end_cell(child); /* of one that was never started */
    mu__warden_unref(child->warden);
    free(child);
}

int mu__child_pid(const mu__child *child)
{
    return child->pid;
}

uint64_t mu__child_start_time(const mu__child *child)
{
    return child->start;
}

int mu__child_pidfd(const mu__child *child)
{
    return child->pidfd;
}

/* Its pidfd is there, and still is one. */
static bool is_held(const mu__child *child)
{
    return mu__fd_is(child->pidfd, &child->pidfd_id);
}

bool mu__child_ending(const mu__child *child)
{
    mu__proc_stat st;
    struct pollfd ended = {.fd = is_held(child) ? child->pidfd : -1, .events = POLLIN};
    bool exiting = mu__proc_read_stat(child->pid, &st) != MU_OK || st.start != child->start ||
                   st.state == 'Z' || st.exiting;
    /* A pidfd tells of the end of the last thread: files are closed some time before that. */
    return exiting || child->warden->sys->poll(&ended, 1, 0) > 0;
}

mu_err mu__child_signal(mu__child *child, int sig, mu__wp_scope scope)
{
    mu__warden *warden = child->warden;
    const mu__wp_signal ask = {child->pid_there, child->start, sig, scope};
    uint8_t data[MU__WP_SMALL];
    if (mu__usable(warden->system) == MU_EFORKED)
        return MU_EFORKED; /* the socket is the parent's, and so is the child */
    mu_lock_acquire(&warden->lock);
    bool exited = child->exited, by_itself = scope == MU__SCOPE_LEADER && child->pidfd >= 0;
    mu_err err = MU_EWARDEN;
    if (!exited && !by_itself && warden->link) {
        size_t size = mu__wp_encode_signal(++warden->next_request, &ask, data, sizeof data);
        err = mu__warden_send_locked(warden, data, size, NULL, 0); /* its answer says nothing new */
    }
    mu_lock_release(&warden->lock);
    if (exited)
        return MU_ENOTFOUND;
    return err == MU_OK ? MU_OK : mu__child_signal_itself(child, sig);
}

mu_err mu__child_signal_itself(const mu__child *child, int sig)
{
    const mu__proc_id id = {child->pid, child->start};
    if (!is_held(child))
        return mu__proc_kill(&id, sig);
    if (child->warden->sys->pidfd_send_signal(child->pidfd, sig, NULL, 0) == 0)
        return MU_OK;
    if (mu__pidfd_missing(errno))
        return mu__proc_kill(&id, sig);
    return errno == ESRCH ? MU_ENOTFOUND : MU_ERRNO(errno);
}

bool mu__child_exited(mu__child *child, mu__exit *ret_exit)
{
    mu_lock_acquire(&child->warden->lock);
    bool exited = child->exited;
    if (exited && ret_exit)
        *ret_exit = child->exit;
    mu_lock_release(&child->warden->lock);
    return exited;
}

mu_err mu__child_wait(mu__child *child, int64_t deadline, mu__exit *ret_exit)
{
    mu__sleeper sleeper;
    mu_err err = MU_OK;
    while (!mu__child_exited(child, ret_exit) && err == MU_OK) {
        mu_lock_acquire(&child->warden->lock);
        bool exited = child->exited;
        if (!exited)
            mu__sleeper_enter(&child->sleepers, &sleeper);
        mu_lock_release(&child->warden->lock);
        if (exited)
            continue;
        err = mu__sleeper_sleep(&sleeper, deadline);
        mu_lock_acquire(&child->warden->lock);
        mu__sleeper_leave(&child->sleepers, &sleeper);
        mu_lock_release(&child->warden->lock);
    }
    return err;
}

void mu__child_forget(mu__child *child)
{
    mu__warden *warden = child->warden;
    for (;;) {
        mu__sleeper sleeper;
        mu_lock_acquire(&warden->lock);
        child->on_exit = NULL;
        bool calling = child->calling;
        if (calling)
            mu__sleeper_enter(&child->sleepers, &sleeper);
        mu_lock_release(&warden->lock);
        if (!calling)
            return;
        /* Not to be cut short by an exit signal: the callback's ctx is the caller's to free. */
        mu__sleeper_sleep_out(&sleeper);
        mu_lock_acquire(&warden->lock); /* the waker is through with the sleeper */
        mu_lock_release(&warden->lock);
    }
}

void mu__child_finish(mu__child *take_child, const mu__exit *exit)
{
    mu__child *child = take_child;
    mu__warden *warden = child->warden;
    mu__exit told = *exit;
    mu__cell_oom oom = end_cell(child);
    told.oom_told = oom != MU__CELL_OOM_UNTOLD;
    told.oom =
        oom == MU__CELL_OOM_KILLED && exit->kind == MU__EXIT_SIGNAL && exit->status == SIGKILL;
    mu_lock_acquire(&warden->lock);
    child->exited = true;
    child->exit = told;
    child->calling = child->on_exit != NULL;
    void (*tell)(void *, const mu__exit *) = child->on_exit;
    void *ctx = child->ctx;
    mu__sleepers_wake(&child->sleepers);
    mu_lock_release(&warden->lock);
    mu__tracking_gone(warden->tracking, child->serial);
    if (tell) {
        tell(ctx, &told);
        mu_lock_acquire(&warden->lock);
        child->calling = false;
        mu__sleepers_wake(&child->sleepers);
        mu_lock_release(&warden->lock);
    }
    mu__child_unref(child);
}
