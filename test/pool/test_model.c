/*
 * A pool against a reference model, by chance: each seed makes a pool in a world of its own (sim.h)
 * and lets things happen to it - requests of every kind with priorities, deadlines and workers that
 * answer, hang, die and babble, of one type or of two; cancellations, kills, resizes, recycling,
 * pauses, drains, rolling restarts, a stop. pool_model.c says of each outcome whether it is
 * allowed. After every single thing that happens the pool's counters and its queue are what the
 * model has, and its circuit breaker has opened as often as the model's; before time passes nobody
 * waits while a worker is idle, and no more workers are held by their circuits than others serve;
 * in the end every request has its one outcome, every worker serves again, and nothing is left.
 *
 *     MUSTER_TEST_SEED=4711 build/test/test_pool_model     one seed, with its story
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <muster/future.h>

#include "pool/pool_impl.h"
#include "pool/pool_model.h"
#include "pool/sim.h"
#include "support/mu_dice.h"
#include "support/mu_test.h"

enum { ROUNDS = 40, STEPS = 60, STEPS_AT_ONCE = 20000 };

typedef enum kind { THREAD, ACTOR, CALLBACK, MESSAGE, FUTURE, KINDS } kind;

typedef struct request {
    model_request *model;
    kind kind;
    sim_deed deed;
    int ms;
    mu_execute_options options;
    mu_pid caller; /* of ACTOR */
    mu_job job;
    mu_future *future;
} request;

static model_pool model;
static request requests[MODEL_REQUESTS];
static mu_pool *pool;
static bool typed; /* the pool has the two types of random_types */
static mu_worker_type types[2];
static uint64_t seed;
static bool over;   /* what was run apart has ended */
static int helpers; /* threads that drain, restart, look, stop */
static bool closing, kills_actors;
static int n_held_ever, n_opened_ever; /* in all seeds: that they do happen */

static mu_story story;

static void demand(bool fine, const char *what)
{
    char *tree = NULL;
    if (fine)
        return;
    (void)mu_pool_tree(pool, &tree);
    (void)fprintf(stderr, "# seed %" PRIu64 ": %s\n%s", seed, story.text, tree ? tree : "");
    mu_test_fail(__FILE__, __LINE__, "MUSTER_TEST_SEED=%" PRIu64 ": at %" PRId64 " us: %s", seed,
                 sim_now() / 1000, what);
}

static void admit(const char *complaint, uint64_t token)
{
    if (complaint)
        mu_story_tell(&story, "\n    request %" PRIu64 ": ", token);
    demand(!complaint, complaint ? complaint : "");
}

/* ---- what the workers do ------------------------------------------------------------------ */

static void on_sent(uint64_t token, const char *type, bool busy)
{
    admit(model_sent(&model, token, type, busy, sim_now()), token);
}

static void on_begun(uint64_t token)
{
    admit(model_begun(&model, token), token);
}

static void on_answered(uint64_t token, sim_deed deed)
{
    admit(model_answered(&model, token, deed == SIM_RAISE, deed == SIM_BABBLE), token);
}

static void on_died(uint64_t token, bool begun, bool by_itself)
{
    admit(model_died(&model, token, begun, by_itself, sim_now()), token);
}

/* ---- the queue ---------------------------------------------------------------------------- */

void __real_mu__queue_push(mu__queue *queue, mu__queue_link *link, int priority, int64_t now);
void __wrap_mu__queue_push(mu__queue *queue, mu__queue_link *link, int priority, int64_t now);
void __wrap_mu__queue_push(mu__queue *queue, mu__queue_link *link, int priority, int64_t now)
{
    admit(model_push(&model, link, queue, priority, now), 0);
    __real_mu__queue_push(queue, link, priority, now);
}

bool __real_mu__queue_remove(mu__queue *queue, mu__queue_link *link);
bool __wrap_mu__queue_remove(mu__queue *queue, mu__queue_link *link);
bool __wrap_mu__queue_remove(mu__queue *queue, mu__queue_link *link)
{
    model_remove(&model, link);
    return __real_mu__queue_remove(queue, link);
}

mu__queue_link *__real_mu__queue_first(const mu__queue *queue);
mu__queue_link *__wrap_mu__queue_first(const mu__queue *queue);
mu__queue_link *__wrap_mu__queue_first(const mu__queue *queue)
{
    mu__queue_link *link = __real_mu__queue_first(queue);
    admit(model_first(&model, queue, link), 0);
    return link;
}

