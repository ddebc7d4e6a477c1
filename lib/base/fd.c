/* Which file an fd means (base/fd.h). Called by runtime/io.c and by port, for fds kept for long. */
#include "base/fd.h"

#include <sys/stat.h>
#include <unistd.h>

mu__fd_id mu__fd_id_of(int fd)
{
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0)
        return (mu__fd_id){.known = false};
    return (mu__fd_id){st.st_dev, st.st_ino, st.st_mode & S_IFMT, true};
}

bool mu__fd_is(int fd, const mu__fd_id *id)
{
    mu__fd_id now = mu__fd_id_of(fd);
    return now.known && id->known && now.device == id->device && now.inode == id->inode &&
           now.type == id->type;
}

void mu__fd_close(int *fd, const mu__fd_id *id)
{
    if (mu__fd_is(*fd, id))
        (void)close(*fd);
    *fd = -1;
}
