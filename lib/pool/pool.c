/*
 * A pool's life (muster/pool.h): tree, parallel start, stop. Called by users; builds on supervisors
 * for control and leaves requests to execute.c and job.c.
 *
 * Start: the tree first, empty of workers; then one starter per worker, at most max_concurrency at
 * once, each adding its worker and waiting until it is ready. Stop: refuse, drain, end the tree.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/dynamic_supervisor.h>
#include <muster/supervisor.h>

#include "base/event.h"
#include "pool/command.h"
#include "pool/pool_impl.h"

/* A worker supervisor that gave up is started once more within this period; then the pool fails. */
enum { TREE_INTENSITY = 1, TREE_PERIOD_MS = 60000, FIND_CALL_MS = 60000 };

/* Before something is tried again for which there was no memory or no thread. */
enum { PAUSE_MS = 10 };

/* ---- the tree ----------------------------------------------------------------------------- */

static mu_err start_worker_supervisor(void *extra, void *arg, mu_pid *ret_pid,
                                      mu_reason *ret_reason)
{
    (void)extra;
    mu_pool *pool = arg;
    mu_dynamic_supervisor_options options = MU_DYNAMIC_SUPERVISOR_OPTIONS_INIT;
    options.label = "workers";
    /*
     * The slots' back-off limits restarts, of each worker by itself; the supervisor's limit is only
     * there if that fails, and holds for as many workers as a resize may bring.
     */
    options.intensity =
        (int)(mu__backoff_most() * MU__WORKERS_MOST + mu__emergency_most() * MU__TYPES_MOST);
    options.period_ms = MU__BACKOFF_WINDOW_NS / MU_MS;
    mu_pid pid;
    mu_err err = mu_dynamic_supervisor_start_link(pool->system, &options, &pid, ret_reason);
    if (err != MU_OK)
        return err;
    mu_lock_acquire(&pool->lock);
    pool->worker_supervisor = pid;
    pool->refill = pool->started;
    mu_lock_release(&pool->lock);
    *ret_pid = pid;
    return MU_OK;
}

static mu_err start_manager(void *extra, void *arg, mu_pid *ret_pid, mu_reason *ret_reason)
{
    (void)extra;
    mu_pool *pool = arg;
    mu_gen_server_options options = MU_GEN_SERVER_OPTIONS_INIT;
    options.name = pool->full_name;
    options.label = "manager";
    return mu_gen_server_start_link(pool->system, &mu__manager_server, pool, &options, ret_pid,
                                    ret_reason);
}

static void fail(mu_pool *pool)
{
    mu__pool_refuse_all(pool, MU__POOL_FAILED);
    mu__pool_tell(pool, "pool.failed", "restarts", TREE_INTENSITY);
}

/* The pool's supervisor has ended: by mu_pool_stop, or because it gave up. */
static void on_supervisor_death(mu__death_hook *hook, mu_pid pid)
{
    (void)pid;
    mu_pool *pool = (mu_pool *)((char *)hook - offsetof(mu_pool, on_supervisor_death));
    if (!mu__pool_closing(pool))
        fail(pool);
    mu__roster_ended(pool);
}

typedef struct tree_start {
    mu_pool *pool;
    mu_err err;
    mu_reason reason;
} tree_start;

/* Apart from the calling actor, which may be told to exit: what is started here borrows the pool.
 */
static void start_tree(void *arg)
{
    tree_start *t = arg;
    mu_pool *pool = t->pool;
    mu_gen_server_options fork_server = MU_GEN_SERVER_OPTIONS_INIT;
    fork_server.trap_exit = true;
    fork_server.label = "fork_server";
    pool->fork_server_options = fork_server;
    const mu_child_spec children[] = {
        MU_CHILD(.id = "fork_server", .server = &mu__fork_server_actor,
                 .server_options = &pool->fork_server_options, .arg = pool->fork_server,
                 .shutdown_ms = pool->options.shutdown_grace_ms + 3000),
        MU_CHILD(.id = "workers", .start = start_worker_supervisor, .arg = pool,
                 .type = MU_SUPERVISOR_CHILD, .shutdown_ms = MU_INFINITY),
        MU_CHILD(.id = "manager", .start = start_manager, .arg = pool),
    };
    mu_supervisor_options tree =
        MU_SUPERVISOR(.label = pool->name, .strategy = MU_REST_FOR_ONE, .intensity = TREE_INTENSITY,
                      .period_ms = TREE_PERIOD_MS, MU_CHILDREN(children));
    if (!pool->fork_server) {
        tree.children++;
        tree.n_children--;
    }
    mu_child_spec spec = MU_CHILD_SPEC_INIT;
    spec.id = pool->full_name;
    spec.supervisor = &tree;
    spec.restart = MU_TEMPORARY;
    mu_pid pid;
    t->err = mu_supervisor_start_child(mu_system_root(pool->system), &spec, &pid, &t->reason);
    if (t->err != MU_OK)
        return;
    mu_lock_acquire(&pool->lock);
    pool->supervisor = pid;
    mu_lock_release(&pool->lock);
    pool->on_supervisor_death.run = on_supervisor_death;
    t->err = mu__hook_add(pid, &pool->on_supervisor_death);
}