/* ---- requests ----------------------------------------------------------------------------- */

static void end_request(request *r, mu_err err, const mu_value *result)
{
    mu_story_tell(&story, "%" PRIu64 "=%s ", r->model->token, mu_err_name(err));
    admit(model_told(&model, r->model, err, sim_now()), r->model->token);
    demand(err != MU_OK || mu_value_uint(result, "", 0) == r->model->token,
           "a request gets the answer to another one");
}

static void pack_args(const request *r, mu_value *args)
{
    mu_check_ok(mu_value_pack(args, NULL, "[U, i, i]", r->model->token, (int)r->deed, r->ms));
}

static void execute(void *arg)
{
    request *r = arg;
    mu_value args = MU_VALUE_INIT, result = MU_VALUE_INIT;
    mu_error error = MU_ERROR_INIT;
    pack_args(r, &args);
    model_asked(&model, r->model, sim_now());
    mu_err err = mu_pool_execute(pool, "do", &args, &r->options, &result, &error);
    end_request(r, err, &result);
    mu_value_clear(&args);
    mu_value_clear(&result);
    mu_error_clear(&error);
}

static void on_outcome(void *ctx, const mu_outcome *outcome)
{
    request *r = ctx;
    demand(!r->job || outcome->job == r->job, "an outcome of another job");
    end_request(r, outcome->err, outcome->result);
}

static void on_message(uint64_t tag, mu_err err, const mu_value *result)
{
    end_request(&requests[tag], err, result);
}

static void submit(request *r)
{
    mu_err err;
    mu_value args = MU_VALUE_INIT;
    pack_args(r, &args);
    model_asked(&model, r->model, sim_now());
    if (r->kind == CALLBACK)
        err = mu_pool_submit(pool, "do", &args, &r->options, on_outcome, r, &r->job);
    else if (r->kind == MESSAGE)
        err = mu_pool_submit_to(pool, "do", &args, &r->options, sim_somebody(),
                                (uint64_t)(r - requests), &r->job);
    else
        err = mu_pool_submit_future(pool, "do", &args, &r->options, &r->future);
    if (err != MU_OK)
        end_request(r, err, NULL);
    mu_value_clear(&args);
}

/* Futures have nobody who is told: whoever looks finds out. */
static void look_at_futures(void)
{
    for (int i = 0; i < model.n_requests; i++) {
        request *r = &requests[i];
        if (!mu_future_done(r->future))
            continue;
        mu_value result = MU_VALUE_INIT;
        mu_err err = mu_future_wait(r->future, 0, &result, NULL);
        end_request(r, err, &result);
        mu_value_clear(&result);
        mu_future_free(&r->future);
    }
}

static int64_t ns_of(int64_t ms, int64_t otherwise_ms)
{
    if (ms == 0)
        ms = otherwise_ms;
    return ms == MU_INFINITY ? MODEL_NEVER : ms * MU_MS;
}

static void ask(void)
{
    static const int64_t queue_ms[] = {0, 0, 0, -1, 1, 2, 5, 20, MU_INFINITY};
    static const int64_t run_ms[] = {0, 0, 1, 2, 5, 20};
    if (model.n_requests == MODEL_REQUESTS)
        return;
    request *r = &requests[model.n_requests];
    model_request *m = model_new(&model);
    mu_execute_options o = MU_EXECUTE_OPTIONS_INIT;
    *r = (request){.model = m, .kind = (kind)sim_roll(KINDS), .deed = sim_some_deed()};
    r->ms = sim_percent(50) ? 0 : sim_roll(8);
    o.queue_timeout_ms = queue_ms[sim_roll((int)(sizeof queue_ms / sizeof *queue_ms))];
    o.execution_timeout_ms = run_ms[sim_roll((int)(sizeof run_ms / sizeof *run_ms))];
    o.deadline_ns = sim_percent(15) ? sim_now() + sim_roll(10) * MU_MS : 0;
    o.idempotent = sim_percent(30);
    o.priority = sim_percent(60) ? 0 : sim_roll(5) - 2;
    o.type = typed && sim_percent(60) ? types[sim_roll(2)].name : NULL;
    r->options = o;
    m->type = o.type;
    m->idempotent = o.idempotent;
    m->waits = o.queue_timeout_ms >= 0;
    m->queue_ns = ns_of(m->waits ? o.queue_timeout_ms : 0, pool->options.queue_timeout_ms);
    m->execution_ns = ns_of(o.execution_timeout_ms, pool->options.execution_timeout_ms);
    m->deadline = o.deadline_ns ? o.deadline_ns : MODEL_NEVER;
    mu_story_tell(&story, "ask%s%d.%d(%" PRIu64 " %dms p%d q%d e%d%s%s) ", o.type ? o.type : "",
                  (int)r->kind, (int)r->deed, m->token, r->ms, o.priority, (int)o.queue_timeout_ms,
                  (int)o.execution_timeout_ms, o.idempotent ? " again" : "",
                  o.deadline_ns ? " deadline" : "");
    if (r->kind == THREAD)
        sim_thread(execute, r);
    else if (r->kind == ACTOR)
        r->caller = sim_spawn(execute, r);
    else
        submit(r);
}

