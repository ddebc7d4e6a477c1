/*
 * A worker's actor (pool_impl.h): a gen_server that owns one process, one generation of one slot.
 *
 *     WAITING --(back-off over)--> STARTING --ready--> SERVING <--late answer-- DRAINING
 *        |                            |                  |  \--caller gone-->      |
 *        |                            |                  |                         | grace over
 *        +----------------------------+------------------+-------------------------+--> ended
 *
 * Its init returns at once, so that its supervisor is never held up by a slow start: the process is
 * started in handle_continue, its frames before ready arrive by way of the I/O thread, and whoever
 * awaits its readiness gets an answer to a call. While it serves it does nothing but run jobs. It
 * ends with its process, and the supervisor starts the next generation in the same slot.
 *
 * Called by the supervisor and by messages of table.c and the I/O thread; calls port and channel.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/dynamic_supervisor.h>
#include <muster/timer.h>

#include "base/event.h"
#include "pool/pool_impl.h"
#include "pool/speech.h"

typedef enum phase { WAITING, STARTING, SERVING, DRAINING } phase;

typedef struct worker {
    mu_pool *pool;
    mu__seat *seat;
    mu__slot *slot;
    mu_pid self;
    phase phase;
    uint32_t generation;
    mu__port *port;
    mu__channel *channel;
    mu__io_source watch; /* on the answers, while the actor owns the exchange */
    mu_timer timer;      /* start-up or grace */
    mu_timeline timeline;
    mu__speech speech; /* while it starts */
    bool retired;
    bool leaving;     /* it is stopped because it is not wanted any more */
    bool last;        /* its supervisor will not start it again */
    uint64_t drained; /* the request whose late answer is awaited */
    bool answered;    /* it has come */
    mu_from waiting;  /* who awaits readiness */
    bool has_waiting;
    bool awaits_fork; /* WAITING not for a back-off, but for the fork server */
    mu__child *lost;  /* the last fork server that could not make it; a reference, or NULL */
    int n_tried;
} worker;

enum { TAG_EXITED = 1000 /* data: mu__port_end */ };

/* ---- ends --------------------------------------------------------------------------------- */

/* The last lines of `tail` that fit into `room` bytes: why somebody died stands at the end. */
static const char *last_lines(const char *tail, size_t room)
{
    size_t length = strlen(tail);
    if (length <= room)
        return tail;
    const char *end = tail + length, *from = end - room;
    const char *newline = strchr(from - 1, '\n');
    if (newline && newline + 1 < end)
        return newline + 1;
    while (((unsigned char)*from & 0xC0) == 0x80) /* not from the middle of a character */
        from++;
    return from;
}

/* The generation is over: nobody gets its channel any more, and the slot says why. */
static mu_reason retire(worker *w, mu_err err, const char *what, const char *tail)
{
    static const char wrote[] = "; it wrote: ";
    char text[sizeof w->slot->info.reason];
    size_t used = strlen(what) + sizeof wrote;
    if (tail[0] && used + 1 < sizeof text)
        (void)snprintf(text, sizeof text, "%s%s%s", what, wrote,
                       last_lines(tail, sizeof text - used));
    else
        (void)snprintf(text, sizeof text, "%s", what);
    w->retired = true;
    (void)mu__slot_retire(w->slot, w->generation, err, text);
    MU__EMIT(mu__hook(w->pool->system), "worker.exit",
             MU__M({"generation", w->generation}, {"error", (int64_t)err}),
             MU__D({"pool", w->pool->name}, {"worker", w->slot->info.id}, {"reason", text}));
    return mu_reason_error(err, "%s: %s", w->slot->info.id, what);
}

/* Kills the process and ends the actor at once: the replacement need not wait for the death. */
static mu_next condemn(worker *w, mu_err err, const char *what)
{
    char tail[160] = "";
    if (w->port) {
        mu__port_kill(w->port);
        (void)mu__port_tail(w->port, tail, sizeof tail);
    }
    if (w->phase == STARTING && err != MU_EWARDEN)
        mu__breaker_start_failed(w->pool);
    return mu_stop(retire(w, err, what, tail));
}

