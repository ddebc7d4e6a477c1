/*
 * A system, assembled (muster/system.h): the runtime, the warden, the root supervisor, in this
 * order; stopped in the reverse one, so that every actor that owns a process is gone before the
 * warden that owns the process is, and the warden before the I/O thread that hears it.
 */
#include <muster/system.h>

#include <stdlib.h>
#include <string.h>

#include <muster/supervisor.h>

#include "port/warden.h"
#include "runtime/actor.h"
#include "runtime/runtime.h"

enum { WARDEN_STOP_MS = 5000 };

/* The root never gives up because of what one of its children does: they are all temporary. */
static mu_err start_root(mu_system *system, mu_error *error)
{
    mu_supervisor_options options = MU_SUPERVISOR_OPTIONS_INIT;
    options.label = "root";
    mu_reason reason = mu_reason_normal();
    mu_pid *root = mu__sys(system)->alloc(sizeof *root);
    if (!root)
        return mu_error_set(error, MU_ENOMEM, "no memory for the root supervisor");
    mu_err err = mu_supervisor_start(system, &options, root, &reason);
    if (err != MU_OK) {
        free(root);
        return mu_error_set(error, err, "the root supervisor did not start: %s", reason.text);
    }
    mu__slot_set(system, MU__SLOT_ROOT, root);
    return MU_OK;
}

static void stop_root(mu_system *system)
{
    mu_pid *root = mu__slot_get(system, MU__SLOT_ROOT);
    if (!root)
        return;
    mu_reason shutdown = mu_reason_shutdown();
    (void)mu_gen_server_stop(*root, &shutdown, MU_INFINITY, NULL);
    mu__slot_set(system, MU__SLOT_ROOT, NULL);
    free(root);
}

size_t mu_system_stop(mu_system **take_system)
{
    if (!take_system || !*take_system)
        return 0;
    mu_system *system = *take_system;
    *take_system = NULL;
    if (mu__usable(system) == MU_EFORKED)
        return 0;
    stop_root(system);
    mu__warden *warden = mu__warden_of(system);
    mu__warden_stop(&warden, WARDEN_STOP_MS);
    return mu__runtime_stop(&system);
}

/* The log's level if the program leaves it open: the variable's, which is whoever runs it. */
static mu_err level_from_environment(mu_log_level *ret_level, mu_error *error)
{
    const char *text = secure_getenv("MUSTER_LOG");
    *ret_level = MU_LOG_OFF;
    if (!text || !text[0])
        return MU_OK;
    for (mu_log_level level = MU_LOG_OFF; level <= MU_LOG_DEBUG; level++)
        if (strcmp(text, mu_log_level_name(level)) == 0) {
            *ret_level = level;
            return MU_OK;
        }
    return mu_error_set(error, MU_EINVAL,
                        "MUSTER_LOG is '%.64s'; allowed are off, error, warning, info and debug",
                        text);
}

static mu_err choose_log(mu_system_options *options, mu_error *error)
{
    if (options->log_level > MU_LOG_DEBUG)
        return mu_error_set(error, MU_EINVAL, "log_level is %d; allowed are %d to %d",
                            (int)options->log_level, MU_LOG_INHERIT, MU_LOG_DEBUG);
    if (!options->log)
        options->log = mu_log_stderr;
    return options->log_level == MU_LOG_INHERIT ? level_from_environment(&options->log_level, error)
                                                : MU_OK;
}

mu_err mu_system_start(const mu_system_options *options, mu_system **ret_system,
                       mu_error *ret_error)
{
    if (!ret_system)
        return mu_error_set(ret_error, MU_EINVAL, "ret_system is NULL");
    mu_system *system = NULL;
    mu_system_options whole = MU_SYSTEM_OPTIONS_INIT;
    if (options && options->size != sizeof *options)
        return mu_error_set(ret_error, MU_EINVAL, "size is %zu; start from MU_SYSTEM_OPTIONS_INIT",
                            options->size);
    if (options)
        whole = *options;
    mu_err err = choose_log(&whole, ret_error);
    if (err != MU_OK)
        return err;
    err = mu__runtime_start(&whole, &system);
    if (err != MU_OK)
        return mu_error_set(ret_error, err, "the runtime did not start: %s", mu_strerror(err));
    mu__warden *warden;
    const mu_system_options *filled = mu__options(system);
    if (!filled->no_children)
        err = mu__warden_start(system, filled->warden_path, &warden, ret_error);
    if (err == MU_OK)
        err = start_root(system, ret_error);
    if (err != MU_OK)
        (void)mu_system_stop(&system);
    else
        *ret_system = system;
    return err;
}

mu_pid mu_system_root(const mu_system *system)
{
    const mu_pid *root = system ? mu__slot_get(system, MU__SLOT_ROOT) : NULL;
    return root ? *root : MU_PID_NONE;
}

const char *mu_system_run_id(const mu_system *system)
{
    const mu__warden *warden = system ? mu__warden_of(system) : NULL;
    return warden ? mu__warden_run_id(warden) : "";
}
