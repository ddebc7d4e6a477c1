/*
 * Partitions (muster/partition_supervisor.h): a static supervisor of N copies, and a table from
 * number to actor which each start writes and routing reads.
 *
 * Called by programs; stands on supervisor.c alone.
 */
#include <muster/partition_supervisor.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/hash.h"
#include "otp/registry_table.h"
#include "runtime/actor.h"

enum { ID_SIZE = 24 };
#define PARTITIONS_MAX (SIZE_MAX / 2 / sizeof(mu_child_spec))

typedef struct partition {
    mu_partitions *all;
    size_t number;
    _Atomic uint64_t pid; /* slot << 32 | generation; 0: has not been started */
    char id[ID_SIZE];
} partition;

struct mu_partitions {
    mu_system *system;
    mu_partition_options options;
    char name[MU_NAME_MAX + 1];
    mu_child_spec *table;
    _Atomic uint64_t supervisor; /* as a partition's pid */
    _Atomic size_t count;
    size_t n;
    partition partitions[];
};

static uint64_t pack(mu_pid pid)
{
    return (uint64_t)pid.slot << 32 | pid.generation;
}

static mu_pid unpack(const mu_partitions *p, uint64_t packed)
{
    return packed ? (mu_pid){p->system, (uint32_t)(packed >> 32), (uint32_t)packed} : MU_PID_NONE;
}

/* The argument is the child spec's, for the next start too: a server never destroys it. */
static mu_err start_server(partition *self, void *own, mu_pid *ret_pid, mu_reason *ret_reason)
{
    const mu_child_spec *child = &self->all->options.child;
    mu_gen_server_options options = MU_GEN_SERVER_OPTIONS_INIT;
    if (child->server_options)
        options = *child->server_options;
    options.destroy_arg = NULL;
    return mu_gen_server_start_link(self->all->system, child->server, own, &options, ret_pid,
                                    ret_reason);
}

/* Starts one copy, as the child spec says, and puts it into the table. */
static mu_err start_one(void *extra, void *arg, mu_pid *ret_pid, mu_reason *ret_reason)
{
    partition *self = arg;
    const mu_partition_options *o = &self->all->options;
    const mu_child_spec *child = &o->child;
    void *own = o->partition_arg ? o->partition_arg(child->arg, self->number) : child->arg;
    mu_err err;
    if (child->start)
        err = child->start(extra, own, ret_pid, ret_reason);
    else if (child->server)
        err = start_server(self, own, ret_pid, ret_reason);
    else
        err = mu_supervisor_start_link(self->all->system, child->supervisor, ret_pid, ret_reason);
    if (err == MU_OK)
        atomic_store(&self->pid, pack(*ret_pid));
    return err;
}

static size_t processors(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (size_t)n : 1;
}

/* What is wrong with them, NULL if nothing is. */
static const char *options_fault(mu_system *system, const mu_partition_options *o)
{
    if (!system)
        return "system is NULL";
    if (!o || o->size != sizeof *o)
        return "options.size is not sizeof(mu_partition_options)";
    if (o->child.size != sizeof o->child)
        return "child.size is not sizeof(mu_child_spec)";
    int starters =
        (o->child.start != NULL) + (o->child.server != NULL) + (o->child.supervisor != NULL);
    if (starters != 1)
        return "child must set one of start, server and supervisor";
    if (o->child.destroy_arg)
        return "child sets destroy_arg, but all partitions have its argument";
    if (o->child.significant)
        return "child is significant, which a partition cannot be";
    if (o->name && (!o->name[0] || strlen(o->name) > MU_NAME_MAX))
        return "name is no name of 1 to 63 bytes";
    if (o->partitions > PARTITIONS_MAX)
        return "partitions are more than memory could hold";
    return NULL;
}

static mu_err partitions_new(mu_system *system, const mu_partition_options *options,
                             mu_partitions **ret_partitions)
{
    size_t n = options->partitions ? options->partitions : processors();
    mu_partitions *p = mu__sys(system)->alloc(sizeof *p + n * sizeof p->partitions[0]);
    mu_child_spec *table = p ? mu__sys(system)->alloc(n * sizeof *table) : NULL;
    if (!table) {
        free(p);
        return MU_ENOMEM;
    }
    p->system = system;
    p->options = *options;
    if (options->name)
        memcpy(p->name, options->name, strlen(options->name) + 1);
    p->table = table;
    p->n = n;
    for (size_t i = 0; i < n; i++) {
        partition *one = &p->partitions[i];
        one->all = p;
        one->number = i;
        (void)snprintf(one->id, sizeof one->id, "%zu", i);
        table[i] = options->child;
        table[i].type = options->child.supervisor ? MU_SUPERVISOR_CHILD : options->child.type;
        table[i].id = one->id;
        table[i].start = start_one;
        table[i].server = NULL;
        table[i].server_options = NULL;
        table[i].supervisor = NULL;
        table[i].arg = one;
    }
    *ret_partitions = p;
    return MU_OK;
}