static mu_next process_ended(worker *w, const mu__port_end *end)
{
    char how[MU__EXIT_TEXT], what[MU__EXIT_TEXT + 64];
    (void)mu__exit_text(&end->exit, how, sizeof how);
    bool early = w->phase == STARTING;
    (void)snprintf(what, sizeof what, "%s (pid %d)%s", how, end->exit.os_pid,
                   early ? " before it was ready" : "");
    if (early && !mu__exit_by_others(&end->exit))
        mu__breaker_start_failed(w->pool);
    mu_reason reason = retire(w, early ? MU_ESTART : MU_ECRASHED, what, end->tail);
    mu_restart_mode restart = w->pool->options.restart;
    bool by_itself = end->exit.kind == MU__EXIT_CODE && end->exit.status == 0;
    bool enough = restart == MU_POOL_TRANSIENT && by_itself && !early;
    return mu_stop(enough ? mu_reason_normal() : reason);
}

/* In the I/O thread. The caller that waits in an exchange hears at once, the actor by message. */
static void on_died(void *ctx, const mu__port_end *end)
{
    worker *w = ctx;
    mu__channel_bury(w->channel, end);
    mu__tell_actor(w->self, mu_message_copy(TAG_EXITED, end, sizeof *end)); /* it ends either way */
}

/* ---- watching the answers while the actor owns the exchange ------------------------------- */

/* In the I/O thread. A wake for which there is no memory must not be lost: it is tried again. */
static void on_readable(mu__io_source *source, uint32_t events)
{
    (void)events;
    worker *w = (worker *)((char *)source - offsetof(worker, watch));
    if (mu_send(w->self, mu_message_tag(MU__POOL_READABLE)) == MU_ENOMEM)
        (void)mu__io_modify(w->pool->system, source, EPOLLIN | EPOLLONESHOT);
}

static mu_err watch_answers(worker *w)
{
    if (w->watch.index)
        return mu__io_modify(w->pool->system, &w->watch, EPOLLIN | EPOLLONESHOT);
    w->watch.fd = mu__channel_response_fd(w->channel);
    w->watch.events = EPOLLIN | EPOLLONESHOT;
    w->watch.ready = on_readable;
    return mu__io_add(w->pool->system, &w->watch);
}

static void unwatch_answers(worker *w)
{
    mu__io_remove(w->pool->system, &w->watch);
}

/* Without its clock a worker could hang for ever: MU_ENOMEM has to end it. */
static mu_err start_clock(worker *w, int64_t ms, uint64_t tag)
{
    (void)mu_timer_cancel(w->pool->system, w->timer, NULL);
    return mu_start_timer(w->self, ms, mu_message_tag(tag), &w->timer);
}

static void stop_clock(worker *w)
{
    (void)mu_timer_cancel(w->pool->system, w->timer, NULL);
    w->timer = 0;
}

/* ---- what the worker says ----------------------------------------------------------------- */

/* In whatever thread owns the exchange, perhaps when the actor is gone: the slot is what lasts. */
static void on_notification(void *ctx, const mu__message *message)
{
    mu__speech_log(ctx, message);
}

static void on_stray(void *ctx)
{
    mu__pool_late_reply(((mu__slot *)ctx)->pool);
}

static bool handle_while_starting(void *arg, const mu__message *message)
{
    worker *w = arg;
    mu__speech_turn turn = mu__speech_hear(&w->speech, message, &w->timeline,
                                           mu__port_spawned_at(w->port), mu__now(w->pool->system));
    if (turn == MU__SPEECH_OTHER)
        mu__channel_dispatch(w->channel, message);
    return turn != MU__SPEECH_OVER;
}

static bool handle_while_draining(void *arg, const mu__message *message)
{
    worker *w = arg;
    if (message->kind == MU__MESSAGE_RESPONSE && message->id == w->drained) {
        w->answered = true;
        return false;
    }
    if (message->kind != MU__MESSAGE_ITEM)
        mu__channel_dispatch(w->channel, message);
    return true;
}

/* ---- phases ------------------------------------------------------------------------------- */

static void tell_waiting(worker *w)
{
    if (w->has_waiting)
        (void)mu_reply_to(w->waiting, mu_message_tag(MU__POOL_AWAIT_READY));
    w->has_waiting = false;
}

/* It is not wanted any more, and nobody else has the exchange: worker_terminate stops it. */
static mu_next leave(worker *w)
{
    w->leaving = w->retired = true; /* its slot has let it go already */
    return mu_stop(mu_reason_shutdown());
}

static mu_next become_ready(worker *w)
{
    stop_clock(w);
    unwatch_answers(w);
    w->phase = SERVING;
    if (!mu__slot_ready(w->slot, w->generation, w->channel, &w->timeline))
        return leave(w);
    MU__EMIT(mu__hook(w->pool->system), "worker.ready",
             MU__M({"total_ns", w->timeline.total}, {"generation", w->generation}),
             MU__D({"pool", w->pool->name}, {"worker", w->slot->info.id}));
    tell_waiting(w);
    return mu_noreply();
}

