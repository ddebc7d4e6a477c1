/*
 * warden/cleanup.h - nothing is left behind.
 *
 * Three strokes, each catching what the one before lets through:
 *   the group    kill(-pid), while its leader is unreaped: everything that stayed in the session
 *   the tree     what descends from a child by /proc, each one by pidfd: what called setsid
 *   the mark     the warden is a subreaper, so whatever outlives its parents falls to it; a
 * stranger among its children that carries the mark of a child that is gone is a left-over. A
 * process that scrubbed its environment carries no mark: the tree as walked at the stop covers it,
 * and at the end of the system everything goes, marked or not. (A worker that a fork server made
 * has written its own mark over that of the server, for itself and what it forks.)
 *
 * Processes can fork while they are being listed. So nothing here believes one pass: a pass kills
 * what it sees, every death falls to the warden, and each reaping leads to the next pass.
 *
 * Thread-safety: none. Ownership: none.
 */
#ifndef MU_WARDEN_CLEANUP_H
#define MU_WARDEN_CLEANUP_H

#include "warden/children.h"
#include "warden/forks.h"

/* Signals the whole tree of a running child, its group included. Returns how many were reached. */
size_t cleanup_tree(const child *root, int sig);

/*
 * Kills strangers whose mark belongs to this run and to no running child, nor to one that a fork
 * server is making. After every reaping.
 * True: there are strangers whose mark could not be seen; look again in a moment. A process in the
 * middle of execve has, for that moment, no environment to be read (one in six was caught in it
 * here), and a left-over that is overlooked then would stay, for no further death leads to it.
 */
bool cleanup_strangers(children *c, const forks *f, const char *run_id);

/*
 * Kills everything that descends from the warden and reaps it; returns when nothing is left. It
 * waits as long as that takes: a process that cannot die yet (disk sleep) keeps its reaper. `sigfd`
 * wakes it on SIGCHLD. The exits stay in the table.
 */
void cleanup_everything(children *c, int sigfd);

#endif
