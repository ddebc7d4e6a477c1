/*
 * support/process.h - the floor's processes: a worker as a bare program would start it.
 *
 * What muster's starting is measured against: two pipes, one posix_spawn, and nobody who watches.
 * So that floor and measured side run the same command, the command is read from a worker of the
 * pool
 * (/proc tells its arguments and environment) instead of being guessed. No libmuster code in here.
 *
 *     bench_command *command = bench_command_of(worker_pid);
 *     bench_child_start(&child, command);
 *     ... child.to, child.from ...
 *     bench_child_stop(&child);
 *
 * Thread-safety: one thread per child and command. Ownership: the caller owns children and
 * commands. Failures end the benchmark: there is nothing to measure then.
 */
#ifndef BENCH_PROCESS_H
#define BENCH_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* NULL-terminated vectors; their texts lie in the two blocks. */
typedef struct bench_command {
    char **argv, **envp;
    char *argv_block, *envp_block;
} bench_command;

/* What the process `pid` was started with, its run id left out: the warden looks for those. */
bench_command *bench_command_of(pid_t pid);

/* The same environment with other arguments; `argv` is copied. */
bench_command *bench_command_like(const bench_command *like, const char *const *argv);

void bench_command_free(bench_command *command);

typedef struct bench_child {
    pid_t pid;
    int to, from; /* the ends of the pipes that it has as fd 3 and fd 4 */
} bench_child;

/* Returns when the process exists: in its own session, with /dev/null as 0, 1 and 2. */
void bench_child_start(bench_child *ret_child, const bench_command *command);

/* Kills, waits, closes. */
void bench_child_stop(bench_child *child);

/*
 * A bare fork server, a program that is told on its fd 3, a socket of packets, to fork: each packet
 * carries the two ends of pipes that the child gets as fd 3 and fd 4. On its fd 4 it says that it
 * is ready, by a byte, and then the pid of each child. start returns when it is ready; ask returns
 * at once, and `pid` is 0 until name has read it, in the order of asking; stop returns when the
 * server has killed and reaped its children, whose pipes are the caller's to close.
 */
void bench_server_start(bench_child *ret_server, const bench_command *command);
void bench_server_ask(const bench_child *server, bench_child *ret_child);
void bench_server_name(const bench_child *server, bench_child *child);
void bench_server_stop(bench_child *server);

/* Processor time that a process has used so far, in nanoseconds; 0 if there is none such. */
int64_t bench_cpu_ns(pid_t pid);

/* Its parent, or 0. */
pid_t bench_parent_of(pid_t pid);

/* Runs a program and hands over each line that it prints, without its end; none if it cannot run.
 */
void bench_read_lines(const char *const *argv, void (*each)(void *ctx, const char *line),
                      void *ctx);

/* The last of these lines; "" if there is none. */
void bench_last_line(const char *const *argv, char *line, size_t size);

/* Puts the calling thread, and all that it starts from then on, on one processor; or back on all.
 */
void bench_pin(bool one);

#endif
