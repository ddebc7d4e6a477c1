/*
 * mu_test_alloc: a system-call table whose n-th allocation fails.
 *
 *     mu_test_each_failing_alloc(sys) {
 *         err = something(sys);
 *         if (err == MU_OK)
 *             break;
 *         mu_check_eq(err, MU_ENOMEM);
 *     }
 *     mu_check(mu_test_alloc_failed > 0);
 *
 * runs the body with the first allocation failing, then the second, and so on, until the body
 * breaks out of the loop because a run passed. LeakSanitizer sees what a failing run leaves behind.
 *
 * Thread-safety: one test at a time; the allocations may come from any thread.
 */
#ifndef MU_TEST_ALLOC_H
#define MU_TEST_ALLOC_H

#include <stdatomic.h>
#include <stdlib.h>

#include "base/sys.h"

/* The allocation that fails next, counted from 1; 0: none does. */
static atomic_int mu_test_alloc_countdown;
/* How many have failed since the test began. */
static atomic_int mu_test_alloc_failed;

static inline bool mu_test_alloc_fails(void)
{
    if (atomic_load(&mu_test_alloc_countdown) == 0 ||
        atomic_fetch_sub(&mu_test_alloc_countdown, 1) != 1)
        return false;
    atomic_fetch_add(&mu_test_alloc_failed, 1);
    return true;
}

static void *mu_test_failing_alloc(size_t size)
{
    return mu_test_alloc_fails() ? NULL : calloc(1, size);
}

static void *mu_test_failing_resize(void *block, size_t size)
{
    return mu_test_alloc_fails() ? NULL : realloc(block, size);
}

/* The real table but for memory. Allocation number `nth` from now fails; 0: none. */
static inline const mu_sys *mu_test_sys_failing(int nth)
{
    static mu_sys sys;
    sys = mu__sys_real;
    sys.alloc = mu_test_failing_alloc;
    sys.resize = mu_test_failing_resize;
    atomic_store(&mu_test_alloc_countdown, nth);
    return &sys;
}

#define mu_test_each_failing_alloc(sys)                                                            \
    const mu_sys *sys;                                                                             \
    for (int mu_nth_ = 1; (sys = mu_test_sys_failing(mu_nth_)); mu_nth_++)

#endif
