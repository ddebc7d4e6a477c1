/*
 * The fork server's actor (port/fork_server.h). Started by the pool's supervisor, before the
 * workers'; calls port and channel. Its death would take the workers along (rest_for_one), so the
 * death of its process is not its own, and want of memory not either: the news of that death is
 * made beforehand, and a clock for which there is no memory is set a little later.
 */
#include "port/fork_server.h"

#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/timer.h>

#include "base/escape.h"
#include "base/event.h"
#include "base/lock.h"
#include "base/value.h"
#include "port/channel.h"
#include "runtime/actor.h"
#include "runtime/io.h"
#include "runtime/runtime.h"

enum {
    TAG_LAUNCH = 1,
    TAG_READABLE,
    TAG_STARTUP_OVER,
    TAG_EXITED,
};

/* A process that served for so long has earned a start without a pause. */
#define PROVEN_NS      MU_SECOND
#define PAUSE_FIRST_MS 50
#define PAUSE_MOST_MS  5000
#define MEMORY_MS      10 /* before a clock is set for which there was no memory */
#define TEXT_MAX       sizeof((mu__fork_why *)0)->text

struct mu__fork_server {
    mu_system *system;
    mu__fork_server_options options;
    uint32_t generation; /* the actor's */

    mu_lock lock;
    mu__fork_state state MU_GUARDED_BY(lock);
    bool was_ready MU_GUARDED_BY(lock);
    mu__child *child MU_GUARDED_BY(lock);  /* READY: a reference; else NULL */
    int64_t worked_at MU_GUARDED_BY(lock); /* when it last forked */
    int64_t hung_ms MU_GUARDED_BY(lock);   /* READY: what it was killed for not doing it in; or 0 */
    mu__fork_why why MU_GUARDED_BY(lock);
};

typedef struct keeper {
    mu__fork_server *server;
    mu_pid self;
    mu__port *port; /* NULL: a pause, or off */
    mu__channel *channel;
    mu__io_source watch;
    mu__node *obituary; /* of the process; NULL: it is on its way, or there is no process */
    mu_timer timer;
    int64_t pause_ms; /* before the next start */
    int64_t begun, ready_at;
    bool ready;
    char module[96];     /* that is being imported */
    char said[TEXT_MAX]; /* why it cannot serve, in its own words */
} keeper;

/* ---- the state that others see -------------------------------------------------------------- */

mu__fork_server *mu__fork_server_new(mu_system *system, const mu__fork_server_options *options)
{
    mu__fork_server *server = mu__sys(system)->alloc(sizeof *server);
    if (!server)
        return NULL;
    server->system = system;
    server->options = *options;
    mu_lock_init(&server->lock);
    return server;
}

void mu__fork_server_free(mu__fork_server *server)
{
    if (!server)
        return;
    mu_lock_acquire(&server->lock);
    mu__child *child = server->child;
    mu_lock_release(&server->lock);
    mu__child_unref(child);
    mu_lock_deinit(&server->lock);
    free(server);
}

mu__fork_state mu__fork_server_take(mu__fork_server *server, const mu__child *lost,
                                    mu__child **ret_child, mu__fork_why *ret_why)
{
    mu_lock_acquire(&server->lock);
    mu__fork_state state = server->state;
    if (state == MU__FORK_READY && server->child == lost)
        state = MU__FORK_STARTING; /* its death is on its way to the actor */
    else if (state == MU__FORK_READY)
        *ret_child = mu__child_ref(server->child);
    *ret_why = server->why;
    mu_lock_release(&server->lock);
    return state;
}

void mu__fork_server_worked(mu__fork_server *server)
{
    int64_t now = mu__now(server->system);
    mu_lock_acquire(&server->lock);
    server->worked_at = now;
    mu_lock_release(&server->lock);
}

/* Under load the last of many forks may take long; what tells that from hanging are the others. */
bool mu__fork_server_suspect(mu__fork_server *server, mu__child *child, int64_t waited_ms)
{
    int64_t since = mu__now(server->system) - waited_ms * MU_MS;
    mu_lock_acquire(&server->lock);
    bool hangs = server->worked_at < since;
    if (hangs && server->child == child)
        server->hung_ms = waited_ms;
    mu_lock_release(&server->lock);
    if (hangs)
        (void)mu__child_signal(child, SIGKILL, MU__SCOPE_TREE);
    return hangs;
}

