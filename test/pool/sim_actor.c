/*
 * Actors, supervisors, calls and timers of a simulated world (sim.h): as much of the runtime's
 * contract as a pool uses. There is one tree: the pool's supervisor, and below it manager and
 * workers. A killed actor is dead for everybody else at once and finds out itself later.
 */
#include <muster/dynamic_supervisor.h>
#include <muster/supervisor.h>
#include <muster/timer.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "pool/sim.h"
#include "port/warden.h"
#include "runtime/actor.h"

enum { ACTORS_MOST = 4096, TIMERS_MOST = 512 };

typedef struct call {
    const sim_actor *callee;
    bool answered;
} call;

typedef struct envelope {
    struct envelope *next;
    enum { MESSAGE, CALL, EXIT } kind;
    mu_message message;
    mu_from from;
} envelope;

struct sim_actor {
    mu_pid pid;
    const mu_gen_server *server; /* NULL: `body` */
    void (*body)(void *arg);
    void (*destroy)(void *arg);
    void *arg, *state;
    envelope *first, **last;
    bool begun, running; /* init has returned; it has succeeded */
    bool told;           /* to exit, and it does not trap that */
    bool dead;           /* for everybody else */
    bool over;           /* its thread has ended */
    bool supervised, traps;
    mu_restart restart;
    int64_t shutdown_ms;
    mu_reason reason;
    int bell;
};

typedef struct timer {
    sim_event event;
    mu_timer id;
    mu_pid pid;
    mu_message message;
} timer;

static sim_actor *actors[ACTORS_MOST];
static uint32_t n_actors;
static timer timers[TIMERS_MOST];
static mu_timer last_timer;
static mu_pid tree, root;
static bool tree_ends;
static mu__death_hook *tree_hook, *somebodys_hooks;

/* ---- life --------------------------------------------------------------------------------- */

static sim_actor *actor_of(mu_pid pid)
{
    return pid.generation == 0 || pid.slot >= n_actors ? NULL : actors[pid.slot];
}

static sim_actor *actor_new(void)
{
    sim_actor *a = calloc(1, sizeof *a);
    if (!a || n_actors == ACTORS_MOST)
        abort();
    a->pid = (mu_pid){sim_system(), n_actors, 1};
    a->last = &a->first;
    a->bell = -1;
    actors[n_actors++] = a;
    return a;
}

bool sim_told(const sim_actor *actor)
{
    return actor->told;
}

static void close_mailbox(sim_actor *a)
{
    while (a->first) {
        envelope *e = a->first;
        a->first = e->next;
        mu_message_clear(&e->message);
        free(e);
    }
    a->last = &a->first;
}

static void actor_start(sim_actor *a);

/* It is dead for everybody, and its supervisor hears of it. */
static void publish(sim_actor *a, mu_reason reason)
{
    if (a->dead)
        return;
    a->dead = true;
    a->reason = reason;
    close_mailbox(a);
    bool quiet = reason.cls == MU_REASON_NORMAL || reason.cls == MU_REASON_SHUTDOWN;
    if (!a->supervised || !a->running || tree_ends || a->restart == MU_TEMPORARY ||
        (a->restart == MU_TRANSIENT && quiet))
        return;
    sim_actor *heir = actor_new();
    heir->server = a->server;
    heir->arg = a->arg;
    heir->supervised = true;
    heir->traps = a->traps;
    heir->restart = a->restart;
    heir->shutdown_ms = a->shutdown_ms;
    actor_start(heir);
}

static void post(sim_actor *a, int kind, mu_message message, mu_from from)
{
    if (!a || a->dead) {
        mu_message_clear(&message);
        return;
    }
    envelope *e = calloc(1, sizeof *e);
    if (!e)
        abort();
    e->kind = kind;
    e->message = message;
    e->from = from;
    *a->last = e;
    a->last = &e->next;
}

