/*
 * http_pool: an HTTP server whose requests run on a pool of workers.
 *
 *     http_pool --port 8080 --config pool.ini &
 *     curl -d '{"expression": "6 * 7"}' http://127.0.0.1:8080/calculate
 *
 * The path is the command, the body its arguments as JSON, the answer the result as JSON. GET /
 * tells how the pool is. Options come from the section [pool http] and MUSTER_POOL_HTTP__... as in
 * doc/config.md. It serves this machine alone, since the bundled worker runs whatever it is asked
 * to.
 *
 * One thread does all of HTTP (libmicrohttpd), and no handler ever blocks it: a handler suspends
 * its connection, submits the request and returns; the pool's callback notes the outcome and
 * resumes the connection. With a thread for each connection, a thousand waiting clients would be a
 * thousand threads that only wait; here each is a few hundred bytes. Whoever must not wait for
 * ever, the pool sees to: its queue and its time limits hold for every request, and each outcome
 * has its status.
 *
 * SIGTERM or SIGINT: what has been accepted is served, new requests are told 503, then everything
 * stops. A second signal ends the program at once, and the warden the workers.
 */
#include <muster/builder.h>
#include <muster/muster.h>

#include <arpa/inet.h>
#include <getopt.h>
#include <microhttpd.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    BODY_MAX = 1 << 20,
    CONNECTIONS_MAX = 1000,
    QUEUE_MAX = 100,    /* unless it is configured: fewer than may be connected */
    IDLE_S = 30,        /* what a client may leave its connection unused */
    DRAIN_S = 30,       /* for what had been accepted before the signal */
    LAST_ANSWERS_S = 5, /* for clients to take what is left when the pool has stopped */
};
#define RETRY_AFTER_S "1"

typedef struct server {
    mu_system *system;
    mu_pool *pool;
    struct MHD_Daemon *http;
    atomic_bool draining;
    pthread_mutex_t lock;
    pthread_cond_t idle; /* `open` has become 0 */
    int open;            /* requests whose answers have not been sent; guarded by lock */
} server;

/* From the first line of an HTTP request to the last byte of its answer. */
typedef struct request {
    server *server;
    struct MHD_Connection *connection;
    char *body;
    size_t size;
    bool too_big;
    unsigned status; /* 0: there is no answer yet */
    bool retry;      /* worth asking again soon */
    char *text;      /* of the answer, JSON */
} request;

/* ---- answers ------------------------------------------------------------------------------ */

/* What an outcome is in HTTP; 500 for every other. */
static const struct {
    mu_err err;
    unsigned status;
    bool retry;
} statuses[] = {
    {MU_EQUEUE_FULL, MHD_HTTP_SERVICE_UNAVAILABLE, true},
    {MU_EBREAKER_OPEN, MHD_HTTP_SERVICE_UNAVAILABLE, true},
    {MU_ESHUTDOWN, MHD_HTTP_SERVICE_UNAVAILABLE, true},
    {MU_EUNAVAILABLE, MHD_HTTP_SERVICE_UNAVAILABLE, false},
    {MU_EQUEUE_TIMEOUT, MHD_HTTP_GATEWAY_TIMEOUT, false},
    {MU_EEXEC_TIMEOUT, MHD_HTTP_GATEWAY_TIMEOUT, false},
    {MU_ECRASHED, MHD_HTTP_BAD_GATEWAY, false},
    {MU_EPROTOCOL, MHD_HTTP_BAD_GATEWAY, false},
    {MU_ETOOBIG, MHD_HTTP_CONTENT_TOO_LARGE, false},
    {MU_EINVAL, MHD_HTTP_BAD_REQUEST, false},
    {MU_EDECODE, MHD_HTTP_BAD_REQUEST, false},
    {MU_EDEPTH, MHD_HTTP_BAD_REQUEST, false},
};

static void conclude(request *r, unsigned status, const char *name, const char *type,
                     const char *message)
{
    mu_value answer = MU_VALUE_INIT;

    r->status = status;
    if (mu_value_pack(&answer, NULL, "{s:s, s:s?, s:s}", "error", name, "type",
                      type && type[0] ? type : NULL, "message", message) == MU_OK)
        (void)mu_value_to_json(&answer, &r->text, NULL);
    mu_value_clear(&answer);
}

