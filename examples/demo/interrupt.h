/*
 * demo/interrupt.h - Ctrl-C, without a signal handler.
 *
 * The library leaves signals to its host, so this host decides: SIGINT, SIGTERM and SIGHUP are
 * blocked in every thread and one thread waits for them. The first raises a flag, which the acts
 * look at between two steps, and has a function called in a thread of its own, which ends what they
 * wait for. The second ends the program on the spot, and muster-warden sees to it that nothing
 * stays behind.
 *
 *     interrupt_watch(stop, ctx);   first thing in main: threads inherit the mask
 *     while (!interrupted()) ...
 *     interrupt_end();
 *
 * Thread-safety: interrupted() from any thread; the others from main's.
 */
#ifndef DEMO_INTERRUPT_H
#define DEMO_INTERRUPT_H

#include <stdbool.h>

/*
 * False if the watching thread could not be started. A signal that is ignored stays ignored.
 * `on_first` may block.
 */
bool interrupt_watch(void (*on_first)(void *ctx), void *ctx);

/* The signal that came, 0 if none did. */
int interrupted(void);

/* Waits for `on_first`, if it has been called. */
void interrupt_end(void);

#endif
