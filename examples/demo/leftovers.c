/* leftovers: act 6, the stop and what it left. Called by main, on every way out. */
#include "leftovers.h"

#include <stdio.h>
#include <time.h>

#include "process.h"

#define GONE_WITHIN_MS 1000 /* the last process may still be dying when its host has let it go */

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

void leftovers_stop(demo *d, leftovers *l)
{
    int64_t begun;

    snprintf(l->run_id, sizeof l->run_id, "%s", mu_system_run_id(d->system));
    l->before = process_count(l->run_id);
    begun = now_ns();
    demo_end_pool(d);
    l->abandoned = mu_system_stop(&d->system);
    l->took_ns = now_ns() - begun;
    l->after = process_count_wait(l->run_id, GONE_WITHIN_MS);
    account_check(&d->account, l->abandoned == 0, "all threads of the library have ended");
    account_check(&d->account, l->after == 0, "no process with this run's id is left, of %d",
                  l->before);
}

void leftovers_print(demo *d, const leftovers *l)
{
    screen_line(&d->screen, "  pool and system stopped in %.1f ms", demo_ms(l->took_ns));
    screen_line(&d->screen,
                "  processes with this run's id in /proc: %d before, " BOLD "%d" END " after",
                l->before, l->after);
}

json_t *leftovers_json(const leftovers *l)
{
    return json_pack("{s:s?, s:i, s:i, s:f}", "run_id", l->run_id, "processes_before", l->before,
                     "processes_after", l->after, "stop_ms", demo_ms(l->took_ns));
}