/*
 * The pool's own tree, and not one of the same name. When it returns the supervisor's death has
 * been told, its hook included.
 */
static void end_tree(mu_pool *pool)
{
    mu_lock_acquire(&pool->lock);
    mu_pid supervisor = pool->supervisor;
    mu_lock_release(&pool->lock);
    if (mu_pid_is_none(supervisor))
        return;
    mu_reason why = mu_reason_shutdown();
    while (mu_gen_server_stop(supervisor, &why, MU_INFINITY, NULL) == MU_ENOMEM)
        (void)mu_sleep(PAUSE_MS);
}

/* ---- the parallel start ------------------------------------------------------------------- */

/* One starter: an actor on a thread of the system's that takes slots until none is left. */
static void starter(void *arg)
{
    mu_pool *pool = arg;
    for (;;) {
        mu_lock_acquire(&pool->lock);
        bool more = pool->phase == MU__POOL_RUNNING && pool->next_start < pool->first_start;
        mu__slot *slot = more ? pool->slots[pool->next_start++] : NULL;
        if (slot)
            slot->seats[slot->seat].child = true;
        mu_lock_release(&pool->lock);
        if (!slot)
            return;
        mu_pid worker;
        mu_reason reason = mu_reason_normal();
        mu_err err = mu__worker_add(&slot->seats[slot->seat], &worker, &reason);
        if (err == MU_OK)
            err = mu_call(worker, mu_message_tag(MU__POOL_AWAIT_READY), MU_INFINITY, NULL, &reason);
        if (err != MU_OK)
            mu__slot_start_failed(slot, &reason);
    }
}

static void leave_pool(void *arg)
{
    mu__pool_let_go(arg);
}

static mu_err spawn_starters(mu_pool *pool)
{
    mu_spawn_options options = MU_SPAWN_OPTIONS_INIT;
    options.destroy_arg = leave_pool;
    options.label = "starter";
    for (int i = 0; i < pool->options.max_concurrency; i++) {
        mu_lock_acquire(&pool->lock);
        pool->inside++;
        mu_lock_release(&pool->lock);
        mu_pid pid;
        mu_err err = mu_spawn(pool->system, &options, starter, pool, &pid);
        if (err != MU_OK && i == 0)
            return err; /* fewer starters are slower, none is a failure */
    }
    return MU_OK;
}

/* A slot whose progress has not been told yet; marks it as told. */
static mu__slot *untold_locked(mu_pool *pool) MU_REQUIRES(&pool->lock)
{
    for (int i = 0; i < pool->first_start; i++) {
        mu__slot *slot = pool->slots[i];
        bool settled = slot->start >= MU__START_READY;
        if (slot->start == MU__START_SPAWNED && !slot->start_told[0]) {
            slot->start_told[0] = true;
            return slot;
        }
        if (settled && !slot->start_told[1]) {
            slot->start_told[0] = slot->start_told[1] = true;
            return slot;
        }
    }
    return NULL;
}

static bool all_settled_locked(const mu_pool *pool)
{
    for (int i = 0; i < pool->first_start; i++)
        if (!pool->slots[i]->start_told[1])
            return false;
    return true;
}

static bool start_moved(mu_pool *pool)
{
    for (int i = 0; i < pool->first_start; i++) {
        const mu__slot *slot = pool->slots[i];
        if (slot->start == MU__START_SPAWNED
                ? !slot->start_told[0]
                : slot->start >= MU__START_READY && !slot->start_told[1])
            return true;
    }
    return pool->phase != MU__POOL_RUNNING;
}

/* A thread that is cancelled in there is so after the start, which it could not undo. */
static void tell_progress(const mu_pool_options *options, const mu_worker_info *info)
{
    int cancel_state;
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    options->progress(options->progress_ctx, info);
    (void)pthread_setcancelstate(cancel_state, NULL);
}

