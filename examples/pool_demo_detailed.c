/*
 * pool_demo_detailed: each request with what went in and what came out, and every error there is.
 *
 * One worker serves, so that it is plain who is busy and who has to wait. The requests stand in a
 * table, as JSON; the few that need a hand at the right moment have a function of their own. Exits
 * with 0 if each ended the way the table says.
 */
#include <muster/muster.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A request and how it must end. */
typedef struct request {
    const char *title, *command, *args;
    int64_t timeout_ms; /* for its execution; 0: the pool's */
    mu_err expected;
} request;

static const request requests[] = {
    {"a sign of life", "ping", "null", 0, MU_OK},
    {"any value there and back", "echo", "{\"list\": [1, 2.5, null, true], \"text\": \"h\u00e9\"}",
     0, MU_OK},
    {"arithmetic", "calculate", "{\"expression\": \"sqrt(2) * 10 ** 3\"}", 0, MU_OK},
    {"a function of Python's library", "call",
     "{\"function\": \"statistics.median\", \"args\": [[3, 1, 2]]}", 0, MU_OK},
    {"a handler that raises", "raise", "{\"type\": \"LookupError\", \"message\": \"no row 7\"}", 0,
     MU_EWORKER},
    {"arguments that do not fit", "calculate", "{\"number\": 6}", 0, MU_EWORKER},
    {"a command that nobody has", "divine", "null", 0, MU_EWORKER},
    {"a handler that is too slow, but listens", "sleep", "{\"seconds\": 60}", 200,
     MU_EEXEC_TIMEOUT},
    {"a handler that is too slow, and deaf", "hang", "{\"how\": \"busy\"}", 200, MU_EEXEC_TIMEOUT},
    {"a worker that crashes", "crash", "{\"how\": \"segv\"}", 0, MU_ECRASHED},
    {"a worker that exits", "crash", "{\"how\": \"exit\", \"code\": 3}", 0, MU_ECRASHED},
    {"a worker that writes rubbish into the protocol", "call",
     "{\"function\": \"os.write\", \"args\": [4, {\"$bin\": \"/////w==\"}]}", 0, MU_EPROTOCOL},
    {"and one that serves again", "ping", "null", 0, MU_OK},
};

static bool all_as_expected = true;

/* ---- printing ------------------------------------------------------------------------------- */

static void print_request(const char *title, const char *command, const char *args)
{
    printf("\n%s\n  %s %s\n", title, command, args);
}

static void print_lines(const char *name, const char *text)
{
    for (const char *label = name; text && *text; label = "") {
        int length = (int)strcspn(text, "\n");
        printf("       %-9s %.*s\n", label, length, text);
        text += length + (text[length] == '\n');
    }
}

static void print_outcome(mu_err expected, mu_err err, const mu_value *result,
                          const mu_error *error)
{
    char *json = NULL;

    if (err == MU_OK && mu_value_to_json(result, &json, NULL) == MU_OK)
        printf("    -> %s\n", json);
    free(json);
    if (err != MU_OK)
        printf("    -> %s: %s\n", mu_err_name(err), mu_strerror(err));
    if (err != MU_OK && error) {
        print_lines("type", error->type);
        print_lines("message", error->message);
        if (error->worker[0])
            printf("       %-9s %s, pid %d, generation %u\n", "worker", error->worker,
                   error->os_pid, (unsigned)error->generation);
        print_lines("detail", error->detail);
    }
    if (err != expected) {
        printf("    !! expected %s\n", mu_err_name(expected));
        all_as_expected = false;
    }
}

/* ---- synchronous: the calling thread waits --------------------------------------------- */

static void execute(mu_pool *pool, const request *r, const mu_execute_options *options)
{
    mu_value args = MU_VALUE_INIT, result = MU_VALUE_INIT;
    mu_error error = MU_ERROR_INIT;
    mu_err err;

    print_request(r->title, r->command, r->args);
    err = mu_value_from_json(r->args, strlen(r->args), &args, &error);
    if (err == MU_OK)
        err = mu_pool_execute(pool, r->command, &args, options, &result, &error);
    print_outcome(r->expected, err, &result, &error);
    mu_value_clear(&args);
    mu_value_clear(&result);
    mu_error_clear(&error);
}

static void execute_all(mu_pool *pool)
{
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        mu_execute_options options = MU_EXECUTE_OPTIONS_INIT;
        options.execution_timeout_ms = requests[i].timeout_ms;
        execute(pool, &requests[i], &options);
    }
}

