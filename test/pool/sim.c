/* Dice, clock, coroutines, waits, alarms and fds of a simulated world (sim.h). */
#include "pool/sim.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/event.h"
#include "runtime/actor.h"
#include "runtime/io.h"
#include "support/mu_dice.h"

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#elif __has_feature(thread_sanitizer)
#define WITH_TSAN 1
#endif
#endif
#if WITH_ASAN
#include <sanitizer/common_interface_defs.h>
#elif WITH_TSAN
#include <sanitizer/tsan_interface.h>
#endif

enum {
    COROUTINES_MOST = 512,
    EVENTS_MOST = 1024,
    ALARMS_MOST = 256,
    SOURCES_MOST = 256,
    CHOICES_MOST = COROUTINES_MOST + EVENTS_MOST + SOURCES_MOST + 1,
    STACK_SIZE = 256 * 1024
};

#define RUN_NS (INT64_C(600) * MU_SECOND)

typedef struct coroutine {
    ucontext_t context;
    void *stack;
    void *fiber; /* the sanitizer's idea of it */
    void (*body)(void *arg);
    void *arg;
    sim_actor *actor;
    bool (*ready)(void *arg); /* NULL: it has not begun */
    void *ready_arg;
    int64_t deadline;
    bool over;
} coroutine;

typedef struct source {
    mu__io_source *source;
    uint32_t events; /* 0: it has fired and is not armed */
    uint64_t looked; /* as of `changes`, it was not readable */
} source;

const sim_watch *sim_watcher;

static mu_dice dice;
static int64_t now_ns;

static coroutine *coroutines[COROUTINES_MOST];
static int n_coroutines;
static coroutine *running; /* NULL: the scheduler */
static ucontext_t scheduler;
static coroutine *spare[COROUTINES_MOST];
static int n_spare;

static sim_event *events[EVENTS_MOST];
static int n_events;
static mu__alarm *alarms[ALARMS_MOST];
static int n_alarms;
static source sources[SOURCES_MOST];
static int n_sources;
static uint64_t changes; /* of fds; so that most polls need no system call */

static void give_up(const char *what)
{
    (void)fprintf(stderr, "# the simulated world: %s\n", what);
    abort();
}

/* ---- dice and time ------------------------------------------------------------------------ */

int sim_roll(int n)
{
    return mu_dice_roll(&dice, n);
}

bool sim_percent(int share)
{
    return mu_dice_percent(&dice, share);
}

int64_t sim_now(void)
{
    return now_ns;
}

/* ---- switching ---------------------------------------------------------------------------- */

#if WITH_ASAN
static const void *scheduler_stack;
static size_t scheduler_size;
static void *scheduler_fake;
#elif WITH_TSAN
static void *scheduler_fiber;
#endif

static void into_coroutine(coroutine *c)
{
    running = c;
#if WITH_ASAN
    __sanitizer_start_switch_fiber(&scheduler_fake, c->stack, STACK_SIZE);
#elif WITH_TSAN
    scheduler_fiber = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(c->fiber, 0);
#endif
    (void)swapcontext(&scheduler, &c->context);
#if WITH_ASAN
    __sanitizer_finish_switch_fiber(scheduler_fake, NULL, NULL);
#endif
    running = NULL;
}

static void into_scheduler(coroutine *c)
{
#if WITH_ASAN
    __sanitizer_start_switch_fiber(c->over ? NULL : &c->fiber, scheduler_stack, scheduler_size);
#elif WITH_TSAN
    __tsan_switch_to_fiber(scheduler_fiber, 0);
#endif
    (void)swapcontext(&c->context, &scheduler);
#if WITH_ASAN
    __sanitizer_finish_switch_fiber(c->fiber, &scheduler_stack, &scheduler_size);
#endif
}

static void run_body(void)
{
    coroutine *c = running;
#if WITH_ASAN
    __sanitizer_finish_switch_fiber(NULL, &scheduler_stack, &scheduler_size);
#endif
    c->body(c->arg);
    c->over = true;
    into_scheduler(c);
}

static coroutine *coroutine_new(void)
{
    if (n_spare > 0)
        return spare[--n_spare];
    coroutine *c = calloc(1, sizeof *c);
    if (!c)
        give_up("no memory");
    c->stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (c->stack == MAP_FAILED)
        give_up("no memory for a stack");
    return c;
}

