/*
 * One OS child with its pipes (port/port.h). Called by the pool's workers; calls child.c, env.c,
 * capture.c and stop_ladder.c.
 *
 * All that happens by itself happens in the I/O thread, one thing after the other: reading output,
 * then the exit. So the exit can empty the pipes for the last lines without asking anybody.
 */
#include "port/port.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/event.h"
#include "base/fd.h"
#include "base/lock.h"
#include "base/seccomp.h"
#include "port/capture.h"
#include "port/env.h"
#include "port/oom.h"
#include "runtime/actor.h"
#include "runtime/io.h"

#define READ_SIZE    16384
#define READS_A_TURN 4 /* others want the I/O thread too */
#define READS_AT_END                                                                               \
    64 /* 1 MiB: more than a pipe holds, less than a grandchild may go on writing */

typedef struct tap {
    mu__io_source source; /* reading end; first */
    mu__port *port;
    mu__capture_stream stream;
    mu__fd_id id;
    bool open;
} tap;

struct mu__port {
    mu_system *system;
    const mu_sys *sys;
    mu__child *child;
    mu__port_pipes pipes; /* -1: taken */
    int64_t spawned_at;
    uint32_t generation;
    char worker_id[32];
    char pool[MU_NAME_MAX + 1];
    int64_t oom_kills;   /* before it was there */
    _Atomic bool killed; /* by us */
    tap taps[MU__CAPTURE_STREAMS];

    mu_lock lock;
    mu__capture capture MU_GUARDED_BY(lock);
    bool ended MU_GUARDED_BY(lock);
    mu__port_end end MU_GUARDED_BY(lock);
    void (*died)(void *ctx, const mu__port_end *end) MU_GUARDED_BY(lock);
    void *died_ctx MU_GUARDED_BY(lock);
};

/* The child's ends, closed in the host once it has them. */
typedef struct far_ends {
    int stdout_write, stderr_write, response_write;
} far_ends;

static mu__port *port_new(mu_system *system, const char *pool, const char *worker_id,
                          uint32_t generation);
static mu_err make_pipes(mu__port *port, far_ends *far);
static mu_err watch_output(mu__port *port);
static mu_err spawn(mu__port *port, mu__warden *warden, const mu__port_spec *spec,
                    const far_ends *far, int64_t deadline, mu_error *ret_error);
static void on_output(mu__io_source *source, uint32_t events);
static void on_exit_(void *ctx, const mu__exit *exit);
static void close_tap(tap *t);
static void close_fd(int *fd);

/* ---- opening ------------------------------------------------------------------------------- */

mu_err mu__port_open(mu_system *system, const mu__port_spec *spec, const char *worker_id,
                     uint32_t generation, int64_t deadline, mu__port **ret_port,
                     mu_error *ret_error)
{
    mu__warden *warden = mu__warden_of(system);
    if (!warden)
        return mu_error_set(ret_error, MU_EWARDEN, "the system was started without children");
    mu__port *port = port_new(system, spec->pool, worker_id, generation);
    if (!port)
        return mu_error_set(ret_error, MU_ENOMEM, "no memory for %s", worker_id);
    far_ends far = {-1, -1, -1};
    mu_err err = make_pipes(port, &far);
    if (err == MU_OK)
        err = watch_output(port);
    if (err != MU_OK)
        (void)mu_error_set(ret_error, err, "the pipes of %s: %s", worker_id, mu_strerror(err));
    else
        err = spawn(port, warden, spec, &far, deadline, ret_error);
    close_fd(&far.stdout_write);
    close_fd(&far.stderr_write);
    close_fd(&far.response_write);
    if (err != MU_OK) {
        mu__port_free(&port);
        return err;
    }
    port->spawned_at = mu__now(system);
    *ret_port = port;
    return MU_OK;
}

void mu__port_free(mu__port **take_port)
{
    mu__port *port = *take_port;
    *take_port = NULL;
    if (!port)
        return;
    if (port->child) {
        mu__port_kill(port);
        mu__child_forget(port->child);
        mu__child_unref(port->child);
    }
    for (int s = 0; s < MU__CAPTURE_STREAMS; s++) {
        mu__io_remove(port->system, &port->taps[s].source); /* waits for a callback that runs */
        mu__fd_close(&port->taps[s].source.fd, &port->taps[s].id);
    }
    close_fd(&port->pipes.request_write);
    close_fd(&port->pipes.request_read);
    close_fd(&port->pipes.response_read);
    mu_lock_deinit(&port->lock);
    free(port);
}