static mu_next become_serving_again(worker *w)
{
    stop_clock(w);
    unwatch_answers(w);
    w->phase = SERVING;
    mu__slot_resume(w->slot, w->channel);
    return mu_noreply();
}

static mu_next look_at_answers(worker *w)
{
    mu_error error = MU_ERROR_INIT;
    bool starting = w->phase == STARTING;
    if (w->phase != STARTING && w->phase != DRAINING)
        return mu_noreply(); /* an old wake */
    mu_err err = mu__channel_pump(
        w->channel, starting ? handle_while_starting : handle_while_draining, w, &error);
    if (starting && w->speech.ready)
        return become_ready(w);
    if (starting && w->speech.err != MU_OK)
        return condemn(w, w->speech.err, w->speech.what);
    if (w->answered)
        return become_serving_again(w);
    if (err == MU_EDOWN)
        return mu_noreply(); /* its death, or the clock, is next */
    if (err == MU_OK)
        err = watch_answers(w);
    mu_next next = mu_noreply();
    if (err != MU_OK)
        next = condemn(w, err, error.message[0] ? error.message : mu_strerror(err));
    mu_error_clear(&error);
    return next;
}

static mu_err open_channel(worker *w)
{
    mu__channel_ops ops = {on_notification, on_stray, w->slot};
    mu__port_pipes pipes;
    mu__port_take_pipes(w->port, &pipes);
    return mu__channel_new(mu__sys(w->pool->system), &pipes, mu__port_child(w->port),
                           w->pool->options.max_frame, &ops, &w->channel);
}

/* After so many attempts a start has failed; the next generation tries anew, after its back-off. */
enum { FORKS_TRIED = 3 };

/*
 * How long a fork server may take: far more than it needs, and far less than a whole start may, so
 * that one that hangs can be replaced in time.
 */
static int64_t fork_timeout_ms(const mu__type *type)
{
    int64_t whole = type->options.startup_timeout_ms, part = whole / 4 > 1000 ? whole / 4 : 1000;
    return part < whole ? part : whole;
}

/* It died, or hangs, with this worker in its hands: true if it, or the next one, is to be asked. */
static bool loses_server(worker *w, mu__child *server, mu_err err)
{
    if (!server || (err != MU_EDOWN && err != MU_ETIMEOUT))
        return false;
    mu__fork_server *keeper = w->pool->fork_server;
    if (err == MU_EDOWN ||
        mu__fork_server_suspect(keeper, server, fork_timeout_ms(w->slot->type))) {
        mu__child_unref(w->lost);
        w->lost = mu__child_ref(server);
    }
    return ++w->n_tried < FORKS_TRIED;
}

/* `server` forks it; NULL: it is exec'd. */
static mu_err open_process(worker *w, mu__child *server, mu_error *error)
{
    mu_pool *pool = w->pool;
    const mu__type *type = w->slot->type;
    int64_t ms = server ? fork_timeout_ms(type) : type->options.startup_timeout_ms;
    mu__port_spec spec = type->spec;
    spec.fork_server = server;
    mu_err err = mu__port_open(pool->system, &spec, w->slot->info.id, w->generation,
                               mu_deadline(mu__now(pool->system), ms), &w->port, error);
    if (err == MU_OK && server)
        mu__fork_server_worked(pool->fork_server);
    if (err == MU_OK)
        err = open_channel(w);
    if (err == MU_OK) {
        w->timeline.spawn = mu__port_spawned_at(w->port) - w->timeline.begun;
        mu__slot_spawned(w->slot, w->generation, mu__port_os_pid(w->port), w->timeline.spawn);
        mu__port_watch(w->port, on_died, w);
        err = watch_answers(w);
    }
    if (err == MU_OK)
        err = start_clock(w, type->options.startup_timeout_ms, MU__POOL_STARTUP_OVER);
    return err;
}

/* Comes back here by MU__POOL_SPAWN when there is no fork server now, but will be. */
static mu_next spawn_process(worker *w)
{
    mu_error error = MU_ERROR_INIT;
    mu__fork_why why;
    bool again;
    mu_err err;
    if (w->timeline.begun == 0)
        w->timeline.begun = mu__now(w->pool->system);
    do {
        mu__child *server;
        mu_error_clear(&error);
        mu__start_by by = mu__slot_start_by(w->seat, w->lost, &server, &why);
        w->awaits_fork = by == MU__NOT_YET;
        w->phase = w->awaits_fork ? WAITING : STARTING;
        if (by == MU__NOT_YET)
            return mu_noreply();
        if (by == MU__NOT_AT_ALL)
            return condemn(w, why.err, why.text);
        err = open_process(w, server, &error);
        again = loses_server(w, server, err);
        mu__child_unref(server);
    } while (again);
    mu_next next = mu_noreply();
    if (err != MU_OK)
        next = condemn(w, err, error.message[0] ? error.message : mu_strerror(err));
    mu_error_clear(&error);
    return next;
}

