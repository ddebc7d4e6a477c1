/*
 * echo_worker: a worker without a library, as small and as fast as the wire protocol allows
 *
 * The benchmarks measure muster against it, because with a worker that costs next to nothing the
 * host's own share shows; the tests use it wherever a worker need not be Python. It is written from
 * doc/wire-protocol.md alone and shares no code with libmuster, so it is also a second opinion on
 * that page. It needs Linux and libc.
 *
 *     echo    answers with its arguments      ping    answers with true
 *
 * Whatever arrived in one read is answered in one write. One buffer takes what is read and grows
 * with the largest frame; answers are built in a second one. The host is trusted to send
 * well-formed msgpack; a frame that does not parse ends the worker with status 76, as the protocol
 * asks.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define REQUEST_FD    3
#define ANSWER_FD     4
#define EXIT_PROTOCOL 76
#define READ_SIZE     65536 /* what a pipe holds */

/* Kinds of messages. */
#define REQUEST      0
#define NOTIFICATION 2

typedef struct bytes {
    unsigned char *data;
    size_t size, room;
} bytes;

/* A place in a frame that is being read. */
typedef struct cursor {
    const unsigned char *at, *end;
} cursor;

static void leave(const char *why)
{
    fprintf(stderr, "echo_worker: %s\n", why);
    exit(EXIT_PROTOCOL);
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static void reserve(bytes *out, size_t more)
{
    if (out->room - out->size >= more)
        return;
    size_t room = (out->size + more) * 2;
    unsigned char *data = realloc(out->data, room);
    if (data == NULL)
        leave("out of memory");
    out->data = data;
    out->room = room;
}

static void put(bytes *out, const void *data, size_t size)
{
    reserve(out, size);
    memcpy(out->data + out->size, data, size);
    out->size += size;
}

static void put_byte(bytes *out, unsigned char byte)
{
    put(out, &byte, 1);
}

/* A string shorter than 32 bytes. */
static void put_text(bytes *out, const char *text)
{
    size_t size = strlen(text);
    put_byte(out, (unsigned char)(0xa0 | size));
    put(out, text, size);
}

static void put_uint(bytes *out, uint64_t number)
{
    unsigned char form[9] = {0xcf};
    for (int i = 8; i > 0; i--, number >>= 8)
        form[i] = (unsigned char)number;
    put(out, form, sizeof form);
}

static uint32_t big_endian(const unsigned char *at, size_t size)
{
    uint32_t number = 0;
    for (size_t i = 0; i < size; i++)
        number = number << 8 | at[i];
    return number;
}

/* Room for the frame's header; end_frame fills it in. */
static size_t begin_frame(bytes *out)
{
    size_t mark = out->size;
    put(out, "\0\0\0\0", 4);
    return mark;
}

static void end_frame(bytes *out, size_t mark)
{
    size_t size = out->size - mark - 4;
    for (int i = 3; i >= 0; i--, size >>= 8)
        out->data[mark + (size_t)i] = (unsigned char)size;
}

/* ---- reading msgpack --------------------------------------------------------------------------
 */

static const unsigned char *take(cursor *in, size_t size)
{
    if ((size_t)(in->end - in->at) < size)
        leave("a frame ends inside a value");
    const unsigned char *taken = in->at;
    in->at += size;
    return taken;
}

/* A length of `size` bytes, then that much data. */
static void skip_sized(cursor *in, size_t size)
{
    take(in, big_endian(take(in, size), size));
}

/* Steps over one value's head and scalar content; returns how many values stand inside it. */
static uint64_t skip_one(cursor *in)
{
    unsigned char code = *take(in, 1);
    if (code < 0x80 || code >= 0xe0)
        return 0;
    if (code < 0x90)
        return 2 * (uint64_t)(code & 0x0f);
    if (code < 0xa0)
        return code & 0x0f;
    if (code < 0xc0)
        return take(in, code & 0x1f), 0;
    switch (code) {
    case 0xc0:
    case 0xc2:
    case 0xc3:
        return 0;
    case 0xcc:
    case 0xd0:
        return take(in, 1), 0;
    case 0xcd:
    case 0xd1:
        return take(in, 2), 0;
    case 0xca:
    case 0xce:
    case 0xd2:
        return take(in, 4), 0;
    case 0xcb:
    case 0xcf:
    case 0xd3:
        return take(in, 8), 0;
    case 0xc4:
    case 0xd9:
        return skip_sized(in, 1), 0;
    case 0xc5:
    case 0xda:
        return skip_sized(in, 2), 0;
    case 0xc6:
    case 0xdb:
        return skip_sized(in, 4), 0;
    case 0xdc:
        return big_endian(take(in, 2), 2);
    case 0xdd:
        return big_endian(take(in, 4), 4);
    case 0xde:
        return 2 * (uint64_t)big_endian(take(in, 2), 2);
    case 0xdf:
        return 2 * (uint64_t)big_endian(take(in, 4), 4);
    default:
        leave("a value of a type that the protocol has not");
        return 0;
    }
}

static void skip(cursor *in)
{
    for (uint64_t left = 1; left > 0; left--)
        left += skip_one(in);
}

/* Does the string from `text` to the cursor say `name`? Names are shorter than 32 bytes. */
static bool says(const unsigned char *text, const cursor *in, const char *name)
{
    size_t size = strlen(name);
    return (size_t)(in->at - text) == 1 + size && text[0] == (0xa0 | size) &&
           memcmp(text + 1, name, size) == 0;
}

/* ---- the worker ------------------------------------------------------------------------------ */

/* An error map's first two pairs, of however many. */
static void put_error(bytes *out, const char *type, const char *message)
{
    put_text(out, "type");
    put_text(out, type);
    put_text(out, "message");
    put_text(out, message);
}

/* [1, id, nil, result] or [1, id, error, nil] */
static void answer(bytes *out, cursor in)
{
    const unsigned char *id = in.at;
    skip(&in);
    size_t id_size = (size_t)(in.at - id);
    const unsigned char *command = in.at;
    skip(&in);
    const cursor behind_command = in;
    const unsigned char *args = in.at;
    skip(&in);

    size_t mark = begin_frame(out);
    put(out, "\x94\x01", 2);
    put(out, id, id_size);
    if (says(command, &behind_command, "echo")) {
        put_byte(out, 0xc0);
        put(out, args, (size_t)(in.at - args));
    } else if (says(command, &behind_command, "ping")) {
        put(out, "\xc0\xc3", 2);
    } else {
        put_byte(out, 0x82);
        put_error(out, "UnknownCommand", "there are echo and ping");
        put_byte(out, 0xc0);
    }
    end_frame(out, mark);
}

/* Acts on one message; false when the host has said shutdown. */
static bool handle(bytes *out, const unsigned char *body, size_t size)
{
    cursor in = {body, body + size};
    unsigned char array = *take(&in, 1), kind = *take(&in, 1);
    if (array == 0x95 && kind == REQUEST) {
        answer(out, in);
        return true;
    }
    if (array == 0x93 && kind == NOTIFICATION) {
        const unsigned char *event = in.at;
        skip(&in);
        return !says(event, &in, "shutdown");
    }
    leave("a message of an unknown kind");
    return false;
}

/* Acts on the whole frames in `in` and keeps the beginning of the next; false after shutdown. */
static bool handle_all(bytes *in, bytes *out)
{
    size_t at = 0;
    bool serving = true;
    while (serving && in->size - at >= 4) {
        size_t size = big_endian(in->data + at, 4);
        if (size == 0)
            leave("an empty frame");
        if (in->size - at - 4 < size) {
            reserve(in, size);
            break;
        }
        serving = handle(out, in->data + at + 4, size);
        at += 4 + size;
    }
    in->size -= at;
    if (in->size > 0)
        memmove(in->data, in->data + at, in->size);
    return serving;
}

/* Writes everything and empties the buffer. A host that is gone ends the worker. */
static void send_all(bytes *out)
{
    for (size_t at = 0; at < out->size;) {
        ssize_t written = write(ANSWER_FD, out->data + at, out->size - at);
        if (written < 0 && errno != EINTR)
            exit(0);
        at += written > 0 ? (size_t)written : 0;
    }
    out->size = 0;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Leaves when the host speaks another version of the protocol. */
static void check_version(bytes *out)
{
    const char *wanted = getenv("MUSTER_PROTOCOL");
    if (wanted == NULL || wanted[0] == '\0' || strcmp(wanted, "1") == 0)
        return;
    size_t mark = begin_frame(out);
    put(out, "\x93\x02", 2);
    put_text(out, "start_failed");
    put_byte(out, 0x83);
    put_error(out, "RuntimeError", "this worker speaks protocol 1");
    put_text(out, "stage");
    put_text(out, "on_start");
    end_frame(out, mark);
    send_all(out);
    fprintf(stderr, "echo_worker: the host speaks protocol %s, this worker 1\n", wanted);
    exit(1);
}

/* hello and ready. */
static void introduce(bytes *out, uint64_t started)
{
    size_t mark = begin_frame(out);
    put(out, "\x93\x02", 2);
    put_text(out, "hello");
    put_byte(out, 0x85);
    put_text(out, "protocol");
    put_byte(out, 1);
    put_text(out, "sdk");
    put_text(out, "echo_worker");
    put_text(out, "pid");
    put_uint(out, (uint64_t)getpid());
    put_text(out, "commands");
    put_byte(out, 0x92);
    put_text(out, "echo");
    put_text(out, "ping");
    put_text(out, "codec");
    put_text(out, "own");
    end_frame(out, mark);

    mark = begin_frame(out);
    put(out, "\x93\x02", 2);
    put_text(out, "ready");
    put_byte(out, 0x81);
    put_text(out, "timeline");
    put_byte(out, 0x82);
    put_text(out, "interpreter");
    put_uint(out, started);
    put_text(out, "ready");
    put_uint(out, now_ns());
    end_frame(out, mark);
    send_all(out);
}

int main(void)
{
    uint64_t started = now_ns();
    bytes in = {NULL, 0, 0}, out = {NULL, 0, 0};
    signal(SIGINT, SIG_IGN); /* a Ctrl-C at the host's terminal is the host's to handle */
    check_version(&out);
    introduce(&out, started);
    for (bool serving = true; serving;) {
        reserve(&in, READ_SIZE);
        ssize_t got = read(REQUEST_FD, in.data + in.size, in.room - in.size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        in.size += (size_t)got;
        serving = handle_all(&in, &out);
        send_all(&out);
    }
    free(in.data);
    free(out.data);
    return 0;
}
