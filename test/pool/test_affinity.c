/* Which worker knows which session: the table of bonds. Pure: no clock. */
#include <stdio.h>
#include <stdlib.h>

#include "pool/affinity.h"
#include "support/mu_test.h"

static mu__bond *add(mu__affinity *affinity, int number, bool evict, int64_t now)
{
    char session[24];
    mu__bond *bond;
    (void)snprintf(session, sizeof session, "session-%d", number);
    mu_check_ok(mu__affinity_add(affinity, session, evict, now, &bond));
    return bond;
}

static bool knows(mu__affinity *affinity, int number, int64_t now)
{
    char session[24];
    (void)snprintf(session, sizeof session, "session-%d", number);
    return mu__affinity_find(affinity, session, now) != NULL;
}

MU_TEST(affinity, a_session_is_over_when_nobody_has_asked_for_it_for_its_lifetime)
{
    mu__affinity affinity;
    mu__affinity_init(&affinity, &mu__sys_real, 10, 100);
    (void)add(&affinity, 1, false, 0);
    mu_check(knows(&affinity, 1, 99)); /* and is used thereby */
    mu_check(knows(&affinity, 1, 198));
    mu_check(!knows(&affinity, 1, 298));
    mu_check_eq(mu__table_count(&affinity.table), 0u);
    mu__affinity_deinit(&affinity);
}

MU_TEST(affinity, the_table_has_a_bound_and_forgets_the_session_unused_for_longest)
{
    enum { MOST = 100, SESSIONS = 100000 };
    mu__affinity affinity;
    mu__affinity_init(&affinity, &mu__sys_real, MOST, INT64_MAX);
    (void)add(&affinity, 0, true, 0);
    for (int i = 1; i < SESSIONS; i++) {
        (void)add(&affinity, i, true, i);
        mu_check(knows(&affinity, 0, i)); /* used all the time */
        mu_check(mu__table_count(&affinity.table) <= MOST);
    }
    mu_check(knows(&affinity, SESSIONS - MOST + 1, SESSIONS));
    mu_check(!knows(&affinity, SESSIONS - MOST, SESSIONS));
    mu__affinity_deinit(&affinity);
}

MU_TEST(affinity, without_eviction_a_full_table_only_forgets_what_is_over)
{
    mu__affinity affinity;
    mu__bond *bond;
    mu__affinity_init(&affinity, &mu__sys_real, 2, 100);
    (void)add(&affinity, 1, false, 0);
    (void)add(&affinity, 2, false, 50);
    mu_check_err(mu__affinity_add(&affinity, "x", false, 99, &bond), MU_EFULL);
    mu_check_ok(mu__affinity_add(&affinity, "x", false, 100, &bond));
    mu_check(!knows(&affinity, 1, 100));
    mu_check(knows(&affinity, 2, 100));
    mu__affinity_deinit(&affinity);
}

static int allocations_left;

static void *alloc_some(size_t size)
{
    return allocations_left-- > 0 ? calloc(1, size) : NULL;
}

MU_TEST(affinity, without_memory_a_session_is_not_known_and_nothing_else_is_forgotten)
{
    mu_sys sys = mu__sys_real;
    mu__affinity affinity;
    mu__bond *bond;
    sys.alloc = alloc_some;
    mu__affinity_init(&affinity, &sys, 10, INT64_MAX);
    int failures = 0;
    for (allocations_left = 0; mu__affinity_add(&affinity, "x", true, 0, &bond) != MU_OK;
         allocations_left = ++failures) {
        mu_check_lt(failures, 10);
        mu_check(!mu__affinity_find(&affinity, "x", 0));
    }
    mu_check_ge(failures, 1);
    allocations_left = 0;
    mu_check_err(mu__affinity_add(&affinity, "y", true, 0, &bond), MU_ENOMEM);
    mu_check(mu__affinity_find(&affinity, "x", 0) == mu__affinity_find(&affinity, "x", 1));
    mu__affinity_deinit(&affinity);
}
