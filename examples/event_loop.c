/*
 * event_loop: many requests in flight from one thread, in an event loop of the program's own.
 *
 * Each request is a future, and each future has an eventfd that becomes readable with the outcome:
 * to epoll it is a descriptor like any other, here beside a timer that stands for whatever else the
 * program has to do. The loop never waits for a worker. It keeps at most IN_FLIGHT requests under
 * way and submits the next one when an outcome has come, so that the pool's queue cannot run full.
 *
 * Exits with 0 if every request was answered rightly.
 */
#include <muster/muster.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { WORKERS = 4, REQUESTS = 500, IN_FLIGHT = 50, EVENTS = 16, TICK_MS = 5 };

typedef struct loop loop;

/* Something that the loop watches; epoll gives back its address. */
typedef struct source {
    void (*ready)(loop *l, struct source *self);
    int fd;
} source;

/* A request under way. `source` stands first, so that its address is the request's. */
typedef struct request {
    source source;
    mu_future *future; /* NULL: this place is free */
    int number;
} request;

struct loop {
    int epoll;
    mu_pool *pool;
    source timer;
    request requests[IN_FLIGHT];
    int submitted, in_flight, most_in_flight, right, wrong, overtaken;
    uint64_t ticks;
};

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(EXIT_FAILURE); /* the warden ends the workers */
}

static void watch(loop *l, source *s)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = s};

    if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, s->fd, &event) != 0)
        fail("epoll_ctl", mu_strerror(MU_ERRNO(errno)));
}

/* ---- requests ------------------------------------------------------------------------------- */

static void on_outcome(loop *l, source *self);

static void submit(loop *l, request *r)
{
    mu_value args = MU_VALUE_INIT;
    char expression[32];

    r->number = l->submitted++;
    snprintf(expression, sizeof expression, "%d ** 2", r->number);
    mu_err err = mu_value_pack(&args, NULL, "{s:s}", "expression", expression);
    if (err == MU_OK)
        err = mu_pool_submit_future(l->pool, "calculate", &args, NULL, &r->future);
    if (err == MU_OK)
        err = mu_future_fd(r->future, &r->source.fd);
    if (err != MU_OK)
        fail("a request could not be submitted", mu_strerror(err));
    mu_value_clear(&args);
    r->source.ready = on_outcome;
    watch(l, &r->source);
    if (++l->in_flight > l->most_in_flight)
        l->most_in_flight = l->in_flight;
}

/* Has a request that was submitted later got its outcome first? */
static bool overtaken(const loop *l, const request *r)
{
    int younger = 0;

    for (int i = 0; i < IN_FLIGHT; i++)
        younger += l->requests[i].future && l->requests[i].number > r->number;
    return younger < l->submitted - 1 - r->number;
}

static void on_outcome(loop *l, source *self)
{
    request *r = (request *)self;
    mu_value result = MU_VALUE_INIT;
    mu_error error = MU_ERROR_INIT;

    /* There is an outcome, so this does not wait. */
    mu_err err = mu_future_wait(r->future, 0, &result, &error);
    if (err == MU_OK && mu_value_int(&result, NULL, -1) == (int64_t)r->number * r->number)
        l->right++;
    else
        l->wrong++;
    if (err != MU_OK)
        fprintf(stderr, "request %d: %s\n", r->number, error.message);
    l->overtaken += overtaken(l, r);
    mu_value_clear(&result);
    mu_error_clear(&error);

    /* The descriptor is the future's: out of the epoll first. */
    (void)epoll_ctl(l->epoll, EPOLL_CTL_DEL, self->fd, NULL);
    mu_future_free(&r->future);
    l->in_flight--;
    if (l->submitted < REQUESTS)
        submit(l, r);
}

/* ---- the rest of the program ---------------------------------------------------------------- */

static void on_tick(loop *l, source *self)
{
    uint64_t ticks;

    if (read(self->fd, &ticks, sizeof ticks) == sizeof ticks)
        l->ticks += ticks;
}

static void start_timer(loop *l)
{
    struct itimerspec each = {.it_interval.tv_nsec = TICK_MS * 1000000L,
                              .it_value.tv_nsec = TICK_MS * 1000000L};

    l->timer = (source){.ready = on_tick, .fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC)};
    if (l->timer.fd < 0 || timerfd_settime(l->timer.fd, 0, &each, NULL) != 0)
        fail("timerfd", mu_strerror(MU_ERRNO(errno)));
    watch(l, &l->timer);
}

static void run(loop *l)
{
    struct epoll_event events[EVENTS];

    while (l->in_flight > 0) {
        int count = epoll_wait(l->epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            source *s = events[i].data.ptr;
            s->ready(l, s);
        }
    }
}

int main(void)
{
    loop l = {.epoll = epoll_create1(EPOLL_CLOEXEC)};
    mu_system *system = NULL;
    mu_pool_options options = MU_POOL_OPTIONS_INIT;
    mu_error error = MU_ERROR_INIT;

    options.size = WORKERS;
    if (l.epoll < 0)
        fail("epoll", mu_strerror(MU_ERRNO(errno)));
    if (mu_system_start(NULL, &system, &error) != MU_OK ||
        mu_pool_start(system, &options, &l.pool, &error) != MU_OK)
        fail("the pool does not start", error.message);

    start_timer(&l);
    for (int i = 0; i < IN_FLIGHT; i++)
        submit(&l, &l.requests[i]);
    run(&l);
    printf("%d of %d requests answered by %d workers, %d in flight at most, from one thread\n",
           l.right, REQUESTS, WORKERS, l.most_in_flight);
    printf("%d were overtaken by later ones; the timer ticked %llu times meanwhile\n", l.overtaken,
           (unsigned long long)l.ticks);

    close(l.timer.fd);
    close(l.epoll);
    mu_pool_free(&l.pool);
    mu_system_stop(&system);
    mu_error_clear(&error);
    return l.wrong == 0 && l.right == REQUESTS ? EXIT_SUCCESS : EXIT_FAILURE;
}
