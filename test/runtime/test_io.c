/* The I/O thread: sources and alarms. */
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <muster/timer.h>

#include "base/clock.h"
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
            mu_wait_until(atomic_load(&rung) == 1, 10000);
        mu__io_remove(system, &source);
        int seen = atomic_load(&rung);
        close(source.fd);
        mu_check_eq(atomic_load(&rung), seen);

        mu__alarm alarm = {.fire = on_alarm};
        atomic_store(&rung, 0);
        mu_check_ok(mu__alarm_set(system, &alarm, mu_now(system) + (i % 3) * 10000));
        if (i % 2)
            mu_wait_until(atomic_load(&rung) == 1, 10000);
        (void)mu__alarm_cancel(system, &alarm);
    }
    mu_check_eq(mu__runtime_stop(&system), 0u);
}

typedef struct latecomer {
    mu__io_source source;
    mu__alarm alarm;
    mu_system *system;
    _Atomic bool watches, leave, left;
} latecomer;

static void come_late(void *arg)
{
    latecomer *l = arg;
    mu_check_ok(mu__io_add(l->system, &l->source));
    mu_check_ok(mu__alarm_set(l->system, &l->alarm, mu_now(l->system) + 3600 * MU_SECOND));
    atomic_store(&l->watches, true);
    while (!atomic_load(&l->leave))
        usleep(1000); /* deaf to everybody */
    mu__io_remove(l->system, &l->source);
    mu_check(!mu__alarm_cancel(l->system, &l->alarm));
    mu_check_eq(mu__io_add(l->system, &l->source), MU_ESTOPPED);
    mu_check_eq(mu__alarm_set(l->system, &l->alarm, mu_now(l->system)), MU_ESTOPPED);
    atomic_store(&l->left, true);
}

MU_TEST(io, an_abandoned_thread_may_come_back_after_the_stop_and_clean_up)
{
    mu_system_options o = MU_SYSTEM_OPTIONS_INIT;
    o.stop_timeout_ms = 20;
    latecomer l = {.source = {.events = EPOLLIN, .ready = on_ready}, .alarm = {.fire = on_alarm}};
    l.source.fd = eventfd(0, EFD_CLOEXEC);
    mu_check_ok(mu__runtime_start(&o, &l.system));
    mu_pid pid;
    mu_check_ok(mu_spawn(l.system, NULL, come_late, &l, &pid));
    mu_wait_until(atomic_load(&l.watches), 5000);
    mu_system *system = l.system;
    mu_check_eq(mu__runtime_stop(&system), 1u);
    atomic_store(&l.leave, true);
    mu_wait_until(atomic_load(&l.left), 5000);
    close(l.source.fd);
}
