/*
 * The register of a system's processes and its file (port/tracking.h). Called by warden.c and
 * child.c; calls track_record.c and track_sweep.c. What it tells is track_info.c's.
 */
#include "port/tracking.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/child.h"
#include "base/event.h"
#include "base/proc.h"
#include "port/track_sweep.h"
#include "port/tracking_impl.h"
#include "runtime/actor.h"
#include "runtime/runtime.h"

#define PENDING_MAX (64u * 1024 * 1024)
#define REWRITE_SIZE                                                                               \
    (64u * 1024) /* a file over this is written anew when most of it is history                    \
                  */

static mu_err choose_dir(mu__tracking *t, const char *dir, mu_error *ret_error);
static mu_err open_dir(mu__tracking *t, mu_error *ret_error);
static bool hold_dir(mu__tracking *t);
static mu_err write_anew(mu__tracking *t, const mu__buffer *text);
static void flush(mu__tracking *t);
static void report(const mu__tracking *t, const char *dir, const char *why);

/* ---- open and close ------------------------------------------------------------------------ */

/* "-": a system without boot ids has one boot only. */
static mu_err describe_boot(const mu_sys *sys, mu__track_run *run)
{
    int fd = sys->open("/proc/sys/kernel/random/boot_id", O_RDONLY, 0);
    if (fd < 0 && errno != ENOENT)
        return MU_ERRNO(errno);
    ssize_t n = 0;
    do
        n = fd >= 0 ? sys->read(fd, run->boot_id, sizeof run->boot_id - 1) : 0;
    while (n < 0 && errno == EINTR);
    int error = errno;
    if (fd >= 0)
        (void)close(fd);
    if (n < 0)
        return MU_ERRNO(error);
    run->boot_id[n > 0 ? strcspn(run->boot_id, "\n") : 0] = '\0';
    if (!run->boot_id[0])
        (void)snprintf(run->boot_id, sizeof run->boot_id, "-");
    return MU_OK;
}

/*
 * What this process is, in the words of a file's first line. One who did not know its boot would
 * take every other run's file for one of a boot before, and throw away the names of what still
 * lives.
 */
static mu_err describe_host(const mu_sys *sys, mu__track_run *run, const char *run_id)
{
    struct stat ns;
    mu__proc_stat st;
    (void)snprintf(run->run_id, sizeof run->run_id, "%s", run_id);
    run->host_pid = (int32_t)getpid();
    if (stat("/proc/self/ns/pid", &ns) != 0)
        return MU_ERRNO(errno);
    run->pid_ns = ns.st_ino;
    mu_err err = mu__proc_read_stat(getpid(), &st);
    if (err != MU_OK)
        return err;
    run->host_start = st.start;
    return describe_boot(sys, run);
}

/* The first line; the file has its name, and its lock, before any process is there to be named. */
static mu_err begin_file(mu__tracking *t) MU_NO_TSA
{
    mu__buffer text;
    char line[MU__TRACK_LINE_MAX];
    mu__buffer_init(&text, t->sys, sizeof line);
    mu_err err = mu__buffer_append(&text, line, mu__track_format(&t->run, line));
    if (err == MU_OK)
        err = write_anew(t, &text);
    t->stats.file_bytes = mu__buffer_size(&text);
    mu__buffer_deinit(&text);
    return err;
}

/* `known`: what came of finding out who this process is. */
static mu_err open_file(mu__tracking *t, mu_err known, mu_error *ret_error)
{
    const char *dir = mu__options(t->system)->tracking_dir, *runtime_dir = NULL;
    char standard[PATH_MAX];
    bool named = dir != NULL;
    if (!named && (runtime_dir = secure_getenv("XDG_RUNTIME_DIR")) && runtime_dir[0] == '/' &&
        snprintf(standard, sizeof standard, "%s/muster", runtime_dir) < (int)sizeof standard)
        dir = standard;
    if (!dir || !dir[0])
        return MU_OK;
    mu_err err = choose_dir(t, dir, ret_error);
    if (err == MU_OK && known != MU_OK)
        err = mu_error_set(ret_error, known, "tracking_dir %s: what this process is: %s", dir,
                           mu_strerror(known));
    if (err == MU_OK) {
        err = mu__track_sweep(t->sys, t->dir_fd, &t->run.run, mu__hook(t->system), &t->swept);
        if (err == MU_OK)
            err = begin_file(t);
        if (err != MU_OK)
            (void)mu_error_set(ret_error, err, "tracking_dir %s: %s", dir, mu_strerror(err));
    }
    if (err == MU_OK || named || err == MU_ENOMEM)
        return err;
    report(t, dir, ret_error && ret_error->message[0] ? ret_error->message : mu_strerror(err));
    mu_error_clear(ret_error);
    free(t->dir);
    t->dir = NULL;
    return MU_OK;
}

