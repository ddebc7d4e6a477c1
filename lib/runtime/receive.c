/*
 * Sending, receiving and waiting (muster/actor.h, runtime/actor.h). Called by actors and, for
 * sending and waiting, by foreign threads.
 *
 * The receiver drains its mailbox whole into a private inbox, which only its own thread touches;
 * whether it has been told to exit is looked at before anything is handed out, so an untrapped exit
 * never waits behind unhandled messages.
 */
#include "runtime/system_impl.h"

/* ---- sending ------------------------------------------------------------------------------ */

static mu_err push_message(mu__actor *actor, mu_pid pid, mu__kind kind, mu_message message,
                           mu__reply_to from)
{
    mu__node *node = mu__node_new(kind, pid.generation, message, from);
    if (!node) {
        mu_message_clear(&message);
        return MU_ENOMEM;
    }
    (void)mu__deliver(actor, pid, node);
    return MU_OK;
}

/*
 * Takes a place among the messages that may wait. The count carries the generation, so a place is
 * never taken in the mailbox of the slot's next tenant. False: it is full.
 */
static bool take_place(mu__actor *actor, mu_pid pid, uint32_t limit)
{
    uint64_t waiting = atomic_load(&actor->waiting);
    do {
        if (waiting >> 32 != pid.generation)
            return true; /* dead: what becomes of the message is decided elsewhere */
        if ((uint32_t)waiting >= limit)
            return false;
    } while (!atomic_compare_exchange_weak(&actor->waiting, &waiting, waiting + 1));
    return true;
}

static mu_err push_limited(mu__actor *actor, mu_pid pid, mu__kind kind, mu_message message,
                           mu__reply_to from, uint32_t limit)
{
    mu__node *node = mu__node_new(kind, pid.generation, message, from);
    bool full = node && !take_place(actor, pid, limit);
    if (!node || full) {
        mu_message_clear(&message);
        mu__node_recycle(node);
        if (!full)
            return MU_ENOMEM;
        bool silent = kind != MU__KIND_CALL && atomic_load(&actor->drops);
        return silent || !mu_alive(pid) ? MU_OK : MU_EFULL; /* the dead are never full */
    }
    node->counted = true;
    (void)mu__deliver(actor, pid, node);
    return MU_OK;
}

/* What users send is limited where the receiver asked for it; what the library sends is not. */
static mu_err push_users(mu__actor *actor, mu_pid pid, mu__kind kind, mu_message message,
                         mu__reply_to from)
{
    uint32_t limit = atomic_load_explicit(&actor->limit, memory_order_relaxed);
    if (limit == 0 || kind == MU__KIND_SYSTEM)
        return push_message(actor, pid, kind, message, from);
    return push_limited(actor, pid, kind, message, from, limit);
}

/*
 * An actor's own sends are fenced off from its death: the flag says that a push is under way, and a
 * killer that has set the state waits for it (signal.c). One of the two sees the other.
 */
static mu_err push_from(mu__actor *self, mu__actor *actor, mu_pid pid, mu__kind kind,
                        mu_message message, mu__reply_to from)
{
    atomic_store(&self->sending, true);
    mu_err err = MU_EKILLED;
    if (!mu__actor_told(self))
        err = push_users(actor, pid, kind, message, from);
    atomic_store_explicit(&self->sending, false, memory_order_release);
    if (err == MU_EKILLED)
        mu_message_clear(&message);
    return err;
}

mu_err mu__post(mu_pid pid, mu__kind kind, mu_message message, mu__reply_to from)
{
    if (message.tag == MU_TAG_NOMEM)
        return MU_ENOMEM;
    mu__actor *actor = mu__actor_of(pid);
    if (!actor) {
        mu_message_clear(&message);
        return MU_OK;
    }
    mu__actor *self = mu__actor_self();
    return self ? push_from(self, actor, pid, kind, message, from)
                : push_users(actor, pid, kind, message, from);
}

mu_err mu_send(mu_pid pid, mu_message message)
{
    if (message.tag >= MU_TAG_RESERVED && !mu__notice_is_whole(&message)) {
        mu_message_clear(&message);
        return MU_EINVAL;
    }
    return mu__post(pid, MU__KIND_MESSAGE, message, (mu__reply_to){NULL, 0});
}