static void tell_to_exit(sim_actor *a, mu_reason reason)
{
    if (!a || a->dead || a->told)
        return;
    if (a->traps && reason.cls != MU_REASON_KILL) {
        a->reason = reason;
        post(a, EXIT, mu_message_tag(0), (mu_from){NULL, 0});
        return;
    }
    a->told = true;
    if (a->bell >= 0) {
        uint64_t one = 1;
        ssize_t n = write(a->bell, &one, sizeof one);
        (void)n;
        sim_fds_changed();
    }
    publish(a, reason);
}

static bool has_news(void *arg)
{
    const sim_actor *a = arg;
    return a->first || a->told;
}

static mu_next handle(sim_actor *a, envelope *e)
{
    if (e->kind == EXIT)
        return mu_stop(a->reason);
    if (e->kind == CALL) {
        mu_next next = a->server->handle_call(a->state, &e->message, e->from);
        if (next.action == MU_NEXT_REPLY)
            (void)mu_reply_to(e->from, next.reply);
        return next;
    }
    return a->server->handle_info(a->state, &e->message);
}

/* Until it is told to exit or stops by itself; then next.reason is why. */
static mu_next loop(sim_actor *a, mu_next next)
{
    while (next.action != MU_NEXT_STOP && !a->told) {
        if (!a->first) {
            sim_sleep(has_news, a, MU_NEVER);
            continue;
        }
        envelope *e = a->first;
        a->first = e->next;
        if (!a->first)
            a->last = &a->first;
        next = handle(a, e);
        mu_message_clear(&e->message);
        free(e);
    }
    return next;
}

static void serve(sim_actor *a)
{
    mu_init init = a->server->init(a->arg);
    a->running = init.action == MU_INIT_OK;
    a->begun = true;
    a->reason = init.reason;
    if (!a->running) {
        publish(a, mu_reason_normal());
        return;
    }
    a->state = init.state;
    mu_next next = mu_noreply();
    if (init.has_next && !a->told) {
        next = a->server->handle_continue(a->state, &init.next);
        mu_message_clear(&init.next);
    }
    next = loop(a, next);
    if (!a->told && a->server->terminate)
        a->server->terminate(a->state, &next.reason);
    if (a->server->free_state)
        a->server->free_state(a->state);
    publish(a, next.reason);
}

static void actor_main(void *arg)
{
    sim_actor *a = arg;
    if (a->server)
        serve(a);
    else
        a->body(a->arg);
    publish(a, mu_reason_normal());
    if (a->destroy)
        a->destroy(a->arg);
    a->begun = a->over = true;
}

static void actor_start(sim_actor *a)
{
    sim_thread_of(a, actor_main, a);
}

mu_pid sim_spawn(void (*body)(void *arg), void *arg)
{
    sim_actor *a = actor_new();
    a->body = body;
    a->arg = arg;
    a->begun = a->running = true;
    actor_start(a);
    return a->pid;
}

static bool is_begun(void *arg)
{
    const sim_actor *a = arg;
    return a->begun || a->dead;
}

/* The starter waits until its init has returned. */
static mu_err start_server(sim_actor *a, mu_pid *ret_pid, mu_reason *ret_reason)
{
    actor_start(a);
    sim_sleep(is_begun, a, MU_NEVER);
    *ret_pid = a->pid;
    if (a->running || a->told)
        return MU_OK;
    if (ret_reason)
        *ret_reason = a->reason;
    return a->reason.cls == MU_REASON_NORMAL ? MU_EIGNORE : MU_EINIT;
}

bool sim_kill_worker_actor(void)
{
    if (n_actors == 0)
        return false;
    sim_actor *a = actors[sim_roll((int)n_actors)];
    if (!a->supervised || !a->running || a->dead)
        return false;
    tell_to_exit(a, mu_reason_kill());
    return true;
}

void sim_actors_begin(void)
{
    tree = root = MU_PID_NONE;
    tree_ends = false;
    tree_hook = NULL;
}

void sim_actors_end(void)
{
    for (int i = 0; i < TIMERS_MOST; i++) {
        mu_message_clear(&timers[i].message);
        timers[i] = (timer){.id = 0};
    }
    for (uint32_t i = 0; i < n_actors; i++) {
        close_mailbox(actors[i]);
        free(actors[i]);
    }
    n_actors = 0;
}

