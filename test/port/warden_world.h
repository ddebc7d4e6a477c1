/*
 * warden_world: a system with a warden and nothing else, for one test
 *
 *     world w;
 *     world_begin(&w);
 *     mu__child *child = world_start_sh(&w, "exit 7");
 *     mu_check_ok(mu__child_wait(child, world_soon(&w), &exit));
 *     mu__child_unref(child);
 *     world_end(&w);
 *
 * It counts what the warden's events say, and how often children's ends were told. Every failure
 * ends the test.
 */
#ifndef TEST_WARDEN_WORLD_H
#define TEST_WARDEN_WORLD_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/sys.h"
#include "port/warden.h"

typedef struct world {
    mu_system *system;
    mu__warden *warden;
    mu_sys sys;
    _Atomic int lost, hung, refused, exits;
} world;

void world_begin(world *w);

/* `signal_`: instead of pidfd_send_signal; `timeout_ms`: of the warden's silence, 0: as ever. */
void world_begin_with(world *w, int (*signal_)(int, int, siginfo_t *, unsigned),
                      int64_t timeout_ms);

/* `program`: another warden, NULL: the one of the build tree. */
void world_begin_program(world *w, const char *program,
                         int (*signal_)(int, int, siginfo_t *, unsigned), int64_t timeout_ms);

/* Warden first, which must be gone, then system. */
void world_end(world *w);

/* A deadline that only a test that fails meets. */
int64_t world_soon(const world *w);

/* A child: /bin/sh -c `script`, without any environment of its own. */
mu_err world_try_sh(world *w, const char *script, mu__child **ret_child, mu_error *ret_error);

/* The same, which must succeed. */
mu__child *world_start_sh(world *w, const char *script);

/* Whether the warden is known by one: see support/mu_old_kernel.c. */
bool world_has_pidfds(world *w);

/* How many processes there are of this system, its warden among them. */
int world_alive(const world *w);

/* How many but the warden, which carries no mark. */
int world_marked(const world *w);

#endif
