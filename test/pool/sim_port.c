/*
 * The workers' processes of a simulated world (sim.h): a port whose process is a script in this
 * one. It speaks the real protocol over real pipes, reads when it has the time, does what a
 * request's arguments say, and dies when the dice, a request or the pool wants it. Like a Python
 * worker it runs one request at a time and looks at its pipe meanwhile only if it obeys.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/value.h"
#include "pool/sim.h"
#include "port/message.h"
#include "port/port.h"

enum { PORTS_MOST = 4096, MAX_FRAME = 1 << 20, MS_MOST = 20 };

typedef enum mood { STARTING, READY, RUNNING } mood;

struct mu__port {
    sim_event look;  /* it reads */
    sim_event work;  /* what it does next is due: its start, its answer */
    sim_event death; /* the news of its death */
    mu__port_pipes pipes;
    int request_write; /* to be told apart by; the host's */
    int in, out;       /* the process's own ends; -1: it is dead */
    mu__frame_reader reader;
    mood mood;
    const char *type; /* its first argument; NULL: none */
    bool ill;         /* it answers no health check */
    bool hangs;       /* it will never be ready */
    uint64_t id;      /* of the request that it runs */
    uint64_t token;
    sim_deed deed;
    uint64_t unread; /* the token that was written last and has not been read; 0: none */
    int64_t spawned_at;
    bool ended;   /* its death has been told, or could have been */
    bool by_host; /* the host has killed it: it cannot say what had been read */
    mu__port_end end;
    void (*died)(void *ctx, const mu__port_end *end);
    void *ctx;
};

static mu__port *ports[PORTS_MOST];
static int n_ports, last_pid, trouble;

#define PORT_OF(event, member) ((mu__port *)((char *)(event)-offsetof(mu__port, member)))

static int64_t in_ms(int ms)
{
    return sim_now() + ms * MU_MS;
}

/* ---- dying -------------------------------------------------------------------------------- */

