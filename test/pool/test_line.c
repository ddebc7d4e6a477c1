/* Who waits for which worker: what becomes of the requests of a session. */
#include <signal.h>
#include <stdio.h>

#include "pool/pool_impl.h"
#include "pool/pool_rig.h"
#include "pool/ticket_rig.h"

/* ---- on workers --------------------------------------------------------------------------- */

static void start_affine(pool_rig *rig, int size, mu_affinity affinity)
{
    rig_prepare(rig, size);
    rig->options.session_affinity = affinity;
    rig->options.min_ready = size;
    rig->options.balance = MU_BALANCE_LRU; /* without a bond every request goes elsewhere */
    mu_check_ok(rig_open(rig));
}

/* A request of the session; the error stays in rig->error. */
static mu_err ask(pool_rig *rig, const char *session)
{
    mu_execute_options options = MU_EXECUTE_OPTIONS_INIT;
    options.session = session;
    return rig_ask(rig, "ping", NULL, &options, NULL);
}

/* Which worker runs a request of the session: the one that has run one more. */
static int served_by(pool_rig *rig, const char *session)
{
    uint64_t before[8];
    mu_pool_stats stats;
    mu_pool_stats_get(rig->pool, &stats);
    for (int i = 0; i < stats.workers; i++)
        before[i] = rig_worker(rig, i).requests;
    mu_check_ok(ask(rig, session));
    for (int i = 0; i < stats.workers; i++)
        if (rig_worker(rig, i).requests > before[i])
            return i;
    return -1;
}

static mu__ticket *hold(pool_rig *rig, const char *session)
{
    return ticket_take(rig->pool, &(ticket_wish){.session = session});
}

static mu__ticket *queue_up(pool_rig *rig, const char *session)
{
    return ticket_queue(rig->pool, &(ticket_wish){.session = session});
}

static mu__ticket_state state_of(mu__ticket *ticket)
{
    return atomic_load(&ticket->state);
}

static mu_pool_stats stats_of(pool_rig *rig)
{
    mu_pool_stats stats;
    mu_pool_stats_get(rig->pool, &stats);
    return stats;
}

/* Kills the worker's process and waits until its slot has a new one. */
static void replace(pool_rig *rig, int index)
{
    mu_worker_info old = rig_worker(rig, index);
    mu_check_eq(kill(old.os_pid, SIGKILL), 0);
    mu_wait_until(rig_worker(rig, index).generation > old.generation &&
                      rig_worker(rig, index).state == MU_WORKER_IDLE,
                  20000);
}

MU_TEST(line, off_means_that_a_session_goes_anywhere)
{
    pool_rig rig;
    start_affine(&rig, 2, MU_AFFINITY_OFF);
    int first = served_by(&rig, "a");
    mu_check(served_by(&rig, "a") != first);
    mu_check_ok(ask(&rig, "")); /* means nothing to the pool */
    mu_check_eq(stats_of(&rig).sessions, 0);
    rig_stop(&rig);
}

MU_TEST(line, prefer_keeps_a_session_on_its_worker_while_that_is_free)
{
    pool_rig rig;
    start_affine(&rig, 3, MU_AFFINITY_PREFER);
    int a = served_by(&rig, "a"), b = served_by(&rig, "b");
    mu_check(a != b);
    for (int i = 0; i < 5; i++) {
        mu_check_eq(served_by(&rig, "a"), a);
        mu_check_eq(served_by(&rig, "b"), b);
    }
    mu_check_eq(stats_of(&rig).sessions, 2);
    rig_stop(&rig);
}

MU_TEST(line, prefer_takes_another_worker_rather_than_to_wait_and_stays_with_it)
{
    pool_rig rig;
    start_affine(&rig, 2, MU_AFFINITY_PREFER);
    mu__ticket *held = hold(&rig, "a");
    int first = held->slot->index, second = served_by(&rig, "a");
    mu_check(second != first);
    ticket_give_back(rig.pool, held);
    mu_check_eq(served_by(&rig, "a"), second);
    rig_stop(&rig);
}