mu_err mu__tell(mu_pid pid, mu_message message)
{
    mu__actor *actor = mu__actor_of(pid);
    if (message.tag == MU_TAG_NOMEM)
        return MU_ENOMEM;
    if (actor)
        return push_message(actor, pid, MU__KIND_MESSAGE, message, (mu__reply_to){NULL, 0});
    mu_message_clear(&message);
    return MU_OK;
}

void mu__tell_node(mu_pid pid, mu__node *take_node)
{
    mu__actor *actor = mu__actor_of(pid);
    if (actor)
        (void)mu__deliver(actor, pid, take_node);
    else
        mu__node_free(take_node);
}

mu_err mu_send_name(mu_system *system, const char *name, mu_message message)
{
    mu_pid pid = mu_whereis(system, name);
    if (mu_pid_is_none(pid)) {
        mu_message_clear(&message);
        return MU_ENAMEUNKNOWN;
    }
    return mu_send(pid, message);
}

/* ---- receiving ---------------------------------------------------------------------------- */

static void drain(mu__actor *self)
{
    uint32_t generation = atomic_load_explicit(&self->generation, memory_order_relaxed);
    mu__node *node = mu__mailbox_take(&self->mailbox);
    while (node) {
        mu__node *next = node->next;
        node->next = NULL;
        if (node->generation != generation) {
            mu__node_free(node); /* meant for an earlier tenant of the slot */
        } else {
            if (self->inbox_tail)
                self->inbox_tail->next = node;
            else
                self->inbox_head = node;
            self->inbox_tail = node;
            self->inbox_length++;
        }
        node = next;
    }
}

typedef bool (*node_filter)(const mu__node *node, void *arg);

/* Takes the oldest node that the filter accepts from position `*from` on; remembers where it got.
 */
static mu__node *take_node(mu__actor *self, node_filter accept, void *arg, mu__node **after)
{
    mu__node *before = *after;
    mu__node *node = before ? before->next : self->inbox_head;
    for (; node; before = node, node = node->next) {
        if (!accept(node, arg))
            continue;
        if (before)
            before->next = node->next;
        else
            self->inbox_head = node->next;
        if (self->inbox_tail == node)
            self->inbox_tail = before;
        self->inbox_length--;
        if (node->counted)
            atomic_fetch_sub(&self->waiting, 1);
        return node;
    }
    *after = before;
    return NULL;
}

/* Waits for a node that the filter accepts; each node is offered to it once. */
static mu_err await_node(node_filter accept, void *arg, int64_t deadline, mu__node **ret_node)
{
    mu__actor *self = mu__actor_self();
    if (!self)
        return MU_ENOTACTOR;
    mu__node *after = NULL;
    bool in_time = deadline > 0;
    for (;;) {
        if (mu__actor_told(self))
            return MU_EKILLED;
        drain(self);
        mu__node *node = take_node(self, accept, arg, &after);
        if (node) {
            *ret_node = node;
            return MU_OK;
        }
        if (!in_time)
            return MU_ETIMEOUT;
        if (mu__mailbox_sleep(&self->mailbox) && !mu__actor_told(self))
            in_time = mu__park_wait(&self->park, deadline);
    }
}

static bool accept_all(const mu__node *node, void *arg)
{
    (void)node;
    (void)arg;
    return true;
}

static bool accept_system(const mu__node *node, void *arg)
{
    (void)arg;
    if (node->kind == MU__KIND_SYSTEM)
        return true;
    return node->message.tag == MU_TAG_EXIT &&
           mu__is_parent(((const mu_exit_notice *)node->message.data)->from);
}

mu_err mu__receive(mu__envelope *ret_envelope, int64_t deadline, bool system_only)
{
    mu__node *node = NULL;
    mu_err err = await_node(system_only ? accept_system : accept_all, NULL, deadline, &node);
    if (err != MU_OK)
        return err;
    *ret_envelope = (mu__envelope){node->kind, node->message, node->from};
    mu__node_recycle(node);
    return MU_OK;
}

size_t mu__queue_length(void)
{
    mu__actor *self = mu__actor_self();
    if (!self)
        return 0;
    drain(self);
    return self->inbox_length;
}

void mu__answer_calls(void)
{
    mu__actor *self = mu__actor_self();
    if (self)
        self->answers_calls = true;
}