static void cancel(void)
{
    if (model.n_requests == 0)
        return;
    request *r = &requests[sim_roll(model.n_requests)];
    mu_reason kill = mu_reason_kill();
    if (r->model->told || r->kind == THREAD)
        return;
    mu_story_tell(&story, "cancel(%" PRIu64 ") ", r->model->token);
    r->model->cancelled = true;
    if (r->kind == ACTOR)
        (void)mu_exit_signal(r->caller, &kill);
    else if (r->kind == FUTURE)
        (void)mu_future_cancel(r->future);
    else
        (void)mu_job_cancel(pool, r->job);
}

/* The actor dies that is sent the outcomes of all that have been submitted to it. */
static void end_receiver(void)
{
    mu_story_tell(&story, "receiver dies ");
    for (int i = 0; i < model.n_requests; i++)
        if (requests[i].kind == MESSAGE)
            requests[i].model->cancelled = true;
    sim_somebody_dies();
}

/* ---- what happens to the pool ------------------------------------------------------------- */

static void drain(void *arg)
{
    (void)arg;
    model.closed_at = sim_now();
    (void)mu_pool_drain(pool, 1 + sim_roll(10));
    helpers--;
}

static void restart(void *arg)
{
    (void)arg;
    (void)mu_pool_rolling_restart(pool, 1 + sim_roll(200), NULL);
    helpers--;
}

static void check_health(void *arg)
{
    mu_pool_health health;
    (void)arg;
    (void)mu_pool_health_check(pool, &health);
    helpers--;
}

static void help(void (*body)(void *arg), const char *what)
{
    mu_story_tell(&story, "%s", what);
    helpers++;
    sim_thread(body, NULL);
}

static void hold(void)
{
    mu_story_tell(&story, "pause ");
    mu_pool_pause(pool);
    if (model.paused_at < 0)
        model.paused_at = sim_now();
}

static void go_on(void)
{
    mu_story_tell(&story, "resume ");
    model.paused_at = -1; /* before this returns, requests that wait are sent */
    mu_pool_resume(pool);
    model.closed_at = -1;
}

static void kill_actor(void)
{
    if (!kills_actors || !sim_kill_worker_actor())
        return;
    mu_story_tell(&story, "kill-actor ");
    /* The jobs that it runs are cancelled with it; and if its process had just died, nobody is left
     * who could say that it had read nothing. */
    for (int i = 0; i < model.n_requests; i++) {
        model_request *r = requests[i].model;
        if (requests[i].kind >= CALLBACK)
            r->cancelled = true;
        r->read = r->read || r->bereft;
    }
}

static void resize(void)
{
    int size = 1 + sim_roll(4);
    const char *type = types[sim_roll(2)].name;
    mu_story_tell(&story, "resize(%d) ", size);
    mu_check_ok(typed ? mu_pool_resize_type(pool, type, size) : mu_pool_resize(pool, size));
}

static void act(void)
{
    int what = sim_roll(100);
    if (what < 60)
        ask();
    else if (what < 71)
        cancel();
    else if (what < 72)
        end_receiver();
    else if (what < 77)
        mu_story_tell(&story, "%s", sim_kill_process() ? "kill " : "");
    else if (what < 79)
        kill_actor();
    else if (what < 83)
        resize();
    else if (what < 87)
        hold();
    else if (what < 94)
        go_on();
    else if (what < 96)
        help(drain, "drain ");
    else if (what < 98)
        help(restart, "roll ");
    else
        help(check_health, "check ");
}