MU_TEST(line, prefer_does_not_hear_of_a_worker_that_died)
{
    pool_rig rig;
    start_affine(&rig, 1, MU_AFFINITY_PREFER);
    mu_check_ok(ask(&rig, "a"));
    replace(&rig, 0);
    mu_check_ok(ask(&rig, "a"));
    mu_check_eq(stats_of(&rig).sessions_lost, 0u);
    rig_stop(&rig);
}

MU_TEST(line, require_waits_for_the_worker_of_the_session_while_others_are_idle)
{
    pool_rig rig;
    start_affine(&rig, 2, MU_AFFINITY_REQUIRE);
    mu__ticket *held = hold(&rig, "a");
    mu__ticket *second = queue_up(&rig, "a"), *third = queue_up(&rig, "a");
    mu_check_eq(stats_of(&rig).available, 1);
    mu_check_eq(stats_of(&rig).queued, 2);
    mu_check(served_by(&rig, "b") != held->slot->index);
    ticket_give_back(rig.pool, held);
    mu_check_eq(state_of(second), MU__TICKET_SERVED);
    mu_check_eq(state_of(third), MU__TICKET_WAITING);
    mu__slot *slot = second->slot;
    ticket_give_back(rig.pool, second);
    mu_check(third->slot == slot);
    ticket_give_back(rig.pool, third);
    mu_check_eq(stats_of(&rig).queued, 0);
    rig_stop(&rig);
}

MU_TEST(line, requests_that_wait_with_the_first_of_their_session_follow_it_to_its_worker)
{
    pool_rig rig;
    start_affine(&rig, 2, MU_AFFINITY_REQUIRE);
    mu__ticket *one = hold(&rig, NULL), *two = hold(&rig, NULL);
    mu__ticket *first = queue_up(&rig, "a"), *second = queue_up(&rig, "a");
    mu__ticket *other = queue_up(&rig, NULL);
    ticket_give_back(rig.pool, one);
    mu_check_eq(state_of(first), MU__TICKET_SERVED);
    ticket_give_back(rig.pool,
                     two); /* is nothing for the second one, however long that has waited */
    mu_check_eq(state_of(second), MU__TICKET_WAITING);
    mu_check_eq(state_of(other), MU__TICKET_SERVED);
    mu__slot *slot = first->slot;
    ticket_give_back(rig.pool, first);
    mu_check_eq(state_of(second), MU__TICKET_SERVED);
    mu_check(second->slot == slot);
    ticket_give_back(rig.pool, other);
    ticket_give_back(rig.pool, second);
    rig_check_books(&rig);
    rig_stop(&rig);
}

MU_TEST(line, a_session_whose_first_requests_were_all_withdrawn_is_not_known)
{
    pool_rig rig;
    start_affine(&rig, 1, MU_AFFINITY_REQUIRE);
    mu__ticket *held = hold(&rig, NULL);
    mu__ticket *first = queue_up(&rig, "a"), *second = queue_up(&rig, "a");
    mu_check(mu__ticket_withdraw(rig.pool, first));
    mu_check_eq(stats_of(&rig).sessions, 1);
    mu_check_ok(mu_pool_forget_session(rig.pool, "a")); /* does not concern who waits */
    mu_check(mu__ticket_withdraw(rig.pool, second));
    mu_check_eq(stats_of(&rig).sessions, 0);
    ticket_leave(rig.pool, first, MU_EQUEUE_TIMEOUT);
    ticket_leave(rig.pool, second, MU_EQUEUE_TIMEOUT);
    ticket_give_back(rig.pool, held);
    rig_stop(&rig);
}

MU_TEST(line, a_session_in_line_goes_before_or_after_others_by_when_it_came)
{
    pool_rig rig;
    start_affine(&rig, 1, MU_AFFINITY_REQUIRE);
    mu__ticket *held = hold(&rig, "a");
    mu__ticket *before = queue_up(&rig, NULL), *own = queue_up(&rig, "a");
    mu__ticket *after = queue_up(&rig, "b");
    ticket_give_back(rig.pool, held);
    mu_check_eq(state_of(before), MU__TICKET_SERVED);
    ticket_give_back(rig.pool, before);
    mu_check_eq(state_of(own), MU__TICKET_SERVED);
    ticket_give_back(rig.pool, own);
    mu_check_eq(state_of(after), MU__TICKET_SERVED);
    ticket_give_back(rig.pool, after);
    rig_stop(&rig);
}