/* `error` may be NULL. */
static void conclude_failure(request *r, mu_err err, const mu_error *error)
{
    unsigned status = MHD_HTTP_INTERNAL_SERVER_ERROR;
    const char *type = error ? error->type : NULL;

    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        if (statuses[i].err == err) {
            status = statuses[i].status;
            r->retry = statuses[i].retry;
        }
    if (err == MU_EWORKER && strcmp(type, "UnknownCommand") == 0)
        status = MHD_HTTP_NOT_FOUND;
    else if (err == MU_EWORKER && strcmp(type, "BadArguments") == 0)
        status = MHD_HTTP_BAD_REQUEST;
    conclude(r, status, mu_err_name(err), type,
             error && error->message[0] ? error->message : mu_strerror(err));
}

static void conclude_result(request *r, const mu_value *result)
{
    mu_err err = mu_value_to_json(result, &r->text, NULL);

    if (err == MU_OK)
        r->status = MHD_HTTP_OK;
    else
        conclude_failure(r, err, NULL);
}

static enum MHD_Result send_answer(request *r)
{
    size_t size = r->text ? strlen(r->text) : 0;
    struct MHD_Response *response =
        MHD_create_response_from_buffer(size, r->text, MHD_RESPMEM_MUST_FREE);

    if (!response)
        return MHD_NO; /* which closes the connection */
    r->text = NULL;
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
    if (r->retry)
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, RETRY_AFTER_S);
    if (r->status == MHD_HTTP_METHOD_NOT_ALLOWED)
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, POST, PUT");
    if (atomic_load(&r->server->draining))
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    enum MHD_Result sent = MHD_queue_response(r->connection, r->status, response);
    MHD_destroy_response(response);
    return sent;
}

/* ---- how the pool is ------------------------------------------------------------------------ */

static void put_count(mu_builder *b, const char *name, uint64_t count)
{
    mu_builder_str(b, name);
    mu_builder_uint(b, count);
}

static void put_worker(mu_builder *b, const mu_worker_info *worker)
{
    mu_builder_map_begin(b);
    mu_builder_str(b, "id");
    mu_builder_str(b, worker->id);
    mu_builder_str(b, "state");
    mu_builder_str(b, mu_worker_state_name(worker->state));
    put_count(b, "pid", (uint64_t)worker->os_pid);
    put_count(b, "generation", worker->generation);
    mu_builder_map_end(b);
}

static void conclude_status(request *r)
{
    mu_pool_stats stats;
    mu_worker_info *workers = NULL;
    size_t count = 0;
    mu_value answer = MU_VALUE_INIT;
    mu_error error = MU_ERROR_INIT;
    mu_builder *b = mu_builder_new();

    mu_pool_stats_get(r->server->pool, &stats);
    (void)mu_pool_workers(r->server->pool, &workers, &count);
    mu_builder_map_begin(b);
    mu_builder_str(b, "draining");
    mu_builder_bool(b, atomic_load(&r->server->draining));
    put_count(b, "busy", (uint64_t)stats.busy);
    put_count(b, "queued", (uint64_t)stats.queued);
    put_count(b, "in_flight", (uint64_t)stats.in_flight);
    put_count(b, "requests", stats.requests);
    put_count(b, "succeeded", stats.succeeded);
    put_count(b, "errors", stats.errors);
    put_count(b, "restarts", stats.restarts);
    mu_builder_str(b, "workers");
    mu_builder_array_begin(b);
    for (size_t i = 0; i < count; i++)
        put_worker(b, &workers[i]);
    mu_builder_array_end(b);
    mu_builder_map_end(b);
    mu_err err = mu_builder_finish(b, &answer, &error);
    if (err == MU_OK)
        conclude_result(r, &answer);
    else
        conclude_failure(r, err, &error);
    mu_builder_free(b);
    free(workers);
    mu_value_clear(&answer);
    mu_error_clear(&error);
}

/* ---- requests ------------------------------------------------------------------------------- */

