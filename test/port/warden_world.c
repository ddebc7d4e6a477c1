/* A system with a warden, for tests (warden_world.h). */
#include "warden_world.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include <muster/timer.h>

#include "base/clock.h"
#include "base/proc.h"
#include "port/warden_impl.h"
#include "runtime/runtime.h"
#include "support/mu_marked.h"
#include "support/mu_test.h"

static void count_events(void *ctx, const mu_event *event)
{
    world *w = ctx;
    if (strcmp(event->name, "warden.lost") == 0)
        atomic_fetch_add(&w->lost, 1);
    if (strcmp(event->name, "warden.hung") == 0)
        atomic_fetch_add(&w->hung, 1);
    if (strcmp(event->name, "warden.refused") == 0)
        atomic_fetch_add(&w->refused, 1);
}

void world_begin_program(world *w, const char *program,
                         int (*signal_)(int, int, siginfo_t *, unsigned), int64_t timeout_ms)
{
    mu_error error = MU_ERROR_INIT;
    memset(w, 0, sizeof *w);
    mu_system_options options = MU_SYSTEM_OPTIONS_INIT;
    w->sys = mu__sys_real;
    w->sys.pidfd_send_signal = signal_;
    options.sys = &w->sys;
    options.warden_timeout_ms = timeout_ms;
    options.event_hook = (mu_event_hook){count_events, w};
    mu_check_ok(mu__runtime_start(&options, &w->system));
    mu_err err = mu__warden_start(w->system, program, &w->warden, &error);
    mu_check_msg(err == MU_OK, "%s", error.message);
    mu_check(mu__warden_of(w->system) == w->warden);
}

void world_begin_with(world *w, int (*signal_)(int, int, siginfo_t *, unsigned), int64_t timeout_ms)
{
    world_begin_program(w, NULL, signal_, timeout_ms);
}

void world_begin(world *w)
{
    world_begin_with(w, mu__sys_real.pidfd_send_signal, 0);
}

void world_end(world *w)
{
    int pid = mu__warden_pid(w->warden);
    mu__proc_stat st;
    mu__warden_stop(&w->warden, 10000);
    mu_check(!w->warden);
    mu_check(mu__warden_of(w->system) == NULL);
    mu_check(pid == 0 || mu__proc_read_stat(pid, &st) != MU_OK || st.state == 'Z');
    mu_check_eq(mu__runtime_stop(&w->system), 0u);
}

int64_t world_soon(const world *w)
{
    return mu_now(w->system) + 20 * MU_SECOND;
}

static void on_exit_count(void *ctx, const mu__exit *exit)
{
    (void)exit;
    atomic_fetch_add(&((world *)ctx)->exits, 1);
}

mu_err world_try_sh(world *w, const char *script, mu__child **child, mu_error *error)
{
    char sh[] = "sh", c[] = "-c", *argv[] = {sh, c, (char *)(uintptr_t)script, NULL},
         *envp[] = {NULL};
    mu__child_spec spec = MU__CHILD_SPEC_INIT;
    spec.path = "/bin/sh";
    spec.argv = argv;
    spec.envp = envp;
    spec.on_exit = on_exit_count;
    spec.ctx = w;
    return mu__child_spawn(w->warden, &spec, world_soon(w), child, error);
}

mu__child *world_start_sh(world *w, const char *script)
{
    mu__child *child = NULL;
    mu_error error = MU_ERROR_INIT;
    mu_err err = world_try_sh(w, script, &child, &error);
    mu_check_msg(err == MU_OK, "%s", error.message);
    return child;
}

bool world_has_pidfds(world *w)
{
    mu_lock_acquire(&w->warden->lock);
    bool has = w->warden->link->fds.pidfd >= 0;
    mu_lock_release(&w->warden->lock);
    return has;
}

int world_alive(const world *w)
{
    return mu_marked(MU__ENV_RUN_ID, mu__warden_run_id(w->warden));
}

int world_marked(const world *w)
{
    return mu_marked_prefix(MU__ENV_CHILD, mu__warden_run_id(w->warden));
}
