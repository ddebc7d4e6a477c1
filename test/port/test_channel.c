/*
 * The exchange on a channel, against a scripted peer in this process: P8 (late replies), T2
 * (deadline against answer), and what a death leaves behind. Ids: the fault catalogue's.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "port/channel.h"
#include "support/mu_test.h"

typedef struct rig {
    mu__channel *channel;
    int sends; /* the channel's */
    int peer_in, peer_out;
    _Atomic int strays;
} rig;

static void ignore(void *ctx, const mu__message *message)
{
    (void)ctx;
    (void)message;
}
static void count_stray(void *ctx)
{
    atomic_fetch_add(&((rig *)ctx)->strays, 1);
}

static void set_up_with(rig *r, const mu_sys *sys)
{
    int request[2], response[2];
    mu_check_eq(pipe2(request, O_CLOEXEC | O_NONBLOCK), 0);
    mu_check_eq(pipe2(response, O_CLOEXEC | O_NONBLOCK), 0);
    atomic_store(&r->strays, 0);
    mu__channel_ops ops = {ignore, count_stray, r};
    r->sends = request[1];
    r->peer_in = dup(request[0]);
    r->peer_out = response[1];
    mu__port_pipes pipes = {request[1], request[0], response[0]};
    mu_check_ok(mu__channel_new(sys, &pipes, NULL, 1 << 20, &ops, &r->channel));
}

static void set_up(rig *r)
{
    set_up_with(r, &mu__sys_real);
}

static void tear_down(rig *r)
{
    mu__channel_unref(r->channel);
    close(r->peer_in);
    close(r->peer_out);
}

/* Reads one request and returns its id; the peer's pipe is non-blocking. */
static uint64_t peer_read(rig *r, mu__frame_reader *reader)
{
    for (;;) {
        mu__frame frame;
        mu_check_ok(mu__frame_reader_next(reader, &frame, NULL));
        if (frame.size > 0) {
            mu__message m;
            mu_check_ok(mu__message_read(&mu__sys_real, frame, &m, NULL));
            if (m.kind == MU__MESSAGE_REQUEST)
                return m.id;
            continue;
        }
        void *room;
        size_t size;
        mu_check_ok(mu__frame_reader_room(reader, &room, &size));
        struct pollfd ready = {.fd = r->peer_in, .events = POLLIN};
        mu_check_eq(poll(&ready, 1, 5000 * MU_TEST_SCALE), 1);
        ssize_t n = read(r->peer_in, room, size);
        mu_check_gt(n, 0);
        mu__frame_reader_filled(reader, (size_t)n);
    }
}

static void peer_answer(rig *r, uint64_t id)
{
    mu__buffer out;
    mu_value result = MU_VALUE_INIT;
    mu__buffer_init(&out, &mu__sys_real, 4096);
    mu_check_ok(mu_value_pack(&result, NULL, "U", id));
    mu_check_ok(mu__message_response(&out, 4096, id, NULL, &result));
    mu_check_eq(write(r->peer_out, mu__buffer_data(&out), mu__buffer_size(&out)),
                (ssize_t)mu__buffer_size(&out));
    mu_value_clear(&result);
    mu__buffer_deinit(&out);
}

static mu__exchange ask(rig *r, uint64_t id, mu__reply *reply)
{
    mu__request request = MU__REQUEST_INIT;
    request.id = id;
    request.command = "echo";
    return mu__channel_exchange(r->channel, &request, reply);
}

static void forget(mu__reply *reply)
{
    mu_value_clear(&reply->result);
    mu_error_clear(&reply->error);
}

MU_TEST(channel, a_death_behind_an_answer_is_the_next_exchanges)
{
    rig r;
    mu__reply reply;
    set_up(&r);
    mu__port_end end = {.exit = {.kind = MU__EXIT_CODE}};
    for (uint64_t id = 1; id <= 3; id++)
        peer_answer(&r, id);
    mu__channel_bury(r.channel, &end);
    for (uint64_t id = 1; id <= 3; id++) {
        mu_check_eq((int)ask(&r, id, &reply), MU__EXCHANGE_REPLY);
        forget(&reply);
    }
    /* The pipe is open still, as with a grandchild that holds it: only the bell can tell. */
    mu_check_eq((int)ask(&r, 4, &reply), MU__EXCHANGE_DEAD);
    mu_check(reply.unread);
    forget(&reply);
    tear_down(&r);
}