/* The caller of this request has gone: ask the worker to stop, wait a little, then replace it. */
static mu_next begin_drain(worker *w, uint64_t request_id)
{
    if (w->phase != SERVING)
        return mu_noreply();
    w->phase = DRAINING;
    w->drained = request_id;
    w->answered = false;
    mu__buffer frame;
    mu__buffer_init(&frame, mu__sys(w->pool->system), 256);
    mu_err err = mu__message_cancel(&frame, request_id);
    if (err == MU_OK)
        err = mu__channel_send(w->channel, &frame);
    mu__buffer_deinit(&frame);
    if (err == MU_OK || err == MU_EFULL)
        err = start_clock(w, w->pool->options.cancel_grace_ms, MU__POOL_GRACE_OVER);
    if (err != MU_OK)
        return condemn(w, err, mu_strerror(err));
    return look_at_answers(w);
}

/* Nobody else has the exchange until the check is over. */
static mu_next check_health(worker *w)
{
    char why[256];
    if (w->phase != SERVING)
        return mu_noreply();
    mu_err err = mu__health_check_run(w->slot, w->channel, why, sizeof why);
    return err == MU_OK ? mu_noreply() : condemn(w, err, why);
}

/* A stale clock's message is told by its timer. */
static mu_next clock_over(worker *w, const mu_timer_notice *notice)
{
    if (notice->timer != w->timer)
        return mu_noreply();
    char what[96];
    if (notice->message.tag == MU__POOL_SPAWN)
        return spawn_process(w);
    if (notice->message.tag == MU__POOL_STARTUP_OVER) {
        (void)snprintf(what, sizeof what, "it was not ready within %lld ms (startup_timeout_ms)",
                       (long long)w->slot->type->options.startup_timeout_ms);
        return condemn(w, MU_ESTART, what);
    }
    (void)snprintf(what, sizeof what, "it did not stop an overdue request within %lld ms",
                   (long long)w->pool->options.cancel_grace_ms);
    return condemn(w, MU_EEXEC_TIMEOUT, what);
}

/* ---- callbacks ---------------------------------------------------------------------------- */

static mu_init worker_init(void *arg)
{
    mu__seat *seat = arg;
    worker *w = calloc(1, sizeof *w);
    if (!w)
        return mu_init_error(mu_reason_error(MU_ENOMEM, NULL));
    w->pool = seat->slot->pool;
    w->seat = seat;
    w->slot = seat->slot;
    w->self = mu_self();
    int64_t wait_ns;
    if (!mu__slot_starting(seat, w->self, &w->generation, &wait_ns)) {
        free(w);
        return mu_init_ignore();
    }
    if (wait_ns == 0)
        return mu_init_ok_continue(w, mu_message_tag(MU__POOL_SPAWN));
    /* Without memory for the clock: at once, rather than never. */
    if (start_clock(w, (wait_ns + MU_MS - 1) / MU_MS, MU__POOL_SPAWN) != MU_OK)
        return mu_init_ok_continue(w, mu_message_tag(MU__POOL_SPAWN));
    return mu_init_ok(w);
}

static mu_next worker_continue(void *state, mu_message *message)
{
    (void)message;
    return spawn_process(state);
}

static mu_next worker_call(void *state, mu_message *request, mu_from from)
{
    worker *w = state;
    if (w->phase == SERVING || w->phase == DRAINING)
        return mu_reply(mu_message_tag(request->tag));
    w->waiting = from;
    w->has_waiting = true;
    return mu_noreply();
}

static mu_next worker_info(void *state, mu_message *message)
{
    worker *w = state;
    switch (message->tag) {
    case MU__POOL_READABLE:
        return look_at_answers(w);
    case MU__POOL_SPAWN: /* the fork server has settled; or it was the last generation's wait */
        return w->awaits_fork ? spawn_process(w) : mu_noreply();
    case MU__POOL_DRAIN:
        return begin_drain(w, *(const uint64_t *)message->data);
    case MU__POOL_CONDEMN:
        return condemn(w, MU_EPROTOCOL, ((const mu_reason *)message->data)->text);
    case MU__POOL_CHECK:
        return check_health(w);
    case MU__POOL_LEAVE:
        return leave(w);
    case MU__POOL_RUN_JOB:
        mu__job_run(mu_message_move(message).data);
        return mu_noreply();
    case TAG_EXITED:
        return process_ended(w, message->data);
    case MU_TAG_TIMER:
        return clock_over(w, message->data);
    default:
        return mu_noreply();
    }
}

