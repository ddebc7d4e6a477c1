/*
 * A worker that goes straight to who waits for it: who is woken, and what becomes of one whose
 * waiting ends at that very moment.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "pool/pool_impl.h"
#include "pool/pool_rig.h"
#include "pool/ticket_rig.h"
#include "support/mu_asleep.h"

enum { PATIENCE_MS = 20000, WAITERS = 100 };

static void prepare(pool_rig *rig)
{
    rig_prepare(rig, 1);
    rig->options.executable = MU_TEST_ECHO_WORKER;
    rig->options.python_path = NULL;
    rig->options.queue_timeout_ms = MU_INFINITY;
    rig->options.cancel_grace_ms = 3600000;
    mu_check_ok(rig_open(rig));
}

static bool wait_in_queue(pool_rig *rig, int n)
{
    mu_pool_stats stats;
    mu_pool_stats_get(rig->pool, &stats);
    return stats.queued == n;
}

/* ---- who is woken ---- */

/* All notifications while they are counted; a late one is in nobody's way. */
static _Atomic bool counting;
static _Atomic int n_notified;
static mu__waiter *_Atomic notified[100 * WAITERS];

void __real_mu__notify(mu__waiter *waiter);
void __wrap_mu__notify(mu__waiter *waiter);
void __wrap_mu__notify(mu__waiter *waiter)
{
    if (atomic_load(&counting)) {
        int n = atomic_fetch_add(&n_notified, 1);
        if (n < 100 * WAITERS)
            atomic_store(&notified[n], waiter);
    }
    __real_mu__notify(waiter);
}

static int times_notified(const mu__ticket *ticket)
{
    int times = 0;
    for (int i = 0; i < atomic_load(&n_notified); i++)
        times += atomic_load(&notified[i]) == &ticket->waiter;
    return times;
}

static void *wait_for_worker(void *arg)
{
    pool_rig *rig = arg;
    mu_check_ok(mu_pool_execute(rig->pool, "ping", NULL, NULL, NULL, NULL));
    return NULL;
}

/*
 * A worker is freed a hundred times while others wait, and each time one of them is notified: a
 * hundred in all, one for each. With a herd it would be all who wait each time: five thousand.
 */
MU_TEST(handover, a_freed_worker_wakes_one_of_a_hundred_who_wait_and_nobody_else, .timeout = 60)
{
    pool_rig rig;
    pthread_t threads[WAITERS];
    prepare(&rig);
    mu__ticket *first = ticket_take(rig.pool, &(ticket_wish){0});
    atomic_store(&counting, true);
    for (int i = 0; i < WAITERS; i++)
        mu_check_eq(pthread_create(&threads[i], NULL, wait_for_worker, &rig), 0);
    mu_wait_until(wait_in_queue(&rig, WAITERS), PATIENCE_MS);
    for (const mu__ticket *t = rig.pool->all_tickets; t; t = t->next_all)
        mu_check_eq(times_notified(t), 0);
    ticket_give_back_unused(rig.pool, first);
    for (int i = 0; i < WAITERS; i++)
        mu_check_eq(pthread_join(threads[i], NULL), 0);
    atomic_store(&counting, false);
    mu_check_le(atomic_load(&n_notified), 100 * WAITERS);
    int tickets = 0;
    for (const mu__ticket *t = rig.pool->all_tickets; t; t = t->next_all, tickets++)
        mu_check_eq(times_notified(t), t == first ? 0 : 1);
    mu_check_eq(tickets, WAITERS + 1);
    rig_check_books(&rig);
    rig_stop(&rig);
}

/* ---- one whose waiting ends just then ---- */

/* Whoever gives the worker back is held when it has chosen who is next, and before that one has
 * been told, or its request sent. */
static _Atomic bool armed, held, let_go, too_late;

void __real_mu__ticket_begin(mu_pool *pool, mu__ticket *ticket);
void __wrap_mu__ticket_begin(mu_pool *pool, mu__ticket *ticket);
void __wrap_mu__ticket_begin(mu_pool *pool, mu__ticket *ticket)
{
    if (atomic_exchange(&armed, false)) {
        atomic_store(&held, true);
        while (!atomic_load(&let_go))
            (void)usleep(1000);
    }
    __real_mu__ticket_begin(pool, ticket);
}

