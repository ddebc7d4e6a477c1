/* The stop ladder (port/stop_ladder.h), a table. Called by port.c. */
#include "port/stop_ladder.h"

#include "base/clock.h"

/*
 *               STOP      TIME                EXIT
 * the state that follows; equal states: nothing happens
 */
static const mu__ladder_state next_state[MU__LADDER_STATES][MU__LADDER_EVENTS] = {
    [MU__LADDER_RUNNING] = {MU__LADDER_ASKED, MU__LADDER_RUNNING, MU__LADDER_GONE},
    [MU__LADDER_ASKED] = {MU__LADDER_ASKED, MU__LADDER_CLOSED, MU__LADDER_GONE},
    [MU__LADDER_CLOSED] = {MU__LADDER_CLOSED, MU__LADDER_TERMED, MU__LADDER_GONE},
    [MU__LADDER_TERMED] = {MU__LADDER_TERMED, MU__LADDER_KILLED, MU__LADDER_GONE},
    [MU__LADDER_KILLED] = {MU__LADDER_KILLED, MU__LADDER_GIVEN_UP, MU__LADDER_GONE},
    [MU__LADDER_GONE] = {MU__LADDER_GONE, MU__LADDER_GONE, MU__LADDER_GONE},
    [MU__LADDER_GIVEN_UP] = {MU__LADDER_GIVEN_UP, MU__LADDER_GIVEN_UP, MU__LADDER_GONE},
};

/* What is done on entering a state. */
static const mu__ladder_action on_entry[MU__LADDER_STATES] = {
    [MU__LADDER_ASKED] = MU__LADDER_ASK,
    [MU__LADDER_CLOSED] = MU__LADDER_CLOSE,
    [MU__LADDER_TERMED] = MU__LADDER_TERM,
    [MU__LADDER_KILLED] = MU__LADDER_KILL,
};

static int64_t grace_of(const mu__ladder *ladder, mu__ladder_state state);

mu__graces mu__graces_of(int64_t total_ms)
{
    return (mu__graces){.ask = total_ms - total_ms / 4 * 2,
                        .close = total_ms / 4,
                        .term = total_ms / 4,
                        .kill = 5000};
}

mu__ladder_action mu__ladder_begin(mu__ladder *ladder, const mu__graces *graces, int64_t now)
{
    *ladder = (mu__ladder){MU__LADDER_RUNNING, MU_NEVER, *graces};
    return mu__ladder_step(ladder, MU__LADDER_STOP, now);
}

mu__ladder_action mu__ladder_step(mu__ladder *ladder, mu__ladder_event event, int64_t now)
{
    if (event == MU__LADDER_TIME && now < ladder->deadline)
        return MU__LADDER_NOTHING;
    mu__ladder_state next = next_state[ladder->state][event];
    if (next == ladder->state)
        return MU__LADDER_NOTHING;
    /* A rung without grace is not worth its action: on to the next one. */
    while (on_entry[next] != MU__LADDER_NOTHING && next != MU__LADDER_KILLED &&
           grace_of(ladder, next) == 0)
        next = next_state[next][MU__LADDER_TIME];
    ladder->state = next;
    ladder->deadline =
        mu__ladder_over(ladder) ? MU_NEVER : mu_deadline(now, grace_of(ladder, next));
    return on_entry[next];
}

bool mu__ladder_over(const mu__ladder *ladder)
{
    return ladder->state == MU__LADDER_GONE || ladder->state == MU__LADDER_GIVEN_UP;
}

static int64_t grace_of(const mu__ladder *ladder, mu__ladder_state state)
{
    switch (state) {
    case MU__LADDER_ASKED:
        return ladder->graces.ask;
    case MU__LADDER_CLOSED:
        return ladder->graces.close;
    case MU__LADDER_TERMED:
        return ladder->graces.term;
    default:
        return ladder->graces.kill;
    }
}
