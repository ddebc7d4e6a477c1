/*
 * support/process: see process.h. Called by the benchmarks; it calls the system alone.
 */
#include "support/process.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support/report.h"

#define REQUEST_FD 3
#define ANSWER_FD  4
#define FIRST_FREE 10 /* pipes lie above, so that dup2 onto 3 and 4 treads on none of them */
#define RUN_ID     "MUSTER_RUN_ID="

static void *allocate(size_t size)
{
    void *block = calloc(1, size);
    if (block == NULL)
        bench_die("out of memory");
    return block;
}

/* ---- commands ---------------------------------------------------------------------------------
 */

/* A file of /proc with a zero behind each text; `ret_size` counts them. */
static char *read_texts(pid_t pid, const char *what, size_t *ret_size)
{
    char path[64];
    size_t size = 0, room = 65536;
    char *block = allocate(room);
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, what);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        bench_die("%s: %s", path, strerror(errno));
    for (ssize_t got; (got = read(fd, block + size, room - size - 1)) > 0;) {
        size += (size_t)got;
        if (room - size < 2) {
            room *= 2;
            block = realloc(block, room);
            if (block == NULL)
                bench_die("out of memory");
        }
    }
    close(fd);
    *ret_size = size;
    return block;
}

/* The texts of a block as a vector, without those that begin with `unwanted`. */
static char **vector_of(char *block, size_t size, const char *unwanted)
{
    size_t count = 0, n = 0;
    for (size_t i = 0; i < size; i++)
        count += block[i] == '\0';
    char **vector = allocate((count + 1) * sizeof *vector);
    for (char *text = block; text < block + size; text += strlen(text) + 1)
        if (unwanted == NULL || strncmp(text, unwanted, strlen(unwanted)) != 0)
            vector[n++] = text;
    return vector;
}

static void append(char **block, size_t *size, const char *text)
{
    size_t length = strlen(text) + 1;
    *block = realloc(*block, *size + length);
    if (*block == NULL)
        bench_die("out of memory");
    memcpy(*block + *size, text, length);
    *size += length;
}

bench_command *bench_command_of(pid_t pid)
{
    size_t size;
    bench_command *command = allocate(sizeof *command);
    command->argv_block = read_texts(pid, "cmdline", &size);
    command->argv = vector_of(command->argv_block, size, NULL);
    command->envp_block = read_texts(pid, "environ", &size);
    command->envp = vector_of(command->envp_block, size, RUN_ID);
    if (command->argv[0] == NULL)
        bench_die("process %d has no command line", (int)pid);
    return command;
}

bench_command *bench_command_like(const bench_command *like, const char *const *argv)
{
    size_t size = 0;
    bench_command *command = allocate(sizeof *command);
    for (; *argv != NULL; argv++)
        append(&command->argv_block, &size, *argv);
    command->argv = vector_of(command->argv_block, size, NULL);
    size = 0;
    for (char *const *variable = like->envp; *variable != NULL; variable++)
        append(&command->envp_block, &size, *variable);
    command->envp = vector_of(command->envp_block, size, NULL);
    return command;
}

void bench_command_free(bench_command *command)
{
    if (command == NULL)
        return;
    free(command->argv);
    free(command->envp);
    free(command->argv_block);
    free(command->envp_block);
    free(command);
}

/* ---- children ---------------------------------------------------------------------------------
 */

static void make_pipe(int *ret_read, int *ret_write)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        bench_die("pipe: %s", strerror(errno));
    *ret_read = fcntl(ends[0], F_DUPFD_CLOEXEC, FIRST_FREE);
    *ret_write = fcntl(ends[1], F_DUPFD_CLOEXEC, FIRST_FREE);
    if (*ret_read < 0 || *ret_write < 0)
        bench_die("fcntl: %s", strerror(errno));
    close(ends[0]);
    close(ends[1]);
}

/* `take_reads` and `take_writes` become the child's. */
static pid_t spawn(const bench_command *command, int take_reads, int take_writes)
{
    pid_t pid;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    posix_spawn_file_actions_adddup2(&actions, take_reads, REQUEST_FD);
    posix_spawn_file_actions_adddup2(&actions, take_writes, ANSWER_FD);
    /* A worker leads a session of its own, and sessions are what the scheduler may share time by.
     */
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
    int error =
        posix_spawnp(&pid, command->argv[0], &actions, &attributes, command->argv, command->envp);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    close(take_reads);
    close(take_writes);
    if (error != 0)
        bench_die("%s: %s", command->argv[0], strerror(error));
    return pid;
}