bool __real_mu__ticket_withdraw(mu_pool *pool, mu__ticket *ticket);
bool __wrap_mu__ticket_withdraw(mu_pool *pool, mu__ticket *ticket);
bool __wrap_mu__ticket_withdraw(mu_pool *pool, mu__ticket *ticket)
{
    bool waited = __real_mu__ticket_withdraw(pool, ticket);
    if (!waited)
        atomic_store(&too_late, true);
    return waited;
}

typedef struct caller {
    pool_rig *rig;
    const char *text;
    _Atomic int tid;
    _Atomic mu_err err; /* MU_ENOTACTOR: it has none yet */
} caller;

static void call(void *arg)
{
    caller *c = arg;
    atomic_store(&c->tid, mu_thread_id());
    atomic_store(&c->err, mu_pool_executef(c->rig->pool, "echo", NULL, NULL, NULL, "s", c->text));
}

typedef struct giving {
    mu_pool *pool;
    mu__ticket *ticket;
} giving;

static void *give_back_in_thread(void *arg)
{
    giving *g = arg;
    ticket_give_back_unused(g->pool, g->ticket);
    return NULL;
}

/* An actor that waits is killed when it has been chosen and not been told; it sleeps until it is,
 * for who spins may never let the other one run. */
static void kill_the_chosen(pool_rig *rig, const char *text)
{
    giving g = {rig->pool, ticket_take(rig->pool, &(ticket_wish){0})};
    caller c = {.rig = rig, .text = text, .err = MU_ENOTACTOR};
    mu_pid pid;
    pthread_t giver;
    mu_reason kill_it = mu_reason_kill();
    mu_check_ok(mu_spawn(rig->system, NULL, call, &c, &pid));
    mu_wait_until(wait_in_queue(rig, 1), PATIENCE_MS);
    atomic_store(&held, false);
    atomic_store(&let_go, false);
    atomic_store(&too_late, false);
    atomic_store(&armed, true);
    mu_check_eq(pthread_create(&giver, NULL, give_back_in_thread, &g), 0);
    mu_wait_until(atomic_load(&held), PATIENCE_MS);
    mu_check_ok(mu_exit_signal(pid, &kill_it));
    mu_wait_until(atomic_load(&too_late) && mu_asleep(atomic_load(&c.tid)), PATIENCE_MS);
    mu_check_eq((int)atomic_load(&c.err), MU_ENOTACTOR);
    atomic_store(&let_go, true);
    mu_check_eq(pthread_join(giver, NULL), 0);
    mu_wait_until(atomic_load(&c.err) != MU_ENOTACTOR, PATIENCE_MS);
    mu_check_err(atomic_load(&c.err), MU_ECANCELLED);
}

MU_TEST(handover, who_is_killed_as_its_request_is_sent_leaves_a_worker_that_is_not_free,
        .timeout = 60)
{
    pool_rig rig;
    prepare(&rig);
    mu_worker_info worker = rig_worker(&rig, 0);
    mu_check_eq(kill(worker.os_pid, SIGSTOP), 0);
    kill_the_chosen(&rig, "short");
    mu_wait_until(rig_worker(&rig, 0).state == MU_WORKER_DRAINING, PATIENCE_MS);
    mu_check_eq(kill(worker.os_pid, SIGCONT), 0);
    mu_wait_until(rig_available(&rig) == 1, PATIENCE_MS);
    mu_pool_stats stats;
    mu_pool_stats_get(rig.pool, &stats);
    mu_check_eq(stats.late_replies, 1u);
    mu_check_eq(rig_worker(&rig, 0).generation, 1u);
    mu_check_ok(rig_run(&rig, "ping"));
    rig_check_books(&rig);
    rig_stop(&rig);
}

MU_TEST(handover, who_is_killed_before_its_request_is_sent_leaves_a_free_worker, .timeout = 60)
{
    static char text[8192]; /* too long to be sent by another thread */
    pool_rig rig;
    memset(text, 'x', sizeof text - 1);
    prepare(&rig);
    kill_the_chosen(&rig, text);
    mu_check_eq(rig_worker(&rig, 0).state, MU_WORKER_IDLE);
    mu_check_eq(rig_worker(&rig, 0).requests, 0u);
    mu_check_ok(rig_run(&rig, "ping"));
    rig_check_books(&rig);
    rig_stop(&rig);
}