static mu__port *port_new(mu_system *system, const char *pool, const char *worker_id,
                          uint32_t generation)
{
    const mu_sys *sys = mu__sys(system);
    mu__port *port = sys->alloc(sizeof *port);
    if (!port)
        return NULL;
    port->system = system;
    port->sys = sys;
    port->generation = generation;
    port->oom_kills = mu__oom_kills(sys);
    (void)snprintf(port->worker_id, sizeof port->worker_id, "%s", worker_id);
    (void)snprintf(port->pool, sizeof port->pool, "%s", pool ? pool : "");
    port->pipes = (mu__port_pipes){-1, -1, -1};
    for (int s = 0; s < MU__CAPTURE_STREAMS; s++) {
        port->taps[s].port = port;
        port->taps[s].stream = (mu__capture_stream)s;
        port->taps[s].source.fd = -1;
    }
    mu_lock_init(&port->lock);
    return port;
}

static mu_err make_pipe(const mu_sys *sys, int *ret_read, int *ret_write)
{
    int fds[2];
    if (sys->pipe2(fds, O_CLOEXEC) != 0)
        return MU_ERRNO(errno);
    *ret_read = fds[0];
    *ret_write = fds[1];
    return MU_OK;
}

static mu_err make_tap(const mu_sys *sys, tap *t, int *ret_write)
{
    mu_err err = make_pipe(sys, &t->source.fd, ret_write);
    t->id = mu__fd_id_of(t->source.fd);
    return err;
}

static mu_err make_pipes(mu__port *port, far_ends *far)
{
    const mu_sys *sys = port->sys;
    mu_err err = make_pipe(sys, &port->pipes.request_read, &port->pipes.request_write);
    if (err == MU_OK)
        err = make_pipe(sys, &port->pipes.response_read, &far->response_write);
    if (err == MU_OK)
        err = make_tap(sys, &port->taps[MU__CAPTURE_STDOUT], &far->stdout_write);
    if (err == MU_OK)
        err = make_tap(sys, &port->taps[MU__CAPTURE_STDERR], &far->stderr_write);
    if (err != MU_OK)
        return err;
    /* Each end by itself: the child's ends, and the kept one that it shares, go on blocking. */
    const int ours[] = {port->pipes.request_write, port->pipes.response_read,
                        port->taps[0].source.fd, port->taps[1].source.fd};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        if (fcntl(ours[i], F_SETFL, O_NONBLOCK) != 0)
            return MU_ERRNO(errno);
    }
    return MU_OK;
}

/* Before the spawn, so that the exit, however early, finds everything in place. */
static mu_err watch_output(mu__port *port)
{
    for (int s = 0; s < MU__CAPTURE_STREAMS; s++) {
        tap *t = &port->taps[s];
        t->source.events = EPOLLIN;
        t->source.ready = on_output;
        t->open = true;
        mu_err err = mu__io_add(port->system, &t->source);
        if (err != MU_OK)
            return err;
    }
    return MU_OK;
}

static mu_err make_env(mu__port *port, const mu__port_spec *spec, char ***ret_env)
{
    char id[64], max_frame[48];
    const char *last[] = {"MUSTER_PROTOCOL=1", id, spec->max_frame ? max_frame : NULL, NULL};
    (void)snprintf(id, sizeof id, "MUSTER_WORKER_ID=%s", port->worker_id);
    (void)snprintf(max_frame, sizeof max_frame, "MUSTER_MAX_FRAME=%zu", spec->max_frame);
    return mu__env_make(port->sys, environ, spec->env_allow, spec->env, last, ret_env);
}

/* A directory that was removed from under this process has no name; children of it would be in it
 * all the same. */
static bool own_directory(char *path, size_t size)
{
    if (getcwd(path, size))
        return true;
    int n = errno == ENOENT ? snprintf(path, size, "/proc/%d/cwd", (int)getpid()) : -1;
    return n > 0 && (size_t)n < size;
}

