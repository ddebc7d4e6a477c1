/*
 * port/tracking.h - who is alive, in memory and in a file that outlives host and warden.
 *
 * Why a file. While host or warden lives, one of them kills what the system has started. If both
 * are killed at once, the kernel still kills the workers (PDEATHSIG); what the workers themselves
 * have started in sessions of their own has nobody left. So each system keeps a file, and whoever
 * starts a system in the same directory next kills what an abandoned file leads to: the processes
 * that it names, and everything that carries its run id (track_sweep.h).
 *
 * Why the host writes it. The warden hears of births and deaths first, but it must never wait for a
 * disk: a full or frozen one would keep it from killing. It may also be killed and replaced, which
 * would make the file change hands; and only the host knows workers and actors, and whom to tell
 * that a write failed. What the host's later word costs is nothing: between a birth and its line
 * stands only a process that dies with the warden, and whose mark leads to its offspring anyway,
 * since the run's line is in the file before the first warden is launched.
 *
 * Who waits for the disk, then: the thread that starts a process, never the I/O thread. It hears of
 * deaths, notes them, and the next birth takes them to the file; a name too many in it is harmless,
 * for pid and start time are compared before anything is done. A thread that finds another one
 * writing leaves its line to that.
 *
 * How it is safe against being killed at any moment, and a full disk: lines are appended whole,
 * each with a checksum; a line that came out short is cut off again. When the file has become long,
 * or a write has failed, all of it is written anew under another name, locked, and renamed: there
 * is the old file or the new one. No fsync: what could lose a written page is the machine's end,
 * which ends the processes too, and then the boot id is another.
 *
 * Each system has a file of its own, RUN_ID.run, and holds a lock on it as long as it lives. So two
 * systems in one directory never meet.
 *
 * Thread-safety: any thread. Ownership: the warden handle's (warden.c), which opens it before the
 * first process and closes it after the last.
 */
#ifndef MU_PORT_TRACKING_H
#define MU_PORT_TRACKING_H

#include <muster/actor.h>
#include <muster/tracking.h>

#include "port/track_record.h"

typedef struct mu__tracking mu__tracking;

/*
 * Takes the directory of the options, sweeps it, makes the file. A directory that was named and
 * cannot be used refuses the start, with a reason: MU_EINVAL, MU_ESYS + errno; the default one is
 * then done without ("tracking.failed"). MU_ENOMEM. Blocks.
 */
mu_err mu__tracking_open(mu_system *system, const char *run_id, mu__tracking **ret_tracking,
                         mu_error *ret_error);

/*
 * The system has stopped; births are not written any more. `clean`: nothing is left, so the file
 * goes; otherwise it stays for the next start.
 */
void mu__tracking_close(mu__tracking *tracking, bool clean);
/* NULL is allowed. */
void mu__tracking_free(mu__tracking **take_tracking);

/* A process lives. Blocks for a write; not from the I/O thread. */
void mu__tracking_born(mu__tracking *tracking, const mu__track_child *child, mu_pid actor);

/* It has been reaped; unknown ones are ignored. Never blocks. */
void mu__tracking_gone(mu__tracking *tracking, uint64_t serial);

#endif