/* The breaker judges in the order in which requests leave: so futures are told in it, too. */
void __real_mu__pool_leave(mu_pool *left, mu__ticket *ticket, const mu__result *result);
void __wrap_mu__pool_leave(mu_pool *left, mu__ticket *ticket, const mu__result *result);
void __wrap_mu__pool_leave(mu_pool *left, mu__ticket *ticket, const mu__result *result)
{
    if (pool)
        look_at_futures();
    __real_mu__pool_leave(left, ticket, result);
}

/* ---- what must always hold ---------------------------------------------------------------- */

static void check_books(void)
{
    const mu_pool_stats *s = &pool->stats;
    const model_books *b = &model.books;
    uint64_t errors = b->worker_errors + b->queue_full + b->queue_timeouts + b->exec_timeouts +
                      b->cancelled + b->crashed + b->protocol_errors + b->shut_down +
                      b->breaker_open + b->refused;
    demand(s->requests == b->asked, "requests are not counted as they were asked");
    demand(s->succeeded == b->succeeded && s->worker_errors == b->worker_errors &&
               s->queue_full == b->queue_full && s->queue_timeouts == b->queue_timeouts &&
               s->exec_timeouts == b->exec_timeouts && s->cancelled == b->cancelled &&
               s->crashed == b->crashed && s->protocol_errors == b->protocol_errors &&
               s->shut_down == b->shut_down && s->breaker_open == b->breaker_open &&
               s->refused == b->refused && s->errors == errors,
           "outcomes are not counted as they were told");
    demand((uint64_t)pool->running == b->asked - b->succeeded - errors,
           "in flight is not what was asked and has no outcome");
    demand((int)pool->n_waiting == model.n_queue, "the queue is not as long as it should be");
    demand(model.stopping_at >= 0 || s->breaker_openings == (uint64_t)model.breaker.openings,
           "the breaker has not opened when it should, or when it should not");
}

static void after_step(void)
{
    static int64_t when;
    static int steps;
    steps = when == sim_now() ? steps + 1 : 0;
    when = sim_now();
    demand(steps < STEPS_AT_ONCE, "things happen without end and no time passes");
    if (!pool)
        return;
    look_at_futures();
    check_books();
}

/* Of no type more workers are held by their circuits than others serve. */
static bool holds_too_many(void)
{
    for (int i = 0; i < pool->n_types; i++) {
        int held = 0, serving = 0;
        for (int j = 0; j < pool->n_slots; j++) {
            const mu__slot *slot = pool->slots[j];
            if (slot->type == &pool->types[i] && slot->wanted && slot->channel)
                (*(slot->held ? &held : &serving))++;
        }
        if (held > serving)
            return true;
    }
    return false;
}

/* Nothing can happen any more at this time. */
static void when_quiet(void)
{
    mu_pool_stats s;
    if (!pool)
        return;
    mu_pool_stats_get(pool, &s);
    demand(s.requests == s.succeeded + s.errors + (uint64_t)s.in_flight + (uint64_t)s.queued,
           "the counters of a snapshot do not add up");
    demand(s.in_flight >= 0 && s.queued >= 0, "a level is negative");
    demand(closing || !holds_too_many(), "more workers are held than serve");
    n_held_ever += s.held > 0;
    demand(s.workers >= s.starting + s.available + s.busy + s.restarting + s.held,
           "there are more workers in a state than there are workers");
    bool stuck = pool->queue.length > 0 && s.available > 0;
    for (int i = 0; i < pool->n_types; i++)
        stuck = stuck || (pool->types[i].queue.length > 0 && pool->types[i].idle.head);
    demand(model.paused_at >= 0 || closing || !stuck, "somebody waits while a worker is idle");
}

/* ---- one seed ----------------------------------------------------------------------------- */

/* Two types, which differ in their first argument and in how many there are of them. */
static void random_types(mu_pool_options *options)
{
    static const char *const arguments[2][2] = {{"a", NULL}, {"b", NULL}};
    for (int i = 0; i < 2; i++) {
        types[i] = (mu_worker_type)MU_WORKER_TYPE_INIT;
        types[i].name = arguments[i][0];
        types[i].args = arguments[i];
        types[i].size = sim_percent(50) ? options->size + sim_roll(2) : 0;
        types[i].max_overflow = sim_percent(20) ? 1 : 0;
        types[i].lazy = sim_percent(10);
    }
    typed = sim_percent(40);
    options->types = typed ? types : NULL;
    options->n_types = typed ? 2 : 0;
}

