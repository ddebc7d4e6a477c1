/*
 * warden/host.h - the host, as the warden sees it: a socket and a process.
 *
 * How the end of the host is known: its pidfd becomes readable when the process is gone, however it
 * went, also while a forked copy of it keeps the socket open. Where there are no pidfds, the same
 * is known by pid and start time, looked at every HOST_LOOK_MS; and mostly sooner, since the
 * socket ends with the host that has no copy. The end of the socket with the host
 * alive means that nobody holds the other end any more - the host exec'd something else, or closed
 * all its fds - so that nobody will ever ask for these children again: that ends the system too.
 *
 * The host may be stopped, or slow. Nothing here blocks: one answer may wait to be sent, and until
 * it is sent no further request is taken, so memory is bounded and the host's own socket buffer
 * holds the rest.
 *
 *     host_receive(&h, &packet) == HOST_OK   ->  handle it, host_answer(&h, ...), packet_release
 *     host_flush(&h)                         ->  HOST_BLOCKED: poll for POLLOUT and call again
 *
 * Thread-safety: none. Ownership: the packet owns its fds and its body until packet_release.
 */
#ifndef MU_WARDEN_HOST_H
#define MU_WARDEN_HOST_H

#include "base/proc.h"
#include "base/warden_proto.h"

#include <stdbool.h>

typedef enum host_state {
    HOST_OK,
    HOST_BLOCKED,   /* nothing to read, or no room to write */
    HOST_MALFORMED, /* a packet that is not even a request; already released */
    HOST_GONE
} host_state;

#define HOST_LOOK_MS 100

typedef struct host {
    int socket;
    int pidfd;      /* -1: there are none here */
    mu__proc_id id; /* counts then */
    bool
        short_of_memory; /* the last send failed for want of kernel memory: poll cannot tell when */
    bool answer_waits;
    uint8_t answer[MU__WP_SMALL];
    size_t answer_size;
    int answer_fd; /* passed along and closed then; -1: none */
} host;

typedef struct packet {
    mu__wp_header header;
    int error; /* errno if only the header could be taken: answer it, look at nothing else */
    const uint8_t *body;
    void *apart; /* the body, if it came in a memfd */
    int fds[MU__WP_FDS_MAX];
    size_t n_fds;
} packet;

/* Where there is no pidfd that says so: is it? */
bool host_has_ended(const host *h);

/* One packet. HOST_OK: the caller releases it. */
host_state host_receive(host *h, packet *ret_packet);
void packet_release(packet *p);

/* Takes an answer (and `take_fd`, -1: none) over; there must be none waiting. */
void host_answer(host *h, const uint8_t *data, size_t size, int take_fd);
/* Sends the waiting answer, if any. */
host_state host_flush(host *h);
/* Sends one message at once, or not at all. Only while no answer waits: answers go first. */
host_state host_send(host *h, const uint8_t *data, size_t size);

#endif
