/*
 * demo/process.h - the processes of this run, as the kernel shows them.
 *
 * Every process that muster starts carries MUSTER_RUN_ID in its environment, and so does whatever
 * those start. Who wants to know what is left of a run need not ask the library: /proc tells. The
 * same mark makes killing safe: a pid is only a number, which may have found another owner.
 *
 *     n = process_count(run_id);
 *     process_kill(worker.os_pid, run_id);
 *
 * Thread-safety: any thread. Ownership: nothing is kept.
 */
#ifndef DEMO_PROCESS_H
#define DEMO_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

/* Living processes that carry the run id, this one aside. Those of other users cannot be seen. */
int process_count(const char *run_id);

/* The same, looked at until there is none or `ms` have passed. */
int process_count_wait(const char *run_id, int ms);

/* SIGKILL, if this pid is a process of this run. */
bool process_kill(pid_t pid, const char *run_id);

#endif
