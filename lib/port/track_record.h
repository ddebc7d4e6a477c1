/*
 * port/track_record.h - the lines of a tracking file.
 *
 * A tracking file says which processes a system has, so that the next start finds what a killed
 * host and a killed warden could leave (port/tracking.h). Lines of text, because the one who has
 * to trust it may read it with cat; a checksum in each, because its writer may be killed between
 * any two bytes:
 *
 *     run 1 4711-0f..9a boot=5e3c..-.. ns=4026531836 host=4711.88213 #7a02c1fe
 *     born 1 pid=4713.88220 gen=1 actor=3.1 id=worker_1 #19ce00d4
 *     gone 1 #c1d38ee0
 *
 * The first line names the run: its id, the boot and the pid namespace in which its numbers mean
 * something, its host. `born` names a process by the number of its mark (MUSTER_CHILD), pid and
 * start time, whose actor owned it and under which id; `gone` says that it has been reaped. A
 * number with a dot is a pid and its start time, or an actor's slot and generation.
 *
 * What follows a line that is cut, or does not match its checksum, has never been written: the
 * reader stops there.
 *
 *     size_t at = 0;
 *     while (mu__track_next(data, size, &at, &record)) ...      // `at`: how much was good
 *
 * Thread-safety: pure functions; nothing is allocated. Ownership: none.
 */
#ifndef MU_PORT_TRACK_RECORD_H
#define MU_PORT_TRACK_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/warden_proto.h"

#define MU__TRACK_VERSION  1u
#define MU__TRACK_LINE_MAX 256u /* with its newline */
#define MU__TRACK_BOOT_MAX 40u  /* with terminator */
#define MU__TRACK_ID_MAX   32u  /* with terminator */

typedef enum mu__track_kind { MU__TRACK_RUN, MU__TRACK_BORN, MU__TRACK_GONE } mu__track_kind;

typedef struct mu__track_run {
    char run_id[MU__WP_RUN_ID_MAX];
    char boot_id[MU__TRACK_BOOT_MAX];
    uint64_t pid_ns; /* inode of the pid namespace */
    int32_t host_pid;
    uint64_t host_start;
} mu__track_run;

typedef struct mu__track_child {
    uint64_t serial;
    int32_t pid;
    uint64_t start; /* clock ticks after boot */
    uint32_t generation;
    uint32_t actor_slot, actor_generation;
    char id[MU__TRACK_ID_MAX];
} mu__track_child;

typedef struct mu__track_record {
    mu__track_kind kind;
    mu__track_run run;     /* RUN */
    mu__track_child child; /* BORN; of GONE the serial */
} mu__track_record;

/*
 * Writes one line, newline included and no terminator; returns its size. Spaces and what is not
 * printable in ids become '?'.
 */
size_t mu__track_format(const mu__track_record *record, char line[MU__TRACK_LINE_MAX]);

/*
 * Reads the line at *offset and moves it behind that. False, and nothing moved: the end, or a line
 * that is cut, damaged, too long or of another version.
 */
bool mu__track_next(const char *data, size_t size, size_t *offset, mu__track_record *ret_record);

/* Is this the run id of a muster system, as far as one can see? Files are named after it. */
bool mu__track_is_run_id(const char *text);

#endif