/* ---- what the pool calls: actors ---------------------------------------------------------- */

mu_pid __wrap_mu_self(void);
mu_pid __wrap_mu_self(void)
{
    const sim_actor *self = sim_self();
    return self ? self->pid : MU_PID_NONE;
}

mu_err __wrap_mu_checkpoint(void);
mu_err __wrap_mu_checkpoint(void)
{
    const sim_actor *self = sim_self();
    return self && self->told ? MU_EKILLED : MU_OK;
}

mu_err __wrap_mu__set_bell(int fd);
mu_err __wrap_mu__set_bell(int fd)
{
    sim_actor *self = sim_self();
    if (!self)
        return MU_OK;
    self->bell = fd;
    return fd >= 0 && self->told ? MU_EKILLED : MU_OK;
}

mu_err __wrap_mu__tell(mu_pid pid, mu_message message);
mu_err __wrap_mu__tell(mu_pid pid, mu_message message)
{
    post(actor_of(pid), MESSAGE, message, (mu_from){NULL, 0});
    return MU_OK;
}

mu_err __wrap_mu_send(mu_pid pid, mu_message message);
mu_err __wrap_mu_send(mu_pid pid, mu_message message)
{
    const sim_actor *self = sim_self();
    if (self && self->told) {
        mu_message_clear(&message);
        return MU_EKILLED;
    }
    return __wrap_mu__tell(pid, message);
}

void __wrap_mu__tell_node(mu_pid pid, mu__node *take_node);
void __wrap_mu__tell_node(mu_pid pid, mu__node *take_node)
{
    const mu_job_done *done = take_node->message.data;
    (void)pid;
    sim_watcher->told(take_node->message.tag, done->err, &done->result);
    mu__node_free(take_node);
}

void __wrap_mu__kill(mu_pid pid);
void __wrap_mu__kill(mu_pid pid)
{
    mu_reason kill = mu_reason_kill();
    (void)mu_exit_signal(pid, &kill);
}

mu_err __wrap_mu_exit_signal(mu_pid pid, const mu_reason *reason);
mu_err __wrap_mu_exit_signal(mu_pid pid, const mu_reason *reason)
{
    tell_to_exit(actor_of(pid), *reason);
    return MU_OK;
}

bool __wrap_mu__catch_exit(void (*fn)(void *arg), void *arg, mu_reason *ret_reason);
bool __wrap_mu__catch_exit(void (*fn)(void *arg), void *arg, mu_reason *ret_reason)
{
    (void)ret_reason;
    fn(arg);
    return false;
}

mu_err __wrap_mu_spawn(mu_system *system, const mu_spawn_options *options, mu_actor_fn body,
                       void *arg, mu_pid *ret_pid);
mu_err __wrap_mu_spawn(mu_system *system, const mu_spawn_options *options, mu_actor_fn body,
                       void *arg, mu_pid *ret_pid)
{
    (void)system;
    *ret_pid = sim_spawn(body, arg);
    actor_of(*ret_pid)->destroy = options->destroy_arg;
    return MU_OK;
}

static bool call_is_over(void *arg)
{
    const call *c = arg;
    return c->answered || c->callee->dead;
}

mu_err __wrap_mu_call(mu_pid pid, mu_message request, int64_t timeout_ms, mu_message *ret_reply,
                      mu_reason *ret_reason);
mu_err __wrap_mu_call(mu_pid pid, mu_message request, int64_t timeout_ms, mu_message *ret_reply,
                      mu_reason *ret_reason)
{
    (void)ret_reply;
    call c = {.callee = actor_of(pid)};
    post(actor_of(pid), CALL, request, (mu_from){(struct mu__call *)(void *)&c, 1});
    sim_sleep(call_is_over, &c, mu_deadline(sim_now(), timeout_ms));
    if (c.answered)
        return MU_OK;
    *ret_reason = c.callee->reason;
    return MU_EDOWN;
}

bool __wrap_mu_reply_to(mu_from from, mu_message reply);
bool __wrap_mu_reply_to(mu_from from, mu_message reply)
{
    ((call *)(void *)from.call)->answered = true;
    mu_message_clear(&reply);
    return true;
}

