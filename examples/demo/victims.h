/*
 * demo/victims.h - the workers that are killed while they work, and how soon they are back.
 *
 * A look now and then, between two steps of the job, is all there is: when its progress has reached
 * the next mark a busy worker is chosen and killed, and one that was killed is looked for until its
 * next generation serves.
 *
 *     victims_init(&victims, kill, seed);
 *     victims_look(&victims, demo, progress);       often
 *     victims_await(&victims, demo, 10000);         at the end
 *
 * Thread-safety: main's thread. Ownership: nothing is kept.
 */
#ifndef DEMO_VICTIMS_H
#define DEMO_VICTIMS_H

#include "demo.h"

typedef struct victim {
    char worker[32];
    int os_pid;
    uint32_t generation;
    int new_pid;        /* of the next generation, 0 until it serves */
    int64_t restart_ns; /* from its death to the ready of the next generation */
} victim;

typedef struct victims {
    int wanted;
    int killed;
    int back;
    uint64_t random;
    victim list[KILL_MAX];
} victims;

void victims_init(victims *v, int wanted, uint64_t seed);

/* `progress` of the job, 0..1: the kills are spread over it. */
void victims_look(victims *v, demo *d, double progress);

/* Whether it was us who killed this process. */
bool victims_have(const victims *v, int os_pid);

/* Looks until all are back; false if `ms` have passed before. */
bool victims_await(victims *v, demo *d, int ms);

json_t *victims_json(const victims *v);

#endif
