/* Which idle worker is taken: the ranking and its keys, and each way of balancing on workers. */
#include <stdio.h>

#include "pool/balance.h"
#include "pool/pool_impl.h"
#include "pool/pool_rig.h"
#include "pool/ticket_rig.h"

/* xorshift32, G. Marsaglia 2003 */
static uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

/* ---- ranking ------------------------------------------------------------------------------ */

static mu__rank *smallest(mu__rank *ranks, int n)
{
    mu__rank *best = NULL;
    for (int i = 0; i < n; i++)
        if (ranks[i].place && (!best || ranks[i].key < best->key ||
                               (ranks[i].key == best->key && ranks[i].order < best->order)))
            best = &ranks[i];
    return best;
}

MU_TEST(balance, the_first_of_a_ranking_is_the_smallest_whoever_comes_and_goes)
{
    enum { N = 40, STEPS = 20000 };
    static mu__ranking ranking;
    mu__rank ranks[N] = {{0}};
    uint32_t random = 20;
    for (int step = 0; step < STEPS; step++) {
        mu__rank *one = &ranks[next_random(&random) % N];
        if (one->place)
            mu__ranking_drop(&ranking, one);
        else
            mu__ranking_put(&ranking, one, next_random(&random) % 8, (uint64_t)step);
        mu_check_msg(mu__ranking_first(&ranking) == smallest(ranks, N), "step %d", step);
    }
    for (int i = 0; i < N; i++) /* those that stand in none too */
        mu__ranking_drop(&ranking, &ranks[i]);
    mu_check(!mu__ranking_first(&ranking));
}

/* ---- load --------------------------------------------------------------------------------- */

#define SECOND INT64_C(1000000000)

static uint64_t key_of(int64_t busy_ns, int64_t at)
{
    mu__load load = {0};
    mu__load_add(&load, busy_ns, at);
    return mu__load_key(&load);
}

MU_TEST(balance, a_load_weighs_less_the_older_it_is)
{
    mu__load none = {0};
    mu_check_lt(mu__load_key(&none), key_of(1, 0));
    mu_check_lt(key_of(5 * SECOND, 100 * SECOND), key_of(6 * SECOND, 100 * SECOND));
    mu_check_lt(key_of(SECOND, 100 * SECOND), key_of(SECOND, 101 * SECOND));
    /* After ten seconds it counts half, after twenty a quarter. */
    mu_check_eq(key_of(4 * SECOND, 100 * SECOND), key_of(2 * SECOND, 110 * SECOND));
    mu_check_eq(key_of(4 * SECOND, 100 * SECOND), key_of(SECOND, 120 * SECOND));
    /* However old, it is more than none; and nothing overflows. */
    mu_check_lt(mu__load_key(&none), key_of(1, INT64_MAX / 2));
    mu_check_lt(key_of(3600 * SECOND, 0), key_of(1, INT64_MAX / 2));
}

MU_TEST(balance, loads_add_up_and_are_forgotten_by_halves)
{
    mu__load load = {0};
    mu__load_add(&load, 4 * SECOND, 100 * SECOND);
    mu__load_add(&load, SECOND, 110 * SECOND);
    mu_check_eq(mu__load_key(&load), key_of(3 * SECOND, 110 * SECOND));
    mu__load_add(&load, SECOND, 10000 * SECOND);
    mu_check_eq(mu__load_key(&load), key_of(SECOND, 10000 * SECOND));
}

/* ---- on workers --------------------------------------------------------------------------- */

static int give_back(mu_pool *pool, mu__ticket *ticket)
{
    int index = ticket->slot->index;
    ticket_give_back(pool, ticket);
    return index;
}

static void start_balanced(pool_rig *rig, int size, mu_balance balance, const char *const *weights)
{
    rig_prepare(rig, size);
    rig->options.balance = balance;
    rig->options.weights = weights;
    rig->options.min_ready = size;
    mu_check_ok(rig_open(rig));
}

/* So many requests by one caller; how many of them each of three workers has run. */
static void check_shares(pool_rig *rig, int requests, const uint64_t *expected)
{
    for (int i = 0; i < requests; i++)
        mu_check_ok(rig_run(rig, "ping"));
    for (int i = 0; i < 3; i++)
        mu_check_eq(rig_worker(rig, i).requests, expected[i]);
}