/* Noise as much as there is room, at once and for ever: a worker faster than its host. */
static ssize_t read_noise(int fd, void *room, size_t size)
{
    static const char noise[] = "\0\0\0\4\x93\2\xa0\xc0";
    const size_t length = sizeof noise - 1;
    struct stat st;
    mu_check_eq(fstat(fd, &st), 0);
    if (!S_ISFIFO(st.st_mode))
        return read(fd, room, size); /* the bell */
    size_t whole = size / length * length;
    for (size_t at = 0; at < whole; at += length)
        memcpy((char *)room + at, noise, length);
    return (ssize_t)whole;
}

MU_TEST(channel, P7_a_worker_that_writes_without_end_does_not_outlast_the_deadline)
{
    rig r;
    mu__reply reply;
    mu_sys noisy = mu__sys_real;
    noisy.read = read_noise;
    set_up_with(&r, &noisy);
    peer_answer(&r, 1000); /* so that there is something to read */
    mu__channel_overdue(r.channel, 1);
    mu_check_eq((int)ask(&r, 1, &reply), MU__EXCHANGE_OVERDUE);
    forget(&reply);
    tear_down(&r);
}

/* ---- P8, T2
 * -------------------------------------------------------------------------------------- */

typedef struct echo {
    rig *rig;
    _Atomic bool stop;
    _Atomic uint64_t asked; /* the request under way */
} echo;

/* So that answer and deadline meet. */
static void dawdle(uint64_t id)
{
    for (volatile unsigned i = 0; i < (unsigned)(id * 2654435761u) % 512; i++)
        ;
}

static void *echo_peer(void *arg)
{
    echo *e = arg;
    mu__frame_reader reader;
    mu__frame_reader_init(&reader, &mu__sys_real, 1 << 20);
    for (;;) {
        uint64_t id = peer_read(e->rig, &reader);
        if (id == INT64_MAX)
            break;
        dawdle(id);
        peer_answer(e->rig, id);
    }
    mu__frame_reader_deinit(&reader);
    return NULL;
}

static void *ring_now(void *arg)
{
    echo *e = arg;
    uint64_t rung = 0;
    while (!atomic_load(&e->stop)) {
        uint64_t id = atomic_load(&e->asked);
        if (id == rung)
            continue;
        rung = id;
        dawdle(id / 2);
        if (id % 2)
            mu__channel_overdue(e->rig->channel, id);
    }
    return NULL;
}

MU_TEST(channel, P8_T2_every_request_gets_its_own_answer_or_none_and_late_ones_are_dropped)
{
    rig r;
    set_up(&r);
    echo e = {.rig = &r};
    pthread_t peer, ringer;
    mu_check_eq(pthread_create(&peer, NULL, echo_peer, &e), 0);
    mu_check_eq(pthread_create(&ringer, NULL, ring_now, &e), 0);
    int overdue = 0;
    const uint64_t rounds = MU_TEST_SANITIZED ? 20000 : 100000;
    for (uint64_t id = 1; id <= rounds; id++) {
        mu__reply reply;
        atomic_store(&e.asked, id);
        mu__exchange outcome = ask(&r, id, &reply);
        if (outcome == MU__EXCHANGE_REPLY) {
            mu_check_ok(reply.err);
            mu_check_eq(mu_value_uint(&reply.result, "", 0), id);
        } else {
            mu_check_eq(outcome, MU__EXCHANGE_OVERDUE);
            overdue++;
        }
        forget(&reply);
    }
    atomic_store(&e.stop, true);
    pthread_join(ringer, NULL);
    /* What was overdue has been answered late, or is about to be: all of it is dropped. */
    mu__channel_overdue(r.channel, 0);
    mu__reply last;
    mu_check_eq(ask(&r, INT64_MAX - 1, &last), MU__EXCHANGE_REPLY);
    mu_check_eq(mu_value_uint(&last.result, "", 0), (uint64_t)INT64_MAX - 1);
    forget(&last);
    mu_check_eq(atomic_load(&r.strays), overdue);
    mu_check_gt(overdue, 0);
    mu__buffer out;
    mu__request request = MU__REQUEST_INIT;
    request.id = INT64_MAX;
    request.command = "stop";
    mu__buffer_init(&out, &mu__sys_real, 4096);
    mu_check_ok(mu__message_request(&out, 4096, &request));
    mu_check_ok(mu__channel_send(r.channel, &out));
    mu__buffer_deinit(&out);
    pthread_join(peer, NULL);
    tear_down(&r);
}

/* ---- death
 * ------------------------------------------------------------------------------------------ */

static const mu__port_end killed = {.exit = {.kind = MU__EXIT_SIGNAL, .status = 9, .os_pid = 1}};

