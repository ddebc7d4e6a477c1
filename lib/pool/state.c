/* A worker's states (state.h). Called by table.c and roster.c under the pool's lock. */
#include "pool/state.h"

#define X   -1
#define STA MU_WORKER_STARTING
#define IDL MU_WORKER_IDLE
#define BUS MU_WORKER_BUSY
#define UNH MU_WORKER_UNHEALTHY
#define DRA MU_WORKER_DRAINING
#define RES MU_WORKER_RESTARTING
#define STO MU_WORKER_STOPPED

/*
 * `start` and `died` are possible everywhere: an actor that was killed is replaced before it finds
 * out, and what is left of it reports afterwards.
 */
static const signed char next[MU__WORKER_STATE_COUNT][MU__WORKER_EVENT_COUNT] = {
    /* clang-format off */
    /*                         start ready taken returned forsaken unsound leave died gone */
    [MU_WORKER_STARTING]   = { STA, IDL, X, X, X, X, DRA, RES, STO },
    [MU_WORKER_IDLE]       = { STA, X, BUS, X, X, X, DRA, RES, STO },
    [MU_WORKER_BUSY]       = { STA, X, X, IDL, DRA, UNH, X, RES, STO },
    [MU_WORKER_UNHEALTHY]  = { STA, X, X, X, X, X, X, RES, STO },
    [MU_WORKER_DRAINING]   = { STA, X, X, IDL, X, X, DRA, RES, STO },
    [MU_WORKER_RESTARTING] = { STA, X, X, X, X, X, DRA, RES, STO },
    [MU_WORKER_STOPPED]    = { STA, X, X, X, X, X, X, RES, STO },
    /* clang-format on */
};

bool mu__worker_next(mu_worker_state state, mu__worker_event event, mu_worker_state *ret_next)
{
    if (next[state][event] < 0)
        return false;
    *ret_next = (mu_worker_state)next[state][event];
    return true;
}
