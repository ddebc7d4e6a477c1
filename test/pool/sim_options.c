/* The options of a pool in a simulated world and what is asked of it, as the dice say (sim.h). */
#include "pool/sim.h"

mu_pool_options sim_options(void)
{
    static const int queues[] = {1000, 1, 2, 4, -1};
    mu_pool_options o = MU_POOL_OPTIONS_INIT;
    o.executable = "/bin/true"; /* for its name: sim_port.c is what runs */
    o.size = 1 + sim_roll(4);
    o.max_queue_size = queues[sim_roll((int)(sizeof queues / sizeof *queues))];
    o.queue_timeout_ms = 30;
    o.execution_timeout_ms = 30;
    o.cancel_grace_ms = 1 + sim_roll(6);
    o.startup_timeout_ms = 50;
    o.shutdown_grace_ms = 20;
    o.drain_timeout_ms = 1 + sim_roll(40);
    o.balance = (mu_balance)sim_roll(MU_BALANCE_WEIGHTED + 1);
    o.max_requests = sim_percent(30) ? 1 + sim_roll(5) : 0;
    o.max_lifetime_ms = sim_percent(20) ? 20 + sim_roll(50) : 0;
    o.health_check_interval_ms = sim_percent(30) ? 10 + sim_roll(20) : 0;
    o.health_check_timeout_ms = 5;
    o.max_overflow = sim_percent(20) ? 1 + sim_roll(2) : 0;
    o.min_size = sim_percent(20) ? 1 : 0;
    o.linger_ms = 5 + sim_roll(20);
    o.lazy = sim_percent(10);
    o.breaker_threshold = sim_percent(50) ? 1 + sim_roll(4) : -1;
    o.breaker_window_ms = 10 + sim_roll(100);
    o.breaker_reset_ms = 5 + sim_roll(30);
    return o;
}

sim_deed sim_some_deed(void)
{
    static const sim_deed odd[] = {SIM_RAISE, SIM_OBEY,           SIM_OBEY,   SIM_TWICE, SIM_DIE,
                                   SIM_TEAR,  SIM_ANSWER_AND_DIE, SIM_BABBLE, SIM_HANG,  SIM_DIE};
    return sim_percent(60) ? SIM_ECHO : odd[sim_roll((int)(sizeof odd / sizeof *odd))];
}
