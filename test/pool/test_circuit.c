/*
 * The circuit of a single worker: one that fails while others serve is held, and comes back. Which
 * worker fails is what its script says by its id; requests go by turns, as all workers are idle
 * whenever one is asked.
 */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pool/look_rig.h"
#include "pool/pool_impl.h"
#include "pool/ticket_rig.h"

/* What worker_1 dies of, and others answer. */
#define DIES "os._exit(3) if worker.id == 'worker_1' else 7"

typedef struct heard {
    _Atomic int opened, closed; /* worker_1's */
} heard;

static void hear(void *ctx, const mu_event *event)
{
    heard *h = ctx;
    if (strncmp(event->name, "circuit.", 8) != 0 ||
        strcmp(event->metadata[1].value, "worker_1") != 0)
        return;
    atomic_fetch_add(strcmp(event->name, "circuit.open") == 0 ? &h->opened : &h->closed, 1);
}

static void prepare(pool_rig *rig, heard *h, int size, int threshold)
{
    rig_prepare_heard(rig, size, (mu_event_hook){hear, h});
    rig->options.script = LOOK_WORKER;
    rig->options.balance = MU_BALANCE_LRU;
    rig->options.breaker_threshold = threshold;
    rig->options.breaker_reset_ms = 3600000;
    rig->options.poison_limit = -1;
    rig->options.queue_timeout_ms = MU_INFINITY;
}

static mu_err ask(pool_rig *rig, const char *expression)
{
    mu_error_clear(&rig->error);
    return mu_pool_executef(rig->pool, "look", NULL, NULL, &rig->error, "s", expression);
}

static mu_pool_stats stats_of(pool_rig *rig)
{
    mu_pool_stats stats;
    mu_pool_stats_get(rig->pool, &stats);
    return stats;
}

/* All workers have nothing to do: the one unused for longest is next, and that is another. */
static bool is_calm(pool_rig *rig)
{
    mu_pool_stats s = stats_of(rig);
    return s.available + s.held == s.workers;
}

/* Asks until so many have crashed; nobody but those who do fails. */
static void crash(pool_rig *rig, const char *expression, uint64_t times)
{
    while (stats_of(rig).crashed < times) {
        mu_wait_until(is_calm(rig), 20000);
        mu_err err = ask(rig, expression);
        mu_check(err == MU_OK || err == MU_ECRASHED);
        mu_check_lt(stats_of(rig).requests, 40u);
    }
    mu_wait_until(is_calm(rig), 20000);
    mu_check_eq(stats_of(rig).breaker_openings, 0u); /* the pool's own */
}

MU_TEST(circuit, a_worker_that_fails_while_another_serves_is_held_and_costs_no_more_requests)
{
    heard h = {0};
    pool_rig rig;
    prepare(&rig, &h, 2, 2);
    mu_check_ok(rig_open(&rig));
    crash(&rig, DIES, 2);
    mu_check_eq(atomic_load(&h.opened), 1);
    mu_check_eq(rig_worker(&rig, 0).breaker, MU_BREAKER_OPEN);
    mu_check_eq(rig_worker(&rig, 1).breaker, MU_BREAKER_CLOSED);
    mu_check_eq(stats_of(&rig).held, 1);
    for (int i = 0; i < 10; i++)
        mu_check_ok(ask(&rig, DIES));
    mu_check_eq(rig_available(&rig), 1);
    mu_pool_health health;
    char *tree;
    mu_check_ok(mu_pool_health_check(rig.pool, &health));
    mu_check_eq(health.status, MU_HEALTH_DEGRADED);
    mu_check_contains(health.reasons, "held by their circuit breaker");
    mu_wait_until(stats_of(&rig).held == 1, 20000); /* it is again after its check */
    mu_check_ok(mu_pool_tree(rig.pool, &tree));
    mu_check_contains(tree, "circuit open");
    free(tree);
    rig_check_books(&rig);
    rig_stop(&rig);
}

MU_TEST(circuit, who_is_held_goes_back_to_work_when_the_others_are_lost)
{
    heard h = {0};
    pool_rig rig;
    prepare(&rig, &h, 2, 2);
    rig.options.restart = MU_POOL_TRANSIENT; /* one that leaves with status 0 is not replaced */
    mu_check_ok(rig_open(&rig));
    crash(&rig, DIES, 2);
    mu_check_eq(stats_of(&rig).held, 1);
    mu_check_ok(ask(&rig, DIES)); /* or the next would be the second in a row for the pool */
    mu_check_err(ask(&rig, "os._exit(0) if worker.id == 'worker_2' else 7"), MU_ECRASHED);
    mu_check_ok(ask(&rig, "7"));
    mu_check_eq(rig_worker(&rig, 1).generation, 1u);
    rig_stop(&rig);
}

MU_TEST(circuit, who_is_held_is_the_first_to_go_when_there_are_too_many)
{
    heard h = {0};
    pool_rig rig;
    prepare(&rig, &h, 2, 2);
    mu_check_ok(rig_open(&rig));
    crash(&rig, DIES, 2);
    mu_check_ok(mu_pool_resize(rig.pool, 1));
    mu_wait_until(stats_of(&rig).workers == 1, 20000);
    mu_check_eq(stats_of(&rig).held, 0);
    mu_check_ok(ask(&rig, DIES));
    rig_stop(&rig);
}

