/*
 * muster/tracking.h - the register of a system's processes.
 *
 * Which OS process belongs to which worker and which actor; and, if the system has a tracking
 * directory, a file that says so to whoever comes later: the next system that is started with the
 * same directory kills what this one left behind, if its host and its warden were killed together,
 * and nothing else. doc/processes.md tells the whole of it.
 *
 *     mu_tracked *processes;
 *     size_t count;
 *     mu_tracking_list(system, &processes, &count);
 *     for (size_t i = 0; i < count; i++)
 *         printf("%s: pid %d\n", processes[i].worker, processes[i].os_pid);
 *     free(processes);
 *
 * Thread-safety: any thread, until the system is being stopped. Ownership: values; lists are one
 * block, the caller's to free().
 */
#ifndef MUSTER_TRACKING_H
#define MUSTER_TRACKING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <muster/actor.h>
#include <muster/decls.h>
#include <muster/error.h>

MU_BEGIN_DECLS

/* One process that has been started and not been reaped. */
typedef struct mu_tracked {
    uint64_t serial;     /* of its mark: MUSTER_CHILD is the run id, a dot and this */
    int os_pid;          /* with start_time: its identity */
    uint64_t start_time; /* field 22 of /proc/PID/stat: clock ticks after boot */
    char worker[32];     /* its id, as MUSTER_WORKER_ID says it */
    uint32_t generation;
    mu_pid actor; /* that started it */
} mu_tracked;

/* What all of them have in common. */
typedef struct mu_tracking_info {
    char run_id[64];
    char boot_id[40]; /* "" if /proc does not tell */
    uint64_t pid_namespace;
    int host_pid;
    uint64_t host_start_time;
    int warden_pid; /* 0 while there is none */
    char file[256]; /* "" without a tracking directory; a longer path is cut */
} mu_tracking_info;

typedef struct mu_tracking_stats {
    size_t tracked;      /* at the moment */
    uint64_t born, gone; /* since the start */
    uint64_t file_bytes;
    uint64_t appends, rewrites; /* of the file */
    uint64_t write_errors;      /* tracking.failed was emitted for each */
    /*
     * What earlier systems had left in the directory, as found at the start: files, and processes
     * that were not yet dead, those included that their warden's end was just killing.
     */
    uint64_t swept_files, swept_processes;
    uint64_t refused_files; /* links, pipes, files of others: left alone */
} mu_tracking_stats;

/* What a comparison with /proc and with the file has shown. */
typedef struct mu_tracking_report {
    size_t alive;
    size_t ending;      /* zombies: dead, and about to be reaped */
    size_t missing;     /* no such process: its end is on its way here */
    size_t foreign;     /* the pid is another process's by now: likewise */
    bool file_ok;       /* the file is whole and names every process; true without a file */
    size_t file_living; /* processes that it names */
    size_t file_torn;   /* bytes behind its last whole line */
} mu_tracking_report;

/* All tracked processes, the oldest first. MU_ENOTSUP in a system without children, MU_ENOMEM,
 * MU_EFORKED; MU_EINVAL, here as below: a NULL. */
mu_err mu_tracking_list(mu_system *system, mu_tracked **ret_list, size_t *ret_count);

/* The process with this OS pid. MU_ENOTFOUND; MU_ENOTSUP, MU_EFORKED. */
mu_err mu_tracking_find(mu_system *system, int os_pid, mu_tracked *ret_tracked);

/* MU_ENOTSUP, MU_EFORKED. */
mu_err mu_tracking_info_get(mu_system *system, mu_tracking_info *ret_info);
mu_err mu_tracking_stats_get(mu_system *system, mu_tracking_stats *ret_stats);

/*
 * Looks each tracked process up in /proc, and reads the file again. MU_ENOTSUP, MU_EFORKED,
 * MU_ENOMEM. Blocks for some reads.
 */
mu_err mu_tracking_validate(mu_system *system, mu_tracking_report *ret_report);

MU_END_DECLS

#endif