/* Passes progress on until every worker has settled; runs the callback in the calling thread. */
static mu_err follow_start(mu_pool *pool)
{
    for (;;) {
        mu_lock_acquire(&pool->lock);
        mu__slot *slot = untold_locked(pool);
        mu_worker_info info = slot ? slot->first : (mu_worker_info){0};
        bool settled = all_settled_locked(pool), running = pool->phase == MU__POOL_RUNNING;
        mu_lock_release(&pool->lock);
        if (slot && pool->options.progress)
            tell_progress(&pool->options, &info);
        if (slot)
            continue;
        if (settled)
            return MU_OK;
        if (!running)
            return MU_EUNAVAILABLE;
        if (mu__pool_await(pool, start_moved, MU_NEVER) == MU_EKILLED)
            return MU_EKILLED;
    }
}

/* What keeps all workers from being executed is an error of the system's and told as it is. */
static mu_err common_error_locked(const mu_pool *pool) MU_REQUIRES(&pool->lock)
{
    mu_err first = pool->first_start > 0 ? pool->slots[0]->first.error : MU_OK;
    for (int i = 0; i < pool->first_start; i++)
        if (pool->slots[i]->start == MU__START_READY || pool->slots[i]->first.error != first)
            return MU_ESTART;
    return mu__of_the_system(first) ? first : MU_ESTART;
}

/* The first type of which too few are ready, and how many are; NULL: there is none. */
static const mu__type *type_not_ready_locked(const mu_pool *pool, int *ret_ready)
    MU_REQUIRES(&pool->lock)
{
    for (int i = 0; i < pool->n_types; i++) {
        const mu__type *type = &pool->types[i];
        *ret_ready = 0;
        for (int j = 0; j < pool->first_start; j++)
            *ret_ready += pool->slots[j]->type == type && pool->slots[j]->start == MU__START_READY;
        if (*ret_ready < type->options.min_ready)
            return type;
    }
    return NULL;
}

/* Names every worker that is not ready, with its reason. */
static mu_err count_ready(mu_pool *pool, mu_error *error)
{
    char list[4096];
    size_t used = 0;
    int ready;
    list[0] = '\0';
    mu_lock_acquire(&pool->lock);
    mu_err err = common_error_locked(pool);
    for (int i = 0; i < pool->first_start; i++) {
        const mu__slot *slot = pool->slots[i];
        if (slot->start != MU__START_READY && used < sizeof list - 1) {
            int n = snprintf(list + used, sizeof list - used, "%s: %s\n", slot->first.id,
                             slot->first.reason);
            used += n > 0 ? (size_t)n : 0;
        }
    }
    const mu__type *missing = type_not_ready_locked(pool, &ready);
    mu_lock_release(&pool->lock);
    if (!missing)
        return MU_OK;
    (void)mu_error_set(error, err,
                       "pool '%s'%s%s: %d of %d workers became ready, min_ready is %d; %.200s",
                       pool->name, missing->name[0] ? ", type " : "", missing->name, ready,
                       missing->scale.fill, missing->options.min_ready, list);
    if (error) {
        free(error->detail);
        error->detail = strdup(list);
    }
    return err;
}

/* ---- making and freeing ------------------------------------------------------------------- */

static mu_err make_slots(mu_pool *pool)
{
    mu_err err = MU_OK;
    mu_lock_acquire(&pool->lock);
    for (int i = 0; i < pool->n_types; i++) {
        mu__type *type = &pool->types[i];
        while (err == MU_OK && type->wanted < type->scale.fill)
            err = mu__roster_add_locked(pool, type, pool->started_at) ? MU_OK : MU_ENOMEM;
    }
    pool->first_start = pool->n_slots;
    mu_lock_release(&pool->lock);
    return err;
}

/* What goes on by them must not end for want of memory. */
static mu_err reserve_alarms(mu_pool *pool)
{
    mu_err err = mu__alarm_reserve(pool->system, &pool->alarm);
    return err == MU_OK ? mu__alarm_reserve(pool->system, &pool->upkeep) : err;
}

static void pool_free(mu_pool *pool)
{
    mu__pool_log_close(pool);
    while (pool->all_tickets) {
        mu__ticket *ticket = pool->all_tickets;
        pool->all_tickets = ticket->next_all;
        free(ticket);
    }
    mu__table_deinit(&pool->jobs);
    mu__affinity_deinit(&pool->affinity);
    mu__trace_free(pool->trace);
    mu__fork_server_free(pool->fork_server);
    mu__types_free(pool);
    mu__command_free(pool);
    mu__alarm_release(pool->system, &pool->alarm);
    mu__alarm_release(pool->system, &pool->upkeep);
    for (int i = 0; i < pool->n_slots; i++)
        free(pool->slots[i]);
    mu_lock_deinit(&pool->lock);
    free(pool);
}

