/* The I/O thread: sources and alarms. */
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <muster/timer.h>

#include "runtime/io.h"
#include "runtime/runtime.h"
#include "support/mu_test.h"

static _Atomic int rung;
static void on_ready(mu__io_source *source, uint32_t events)
{
    (void)events;
    uint64_t n;
    mu_check_eq(read(source->fd, &n, sizeof n), (ssize_t)sizeof n);
    atomic_fetch_add(&rung, 1);
}
static void on_alarm(mu__alarm *alarm)
{
    (void)alarm;
    atomic_fetch_add(&rung, 1);
}

MU_TEST(io, sources_and_alarms_are_served_and_gone_after_removal)
{
    mu_system *system = NULL;
    mu_check_ok(mu__runtime_start(NULL, &system));
    for (int i = 0; i < 200; i++) {
        mu__io_source source = {.fd = eventfd(0, EFD_CLOEXEC), .events = EPOLLIN};
        source.ready = on_ready;
        atomic_store(&rung, 0);
        mu_check_ok(mu__io_add(system, &source));
        uint64_t one = 1;
        mu_check_eq(write(source.fd, &one, sizeof one), (ssize_t)sizeof one);
        if (i % 2)
            mu_wait_until(atomic_load(&rung) == 1, 2000);
        mu__io_remove(system, &source);
        int seen = atomic_load(&rung);
        close(source.fd);
        mu_check_eq(atomic_load(&rung), seen);

        mu__alarm alarm = {.fire = on_alarm};
        atomic_store(&rung, 0);
        mu_check_ok(mu__alarm_set(system, &alarm, mu_now(system) + (i % 3) * 10000));
        if (i % 2)
            mu_wait_until(atomic_load(&rung) == 1, 2000);
        (void)mu__alarm_cancel(system, &alarm);
    }
    mu_check_eq(mu__runtime_stop(&system), 0u);
}
