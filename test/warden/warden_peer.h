/*
 * warden_peer: the host's side of the warden, in its plainest form
 *
 * Tests of the warden speak its protocol directly, without libmuster's runtime: one request, one
 * answer, exits collected on the way. Every failure ends the test.
 */
#ifndef TEST_WARDEN_PEER_H
#define TEST_WARDEN_PEER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/child.h"
#include "base/warden_proto.h"
#include "port/warden_launch.h"

typedef struct peer {
    mu__warden_link link;
    char run_id[MU__WP_RUN_ID_MAX];
    uint64_t requests;
    mu__wp_exited exits[64];
    size_t n_exits;
} peer;

/* What a test wants different from: /bin/sh -c `script`, environment of the two MUSTER_ variables,
 * fds 0 to 2 on /dev/null. */
typedef struct peer_spawn {
    const char *script; /* for /bin/sh -c; NULL: argv counts */
    const char *path;   /* NULL: /bin/sh */
    char *const *argv;
    char *const *extra_env; /* NULL: none */
    const char *cwd;
    const char *serial; /* of the mark; NULL: "1" */
    mu__wp_spawn more;  /* flags, limits, fds as in the protocol */
    const int *fds;
    size_t n_fds;
} peer_spawn;

/* Launches a warden from the build tree under a fresh run id. */
void peer_start(peer *p);
/* The same in strict mode, which must be there. */
void peer_start_strict(peer *p);
/* Stops it, checks that it answers and leaves, and closes everything. */
void peer_stop(peer *p);
/* Closes the socket without a word. */
void peer_drop(peer *p);

/* Spawns; the pidfd is closed unless asked for. The errno stands in the result. */
mu__wp_spawned peer_spawn_child(peer *p, const peer_spawn *spawn, int *ret_pidfd);
/* The same for a script that must start; returns the pid. */
mu__wp_spawned peer_sh(peer *p, const char *script);

/* One that is refused with this errno at this step, and leaves no child. */
void peer_check_refused(peer *p, const peer_spawn *spawn, int error, mu__step step);
/* Spawns with stdout on a pipe; what it had written when it has exited. */
void peer_output(peer *p, peer_spawn spawn, char *text, size_t size);
/* Starts `script`, which writes a pid to fd 3, and returns that pid. */
int peer_spawn_offspring(peer *p, const char *script, mu__wp_spawned *ret_spawned);
int peer_spawn_offspring_of(peer *p, peer_spawn spawn, mu__wp_spawned *ret_spawned);

/* Sends a signal; returns the errno of the answer. */
int peer_signal(peer *p, const mu__wp_spawned *child, int sig, mu__wp_scope scope);
/* Waits for the exit of the child. */
mu__wp_exited peer_wait_exit(peer *p, const mu__wp_spawned *child);

/* Sends raw bytes, and receives one message whatever it is. */
void peer_send_raw(peer *p, const void *data, size_t size);
mu__wp_header peer_receive(peer *p, uint8_t body[MU__WP_SMALL]);

/* Number of living processes (zombies not counted) whose environment names this run. */
int processes_of_run(const char *run_id);
/* Is there such a process, zombie or not? */
bool process_exists(int pid);
/* Reads a small file, or what stands in a pipe until its end. */
void read_text(int fd, char *text, size_t size);
void read_file_text(const char *path, char *text, size_t size);

#endif