MU_TEST(line, a_session_whose_worker_died_is_lost_until_it_is_forgotten)
{
    pool_rig rig;
    start_affine(&rig, 2, MU_AFFINITY_REQUIRE);
    replace(&rig, served_by(&rig, "a"));
    for (int i = 0; i < 3; i++) {
        mu_check_err(ask(&rig, "a"), MU_ESESSION_LOST);
        mu_check_contains(rig.error.message, "session 'a'");
        mu_check_contains(rig.error.message, "mu_pool_forget_session");
    }
    mu_check_eq(stats_of(&rig).sessions_lost, 3u);
    mu_check_ok(ask(&rig, "b"));
    mu_check_ok(mu_pool_forget_session(rig.pool, "a"));
    mu_check_err(mu_pool_forget_session(rig.pool, "a"), MU_ENOTFOUND);
    int again = served_by(&rig, "a");
    mu_check_eq(served_by(&rig, "a"), again);
    rig_check_books(&rig);
    rig_stop(&rig);
}

MU_TEST(line, those_in_line_for_a_worker_that_dies_hear_it_at_once)
{
    pool_rig rig;
    start_affine(&rig, 2, MU_AFFINITY_REQUIRE);
    mu__ticket *held = hold(&rig, "a"), *waits = queue_up(&rig, "a");
    mu_check_eq(kill(rig_worker(&rig, held->slot->index).os_pid, SIGKILL), 0);
    mu_wait_until(state_of(waits) == MU__TICKET_REFUSED, 20000);
    mu_check_eq(waits->refusal, MU_ESESSION_LOST);
    ticket_leave(rig.pool, waits, MU_ESESSION_LOST);
    mu__reply reply = {.err = MU_ECRASHED};
    mu__slot_end(held, MU__EXCHANGE_DEAD, &reply);
    ticket_leave(rig.pool, held, MU_ECRASHED);
    mu_check_eq(stats_of(&rig).queued, 0);
    rig_check_books(&rig);
    rig_stop(&rig);
}

static void *execute_in_session(void *arg)
{
    mu_execute_options options = MU_EXECUTE_OPTIONS_INIT;
    options.session = "a";
    return (void *)(intptr_t)mu_pool_execute(arg, "ping", NULL, &options, NULL, NULL);
}

static void *roll(void *arg)
{
    return (void *)(intptr_t)mu_pool_rolling_restart(arg, 20000, NULL);
}

static bool has_ready_successor(mu_pool *pool, mu__slot *slot)
{
    mu_lock_acquire(&pool->lock);
    bool ready = slot->next.channel != NULL;
    mu_lock_release(&pool->lock);
    return ready;
}

MU_TEST(line, callers_and_jobs_in_line_for_a_worker_that_is_relieved_hear_it_at_once)
{
    pool_rig rig;
    start_affine(&rig, 1, MU_AFFINITY_REQUIRE);
    mu__ticket *held = hold(&rig, "a");
    pthread_t caller, roller;
    void *err;
    mu_check_eq(pthread_create(&caller, NULL, execute_in_session, rig.pool), 0);
    mu_future *future;
    mu_execute_options options = MU_EXECUTE_OPTIONS_INIT;
    options.session = "a";
    mu_check_ok(mu_pool_submit_future(rig.pool, "ping", NULL, &options, &future));
    mu_wait_until(stats_of(&rig).queued == 2, 10000);
    mu_check_eq(pthread_create(&roller, NULL, roll, rig.pool), 0);
    mu_wait_until(has_ready_successor(rig.pool, held->slot), 20000);
    ticket_give_back(rig.pool, held);
    mu_check_eq(pthread_join(caller, &err), 0);
    mu_check_err((mu_err)(intptr_t)err, MU_ESESSION_LOST);
    mu_check_err(mu_future_wait(future, 20000, NULL, NULL), MU_ESESSION_LOST);
    mu_future_free(&future);
    mu_check_eq(pthread_join(roller, &err), 0);
    mu_check_err((mu_err)(intptr_t)err, MU_OK);
    mu_check_err(ask(&rig, "a"), MU_ESESSION_LOST);
    rig_check_books(&rig);
    rig_stop(&rig);
}