static mu_err spawn(mu__port *port, mu__warden *warden, const mu__port_spec *spec,
                    const far_ends *far, int64_t deadline, mu_error *ret_error)
{
    char cwd[PATH_MAX], **env = NULL;
    if (!spec->cwd && !own_directory(cwd, sizeof cwd))
        return mu_error_set(ret_error, MU_ERRNO(errno), "the current directory: %s",
                            strerror(errno));
    mu_err err = make_env(port, spec, &env);
    if (err != MU_OK)
        return mu_error_set(ret_error, err, "no memory for %s", port->worker_id);
    const mu__child_pass passes[] = {{1, far->stdout_write},
                                     {2, far->stderr_write},
                                     {3, port->pipes.request_read},
                                     {4, far->response_write}};
    mu__child_spec child = MU__CHILD_SPEC_INIT;
    child.path = spec->path;
    child.argv = spec->fork_server ? spec->fork_argv : spec->argv;
    child.fork_server = spec->fork_server;
    child.envp = env;
    child.cwd = spec->cwd ? spec->cwd : cwd;
    child.passes = passes;
    child.n_passes = sizeof passes / sizeof *passes;
    child.rlimits = spec->rlimits;
    child.n_rlimits = spec->n_rlimits;
    child.flags = spec->flags;
    child.umask = spec->umask;
    child.nice = spec->nice;
    child.confine = spec->confine;
    child.limits = spec->limits;
    if (spec->fork_server) { /* its server wears both */
        child.flags &= ~(uint32_t)MU__SPAWN_LANDLOCK;
        child.confine.seccomp = MU__SECCOMP_OFF;
    }
    child.worker_id = port->worker_id;
    child.generation = port->generation;
    child.on_exit = on_exit_;
    child.ctx = port;
    err = mu__child_spawn(warden, &child, deadline, &port->child, ret_error);
    free(env);
    return err;
}

/* ---- looking in ---------------------------------------------------------------------------- */

void mu__port_take_pipes(mu__port *port, mu__port_pipes *ret_pipes)
{
    *ret_pipes = port->pipes;
    port->pipes = (mu__port_pipes){-1, -1, -1};
}

void mu__port_watch(mu__port *port, void (*died)(void *ctx, const mu__port_end *end), void *ctx)
{
    mu_lock_acquire(&port->lock);
    bool ended = port->ended;
    if (!ended) {
        port->died = died;
        port->died_ctx = ctx;
    }
    mu_lock_release(&port->lock);
    if (!ended)
        return;
    mu__port_end end;
    (void)mu__port_ended(port, &end);
    died(ctx, &end);
}

int mu__port_os_pid(const mu__port *port)
{
    return mu__child_pid(port->child);
}

mu__child *mu__port_child(const mu__port *port)
{
    return port->child;
}

int64_t mu__port_spawned_at(const mu__port *port)
{
    return port->spawned_at;
}

bool mu__port_ended(mu__port *port, mu__port_end *ret_end)
{
    mu_lock_acquire(&port->lock);
    bool ended = port->ended;
    if (ended)
        *ret_end = port->end;
    mu_lock_release(&port->lock);
    return ended;
}

size_t mu__port_tail(mu__port *port, char *text, size_t size)
{
    mu_lock_acquire(&port->lock);
    size_t length = mu__capture_tail(&port->capture, text, size);
    mu_lock_release(&port->lock);
    return length;
}

/* ---- stopping ------------------------------------------------------------------------------ */

void mu__port_kill(mu__port *port)
{
    atomic_store(&port->killed, true);
    (void)mu__child_signal(port->child, SIGKILL, MU__SCOPE_TREE);
}

static void act(mu__port *port, const mu__port_stop_options *options, mu__ladder_action action)
{
    switch (action) {
    case MU__LADDER_NOTHING:
        break;
    case MU__LADDER_ASK:
        options->ask(options->ctx);
        break;
    case MU__LADDER_CLOSE:
        options->close(options->ctx);
        break;
    case MU__LADDER_TERM:
        (void)mu__child_signal(port->child, SIGTERM, MU__SCOPE_GROUP);
        (void)mu__child_signal(port->child, SIGCONT, MU__SCOPE_GROUP);
        break;
    case MU__LADDER_KILL:
        mu__port_kill(port);
        break;
    }
}

