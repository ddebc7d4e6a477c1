/*
 * A system, assembled (muster/system.h): the runtime, the warden, the root supervisor, in this
 * order; stopped in the reverse one, so that every actor that owns a process is gone before the
 * warden that owns the process is, and the warden before the I/O thread that hears it.
 */
#include <muster/system.h>

#include <stdlib.h>

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

mu_err mu_system_start(const mu_system_options *options, mu_system **ret_system,
                       mu_error *ret_error)
{
    if (!ret_system)
        return mu_error_set(ret_error, MU_EINVAL, "ret_system is NULL");
    mu_system *system = NULL;
    mu_err err = mu__runtime_start(options, &system);
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