MU_TEST(line, a_worker_that_leaves_by_a_resize_takes_its_sessions_along)
{
    pool_rig rig;
    start_affine(&rig, 2, MU_AFFINITY_REQUIRE);
    mu_check(served_by(&rig, "a") != served_by(&rig, "b"));
    mu_check_ok(mu_pool_resize(rig.pool, 1));
    mu_wait_until(stats_of(&rig).workers == 1, 20000);
    mu_err a = ask(&rig, "a"), b = ask(&rig, "b");
    mu_check((a == MU_OK && b == MU_ESESSION_LOST) || (b == MU_OK && a == MU_ESESSION_LOST));
    rig_stop(&rig);
}

MU_TEST(line, a_request_in_line_is_cancelled_like_any_other)
{
    pool_rig rig;
    start_affine(&rig, 1, MU_AFFINITY_REQUIRE);
    mu__ticket *held = hold(&rig, "a");
    mu_future *future;
    mu_execute_options options = MU_EXECUTE_OPTIONS_INIT;
    options.session = "a";
    mu_check_ok(mu_pool_submit_future(rig.pool, "ping", NULL, &options, &future));
    mu_check_eq(stats_of(&rig).queued, 1);
    mu_check_ok(mu_future_cancel(future));
    mu_check_eq(stats_of(&rig).queued, 0);
    mu_check_err(mu_future_wait(future, 20000, NULL, NULL), MU_ECANCELLED);
    mu_future_free(&future);
    ticket_give_back(rig.pool, held);
    mu_check_ok(ask(&rig, "a")); /* the session is where it was */
    rig_stop(&rig);
}

MU_TEST(line, deadlines_and_the_bound_of_the_queue_hold_in_line_too)
{
    pool_rig rig;
    rig_prepare(&rig, 2);
    rig.options.session_affinity = MU_AFFINITY_REQUIRE;
    rig.options.min_ready = 2;
    rig.options.max_queue_size = 1;
    mu_check_ok(rig_open(&rig));
    mu__ticket *held = hold(&rig, "a");
    mu_execute_options options = MU_EXECUTE_OPTIONS_INIT;
    options.session = "a";
    options.queue_timeout_ms = 1;
    mu_check_err(rig_ask(&rig, "ping", NULL, &options, NULL), MU_EQUEUE_TIMEOUT);
    options.queue_timeout_ms = -1;
    mu_check_err(rig_ask(&rig, "ping", NULL, &options, NULL), MU_EQUEUE_TIMEOUT);
    mu__ticket *waits = queue_up(&rig, "a");
    mu_check_err(ask(&rig, "a"), MU_EQUEUE_FULL);
    ticket_give_back(rig.pool, held);
    ticket_give_back(rig.pool, waits);
    mu_check_ok(ask(&rig, "a"));
    mu_check_eq(stats_of(&rig).max_queued, 1);
    rig_check_books(&rig);
    rig_stop(&rig);
}

MU_TEST(line, what_came_for_a_worker_during_a_pause_is_served_by_it_afterwards)
{
    pool_rig rig;
    start_affine(&rig, 3, MU_AFFINITY_REQUIRE);
    int a = served_by(&rig, "a"), b = served_by(&rig, "b");
    mu_pool_pause(rig.pool);
    mu__ticket *of_b = queue_up(&rig, "b"), *of_a = queue_up(&rig, "a");
    mu__ticket *first = queue_up(&rig, "new"), *second = queue_up(&rig, "new");
    mu_pool_resume(rig.pool);
    mu_check_eq(of_a->slot->index, a);
    mu_check_eq(of_b->slot->index, b);
    mu_check_eq(state_of(first) + state_of(second), MU__TICKET_SERVED + MU__TICKET_WAITING);
    mu__ticket *early = state_of(first) == MU__TICKET_SERVED ? first : second;
    mu__ticket *late = early == first ? second : first;
    ticket_give_back(rig.pool, of_a);
    ticket_give_back(rig.pool, of_b);
    mu_check_eq(state_of(late), MU__TICKET_WAITING);
    mu__slot *slot = early->slot;
    ticket_give_back(rig.pool, early);
    mu_check(late->slot == slot);
    ticket_give_back(rig.pool, late);
    rig_stop(&rig);
}