static void coroutine_release(coroutine *c)
{
#if WITH_TSAN
    __tsan_destroy_fiber(c->fiber);
#endif
    spare[n_spare++] = c;
}

/* Apart, since getcontext may return twice as far as the compiler knows. */
static __attribute__((noinline)) void make_context(coroutine *c)
{
    (void)getcontext(&c->context);
    c->context.uc_stack.ss_sp = c->stack;
    c->context.uc_stack.ss_size = STACK_SIZE;
    makecontext(&c->context, run_body, 0);
}

void sim_thread_of(sim_actor *actor, void (*body)(void *arg), void *arg)
{
    if (n_coroutines == COROUTINES_MOST)
        give_up("too many coroutines");
    coroutine *c = coroutine_new();
    *c = (coroutine){.stack = c->stack, .body = body, .arg = arg, .actor = actor};
    make_context(c);
#if WITH_TSAN
    c->fiber = __tsan_create_fiber(0);
#endif
    coroutines[n_coroutines++] = c;
}

void sim_thread(void (*body)(void *arg), void *arg)
{
    sim_thread_of(NULL, body, arg);
}

sim_actor *sim_self(void)
{
    return running ? running->actor : NULL;
}

void sim_sleep(bool (*ready)(void *arg), void *arg, int64_t deadline)
{
    coroutine *c = running;
    if (!c)
        give_up("the I/O thread blocks");
    c->ready = ready;
    c->ready_arg = arg;
    c->deadline = deadline;
    into_scheduler(c);
}

/* ---- events ------------------------------------------------------------------------------- */

void sim_event_set(sim_event *event, int64_t at)
{
    event->at = at;
    if (event->set)
        return;
    if (n_events == EVENTS_MOST)
        give_up("too many events");
    event->set = true;
    events[n_events++] = event;
}

void sim_event_unset(sim_event *event)
{
    for (int i = 0; event->set && i < n_events; i++) {
        if (events[i] != event)
            continue;
        events[i] = events[--n_events];
        event->set = false;
    }
}

/* ---- what happens next -------------------------------------------------------------------- */

typedef struct choice {
    enum { GO_ON, HAPPEN, FIRE, READABLE } kind;
    int which;
} choice;

static choice choices[CHOICES_MOST];
static int n_choices;
static int64_t next_at; /* when something will be possible that is not yet */

static void offer(int kind, int which, int64_t at)
{
    if (at <= now_ns) {
        choices[n_choices].kind = kind;
        choices[n_choices++].which = which;
    } else if (at < next_at) {
        next_at = at;
    }
}

static bool is_readable(source *s)
{
    struct pollfd fd = {.fd = s->source->fd, .events = POLLIN};
    if (s->events == 0 || s->looked == changes)
        return false;
    bool readable = poll(&fd, 1, 0) > 0;
    s->looked = readable ? 0 : changes;
    return readable;
}

void sim_fds_changed(void)
{
    changes++;
}

static void look_around(void)
{
    n_choices = 0;
    next_at = MU_NEVER;
    for (int i = 0; i < n_coroutines; i++) {
        const coroutine *c = coroutines[i];
        bool ready = !c->ready || c->ready(c->ready_arg);
        offer(GO_ON, i, ready ? now_ns : c->deadline);
    }
    for (int i = 0; i < n_events; i++)
        offer(HAPPEN, i, events[i]->at);
    int first = -1; /* alarms go off in their order */
    for (int i = 0; i < n_alarms; i++)
        if (first < 0 || alarms[i]->deadline < alarms[first]->deadline)
            first = i;
    if (first >= 0)
        offer(FIRE, first, alarms[first]->deadline);
    for (int i = 0; i < n_sources; i++)
        if (is_readable(&sources[i]))
            offer(READABLE, i, now_ns);
}

static void go_on(int which)
{
    coroutine *c = coroutines[which];
    into_coroutine(c);
    if (!c->over)
        return;
    for (int i = 0; i < n_coroutines; i++)
        if (coroutines[i] == c)
            coroutines[i] = coroutines[--n_coroutines];
    coroutine_release(c);
}

