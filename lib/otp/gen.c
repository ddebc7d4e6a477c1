/*
 * Starting an actor and waiting until it is initialised (gen.h).
 *
 * Called by gen_server.c (and through it by the supervisors) and task.c; calls the runtime and, for
 * keys of registries, registry.c.
 */
#include "otp/gen.h"

#include <stdlib.h>
#include <string.h>

#include <muster/registry.h>

#include "otp/via.h"
#include "runtime/actor.h"
#include "runtime/call.h"

/*
 * What starter and actor share. `outcome` publishes the fields below it: the actor sets it last and
 * once, and the starter looks at them only when it is set, for an actor that was killed may still
 * be on its way to set it.
 */
struct mu__gen {
    _Atomic int refs;
    mu__reply_to starter;
    mu_pid parent; /* the starter, if linked */
    void (*body)(mu__gen *gen, void *arg);
    void *arg;
    void (*destroy_arg)(void *arg);
    mu_via via; /* with a key of its own, for a starter that is told to exit does not wait */

    bool acked;          /* the actor's own */
    _Atomic int outcome; /* a mu_err; MU_OK: nothing recorded */
    mu_reason reason;
    mu_pid holder; /* of the key, with MU_EALREADY_STARTED */
    char key[];
};

/* The argument goes with the last of the two: the actor has ended, or has never run. */
static void leave(void *arg)
{
    mu__gen *gen = arg;
    if (atomic_fetch_sub(&gen->refs, 1) > 1)
        return;
    if (gen->destroy_arg)
        gen->destroy_arg(gen->arg);
    free(gen);
}

void mu__gen_ack(mu__gen *gen)
{
    gen->acked = true;
    (void)mu__call_complete(gen->starter, MU_OK, mu_message_tag(0), NULL);
}

/* Records why there is no running actor; the first record counts. */
static void record(mu__gen *gen, mu_err outcome, const mu_reason *reason)
{
    if (atomic_load(&gen->outcome) != MU_OK)
        return;
    gen->reason = reason ? *reason : mu_reason_normal();
    atomic_store(&gen->outcome, (int)outcome);
}

/* Ends without a notice to the starter, who learns all there is to know from the outcome. */
static void leave_quietly(mu__gen *gen)
{
    if (!mu_pid_is_none(gen->parent))
        (void)mu_unlink(gen->parent);
}

void mu__gen_fail(mu__gen *gen, mu__gen_failure failure, const mu_reason *reason)
{
    record(gen, failure == MU__GEN_IGNORE ? MU_EIGNORE : MU_EINIT, reason);
    if (failure == MU__GEN_STOP)
        (void)mu_set_exit_reason(reason);
    else
        leave_quietly(gen);
}

static void run(void *arg)
{
    mu__gen *gen = arg;
    gen->body(gen, gen->arg);
}

/* Takes the key before init runs, as mu_spawn took the name. */
static bool take_key(mu__gen *gen)
{
    mu_err err = mu__via_register(&gen->via, &gen->holder);
    if (err == MU_OK)
        return true;
    mu_reason reason = mu_reason_error(err, "registering the key");
    record(gen, err == MU_EALREADY_REGISTERED ? MU_EALREADY_STARTED : err, &reason);
    leave_quietly(gen);
    return false;
}

/* The body of the new actor. */
static void enter(void *arg)
{
    mu__gen *gen = arg;
    if (gen->via.registry && !take_key(gen))
        return;
    mu_reason reason;
    bool exited = mu__catch_exit(run, gen, &reason);
    if (exited)
        (void)mu_set_exit_reason(&reason);
    if (!gen->acked && (exited || mu__told_to_exit(&reason)))
        record(gen, MU_EINIT, &reason);
}

static mu_err spawn(mu_system *system, const mu__gen_options *options, mu__gen *gen,
                    mu_pid *ret_pid)
{
    mu_spawn_options spawn_options = MU_SPAWN_OPTIONS_INIT;
    spawn_options.name = options->name;
    spawn_options.link = options->link;
    spawn_options.trap_exit = options->trap_exit;
    spawn_options.stack_size = options->stack_size;
    spawn_options.label = options->label;
    spawn_options.mailbox_limit = options->mailbox_limit;
    spawn_options.mailbox_policy = options->mailbox_policy;
    spawn_options.destroy_arg = leave;
    for (;;) {
        atomic_fetch_add(&gen->refs, 1); /* the actor's */
        mu_err err = mu_spawn(system, &spawn_options, enter, gen, ret_pid);
        if (err != MU_ENAMETAKEN)
            return err;
        gen->holder = mu_whereis(system, options->name);
        if (!mu_pid_is_none(gen->holder))
            return MU_EALREADY_STARTED;
    }
}