MU_TEST(line, require_takes_no_more_sessions_than_it_can_remember)
{
    pool_rig rig;
    rig_prepare(&rig, 1);
    rig.options.session_affinity = MU_AFFINITY_REQUIRE;
    rig.options.affinity_sessions = 2;
    mu_check_ok(rig_open(&rig));
    mu_check_ok(ask(&rig, "a"));
    mu_check_ok(ask(&rig, "b"));
    mu_check_err(ask(&rig, "c"), MU_EFULL);
    mu_check_contains(rig.error.message, "2 sessions");
    mu_check_contains(rig.error.message, "'c'");
    mu_check_ok(ask(&rig, "a"));
    mu_check_ok(rig_run(&rig, "ping"));
    mu_check_ok(mu_pool_forget_session(rig.pool, "b"));
    mu_check_ok(ask(&rig, "c"));
    rig_check_books(&rig);
    rig_stop(&rig);
}

MU_TEST(line, prefer_forgets_the_session_unused_for_longest)
{
    pool_rig rig;
    rig_prepare(&rig, 1);
    rig.options.session_affinity = MU_AFFINITY_PREFER;
    rig.options.affinity_sessions = 2;
    mu_check_ok(rig_open(&rig));
    mu_check_ok(ask(&rig, "a"));
    mu_check_ok(ask(&rig, "b"));
    mu_check_ok(ask(&rig, "c"));
    mu_check_eq(stats_of(&rig).sessions, 2);
    mu_check_err(mu_pool_forget_session(rig.pool, "a"), MU_ENOTFOUND);
    rig_stop(&rig);
}

MU_TEST(line, a_lost_session_begins_anew_when_its_lifetime_is_over)
{
    pool_rig rig;
    rig_prepare(&rig, 1);
    rig.options.session_affinity = MU_AFFINITY_REQUIRE;
    rig.options.affinity_ttl_ms = 1;
    mu_check_ok(rig_open(&rig));
    mu_check_ok(ask(&rig, "a"));
    replace(&rig, 0); /* takes longer than that */
    mu_check_ok(ask(&rig, "a"));
    rig_stop(&rig);
}

MU_TEST(line, a_session_has_a_name_of_bounded_length)
{
    pool_rig rig;
    char session[MU__SESSION_MAX + 2];
    start_affine(&rig, 1, MU_AFFINITY_PREFER);
    memset(session, 'x', sizeof session);
    session[sizeof session - 1] = '\0';
    mu_check_err(ask(&rig, session), MU_EINVAL);
    mu_check_contains(rig.error.message, "256 bytes; with session_affinity allowed are 1 to 255");
    mu_check_err(ask(&rig, ""), MU_EINVAL);
    session[sizeof session - 2] = '\0';
    mu_check_ok(ask(&rig, session));
    rig_stop(&rig);
}

MU_TEST(line, a_request_that_killed_its_worker_finds_its_session_lost_when_it_is_tried_again)
{
    pool_rig rig;
    start_affine(&rig, 2, MU_AFFINITY_REQUIRE);
    mu_execute_options options = MU_EXECUTE_OPTIONS_INIT;
    options.session = "a";
    mu_check_err(rig_ask(&rig, "crash", NULL, &options, NULL), MU_ECRASHED);
    options.session = "b";
    options.idempotent = true;
    mu_check_err(rig_ask(&rig, "crash", NULL, &options, NULL), MU_ESESSION_LOST);
    rig_check_books(&rig);
    rig_stop(&rig);
}

/* ---- at random ---------------------------------------------------------------------------- */

/* xorshift32, G. Marsaglia 2003 */
static uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

enum { CALLERS = 12, SESSIONS = 5, STEPS = 1500 };