static void start_pool(void *arg)
{
    mu_pool *made = NULL;
    mu_error error = MU_ERROR_INIT;
    if (mu_pool_start(sim_system(), arg, &made, &error) == MU_OK)
        pool = made;
    else
        mu_story_tell(&story, "no start: %s ", error.message);
    over = true;
    mu_error_clear(&error);
}

static bool is_over(void)
{
    return over && helpers == 0;
}

static bool all_told(void)
{
    for (int i = 0; i < model.n_requests; i++)
        if (!model.requests[i].told)
            return false;
    return helpers == 0;
}

static bool all_serve(void)
{
    mu_pool_stats s;
    mu_pool_stats_get(pool, &s);
    return s.available == pool->wanted && s.workers == pool->wanted && !pool->rolling.active;
}

static void stop_pool(void *arg)
{
    (void)arg;
    mu_pool_stop(pool);
    over = true;
}

static void free_pool(void *arg)
{
    mu_pool_free(arg);
    over = true;
}

static void run_apart(void (*body)(void *arg), void *arg, const char *complaint)
{
    over = false;
    sim_thread(body, arg);
    demand(sim_run_until(is_over), complaint);
}

static void end_pool(void)
{
    if (sim_percent(70)) {
        go_on();
        demand(sim_run_until(all_told), "a request has no outcome");
        sim_set_trouble(0);
        demand(sim_run_until(all_serve), "a worker does not come back");
    }
    mu_story_tell(&story, "stop ");
    closing = true;
    model.stopping_at = sim_now();
    run_apart(stop_pool, NULL, "the stop does not end");
    demand(sim_run_until(all_told), "a request has no outcome after the stop");
    mu_pool *last = pool;
    after_step();
    pool = NULL;
    run_apart(free_pool, &last, "the pool is not let go");
}

static int lowest_fd(void)
{
    int fd = dup(STDERR_FILENO);
    (void)close(fd);
    return fd;
}

static void play(uint64_t number)
{
    static const sim_watch watch = {after_step,  when_quiet, on_sent,   on_begun,
                                    on_answered, on_died,    on_message};
    int fd = lowest_fd();
    seed = number;
    story.length = 0;
    pool = NULL;
    closing = false;
    helpers = 0;
    sim_begin(seed, &watch);
    mu_pool_options options = sim_options();
    random_types(&options);
    model_init(&model, options.max_queue_size < 0 ? 0 : options.max_queue_size,
               MU__PRIORITY_STEP_NS);
    /* With a breaker the model has to know how each worker died; one whose actor is killed at that
     * moment cannot say, and starts that fail have a rule of their own (test_breaker.c). */
    bool breaks = options.breaker_threshold > 0;
    model.breaker = (model_breaker){.threshold = breaks ? options.breaker_threshold : 0,
                                    .window_ns = options.breaker_window_ms * MU_MS,
                                    .reset_ns = options.breaker_reset_ms * MU_MS};
    kills_actors = sim_percent(20) && !breaks;
    sim_set_trouble(sim_percent(40) && !breaks ? 5 + sim_roll(20) : 0);
    mu_story_tell(&story, "size %d%s queue %d ", options.size, typed ? " of two types" : "",
                  options.max_queue_size);
    run_apart(start_pool, &options, "the start does not end");
    for (int i = 0; pool && i < ROUNDS; i++) {
        int n = 1 + sim_roll(3);
        mu_story_tell(&story, "\n    %" PRId64 ": ", sim_now() / MU_MS);
        while (n-- > 0)
            act();
        sim_run(sim_now() + sim_roll(8) * MU_MS, sim_roll(STEPS));
    }
    n_opened_ever += model.breaker.openings > 0;
    if (pool)
        end_pool();
    demand(sim_end() == 0, "a port is left");
    demand(lowest_fd() == fd, "an fd is left");
}

MU_TEST(model, a_pool_does_what_the_reference_model_allows_whatever_happens, .timeout = 100)
{
    const char *only = getenv("MUSTER_TEST_SEED");
    if (only) {
        play(strtoull(only, NULL, 10));
        (void)fprintf(stderr, "# story of seed %s: %s\n", only, story.text);
    } else {
        int64_t seeds = mu_test_size(MU_TEST_SANITIZED ? 300 : 3000, 10000);
        for (int64_t number = 1; number <= seeds; number++)
            play((uint64_t)number);
        mu_check_gt(n_opened_ever, (int)seeds / 20);
        mu_check_gt(n_held_ever, (int)seeds / 20);
    }
    sim_close();
}
