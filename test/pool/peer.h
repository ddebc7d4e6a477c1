/*
 * peer: workers that are threads of this process, for races at a rate that processes do not allow
 *
 * The whole library is the real one, but for the ports: the linker sends the pool's calls of them
 * here (`wrap` in meson.build). Each port has a thread that speaks the protocol over real pipes. It
 * answers a request [token, at] with the token at the time `at`, on CLOCK_MONOTONIC, whatever
 * becomes of the request meanwhile: it hears no cancellation.
 *
 *     peer_rig_start(&rig, 8, &hears);
 *     ...
 *     peer_rig_stop(&rig);
 *
 * Thread-safety: `hears` is called by the peers' threads. Ownership: a port's thread is joined when
 * the port is freed.
 */
#ifndef MU_TEST_PEER_H
#define MU_TEST_PEER_H

#include "pool/pool_rig.h"

/* Begins the run of a request; in the peer's thread. */
typedef void (*peer_begins_fn)(uint64_t token);

void peer_rig_start(pool_rig *rig, int size, peer_begins_fn begins);
void peer_rig_stop(pool_rig *rig);

#endif
