/*
 * muster/task.h - one computation each: tasks, and streams of them.
 *
 * A task is an actor that runs one function and ends with a value, which its creator awaits. A
 * stream runs a function over many items, so many at a time, and hands the results back one by one.
 * Their threads come from the system's pool: a thread whose task has ended serves the next.
 *
 *     static mu_message square(void *arg) { long n = *(long *)arg; n *= n;
 *                                           return mu_message_copy(0, &n, sizeof n); }
 *     mu_task_async(system, square, &seven, NULL, &task);
 *     err = mu_task_await(&task, 1000, &value, &reason);
 *
 *     mu_stream_start(system, &(mu_stream_options){.size = sizeof(mu_stream_options), .fn = fetch,
 *                     .items = MU_ITEMS(urls)}, &stream);
 *     while (mu_stream_next(stream, &result) == MU_OK)
 *         show(&result), mu_message_clear(&result.value);
 *     mu_stream_stop(&stream);
 *
 * The calling actor is linked to its tasks, unless `nolink` says otherwise: a task that fails takes
 * a caller along that does not trap exits, and a caller that ends abnormally takes its tasks along.
 * Threads that are no actors have no links; their tasks are never linked to them.
 *
 * Thread-safety: a task and a stream belong to the thread that made them; others get MU_ENOTOWNER.
 * Ownership: a value is the caller's once it has been handed out, else it is destroyed.
 */
#ifndef MUSTER_TASK_H
#define MUSTER_TASK_H

#include <muster/decls.h>
#include <muster/supervisor.h>

MU_BEGIN_DECLS

/* A task's function: runs in the task's thread, may block, may mu_exit. Its value is the message.
 */
typedef mu_message (*mu_task_fn)(void *arg);

typedef struct mu_task mu_task;

typedef struct mu_task_options {
    size_t size;         /* sizeof(mu_task_options) */
    bool nolink;         /* not linked to the caller */
    mu_pid supervisor;   /* a task supervisor, to which it is linked as well; none: no */
    int64_t shutdown_ms; /* how that supervisor stops it; as in mu_child_spec */
    size_t stack_size;   /* bytes; 0: the system's default; not with a supervisor */
    const char *label;   /* its thread's name in ps, top and gdb; not with a supervisor */
    void (*destroy_arg)(void *arg); /* called once after the task's end, or if it does not start */
} mu_task_options;

#define MU_TASK_OPTIONS_INIT                                                                       \
    {                                                                                              \
        .size = sizeof(mu_task_options)                                                            \
    }

/*
 * Starts a task. `options` may be NULL. MU_ENOMEM, MU_ESTOPPED, MU_EINVAL and the other errors of
 * mu_spawn; with a supervisor MU_EMAXCHILDREN, MU_ENOPROC, MU_EDOWN, and it blocks until that has
 * started it.
 */
mu_err mu_task_async(mu_system *system, mu_task_fn fn, void *arg, const mu_task_options *options,
                     mu_task **ret_task);

/* A task that is done, without an actor: await, yield, shutdown and ignore give the value. */
mu_err mu_task_completed(mu_system *system, mu_message value, mu_task **ret_task);

/* The actor; none for a completed task. */
mu_pid mu_task_pid(const mu_task *task);

/*
 * Waits for the value. The task is consumed, except by MU_ENOTOWNER and MU_EKILLED.
 * MU_EDOWN: it ended without one, *ret_reason says how (also when normally). MU_ETIMEOUT: it runs
 * on, its value will be dropped. MU_EINVAL: *take_task is NULL. Blocks. The return values may be
 * NULL.
 */
mu_err mu_task_await(mu_task **take_task, int64_t timeout_ms, mu_message *ret_value,
                     mu_reason *ret_reason);

/* The same, but MU_ETIMEOUT leaves the task as it is, to be asked again. */
mu_err mu_task_yield(mu_task **take_task, int64_t timeout_ms, mu_message *ret_value,
                     mu_reason *ret_reason);

/*
 * Unlinks the task, tells it `shutdown` (again and again where there is no memory for it), waits up
 * to `timeout_ms`, then kills it; MU_BRUTAL_KILL kills at once. Consumes it. MU_OK: there was a
 * value after all. MU_ECANCELLED: it ended as asked, with a plain `shutdown` or, with
 * MU_BRUTAL_KILL, with `killed`, now or already before. MU_EDOWN: it ended otherwise, *ret_reason
 * says how: `killed` if its time ran out, noproc (class error, MU_ENOPROC) if *take_task was NULL.
 * Blocks.
 */