typedef struct matcher {
    bool (*match)(const mu_message *message, void *arg);
    void *arg;
    bool answers_calls;
} matcher;

/*
 * A plain actor speaks no call protocol. It takes requests out so that they do not pile up, and the
 * caller hears at once. A behaviour's callback sees messages only; the rest is for its loop.
 */
static bool accept_message(const mu__node *node, void *arg)
{
    const matcher *m = arg;
    if (m->answers_calls && node->kind != MU__KIND_MESSAGE)
        return false;
    if (node->kind == MU__KIND_CALL || node->kind == MU__KIND_SYSTEM)
        return true;
    return !m->match || m->match(&node->message, m->arg);
}

static void refuse_call(mu__node *node)
{
    mu_reason reason = mu_reason_error(MU_ENOTSUP, "a plain actor answers no calls");
    (void)mu__call_complete(node->from, MU_ENOTSUP, mu_message_tag(0), &reason);
    mu__node_free(node);
}

static int64_t deadline_in(int64_t timeout_ms)
{
    if (timeout_ms <= 0)
        return 0; /* polls: over before it begins */
    return timeout_ms == MU_INFINITY ? MU_NEVER
                                     : mu_deadline(mu_clock_now(&mu__clock_monotonic), timeout_ms);
}

mu_err mu_receive_match(bool (*match)(const mu_message *message, void *arg), void *arg,
                        mu_message *ret_message, int64_t timeout_ms)
{
    const mu__actor *self = mu__actor_self();
    if (!ret_message || timeout_ms < 0)
        return MU_EINVAL;
    matcher m = {match, arg, self && self->answers_calls};
    int64_t deadline = deadline_in(timeout_ms);
    for (;;) {
        mu__node *node = NULL;
        mu_err err = await_node(accept_message, &m, deadline, &node);
        if (err != MU_OK)
            return err;
        if (node->kind == MU__KIND_CALL || node->kind == MU__KIND_SYSTEM) {
            refuse_call(node);
            continue;
        }
        *ret_message = node->message;
        mu__node_recycle(node);
        return MU_OK;
    }
}

mu_err mu_receive(mu_message *ret_message, int64_t timeout_ms)
{
    return mu_receive_match(NULL, NULL, ret_message, timeout_ms);
}

/* ---- waiting outside the mailbox ---------------------------------------------------------- */

void mu__waiter_init(mu__waiter *waiter)
{
    atomic_store(&waiter->park, NULL);
    mu__park_init(&waiter->own);
}

mu_err mu__wait(mu__waiter *waiter, bool (*done)(void *arg), void *arg, int64_t deadline)
{
    mu__actor *self = mu__actor_self();
    mu__park *park = self ? &self->park : &waiter->own;
    atomic_store(&waiter->park, park);
    bool in_time = deadline > 0;
    for (;;) {
        if (done(arg))
            return MU_OK;
        if (self && mu__actor_told(self))
            return MU_EKILLED;
        if (!in_time)
            return MU_ETIMEOUT;
        in_time = mu__park_wait(park, deadline);
    }
}

void mu__wait_out(mu__waiter *waiter, bool (*done)(void *arg), void *arg)
{
    while (mu__wait(waiter, done, arg, MU_NEVER) == MU_EKILLED)
        (void)mu__park_wait(atomic_load(&waiter->park), MU_NEVER);
}

void mu__notify(mu__waiter *waiter)
{
    mu__park *park = atomic_load(&waiter->park);
    if (park)
        (void)mu__park_wake(park);
}

static bool never(void *arg)
{
    (void)arg;
    return false;
}

mu_err mu_sleep(int64_t ms)
{
    mu__waiter waiter;
    mu__waiter_init(&waiter);
    mu_err err = mu__wait(&waiter, never, NULL, deadline_in(ms));
    return err == MU_ETIMEOUT ? MU_OK : err;
}

mu_err mu__set_bell(int fd)
{
    mu__actor *self = mu__actor_self();
    if (!self)
        return MU_OK;
    mu_lock_acquire(&self->lock);
    self->bell = fd;
    mu_lock_release(&self->lock);
    return fd >= 0 && mu__actor_told(self) ? MU_EKILLED : MU_OK;
}
