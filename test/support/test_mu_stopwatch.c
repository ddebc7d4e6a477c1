#include "support/mu_stopwatch.h"

#include <signal.h>
#include <stdio.h>

#include "base/proc.h"
#include "support/mu_role.h"
#include "support/mu_test.h"

enum { STILL_MS = 300, PATIENCE_MS = 20000 };

static bool has_passed(int64_t from, int64_t ms)
{
    return mu_test_now_ms() - from >= ms;
}

/* Measures from its first word until SIGUSR1, and tells what. */
MU_ROLE(measures)
{
    mu_stopwatch watch;
    sigset_t usr1;
    int sig;

    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    sigprocmask(SIG_BLOCK, &usr1, NULL);
    mu_stopwatch_start(&watch);
    puts("begun");
    sigwait(&usr1, &sig);
    mu_stopwatch_stop(&watch);
    printf("%lld %lld %lld\n", (long long)watch.passed_ms, (long long)watch.still_ms,
           (long long)watch.ran_ms);
    return 0;
}

MU_TEST(mu_stopwatch, tells_how_long_nobody_could_run)
{
    mu_role role = mu_role_start("measures", NULL);
    long long passed, still, ran;
    mu__proc_stat st;

    mu_check_str(mu_role_line(&role, PATIENCE_MS), "begun");
    mu_check_eq(kill(role.pid, SIGSTOP), 0);
    mu_wait_until(mu__proc_read_stat(role.pid, &st) == MU_OK && st.state == 'T', PATIENCE_MS);
    int64_t stopped = mu_test_now_ms();
    mu_wait_until(has_passed(stopped, STILL_MS), PATIENCE_MS);
    /* It ends its measuring as soon as it runs, perhaps before the one that sleeps has woken up. */
    mu_check_eq(kill(role.pid, SIGUSR1), 0);
    mu_check_eq(kill(role.pid, SIGCONT), 0);
    const char *told = mu_role_line(&role, PATIENCE_MS);
    mu_check(told != NULL);
    mu_check_eq(sscanf(told, "%lld %lld %lld", &passed, &still, &ran), 3);
    mu_check_eq(mu_role_end(&role, PATIENCE_MS), 0);
    mu_check_ge(passed, STILL_MS - 1);
    mu_check_ge(still, STILL_MS - 2); /* but for the sleep that it was in */
    mu_check_eq(ran, passed - still);
}

MU_TEST(mu_stopwatch, shows_what_the_clock_has_shown)
{
    mu_stopwatch watch;

    mu_stopwatch_start(&watch);
    mu_wait_until(has_passed(watch.began_ns / 1000000, 50), PATIENCE_MS);
    mu_stopwatch_stop(&watch);
    mu_check_ge(watch.passed_ms, 49);
    mu_check(watch.still_ms >= 0 && watch.still_ms <= watch.passed_ms);
}