MU_TEST(balance, least_recently_used_gives_each_worker_the_same_share)
{
    pool_rig rig;
    start_balanced(&rig, 3, MU_BALANCE_LRU, NULL);
    check_shares(&rig, 12, (const uint64_t[]){4, 4, 4});
    rig_stop(&rig);
}

MU_TEST(balance, most_recently_used_keeps_to_one_worker)
{
    pool_rig rig;
    start_balanced(&rig, 3, MU_BALANCE_MRU, NULL);
    for (int i = 0; i < 12; i++)
        mu_check_ok(rig_run(&rig, "ping"));
    uint64_t most = 0;
    for (int i = 0; i < 3; i++)
        if (rig_worker(&rig, i).requests > most)
            most = rig_worker(&rig, i).requests;
    mu_check_eq(most, 12u);
    rig_stop(&rig);
}

MU_TEST(balance, weighted_gives_each_worker_its_share)
{
    static const char *const weights[] = {"3", "2", NULL}; /* and 1 for the third */
    pool_rig rig;
    start_balanced(&rig, 3, MU_BALANCE_WEIGHTED, weights);
    check_shares(&rig, 30, (const uint64_t[]){15, 10, 5});
    rig_stop(&rig);
}

MU_TEST(balance, a_worker_that_was_away_does_not_make_up_for_it)
{
    pool_rig rig;
    start_balanced(&rig, 2, MU_BALANCE_WEIGHTED, NULL);
    mu__ticket *away = ticket_take(rig.pool, &(ticket_wish){0});
    for (int i = 0; i < 20; i++)
        mu_check_ok(rig_run(&rig, "ping"));
    int index = give_back(rig.pool, away);
    uint64_t before = rig_worker(&rig, index).requests;
    for (int i = 0; i < 10; i++)
        mu_check_ok(rig_run(&rig, "ping"));
    uint64_t share = rig_worker(&rig, index).requests - before;
    mu_check_msg(share >= 5 && share <= 6, "%llu of 10", (unsigned long long)share);
    rig_stop(&rig);
}

MU_TEST(balance, least_loaded_spares_the_worker_that_was_busy_lately)
{
    pool_rig rig;
    start_balanced(&rig, 3, MU_BALANCE_LEAST_LOADED, NULL);
    /* Busy for an hour, for half of it, and not at all. */
    mu__ticket *hour = ticket_take(rig.pool, &(ticket_wish){.ago_ns = 3600 * SECOND}),
               *half = ticket_take(rig.pool, &(ticket_wish){.ago_ns = 1800 * SECOND});
    int busiest = give_back(rig.pool, hour), middle = give_back(rig.pool, half);
    for (int i = 0; i < 10; i++)
        mu_check_ok(rig_run(&rig, "ping"));
    mu_check_eq(rig_worker(&rig, 3 - busiest - middle).requests, 10u);
    mu__ticket *third = ticket_take(rig.pool, &(ticket_wish){0});
    mu__ticket *second = ticket_take(rig.pool, &(ticket_wish){0});
    mu_check_eq(second->slot->index, middle);
    (void)give_back(rig.pool, second);
    (void)give_back(rig.pool, third);
    rig_stop(&rig);
}

MU_TEST(balance, what_is_no_way_of_balancing_and_no_weight_is_refused)
{
    static const char *const bad[] = {"0", "101", "", "1.5", "-1", "x", "0x10"};
    pool_rig rig;
    rig_prepare(&rig, 1);
    rig.options.balance = (mu_balance)4;
    mu_check_err(rig_open(&rig), MU_EINVAL);
    mu_check_contains(rig.error.message,
                      "balance is 4; allowed are mru or lru or least_loaded or weighted");
    rig.options.balance = MU_BALANCE_WEIGHTED;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *const weights[] = {"1", bad[i], NULL};
        char quoted[16];
        (void)snprintf(quoted, sizeof quoted, "'%s'", bad[i]);
        rig.options.weights = weights;
        mu_error_clear(&rig.error);
        mu_check_err(rig_open(&rig), MU_EINVAL);
        mu_check_contains(rig.error.message, "weights");
        mu_check_contains(rig.error.message, quoted);
        mu_check_contains(rig.error.message, "1 to 100");
    }
    const char *const weights[] = {"1", NULL};
    rig.options.weights = weights;
    rig.options.balance = MU_BALANCE_LRU;
    mu_error_clear(&rig.error);
    mu_check_err(rig_open(&rig), MU_EINVAL);
    mu_check_contains(rig.error.message, "only balance weighted weighs; leave it NULL with lru");
    rig_stop(&rig);
}
