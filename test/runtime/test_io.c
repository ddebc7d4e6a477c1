/* The I/O thread: sources and alarms. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <muster/timer.h>

#include "base/clock.h"
#include "base/sys.h"
#include "runtime/io.h"
#include "runtime/runtime.h"
#include "runtime/slot.h"
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

/* ---- without memory ---- */

static _Atomic bool no_memory;

static void *resize_if_any(void *block, size_t size)
{
    return atomic_load(&no_memory) ? NULL : mu__sys_real.resize(block, size);
}

static void start_scarce(mu_system **ret_system)
{
    static mu_sys scarce;
    mu_system_options o = MU_SYSTEM_OPTIONS_INIT;
    scarce = mu__sys_real;
    scarce.resize = resize_if_any;
    o.sys = &scarce;
    atomic_store(&no_memory, false);
    mu_check_ok(mu__runtime_start(&o, ret_system));
}

/* Sets alarms that never go off until there is room for no other. Returns how many. */
enum { ALARMS_MOST = 64 };
static mu__alarm crowd[ALARMS_MOST];
static int fill_up(mu_system *system)
{
    int n = 0;
    mu_err err = MU_OK;
    atomic_store(&no_memory, true);
    for (; n < ALARMS_MOST && err == MU_OK; n++) {
        crowd[n] = (mu__alarm){.fire = on_alarm};
        err = mu__alarm_set(system, &crowd[n], mu_now(system) + 3600 * MU_SECOND);
    }
    mu_check_eq(err, MU_ENOMEM);
    return n;
}

MU_TEST(io, an_alarm_that_was_reserved_is_set_without_memory)
{
    mu_system *system = NULL;
    mu__alarm alarms[3] = {{.fire = on_alarm}, {.fire = on_alarm}, {.fire = on_alarm}};
    mu__alarm another = {.fire = on_alarm};
    start_scarce(&system);
    atomic_store(&rung, 0);
    for (int i = 0; i < 3; i++)
        mu_check_ok(mu__alarm_reserve(system, &alarms[i]));
    mu_check_eq(fill_up(system), 16 - 3 + 1); /* the first block of the heap */
    for (int round = 1; round <= 5; round++) {
        for (int i = 0; i < 3; i++)
            mu_check_ok(mu__alarm_set(system, &alarms[i], mu_now(system)));
        mu_wait_until(atomic_load(&rung) == 3 * round, 10000);
        mu_check_eq(mu__alarm_set(system, &another, mu_now(system)), MU_ENOMEM);
    }
    mu__alarm_release(system, &alarms[0]); /* its place is anybody's again */
    mu_check_ok(mu__alarm_set(system, &another, mu_now(system)));
    mu_wait_until(atomic_load(&rung) == 16, 10000);
    mu_check_eq(mu__runtime_stop(&system), 0u);
}

/* Whatever is set while it goes off: its place in the heap is its own. */
static mu_system *_Atomic crowds_in;
bool __real_mu__deliver(mu__actor *actor, mu_pid pid, mu__node *node);
bool __wrap_mu__deliver(mu__actor *actor, mu_pid pid, mu__node *node);
bool __wrap_mu__deliver(mu__actor *actor, mu_pid pid, mu__node *node)
{
    mu_system *system = atomic_exchange(&crowds_in, NULL);
    if (system)
        (void)fill_up(system);
    return __real_mu__deliver(actor, pid, node);
}

static void count_ticks(void *arg)
{
    mu_message message;
    int *ticks = arg;
    while (*ticks < 3 && mu_receive(&message, 10000) == MU_OK)
        (*ticks)++;
}

MU_TEST(io, an_interval_timer_ticks_on_without_memory_for_alarms)
{
    mu_system *system = NULL;
    int ticks = 0;
    mu_pid pid;
    start_scarce(&system);
    mu_check_ok(mu_spawn(system, NULL, count_ticks, &ticks, &pid));
    atomic_store(&crowds_in, system);
    mu_check_ok(mu_send_interval(pid, 1, 7, NULL));
    mu_wait_until(!mu_alive(pid), 60000);
    mu_check_eq(mu__runtime_stop(&system), 0u); /* its thread has ended, too */
    mu_check_eq(ticks, 3);
}

/* Reads no more than there is, so that it runs once for each word. */
static void on_word(mu__io_source *source, uint32_t events)
{
    char word[8];
    (void)events;
    if (read(source->fd, word, sizeof word) == (ssize_t)sizeof word)
        atomic_fetch_add(&rung, 1);
}

/* The number of a source that was closed behind its back is soon another's. */
MU_TEST(io, removing_a_source_that_was_closed_leaves_the_one_that_has_its_number_now)
{
    mu_system *system = NULL;
    int lost[2], pipe_fds[2];
    mu_check_ok(mu__runtime_start(NULL, &system));
    mu_check_eq(pipe2(lost, O_CLOEXEC | O_NONBLOCK), 0);
    mu_check_eq(pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK), 0);
    mu__io_source closed = {.fd = lost[0], .events = EPOLLIN, .ready = on_word};
    mu__io_source open = {.fd = lost[0], .events = EPOLLIN, .ready = on_word};
    atomic_store(&rung, 0);
    mu_check_ok(mu__io_add(system, &closed));
    mu_check_eq(dup3(pipe_fds[0], lost[0], O_CLOEXEC), lost[0]);
    mu_check_ok(mu__io_add(system, &open));
    mu_check_err(mu__io_modify(system, &closed, EPOLLIN), MU_ERRNO(EBADF));
    mu__io_remove(system, &closed);
    mu_check_eq(write(pipe_fds[1], "01234567", 8), 8);
    mu_wait_until(atomic_load(&rung) == 1, 10000);
    mu__io_remove(system, &open);
    mu_check_eq(mu__runtime_stop(&system), 0u);
    for (int i = 0; i < 2; i++) {
        close(lost[i]);
        close(pipe_fds[i]);
    }
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
