/*
 * The pipes to a worker and the exchange on them (channel.h). Called by pool/execute.c in the
 * caller's thread and by pool/worker.c in the worker's actor; calls frame and message.
 */
#include "port/channel.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fd.h"

/* So long after end of file it is asked whether the worker is on its way out; one that lives on is
 * at fault, one whose end has begun is waited for, however late the news comes. */
enum { EOF_GRACE_MS = 1000, BLIND_NAP_MS = 1 };

/* For so many exchanges nobody looks again for an answer before sleeping, once one looked in vain.
 */
enum { LOOK_AGAIN_AFTER = 16 };

/* A worker that writes without end must not keep its caller from hearing the bell. */
enum { READS_A_TURN = 16 };

/* A look at the fds costs as much as a tenth of a round trip, so not every request gets one. */
#define LOOK_NS (100 * MU_MS)
static const char severed_text[] =
    "fds of the pipes to this worker were closed in the host, and not by muster";

/* Answers that nobody waits for, during one exchange: a sound worker gives none or one. */
enum { STRAYS_MOST = 10000 };

struct mu__channel {
    _Atomic unsigned refs;
    const mu_sys *sys;
    size_t max_frame;
    mu__channel_ops ops;
    mu__port_pipes pipes;
    mu__fd_id requests_id, responses_id, bell_id;
    mu__child *child; /* NULL: nobody can be asked whether it lives */
    int bell;         /* eventfd */

    /* Set before the bell is rung. */
    mu__port_end end; /* written before `dead`, constant from then on */
    _Atomic bool dead;
    _Atomic uint64_t overdue, cancelled; /* ids of requests */

    /* The owner's. */
    mu__frame_reader reader;
    mu__buffer out;
    bool begun;          /* by mu__channel_begin, for the next exchange */
    mu_err refused;      /* why the request could not be encoded */
    size_t request_size; /* its frame's */
    unsigned strays;     /* since the last exchange began */
    bool eof;
    bool severed; /* fds were closed behind our back: their numbers may mean the host's files */
    int64_t looked_at;      /* when it was asked last whether they were */
    unsigned sleep_at_once; /* for how many exchanges more */
};

/* ---- life --------------------------------------------------------------------------------- */

static void close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

/* Just made: they are what they were. */
static void close_pipes(mu__port_pipes *pipes)
{
    close_fd(&pipes->request_write);
    close_fd(&pipes->request_read);
    close_fd(&pipes->response_read);
}

static void close_requests(mu__channel *channel)
{
    mu__fd_close(&channel->pipes.request_write, &channel->requests_id);
    mu__fd_close(&channel->pipes.request_read, &channel->requests_id);
}