mu_err mu__port_stop(mu__port *port, const mu__port_stop_options *options)
{
    mu__ladder ladder;
    mu__graces graces = options->graces;
    if (!options->ask)
        graces.ask = 0;
    if (!options->close)
        graces.close = 0;
    if (mu__child_exited(port->child, NULL))
        return MU_OK;
    mu__ladder_action action = mu__ladder_begin(&ladder, &graces, mu__now(port->system));
    while (!mu__ladder_over(&ladder)) {
        act(port, options, action);
        mu_err err = mu__child_wait(port->child, ladder.deadline, NULL);
        if (err == MU_EKILLED) {
            mu__port_kill(port);
            return err;
        }
        action = mu__ladder_step(&ladder, err == MU_OK ? MU__LADDER_EXIT : MU__LADDER_TIME,
                                 mu__now(port->system));
    }
    return ladder.state == MU__LADDER_GONE ? MU_OK : MU_ETIMEOUT;
}

/* ---- in the I/O thread --------------------------------------------------------------------- */

static void emit_line(mu__port *port, mu__capture_stream stream, const mu__captured *line)
{
    if (!line->whole)
        return;
    MU__EMIT(mu__hook(port->system), "worker.output",
             MU__M({"generation", port->generation}, {"dropped", (int64_t)line->dropped}),
             MU__D({"worker", port->worker_id},
                   {"stream", stream == MU__CAPTURE_STDOUT ? "stdout" : "stderr"},
                   {"line", line->text}, {"pool", port->pool}));
}

static void take_in(tap *t, const char *bytes, size_t size)
{
    mu__port *port = t->port;
    mu__captured line;
    while (size > 0) {
        mu_lock_acquire(&port->lock);
        size_t used = mu__capture_feed(&port->capture, t->stream, bytes, size, &line);
        mu_lock_release(&port->lock);
        emit_line(port, t->stream, &line);
        bytes += used;
        size -= used;
    }
}

/* Reads what is there, `turns` times at most. False: the end of the stream. */
static bool read_output(tap *t, int turns)
{
    char bytes[READ_SIZE];
    for (int i = 0; i < turns; i++) {
        ssize_t n = t->port->sys->read(t->source.fd, bytes, sizeof bytes);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        if (n == 0)
            return false;
        take_in(t, bytes, (size_t)n);
    }
    return true;
}

static void end_output(tap *t)
{
    mu__port *port = t->port;
    mu__captured line;
    mu_lock_acquire(&port->lock);
    mu__capture_end(&port->capture, t->stream, &line);
    mu_lock_release(&port->lock);
    emit_line(port, t->stream, &line);
    close_tap(t);
}

static void on_output(mu__io_source *source, uint32_t events)
{
    tap *t = (tap *)source;
    if (events & MU__IO_GONE || !read_output(t, READS_A_TURN))
        end_output(t);
}

/* The name of the libc function is taken. */
static void on_exit_(void *ctx, const mu__exit *exit)
{
    mu__port *port = ctx;
    for (int s = 0; s < MU__CAPTURE_STREAMS; s++) {
        if (!port->taps[s].open)
            continue;
        if (mu__fd_is(port->taps[s].source.fd, &port->taps[s].id))
            (void)read_output(&port->taps[s], READS_AT_END);
        end_output(&port->taps[s]);
    }
    bool unexplained =
        exit->kind == MU__EXIT_SIGNAL && exit->status == SIGKILL && !atomic_load(&port->killed);
    bool likely =
        unexplained && !exit->oom_told && mu__oom_rose(port->oom_kills, mu__oom_kills(port->sys));
    mu_lock_acquire(&port->lock);
    port->end.exit = *exit;
    port->end.exit.oom |= likely;
    (void)mu__capture_tail(&port->capture, port->end.tail, sizeof port->end.tail);
    (void)mu__capture_trace(&port->capture, port->end.trace, sizeof port->end.trace);
    port->ended = true;
    void (*died)(void *, const mu__port_end *) = port->died;
    void *died_ctx = port->died_ctx;
    mu_lock_release(&port->lock);
    if (died)
        died(died_ctx, &port->end); /* final: nobody writes it after `ended` */
}

static void close_tap(tap *t)
{
    if (t->open)
        mu__io_remove(t->port->system, &t->source);
    t->open = false;
    mu__fd_close(&t->source.fd, &t->id);
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}