mu_err mu_partitions_new(mu_system *system, const mu_partition_options *options,
                         mu_partitions **ret_partitions, mu_reason *ret_reason)
{
    const char *fault = ret_partitions ? options_fault(system, options) : "ret_partitions is NULL";
    mu_err err = fault ? MU_EINVAL : partitions_new(system, options, ret_partitions);
    if (err != MU_OK && ret_reason)
        *ret_reason = mu_reason_error(err, "partitions: %s", fault ? fault : "no memory");
    return err;
}

void mu_partitions_free(mu_partitions **take_partitions)
{
    mu_partitions *p = take_partitions ? *take_partitions : NULL;
    if (!p)
        return;
    *take_partitions = NULL;
    free(p->table);
    free(p);
}

static mu_err start(mu_partitions *p, bool link, mu_pid *ret_pid, mu_reason *ret_reason)
{
    if (!p) {
        if (ret_reason)
            *ret_reason = mu_reason_error(MU_EINVAL, "partitions is NULL");
        return MU_EINVAL;
    }
    mu_pid running = unpack(p, atomic_load(&p->supervisor));
    if (mu_alive(running)) {
        if (ret_pid)
            *ret_pid = running;
        if (ret_reason)
            *ret_reason = mu_reason_error(MU_EALREADY_STARTED, "the partitions have a supervisor");
        return MU_EALREADY_STARTED;
    }
    mu_supervisor_options options = MU_SUPERVISOR_OPTIONS_INIT;
    options.name = p->name[0] ? p->name : NULL;
    options.via = p->options.via;
    options.strategy = p->options.strategy;
    options.intensity = p->options.intensity;
    options.period_ms = p->options.period_ms;
    options.children = p->table;
    options.n_children = p->n;
    mu_pid pid = MU_PID_NONE;
    mu_err err = link ? mu_supervisor_start_link(p->system, &options, &pid, ret_reason)
                      : mu_supervisor_start(p->system, &options, &pid, ret_reason);
    if (err == MU_OK) {
        atomic_store(&p->supervisor, pack(pid));
        atomic_store(&p->count, p->n);
    }
    if (ret_pid && (err == MU_OK || err == MU_EALREADY_STARTED))
        *ret_pid = pid;
    return err;
}

mu_err mu_partitions_start(mu_partitions *partitions, mu_pid *ret_pid, mu_reason *ret_reason)
{
    return start(partitions, false, ret_pid, ret_reason);
}

mu_err mu_partitions_start_fn(void *extra, void *partitions, mu_pid *ret_pid, mu_reason *ret_reason)
{
    (void)extra;
    return start(partitions, true, ret_pid, ret_reason);
}

/* ---- routing
 * --------------------------------------------------------------------------------------------- */

static uint64_t spread(mu_key key)
{
    static const mu__hash_key everywhere_the_same = {0, 0};
    if (key.data)
        return mu__hash_bytes(&everywhere_the_same, key.data, key.size);
    return key.integer < 0 ? -(uint64_t)key.integer : (uint64_t)key.integer;
}

mu_pid mu_partition_of(const mu_partitions *partitions, mu_key key)
{
    size_t count = mu_partitions_count(partitions);
    if (count == 0 || !mu__key_is_one(&key))
        return MU_PID_NONE;
    const partition *one = &partitions->partitions[spread(key) % count];
    return unpack(partitions, atomic_load(&one->pid));
}

size_t mu_partitions_count(const mu_partitions *partitions)
{
    return partitions ? atomic_load(&partitions->count) : 0;
}

/*
 * Nobody is routed to a partition before it runs, nor after it has been told to stop: going down
 * the count comes first, going up it comes last.
 */
static mu_err step(mu_partitions *p, mu_pid supervisor, size_t count, bool down)
{
    if (!down) {
        mu_err err = mu_supervisor_restart_child(supervisor, p->partitions[count].id, NULL, NULL);
        if (err == MU_ERUNNING) /* a group restart has brought it back already */
            err = MU_OK;
        if (err == MU_OK)
            atomic_store(&p->count, count + 1);
        return err;
    }
    atomic_store(&p->count, count - 1);
    mu_err err = mu_supervisor_terminate_child(supervisor, p->partitions[count - 1].id);
    if (err != MU_OK)
        atomic_store(&p->count, count);
    return err;
}

mu_err mu_partitions_resize(mu_partitions *partitions, size_t count, size_t *ret_previous)
{
    if (!partitions || count > partitions->n)
        return MU_EINVAL;
    mu_pid supervisor = unpack(partitions, atomic_load(&partitions->supervisor));
    if (!mu_alive(supervisor))
        return MU_ENOPROC;
    size_t before = atomic_load(&partitions->count);
    for (size_t now = before; now != count; now = atomic_load(&partitions->count)) {
        mu_err err = step(partitions, supervisor, now, now > count);
        if (err != MU_OK)
            return err;
    }
    if (ret_previous)
        *ret_previous = before;
    return MU_OK;
}