static bool is_exit_of(const mu_message *message, void *arg)
{
    const mu_pid *pid = arg;
    return message->tag == MU_TAG_EXIT &&
           mu_pid_equal(((const mu_exit_notice *)message->data)->from, *pid);
}

void mu__forget_link(mu_pid pid)
{
    bool linked;
    mu_message notice;
    if (mu__unlink(pid, &linked) == MU_OK && !linked &&
        mu_receive_match(is_exit_of, &pid, &notice, 0) == MU_OK)
        mu_message_clear(&notice);
}

/*
 * Waits for the acknowledgement or the death. A death before the call was tied to it is no more
 * than MU_ENOPROC; the actor has then recorded why, unless it was killed.
 */
static mu_err await(mu__call *call, const mu__gen_options *options, mu__gen *gen, mu_pid pid,
                    mu_reason *ret_reason)
{
    mu__call_attach(call, pid);
    mu_reason reason = mu_reason_killed();
    mu_err err = mu__call_wait(call, mu__deadline_in(options->timeout_ms), NULL, &reason);
    if (err == MU_OK || err == MU_EKILLED)
        return err;
    if (err == MU_ETIMEOUT) {
        *ret_reason = mu_reason_error(MU_ETIMEOUT, "init took longer than %lld ms",
                                      (long long)options->timeout_ms);
        if (options->link)
            mu__forget_link(pid); /* first: the kill must not come back */
        reason = mu_reason_kill();
        (void)mu_exit_signal(pid, &reason);
        (void)mu__call_wait(call, MU_NEVER, NULL, &reason); /* its name is free after that */
        return err;
    }
    if (options->link)
        mu__forget_link(pid);
    mu_err outcome = (mu_err)atomic_load(&gen->outcome);
    if (outcome != MU_OK)
        *ret_reason = gen->reason;
    else
        *ret_reason = err == MU_ENOPROC ? mu_reason_killed() : reason;
    return outcome != MU_OK ? outcome : MU_EINIT;
}

static mu_err start(mu_system *system, const mu__gen_options *options, mu__gen *gen,
                    mu_pid *ret_pid, mu_reason *ret_reason)
{
    mu__call *call;
    mu_err err = mu__call_open(system, &call, &gen->starter);
    if (err != MU_OK)
        return err;
    err = spawn(system, options, gen, ret_pid);
    if (err == MU_OK)
        err = await(call, options, gen, *ret_pid, ret_reason);
    mu__call_close(call);
    if (err == MU_EALREADY_STARTED)
        *ret_pid = gen->holder;
    return err;
}

mu_err mu__gen_start(mu_system *system, const mu__gen_options *options, mu_pid *ret_pid,
                     mu_reason *ret_reason)
{
    const mu_via *via = options->via;
    size_t key_size = via && via->key.data ? via->key.size : 0;
    mu__gen *gen = mu__sys(system)->alloc(sizeof *gen + key_size);
    if (!gen) {
        if (options->destroy_arg)
            options->destroy_arg(options->arg);
        if (ret_reason)
            *ret_reason = mu_reason_error(MU_ENOMEM, NULL);
        return MU_ENOMEM;
    }
    atomic_init(&gen->refs, 1); /* the starter's */
    gen->parent = options->link ? mu_self() : MU_PID_NONE;
    gen->body = options->body;
    gen->arg = options->arg;
    gen->destroy_arg = options->destroy_arg;
    if (via)
        gen->via = *via;
    if (key_size)
        gen->via.key.data = memcpy(gen->key, via->key.data, key_size);

    mu_pid pid = MU_PID_NONE;
    mu_reason reason;
    reason.cls = MU_REASON_KILL; /* not set: no actor ends with it */
    mu_err err = start(system, options, gen, &pid, &reason);
    leave(gen);
    if (ret_pid && (err == MU_OK || err == MU_EALREADY_STARTED))
        *ret_pid = pid;
    if (ret_reason && err != MU_OK)
        *ret_reason = reason.cls == MU_REASON_KILL ? mu_reason_error(err, NULL) : reason;
    return err;
}
