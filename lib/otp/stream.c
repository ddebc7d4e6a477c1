/*
 * Streams of tasks (muster/task.h): at most so many works at a time, their results one by one.
 *
 * Called by programs, in one thread; the works run in actors (work.c), all ringing the stream's
 * bell. The places form a list in the order of the items. A place is taken from the start of its
 * task until its result has been handed out, so that an ordered stream does not run ahead of a slow
 * item without bound; that is how Elixir counts as well.
 */
#include <muster/task.h>

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "otp/gen.h"
#include "otp/work.h"

enum { STANDARD_TIMEOUT_MS = 5000 };

typedef struct place {
    mu__work *work; /* NULL: free */
    size_t index;
    void *item;
    int64_t deadline;
} place;

struct mu_stream {
    mu_system *system;
    mu_stream_options options;
    mu__work_how how;
    mu__bell *bell;
    mu_pid owner;
    pthread_t owner_thread;
    size_t pulled; /* items taken so far */
    bool dry;      /* there are no more */
    mu_err ended;  /* not MU_OK: why the stream is over */
    size_t n;      /* places taken: the first n, oldest first */
    place places[];
};

static size_t processors(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (size_t)n : 1;
}

static bool valid(mu_system *system, const mu_stream_options *o)
{
    return system && o && o->size == sizeof *o && o->fn && o->timeout_ms >= 0 &&
           (o->items.next || o->items.array || o->items.n == 0) &&
           o->on_timeout >= MU_ON_TIMEOUT_EXIT && o->on_timeout <= MU_ON_TIMEOUT_KILL;
}

mu_err mu_stream_start(mu_system *system, const mu_stream_options *options, mu_stream **ret_stream)
{
    if (!valid(system, options) || !ret_stream)
        return MU_EINVAL;
    size_t width = options->max_concurrency ? options->max_concurrency : processors();
    if (width > SIZE_MAX / 2 / sizeof(place))
        return MU_EINVAL;
    mu_stream *s = mu__sys(system)->alloc(sizeof *s + width * sizeof s->places[0]);
    if (!s)
        return MU_ENOMEM;
    s->system = system;
    s->options = *options;
    s->options.max_concurrency = width;
    if (options->timeout_ms == 0)
        s->options.timeout_ms = STANDARD_TIMEOUT_MS;
    s->owner = mu_self();
    s->owner_thread = pthread_self();
    s->how = (mu__work_how){!options->nolink && !mu_pid_is_none(s->owner), options->supervisor,
                            options->shutdown_ms, options->stack_size, NULL};
    s->bell = mu__bell_new(system);
    if (!s->bell) {
        free(s);
        return MU_ENOMEM;
    }
    *ret_stream = s;
    return MU_OK;
}

/* ---- places ---------------------------------------------------------------------------------- */

/* Gives a place up; those behind it move, so that order is kept. */
static void vacate(mu_stream *s, size_t i)
{
    mu__work_unref(s->places[i].work);
    s->n--;
    for (; i < s->n; i++)
        s->places[i] = s->places[i + 1];
}

/* A caller that traps exits hears of the ends of its tasks by their results alone. */
static void forget(mu_stream *s, place *p)
{
    if (s->how.link)
        mu__work_unlink(p->work);
}

static void kill_at(mu_stream *s, place *p)
{
    forget(s, p);
    mu__work_kill(p->work);
}

/* Ends the stream: what still runs is killed, what has not been taken is dropped. */
static mu_err end(mu_stream *s, mu_err why)
{
    for (size_t i = 0; i < s->n; i++) {
        if (mu__work_done(s->places[i].work))
            forget(s, &s->places[i]);
        else
            kill_at(s, &s->places[i]);
        mu__work_unref(s->places[i].work);
    }
    s->n = 0;
    s->ended = why;
    return why;
}

static bool pull(mu_stream *s, void **ret_item)
{
    const mu_items *items = &s->options.items;
    if (items->next)
        return items->next(items->ctx, ret_item);
    if (s->pulled == items->n)
        return false;
    *ret_item = items->array[s->pulled];
    return true;
}

