/* What the host may ask (warden/requests.h). Called by main.c; calls spawn.c, forks.c,
 * cleanup.c. */
#include "warden/requests.h"

#include "base/child.h"
#include "warden/cleanup.h"
#include "warden/spawn.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void hello(warden *w, const packet *p);
static void spawn(warden *w, const packet *p);
static void send_signal(warden *w, const packet *p);
static void stop(warden *w, const packet *p);
static void done(warden *w, const packet *p, int error, size_t count);

void request_handle(warden *w, const packet *p)
{
    if (p->header.op == MU__WP_HELLO)
        hello(w, p);
    else if (!w->greeted)
        done(w, p, EPROTO, 0);
    else if (p->header.op == MU__WP_SPAWN)
        spawn(w, p);
    else if (p->error)
        done(w, p, p->error, 0);
    else if (p->header.op == MU__WP_SIGNAL)
        send_signal(w, p);
    else if (p->header.op == MU__WP_STOP)
        stop(w, p);
    else if (p->header.op == MU__WP_PING)
        done(w, p, 0, 0);
    else
        done(w, p, ENOSYS, 0);
}

/* Both versions are told, so that the host can name them; the run id must be the one in argv. */
static void hello(warden *w, const packet *p)
{
    mu__wp_hello asked = {0};
    mu__wp_hello answer = {MU__WP_VERSION, (uint32_t)getpid(), EPROTO, w->run_id};
    uint8_t data[MU__WP_SMALL];
    bool understood =
        !p->error && mu__wp_decode_hello(p->body, p->header.body_size, &asked) == MU_OK;
    if (understood && asked.version == MU__WP_VERSION && strcmp(asked.run_id, w->run_id) == 0) {
        w->greeted = true;
        answer.error = 0;
    }
    w->leaving = !w->greeted;
    size_t size = mu__wp_encode_hello(MU__WP_WELCOME, &answer, data, sizeof data);
    host_answer(&w->host, data, size, -1);
}

/* Makes one child, a fork server's socket included. */
static void spawn_here(warden *w, mu__wp_spawn *spec, const packet *p, mu__wp_spawned *result,
                       int *ret_pidfd)
{
    int passed[MU__WP_FDS_MAX + 1], sockets[2];
    bool server = spec->flags & MU__SPAWN_FORK_SERVER;
    memcpy(passed, p->fds, p->n_fds * sizeof *passed);
    if (server) {
        bool room = spec->n_fds < MU__WP_FDS_MAX &&
                    (spec->n_fds == 0 || spec->fds[spec->n_fds - 1].target < MU__FORK_SERVER_FD);
        result->error = room ? forks_make_sockets(&w->forks, sockets) : EBADMSG;
        result->step = MU__STEP_FORK;
        if (result->error)
            return;
        passed[p->n_fds] = sockets[1];
        spec->fds[spec->n_fds++] = (mu__wp_fd){MU__FORK_SERVER_FD, (int32_t)p->n_fds};
    }
    spawn_child(&w->children, spec, passed, result, ret_pidfd);
    if (!server)
        return;
    (void)close(sockets[1]);
    if (result->error)
        (void)close(sockets[0]);
    else
        forks_add_server(&w->forks, result->pid, result->start, sockets[0]);
}

/* A fork server's answer comes later, everybody else's at once. */
static void spawn(warden *w, const packet *p)
{
    mu__wp_spawned result = {.error = p->error, .step = MU__STEP_REQUEST};
    uint8_t data[MU__WP_SMALL];
    int pidfd = -1;
    char **vector = NULL;
    if (!p->error) {
        vector = malloc(mu__wp_vector_size(p->header.body_size) * sizeof *vector);
        result.error = vector ? EBADMSG : ENOMEM;
    }
    mu__wp_spawn spec;
    bool asked = false;
    if (vector &&
        mu__wp_decode_spawn(p->body, p->header.body_size, p->n_fds, vector, &spec) == MU_OK) {
        if (spec.server_pid == 0) {
            spawn_here(w, &spec, p, &result, &pidfd);
        } else {
            result.error = forks_ask(&w->forks, p->header.request, &spec, p->body,
                                     p->header.body_size, p->fds);
            result.step = result.error == EAGAIN ? MU__STEP_CLONE : MU__STEP_FORK;
            asked = result.error == 0;
        }
    }
    free(vector);
    if (asked)
        return;
    size_t size = mu__wp_encode_spawned(p->header.request, &result, data, sizeof data);
    host_answer(&w->host, data, size, pidfd);
}

void request_forked(warden *w, fork_request *done)
{
    uint8_t data[MU__WP_SMALL];
    size_t size = mu__wp_encode_spawned(done->request, &done->result, data, sizeof data);
    host_answer(&w->host, data, size, done->pidfd);
    done->pidfd = -1;
    forks_drop(&w->forks, done);
}

/* A running child is unreaped, so its pid and its group's number are its own: no race here. */
static void send_signal(warden *w, const packet *p)
{
    mu__wp_signal ask;
    if (mu__wp_decode_signal(p->body, p->header.body_size, &ask) != MU_OK) {
        done(w, p, EBADMSG, 0);
        return;
    }
    const child *target = children_find(&w->children, ask.pid, ask.start);
    if (!target)
        done(w, p, ESRCH, 0);
    else if (ask.scope == MU__SCOPE_TREE)
        done(w, p, 0, cleanup_tree(target, ask.signal));
    else if (kill(ask.scope == MU__SCOPE_GROUP ? -ask.pid : ask.pid, ask.signal) == 0)
        done(w, p, 0, 1);
    else
        done(w, p, errno, 0);
}

/* Only noted: leaving is main's, and the answer comes last of all. */
static void stop(warden *w, const packet *p)
{
    w->leaving = true;
    w->stop_request = p->header.request;
}

void request_stopped(warden *w)
{
    const mu__wp_done answer = {0, 0};
    uint8_t data[MU__WP_SMALL];
    size_t size = mu__wp_encode_done(w->stop_request, &answer, data, sizeof data);
    host_answer(&w->host, data, size, -1);
    w->stop_request = 0;
}

static void done(warden *w, const packet *p, int error, size_t count)
{
    const mu__wp_done answer = {error, (uint32_t)count};
    uint8_t data[MU__WP_SMALL];
    size_t size = mu__wp_encode_done(p->header.request, &answer, data, sizeof data);
    host_answer(&w->host, data, size, -1);
}