/* ---- what the pool calls: timers ---------------------------------------------------------- */

static void notice_free(void *data)
{
    mu_timer_notice *notice = data;
    mu_message_clear(&notice->message);
    free(notice);
}

static void timer_fires(sim_event *event)
{
    timer *t = (timer *)event;
    mu_timer_notice *notice = calloc(1, sizeof *notice);
    if (!notice)
        abort();
    *notice = (mu_timer_notice){t->id, t->message};
    t->message = (mu_message){0};
    t->id = 0;
    (void)__wrap_mu__tell(t->pid,
                          mu_message_take(MU_TAG_TIMER, notice, sizeof *notice, notice_free));
}

mu_err __wrap_mu_start_timer(mu_pid pid, int64_t delay_ms, mu_message message, mu_timer *ret_timer);
mu_err __wrap_mu_start_timer(mu_pid pid, int64_t delay_ms, mu_message message, mu_timer *ret_timer)
{
    timer *t = timers;
    while (t->id != 0)
        if (++t == timers + TIMERS_MOST)
            abort();
    *t = (timer){.id = ++last_timer, .pid = pid, .message = message};
    t->event.happen = timer_fires;
    sim_event_set(&t->event, mu_deadline(sim_now(), delay_ms));
    *ret_timer = t->id;
    return MU_OK;
}

mu_err __wrap_mu_timer_cancel(mu_system *system, mu_timer id, int64_t *ret_left_ms);
mu_err __wrap_mu_timer_cancel(mu_system *system, mu_timer id, int64_t *ret_left_ms)
{
    (void)system;
    (void)ret_left_ms;
    for (timer *t = timers; id != 0 && t < timers + TIMERS_MOST; t++) {
        if (t->id != id)
            continue;
        sim_event_unset(&t->event);
        mu_message_clear(&t->message);
        t->id = 0;
        return MU_OK;
    }
    return MU_ENOTFOUND;
}

/* ---- what the pool calls: its tree -------------------------------------------------------- */

mu_pid __wrap_mu_system_root(mu_system *system);
mu_pid __wrap_mu_system_root(mu_system *system)
{
    (void)system;
    return root;
}

struct mu__warden *__wrap_mu__warden_of(const mu_system *system);
struct mu__warden *__wrap_mu__warden_of(const mu_system *system)
{
    return (struct mu__warden *)system; /* nobody asks it for anything */
}

mu_err __wrap_mu_supervisor_start_child(mu_pid supervisor, const mu_child_spec *spec,
                                        mu_pid *ret_pid, mu_reason *ret_reason);
mu_err __wrap_mu_supervisor_start_child(mu_pid supervisor, const mu_child_spec *spec,
                                        mu_pid *ret_pid, mu_reason *ret_reason)
{
    (void)supervisor;
    const mu_supervisor_options *options = spec->supervisor;
    tree = actor_new()->pid;
    for (size_t i = 0; i < options->n_children; i++) {
        const mu_child_spec *child = &options->children[i];
        mu_pid ignored;
        mu_err err = child->start(NULL, child->arg, &ignored, ret_reason);
        if (err != MU_OK)
            return err;
    }
    *ret_pid = tree;
    return MU_OK;
}

mu_err __wrap_mu_dynamic_supervisor_start_link(mu_system *system,
                                               const mu_dynamic_supervisor_options *options,
                                               mu_pid *ret_pid, mu_reason *ret_reason);
mu_err __wrap_mu_dynamic_supervisor_start_link(mu_system *system,
                                               const mu_dynamic_supervisor_options *options,
                                               mu_pid *ret_pid, mu_reason *ret_reason)
{
    (void)system;
    (void)options;
    (void)ret_reason;
    *ret_pid = actor_new()->pid;
    return MU_OK;
}

mu_err __wrap_mu_gen_server_start_link(mu_system *system, const mu_gen_server *callbacks, void *arg,
                                       const mu_gen_server_options *options, mu_pid *ret_pid,
                                       mu_reason *ret_reason);