static void set_state(mu__fork_server *server, mu__fork_state state, mu__child *child,
                      const mu__fork_why *why)
{
    mu_lock_acquire(&server->lock);
    mu__child *old = server->child;
    bool give_up = state == MU__FORK_FAILED && server->options.give_up && !server->was_ready;
    server->state = give_up ? MU__FORK_OFF : state;
    server->child = child ? mu__child_ref(child) : NULL;
    server->was_ready |= state == MU__FORK_READY;
    server->hung_ms = 0;
    if (why)
        server->why = *why;
    mu_lock_release(&server->lock);
    mu__child_unref(old);
}

static bool is_off(mu__fork_server *server)
{
    mu_lock_acquire(&server->lock);
    bool off = server->state == MU__FORK_OFF;
    mu_lock_release(&server->lock);
    return off;
}

/* ---- ends ---------------------------------------------------------------------------------- */

/* In the I/O thread. */
static void on_died(void *ctx, const mu__port_end *end)
{
    keeper *k = ctx;
    (void)end; /* the port knows it */
    mu__node *obituary = k->obituary;
    k->obituary = NULL;
    mu__tell_node(k->self, obituary);
}

static void stop_clock(keeper *k)
{
    (void)mu_timer_cancel(k->server->system, k->timer, NULL);
    k->timer = 0;
}

static mu_err start_clock(keeper *k, int64_t ms, uint64_t tag)
{
    stop_clock(k);
    return mu_start_timer(k->self, ms, mu_message_tag(tag), &k->timer);
}

static void let_go(keeper *k)
{
    mu__io_remove(k->server->system, &k->watch);
    memset(&k->watch, 0, sizeof k->watch);
    mu__port_free(&k->port);
    mu__node_free(k->obituary);
    k->obituary = NULL;
    mu__channel_unref(k->channel);
    k->channel = NULL;
    k->ready = false;
}

/* This process serves no more: whoever waits hears why, and the next is started, now or later. */
static mu_next over(keeper *k, mu_err err, const char *what)
{
    mu__fork_server *server = k->server;
    mu__fork_why why = {.err = err};
    bool proven = k->ready && mu__now(server->system) - k->ready_at >= PROVEN_NS;
    bool served = k->ready;
    if (k->said[0] || !k->module[0] || served)
        (void)snprintf(why.text, sizeof why.text, "the fork server: %s",
                       k->said[0] ? k->said : what);
    else
        (void)snprintf(why.text, sizeof why.text, "the fork server: %s; it was importing %s", what,
                       k->module);
    let_go(k);
    k->pause_ms = proven ? 0 : k->pause_ms == 0 ? PAUSE_FIRST_MS : 2 * k->pause_ms;
    if (k->pause_ms > PAUSE_MOST_MS)
        k->pause_ms = PAUSE_MOST_MS;
    /* One that has served is missed: workers wait for the next rather than hear of the death. */
    bool missed = served && !k->said[0];
    set_state(server, missed ? MU__FORK_STARTING : MU__FORK_FAILED, NULL, &why);
    stop_clock(k);
    bool off = is_off(server);
    MU__EMIT(mu__hook(server->system), "fork_server.exit",
             MU__M({"pause_ms", k->pause_ms}, {"given_up", off}),
             MU__D({"pool", server->options.pool}, {"reason", why.text}));
    if (!missed)
        server->options.settled(server->options.ctx);
    if (off)
        return mu_noreply();
    while (start_clock(k, k->pause_ms, TAG_LAUNCH) == MU_ENOMEM)
        if (mu_sleep(MEMORY_MS) != MU_OK)
            break; /* it has been killed */
    return mu_noreply();
}

static mu_next process_ended(keeper *k, const mu__port_end *end)
{
    char how[MU__EXIT_TEXT], what[TEXT_MAX];
    mu_lock_acquire(&k->server->lock);
    int64_t hung_ms = k->server->hung_ms;
    mu_lock_release(&k->server->lock);
    if (hung_ms > 0)
        (void)snprintf(how, sizeof how, "killed, as it did not fork within %lld ms",
                       (long long)hung_ms);
    else
        (void)mu__exit_text(&end->exit, how, sizeof how);
    (void)snprintf(what, sizeof what, "%s (pid %d)%s%s%.200s", how, end->exit.os_pid,
                   k->ready ? "" : " before it was ready", end->tail[0] ? "; it wrote: " : "",
                   end->tail);
    return over(k, MU_ESTART, what);
}

/* ---- what it says -------------------------------------------------------------------------- */