/* Starts tasks until all places are taken or all items. */
static mu_err fill(mu_stream *s)
{
    while (!s->dry && s->n < s->options.max_concurrency) {
        place *p = &s->places[s->n];
        *p = (place){.index = s->pulled};
        if (!pull(s, &p->item)) {
            s->dry = true;
            break;
        }
        s->pulled++;
        p->work = mu__work_new(s->system, s->bell, s->options.fn, p->item, NULL);
        if (!p->work)
            return MU_ENOMEM;
        mu_err err = mu__work_start(p->work, &s->how);
        if (err != MU_OK) {
            mu__work_unref(p->work);
            return err;
        }
        p->deadline = mu__deadline_in(s->options.timeout_ms);
        s->n++;
    }
    return MU_OK;
}

/* ---- results --------------------------------------------------------------------------------- */

/* The place whose result is to be handed out now, or n. */
static size_t deliverable(const mu_stream *s)
{
    size_t candidates = s->options.unordered || s->n == 0 ? s->n : 1;
    for (size_t i = 0; i < candidates; i++)
        if (mu__work_done(s->places[i].work))
            return i;
    return s->n;
}

static bool has_deliverable(void *arg)
{
    const mu_stream *s = arg;
    return deliverable(s) < s->n;
}

static int64_t next_deadline(const mu_stream *s)
{
    int64_t earliest = MU_NEVER;
    for (size_t i = 0; i < s->n; i++)
        if (!mu__work_done(s->places[i].work) && s->places[i].deadline < earliest)
            earliest = s->places[i].deadline;
    return earliest;
}

/*
 * The end came past the task's time, whoever brought it about: a caller that was busy elsewhere
 * gets the result that one who waited would have got. For a work that is done.
 */
static bool timed_out(const place *p)
{
    return p->work->ended >= p->deadline;
}

/* Deals with those past their time. False: that ends the stream. */
static bool check_time(mu_stream *s)
{
    int64_t now = mu_clock_now(&mu__clock_monotonic);
    for (size_t i = 0; i < s->n; i++) {
        place *p = &s->places[i];
        if (mu__work_done(p->work) || now < p->deadline)
            continue;
        if (s->options.on_timeout == MU_ON_TIMEOUT_EXIT)
            return false;
        kill_at(s, p); /* its value may have been quicker */
    }
    return true;
}

static void hand_out(mu_stream *s, size_t i, mu_stream_result *ret_result)
{
    place *p = &s->places[i];
    *ret_result = (mu_stream_result){.index = p->index, .item = p->item};
    if (timed_out(p)) {
        ret_result->status = MU_ETIMEOUT;
        ret_result->reason = mu_reason_error(MU_ETIMEOUT, NULL);
    } else {
        ret_result->status = p->work->status;
        ret_result->value = p->work->value;
        ret_result->reason = p->work->status == MU_EDOWN ? p->work->reason : mu_reason_normal();
        p->work->value = (mu_message){0, NULL, 0, NULL};
    }
    forget(s, p);
    vacate(s, i);
}

/* MU_OK: a result is there. */
static mu_err await_result(mu_stream *s)
{
    while (!has_deliverable(s)) {
        mu_err err = mu__wait(&s->bell->waiter, has_deliverable, s, next_deadline(s));
        if (err == MU_EKILLED)
            return err;
        if (err == MU_ETIMEOUT && !check_time(s))
            return end(s, err);
    }
    return MU_OK;
}

mu_err mu_stream_next(mu_stream *stream, mu_stream_result *ret_result)
{
    mu_stream *s = stream;
    if (!s || !ret_result)
        return MU_EINVAL;
    if (!mu_pid_equal(s->owner, mu_self()) || !pthread_equal(s->owner_thread, pthread_self()))
        return MU_ENOTOWNER;
    if (s->ended != MU_OK)
        return s->ended;
    mu_err err = fill(s);
    if (err != MU_OK)
        return err == MU_EKILLED ? err : end(s, err);
    if (s->n == 0)
        return end(s, MU_ENOTFOUND);
    err = await_result(s);
    if (err != MU_OK)
        return err;
    size_t i = deliverable(s);
    const place *p = &s->places[i];
    if (timed_out(p) && s->options.on_timeout == MU_ON_TIMEOUT_EXIT)
        return end(s, MU_ETIMEOUT);
    if (s->how.link && !timed_out(p) && p->work->status == MU_EDOWN)
        err = mu__work_await_death(p->work);
    if (err == MU_OK)
        hand_out(s, i, ret_result);
    return err;
}

void mu_stream_stop(mu_stream **take_stream)
{
    mu_stream *s = take_stream ? *take_stream : NULL;
    if (!s)
        return;
    *take_stream = NULL;
    (void)end(s, MU_ENOTFOUND);
    mu__bell_unref(s->bell);
    free(s);
}