/*
 * Requests are numbered from somewhere in the first thousand million: an answer that a worker gives
 * before it was asked must not happen to have the number of the next request.
 */
static uint64_t first_request(int64_t now)
{
    return ((uint64_t)now * UINT64_C(0x9E3779B97F4A7C15)) >> 34; /* Fibonacci hashing, D. Knuth */
}

static mu_err pool_new(mu_system *system, const mu_pool_options *options, mu_pool **ret_pool,
                       mu_error *error)
{
    mu_pool *pool = mu__sys(system)->alloc(sizeof *pool);
    if (!pool)
        return mu_error_set(error, MU_ENOMEM, "no memory for a pool");
    pool->system = system;
    mu_lock_init(&pool->lock);
    mu__queue_init(&pool->queue);
    pool->resting.next = pool->resting.prev = &pool->resting;
    mu__table_init(&pool->jobs, mu__sys(system));
    pool->alarm_at = MU_NEVER;
    pool->upkeep_at = MU_NEVER;
    pool->alarm.fire = mu__overdue_fire;
    pool->upkeep.fire = mu__upkeep_fire;
    pool->started_at = pool->capacity_at = mu__now(system);
    pool->random = (uint32_t)pool->started_at | 1;
    pool->next_request = first_request(pool->started_at);
    mu_err err = mu__pool_configure(pool, options, error);
    mu__affinity_init(&pool->affinity, mu__sys(system), (size_t)pool->options.affinity_sessions,
                      mu_deadline(0, pool->options.affinity_ttl_ms));
    if (err == MU_OK)
        err = make_slots(pool);
    if (err == MU_OK)
        err = reserve_alarms(pool);
    if (err == MU_OK)
        err = mu__trace_new(mu__sys(system), (size_t)pool->options.trace_requests, &pool->trace);
    if (err == MU_OK)
        err = mu__pool_make_fork_server(pool);
    if (err != MU_OK) {
        pool_free(pool);
        return err;
    }
    (void)snprintf(pool->full_name, sizeof pool->full_name, MU__MANAGER_PREFIX "%s", pool->name);
    mu__pool_log_open(pool);
    *ret_pool = pool;
    return MU_OK;
}

static mu_err bring_up(mu_pool *pool, mu_error *error)
{
    tree_start tree = {pool, MU_OK, mu_reason_normal()};
    mu_err err = mu__run_apart(pool->system, start_tree, &tree);
    if (err == MU_OK)
        err = tree.err;
    if (err == MU_EINIT && mu__of_the_system(tree.reason.code))
        err = (mu_err)tree.reason.code;
    if (err == MU_EALREADY_STARTED || err == MU_EALREADY_PRESENT)
        return mu_error_set(error, MU_EALREADY_STARTED, "a pool named '%s' runs already",
                            pool->name);
    if (err != MU_OK)
        return mu_error_set(error, err, "the pool's tree could not be started: %s",
                            tree.reason.text[0] ? tree.reason.text : mu_strerror(err));
    err = spawn_starters(pool);
    if (err == MU_OK)
        err = follow_start(pool);
    if (err != MU_OK)
        return mu_error_set(error, err, "pool '%s': the start was broken off: %s", pool->name,
                            mu_strerror(err));
    err = count_ready(pool, error);
    if (err != MU_OK)
        return err;
    mu_lock_acquire(&pool->lock);
    pool->started = true;
    mu__upkeep_by_locked(pool, mu__now(pool->system));
    mu_lock_release(&pool->lock);
    mu__pool_tell(pool, "pool.ready", "total_ns", mu__now(pool->system) - pool->started_at);
    return MU_OK;
}

mu_err mu_pool_start(mu_system *system, const mu_pool_options *options, mu_pool **ret_pool,
                     mu_error *ret_error)
{
    if (!system || !ret_pool)
        return mu_error_set(ret_error, MU_EINVAL, "system and ret_pool must not be NULL");
    mu_err err = mu__usable(system);
    if (err != MU_OK)
        return mu_error_set(ret_error, err, "%s", mu_strerror(err));
    if (!mu__warden_of(system))
        return mu_error_set(ret_error, MU_EWARDEN, "the system was started with no_children");
    mu_pool *pool;
    err = pool_new(system, options, &pool, ret_error);
    if (err != MU_OK)
        return err;
    err = bring_up(pool, ret_error);
    if (err != MU_OK)
        mu_pool_free(&pool);
    else
        *ret_pool = pool;
    return err;
}

