/*
 * port/tracking_impl.h - the inside of a mu__tracking: private to port/tracking.c, which writes it,
 * and to port/track_info.c, which reads it.
 *
 * Locks: `lock` guards table, counters and what waits to be written. Whoever has set `writing` has
 * the file, without the lock.
 */
#ifndef MU_PORT_TRACKING_IMPL_H
#define MU_PORT_TRACKING_IMPL_H

#include "base/buffer.h"
#include "base/fd.h"
#include "base/lock.h"
#include "port/track_sweep.h"
#include "port/tracking.h"

struct mu__tracking {
    mu_system *system;
    const mu_sys *sys;
    mu__track_record run;
    char *dir;  /* NULL: no file */
    int dir_fd; /* like fd, it may have been closed by the host, and is then opened again */
    mu__fd_id dir_id;
    char name[MU__WP_RUN_ID_MAX + 8];
    mu__track_swept swept;

    mu_lock lock;
    mu_tracked *items MU_GUARDED_BY(lock); /* the oldest first */
    size_t count MU_GUARDED_BY(lock), capacity MU_GUARDED_BY(lock);
    mu__buffer pending MU_GUARDED_BY(lock); /* lines on their way to the file */
    bool writing MU_GUARDED_BY(lock);       /* by one thread, without the lock; fd is its */
    bool rewrite MU_GUARDED_BY(lock);       /* the file lacks something, or is long */
    mu_tracking_stats stats MU_GUARDED_BY(lock);

    int fd; /* with the lock of the file; the writer's */
    mu__fd_id id;
};

#endif
