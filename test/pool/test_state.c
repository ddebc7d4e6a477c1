/* The table of a worker's states. Pure. */
#include "pool/state.h"
#include "support/mu_test.h"

static mu_worker_state after(mu_worker_state state, mu__worker_event event)
{
    mu_worker_state next = state;
    mu_check_msg(mu__worker_next(state, event, &next), "%s: %d", mu_worker_state_name(state),
                 (int)event);
    return next;
}

MU_TEST(state, a_life_with_everything_in_it)
{
    mu_worker_state s = after(MU_WORKER_STOPPED, MU__WORKER_START);
    s = after(s, MU__WORKER_READY);
    mu_check_eq(s, MU_WORKER_IDLE);
    s = after(s, MU__WORKER_TAKEN);
    mu_check_eq(s, MU_WORKER_BUSY);
    s = after(s, MU__WORKER_FORSAKEN);
    mu_check_eq(s, MU_WORKER_DRAINING);
    s = after(s, MU__WORKER_RETURNED);
    s = after(s, MU__WORKER_TAKEN);
    s = after(s, MU__WORKER_DIED);
    mu_check_eq(s, MU_WORKER_RESTARTING);
    s = after(after(s, MU__WORKER_START), MU__WORKER_READY);
    s = after(s, MU__WORKER_LEAVE);
    mu_check_eq(s, MU_WORKER_DRAINING);
    mu_check_eq(after(s, MU__WORKER_GONE), MU_WORKER_STOPPED);
}

MU_TEST(state, only_an_idle_worker_can_be_taken_and_only_one_that_runs_something_returned)
{
    for (int i = 0; i < MU__WORKER_STATE_COUNT; i++) {
        mu_worker_state s = (mu_worker_state)i;
        mu_worker_state next;
        mu_check_eq(mu__worker_next(s, MU__WORKER_TAKEN, &next), s == MU_WORKER_IDLE);
        mu_check_eq(mu__worker_next(s, MU__WORKER_RETURNED, &next),
                    s == MU_WORKER_BUSY || s == MU_WORKER_DRAINING);
        mu_check_eq(mu__worker_next(s, MU__WORKER_READY, &next), s == MU_WORKER_STARTING);
    }
}