static void text_at(const mu_value *body, const char *path, char *buffer, size_t size)
{
    const char *text;
    size_t length;
    buffer[0] = '\0';
    if (mu_value_get_str(body, path, &text, &length, NULL) == MU_OK)
        (void)mu__escape(buffer, size, text, length, MU__ESCAPE_LINE);
}

typedef struct look {
    keeper *k;
    bool ready;
} look;

static bool handle(void *arg, const mu__message *message)
{
    look *l = arg;
    keeper *k = l->k;
    mu_value body = mu__value_lend(message->body.data, message->body.size);
    if (message->kind != MU__MESSAGE_NOTIFICATION)
        return true;
    if (mu__message_is(message, "preload")) {
        text_at(&body, "module", k->module, sizeof k->module);
    } else if (mu__message_is(message, "start_failed")) {
        char type[64], text[320];
        text_at(&body, "type", type, sizeof type);
        text_at(&body, "message", text, sizeof text);
        (void)snprintf(k->said, sizeof k->said, "%s%s%s: %s",
                       k->module[0] && !k->ready ? k->module : "",
                       k->module[0] && !k->ready ? ": " : "", type, text);
        return false;
    } else if (mu__message_is(message, "ready")) {
        l->ready = true;
    }
    return true;
}

/* In the I/O thread. A wake for which there is no memory must not be lost: it is tried again. */
static void on_readable(mu__io_source *source, uint32_t events)
{
    (void)events;
    keeper *k = (keeper *)(void *)((char *)source - offsetof(keeper, watch));
    if (mu_send(k->self, mu_message_tag(TAG_READABLE)) == MU_ENOMEM)
        (void)mu__io_modify(k->server->system, source, EPOLLIN | EPOLLONESHOT);
}

static mu_err watch(keeper *k)
{
    if (k->watch.index)
        return mu__io_modify(k->server->system, &k->watch, EPOLLIN | EPOLLONESHOT);
    k->watch.fd = mu__channel_response_fd(k->channel);
    k->watch.events = EPOLLIN | EPOLLONESHOT;
    k->watch.ready = on_readable;
    return mu__io_add(k->server->system, &k->watch);
}

static mu_next become_ready(keeper *k)
{
    mu__fork_server *server = k->server;
    stop_clock(k);
    k->ready = true;
    k->ready_at = mu__now(server->system);
    MU__EMIT(mu__hook(server->system), "fork_server.ready",
             MU__M({"total_ns", k->ready_at - k->begun}, {"os_pid", mu__port_os_pid(k->port)}),
             MU__D({"pool", server->options.pool}));
    set_state(server, MU__FORK_READY, mu__port_child(k->port), NULL);
    server->options.settled(server->options.ctx);
    return mu_noreply();
}

static mu_next listen_to_it(keeper *k)
{
    look l = {k, false};
    mu_error error = MU_ERROR_INIT;
    if (!k->port)
        return mu_noreply(); /* an old wake */
    mu_err err = mu__channel_pump(k->channel, handle, &l, &error);
    mu_next next = mu_noreply();
    if (k->said[0])
        next = over(k, MU_ESTART, k->said);
    else if (err != MU_OK && err != MU_EDOWN) /* down: its death is next */
        next = over(k, err, error.message[0] ? error.message : mu_strerror(err));
    else if (err == MU_OK && watch(k) != MU_OK)
        next = over(k, MU_ENOMEM, "its answers cannot be watched");
    else if (l.ready && !k->ready)
        next = become_ready(k);
    mu_error_clear(&error);
    return next;
}

/* ---- starting ------------------------------------------------------------------------------ */

static void no_notification(void *ctx, const mu__message *message)
{
    (void)ctx;
    (void)message;
}

static void no_stray(void *ctx)
{
    (void)ctx;
}

static mu_err open_channel(keeper *k)
{
    const mu__channel_ops ops = {.notification = no_notification, .stray = no_stray};
    mu__port_pipes pipes;
    mu__port_take_pipes(k->port, &pipes);
    return mu__channel_new(mu__sys(k->server->system), &pipes, mu__port_child(k->port),
                           MU__FRAME_MAX_DEFAULT, &ops, &k->channel);
}