mu_err __wrap_mu_gen_server_start_link(mu_system *system, const mu_gen_server *callbacks, void *arg,
                                       const mu_gen_server_options *options, mu_pid *ret_pid,
                                       mu_reason *ret_reason)
{
    (void)system;
    sim_actor *a = actor_new();
    a->server = callbacks;
    a->arg = arg;
    a->traps = options->trap_exit;
    return start_server(a, ret_pid, ret_reason);
}

mu_err __wrap_mu_dynamic_supervisor_start_child(mu_pid supervisor, const mu_child_spec *spec,
                                                mu_pid *ret_pid, mu_reason *ret_reason);
mu_err __wrap_mu_dynamic_supervisor_start_child(mu_pid supervisor, const mu_child_spec *spec,
                                                mu_pid *ret_pid, mu_reason *ret_reason)
{
    (void)supervisor;
    if (tree_ends)
        return MU_EDOWN;
    sim_actor *a = actor_new();
    a->server = spec->server;
    a->arg = spec->arg;
    a->traps = spec->server_options->trap_exit;
    a->supervised = true;
    a->restart = spec->restart;
    a->shutdown_ms = spec->shutdown_ms;
    return start_server(a, ret_pid, ret_reason);
}

mu_err __wrap_mu__hook_add(mu_pid pid, mu__death_hook *hook);
mu_err __wrap_mu__hook_add(mu_pid pid, mu__death_hook *hook)
{
    if (mu_pid_equal(pid, sim_somebody())) {
        hook->next = somebodys_hooks;
        hook->link = &somebodys_hooks;
        if (hook->next)
            hook->next->link = &hook->next;
        somebodys_hooks = hook;
    } else {
        tree_hook = hook;
    }
    return MU_OK;
}

bool __wrap_mu__hook_remove(mu_pid pid, mu__death_hook *hook);
bool __wrap_mu__hook_remove(mu_pid pid, mu__death_hook *hook)
{
    (void)pid;
    if (!hook->link)
        return false;
    *hook->link = hook->next;
    if (hook->next)
        hook->next->link = hook->link;
    hook->link = NULL;
    return true;
}

mu_pid sim_somebody(void)
{
    return (mu_pid){sim_system(), ACTORS_MOST, 1}; /* none of them */
}

void sim_somebody_dies(void)
{
    while (somebodys_hooks) {
        mu__death_hook *hook = somebodys_hooks;
        (void)mu__hook_remove(sim_somebody(), hook);
        hook->run(hook, sim_somebody());
    }
}

static bool nobody_below(void *arg)
{
    bool supervised = *(const bool *)arg;
    for (uint32_t i = 0; i < n_actors; i++)
        if (actors[i]->server && actors[i]->supervised == supervised && !actors[i]->over)
            return false;
    return true;
}

/* First the manager, then the workers beside one another. */
static void end_below(bool supervised)
{
    int64_t patience = 0;
    for (uint32_t i = 0; i < n_actors; i++) {
        sim_actor *a = actors[i];
        if (!a->server || a->supervised != supervised)
            continue;
        if (a->shutdown_ms > patience)
            patience = a->shutdown_ms;
        tell_to_exit(a, mu_reason_shutdown());
    }
    sim_sleep(nobody_below, &supervised, mu_deadline(sim_now(), patience));
    for (uint32_t i = 0; i < n_actors; i++)
        if (actors[i]->server && actors[i]->supervised == supervised)
            tell_to_exit(actors[i], mu_reason_kill());
    sim_sleep(nobody_below, &supervised, MU_NEVER);
}

mu_err __wrap_mu_gen_server_stop(mu_pid pid, const mu_reason *reason, int64_t timeout_ms,
                                 mu_reason *ret_reason);
mu_err __wrap_mu_gen_server_stop(mu_pid pid, const mu_reason *reason, int64_t timeout_ms,
                                 mu_reason *ret_reason)
{
    (void)reason;
    (void)timeout_ms;
    (void)ret_reason;
    end_below(false);
    tree_ends = true;
    end_below(true);
    if (tree_hook)
        tree_hook->run(tree_hook, pid);
    return MU_OK;
}