mu_err mu__tracking_open(mu_system *system, const char *run_id, mu__tracking **ret_tracking,
                         mu_error *ret_error)
{
    const mu_sys *sys = mu__sys(system);
    mu_error own = MU_ERROR_INIT; /* the reason is needed, whoever asked for it */
    mu__tracking *t = sys->alloc(sizeof *t);
    if (!t)
        return mu_error_set(ret_error, MU_ENOMEM, "no memory for the register of processes");
    t->system = system;
    t->sys = sys;
    t->dir_fd = t->fd = -1;
    mu_lock_init(&t->lock);
    mu__buffer_init(&t->pending, sys, PENDING_MAX);
    t->run.kind = MU__TRACK_RUN;
    mu_err known = describe_host(sys, &t->run.run, run_id);
    (void)snprintf(t->name, sizeof t->name, "%s" MU__TRACK_SUFFIX, run_id);
    mu_err err = open_file(t, known, &own);
    if (err != MU_OK) {
        (void)mu_error_set(ret_error, err, "%s", own.message);
        mu__tracking_free(&t);
    } else {
        *ret_tracking = t;
    }
    mu_error_clear(&own);
    return err;
}

void mu__tracking_close(mu__tracking *t, bool clean)
{
    mu_lock_acquire(&t->lock);
    bool mine = !t->writing; /* else somebody is still in the middle of a start: it stays open */
    t->writing = true;       /* for ever */
    mu_lock_release(&t->lock);
    if (t->fd >= 0 && clean && hold_dir(t))
        (void)unlinkat(t->dir_fd, t->name, 0);
    if (!mine)
        return;
    mu__fd_close(&t->fd, &t->id); /* after the unlink: the lock guards the name */
}

void mu__tracking_free(mu__tracking **take_tracking) MU_NO_TSA
{
    mu__tracking *t = *take_tracking;
    *take_tracking = NULL;
    if (!t)
        return;
    mu__fd_close(&t->fd, &t->id);
    mu__fd_close(&t->dir_fd, &t->dir_id);
    mu__buffer_deinit(&t->pending);
    free(t->items);
    mu_lock_deinit(&t->lock);
    free(t->dir);
    free(t);
}

/* ---- the directory ------------------------------------------------------------------------- */

static mu_err choose_dir(mu__tracking *t, const char *dir, mu_error *ret_error)
{
    size_t length = strlen(dir);
    if (dir[0] != '/')
        return mu_error_set(ret_error, MU_EINVAL, "tracking_dir '%s' is not absolute", dir);
    while (length > 1 && dir[length - 1] == '/') /* behind a slash a link would be followed */
        length--;
    t->dir = t->sys->alloc(length + 1);
    if (!t->dir)
        return mu_error_set(ret_error, MU_ENOMEM, "no memory for the tracking directory");
    memcpy(t->dir, dir, length);
    return open_dir(t, ret_error);
}

