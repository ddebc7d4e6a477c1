/* Workers that are threads of this process (peer.h). */
#include "pool/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/value.h"
#include "port/message.h"
#include "port/port.h"
#include "port/warden.h"
#include "runtime/actor.h"

enum { MAX_FRAME = 1 << 20, ROOM = 256 };

struct mu__port {
    pthread_t thread;
    mu__port_pipes pipes;
    int in, out; /* the thread's own */
    bool joined;
    int64_t spawned_at;
    mu__port_end end;
    void (*died)(void *ctx, const mu__port_end *end);
    void *ctx;
};

static peer_begins_fn begins;
static _Atomic int last_pid;
static bool pool_starts;

/* ---- the thread --------------------------------------------------------------------------- */

static void put(mu__port *p, mu__buffer *out)
{
    mu_check_eq(write(p->out, mu__buffer_data(out), mu__buffer_size(out)),
                (ssize_t)mu__buffer_size(out));
    mu__buffer_deinit(out);
}

static void notify(mu__port *p, const char *event)
{
    mu__buffer out;
    mu_value body = MU_VALUE_INIT;
    mu__buffer_init(&out, &mu__sys_real, ROOM);
    mu_check_ok(mu_value_pack(&body, NULL, "{s:i}", "protocol", MU__PROTOCOL));
    mu_check_ok(mu__message_notification(&out, MAX_FRAME, event, &body));
    mu_value_clear(&body);
    put(p, &out);
}

static void answer(mu__port *p, const mu__message *m)
{
    mu__buffer out;
    mu_value args = mu__value_lend(m->body.data, m->body.size), result = MU_VALUE_INIT;
    uint64_t token = mu_value_uint(&args, "[0]", 0);
    int64_t at = mu_value_int(&args, "[1]", 0);
    struct timespec until = {at / MU_SECOND, at % MU_SECOND};
    begins(token);
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
        ;
    mu__buffer_init(&out, &mu__sys_real, ROOM);
    mu_check_ok(mu_value_pack(&result, NULL, "U", token));
    mu_check_ok(mu__message_response(&out, MAX_FRAME, m->id, NULL, &result));
    mu_value_clear(&result);
    put(p, &out);
}

/* False: end of file. */
static bool read_some(mu__port *p, mu__frame_reader *reader)
{
    void *room;
    size_t size;
    struct pollfd readable = {.fd = p->in, .events = POLLIN};
    mu_check_ok(mu__frame_reader_room(reader, &room, &size));
    while (poll(&readable, 1, -1) < 0)
        ;
    ssize_t n = read(p->in, room, size);
    if (n > 0)
        mu__frame_reader_filled(reader, (size_t)n);
    return n > 0 || (n < 0 && errno == EAGAIN);
}

static void *work(void *arg)
{
    mu__port *p = arg;
    mu__frame_reader reader;
    (void)prctl(PR_SET_TIMERSLACK, 1UL);
    mu__frame_reader_init(&reader, &mu__sys_real, MAX_FRAME);
    notify(p, "hello");
    notify(p, "ready");
    do {
        mu__frame frame;
        mu__message m;
        for (;;) {
            mu_check_ok(mu__frame_reader_next(&reader, &frame, NULL));
            if (frame.size == 0)
                break;
            mu_check_ok(mu__message_read(&mu__sys_real, frame, &m, NULL));
            if (m.kind == MU__MESSAGE_REQUEST)
                answer(p, &m);
        }
    } while (read_some(p, &reader));
    mu__frame_reader_deinit(&reader);
    return NULL;
}

/* ---- the port ----------------------------------------------------------------------------- */

struct mu__warden *__wrap_mu__warden_of(const mu_system *system);
struct mu__warden *__wrap_mu__warden_of(const mu_system *system)
{
    return pool_starts ? (struct mu__warden *)system
                       : NULL; /* a pool asks only whether it is there */
}

mu_err __wrap_mu__port_open(mu_system *system, const mu__port_spec *spec, const char *worker_id,
                            uint32_t generation, int64_t deadline, mu__port **ret_port,
                            mu_error *ret_error);
