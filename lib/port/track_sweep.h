/*
 * port/track_sweep.h - what earlier systems left in a tracking directory, and what of it has to go.
 *
 * A file is abandoned when nobody holds its lock, or when its host is known to be dead (a forked
 * copy of a host keeps the lock). Then what it leads to is killed: processes with recorded pid and
 * start time and all that descends from them, and processes with the run id in their environment.
 * The warden of that run, if it hangs, is one of the latter; its children follow it.
 *
 *     file of                           lock free           lock held
 *     a run that we are a part of       leave               leave
 *     unreadable                        kill by mark        leave
 *     another boot                      remove              leave
 *     another pid namespace             leave               leave
 *     host dead                         kill, remove        kill, remove
 *     host alive (or its pid reused)    kill, remove        leave
 *
 * Never followed and never removed is what this system could not have made: links, pipes, files of
 * other owners, with other names or open to others. A process is never known by its number alone,
 * and signals go through pidfds, so that a stranger with a recorded pid lives.
 *
 * Thread-safety: any thread, but it takes its time: some passes over /proc if, and only if, there
 * is an abandoned file. Ownership: the directory's fd is borrowed.
 */
#ifndef MU_PORT_TRACK_SWEEP_H
#define MU_PORT_TRACK_SWEEP_H

#include <muster/event.h>

#include "base/sys.h"
#include "port/track_record.h"

#define MU__TRACK_SUFFIX ".run"
#define MU__TRACK_NEW    ".new" /* being written; its name begins with the pid of its writer */

typedef struct mu__track_swept {
    uint64_t files, processes, refused;
} mu__track_swept;

/*
 * `here`: of the boot and namespace that this process is in. Events say what is done. MU_ESYS +
 * errno if the directory cannot be listed; a file that cannot be looked at is refused and stays.
 */
mu_err mu__track_sweep(const mu_sys *sys, int dir_fd, const mu__track_run *here,
                       const mu_event_hook *hook, mu__track_swept *ret_swept);

/* What is known about a file, and what is to be done with it: the table above. */
typedef struct mu__track_signs {
    bool own, locked, readable, same_boot, same_namespace, host_alive;
} mu__track_signs;
typedef enum mu__track_verdict {
    MU__TRACK_LEAVE,
    MU__TRACK_REMOVE,
    MU__TRACK_KILL
} mu__track_verdict;
mu__track_verdict mu__track_judge(const mu__track_signs *signs);

/* Is this open file one that a system of this user could have made? Else *ret_why says why not. */
bool mu__track_is_ours(int fd, const char **ret_why);

/* Reads a file, 16 MiB at most, into a block that is the caller's to free(). NULL: it cannot be. */
char *mu__track_read(const mu_sys *sys, int fd, size_t *ret_size);

#endif
