/*
 * Start and stop of the runtime's part of a system (runtime.h), and its small accessors. Called by
 * lib/system and by tests.
 */
#include "runtime/runtime.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <muster/timer.h>

#include "runtime/system_impl.h"

enum { DEFAULT_STACK = 256 * 1024, MIN_STACK = 32 * 1024, DEFAULT_STOP_MS = 5000 };

/* ---- start -------------------------------------------------------------------------------- */

/* A page that a forked copy of the process finds empty: a check of it costs one load. */
static mu_err make_fork_page(mu_system *system)
{
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    uint32_t *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return MU_ENOMEM;
    (void)madvise(page, size, MADV_WIPEONFORK);
    *page = 1;
    system->fork_page = page;
    return MU_OK;
}

static mu_err fill_options(mu_system *system, const mu_system_options *options)
{
    mu_system_options *o = &system->options;
    *o = options ? *options : (mu_system_options)MU_SYSTEM_OPTIONS_INIT;
    if (o->actor_stack_size == 0)
        o->actor_stack_size = DEFAULT_STACK;
    if (o->actor_stack_size < MIN_STACK)
        o->actor_stack_size = MIN_STACK;
    const uint32_t most = (uint32_t)MU__CHUNK * MU__CHUNKS_MAX;
    if (o->max_actors == 0 || o->max_actors > most)
        o->max_actors = most;
    if (o->stop_timeout_ms == 0)
        o->stop_timeout_ms = DEFAULT_STOP_MS;
    const char *name = o->name ? o->name : "muster";
    size_t length = strnlen(name, sizeof system->name - 1);
    memcpy(system->name, name, length);
    o->name = system->name;
    return MU_OK;
}

static void init_tables(mu_system *system)
{
    mu_lock_init(&system->slots_lock);
    mu_lock_init(&system->calls_lock);
    atomic_store(&system->next_ref, 1);
    mu__io_init(system);
    mu__names_init(system);
    mu__threads_init(system);
    mu__timers_init(system);
}

mu_err mu__runtime_start(const mu_system_options *options, mu_system **ret_system)
{
    if (!ret_system || (options && options->size != sizeof *options))
        return MU_EINVAL;
    const mu_sys *sys = options && options->sys ? options->sys : &mu__sys_real;
    mu_system *system = sys->alloc(sizeof *system);
    if (!system)
        return MU_ENOMEM;
    system->sys = sys;
    system->clock = options && options->clock ? options->clock : &mu__clock_monotonic;
    (void)fill_options(system, options);
    const mu_system_options *o = &system->options;
    mu__log_init(&system->log, &o->event_hook, o->log, o->log_ctx, o->log_level);
    init_tables(system);
    mu_err err = make_fork_page(system);
    if (err == MU_OK)
        err = mu__io_start(system);
    if (err != MU_OK) {
        mu__io_stop(system);
        mu__system_free(system);
        return err;
    }
    *ret_system = system;
    return MU_OK;
}

/* ---- stop --------------------------------------------------------------------------------- */

void mu__runtime_close(mu_system *system)
{
    atomic_store(&system->closed, true);
}

void mu__runtime_each(mu_system *system, void (*visit)(void *ctx, mu_pid pid), void *ctx)
{
    mu_lock_acquire(&system->slots_lock);
    uint32_t n = system->n_slots;
    mu_lock_release(&system->slots_lock);
    for (uint32_t i = 0; i < n; i++) {
        mu__actor *chunk = atomic_load(&system->chunks[i >> MU__CHUNK_BITS]);
        mu_pid pid = mu__pid_of(&chunk[i & (MU__CHUNK - 1)]);
        if (mu__living(pid))
            visit(ctx, pid);
    }
}

static void kill_one(void *ctx, mu_pid pid)
{
    (void)ctx;
    mu_reason kill = mu_reason_kill();
    (void)mu__signal_exit(pid, MU_PID_NONE, &kill, false);
}

size_t mu__runtime_stop(mu_system **take_system)
{
    if (!take_system || !*take_system)
        return 0;
    mu_system *system = *take_system;
    *take_system = NULL;
    if (mu__usable(system) == MU_EFORKED)
        return 0; /* its threads are the parent's, its fds are shared with it */
    mu__runtime_close(system);
    int64_t deadline =
        mu_deadline(mu_clock_now(&mu__clock_monotonic), system->options.stop_timeout_ms);
    /* Whoever was being started when the system closed is caught by the second round. */
    for (unsigned look = 0; atomic_load(&system->n_alive) > 0; look++) {
        mu__runtime_each(system, kill_one, NULL);
        mu__park_pause(look); /* those that are left are about to die by somebody else's hand */
    }
    /* Alarms may still deliver to slots while threads end; nothing may once the I/O thread is gone.
     */
    mu__io_stop(system);
    size_t left = mu__threads_stop(system, deadline);
    if (left == 0)
        mu__system_free(system);
    return left;
}

void mu__system_free(mu_system *system) MU_NO_TSA
{
    for (size_t i = 0; i < MU__CHUNKS_MAX; i++) {
        mu__actor *chunk = atomic_load(&system->chunks[i]);
        for (size_t j = 0; chunk && j < MU__CHUNK; j++)
            mu_lock_deinit(&chunk[j].lock);
        free(chunk);
    }
    mu__calls_free(system);
    mu__names_free(system);
    mu__timers_free(system);
    mu__log_deinit(&system->log);
    mu_lock_deinit(&system->slots_lock);
    mu_lock_deinit(&system->calls_lock);
    mu_lock_deinit(&system->threads.lock);
    mu_lock_deinit(&system->io.lock);
    if (system->fork_page)
        (void)munmap((void *)system->fork_page, (size_t)sysconf(_SC_PAGESIZE));
    free(system);
}

/* ---- accessors ---------------------------------------------------------------------------- */

mu_err mu__usable(const mu_system *system)
{
    if (*(const volatile uint32_t *)system->fork_page != 1)
        return MU_EFORKED;
    return atomic_load(&system->closed) ? MU_ESTOPPED : MU_OK;
}

const mu_system_options *mu__options(const mu_system *system)
{
    return &system->options;
}

const mu_sys *mu__sys(const mu_system *system)
{
    return system->sys;
}

const mu_clock *mu__clock(const mu_system *system)
{
    return system->clock;
}

const mu_event_hook *mu__hook(const mu_system *system)
{
    return mu__log_hook(&system->log);
}

mu__log *mu__log_of(mu_system *system)
{
    return &system->log;
}

int64_t mu__now(const mu_system *system)
{
    return mu_clock_now(system->clock);
}

int64_t mu_now(mu_system *system)
{
    return system ? mu__now(system) : mu_clock_now(&mu__clock_monotonic);
}

void *mu__slot_get(const mu_system *system, mu__slot_id id)
{
    return atomic_load(&((mu_system *)system)->upper[id]);
}

void mu__slot_set(mu_system *system, mu__slot_id id, void *value)
{
    atomic_store(&system->upper[id], value);
}

mu_ref mu_make_ref(mu_system *system)
{
    return system ? atomic_fetch_add(&system->next_ref, 1) : 0;
}

size_t mu_system_abandoned_threads(const mu_system *system)
{
    return system ? atomic_load(&((mu_system *)system)->n_abandoned) : 0;
}

size_t mu_system_actors(const mu_system *system)
{
    return system ? atomic_load(&((mu_system *)system)->n_alive) : 0;
}