/* ---- stopping
 * ------------------------------------------------------------------------------------------------
 */

static bool nothing_runs(mu_pool *pool)
{
    return pool->running == 0;
}

static bool is_stopped(mu_pool *pool)
{
    return pool->stop_done;
}

static bool nobody_inside(mu_pool *pool)
{
    return pool->inside == 0;
}

/* True for the one who is to do it. The pool stays until mu__pool_let_go. */
static bool claim_stop(mu_pool *pool)
{
    mu_lock_acquire(&pool->lock);
    bool mine = !pool->stop_claimed;
    pool->stop_claimed = true;
    pool->inside++;
    mu_lock_release(&pool->lock);
    return mine;
}

/* In a thread that nobody can tell to exit: half a stop would leave processes and say it is done.
 */
static void do_stop(void *arg)
{
    mu_pool *pool = arg;
    mu__pool_refuse_all(pool, MU__POOL_CLOSING);
    int64_t begun = mu__now(pool->system);
    int64_t deadline = mu_deadline(begun, pool->options.drain_timeout_ms);
    mu__pool_tell(pool, "pool.stop", "drain_timeout_ms", pool->options.drain_timeout_ms);
    if (mu__pool_await(pool, nothing_runs, deadline) != MU_OK)
        mu__slots_interrupt(pool);
    end_tree(pool);
    mu_lock_acquire(&pool->lock);
    pool->phase = MU__POOL_STOPPED; /* from now on no alarm is set again */
    mu_lock_release(&pool->lock);
    (void)mu__alarm_cancel(pool->system, &pool->alarm);
    (void)mu__alarm_cancel(pool->system, &pool->upkeep);
    mu__pool_tell(pool, "pool.stopped", "duration_ns", mu__now(pool->system) - begun);
    mu__pool_stopped(pool);
}

static void stop_and_let_go(void *arg)
{
    do_stop(arg);
    mu__pool_let_go(arg);
}

/* Begins the stop in a thread of its own. Whoever frees the pool finishes what could not begin. */
static void begin_stop(mu_pool *pool)
{
    mu__pool_refuse_all(pool, MU__POOL_CLOSING);
    if (mu__thread_start(pool->system, stop_and_let_go, pool, 0) == MU_OK)
        return;
    mu_lock_acquire(&pool->lock);
    pool->stop_claimed = false;
    mu_lock_release(&pool->lock);
    mu__pool_let_go(pool);
}

void mu_pool_stop(mu_pool *pool)
{
    if (!pool || mu__usable(pool->system) == MU_EFORKED)
        return; /* a forked copy's stop would wait for threads that it does not have */
    bool mine = claim_stop(pool), inside = mu__pool_from_inside(pool) || mu__emitting();
    if (mine && inside) {
        begin_stop(pool);
        return;
    }
    if (mine)
        while (mu__run_apart(pool->system, do_stop, pool) != MU_OK)
            (void)mu__sys(pool->system)->poll(NULL, 0, PAUSE_MS);
    else if (!inside)
        mu__pool_await_out(pool, is_stopped);
    mu__pool_let_go(pool);
}

void mu_pool_free(mu_pool **take_pool)
{
    if (!take_pool || !*take_pool)
        return;
    mu_pool *pool = *take_pool;
    *take_pool = NULL;
    if (mu__usable(pool->system) == MU_EFORKED)
        return; /* the parent's, with all that is in it */
    mu_pool_stop(pool);
    mu__pool_await_out(pool, nobody_inside);
    pool_free(pool);
}

mu_pool *mu_pool_find(mu_system *system, const char *name)
{
    char full[MU_NAME_MAX + 1];
    if (!system || !name || strlen(name) > MU_NAME_MAX - strlen(MU__MANAGER_PREFIX))
        return NULL;
    (void)snprintf(full, sizeof full, "%s%s", MU__MANAGER_PREFIX, name);
    mu_message reply;
    mu_pid manager = mu_whereis(system, full);
    if (mu_pid_is_none(manager) ||
        mu_call(manager, mu_message_tag(MU__POOL_WHO), FIND_CALL_MS, &reply, NULL) != MU_OK)
        return NULL;
    return reply.data;
}