mu_err mu__channel_new(const mu_sys *sys, mu__port_pipes *take_pipes, mu__child *child,
                       size_t max_frame, const mu__channel_ops *ops, mu__channel **ret_channel)
{
    mu_err err = MU_OK;
    mu__channel *channel = sys->alloc(sizeof *channel);
    if (!channel)
        err = MU_ENOMEM;
    else if ((channel->bell = sys->eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0)
        err = MU_ERRNO(errno);
    if (err != MU_OK) {
        free(channel);
        close_pipes(take_pipes);
        return err;
    }
    atomic_store(&channel->refs, 1);
    channel->sys = sys;
    channel->max_frame = max_frame;
    channel->child = child ? mu__child_ref(child) : NULL;
    channel->ops = *ops;
    channel->pipes = *take_pipes;
    *take_pipes = (mu__port_pipes){-1, -1, -1};
    channel->requests_id = mu__fd_id_of(channel->pipes.request_write);
    channel->responses_id = mu__fd_id_of(channel->pipes.response_read);
    channel->bell_id = mu__fd_id_of(channel->bell);
    mu__frame_reader_init(&channel->reader, sys, max_frame);
    mu__buffer_init(&channel->out, sys, max_frame + MU__FRAME_HEADER);
    *ret_channel = channel;
    return MU_OK;
}

mu__channel *mu__channel_ref(mu__channel *channel)
{
    atomic_fetch_add_explicit(&channel->refs, 1, memory_order_relaxed);
    return channel;
}

void mu__channel_unref(mu__channel *channel)
{
    if (!channel || atomic_fetch_sub(&channel->refs, 1) != 1)
        return;
    close_requests(channel);
    mu__fd_close(&channel->pipes.response_read, &channel->responses_id);
    mu__fd_close(&channel->bell, &channel->bell_id);
    mu__child_unref(channel->child);
    mu__frame_reader_deinit(&channel->reader);
    mu__buffer_deinit(&channel->out);
    free(channel);
}

void mu__channel_close_requests(mu__channel *channel)
{
    close_requests(channel);
}

/* ---- fds that are not ours any more -------------------------------------------------------- */

static bool look_at_fds(mu__channel *channel)
{
    const mu__port_pipes *pipes = &channel->pipes;
    if (!mu__fd_is(channel->bell, &channel->bell_id) ||
        !mu__fd_is(pipes->response_read, &channel->responses_id) ||
        (pipes->request_write >= 0 && !mu__fd_is(pipes->request_write, &channel->requests_id)))
        channel->severed = true;
    return !channel->severed;
}

static bool look_now_and_then(mu__channel *channel)
{
    int64_t now = mu_clock_now(&mu__clock_monotonic);
    if (now - channel->looked_at < LOOK_NS)
        return !channel->severed;
    channel->looked_at = now;
    return look_at_fds(channel);
}

/* ---- rings -------------------------------------------------------------------------------- */

/* Whoever sleeps by a bell that cannot be rung is woken by the end of the answers. */
static void ring(mu__channel *channel)
{
    uint64_t one = 1;
    ssize_t n;
    if (!mu__fd_is(channel->bell, &channel->bell_id)) {
        if (channel->child)
            (void)mu__child_signal_itself(channel->child, SIGKILL);
        return;
    }
    do
        n = channel->sys->write(channel->bell, &one, sizeof one);
    while (n < 0 && errno == EINTR); /* full means that it rings already */
}

void mu__channel_bury(mu__channel *channel, const mu__port_end *end)
{
    channel->end = *end;
    atomic_store(&channel->dead, true);
    ring(channel);
}

void mu__channel_overdue(mu__channel *channel, uint64_t id)
{
    atomic_store(&channel->overdue, id);
    ring(channel);
}

void mu__channel_cancel(mu__channel *channel, uint64_t id)
{
    atomic_store(&channel->cancelled, id);
    ring(channel);
}

bool mu__channel_dead(const mu__channel *channel)
{
    return atomic_load(&channel->dead);
}

const mu__port_end *mu__channel_end(const mu__channel *channel)
{
    return mu__channel_dead(channel) ? &channel->end : NULL;
}

int mu__channel_response_fd(const mu__channel *channel)
{
    return channel->pipes.response_read;
}

size_t mu__channel_unread(const mu__channel *channel)
{
    int bytes = 0;
    if (channel->pipes.request_read < 0 ||
        ioctl(channel->pipes.request_read, FIONREAD, &bytes) != 0)
        return 0;
    return (size_t)bytes;
}

/* ---- bytes in and out --------------------------------------------------------------------- */

/* Reads once. MU_OK: something came; MU_ETIMEOUT: nothing is there; MU_EDOWN: end of file. */
static mu_err read_some(mu__channel *channel)
{
    void *room;
    size_t size;
    mu_err err = mu__frame_reader_room(&channel->reader, &room, &size);
    if (err != MU_OK)
        return err;
    for (;;) {
        ssize_t n = channel->sys->read(channel->pipes.response_read, room, size);
        if (n > 0) {
            mu__frame_reader_filled(&channel->reader, (size_t)n);
            return MU_OK;
        }
        if (n == 0) {
            channel->eof = true;
            return MU_EDOWN;
        }
        if (errno == EAGAIN)
            return MU_ETIMEOUT;
        channel->severed |= errno == EBADF;
        if (errno != EINTR)
            return MU_ERRNO(errno);
    }
}

/* Writes what the pipe takes; MU_OK when nothing is left, MU_ETIMEOUT when the pipe is full. */
static mu_err write_some(mu__channel *channel)
{
    mu__buffer *out = &channel->out;
    while (mu__buffer_size(out) > 0) {
        ssize_t n = channel->sys->write(channel->pipes.request_write, mu__buffer_data(out),
                                        mu__buffer_size(out));
        if (n >= 0)
            mu__buffer_consume(out, (size_t)n);
        else if (errno == EAGAIN)
            return MU_ETIMEOUT;
        channel->severed |= n < 0 && errno == EBADF;
        if (n < 0 && errno != EINTR)
            return MU_ERRNO(errno);
    }
    return MU_OK;
}

mu_err mu__channel_send(mu__channel *channel, mu__buffer *frame)
{
    size_t size = mu__buffer_size(frame);
    ssize_t n;
    if (!look_at_fds(channel))
        return MU_ERRNO(EBADF);
    do {
        n = channel->sys->write(channel->pipes.request_write, mu__buffer_data(frame), size);
    } while (n < 0 && errno == EINTR);
    if (n == (ssize_t)size)
        return MU_OK;
    /* Up to PIPE_BUF a pipe takes all or nothing, and these frames are smaller. */
    return n < 0 && errno != EAGAIN ? MU_ERRNO(errno) : MU_EFULL;
}

/* A function of the host that the worker asks for: there are none, and it must not wait for ever.
 */
static void refuse_host_call(mu__channel *channel, uint64_t id)
{
    mu_value error = MU_VALUE_INIT;
    if (mu_value_pack(&error, NULL, "{s:s, s:s}", "type", "UnknownFunction", "message",
                      "the host has registered no function of this name") == MU_OK &&
        mu__message_response(&channel->out, channel->max_frame, id, &error, NULL) == MU_OK)
        (void)write_some(channel); /* behind what is not written yet; the rest goes with the loop */
    mu_value_clear(&error);
}

void mu__channel_dispatch(mu__channel *channel, const mu__message *message)
{
    switch (message->kind) {
    case MU__MESSAGE_NOTIFICATION:
        channel->ops.notification(channel->ops.ctx, message);
        break;
    case MU__MESSAGE_REQUEST:
        refuse_host_call(channel, message->id);
        break;
    case MU__MESSAGE_RESPONSE:
    case MU__MESSAGE_ITEM:
        channel->strays++;
        channel->ops.stray(channel->ops.ctx);
        break;
    }
}

static mu_err take_in(mu__channel *channel, bool (*handle)(void *arg, const mu__message *message),
                      void *arg, mu_error *error)
{
    for (int reads = 0;;) {
        mu__frame frame;
        mu_err err = mu__frame_reader_next(&channel->reader, &frame, error);
        if (err != MU_OK)
            return err;
        if (frame.size == 0) {
            if (reads++ == READS_A_TURN)
                return MU_OK;
            err = read_some(channel);
            if (err == MU_OK)
                continue;
            return err == MU_ETIMEOUT ? MU_OK : err;
        }
        mu__message message;
        err = mu__message_read(channel->sys, frame, &message, error);
        if (err != MU_OK)
            return err;
        bool more = handle(arg, &message);
        if (channel->strays > STRAYS_MOST)
            return mu_error_set(error, MU_EPROTOCOL, "more than %d answers that nobody waits for",
                                STRAYS_MOST);
        if (!more)
            return MU_OK;
    }
}

mu_err mu__channel_pump(mu__channel *channel, bool (*handle)(void *arg, const mu__message *message),
                        void *arg, mu_error *error)
{
    if (!look_at_fds(channel))
        return mu_error_set(error, MU_EPROTOCOL, "%s", severed_text);
    return take_in(channel, handle, arg, error);
}

/* ---- the exchange ------------------------------------------------------------------------- */

typedef struct exchange {
    mu__channel *channel;
    uint64_t id;
    mu__reply *reply;
    bool answered;
} exchange;

/* Moves an answer into the reply. */
static void take_answer(exchange *x, const mu__message *message)
{
    const mu_sys *sys = x->channel->sys;
    x->answered = true;
    if (message->error.size > 0) {
        x->reply->err = MU_EWORKER;
        mu__message_error(sys, message->error, &x->reply->error);
    } else {
        x->reply->err = mu__message_value(sys, message->body, &x->reply->result);
    }
}

static bool handle_message(void *arg, const mu__message *message)
{
    exchange *x = arg;
    if (message->kind == MU__MESSAGE_RESPONSE && message->id == x->id) {
        take_answer(x, message);
        return false;
    }
    /* Items of the running request are streamed to nobody here; the answer follows them. */
    if (message->kind != MU__MESSAGE_ITEM || message->id != x->id)
        mu__channel_dispatch(x->channel, message);
    return true;
}

static mu__exchange protocol_fault(exchange *x, mu_err err)
{
    x->reply->err = err == MU_ENOMEM ? MU_ENOMEM : MU_EPROTOCOL;
    x->reply->error.code = x->reply->err;
    return MU__EXCHANGE_PROTOCOL;
}

static mu__exchange severed(exchange *x)
{
    (void)mu_error_set(&x->reply->error, MU_EPROTOCOL, "%s", severed_text);
    return protocol_fault(x, MU_EPROTOCOL);
}

static mu__exchange died(exchange *x)
{
    mu__channel *channel = x->channel;
    /* One that was lost has been sent SIGKILL and may be reading still: only half a request is
     * none. */
    bool gone = channel->end.exit.kind != MU__EXIT_LOST;
    x->reply->err = MU_ECRASHED;
    x->reply->unread = mu__buffer_size(&channel->out) > 0 ||
                       (gone && mu__channel_unread(channel) >= channel->request_size);
    return MU__EXCHANGE_DEAD;
}

/* What the bell was rung for. */
static bool rung_for(exchange *x, bool dead, mu__exchange *ret_outcome)
{
    mu__channel *channel = x->channel;
    if (dead) {
        *ret_outcome = died(x);
    } else if (atomic_load(&channel->cancelled) == x->id) {
        x->reply->err = MU_ECANCELLED;
        *ret_outcome = MU__EXCHANGE_CANCELLED;
    } else if (atomic_load(&channel->overdue) == x->id) {
        x->reply->err = MU_EEXEC_TIMEOUT;
        *ret_outcome = MU__EXCHANGE_OVERDUE;
    } else if (mu_checkpoint() != MU_OK) {
        x->reply->err = MU_ECANCELLED;
        *ret_outcome = MU__EXCHANGE_KILLED;
    } else {
        return false;
    }
    return true;
}

/* Sleeps until the worker answers, takes more of the request, or the bell rings. Where the kernel
 * refuses to say which, everything is looked at after a nap: nothing that poll tells is more than a
 * hint. */
static int wait_for_more(mu__channel *channel, bool *ret_rung)
{
    struct pollfd fds[3] = {
        {.fd = channel->bell, .events = POLLIN},
        {.fd = channel->eof ? -1 : channel->pipes.response_read, .events = POLLIN},
        {.fd = channel->pipes.request_write, .events = POLLOUT},
    };
    nfds_t count = mu__buffer_size(&channel->out) > 0 ? 3 : 2;
    int n = channel->sys->poll(fds, count, channel->eof ? EOF_GRACE_MS : -1);
    if (n < 0 && errno != EINTR) {
        /* No memory; or EINVAL: RLIMIT_NOFILE was set to less than three. */
        (void)channel->sys->poll(NULL, 0, BLIND_NAP_MS);
        *ret_rung = true;
        return 1;
    }
    *ret_rung = n == 0 || (n > 0 && fds[0].revents != 0); /* the bell may not be ours any more */
    channel->severed |= n > 0 && ((fds[0].revents | fds[1].revents | fds[2].revents) & POLLNVAL);
    return n;
}

/*
 * One look at everything: true when the exchange is over. Whether the worker is dead is read before
 * what it has written is taken in: an answer given before a death that was seen is never missed.
 */
static bool step(exchange *x, bool rung, mu__exchange *ret_outcome)
{
    mu__channel *channel = x->channel;
    bool dead = false;
    if (rung) {
        uint64_t count;
        ssize_t n = channel->sys->read(channel->bell, &count, sizeof count);
        (void)n;
        dead = mu__channel_dead(channel);
    }
    mu_err err = channel->eof ? MU_EDOWN : take_in(channel, handle_message, x, &x->reply->error);
    if (x->answered) {
        *ret_outcome = MU__EXCHANGE_REPLY;
        if (dead)
            ring(channel); /* for the next exchange: this one has used the ring up */
        if (x->reply->err == MU_ENOMEM)
            x->reply->error.code = MU_ENOMEM;
        return true;
    }
    if (err != MU_OK && err != MU_EDOWN) {
        *ret_outcome = protocol_fault(x, err);
        return true;
    }
    if (rung && rung_for(x, dead, ret_outcome))
        return true;
    return false;
}

/*
 * Takes the answer if it is there already. A worker that woke on the caller's own processor may
 * have run while the request was being written, time and again or never, as the scheduler likes:
 * then this read saves the poll, otherwise it costs a third of one, and is not tried for a while.
 */
static bool answered_at_once(exchange *x, mu__exchange *ret_outcome)
{
    mu__channel *channel = x->channel;
    if (channel->sleep_at_once > 0) {
        channel->sleep_at_once--;
        return false;
    }
    bool over = step(x, false, ret_outcome);
    if (!over)
        channel->sleep_at_once = LOOK_AGAIN_AFTER;
    return over;
}

static mu__exchange converse(exchange *x)
{
    mu__channel *channel = x->channel;
    mu__exchange outcome = MU__EXCHANGE_REPLY;
    for (bool first = true;; first = false) {
        /* EAGAIN: the worker has not read yet. Any other error: it is gone, and the bell says so.
         */
        (void)write_some(channel);
        if (channel->severed)
            return severed(x);
        if (first && answered_at_once(x, &outcome))
            return outcome;
        bool rung = false;
        int n = wait_for_more(channel, &rung);
        if (n < 0)
            continue; /* EINTR, with and without SA_RESTART */
        if (channel->severed)
            return severed(x);
        if (step(x, rung, &outcome))
            return outcome;
        if (n == 0) {
            if (channel->child && mu__child_ending(channel->child))
                continue; /* the bell will say so */
            (void)mu_error_set(&x->reply->error, MU_EPROTOCOL,
                               "the worker closed its answers and lives on");
            return protocol_fault(x, MU_EPROTOCOL);
        }
    }
}

static void encode(mu__channel *channel, const mu__request *request)
{
    channel->refused = mu__message_request(&channel->out, channel->max_frame, request);
    channel->request_size = mu__buffer_size(&channel->out);
    channel->strays = 0;
}

void mu__channel_begin(mu__channel *channel, const mu__request *request)
{
    int cancel_state;
    encode(channel, request);
    channel->begun = true;
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    if (look_now_and_then(channel))
        (void)write_some(channel); /* what is left, and any error, is for the exchange to see */
    (void)pthread_setcancelstate(cancel_state, NULL);
}

mu__exchange mu__channel_exchange(mu__channel *channel, const mu__request *request,
                                  mu__reply *reply)
{
    *reply = (mu__reply){.err = MU_OK, .result = MU_VALUE_INIT, .error = MU_ERROR_INIT};
    exchange x = {channel, request->id, reply, false};
    if (!channel->begun)
        encode(channel, request);
    channel->begun = false;
    if (channel->refused != MU_OK) {
        reply->err = channel->refused;
        return MU__EXCHANGE_REFUSED;
    }
    int cancel_state;
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    mu__exchange outcome = MU__EXCHANGE_KILLED;
    if (!look_now_and_then(channel))
        outcome = severed(&x);
    else if (mu__set_bell(channel->bell) == MU_OK)
        outcome = converse(&x);
    else
        reply->err = MU_ECANCELLED;
    (void)mu__set_bell(-1);
    size_t unsent = mu__buffer_size(&channel->out);
    reply->unsent = unsent >= channel->request_size;
    reply->torn = unsent > 0 && !reply->unsent;
    mu__buffer_consume(&channel->out, unsent);
    (void)pthread_setcancelstate(cancel_state, NULL);
    return outcome;
}
