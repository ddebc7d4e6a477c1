/*
 * base/fd.h - an fd that is known by more than its number
 *
 * A library's fds can be closed behind its back: by a host that becomes a daemon and closes all
 * above 2, or closes a number twice. The number may then mean a file of the host's, into which
 * nothing may be written, and which must not be closed. So whoever keeps an fd for long remembers
 * which file it was, and looks before uses that are rare; a look costs a system call.
 *
 *     mu__fd_id id = mu__fd_id_of(fd);
 *     ...
 *     if (mu__fd_is(fd, &id))
 *         write(fd, ...);
 *     mu__fd_close(&fd, &id);
 *
 * Pipes, sockets, files and (since Linux 6.9) pidfds are told apart with certainty. All eventfds,
 * epolls and timerfds of a machine share one inode, so of these it is only known that the number
 * still means one of their kind.
 *
 * Thread-safety: any thread. Between look and use the file may change hands all the same.
 */
#ifndef MU_BASE_FD_H
#define MU_BASE_FD_H

#include <stdbool.h>
#include <sys/types.h>

typedef struct mu__fd_id {
    dev_t device;
    ino_t inode;
    mode_t type;
    bool known;
} mu__fd_id;

/* What the number means now; not known if nothing is open there. */
mu__fd_id mu__fd_id_of(int fd);

/* It means the same still. False for -1 and for what was not known. */
bool mu__fd_is(int fd, const mu__fd_id *id);

/* Closes it if it is that one still; sets it to -1. */
void mu__fd_close(int *fd, const mu__fd_id *id);

#endif