mu_err mu_task_shutdown(mu_task **take_task, int64_t timeout_ms, mu_message *ret_value,
                        mu_reason *ret_reason);

/*
 * Unlinks the task and forgets it; it runs on. MU_OK or MU_EDOWN if there was a value or an end
 * already; MU_ETIMEOUT if it runs. Consumes it except by MU_ENOTOWNER: the way to give a task up.
 */
mu_err mu_task_ignore(mu_task **take_task, mu_message *ret_value, mu_reason *ret_reason);

/* ---- supervised tasks nobody awaits -------------------------------------------------------------
 */

/*
 * A task supervisor is a dynamic supervisor (muster/dynamic_supervisor.h). This starts a task under
 * it that nobody waits for; its value is destroyed. `spec` gives restart (MU_TASK_CHILD_INIT:
 * temporary), shutdown_ms, arg and destroy_arg (called when neither task nor supervisor needs the
 * argument any more). Results as mu_dynamic_supervisor_start_child.
 */
#define MU_TASK_CHILD_INIT                                                                         \
    {                                                                                              \
        .size = sizeof(mu_child_spec), .restart = MU_TEMPORARY                                     \
    }
mu_err mu_task_start_child(mu_pid supervisor, mu_task_fn fn, const mu_child_spec *spec,
                           mu_pid *ret_pid, mu_reason *ret_reason);

/* ---- streams ------------------------------------------------------------------------------------
 */

typedef struct mu_stream mu_stream;

/*
 * What happens to a task that runs past its time. mu_stream_next sees to it, while it waits or when
 * it is called again; what has ended by then, but too late, has run past its time as well.
 */
typedef enum mu_on_timeout {
    MU_ON_TIMEOUT_EXIT = 0, /* the stream ends: next answers MU_ETIMEOUT, the others are killed */
    MU_ON_TIMEOUT_KILL = 1, /* it alone is killed, and its result says MU_ETIMEOUT */
} mu_on_timeout;

/*
 * The next item: true, or false at the end. Runs in mu_stream_next, in the caller's thread, and
 * only when there is room for another task. It must not touch the stream.
 */
typedef bool (*mu_items_fn)(void *ctx, void **ret_item);

/* Where items come from: a function, or an array of pointers. */
typedef struct mu_items {
    mu_items_fn next; /* with `ctx`; NULL: the array */
    void *ctx;
    void *const *array; /* must live as long as the stream */
    size_t n;
} mu_items;

#define MU_ITEMS(array_)                                                                           \
    {                                                                                              \
        .array = (array_), .n = sizeof(array_) / sizeof((array_)[0])                               \
    }

typedef struct mu_stream_options {
    size_t size;   /* sizeof(mu_stream_options) */
    mu_task_fn fn; /* gets the item */
    mu_items items;
    size_t max_concurrency; /* tasks at a time; 0: the number of processors */
    bool unordered;         /* results as they come, instead of in the order of the items */
    int64_t timeout_ms;     /* for each task, from its own start; 0: 5,000; MU_INFINITY */
    mu_on_timeout on_timeout;
    bool nolink; /* as in mu_task_options, as are the next three */
    mu_pid supervisor;
    int64_t shutdown_ms;
    size_t stack_size;
} mu_stream_options;

#define MU_STREAM_OPTIONS_INIT                                                                     \
    {                                                                                              \
        .size = sizeof(mu_stream_options)                                                          \
    }

typedef struct mu_stream_result {
    size_t index; /* of the item, from 0 */
    void *item;
    mu_err status; /* MU_OK: `value`. MU_EDOWN: `reason`. MU_ETIMEOUT: it took too long */
    mu_message value;
    mu_reason reason;
} mu_stream_result;

/* Starts nothing before the first mu_stream_next. MU_EINVAL, MU_ENOMEM. */
mu_err mu_stream_start(mu_system *system, const mu_stream_options *options, mu_stream **ret_stream);

/*
 * Fills the free places with tasks and waits for the next result, whose value becomes the caller's.
 * MU_ENOTFOUND: there is none any more. MU_ETIMEOUT (see on_timeout) and the errors of starting a
 * task end the stream; what still ran has been killed. MU_EKILLED, MU_ENOTOWNER. Blocks.
 */
mu_err mu_stream_next(mu_stream *stream, mu_stream_result *ret_result);

/* Kills what still runs, drops what has not been taken, and frees the stream. NULL is allowed. */
void mu_stream_stop(mu_stream **take_stream);

MU_END_DECLS

#endif