/* Requests that come, wait, give up, run and end, one step after the other. */
typedef struct play {
    pool_rig *rig;
    uint32_t random;
    mu__ticket *tickets[CALLERS]; /* NULL: has no request */
    int session[CALLERS];         /* SESSIONS: none */
    int worker_of[SESSIONS];      /* -1: none yet */
    bool paused;
} play;

static void check_play(play *p, uint32_t seed, int step)
{
    int waiting = 0;
    for (int i = 0; i < CALLERS; i++) {
        mu__ticket *ticket = p->tickets[i];
        waiting += ticket && state_of(ticket) == MU__TICKET_WAITING;
        if (!ticket || state_of(ticket) != MU__TICKET_SERVED || p->session[i] == SESSIONS)
            continue;
        int *worker = &p->worker_of[p->session[i]];
        if (*worker < 0)
            *worker = ticket->slot->index;
        mu_check_msg(*worker == ticket->slot->index, "seed %u, step %d: another worker", seed,
                     step);
    }
    mu_check_msg(stats_of(p->rig).queued == waiting, "seed %u, step %d: queue", seed, step);
    /* Nobody waits for a worker that is idle. */
    for (int i = 0; i < CALLERS && !p->paused; i++) {
        mu__ticket *ticket = p->tickets[i];
        if (!ticket || state_of(ticket) != MU__TICKET_WAITING)
            continue;
        int worker = p->session[i] == SESSIONS ? -1 : p->worker_of[p->session[i]];
        mu_check_msg(worker < 0 ? rig_available(p->rig) == 0
                                : rig_worker(p->rig, worker).state != MU_WORKER_IDLE,
                     "seed %u, step %d: forgotten", seed, step);
    }
}

static void move_caller(play *p, int i)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", NULL};
    bool served;
    mu__ticket *ticket = p->tickets[i];
    if (!ticket) {
        p->session[i] = (int)(next_random(&p->random) % (SESSIONS + 1));
        p->tickets[i] =
            ticket_place(p->rig->pool, &(ticket_wish){.session = names[p->session[i]]}, &served);
        return;
    }
    if (state_of(ticket) == MU__TICKET_SERVED) {
        ticket_give_back(p->rig->pool, ticket);
    } else if (next_random(&p->random) % 3 == 0) {
        mu_check(mu__ticket_withdraw(p->rig->pool, ticket));
        ticket_leave(p->rig->pool, ticket, MU_EQUEUE_TIMEOUT);
    } else {
        return;
    }
    p->tickets[i] = NULL;
}

static void play_once(pool_rig *rig, uint32_t seed)
{
    play p = {.rig = rig, .random = seed, .worker_of = {-1, -1, -1, -1, -1}};
    for (int step = 0; step < STEPS; step++) {
        uint32_t dice = next_random(&p.random) % 20;
        if (dice == 0) {
            p.paused = !p.paused;
            (p.paused ? mu_pool_pause : mu_pool_resume)(rig->pool);
        } else {
            move_caller(&p, (int)(next_random(&p.random) % CALLERS));
        }
        check_play(&p, seed, step);
    }
    mu_pool_resume(rig->pool);
    for (int left = CALLERS; left > 0;) { /* all are served in the end */
        left = 0;
        for (int i = 0; i < CALLERS; i++) {
            left += p.tickets[i] != NULL;
            if (p.tickets[i] && state_of(p.tickets[i]) == MU__TICKET_SERVED)
                move_caller(&p, i);
        }
    }
    for (int i = 0; i < SESSIONS; i++)
        (void)mu_pool_forget_session(rig->pool, (const char[]){(char)('a' + i), '\0'});
    mu_check_eq(stats_of(rig).sessions, 0);
}

MU_TEST(line, require_holds_whatever_comes_in_whatever_order, .timeout = 60)
{
    pool_rig rig;
    rig_prepare(&rig, 3);
    rig.options.session_affinity = MU_AFFINITY_REQUIRE;
    rig.options.min_ready = 3;
    rig.options.health_check_interval_ms = MU_INFINITY;
    mu_check_ok(rig_open(&rig));
    for (uint32_t seed = 1; seed <= 5; seed++)
        play_once(&rig, seed);
    rig_check_books(&rig);
    rig_stop(&rig);
}