static void make_happen(choice what)
{
    sim_event *event;
    mu__alarm *alarm;
    switch (what.kind) {
    case GO_ON:
        go_on(what.which);
        break;
    case HAPPEN:
        event = events[what.which];
        sim_event_unset(event);
        event->happen(event);
        break;
    case FIRE:
        alarm = alarms[what.which];
        alarms[what.which] = alarms[--n_alarms];
        alarm->fire(alarm);
        break;
    case READABLE:
        sources[what.which].events = 0; /* all are one-shot */
        sources[what.which].source->ready(sources[what.which].source, EPOLLIN);
        break;
    }
}

/* One thing happens, or time passes, at most to `horizon`; false: it is then. */
static bool step(int64_t horizon)
{
    look_around();
    if (n_choices > 0) {
        make_happen(choices[sim_roll(n_choices)]);
        sim_watcher->step();
        return true;
    }
    sim_watcher->quiet();
    bool more = next_at <= horizon;
    now_ns = more ? next_at : horizon;
    return more;
}

void sim_run(int64_t horizon, int steps)
{
    while (steps-- > 0 && step(horizon))
        ;
}

bool sim_run_until(bool (*done)(void))
{
    int64_t horizon = now_ns + RUN_NS;
    while (!done())
        if (!step(horizon))
            return false;
    return true;
}

void sim_begin(uint64_t seed, const sim_watch *watch)
{
    dice = seed;
    sim_watcher = watch;
    now_ns = 1000 * MU_SECOND;
    changes = 1;
    sim_actors_begin();
    sim_ports_begin();
}

int sim_end(void)
{
    if (n_coroutines > 0)
        give_up("somebody is left in it");
    sim_actors_end();
    n_events = n_alarms = n_sources = 0;
    return sim_ports_left();
}

void sim_close(void)
{
    while (n_spare > 0) {
        (void)munmap(spare[--n_spare]->stack, STACK_SIZE);
        free(spare[n_spare]);
    }
}

/* ---- the system --------------------------------------------------------------------------- */

typedef struct waiting_poll {
    struct pollfd *fds;
    nfds_t count;
    uint64_t looked;
} waiting_poll;

static bool poll_is_over(void *arg)
{
    waiting_poll *w = arg;
    if (w->looked == changes)
        return false;
    bool over = poll(w->fds, w->count, 0) > 0;
    w->looked = over ? 0 : changes;
    return over;
}

static int sim_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    waiting_poll w = {fds, count, 0};
    sim_sleep(poll_is_over, &w, mu_deadline(now_ns, timeout_ms < 0 ? MU_INFINITY : timeout_ms));
    return poll(fds, count, 0);
}

static ssize_t sim_write(int fd, const void *data, size_t size)
{
    ssize_t n = write(fd, data, size);
    sim_fds_changed();
    if (n > 0)
        sim_port_written(fd, data, (size_t)n);
    return n;
}

static mu_sys table;
const mu_sys *const sim_sys = &table;
static char system_; /* nobody looks inside */

mu_system *sim_system(void)
{
    table = mu__sys_real;
    table.poll = sim_poll;
    table.write = sim_write;
    return (mu_system *)&system_;
}

/* ---- what the pool calls ------------------------------------------------------------------ */

static mu__log off = {.lock = MU_LOCK_INIT};

mu_err __wrap_mu__usable(const mu_system *system);
mu_err __wrap_mu__usable(const mu_system *system)
{
    (void)system;
    return MU_OK;
}

int64_t __wrap_mu__now(const mu_system *system);
int64_t __wrap_mu__now(const mu_system *system)
{
    (void)system;
    return now_ns;
}

const mu_sys *__wrap_mu__sys(const mu_system *system);
const mu_sys *__wrap_mu__sys(const mu_system *system)
{
    (void)system;
    return &table;
}

const mu_event_hook *__wrap_mu__hook(const mu_system *system);
const mu_event_hook *__wrap_mu__hook(const mu_system *system)
{
    (void)system;
    return &off.next;
}

mu__log *__wrap_mu__log_of(mu_system *system);
mu__log *__wrap_mu__log_of(mu_system *system)
{
    (void)system;
    return &off;
}

/* Its park is not slept on: where it points to says whether it has been notified. */
static mu__park notified;

typedef struct waiting {
    mu__waiter *waiter;
    const sim_actor *actor;
} waiting;

static bool wait_is_over(void *arg)
{
    const waiting *w = arg;
    return atomic_load(&w->waiter->park) == &notified || (w->actor && sim_told(w->actor));
}