static mu_next launch(keeper *k)
{
    mu__fork_server *server = k->server;
    const mu__fork_server_options *o = &server->options;
    mu_error error = MU_ERROR_INIT;
    k->module[0] = k->said[0] = '\0';
    k->begun = mu__now(server->system);
    int64_t deadline = mu_deadline(k->begun, o->startup_timeout_ms);
    mu_err err = mu__port_open(server->system, o->spec, "fork_server", ++server->generation,
                               deadline, &k->port, &error);
    if (err == MU_OK)
        err = open_channel(k);
    if (err == MU_OK)
        err = watch(k);
    if (err == MU_OK)
        err = start_clock(k, o->startup_timeout_ms, TAG_STARTUP_OVER);
    if (err == MU_OK)
        k->obituary = mu__node_new(MU__KIND_MESSAGE, k->self.generation, mu_message_tag(TAG_EXITED),
                                   (mu__reply_to){NULL, 0});
    if (err == MU_OK && !k->obituary)
        err = MU_ENOMEM;
    mu_next next = mu_noreply();
    if (err != MU_OK)
        next = over(k, err, error.message[0] ? error.message : mu_strerror(err));
    else
        mu__port_watch(k->port, on_died, k);
    mu_error_clear(&error);
    return next;
}

static mu_next clock_over(keeper *k, const mu_timer_notice *notice)
{
    char what[96];
    if (notice->timer != k->timer)
        return mu_noreply();
    if (notice->message.tag == TAG_LAUNCH) {
        set_state(k->server, MU__FORK_STARTING, NULL, NULL);
        return launch(k);
    }
    (void)snprintf(what, sizeof what, "it was not ready within %lld ms (startup_timeout_ms)",
                   (long long)k->server->options.startup_timeout_ms);
    return over(k, MU_ESTART, what);
}

/* ---- callbacks ----------------------------------------------------------------------------- */

static mu_init keeper_init(void *arg)
{
    keeper *k = calloc(1, sizeof *k);
    if (!k)
        return mu_init_error(mu_reason_error(MU_ENOMEM, NULL));
    k->server = arg;
    k->self = mu_self();
    k->server->options.enter(k->server->options.ctx);
    return mu_init_ok_continue(k, mu_message_tag(TAG_LAUNCH));
}

static mu_next keeper_continue(void *state, mu_message *message)
{
    (void)message;
    keeper *k = state;
    return is_off(k->server) ? mu_noreply() : launch(k);
}

static mu_next keeper_info(void *state, mu_message *message)
{
    keeper *k = state;
    switch (message->tag) {
    case TAG_READABLE:
        return listen_to_it(k);
    case TAG_EXITED: {
        mu__port_end end;
        if (!k->port || !mu__port_ended(k->port, &end))
            return mu_noreply();        /* of one that was given up before it died */
        mu_next next = listen_to_it(k); /* its last words say more than its end */
        return k->port ? process_ended(k, &end) : next;
    }
    case MU_TAG_TIMER:
        return clock_over(k, message->data);
    default:
        return mu_noreply();
    }
}

static void ask_to_leave(void *ctx)
{
    keeper *k = ctx;
    mu__buffer frame;
    mu__buffer_init(&frame, mu__sys(k->server->system), 256);
    if (mu__message_shutdown(&frame, k->server->options.shutdown_grace_ms / 2) == MU_OK)
        (void)mu__channel_send(k->channel, &frame);
    mu__buffer_deinit(&frame);
}

static void keeper_terminate(void *state, const mu_reason *reason)
{
    keeper *k = state;
    if (!k->port || reason->cls != MU_REASON_SHUTDOWN || !k->ready)
        return; /* keeper_free kills what there is */
    const mu__port_stop_options stop = {
        .graces = mu__graces_of(k->server->options.shutdown_grace_ms),
        .ask = ask_to_leave,
        .ctx = k,
    };
    (void)mu__port_stop(k->port, &stop);
}

static void keeper_free(void *state)
{
    keeper *k = state;
    mu__fork_server *server = k->server;
    mu_lock_acquire(&server->lock);
    mu__child *child = server->child;
    if (server->state != MU__FORK_OFF)
        server->state = MU__FORK_STARTING; /* the next actor's */
    server->child = NULL;
    mu_lock_release(&server->lock);
    mu__child_unref(child);
    stop_clock(k);
    let_go(k);
    free(k);
    server->options.leave(server->options.ctx);
}

const mu_gen_server mu__fork_server_actor = {
    .init = keeper_init,
    .handle_info = keeper_info,
    .handle_continue = keeper_continue,
    .terminate = keeper_terminate,
    .free_state = keeper_free,
};
