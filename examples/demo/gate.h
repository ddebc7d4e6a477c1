/*
 * demo/gate.h - how many submitted requests are under way.
 *
 * Who submits faster than the workers answer only fills the pool's queue. A gate lets the submitter
 * keep a bounded number under way and wait for the rest.
 *
 *     gate_enter(&gate);                        before mu_pool_submit
 *     gate_leave(&gate);                        last thing in its callback
 *     gate_wait(&gate, 16, 50);                 until 16 or fewer are under way, or 50 ms
 *
 * Thread-safety: any thread. Ownership: it must outlive the callbacks, so wait for 0 at the end.
 */
#ifndef DEMO_GATE_H
#define DEMO_GATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct gate {
    pthread_mutex_t lock;
    pthread_cond_t fewer;
    int under_way; /* guarded by lock */
} gate;

void gate_init(gate *g);
void gate_deinit(gate *g);

void gate_enter(gate *g);
void gate_leave(gate *g);

/* Waits until at most `most` are under way; false if `ms` have passed before. */
bool gate_wait(gate *g, int most, int64_t ms);

#endif