/* Made if it is not there; 0700 and of this user, or it is refused: others could swap its files. */
static mu_err open_dir(mu__tracking *t, mu_error *ret_error)
{
    struct stat st;
    bool made = t->sys->mkdir(t->dir, 0700) == 0;
    if (!made && errno != EEXIST)
        return mu_error_set(ret_error, MU_ERRNO(errno), "making tracking_dir %s: %s", t->dir,
                            strerror(errno));
    t->dir_fd = t->sys->open(t->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (t->dir_fd < 0 && (errno == ENOTDIR || errno == ELOOP))
        return mu_error_set(ret_error, MU_ERRNO(ENOTDIR),
                            "tracking_dir %s is no directory, or a "
                            "link to one",
                            t->dir);
    if (t->dir_fd < 0 || fstat(t->dir_fd, &st) != 0)
        return mu_error_set(ret_error, MU_ERRNO(errno), "tracking_dir %s: %s", t->dir,
                            strerror(errno));
    t->dir_id = mu__fd_id_of(t->dir_fd);
    if (made && fchmod(t->dir_fd, 0700) != 0) /* whatever the umask is */
        return mu_error_set(ret_error, MU_ERRNO(errno), "tracking_dir %s: %s", t->dir,
                            strerror(errno));
    if (st.st_uid != geteuid() || (!made && (st.st_mode & 077)))
        return mu_error_set(ret_error, MU_ERRNO(EPERM),
                            "tracking_dir %s belongs to user %u with mode %03o; it must be this "
                            "user's, with mode 700",
                            t->dir, (unsigned)st.st_uid, (unsigned)st.st_mode & 0777);
    return MU_OK;
}

/* ---- births and deaths --------------------------------------------------------------------- */

static bool make_room_locked(mu__tracking *t) MU_REQUIRES(t->lock)
{
    if (t->count < t->capacity)
        return true;
    size_t capacity = t->capacity ? 2 * t->capacity : 32;
    mu_tracked *items = t->sys->resize(t->items, capacity * sizeof *items);
    if (!items)
        return false;
    t->items = items;
    t->capacity = capacity;
    return true;
}

static void note_locked(mu__tracking *t, const mu__track_record *record) MU_REQUIRES(t->lock)
{
    char line[MU__TRACK_LINE_MAX];
    if (!t->dir || t->rewrite)
        return; /* all of the table will be written */
    if (mu__buffer_append(&t->pending, line, mu__track_format(record, line)) != MU_OK)
        t->rewrite = true;
}

static mu__track_record record_of(const mu_tracked *item)
{
    mu__track_record record = {.kind = MU__TRACK_BORN,
                               .child = {.serial = item->serial,
                                         .pid = item->os_pid,
                                         .start = item->start_time,
                                         .generation = item->generation,
                                         .actor_slot = item->actor.slot,
                                         .actor_generation = item->actor.generation}};
    (void)snprintf(record.child.id, sizeof record.child.id, "%s", item->worker);
    return record;
}

void mu__tracking_born(mu__tracking *t, const mu__track_child *child, mu_pid actor)
{
    mu_tracked item = {.serial = child->serial,
                       .os_pid = child->pid,
                       .start_time = child->start,
                       .generation = child->generation,
                       .actor = actor};
    (void)snprintf(item.worker, sizeof item.worker, "%s", child->id);
    mu__track_record record = record_of(&item);
    mu_lock_acquire(&t->lock);
    t->stats.born++;
    bool listed = make_room_locked(t);
    if (listed) /* else its mark still leads to it */
        t->items[t->count++] = item;
    else
        t->stats.write_errors++;
    note_locked(t, &record);
    mu_lock_release(&t->lock);
    flush(t);
}

void mu__tracking_gone(mu__tracking *t, uint64_t serial)
{
    const mu__track_record record = {.kind = MU__TRACK_GONE, .child = {.serial = serial}};
    mu_lock_acquire(&t->lock);
    for (size_t i = 0; i < t->count; i++) {
        if (t->items[i].serial != serial)
            continue;
        t->count--;
        memmove(t->items + i, t->items + i + 1, (t->count - i) * sizeof *t->items);
        t->stats.gone++;
        note_locked(t, &record);
        break;
    }
    mu_lock_release(&t->lock);
}

/* ---- the file ------------------------------------------------------------------------------ */

static mu_err write_all(const mu_sys *sys, int fd, const unsigned char *data, size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t n = sys->write(fd, data + done, size - done);
        if (n < 0 && errno != EINTR)
            return MU_ERRNO(errno);
        done += n > 0 ? (size_t)n : 0;
    }
    return MU_OK;
}

/*
 * A write beyond RLIMIT_FSIZE is EFBIG, and SIGXFSZ to the thread that wrote, which may be the
 * host's: it must not be ended for our file. One that was pending before is the host's.
 */
static mu_err write_whole(const mu_sys *sys, int fd, const unsigned char *data, size_t size)
{
    sigset_t pending, too_large;
    (void)sigemptyset(&pending);
    (void)sigemptyset(&too_large);
    (void)sigaddset(&too_large, SIGXFSZ);
    (void)sigpending(&pending);
    uint64_t mask = mu__signals_block();
    mu_err err = write_all(sys, fd, data, size);
    if (err == MU_ERRNO(EFBIG) && !sigismember(&pending, SIGXFSZ))
        (void)sigtimedwait(&too_large, NULL, &(struct timespec){0});
    mu__signals_restore(mask);
    return err;
}

/* What came out short is cut off again, as far as the disk lets us; else its checksum tells. */
static mu_err append(mu__tracking *t, const mu__buffer *text)
{
    struct stat st;
    if (fstat(t->fd, &st) != 0)
        return MU_ERRNO(errno);
    mu_err err = write_whole(t->sys, t->fd, mu__buffer_data(text), mu__buffer_size(text));
    if (err != MU_OK)
        (void)t->sys->ftruncate(t->fd, st.st_size);
    return err;
}

