/*
 * R7: a system and a pool are started, asked and stopped, again and again: two hundred times on
 * each push, ten thousand times with --full. What one of them leaves behind would add up.
 */
#include <unistd.h>

#include "faults/fault_rig.h"
#include "support/mu_marked.h"

enum { RSS_MOST_KB = 1024 };

/* With a worker of C: the processes that come and go cost less than what is looked at. */
static void start_ask_stop(void)
{
    fault_rig rig;
    fault_prepare(&rig, 1, NULL, NULL);
    rig.pool.options.start_method = MU_START_EXEC;
    rig.pool.options.python_path = NULL;
    rig.pool.options.executable = MU_TEST_ECHO_WORKER;
    fault_open(&rig);
    mu_check_ok(rig_run(&rig.pool, "ping"));
    fault_close(&rig);
    mu_check_eq(mu_marked_by(mu_marked_host(getpid())), 0);
}

MU_TEST(cycles, R7_starts_and_stops_without_end_leave_nothing, .timeout = 7200)
{
    const int64_t rounds = mu_test_size(MU_TEST_SANITIZED ? 40 : 200, 10000), warm = rounds / 5;
    int fds = 0, threads = 0;
    int64_t rss_kb = 0;
    for (int64_t i = 0; i < rounds; i++) {
        start_ask_stop();
        if (i == 0)
            fds = fault_count_in("/proc/self/fd");
        mu_check_eq(fault_count_in("/proc/self/fd"), fds);
        if (i == warm) {
            threads = fault_count_in("/proc/self/task");
            rss_kb = fault_rss_kb();
        }
    }
    mu_wait_until(fault_count_in("/proc/self/task") <= threads, 10000);
    if (!MU_TEST_SANITIZED) /* they keep what was freed */
        mu_check_lt(fault_rss_kb() - rss_kb, RSS_MOST_KB);
    fprintf(stderr, "%lld rounds, %lld KiB more\n", (long long)rounds,
            (long long)(fault_rss_kb() - rss_kb));
}