mu_err __wrap_mu__port_open(mu_system *system, const mu__port_spec *spec, const char *worker_id,
                            uint32_t generation, int64_t deadline, mu__port **ret_port,
                            mu_error *ret_error)
{
    int request[2], response[2];
    (void)spec;
    (void)worker_id;
    (void)generation;
    (void)deadline;
    (void)ret_error;
    mu__port *p = calloc(1, sizeof *p);
    mu_check(p != NULL);
    mu_check_eq(pipe2(request, O_CLOEXEC | O_NONBLOCK), 0);
    mu_check_eq(pipe2(response, O_CLOEXEC | O_NONBLOCK), 0);
    p->in = fcntl(request[0], F_DUPFD_CLOEXEC, 0);
    p->out = response[1];
    p->pipes = (mu__port_pipes){request[1], request[0], response[0]};
    p->spawned_at = mu__now(system);
    p->end.exit = (mu__exit){.kind = MU__EXIT_CODE, .os_pid = atomic_fetch_add(&last_pid, 1) + 1};
    mu_check_eq(pthread_create(&p->thread, NULL, work, p), 0);
    *ret_port = p;
    return MU_OK;
}

/* It has read end of file, since whoever ends a worker has closed its requests. */
static void join(mu__port *p)
{
    if (p->joined)
        return;
    (void)pthread_join(p->thread, NULL);
    p->joined = true;
    (void)close(p->in);
    (void)close(p->out);
}

void __wrap_mu__port_free(mu__port **take_port);
void __wrap_mu__port_free(mu__port **take_port)
{
    mu__port *p = *take_port;
    *take_port = NULL;
    if (!p)
        return;
    join(p);
    free(p);
}

void __wrap_mu__port_take_pipes(mu__port *p, mu__port_pipes *ret_pipes);
void __wrap_mu__port_take_pipes(mu__port *p, mu__port_pipes *ret_pipes)
{
    *ret_pipes = p->pipes;
}

void __wrap_mu__port_watch(mu__port *p, void (*died)(void *ctx, const mu__port_end *end),
                           void *ctx);
void __wrap_mu__port_watch(mu__port *p, void (*died)(void *ctx, const mu__port_end *end), void *ctx)
{
    p->died = died;
    p->ctx = ctx;
}

int __wrap_mu__port_os_pid(const mu__port *p);
int __wrap_mu__port_os_pid(const mu__port *p)
{
    return p->end.exit.os_pid;
}

/* There is none to be asked whether it lives. */
struct mu__child *__wrap_mu__port_child(const mu__port *p);
struct mu__child *__wrap_mu__port_child(const mu__port *p)
{
    (void)p;
    return NULL;
}

int64_t __wrap_mu__port_spawned_at(const mu__port *p);
int64_t __wrap_mu__port_spawned_at(const mu__port *p)
{
    return p->spawned_at;
}

size_t __wrap_mu__port_tail(mu__port *p, char *text, size_t size);
size_t __wrap_mu__port_tail(mu__port *p, char *text, size_t size)
{
    (void)p;
    (void)size;
    text[0] = '\0';
    return 0;
}

/* A thread cannot be killed, and in these races no worker has to be. */
void __wrap_mu__port_kill(mu__port *p);
void __wrap_mu__port_kill(mu__port *p)
{
    mu_test_fail(__FILE__, __LINE__, "the pool kills peer %d", p->end.exit.os_pid);
}

mu_err __wrap_mu__port_stop(mu__port *p, const mu__port_stop_options *options);
mu_err __wrap_mu__port_stop(mu__port *p, const mu__port_stop_options *options)
{
    mu_check(options->close != NULL);
    options->close(options->ctx);
    join(p);
    p->died(p->ctx, &p->end);
    return MU_OK;
}

/* ---- the rig ------------------------------------------------------------------------------ */

void peer_rig_start(pool_rig *rig, int size, peer_begins_fn hears)
{
    mu_system_options system = MU_SYSTEM_OPTIONS_INIT;
    begins = hears;
    *rig = (pool_rig){.options = MU_POOL_OPTIONS_INIT, .error = MU_ERROR_INIT};
    rig->options.size = size;
    rig->options.executable = "/bin/true"; /* for its name */
    rig->options.startup_timeout_ms = RIG_STARTUP_MS;
    rig->options.cancel_grace_ms = 60000; /* every late answer is awaited */
    rig->options.breaker_threshold = -1;  /* five late ones in a row are what is asked for */
    rig->options.health_check_interval_ms = MU_INFINITY;
    system.no_children = true;
    mu_check_ok(mu_system_start(&system, &rig->system, &rig->error));
    pool_starts = true;
    mu_check_ok(rig_open(rig));
    pool_starts = false;
}

void peer_rig_stop(pool_rig *rig)
{
    rig_stop(rig);
}
