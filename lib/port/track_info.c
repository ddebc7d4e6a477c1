/*
 * What the register of processes tells, and whether it is true (muster/tracking.h). Called by
 * users; reads what tracking.c has written, /proc, and the file.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/proc.h"
#include "port/tracking_impl.h"
#include "port/warden.h"
#include "runtime/runtime.h"

static mu_err tracking_of(mu_system *system, const void *ret_answer, mu__tracking **ret_tracking)
{
    if (!system || !ret_answer)
        return MU_EINVAL;
    mu_err err = mu__usable(system);
    if (err == MU_EFORKED)
        return err;
    mu__warden *warden = mu__warden_of(system);
    if (!warden)
        return MU_ENOTSUP;
    *ret_tracking = mu__warden_tracking(warden);
    return MU_OK;
}

mu_err mu_tracking_list(mu_system *system, mu_tracked **ret_list, size_t *ret_count)
{
    mu__tracking *t;
    mu_err err = tracking_of(system, ret_count ? ret_list : NULL, &t);
    if (err != MU_OK)
        return err;
    mu_lock_acquire(&t->lock);
    mu_tracked *list = t->sys->alloc((t->count + 1) * sizeof *list);
    if (list) {
        if (t->count > 0)
            memcpy(list, t->items, t->count * sizeof *list);
        *ret_list = list;
        *ret_count = t->count;
    }
    mu_lock_release(&t->lock);
    return list ? MU_OK : MU_ENOMEM;
}

mu_err mu_tracking_find(mu_system *system, int os_pid, mu_tracked *ret_tracked)
{
    mu__tracking *t;
    mu_err err = tracking_of(system, ret_tracked, &t);
    if (err != MU_OK)
        return err;
    err = MU_ENOTFOUND;
    mu_lock_acquire(&t->lock);
    for (size_t i = 0; i < t->count && err != MU_OK; i++) {
        if (t->items[i].os_pid == os_pid) {
            *ret_tracked = t->items[i];
            err = MU_OK;
        }
    }
    mu_lock_release(&t->lock);
    return err;
}

mu_err mu_tracking_info_get(mu_system *system, mu_tracking_info *ret_info)
{
    mu__tracking *t;
    mu_err err = tracking_of(system, ret_info, &t);
    if (err != MU_OK)
        return err;
    const mu__track_run *run = &t->run.run;
    mu_tracking_info info = {.pid_namespace = run->pid_ns,
                             .host_pid = run->host_pid,
                             .host_start_time = run->host_start,
                             .warden_pid = mu__warden_pid(mu__warden_of(system))};
    (void)snprintf(info.run_id, sizeof info.run_id, "%s", run->run_id);
    (void)snprintf(info.boot_id, sizeof info.boot_id, "%s", run->boot_id);
    if (t->dir)
        (void)snprintf(info.file, sizeof info.file, "%s/%s", t->dir, t->name);
    *ret_info = info;
    return MU_OK;
}

mu_err mu_tracking_stats_get(mu_system *system, mu_tracking_stats *ret_stats)
{
    mu__tracking *t;
    mu_err err = tracking_of(system, ret_stats, &t);
    if (err != MU_OK)
        return err;
    mu_lock_acquire(&t->lock);
    *ret_stats = t->stats;
    ret_stats->tracked = t->count;
    mu_lock_release(&t->lock);
    ret_stats->swept_files = t->swept.files;
    ret_stats->swept_processes = t->swept.processes;
    ret_stats->refused_files = t->swept.refused;
    return MU_OK;
}

static void compare_with_proc(const mu_tracked *item, mu_tracking_report *report_)
{
    mu__proc_stat st;
    if (mu__proc_read_stat(item->os_pid, &st) != MU_OK)
        report_->missing++;
    else if (st.start != item->start_time)
        report_->foreign++;
    else if (mu__proc_has_ended(&st))
        report_->ending++;
    else
        report_->alive++;
}

/* How many processes the text names that are in the list, which loses them. */
static size_t cross_off(const char *data, size_t size, mu_tracked *list, size_t count,
                        mu_tracking_report *report_)
{
    mu__track_record record;
    size_t at = 0, crossed = 0;
    while (mu__track_next(data, size, &at, &record)) {
        if (record.kind == MU__TRACK_BORN)
            report_->file_living++;
        if (record.kind == MU__TRACK_GONE && report_->file_living > 0)
            report_->file_living--;
        for (size_t i = 0; record.kind == MU__TRACK_BORN && i < count; i++) {
            if (list[i].serial == record.child.serial && list[i].os_pid == record.child.pid) {
                list[i].os_pid = 0;
                crossed++;
            }
        }
    }
    report_->file_torn = size - at;
    return crossed;
}

static mu_err compare_with_file(mu__tracking *t, mu_tracked *list, size_t count,
                                mu_tracking_report *report_)
{
    const char *why;
    size_t size = 0;
    int fd = t->sys->openat(t->dir_fd, t->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0);
    if (fd < 0)
        return MU_OK; /* it has been taken away: not ok, and nothing to count */
    bool ours = mu__track_is_ours(fd, &why);
    char *data = ours ? mu__track_read(t->sys, fd, &size) : NULL;
    (void)close(fd);
    if (data)
        report_->file_ok =
            cross_off(data, size, list, count, report_) == count && report_->file_torn == 0;
    free(data);
    return MU_OK;
}

mu_err mu_tracking_validate(mu_system *system, mu_tracking_report *ret_report)
{
    mu__tracking *t;
    mu_tracked *list = NULL;
    size_t count = 0;
    mu_tracking_report seen = {.file_ok = false};
    mu_err err = tracking_of(system, ret_report, &t);
    if (err == MU_OK)
        err = mu_tracking_list(system, &list, &count);
    if (err != MU_OK)
        return err;
    for (size_t i = 0; i < count; i++)
        compare_with_proc(&list[i], &seen);
    seen.file_ok = t->dir == NULL;
    if (t->dir)
        err = compare_with_file(t, list, count, &seen);
    free(list);
    if (err == MU_OK)
        *ret_report = seen;
    return err;
}
