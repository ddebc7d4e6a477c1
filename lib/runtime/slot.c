/*
 * The table of actor slots (slot.h): chunks that are made when needed and never moved, so a look-up
 * is two loads and no lock. Called by spawn.c, signal.c and everything that resolves a pid.
 */
#include "runtime/slot.h"

#include <string.h>

#include "runtime/system_impl.h"

mu__actor *mu__actor_of(mu_pid pid)
{
    if (mu_pid_is_none(pid) || !pid.system || pid.slot >= (uint32_t)MU__CHUNK * MU__CHUNKS_MAX)
        return NULL;
    mu__actor *chunk = atomic_load(&pid.system->chunks[pid.slot >> MU__CHUNK_BITS]);
    return chunk ? &chunk[pid.slot & (MU__CHUNK - 1)] : NULL;
}

static void slot_init(mu_system *system, mu__actor *actor, uint32_t index)
{
    actor->system = system;
    actor->index = index;
    atomic_store(&actor->generation, 1);
    mu_lock_init(&actor->lock);
    mu__park_init(&actor->park);
    (void)mu__mailbox_close(&actor->mailbox);
}

/* Makes the next slot, and its chunk if it is the first of one. */
static mu__actor *slot_make_locked(mu_system *system) MU_REQUIRES(&system->slots_lock)
{
    uint32_t index = system->n_slots;
    if (index >= system->options.max_actors)
        return NULL;
    _Atomic(mu__actor *) *place = &system->chunks[index >> MU__CHUNK_BITS];
    mu__actor *chunk = atomic_load(place);
    if (!chunk) {
        chunk = system->sys->alloc(MU__CHUNK * sizeof *chunk);
        if (!chunk)
            return NULL;
        for (uint32_t i = 0; i < MU__CHUNK; i++)
            slot_init(system, &chunk[i], index + i);
        atomic_store(place, chunk);
    }
    system->n_slots++;
    return &chunk[index & (MU__CHUNK - 1)];
}

mu_err mu__slot_take(mu_system *system, mu__actor **ret_actor)
{
    mu_lock_acquire(&system->slots_lock);
    mu__actor *actor = system->free_slots;
    if (actor)
        system->free_slots = actor->next_free;
    else
        actor = slot_make_locked(system);
    mu_lock_release(&system->slots_lock);
    if (!actor)
        return MU_ENOMEM;

    mu_lock_acquire(&actor->lock);
    actor->trap_exit = actor->finishing = actor->abandoned = actor->hooks_ran = false;
    atomic_store(&actor->told, false);
    actor->bell = -1;
    atomic_store(&actor->finished, false);
    mu__mailbox_open(&actor->mailbox);
    atomic_store(&actor->state, MU__ALIVE);
    mu_lock_release(&actor->lock);
    actor->exit_reason = mu_reason_normal();
    actor->parent = MU_PID_NONE;
    atomic_store(&actor->limit, 0);
    atomic_store(&actor->waiting, (uint64_t)atomic_load(&actor->generation) << 32);
    actor->answers_calls = false;
    atomic_fetch_add(&system->n_alive, 1);
    *ret_actor = actor;
    return MU_OK;
}

void mu__slot_release(mu__actor *actor)
{
    mu_system *system = actor->system;
    mu_lock_acquire(&actor->lock);
    atomic_store(&actor->state, MU__FREE);
    uint32_t next = atomic_load(&actor->generation) + 1;
    atomic_store(&actor->generation, next ? next : 1); /* 0 is nobody */
    mu_lock_release(&actor->lock);

    mu_lock_acquire(&system->slots_lock);
    actor->next_free = system->free_slots;
    system->free_slots = actor;
    mu_lock_release(&system->slots_lock);
}

const char *mu__label(mu_pid pid, char buffer[MU__LABEL_SIZE])
{
    mu__actor *actor = mu__actor_of(pid);
    buffer[0] = '\0';
    if (!actor)
        return buffer;
    mu_lock_acquire(&actor->lock);
    if (mu__lives_locked(actor, pid))
        memcpy(buffer, actor->label, MU__LABEL_SIZE);
    mu_lock_release(&actor->lock);
    return buffer;
}

void mu__await_telling(const mu__actor *actor, mu_pid pid)
{
    for (unsigned look = 0; atomic_load(&actor->generation) == pid.generation &&
                            atomic_load(&actor->state) == MU__DEAD && !atomic_load(&actor->told);
         look++)
        mu__park_pause(look);
}

bool mu_alive(mu_pid pid)
{
    mu__actor *actor = mu__actor_of(pid);
    if (!actor)
        return false;
    mu_lock_acquire(&actor->lock);
    bool lives = mu__lives_locked(actor, pid);
    mu_lock_release(&actor->lock);
    if (!lives)
        mu__await_telling(actor, pid);
    return lives;
}
