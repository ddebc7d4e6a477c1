/*
 * Waiting for what another thread is about to do. Nobody spins there: the other one may have a
 * lower priority (SCHED_FIFO on one processor), and is never run while somebody of a higher one can
 * be.
 *
 * The other thread is held just before it does what is waited for, and the one who waits is seen to
 * sleep; a thread that spins never is.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "runtime/runtime.h"
#include "runtime/system_impl.h"
#include "support/mu_asleep.h"
#include "support/mu_test.h"

enum { PATIENCE_MS = 20000 };

/* ---- a place at which one thread is held ---- */

static _Atomic bool armed, held, let_go;

static void arm(void)
{
    atomic_store(&held, false);
    atomic_store(&let_go, false);
    atomic_store(&armed, true);
}

static void hold(void)
{
    if (!atomic_exchange(&armed, false))
        return;
    atomic_store(&held, true);
    while (!atomic_load(&let_go))
        (void)usleep(1000);
}

mu__push_result __real_mu__mailbox_push(mu__mailbox *mailbox, mu__node *node);
mu__push_result __wrap_mu__mailbox_push(mu__mailbox *mailbox, mu__node *node);
void __real_mu__timers_drop(mu__actor *actor);
void __wrap_mu__timers_drop(mu__actor *actor);

/* In an actor that is just sending. */
mu__push_result __wrap_mu__mailbox_push(mu__mailbox *mailbox, mu__node *node)
{
    hold();
    return __real_mu__mailbox_push(mailbox, node);
}

/* In an actor that is dead, of which not everybody has been told. */
void __wrap_mu__timers_drop(mu__actor *actor)
{
    hold();
    __real_mu__timers_drop(actor);
}

/* ---- somebody who waits ---- */

typedef struct waiting {
    void (*wait)(struct waiting *w);
    mu_system *system;
    mu_pid pid;
    pthread_t thread;
    _Atomic int tid;
    _Atomic bool over;
} waiting;

static void *waiting_main(void *arg)
{
    waiting *w = arg;
    atomic_store(&w->tid, mu_thread_id());
    w->wait(w);
    atomic_store(&w->over, true);
    return NULL;
}

/* It sleeps while the other one is held, and is through with it when that goes on. */
static void check_sleeps(waiting *w, void (*wait)(waiting *w))
{
    w->wait = wait;
    mu_wait_until(atomic_load(&held), PATIENCE_MS);
    mu_check_eq(pthread_create(&w->thread, NULL, waiting_main, w), 0);
    mu_wait_until(atomic_load(&w->tid) && mu_asleep(atomic_load(&w->tid)), PATIENCE_MS);
    mu_check(!atomic_load(&w->over));
    atomic_store(&let_go, true);
    mu_check_eq(pthread_join(w->thread, NULL), 0);
}

static void kill_it(waiting *w)
{
    mu_reason kill = mu_reason_kill();
    mu_check_ok(mu_exit_signal(w->pid, &kill));
}

static void ask_for_it(waiting *w)
{
    mu_check(!mu_alive(w->pid));
}

static void stop_all(waiting *w)
{
    mu_check_eq(mu__runtime_stop(&w->system), 0u);
}

static void send_to_itself(void *arg)
{
    (void)arg;
    arm();
    (void)mu_send(mu_self(), mu_message_tag(1));
}

static void end_at_once(void *arg)
{
    (void)arg;
    arm();
}

static void on_death(mu__death_hook *hook, mu_pid pid)
{
    (void)hook;
    (void)pid;
    hold();
}

static void end_with_a_hook(void *hook)
{
    mu_check_ok(mu__hook_add(mu_self(), hook));
    arm();
}

/* ---- the tests ---- */

MU_TEST(park, a_killer_sleeps_until_its_victim_has_sent_what_it_was_sending, .timeout = 60)
{
    waiting w = {.wait = NULL};
    mu_check_ok(mu__runtime_start(NULL, &w.system));
    mu_check_ok(mu_spawn(w.system, NULL, send_to_itself, NULL, &w.pid));
    check_sleeps(&w, kill_it);
    mu_check_eq(mu__runtime_stop(&w.system), 0u);
}

MU_TEST(park, who_asks_for_a_dying_actor_sleeps_until_its_death_has_been_told, .timeout = 60)
{
    waiting w = {.wait = NULL};
    mu_check_ok(mu__runtime_start(NULL, &w.system));
    mu_check_ok(mu_spawn(w.system, NULL, end_at_once, NULL, &w.pid));
    check_sleeps(&w, ask_for_it);
    mu_check_eq(mu__runtime_stop(&w.system), 0u);
}

MU_TEST(park, a_stop_sleeps_until_an_actor_that_dies_by_itself_is_dead, .timeout = 60)
{
    waiting w = {.wait = NULL};
    mu__death_hook hook = {.run = on_death};
    mu_check_ok(mu__runtime_start(NULL, &w.system));
    mu_check_ok(mu_spawn(w.system, NULL, end_with_a_hook, &hook, &w.pid));
    check_sleeps(&w, stop_all);
}