MU_TEST(channel, an_answer_given_before_the_death_counts)
{
    rig r;
    set_up(&r);
    peer_answer(&r, 7);
    mu__channel_bury(r.channel, &killed);
    mu__reply reply;
    mu_check_eq(ask(&r, 7, &reply), MU__EXCHANGE_REPLY);
    mu_check_eq(mu_value_uint(&reply.result, "", 0), 7u);
    forget(&reply);
    tear_down(&r);
}

MU_TEST(channel, a_request_that_the_dead_had_not_read_is_known_to_be_unread)
{
    rig r;
    set_up(&r);
    mu__channel_bury(r.channel, &killed);
    mu__reply reply;
    mu_check_eq(ask(&r, 8, &reply), MU__EXCHANGE_DEAD);
    mu_check(reply.unread);
    mu_check_eq(reply.err, MU_ECRASHED);
    mu_check_eq(mu__channel_end(r.channel)->exit.status, 9);
    forget(&reply);
    tear_down(&r);
}

static void *read_and_bury(void *arg)
{
    rig *r = arg;
    mu__frame_reader reader;
    mu__frame_reader_init(&reader, &mu__sys_real, 1 << 20);
    (void)peer_read(r, &reader);
    mu__frame_reader_deinit(&reader);
    mu__channel_bury(r->channel, &killed);
    return NULL;
}

MU_TEST(channel, a_request_that_the_dead_had_read_may_have_been_executed)
{
    rig r;
    set_up(&r);
    pthread_t peer;
    mu_check_eq(pthread_create(&peer, NULL, read_and_bury, &r), 0);
    mu__reply reply;
    mu_check_eq(ask(&r, 9, &reply), MU__EXCHANGE_DEAD);
    mu_check(!reply.unread);
    forget(&reply);
    pthread_join(peer, NULL);
    tear_down(&r);
}

MU_TEST(channel, H6_writing_to_a_dead_worker_raises_no_signal)
{
    rig r;
    set_up(&r);
    close(r.peer_in);
    r.peer_in = -1;
    mu__channel_bury(r.channel, &killed);
    mu__reply reply;
    mu_check_eq(ask(&r, 10, &reply), MU__EXCHANGE_DEAD);
    forget(&reply);
    tear_down(&r);
}

/* ---- bytes
 * --------------------------------------------------------------------------------------------- */

static void *drip(void *arg)
{
    rig *r = arg;
    mu__frame_reader reader;
    mu__frame_reader_init(&reader, &mu__sys_real, 1 << 20);
    uint64_t id = peer_read(r, &reader);
    mu__frame_reader_deinit(&reader);
    mu__buffer out;
    mu__buffer_init(&out, &mu__sys_real, 4096);
    mu_check_ok(mu__message_response(&out, 4096, id, NULL, NULL));
    for (size_t i = 0; i < mu__buffer_size(&out); i++)
        mu_check_eq(write(r->peer_out, mu__buffer_data(&out) + i, 1), 1);
    mu__buffer_deinit(&out);
    return NULL;
}

MU_TEST(channel, P1_an_answer_may_come_one_byte_at_a_time)
{
    rig r;
    set_up(&r);
    pthread_t peer;
    mu_check_eq(pthread_create(&peer, NULL, drip, &r), 0);
    mu__reply reply;
    mu_check_eq(ask(&r, 11, &reply), MU__EXCHANGE_REPLY);
    mu_check_ok(reply.err);
    forget(&reply);
    pthread_join(peer, NULL);
    tear_down(&r);
}

MU_TEST(channel, P2_a_lying_header_is_a_protocol_error)
{
    static const unsigned char lies[][4] = {
        {0, 0, 0, 0}, {0x7f, 0xff, 0xff, 0xff}, {0xff, 0xff, 0xff, 0xff}, {0, 0x10, 0, 1}};
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        rig r;
        set_up(&r);
        mu_check_eq(write(r.peer_out, lies[i], 4), 4);
        mu__reply reply;
        mu_check_eq(ask(&r, 12, &reply), MU__EXCHANGE_PROTOCOL);
        mu_check_eq(reply.err, MU_EPROTOCOL);
        mu_check(reply.error.message[0] != '\0');
        forget(&reply);
        tear_down(&r);
    }
}

MU_TEST(channel, P2_a_request_above_the_limit_is_refused_before_a_byte_is_sent)
{
    rig r;
    set_up(&r);
    size_t size = 2 << 20;
    char *big = calloc(1, size);
    mu_value args = MU_VALUE_INIT;
    mu_check_ok(mu_value_pack(&args, NULL, "y#", big, size));
    mu__request request = MU__REQUEST_INIT;
    request.id = 13;
    request.command = "echo";
    request.args = &args;
    mu__reply reply;
    mu_check_eq(mu__channel_exchange(r.channel, &request, &reply), MU__EXCHANGE_REFUSED);
    mu_check_eq(reply.err, MU_ETOOBIG);
    mu_check(!reply.torn);
    mu_check_eq(mu__channel_unread(r.channel), 0u);
    forget(&reply);
    mu_value_clear(&args);
    free(big);
    tear_down(&r);
}