void bench_child_start(bench_child *ret_child, const bench_command *command)
{
    int reads, writes;
    make_pipe(&reads, &ret_child->to);
    make_pipe(&ret_child->from, &writes);
    ret_child->pid = spawn(command, reads, writes);
}

void bench_child_stop(bench_child *child)
{
    kill(child->pid, SIGKILL);
    while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    close(child->to);
    close(child->from);
    *child = (bench_child){0, -1, -1};
}

/* ---- a bare fork server -----------------------------------------------------------------------
 */

void bench_server_start(bench_child *ret_server, const bench_command *command)
{
    char ready;
    int writes, ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        bench_die("socketpair: %s", strerror(errno));
    ret_server->to = ends[0];
    make_pipe(&ret_server->from, &writes);
    int reads = fcntl(ends[1], F_DUPFD_CLOEXEC, FIRST_FREE);
    close(ends[1]);
    ret_server->pid = spawn(command, reads, writes);
    if (read(ret_server->from, &ready, 1) != 1)
        bench_die("the bare fork server has ended before it was ready");
}

void bench_server_ask(const bench_child *server, bench_child *ret_child)
{
    char byte = 'f';
    int theirs[2];
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof theirs)];
    } control = {.bytes = {0}};
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    make_pipe(&theirs[0], &ret_child->to);
    make_pipe(&ret_child->from, &theirs[1]);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof theirs);
    memcpy(CMSG_DATA(rights), theirs, sizeof theirs);
    if (sendmsg(server->to, &message, MSG_NOSIGNAL) != 1)
        bench_die("the bare fork server does not listen: %s", strerror(errno));
    close(theirs[0]);
    close(theirs[1]);
    ret_child->pid = 0;
}

void bench_server_name(const bench_child *server, bench_child *child)
{
    int32_t pid;
    if (read(server->from, &pid, sizeof pid) != sizeof pid)
        bench_die("the bare fork server has ended");
    child->pid = pid;
}

void bench_server_stop(bench_child *server)
{
    char byte;
    shutdown(server->to, SHUT_WR);
    while (read(server->from, &byte, 1) > 0)
        ;
    bench_child_stop(server);
}

/* ---- looking ----------------------------------------------------------------------------------
 */

int64_t bench_cpu_ns(pid_t pid)
{
    clockid_t clock;
    struct timespec used;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) != 0)
        return 0;
    return (int64_t)used.tv_sec * 1000000000 + used.tv_nsec;
}

pid_t bench_parent_of(pid_t pid)
{
    char path[64], text[512] = "";
    int parent = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return 0;
    /* pid (name) state parent …; the name may hold anything, also a parenthesis. */
    const char *behind_name = fgets(text, sizeof text, file) ? strrchr(text, ')') : NULL;
    if (behind_name == NULL || sscanf(behind_name, ") %*c %d", &parent) != 1)
        parent = 0;
    fclose(file);
    return parent;
}

void bench_read_lines(const char *const *argv, void (*each)(void *ctx, const char *line), void *ctx)
{
    int out[2];
    pid_t pid;
    char line[256];
    posix_spawn_file_actions_t actions;
    if (pipe2(out, O_CLOEXEC) != 0)
        bench_die("pipe: %s", strerror(errno));
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    int error = posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(out[1]);
    FILE *file = fdopen(out[0], "r");
    if (file == NULL)
        bench_die("fdopen: %s", strerror(errno));
    while (error == 0 && fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        each(ctx, line);
    }
    fclose(file);
    if (error == 0)
        waitpid(pid, NULL, 0);
}

typedef struct text {
    char *at;
    size_t size;
} text;

static void keep_text(void *ctx, const char *line)
{
    text *kept = ctx;
    snprintf(kept->at, kept->size, "%s", line);
}

void bench_last_line(const char *const *argv, char *line, size_t size)
{
    line[0] = '\0';
    bench_read_lines(argv, keep_text, &(text){line, size});
}

void bench_pin(bool one)
{
    static cpu_set_t all;
    static bool known;
    cpu_set_t set;
    if (!known) {
        known = true;
        sched_getaffinity(0, sizeof all, &all);
    }
    set = all;
    if (one) {
        /* The last one: the first serves most interrupts. */
        int cpu = CPU_SETSIZE - 1;
        while (cpu > 0 && !CPU_ISSET(cpu, &all))
            cpu--;
        CPU_ZERO(&set);
        CPU_SET(cpu, &set);
    }
    if (sched_setaffinity(0, sizeof set, &set) != 0)
        bench_die("sched_setaffinity: %s", strerror(errno));
}