static request *request_new(server *s, struct MHD_Connection *connection)
{
    request *r = calloc(1, sizeof *r);

    if (!r)
        return NULL;
    *r = (request){.server = s, .connection = connection};
    pthread_mutex_lock(&s->lock);
    s->open++;
    pthread_mutex_unlock(&s->lock);
    return r;
}

/* Called by libmicrohttpd when the answer has been sent, or the client has gone. */
static void on_completed(void *ctx, struct MHD_Connection *connection, void **take_request,
                         enum MHD_RequestTerminationCode why)
{
    server *s = ctx;
    request *r = *take_request;
    (void)connection;
    (void)why;

    if (!r)
        return;
    *take_request = NULL;
    free(r->body);
    free(r->text);
    free(r);
    pthread_mutex_lock(&s->lock);
    if (--s->open == 0)
        pthread_cond_signal(&s->idle);
    pthread_mutex_unlock(&s->lock);
}

static enum MHD_Result take_body(request *r, const char *data, size_t size)
{
    if (r->too_big || size > BODY_MAX - r->size) {
        r->too_big = true; /* the rest is read and dropped: the client hears why */
        return MHD_YES;
    }
    char *longer = realloc(r->body, r->size + size);
    if (!longer)
        return MHD_NO;
    memcpy(longer + r->size, data, size);
    r->body = longer;
    r->size += size;
    return MHD_YES;
}

/* In a thread of the pool. With the last line the request is the HTTP thread's again. */
static void on_outcome(void *ctx, const mu_outcome *outcome)
{
    request *r = ctx;

    if (outcome->err == MU_OK)
        conclude_result(r, outcome->result);
    else
        conclude_failure(r, outcome->err, outcome->error);
    MHD_resume_connection(r->connection);
}

/* Hands the request to the pool. The connection sleeps before anybody could wake it. */
static void submit(request *r, const char *command, bool idempotent)
{
    mu_execute_options options = MU_EXECUTE_OPTIONS_INIT;
    mu_value args = MU_VALUE_INIT;
    mu_error error = MU_ERROR_INIT;
    mu_err err = r->size > 0 ? mu_value_from_json(r->body, r->size, &args, &error) : MU_OK;

    options.idempotent = idempotent;
    if (err == MU_OK) {
        MHD_suspend_connection(r->connection);
        err = mu_pool_submit(r->server->pool, command, &args, &options, on_outcome, r, NULL);
        if (err != MU_OK) {
            conclude_failure(r, err, NULL);
            MHD_resume_connection(r->connection);
        }
    } else {
        conclude_failure(r, err, &error);
    }
    mu_value_clear(&args);
    mu_error_clear(&error);
}

/* The request is complete: answers it, or gives it to the pool. */
static void begin(request *r, const char *url, const char *method)
{
    bool get = strcmp(method, MHD_HTTP_METHOD_GET) == 0;
    bool put = strcmp(method, MHD_HTTP_METHOD_PUT) == 0;

    if (!get && !put && strcmp(method, MHD_HTTP_METHOD_POST) != 0)
        conclude(r, MHD_HTTP_METHOD_NOT_ALLOWED, "method", NULL, "GET, PUT and POST are allowed");
    else if (r->too_big)
        conclude_failure(r, MU_ETOOBIG, NULL);
    else if (get && strcmp(url, "/") == 0)
        conclude_status(r);
    else if (atomic_load(&r->server->draining))
        conclude_failure(r, MU_ESHUTDOWN, NULL);
    else
        submit(r, url + 1, get || put); /* safe to repeat, as HTTP defines these two */
}

/*
 * Called by libmicrohttpd: first for the head, then for each part of the body, then for the end of
 * it, and once more when the connection has been resumed.
 */
static enum MHD_Result on_request(void *ctx, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *size, void **request_place)
{
    request *r = *request_place;
    (void)version;

    if (!r)
        return (*request_place = request_new(ctx, connection)) ? MHD_YES : MHD_NO;
    if (*size > 0) {
        size_t taken = *size;
        *size = 0;
        return take_body(r, data, taken);
    }
    if (r->status > 0)
        return send_answer(r);
    begin(r, url, method);
    return MHD_YES;
}