/* The peer reads nothing: the request does not fit into the pipe and the deadline comes. */
/* A host that closes what is not its own and opens files: their numbers are those of the pipes. */
MU_TEST(channel, fds_that_have_become_another_file_are_neither_written_to_nor_closed)
{
    rig r;
    mu__reply reply;
    struct stat st;
    set_up(&r);
    int file = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    mu_check_ge(file, 0);
    mu_check_eq(dup3(file, r.sends, O_CLOEXEC), r.sends);
    mu_check_eq((int)ask(&r, 1, &reply), MU__EXCHANGE_PROTOCOL);
    mu_check_contains(reply.error.message, "closed in the host");
    forget(&reply);
    int sends = r.sends;
    tear_down(&r);
    mu_check_eq(fstat(sends, &st), 0);
    mu_check_eq(st.st_size, 0);
    close(sends);
    close(file);
}

MU_TEST(channel, a_request_left_half_written_makes_the_worker_useless)
{
    rig r;
    set_up(&r);
    size_t size = 900000;
    char *big = calloc(1, size);
    mu_value args = MU_VALUE_INIT;
    mu_check_ok(mu_value_pack(&args, NULL, "y#", big, size));
    mu__request request = MU__REQUEST_INIT;
    request.id = 14;
    request.command = "echo";
    request.args = &args;
    mu__reply reply;
    mu__channel_overdue(r.channel, 14);
    mu_check_eq(mu__channel_exchange(r.channel, &request, &reply), MU__EXCHANGE_OVERDUE);
    mu_check(reply.torn);
    forget(&reply);
    mu_value_clear(&args);
    free(big);
    tear_down(&r);
}

MU_TEST(channel, a_request_that_was_begun_is_sent_once_and_answered_to_whoever_asks)
{
    rig r;
    mu__reply reply;
    mu__frame_reader reader;
    char byte;
    set_up(&r);
    mu__frame_reader_init(&reader, &mu__sys_real, 4096);
    mu__request request = MU__REQUEST_INIT;
    request.id = 5;
    request.command = "echo";
    mu__channel_begin(r.channel, &request);
    mu_check_eq(peer_read(&r, &reader), 5u);
    peer_answer(&r, 5);
    mu_check_eq((int)ask(&r, 5, &reply), MU__EXCHANGE_REPLY);
    mu_check_ok(reply.err);
    forget(&reply);
    mu_check_eq(read(r.peer_in, &byte, 1), -1); /* nothing came twice */
    peer_answer(&r, 6);
    mu_check_eq((int)ask(&r, 6, &reply), MU__EXCHANGE_REPLY);
    forget(&reply);
    mu_check_eq(peer_read(&r, &reader), 6u); /* the next one is sent again */
    mu__frame_reader_deinit(&reader);
    tear_down(&r);
}

MU_TEST(channel, a_begun_request_that_cannot_be_encoded_is_refused_to_whoever_asks)
{
    rig r;
    mu__reply reply;
    set_up(&r);
    mu__request request = MU__REQUEST_INIT;
    request.id = 7;
    request.command = "\xff";
    mu__channel_begin(r.channel, &request);
    mu_check_eq((int)mu__channel_exchange(r.channel, &request, &reply), MU__EXCHANGE_REFUSED);
    mu_check_err(reply.err, MU_EINVAL);
    mu_check_eq(mu__channel_unread(r.channel), 0u);
    forget(&reply);
    peer_answer(&r, 8);
    mu_check_eq((int)ask(&r, 8, &reply), MU__EXCHANGE_REPLY);
    forget(&reply);
    tear_down(&r);
}

MU_TEST(channel, a_begun_request_that_the_dead_had_not_read_is_known_to_be_unread)
{
    rig r;
    mu__reply reply;
    set_up(&r);
    mu__request request = MU__REQUEST_INIT;
    request.id = 9;
    request.command = "echo";
    mu__channel_begin(r.channel, &request);
    mu__channel_bury(r.channel, &(mu__port_end){.exit = {.kind = MU__EXIT_CODE}});
    mu_check_eq((int)ask(&r, 9, &reply), MU__EXCHANGE_DEAD);
    mu_check(reply.unread && !reply.unsent);
    forget(&reply);
    tear_down(&r);
}
