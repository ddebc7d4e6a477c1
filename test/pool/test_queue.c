/* Who waits for a worker: order, ageing, removal. Pure: no clock. */
#include "pool/queue.h"
#include "support/mu_test.h"

enum { N = 1000 };

MU_TEST(queue, keeps_the_order_within_a_priority)
{
    mu__queue queue;
    static mu__queue_link links[N];
    mu__queue_init(&queue);
    for (int i = 0; i < N; i++)
        mu__queue_push(&queue, &links[i], 0, i);
    for (int i = 0; i < N; i++)
        mu_check(mu__queue_pop(&queue) == &links[i]);
    mu_check(mu__queue_pop(&queue) == NULL);
}

MU_TEST(queue, serves_the_higher_priority_first)
{
    mu__queue queue;
    mu__queue_link low = {0}, middle = {0}, high = {0};
    mu__queue_init(&queue);
    mu__queue_push(&queue, &low, -MU__PRIORITY_MAX, 0);
    mu__queue_push(&queue, &middle, 0, 1);
    mu__queue_push(&queue, &high, MU__PRIORITY_MAX, 2);
    mu_check(mu__queue_pop(&queue) == &high);
    mu_check(mu__queue_pop(&queue) == &middle);
    mu_check(mu__queue_pop(&queue) == &low);
}

MU_TEST(queue, a_low_priority_that_has_waited_long_enough_goes_first)
{
    mu__queue queue;
    mu__queue_link old = {0}, young = {0};
    mu__queue_init(&queue);
    mu__queue_push(&queue, &old, -1, 0);
    mu__queue_push(&queue, &young, 1, 2 * MU__PRIORITY_STEP_NS + 1);
    mu_check(mu__queue_pop(&queue) == &old);
    mu_check(mu__queue_pop(&queue) == &young);
}

MU_TEST(queue, any_place_can_be_left_and_only_once)
{
    mu__queue queue;
    static mu__queue_link links[N];
    mu__queue_init(&queue);
    for (int i = 0; i < N; i++)
        mu__queue_push(&queue, &links[i], i % 3, i);
    for (int i = 0; i < N; i += 2) {
        mu_check(mu__queue_remove(&queue, &links[i]));
        mu_check(!mu__queue_remove(&queue, &links[i]));
    }
    mu_check_eq(queue.length, (size_t)N / 2);
    int left = 0;
    while (mu__queue_pop(&queue))
        left++;
    mu_check_eq(left, N / 2);
    mu_check(!mu__queue_remove(&queue, &links[1]));
}

/* ---- ageing ------------------------------------------------------------------------------- */

/* xorshift32, G. Marsaglia 2003 */
static uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

typedef struct waiting {
    mu__queue_link link; /* first */
    int priority;
    int64_t since;
    bool here;
} waiting;

/* One after the other comes, goes or is served; whoever is served is compared with all others. */
static void check_order(uint32_t seed)
{
    enum { ROOM = 64, STEPS = 4000 };
    mu__queue queue;
    waiting all[ROOM] = {{.here = false}};
    int64_t now = 0;
    mu__queue_init(&queue);
    for (int step = 0; step < STEPS; step++) {
        now += next_random(&seed) % (MU__PRIORITY_STEP_NS / 8);
        waiting *one = &all[next_random(&seed) % ROOM];
        if (!one->here) {
            one->priority = (int)(next_random(&seed) % MU__PRIORITIES) - MU__PRIORITY_MAX;
            one->since = now;
            mu__queue_push(&queue, &one->link, one->priority, now);
            one->here = true;
        } else if (next_random(&seed) % 4 == 0) {
            mu_check(mu__queue_remove(&queue, &one->link));
            one->here = false;
        } else {
            waiting *served = (waiting *)mu__queue_pop(&queue);
            served->here = false;
            for (int i = 0; i < ROOM; i++)
                mu_check_msg(!all[i].here ||
                                 served->since - all[i].since <=
                                     (served->priority - all[i].priority) * MU__PRIORITY_STEP_NS,
                             "seed %u, step %d", seed, step);
        }
    }
}

MU_TEST(queue, nobody_is_served_before_one_who_has_waited_longer_than_the_step_of_priority_is_worth)
{
    for (uint32_t seed = 1; seed <= 200; seed++)
        check_order(seed);
}

/* How long one of the lowest priority waits while those of the highest come as fast as they go. */
static int64_t wait_of_the_lowest(uint32_t seed)
{
    enum { BACKLOG = 50 };
    static const int64_t service = 1000000;
    static mu__queue_link important[BACKLOG];
    mu__queue_link lowest = {0}, *served;
    mu__queue queue;
    int64_t now = next_random(&seed);
    mu__queue_init(&queue);
    for (int i = 0; i < BACKLOG; i++)
        mu__queue_push(&queue, &important[i], MU__PRIORITY_MAX, now);
    int64_t since = now;
    mu__queue_push(&queue, &lowest, -MU__PRIORITY_MAX, now);
    while ((served = mu__queue_pop(&queue)) != &lowest) {
        now += service / 2 + next_random(&seed) % service;
        mu__queue_push(&queue, served, MU__PRIORITY_MAX, now); /* another one in its place */
    }
    mu_check_eq(queue.length, (size_t)BACKLOG);
    return now - since;
}

MU_TEST(queue, the_lowest_priority_is_served_in_bounded_time_under_an_endless_stream_of_the_highest)
{
    /* The head start of the highest, and then those that were in front of it. */
    const int64_t most = 2 * MU__PRIORITY_MAX * MU__PRIORITY_STEP_NS + 51 * INT64_C(1500000);
    for (uint32_t seed = 1; seed <= 20; seed++) {
        int64_t wait = wait_of_the_lowest(seed);
        mu_check_msg(wait <= most, "seed %u: %lld ns", seed, (long long)wait);
        mu_check_msg(wait > most / 2, "seed %u: %lld ns", seed, (long long)wait);
    }
}