/* The directory that was opened at the start, and no other. */
static bool hold_dir(mu__tracking *t)
{
    if (mu__fd_is(t->dir_fd, &t->dir_id))
        return true;
    t->dir_fd = t->sys->open(t->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (mu__fd_is(t->dir_fd, &t->dir_id))
        return true;
    if (t->dir_fd >= 0)
        (void)close(t->dir_fd);
    t->dir_fd = -1;
    return false;
}

/* Under another name, locked, renamed: whoever looks finds the old file or the new one. */
static mu_err write_anew(mu__tracking *t, const mu__buffer *text)
{
    char made[MU__WP_RUN_ID_MAX + 8];
    const char *why;
    const int flags = O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    (void)snprintf(made, sizeof made, "%s" MU__TRACK_NEW, t->run.run.run_id);
    if (!hold_dir(t))
        return MU_ERRNO(EBADF);
    (void)unlinkat(t->dir_fd, made, 0); /* of an attempt before */
    int fd = t->sys->openat(t->dir_fd, made, flags, 0600);
    if (fd < 0)
        return MU_ERRNO(errno);
    mu_err err = MU_OK;
    if (fchmod(fd, 0600) != 0 || t->sys->flock(fd, LOCK_EX | LOCK_NB) != 0)
        err = MU_ERRNO(errno);
    else if (!mu__track_is_ours(fd, &why))
        err = MU_ERRNO(EPERM);
    if (err == MU_OK)
        err = write_whole(t->sys, fd, mu__buffer_data(text), mu__buffer_size(text));
    if (err == MU_OK && t->sys->renameat(t->dir_fd, made, t->dir_fd, t->name) != 0)
        err = MU_ERRNO(errno);
    if (err != MU_OK) {
        (void)unlinkat(t->dir_fd, made, 0);
        (void)close(fd);
        return err;
    }
    mu__fd_close(&t->fd, &t->id);
    t->fd = fd;
    t->id = mu__fd_id_of(fd);
    return MU_OK;
}

/* All of the table, as the file should be. */
static mu_err table_text_locked(mu__tracking *t, mu__buffer *text) MU_REQUIRES(t->lock)
{
    char line[MU__TRACK_LINE_MAX];
    mu_err err = mu__buffer_append(text, line, mu__track_format(&t->run, line));
    for (size_t i = 0; i < t->count && err == MU_OK; i++) {
        mu__track_record record = record_of(&t->items[i]);
        err = mu__buffer_append(text, line, mu__track_format(&record, line));
    }
    return err;
}

/* Takes what there is to write. False: nothing. */
static bool take_text_locked(mu__tracking *t, mu__buffer *text, bool *ret_anew, mu_err *ret_err)
    MU_REQUIRES(t->lock)
{
    size_t living = (t->count + 1) * MU__TRACK_LINE_MAX;
    *ret_err = MU_OK;
    if (t->stats.file_bytes > REWRITE_SIZE && t->stats.file_bytes > 2 * living)
        t->rewrite = true;
    *ret_anew = t->rewrite;
    if (t->rewrite) {
        mu__buffer_deinit(&t->pending);
        t->rewrite = false;
        *ret_err = table_text_locked(t, text);
        return true;
    }
    if (mu__buffer_size(&t->pending) == 0)
        return false;
    mu__buffer empty = *text;
    *text = t->pending;
    t->pending = empty;
    return true;
}

static void account_locked(mu__tracking *t, mu_err err, bool anew, size_t size) MU_REQUIRES(t->lock)
{
    if (err != MU_OK) {
        t->stats.write_errors++;
        t->rewrite = true; /* by the next birth */
    } else if (anew) {
        t->stats.rewrites++;
        t->stats.file_bytes = size;
    } else {
        t->stats.appends++;
        t->stats.file_bytes += size;
    }
}

/*
 * What is appended to a file that somebody has removed is found by nobody, and what stands behind
 * bytes that are not ours, or where ours were cut off, is not believed.
 */
static bool is_as_left_locked(const mu__tracking *t) MU_REQUIRES(t->lock)
{
    struct stat st;
    return mu__fd_is(t->fd, &t->id) && fstat(t->fd, &st) == 0 && st.st_nlink > 0 &&
           (uint64_t)st.st_size == t->stats.file_bytes;
}

/* One thread writes, without the lock; what comes meanwhile it takes along. */
static void flush(mu__tracking *t)
{
    mu__buffer text;
    bool anew;
    mu_err err = MU_OK;
    mu__buffer_init(&text, t->sys, PENDING_MAX);
    mu_lock_acquire(&t->lock);
    bool mine = t->dir && !t->writing;
    t->writing |= mine;
    if (mine && !is_as_left_locked(t))
        t->rewrite = true; /* under its name, whatever has that now */
    while (mine && err == MU_OK && take_text_locked(t, &text, &anew, &err)) {
        mu_lock_release(&t->lock);
        if (err == MU_OK)
            err = anew ? write_anew(t, &text) : append(t, &text);
        mu_lock_acquire(&t->lock);
        account_locked(t, err, anew, mu__buffer_size(&text));
        mu__buffer_deinit(&text);
    }
    if (mine)
        t->writing = false;
    mu_lock_release(&t->lock);
    if (err != MU_OK)
        report(t, t->dir, mu_strerror(err));
}

static void report(const mu__tracking *t, const char *dir, const char *why)
{
    MU__EMIT(mu__hook(t->system), "tracking.failed", MU__M({"errors", 1}),
             MU__D({"directory", dir}, {"reason", why}));
}