static void close_end(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

static void tell_death(sim_event *event)
{
    mu__port *p = PORT_OF(event, death);
    p->ended = true;
    if (p->died)
        p->died(p->ctx, &p->end);
}

static void die(mu__port *p, mu__exit_kind kind, int status)
{
    if (p->out < 0)
        return;
    bool by_itself = status != SIGKILL;
    if (p->mood == RUNNING && p->token)
        sim_watcher->died(p->token, true, by_itself);
    if (p->unread)
        sim_watcher->died(p->unread, p->by_host, by_itself);
    p->unread = 0;
    close_end(&p->in);
    close_end(&p->out);
    sim_fds_changed();
    sim_event_unset(&p->look);
    sim_event_unset(&p->work);
    p->end.exit = (mu__exit){.kind = kind, .status = status, .os_pid = p->end.exit.os_pid};
    sim_event_set(&p->death, sim_now() + (sim_percent(50) ? 0 : MU_MS));
}

static void kill_by_host(mu__port *p)
{
    p->by_host = true;
    die(p, MU__EXIT_SIGNAL, SIGKILL);
}

bool sim_kill_process(void)
{
    if (n_ports == 0)
        return false;
    mu__port *p = ports[sim_roll(n_ports)];
    if (p->out < 0)
        return false;
    die(p, MU__EXIT_SIGNAL, SIGKILL);
    return true;
}

/* ---- what it writes ----------------------------------------------------------------------- */

static void put_bytes(mu__port *p, const void *data, size_t size)
{
    ssize_t n = write(p->out, data, size);
    sim_fds_changed();
    (void)n; /* EPIPE, with SIGPIPE ignored: the host has closed its end and will kill it */
}

static void notify(mu__port *p, const char *event, const char *format, ...)
{
    mu_value body = MU_VALUE_INIT;
    mu__buffer out;
    mu__buffer_init(&out, &mu__sys_real, 4096);
    if (format && mu_value_pack(&body, NULL, format, "protocol", MU__PROTOCOL) != MU_OK)
        abort();
    if (mu__message_notification(&out, MAX_FRAME, event, format ? &body : NULL) != MU_OK)
        abort();
    put_bytes(p, mu__buffer_data(&out), mu__buffer_size(&out));
    mu__buffer_deinit(&out);
    mu_value_clear(&body);
}

static void put_answer(mu__port *p, bool fails, bool whole)
{
    mu_value value = MU_VALUE_INIT;
    mu__buffer out;
    mu_err err = fails ? mu_value_pack(&value, NULL, "{s:s, s:s}", "type", "E", "message", "no")
                       : mu_value_pack(&value, NULL, "U", p->token);
    mu__buffer_init(&out, &mu__sys_real, 4096);
    if (err == MU_OK)
        err = mu__message_response(&out, MAX_FRAME, p->id, fails ? &value : NULL,
                                   fails ? NULL : &value);
    if (err != MU_OK)
        abort();
    size_t size = mu__buffer_size(&out);
    put_bytes(p, mu__buffer_data(&out), whole ? size : size / 2);
    mu__buffer_deinit(&out);
    mu_value_clear(&value);
}

static void look_again(mu__port *p)
{
    p->mood = READY;
    p->token = 0;
    sim_event_set(&p->look, sim_now());
}

static void answer(mu__port *p, bool fails)
{
    if (p->token)
        sim_watcher->answered(p->token, fails ? SIM_RAISE : SIM_ECHO);
    put_answer(p, fails, true);
    look_again(p);
}

/* ---- what it does ------------------------------------------------------------------------- */

static void become_ready(mu__port *p)
{
    notify(p, "hello", "{s:i}");
    notify(p, "ready", NULL);
    look_again(p);
}

/* What it was about to do is due. */
static void do_work(sim_event *event)
{
    static const unsigned char babble[] = {0, 0, 0, 1, 0xC1};
    mu__port *p = PORT_OF(event, work);
    if (p->mood == STARTING) {
        if (sim_percent(trouble))
            die(p, MU__EXIT_CODE, 1);
        else
            become_ready(p);
        return;
    }
    switch (p->deed) {
    case SIM_ECHO:
    case SIM_OBEY:
        answer(p, false);
        break;
    case SIM_RAISE:
        answer(p, true);
        break;
    case SIM_TWICE:
        put_answer(p, false, true);
        answer(p, false);
        break;
    case SIM_ANSWER_AND_DIE:
        answer(p, false);
        die(p, MU__EXIT_CODE, 0);
        break;
    case SIM_TEAR:
        put_answer(p, false, false);
        die(p, MU__EXIT_SIGNAL, SIGSEGV);
        break;
    case SIM_DIE:
        die(p, MU__EXIT_SIGNAL, SIGSEGV);
        break;
    case SIM_BABBLE:
        sim_watcher->answered(p->token, SIM_BABBLE);
        put_bytes(p, babble, sizeof babble);
        break;
    case SIM_HANG:
    case SIM_DEEDS:
        break;
    }
}

static void take_request(mu__port *p, const mu__message *m)
{
    mu_value args = mu__value_lend(m->body.data, m->body.size);
    p->mood = RUNNING;
    p->id = m->id;
    p->unread = 0;
    p->token = mu_value_uint(&args, "[0]", 0);
    p->deed = p->token ? (sim_deed)mu_value_int(&args, "[1]", 0) : p->ill ? SIM_HANG : SIM_ECHO;
    if (p->token)
        sim_watcher->begun(p->token);
    if (p->deed != SIM_HANG)
        sim_event_set(&p->work, in_ms((int)mu_value_int(&args, "[2]", 0)));
    if (p->deed == SIM_OBEY)
        sim_event_set(&p->look, sim_now());
}

static void take_message(mu__port *p, const mu__message *m)
{
    if (m->kind == MU__MESSAGE_REQUEST) {
        take_request(p, m);
    } else if (mu__message_is(m, "shutdown")) {
        if (p->mood == READY)
            die(p, MU__EXIT_CODE, 0);
    } else if (mu__message_is(m, "cancel") && p->mood == RUNNING) {
        sim_event_unset(&p->work);
        answer(p, true);
    }
}

static bool has_time(const mu__port *p)
{
    return p->out >= 0 && (p->mood == READY || (p->mood == RUNNING && p->deed == SIM_OBEY));
}

static void look(sim_event *event)
{
    mu__port *p = PORT_OF(event, look);
    while (has_time(p)) {
        mu__frame frame;
        mu__message m;
        void *room;
        size_t size;
        if (mu__frame_reader_next(&p->reader, &frame, NULL) != MU_OK)
            abort();
        if (frame.size > 0) {
            if (mu__message_read(&mu__sys_real, frame, &m, NULL) != MU_OK)
                abort();
            take_message(p, &m);
            continue;
        }
        if (mu__frame_reader_room(&p->reader, &room, &size) != MU_OK)
            abort();
        ssize_t n = read(p->in, room, size);
        if (n == 0)
            die(p, MU__EXIT_CODE, 0); /* end of file: an orderly end */
        if (n <= 0)
            return;
        mu__frame_reader_filled(&p->reader, (size_t)n);
    }
}

static mu__port *port_of_fd(int fd)
{
    for (int i = 0; i < n_ports; i++)
        if (ports[i]->request_write == fd)
            return ports[i];
    return NULL;
}

/* Small frames are written whole. What is written to a worker that is gone is lost with it. */
void sim_port_written(int fd, const void *data, size_t size)
{
    mu__message m;
    if (size <= sizeof(uint64_t)) /* a bell */
        return;
    mu__frame frame = {(const unsigned char *)data + MU__FRAME_HEADER, size - MU__FRAME_HEADER};
    if (mu__message_read(&mu__sys_real, frame, &m, NULL) != MU_OK)
        abort();
    mu__port *p = port_of_fd(fd);
    bool alive = p && p->out >= 0;
    if (alive)
        sim_event_set(&p->look, sim_now());
    mu_value args = mu__value_lend(m.body.data, m.body.size);
    uint64_t token = m.kind == MU__MESSAGE_REQUEST ? mu_value_uint(&args, "[0]", 0) : 0;
    if (token)
        sim_watcher->sent(token, p ? p->type : NULL, alive && p->mood == RUNNING);
    if (token && !alive)
        sim_watcher->died(token, !p || p->by_host, p && p->end.exit.status != SIGKILL);
    else if (token)
        p->unread = token;
}

/* ---- the port ----------------------------------------------------------------------------- */

void sim_set_trouble(int percent)
{
    trouble = percent;
}

void sim_ports_begin(void)
{
    n_ports = 0;
    trouble = 0;
}

int sim_ports_left(void)
{
    return n_ports;
}

mu_err __wrap_mu__port_open(mu_system *system, const mu__port_spec *spec, const char *worker_id,
                            uint32_t generation, int64_t deadline, mu__port **ret_port,
                            mu_error *ret_error);
mu_err __wrap_mu__port_open(mu_system *system, const mu__port_spec *spec, const char *worker_id,
                            uint32_t generation, int64_t deadline, mu__port **ret_port,
                            mu_error *ret_error)
{
    (void)system;
    (void)worker_id;
    (void)generation;
    (void)deadline;
    if (sim_percent(trouble / 4))
        return mu_error_set(ret_error, MU_ERRNO(ENOENT), "there is no such program");
    mu__port *p = calloc(1, sizeof *p);
    int request[2], response[2];
    if (!p || n_ports == PORTS_MOST || pipe2(request, O_CLOEXEC | O_NONBLOCK) != 0 ||
        pipe2(response, O_CLOEXEC | O_NONBLOCK) != 0)
        abort();
    p->in = fcntl(request[0], F_DUPFD_CLOEXEC, 0);
    p->out = response[1];
    p->pipes = (mu__port_pipes){request[1], request[0], response[0]};
    p->request_write = request[1];
    p->look.happen = look;
    p->work.happen = do_work;
    p->death.happen = tell_death;
    p->spawned_at = sim_now();
    p->type = spec->argv[1];
    p->end.exit.os_pid = ++last_pid;
    p->ill = sim_percent(trouble);
    p->hangs = sim_percent(trouble / 2);
    mu__frame_reader_init(&p->reader, &mu__sys_real, MAX_FRAME);
    if (!p->hangs)
        sim_event_set(&p->work, in_ms(sim_roll(MS_MOST)));
    ports[n_ports++] = p;
    *ret_port = p;
    return MU_OK;
}

void __wrap_mu__port_free(mu__port **take_port);
void __wrap_mu__port_free(mu__port **take_port)
{
    mu__port *p = *take_port;
    *take_port = NULL;
    if (!p)
        return;
    p->died = NULL;
    kill_by_host(p);
    sim_event_unset(&p->death);
    close_end(&p->pipes.request_write);
    close_end(&p->pipes.request_read);
    close_end(&p->pipes.response_read);
    mu__frame_reader_deinit(&p->reader);
    for (int i = 0; i < n_ports; i++)
        if (ports[i] == p)
            ports[i--] = ports[--n_ports];
    free(p);
}

void __wrap_mu__port_take_pipes(mu__port *p, mu__port_pipes *ret_pipes);
void __wrap_mu__port_take_pipes(mu__port *p, mu__port_pipes *ret_pipes)
{
    *ret_pipes = p->pipes;
    p->pipes = (mu__port_pipes){-1, -1, -1};
}

void __wrap_mu__port_watch(mu__port *p, void (*died)(void *ctx, const mu__port_end *end),
                           void *ctx);
void __wrap_mu__port_watch(mu__port *p, void (*died)(void *ctx, const mu__port_end *end), void *ctx)
{
    p->died = died;
    p->ctx = ctx;
    if (p->ended)
        died(ctx, &p->end);
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

void __wrap_mu__port_kill(mu__port *p);
void __wrap_mu__port_kill(mu__port *p)
{
    kill_by_host(p);
}

static bool has_ended(void *arg)
{
    return ((const mu__port *)arg)->ended;
}

mu_err __wrap_mu__port_stop(mu__port *p, const mu__port_stop_options *options);
mu_err __wrap_mu__port_stop(mu__port *p, const mu__port_stop_options *options)
{
    if (options->ask && p->out >= 0) {
        options->ask(options->ctx);
        sim_sleep(has_ended, p, mu_deadline(sim_now(), options->graces.ask));
    }
    if (options->close && !p->ended) {
        options->close(options->ctx);
        p->request_write = -1; /* the number may mean another file now */
        if (p->out >= 0)
            sim_event_set(&p->look, sim_now());
        sim_sleep(has_ended, p, mu_deadline(sim_now(), options->graces.close));
    }
    if (!p->ended)
        kill_by_host(p);
    sim_sleep(has_ended, p, MU_NEVER);
    return MU_OK;
}
