/*
 * Local names (muster/actor.h): one table per system, whose entries live in the actors' slots. An
 * actor that has been told to exit can take no name, and its finisher drops the one it has before
 * anybody hears of the death.
 */
#include <string.h>

#include "runtime/system_impl.h"

void mu__names_init(mu_system *system)
{
    mu_lock_init(&system->names.lock);
    mu__table_init(&system->names.table, system->sys);
}

void mu__names_free(mu_system *system) MU_NO_TSA
{
    mu__table_deinit(&system->names.table);
    mu_lock_deinit(&system->names.lock);
}

mu_err mu__name_take(mu__actor *actor, mu_pid pid, const char *name)
{
    size_t length = strlen(name);
    if (length == 0 || length > MU_NAME_MAX)
        return MU_EINVAL;
    mu__names *names = &actor->system->names;
    mu_err err;
    mu_lock_acquire(&names->lock);
    /* A finisher sets the state first and takes this lock after: one of the two sees the other. */
    if (atomic_load(&actor->state) != MU__ALIVE ||
        atomic_load(&actor->generation) != pid.generation) {
        err = MU_ENOPROC;
    } else if (actor->name[0]) {
        err = MU_EALREADY_REGISTERED;
    } else {
        memcpy(actor->name, name, length + 1);
        err = mu__table_insert(&names->table, &actor->name_entry, actor->name, length);
        if (err != MU_OK)
            actor->name[0] = '\0';
    }
    mu_lock_release(&names->lock);
    return err;
}

static void drop_locked(mu__names *names, mu__actor *actor) MU_REQUIRES(&names->lock)
{
    mu__table_remove(&names->table, &actor->name_entry);
    actor->name[0] = '\0';
}

void mu__name_drop(mu__actor *actor)
{
    mu__names *names = &actor->system->names;
    mu_lock_acquire(&names->lock);
    if (actor->name[0])
        drop_locked(names, actor);
    mu_lock_release(&names->lock);
}

static mu__actor *holder_locked(mu__names *names, const char *name) MU_REQUIRES(&names->lock)
{
    mu__table_entry *entry = mu__table_find(&names->table, name, strlen(name));
    return entry ? MU__TABLE_OBJECT(entry, mu__actor, name_entry) : NULL;
}

mu_err mu_register(const char *name, mu_pid pid)
{
    mu__actor *actor = mu__actor_of(pid);
    if (!name)
        return MU_EINVAL;
    return actor ? mu__name_take(actor, pid, name) : MU_ENOPROC;
}

mu_err mu_unregister(mu_system *system, const char *name)
{
    if (!system || !name)
        return MU_EINVAL;
    mu__names *names = &system->names;
    mu_lock_acquire(&names->lock);
    mu__actor *actor = holder_locked(names, name);
    if (actor)
        drop_locked(names, actor);
    mu_lock_release(&names->lock);
    return actor ? MU_OK : MU_ENAMEUNKNOWN;
}

mu_pid mu_whereis(mu_system *system, const char *name)
{
    if (!system || !name)
        return MU_PID_NONE;
    mu__names *names = &system->names;
    mu_lock_acquire(&names->lock);
    mu__actor *actor = holder_locked(names, name);
    mu_pid pid = actor ? mu__pid_of(actor) : MU_PID_NONE;
    mu_lock_release(&names->lock);
    return pid;
}