/* ---- start and stop ------------------------------------------------------------------------- */

static mu_err start_pool(server *s, const char *config_file, mu_error *error)
{
    mu_config_source source = MU_CONFIG_SOURCE_INIT;
    mu_pool_options options = MU_POOL_OPTIONS_INIT;
    mu_config *config = NULL;

    source.path = config_file;
    mu_err err = mu_config_load(&source, &config, error);
    if (err == MU_OK)
        err = mu_config_pool(config, "http", &options, error);
    if (options.max_queue_size == 0)
        options.max_queue_size = QUEUE_MAX;
    if (err == MU_OK)
        err = mu_system_start(NULL, &s->system, error);
    if (err == MU_OK)
        err = mu_pool_start(s->system, &options, &s->pool, error);
    mu_config_free(&config);
    return err;
}

static bool start_http(server *s, uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    s->http = MHD_start_daemon(
        MHD_USE_AUTO_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, port, NULL, NULL, on_request, s,
        MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&address, MHD_OPTION_NOTIFY_COMPLETED,
        on_completed, s, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S, MHD_OPTION_END);
    return s->http != NULL;
}

/* Waits until no request is open, but not for ever. */
static void await_idle(server *s, int seconds)
{
    struct timespec end;
    int err = 0;

    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += seconds;
    pthread_mutex_lock(&s->lock);
    while (s->open > 0 && err == 0)
        err = pthread_cond_timedwait(&s->idle, &s->lock, &end);
    pthread_mutex_unlock(&s->lock);
}

/* New requests are told 503 for as long as old ones are served; only then does the port close. */
static void drain(server *s)
{
    atomic_store(&s->draining, true);
    await_idle(s, DRAIN_S);
    mu_pool_stop(s->pool); /* what is still open gets its outcome, and so its answer */
    await_idle(s, LAST_ANSWERS_S);
}

static int serve(uint16_t port, const char *config_file, const sigset_t *signals)
{
    server s = {.lock = PTHREAD_MUTEX_INITIALIZER, .idle = PTHREAD_COND_INITIALIZER};
    mu_error error = MU_ERROR_INIT;
    int status = EXIT_FAILURE, number;

    if (start_pool(&s, config_file, &error) != MU_OK) {
        fprintf(stderr, "%s\n", error.message);
    } else if (!start_http(&s, port)) {
        fprintf(stderr, "port %u of 127.0.0.1 cannot be served\n", port);
    } else {
        port = MHD_get_daemon_info(s.http, MHD_DAEMON_INFO_BIND_PORT)->port;
        printf("serving http://127.0.0.1:%u/\n", port);
        fflush(stdout);
        (void)sigwait(signals, &number);
        pthread_sigmask(SIG_UNBLOCK, signals, NULL); /* the next one ends the program */
        drain(&s);
        MHD_stop_daemon(s.http);
        status = EXIT_SUCCESS;
    }
    mu_pool_free(&s.pool);
    mu_system_stop(&s.system);
    mu_error_clear(&error);
    return status;
}

int main(int argc, char **argv)
{
    static const struct option long_options[] = {{"port", required_argument, NULL, 'p'},
                                                 {"config", required_argument, NULL, 'c'},
                                                 {"help", no_argument, NULL, 'h'},
                                                 {0}};
    static const char usage[] = "usage: http_pool [--port N] [--config FILE]\n";
    const char *config_file = NULL;
    unsigned long port = 8080;
    int option;
    char *end = NULL;
    sigset_t signals;

    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1)
        if (option == 'p')
            port = strtoul(optarg, &end, 10);
        else if (option == 'c')
            config_file = optarg;
        else
            return fputs(usage, option == 'h' ? stdout : stderr) < 0 || option != 'h' ? 2 : 0;
    if (optind < argc || (end && *end) || port > UINT16_MAX)
        return fputs(usage, stderr), 2;

    signal(SIGPIPE, SIG_IGN); /* a client that goes is libmicrohttpd's matter */
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, NULL); /* for the threads that come, too */
    return serve((uint16_t)port, config_file, &signals);
}