static void ask_to_leave(void *ctx)
{
    worker *w = ctx;
    mu__buffer frame;
    mu__buffer_init(&frame, mu__sys(w->pool->system), 256);
    if (mu__message_shutdown(&frame, w->pool->options.shutdown_grace_ms / 2) == MU_OK)
        (void)mu__channel_send(w->channel, &frame);
    mu__buffer_deinit(&frame);
}

static void close_requests(void *ctx)
{
    worker *w = ctx;
    mu__channel_close_requests(w->channel);
}

/* An orderly stop climbs the ladder; whatever else ends the actor kills what is left. */
static void worker_terminate(void *state, const mu_reason *reason)
{
    worker *w = state;
    bool ours = w->leaving;
    if (!w->retired) {
        bool free_of_callers =
            mu__slot_retire(w->slot, w->generation, MU_ESHUTDOWN, "stopped by the pool");
        w->retired = true;
        ours = ours || free_of_callers;
    }
    w->last = reason->cls == MU_REASON_SHUTDOWN || reason->cls == MU_REASON_NORMAL;
    if (!w->port)
        return;
    if (reason->cls != MU_REASON_SHUTDOWN || !w->channel) {
        mu__port_kill(w->port);
        return;
    }
    mu__port_stop_options stop = {
        .graces = mu__graces_of(w->pool->options.shutdown_grace_ms),
        /* A caller who is still in an exchange owns the pipes: nobody writes or closes them. */
        .ask = ours ? ask_to_leave : NULL,
        .close = ours ? close_requests : NULL,
        .ctx = w,
    };
    (void)mu__port_stop(w->port, &stop);
}

static void worker_free(void *state)
{
    worker *w = state;
    mu__slot *slot = w->slot;
    mu__seat *seat = w->seat;
    uint32_t generation = w->generation;
    bool last = w->last || w->pool->options.restart == MU_POOL_TEMPORARY;
    stop_clock(w);
    if (!w->retired)
        (void)mu__slot_retire(slot, generation, MU_ECRASHED, MU__ACTOR_KILLED);
    unwatch_answers(w);
    mu__port_end lost = {.exit = {.kind = MU__EXIT_LOST}};
    if (w->port)
        lost.exit.os_pid = mu__port_os_pid(w->port);
    mu__port_free(&w->port);
    /* on_died comes no more: whoever is in an exchange still hears it here. */
    if (w->channel && !mu__channel_dead(w->channel))
        mu__channel_bury(w->channel, &lost);
    mu__channel_unref(w->channel);
    mu__child_unref(w->lost);
    free(w);
    mu__slot_stopped(seat, generation, last);
}

const mu_gen_server mu__worker_server = {
    .init = worker_init,
    .handle_call = worker_call,
    .handle_info = worker_info,
    .handle_continue = worker_continue,
    .terminate = worker_terminate,
    .free_state = worker_free,
};

mu_err mu__worker_add(mu__seat *seat, mu_pid *ret_pid, mu_reason *ret_reason)
{
    mu__slot *slot = seat->slot;
    mu_pool *pool = slot->pool;
    mu_gen_server_options options = MU_GEN_SERVER_OPTIONS_INIT;
    options.trap_exit = true;
    options.label = slot->info.id;
    mu_child_spec spec = MU_CHILD_SPEC_INIT;
    spec.server = &mu__worker_server;
    spec.server_options = &seat->server_options;
    seat->server_options = options;
    spec.arg = seat;
    /* One that leaves because it is not wanted exits with `shutdown`, and is left alone. */
    spec.restart = pool->options.restart == MU_POOL_TEMPORARY ? MU_TEMPORARY : MU_TRANSIENT;
    /* The ladder keeps its own time; this is for the case that it fails to. */
    spec.shutdown_ms = pool->options.shutdown_grace_ms + 3000;
    mu_lock_acquire(&pool->lock);
    mu_pid supervisor = pool->worker_supervisor;
    mu_lock_release(&pool->lock);
    mu_err err = mu_dynamic_supervisor_start_child(supervisor, &spec, ret_pid, ret_reason);
    if (err != MU_OK) {
        mu_lock_acquire(&pool->lock);
        seat->child = false;
        mu_lock_release(&pool->lock);
    }
    return err;
}
