/* What a worker is confined to: each option as the kernel shows it, in every generation. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "pool/pool_rig.h"

/* The value of a line of /proc/PID/status, "" if it has none. */
static void status_of(int pid, const char *name, char *text, size_t size)
{
    char path[64], line[256];
    size_t length = strlen(name);
    (void)snprintf(path, sizeof path, "/proc/%d/status", pid);
    FILE *file = fopen(path, "re");
    mu_check(file != NULL);
    text[0] = '\0';
    while (fgets(line, sizeof line, file))
        if (strncmp(line, name, length) == 0 && line[length] == ':')
            (void)snprintf(text, size, "%.*s", (int)strcspn(line + length + 2, "\n"),
                           line + length + 2);
    (void)fclose(file);
}

static void check_status(pool_rig *rig, const char *name, const char *expected)
{
    char text[256];
    status_of(rig_worker(rig, 0).os_pid, name, text, sizeof text);
    mu_check_str(text, expected);
}

/* Ends the worker and waits for the one that comes after it. */
static void replace_worker(pool_rig *rig)
{
    int before = rig_worker(rig, 0).os_pid;
    mu_check_eq(kill(before, SIGKILL), 0);
    mu_wait_until(rig_worker(rig, 0).os_pid != before && rig_run(rig, "ping") == MU_OK, 20000);
}

MU_TEST(containment, umask_niceness_and_no_new_privs_hold_in_every_generation)
{
    pool_rig rig;
    rig_prepare(&rig, 1);
    int own = getpriority(PRIO_PROCESS, 0), nicer = own < 19 ? own + 1 : own;
    rig.options.umask = "0127";
    rig.options.nice = nicer;
    rig.options.no_new_privs = true;
    mu_check_ok(rig_open(&rig));
    for (int generation = 0; generation < 2; generation++) {
        if (generation > 0)
            replace_worker(&rig);
        check_status(&rig, "Umask", "0127");
        check_status(&rig, "NoNewPrivs", "1");
        mu_check_eq(getpriority(PRIO_PROCESS, (id_t)rig_worker(&rig, 0).os_pid), nicer);
    }
    mu_check_eq(getpriority(PRIO_PROCESS, 0), own);
    rig_stop(&rig);
}

MU_TEST(containment, what_is_not_asked_for_is_as_in_this_process)
{
    pool_rig rig;
    char umask_[16];
    rig_start(&rig, 1);
    status_of(getpid(), "Umask", umask_, sizeof umask_);
    check_status(&rig, "Umask", umask_);
    check_status(&rig, "NoNewPrivs", "0");
    mu_check_eq(getpriority(PRIO_PROCESS, (id_t)rig_worker(&rig, 0).os_pid),
                getpriority(PRIO_PROCESS, 0));
    rig_stop(&rig);
}

MU_TEST(containment, an_umask_of_0_is_one_that_was_asked_for)
{
    pool_rig rig;
    rig_prepare(&rig, 1);
    rig.options.umask = "0";
    mu_check_ok(rig_open(&rig));
    check_status(&rig, "Umask", "0000");
    rig_stop(&rig);
}
