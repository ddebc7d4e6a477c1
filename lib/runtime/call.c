/*
 * Requests and their replies (call.h). Called by gen_server calls, start acknowledgements, and the
 * death of actors (signal.c). The phases of a slot are drawn in call.h.
 */
#include "runtime/call.h"

#include <stdlib.h>

#include "runtime/system_impl.h"

enum { FREE, PENDING, FILLING, DONE };
enum { PHASE_BITS = 2, PHASE_MASK = 3, CALLS_PER_CHUNK = 64 };

struct mu__call {
    _Atomic uint64_t state; /* generation << PHASE_BITS | phase */
    mu__waiter waiter;
    mu_system *system;
    mu__call *next_free; /* guarded by system->calls_lock */

    mu__actor *server; /* whose list this is in; written by the requester */
    bool attached;     /* guarded by server->lock, as are next and link */
    mu__call *next, **link;

    mu_err status; /* these three: written in FILLING, read in DONE */
    mu_message reply;
    mu_reason reason;
};

typedef struct call_chunk {
    struct call_chunk *next;
    mu__call calls[CALLS_PER_CHUNK];
} call_chunk;

static uint64_t word(uint64_t generation, unsigned phase)
{
    return generation << PHASE_BITS | phase;
}

static bool refill_locked(mu_system *system) MU_REQUIRES(&system->calls_lock)
{
    call_chunk *chunk = system->sys->alloc(sizeof *chunk);
    if (!chunk)
        return false;
    chunk->next = system->call_chunks;
    system->call_chunks = chunk;
    for (size_t i = 0; i < CALLS_PER_CHUNK; i++) {
        mu__call *call = &chunk->calls[i];
        call->system = system;
        mu__waiter_init(&call->waiter);
        call->next_free = system->free_calls;
        system->free_calls = call;
    }
    return true;
}

mu_err mu__call_open(mu_system *system, mu__call **ret_call, mu__reply_to *ret_to)
{
    mu__actor *self = mu__actor_self();
    if (self && mu__actor_told(self))
        return MU_EKILLED;
    if (mu__usable(system) == MU_EFORKED)
        return MU_EFORKED;
    mu_lock_acquire(&system->calls_lock);
    bool some = system->free_calls || refill_locked(system);
    mu__call *call = some ? system->free_calls : NULL;
    if (call)
        system->free_calls = call->next_free;
    mu_lock_release(&system->calls_lock);
    if (!call)
        return MU_ENOMEM;
    uint64_t generation = (atomic_load(&call->state) >> PHASE_BITS) + 1;
    call->server = NULL;
    call->attached = false;
    atomic_store(&call->state, word(generation, PENDING));
    *ret_call = call;
    *ret_to = (mu__reply_to){call, generation};
    return MU_OK;
}

static mu__reply_to handle_of(mu__call *call)
{
    return (mu__reply_to){call, atomic_load(&call->state) >> PHASE_BITS};
}

void mu__call_attach(mu__call *call, mu_pid pid)
{
    bool lives = false;
    mu__actor *server = mu__actor_of(pid);
    if (server) {
        mu_lock_acquire(&server->lock);
        lives = mu__lives_locked(server, pid);
        if (lives) {
            call->server = server;
            call->attached = true;
            call->next = server->calls;
            call->link = &server->calls;
            if (call->next)
                call->next->link = &call->next;
            server->calls = call;
        }
        mu_lock_release(&server->lock);
    }
    if (!lives) {
        if (server)
            mu__await_telling(server, pid);
        mu_reason noproc = mu_reason_error(MU_ENOPROC, NULL);
        (void)mu__call_complete(handle_of(call), MU_ENOPROC, mu_message_tag(0), &noproc);
    }
}

/* Takes a call out of its server's list; the server's lock is held. */
static void unchain_locked(mu__call *call)
{
    *call->link = call->next;
    if (call->next)
        call->next->link = call->link;
    call->attached = false;
}

mu_err mu__call_request(mu__call *call, mu_pid pid, mu__kind kind, mu_message message)
{
    mu__call_attach(call, pid);
    return mu__post(pid, kind, message, handle_of(call));
}

bool mu__call_done(const mu__call *call)
{
    return (atomic_load(&call->state) & PHASE_MASK) == DONE;
}

static bool is_done(void *arg)
{
    return mu__call_done(arg);
}

mu_err mu__call_wait(mu__call *call, int64_t deadline, mu_message *ret_reply, mu_reason *ret_reason)
{
    mu_err err = mu__wait(&call->waiter, is_done, call, deadline);
    if (err != MU_OK)
        return err;
    if (call->status != MU_OK) {
        if (ret_reason)
            *ret_reason = call->reason;
        return call->status;
    }
    if (ret_reply) {
        *ret_reply = call->reply;
        call->reply = (mu_message){0};
    }
    return MU_OK;
}

void mu__call_close(mu__call *call)
{
    if (!call)
        return;
    if (call->server) {
        mu_lock_acquire(&call->server->lock);
        if (call->attached)
            unchain_locked(call);
        mu_lock_release(&call->server->lock);
    }
    uint64_t generation = atomic_load(&call->state) >> PHASE_BITS;
    uint64_t expected = word(generation, PENDING);
    if (!atomic_compare_exchange_strong(&call->state, &expected, word(generation, FREE))) {
        /* A completer is between two stores; it notifies after the second. */
        mu__wait_out(&call->waiter, is_done, call);
        mu_message_clear(&call->reply);
        atomic_store(&call->state, word(generation, FREE));
    }
    mu_system *system = call->system;
    mu_lock_acquire(&system->calls_lock);
    call->next_free = system->free_calls;
    system->free_calls = call;
    mu_lock_release(&system->calls_lock);
}

bool mu__call_complete(mu__reply_to to, mu_err status, mu_message reply, const mu_reason *reason)
{
    uint64_t expected = word(to.generation, PENDING);
    if (!to.call ||
        !atomic_compare_exchange_strong(&to.call->state, &expected, word(to.generation, FILLING))) {
        mu_message_clear(&reply);
        return false;
    }
    to.call->status = status;
    to.call->reply = reply;
    if (reason)
        to.call->reason = *reason;
    atomic_store(&to.call->state, word(to.generation, DONE));
    mu__notify(&to.call->waiter);
    return true;
}

void mu__calls_fail(mu__actor *actor, const mu_reason *reason)
{
    for (;;) {
        mu__reply_to to = {NULL, 0};
        mu_lock_acquire(&actor->lock);
        mu__call *call = actor->calls;
        if (call) {
            to = handle_of(call);
            unchain_locked(call);
        }
        mu_lock_release(&actor->lock);
        if (!call)
            return;
        (void)mu__call_complete(to, MU_EDOWN, mu_message_tag(0), reason);
    }
}

void mu__calls_free(mu_system *system) MU_NO_TSA
{
    call_chunk *chunk = system->call_chunks;
    while (chunk) {
        call_chunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
}
