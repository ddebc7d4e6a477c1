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
