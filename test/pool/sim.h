/*
 * sim: a world in which a whole pool runs in one thread, on a clock of its own, as a seed says
 *
 * The pool's code is the real one, its channels and the bytes in their pipes included. What stands
 * below it is not: the linker sends the calls of the runtime, the supervisors and the ports here
 * (`wrap` in meson.build). Threads and actors are coroutines; whenever more than one thing could
 * happen next - a coroutine goes on, an alarm goes off, a worker reads, a death is told - the dice
 * decide. Time passes only when nothing is left to happen. So a run is a function of its seed, and
 * a thousand of them take a second.
 *
 *     sim_begin(seed, &watch);
 *     sim_thread(caller, &request);          // as pthread_create
 *     sim_run(sim_now() + 5 * MU_MS, 1000);  // what happens within five milliseconds
 *     sim_end();
 *
 * sim.c has dice, clock, coroutines and waits, sim_actor.c actors and supervisors, sim_port.c the
 * workers' processes, sim_options.c options and requests. Thread-safety: none, there is one thread.
 * Ownership: the world's, to its end.
 */
#ifndef MU_TEST_SIM_H
#define MU_TEST_SIM_H

#include <muster/gen_server.h>
#include <muster/pool.h>

#include "base/clock.h"
#include "base/sys.h"

/* ---- sim.c: dice and time ----------------------------------------------------------------- */

/* What a worker does with a request; its arguments are [token, deed, ms]. */
typedef enum sim_deed {
    SIM_ECHO,           /* answers with the token, `ms` after it has read the request */
    SIM_RAISE,          /* answers with an error */
    SIM_OBEY,           /* as ECHO, but stops when it is cancelled and answers with an error */
    SIM_TWICE,          /* answers twice */
    SIM_ANSWER_AND_DIE, /* at once */
    SIM_TEAR,           /* dies with half an answer written */
    SIM_DIE,
    SIM_BABBLE, /* breaks the protocol */
    SIM_HANG,
    SIM_DEEDS
} sim_deed;

/* Who watches what happens. */
typedef struct sim_watch {
    void (*step)(void);  /* after everything that happens */
    void (*quiet)(void); /* before time passes */
    /* a request has been written to a worker that runs another one (then `busy`) or none; `type`:
     * the worker's first argument, NULL: none, or it is gone */
    void (*sent)(uint64_t token, const char *type, bool busy);
    void (*begun)(uint64_t token); /* its worker has read it */
    void (*answered)(uint64_t token, sim_deed deed);
    /* its worker has died, perhaps after reading it; by itself, or by others */
    void (*died)(uint64_t token, bool begun, bool by_itself);
    void (*told)(uint64_t tag, mu_err err, const mu_value *result); /* by mu_pool_submit_to */
} sim_watch;

/* A new world. */
void sim_begin(uint64_t seed, const sim_watch *watch);
/* Its end; every coroutine must have ended. Returns the number of ports that are left. */
int sim_end(void);
/* After the last of them: gives the stacks back. */
void sim_close(void);

int64_t sim_now(void); /* nanoseconds */
int sim_roll(int n);   /* 0 .. n-1 */
bool sim_percent(int share);

/* Ends when `steps` things have happened, or when it is `horizon`. */
void sim_run(int64_t horizon, int steps);
/* Until `done`; false: it was not within ten minutes. */
bool sim_run_until(bool (*done)(void));

/* ---- sim.c: coroutines -------------------------------------------------------------------- */

typedef struct sim_actor sim_actor;

/* As a thread that is no actor. */
void sim_thread(void (*body)(void *arg), void *arg);
/* An actor that is nothing but its body. */
mu_pid sim_spawn(void (*body)(void *arg), void *arg);
/* The calling coroutine sleeps until ready(arg) or the deadline. */
void sim_sleep(bool (*ready)(void *arg), void *arg, int64_t deadline);

/* What a request may ask for, most often an echo. */
sim_deed sim_some_deed(void);
/* Options for mu_pool_start. */
mu_pool_options sim_options(void);
/* A system for it. */
mu_system *sim_system(void);
/* How many of a hundred starts of a worker go wrong, and how many workers are ill from then on. */
void sim_set_trouble(int percent);
/* One of the living processes ends by SIGKILL; false: there is none. */
bool sim_kill_process(void);
/* A random worker's actor is killed. */
bool sim_kill_worker_actor(void);
/* An actor that is sent outcomes (sim_watch.told). */
mu_pid sim_somebody(void);
/* It dies, and another one takes its place. */
void sim_somebody_dies(void);

/* ---- between the files of this world ------------------------------------------------------ */

extern const sim_watch *sim_watcher;
extern const mu_sys *const sim_sys;

/* Something that happens at a time, by itself. Zero-initialise. */
typedef struct sim_event {
    int64_t at;
    void (*happen)(struct sim_event *event);
    bool set;
} sim_event;
void sim_event_set(sim_event *event, int64_t at);
void sim_event_unset(sim_event *event);

/* Some fd of this world may have become readable. */
void sim_fds_changed(void);

/* As the thread of an actor; NULL: of nobody. */
void sim_thread_of(sim_actor *actor, void (*body)(void *arg), void *arg);
/* The actor whose thread runs; NULL: none, or the I/O thread. */
sim_actor *sim_self(void);
/* It has been told to exit: what it waits for outside its mailbox ends. */
bool sim_told(const sim_actor *actor);
void sim_actors_begin(void);
void sim_actors_end(void);

void sim_ports_begin(void);
int sim_ports_left(void);
/* Bytes have been written to `fd`, perhaps a worker's. */
void sim_port_written(int fd, const void *data, size_t size);

#endif