mu_err __wrap_mu__wait(mu__waiter *waiter, bool (*done)(void *arg), void *arg, int64_t deadline);
mu_err __wrap_mu__wait(mu__waiter *waiter, bool (*done)(void *arg), void *arg, int64_t deadline)
{
    waiting w = {waiter, sim_self()};
    for (;;) {
        atomic_store(&waiter->park, NULL);
        if (done(arg))
            return MU_OK;
        if (w.actor && sim_told(w.actor))
            return MU_EKILLED;
        if (deadline <= now_ns)
            return MU_ETIMEOUT;
        sim_sleep(wait_is_over, &w, deadline);
    }
}

void __wrap_mu__wait_out(mu__waiter *waiter, bool (*done)(void *arg), void *arg);
void __wrap_mu__wait_out(mu__waiter *waiter, bool (*done)(void *arg), void *arg)
{
    waiting w = {waiter, NULL};
    for (;;) {
        atomic_store(&waiter->park, NULL);
        if (done(arg))
            return;
        sim_sleep(wait_is_over, &w, MU_NEVER);
    }
}

void __wrap_mu__notify(mu__waiter *waiter);
void __wrap_mu__notify(mu__waiter *waiter)
{
    atomic_store(&waiter->park, &notified);
}

mu_err __wrap_mu__thread_start(mu_system *system, void (*job)(void *arg), void *arg, size_t stack);
mu_err __wrap_mu__thread_start(mu_system *system, void (*job)(void *arg), void *arg, size_t stack)
{
    (void)system;
    (void)stack;
    sim_thread(job, arg);
    return MU_OK;
}

mu_err __wrap_mu__run_apart(mu_system *system, void (*job)(void *arg), void *arg);
mu_err __wrap_mu__run_apart(mu_system *system, void (*job)(void *arg), void *arg)
{
    (void)system;
    job(arg);
    return MU_OK;
}

mu_err __wrap_mu__alarm_reserve(mu_system *system, mu__alarm *alarm);
mu_err __wrap_mu__alarm_reserve(mu_system *system, mu__alarm *alarm)
{
    (void)system;
    alarm->reserved = true;
    return MU_OK;
}

void __wrap_mu__alarm_release(mu_system *system, mu__alarm *alarm);
void __wrap_mu__alarm_release(mu_system *system, mu__alarm *alarm)
{
    (void)system;
    alarm->reserved = false;
}

mu_err __wrap_mu__alarm_set(mu_system *system, mu__alarm *alarm, int64_t deadline);
bool __wrap_mu__alarm_cancel(mu_system *system, mu__alarm *alarm);

bool __wrap_mu__alarm_cancel(mu_system *system, mu__alarm *alarm)
{
    (void)system;
    for (int i = 0; i < n_alarms; i++) {
        if (alarms[i] != alarm)
            continue;
        alarms[i] = alarms[--n_alarms];
        return true;
    }
    return false;
}

mu_err __wrap_mu__alarm_set(mu_system *system, mu__alarm *alarm, int64_t deadline)
{
    (void)__wrap_mu__alarm_cancel(system, alarm);
    if (n_alarms == ALARMS_MOST)
        give_up("too many alarms");
    alarm->deadline = deadline;
    alarms[n_alarms++] = alarm;
    return MU_OK;
}

mu_err __wrap_mu__io_add(mu_system *system, mu__io_source *added);
mu_err __wrap_mu__io_add(mu_system *system, mu__io_source *added)
{
    (void)system;
    if (n_sources == SOURCES_MOST)
        give_up("too many sources");
    added->index = 1;
    sources[n_sources++] = (source){added, added->events, 0};
    return MU_OK;
}

mu_err __wrap_mu__io_modify(mu_system *system, mu__io_source *changed, uint32_t mask);
mu_err __wrap_mu__io_modify(mu_system *system, mu__io_source *changed, uint32_t mask)
{
    (void)system;
    for (int i = 0; i < n_sources; i++)
        if (sources[i].source == changed)
            sources[i] = (source){changed, mask, 0};
    return MU_OK;
}

void __wrap_mu__io_remove(mu_system *system, mu__io_source *removed);
void __wrap_mu__io_remove(mu_system *system, mu__io_source *removed)
{
    (void)system;
    removed->index = 0;
    for (int i = 0; i < n_sources; i++)
        if (sources[i].source == removed)
            sources[i--] = sources[--n_sources];
}
