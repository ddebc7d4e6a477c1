/* The kernel's count of processes that it killed for want of memory (port/oom.h). Called by port.c.
 */
#include "port/oom.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VMSTAT_MAX 16384 /* it has 4 KiB here */

int64_t mu__oom_kills(const mu_sys *sys)
{
    char text[VMSTAT_MAX];
    size_t used = 0;
    int fd = sys->open("/proc/vmstat", O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return MU__OOM_UNKNOWN;
    ssize_t n = 1;
    while (n != 0 && used < sizeof text - 1) {
        n = sys->read(fd, text + used, sizeof text - 1 - used);
        if (n < 0 && errno != EINTR)
            break;
        used += n > 0 ? (size_t)n : 0;
    }
    (void)close(fd);
    text[used] = '\0';
    return mu__oom_parse(text);
}

int64_t mu__oom_parse(const char *text)
{
    const char key[] = "\noom_kill ", *at = strstr(text, key);
    char *end;
    if (!at)
        return MU__OOM_UNKNOWN;
    errno = 0;
    long long kills = strtoll(at + sizeof key - 1, &end, 10);
    return errno == 0 && *end == '\n' && kills >= 0 ? kills : MU__OOM_UNKNOWN;
}

bool mu__oom_rose(int64_t before, int64_t now)
{
    return before != MU__OOM_UNKNOWN && now > before;
}