/* What cannot travel is refused before anything is sent, and the worker never hears of it. */
static void execute_too_big(mu_pool *pool)
{
    static char text[1 << 20];
    mu_value args = MU_VALUE_INIT, result = MU_VALUE_INIT;
    mu_error error = MU_ERROR_INIT;
    mu_err err;

    memset(text, 'x', sizeof text - 1);
    print_request("an argument larger than max_frame", "echo", "a string of a mebibyte");
    err = mu_value_pack(&args, &error, "s", text);
    if (err == MU_OK)
        err = mu_pool_execute(pool, "echo", &args, NULL, &result, &error);
    print_outcome(MU_ETOOBIG, err, &result, &error);
    mu_value_clear(&args);
    mu_value_clear(&result);
    mu_error_clear(&error);
}

/* ---- asynchronous: a callback hears the outcome --------------------------------------- */

typedef struct waiting {
    sem_t told;
    mu_job job;
    mu_err expected;
} waiting;

/* Runs in a thread of the pool; the main thread prints nothing until it has been told. */
static void on_outcome(void *ctx, const mu_outcome *outcome)
{
    waiting *w = ctx;

    print_outcome(w->expected, outcome->err, outcome->result, outcome->error);
    sem_post(&w->told);
}

static void submit_sleep(mu_pool *pool, double seconds, mu_err expected, waiting *w)
{
    mu_value args = MU_VALUE_INIT;
    mu_err err;

    sem_init(&w->told, 0, 0);
    w->expected = expected;
    err = mu_value_pack(&args, NULL, "{s:f}", "seconds", seconds);
    if (err == MU_OK)
        err = mu_pool_submit(pool, "sleep", &args, NULL, on_outcome, w, &w->job);
    if (err != MU_OK) {
        print_outcome(expected, err, NULL, NULL);
        sem_post(&w->told);
    }
    mu_value_clear(&args);
}

static void await(waiting *w)
{
    while (sem_wait(&w->told) != 0)
        ;
    sem_destroy(&w->told);
}

/* The worker sleeps and one request may wait; so the next is told at once that the queue is full.
 */
static void crowd(mu_pool *pool)
{
    static const request impatient = {"no worker within 100 ms", "ping", "null", 0,
                                      MU_EQUEUE_TIMEOUT};
    static const request rejected = {"a third when one may wait", "ping", "null", 0,
                                     MU_EQUEUE_FULL};
    mu_execute_options soon = MU_EXECUTE_OPTIONS_INIT;
    waiting running, queued;

    submit_sleep(pool, 60, MU_ECANCELLED, &running);
    soon.queue_timeout_ms = 100;
    execute(pool, &impatient, &soon);
    submit_sleep(pool, 60, MU_ECANCELLED, &queued);
    execute(pool, &rejected, NULL);

    print_request("the one that waits is cancelled", "sleep", "{\"seconds\": 60}");
    mu_job_cancel(pool, queued.job);
    await(&queued);
    print_request("the one that runs is cancelled", "sleep", "{\"seconds\": 60}");
    mu_job_cancel(pool, running.job);
    await(&running);
}

/* A stop lets what runs finish, refuses what waits, and what comes after it. */
static void stop(mu_pool *pool)
{
    static const request late = {"after the stop", "ping", "null", 0, MU_ESHUTDOWN};
    static const request first = {"it serves again", "ping", "null", 0, MU_OK};
    waiting running, queued;

    execute(pool, &first, NULL);
    print_request("a stop: what waits is refused, what runs may finish", "sleep",
                  "{\"seconds\": 0.3} twice");
    submit_sleep(pool, 0.3, MU_OK, &running);
    submit_sleep(pool, 0.3, MU_ESHUTDOWN, &queued);
    mu_pool_stop(pool);
    await(&queued);
    await(&running);
    execute(pool, &late, NULL);
}

int main(void)
{
    static const char *const environment[] = {"MUSTER_CALL_ALLOW=statistics.median os.write", NULL};
    mu_pool_options options = MU_POOL_OPTIONS_INIT;
    mu_error error = MU_ERROR_INIT;
    mu_system *system = NULL;
    mu_pool *pool = NULL;

    options.size = 1;
    options.breaker_threshold = -1; /* everything here fails on purpose */
    options.max_queue_size = 1;
    options.max_frame = 1 << 16;
    options.env = environment;
    if (mu_system_start(NULL, &system, &error) == MU_OK &&
        mu_pool_start(system, &options, &pool, &error) == MU_OK) {
        execute_all(pool);
        execute_too_big(pool);
        crowd(pool);
        stop(pool);
    } else {
        fprintf(stderr, "pool_demo_detailed: %s\n", error.message);
        all_as_expected = false;
    }
    mu_error_clear(&error);
    mu_pool_free(&pool);
    mu_system_stop(&system);
    return !all_as_expected;
}