MU_TEST(circuit, a_probe_after_the_rest_brings_the_worker_back)
{
    heard h = {0};
    pool_rig rig;
    prepare(&rig, &h, 2, 2);
    rig.options.breaker_reset_ms = 1;
    mu_check_ok(rig_open(&rig));
    crash(&rig, DIES, 2);
    mu_wait_until(ask(&rig, "7") == MU_OK && rig_worker(&rig, 0).breaker == MU_BREAKER_CLOSED,
                  20000);
    mu_check_eq(atomic_load(&h.opened), 1);
    mu_check_eq(atomic_load(&h.closed), 1);
    mu_wait_until(rig_available(&rig) == 2, 20000);
    rig_stop(&rig);
}

MU_TEST(circuit, no_more_are_held_than_others_serve)
{
    heard h = {0};
    pool_rig rig;
    prepare(&rig, &h, 3, 3);
    mu_check_ok(rig_open(&rig));
    crash(&rig, "os._exit(3) if worker.id != 'worker_3' else 7", 6); /* three times two */
    mu_check_eq(rig_worker(&rig, 0).breaker, MU_BREAKER_OPEN);
    mu_check_eq(rig_worker(&rig, 1).breaker, MU_BREAKER_OPEN);
    mu_check_eq(stats_of(&rig).held, 1);
    rig_stop(&rig);
}

/* Two deaths are enough for a circuit, and the third is in the worker that had the first. */
MU_TEST(circuit, a_request_that_has_killed_before_is_no_fault_of_the_worker)
{
    heard h = {0};
    pool_rig rig;
    prepare(&rig, &h, 2, 2);
    rig.options.poison_limit = 3;
    mu_check_ok(rig_open(&rig));
    for (int i = 0; i < 3; i++) {
        mu_wait_until(is_calm(&rig), 20000);
        mu_check_err(ask(&rig, "os._exit(3)"), MU_ECRASHED);
    }
    mu_check_err(ask(&rig, "os._exit(3)"), MU_EQUARANTINED);
    mu_check_eq(rig_worker(&rig, 0).breaker, MU_BREAKER_CLOSED);
    mu_check_eq(rig_worker(&rig, 1).breaker, MU_BREAKER_CLOSED);
    mu_check_eq(stats_of(&rig).breaker_openings, 0u);
    rig_stop(&rig);
}

/* ---- those that are held when others are lost ---- */

/* Two workers of which the first is held: its circuit is open, as if it had failed just now. */
static void hold_the_first(pool_rig *rig)
{
    mu_execute_options at_once = MU_EXECUTE_OPTIONS_INIT;
    at_once.queue_timeout_ms = -1;
    mu_lock_acquire(&rig->pool->lock);
    mu__slot *slot = rig->pool->slots[0];
    slot->breaker.state = MU_BREAKER_OPEN;
    slot->breaker.opened_at = mu__now(rig->system);
    mu_lock_release(&rig->pool->lock);
    mu_wait_until(mu_pool_execute(rig->pool, "ping", NULL, &at_once, NULL, NULL) == MU_OK &&
                      stats_of(rig).held == 1,
                  20000);
}

static void open_echo_pool(pool_rig *rig, heard *h, const char *executable)
{
    prepare(rig, h, 2, 2);
    rig->options.script = NULL;
    rig->options.python_path = NULL;
    rig->options.executable = executable;
    rig->options.health_check_interval_ms = MU_INFINITY;
    mu_check_ok(rig_open(rig));
    hold_the_first(rig);
}

/* No generation comes after it that could bring the held one back. */
MU_TEST(circuit, who_is_held_goes_back_to_work_as_soon_as_the_last_other_has_died)
{
    heard h = {0};
    pool_rig rig;
    char dir[] = "/tmp/muster-circuit-XXXXXX", copy[64], command[256];
    mu_check(mkdtemp(dir));
    (void)snprintf(copy, sizeof copy, "%s/worker", dir);
    (void)snprintf(command, sizeof command, "cp '%s' '%s'", MU_TEST_ECHO_WORKER, copy);
    mu_check_eq(system(command), 0);
    open_echo_pool(&rig, &h, copy);
    mu_check_eq(unlink(copy), 0);
    mu_check_eq(kill(rig_worker(&rig, 1).os_pid, SIGKILL), 0);
    mu_wait_until(stats_of(&rig).held == 0, 20000);
    mu_check_ok(rig_run(&rig, "ping"));
    rig_stop(&rig);
    mu_check_eq(rmdir(dir), 0);
}

MU_TEST(circuit, who_is_held_goes_back_to_work_as_soon_as_the_circuit_of_the_last_other_opens)
{
    heard h = {0};
    pool_rig rig;
    open_echo_pool(&rig, &h, MU_TEST_ECHO_WORKER);
    for (int i = 0; i < 2; i++) {
        mu__ticket *ticket = ticket_take(rig.pool, &(ticket_wish){0});
        mu_check_eq(ticket->slot->index, 1);
        ticket_answered(rig.pool, ticket, MU_EPROTOCOL);
    }
    mu_check_eq(rig_worker(&rig, 1).breaker, MU_BREAKER_OPEN);
    mu_wait_until(stats_of(&rig).held == 0, 20000);
    rig_stop(&rig);
}
