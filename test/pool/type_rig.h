/*
 * type_rig: a pool of two types of workers that start at once, `a` and `b`
 *
 *     two_types t;
 *     two_prepare(&t, 1, 2);                    one of a, two of b
 *     two_open(&t);
 *     mu_check_ok(two_ask(&t, "b"));
 *     mu__ticket *held = two_hold(&t, "a");     taken as by a request; NULL: of any type
 *     mu__ticket *next = two_queue(&t, "a", 0);
 *     two_give_back(&t, held);                  ticket_is_served(next) from here on
 *     rig_stop(&t.rig);
 *
 * Tickets that wait are served in the calling thread, by two_give_back and mu_pool_resume, unless
 * the pool grows.
 */
#ifndef MU_TEST_TYPE_RIG_H
#define MU_TEST_TYPE_RIG_H

#include "pool/pool_rig.h"
#include "pool/ticket_rig.h"

enum { PATIENCE_MS = 60000 };

static inline void rig_set_types(pool_rig *rig, const mu_worker_type *types, size_t n)
{
    rig->options.types = types;
    rig->options.n_types = n;
}

/* Workers that start at once: `a` and `b`, so many of each. */
typedef struct two_types {
    pool_rig rig;
    mu_worker_type types[2];
    int64_t later; /* that no two tickets have come at one moment */
} two_types;

static inline void two_prepare(two_types *t, int a, int b)
{
    *t = (two_types){.types = {MU_WORKER_TYPE_INIT, MU_WORKER_TYPE_INIT}};
    rig_prepare(&t->rig, 1);
    t->rig.options.start_method = MU_START_EXEC;
    t->rig.options.executable = MU_TEST_ECHO_WORKER;
    t->rig.options.python_path = NULL;
    t->rig.options.health_check_interval_ms = MU_INFINITY;
    t->types[0].name = "a";
    t->types[0].size = a;
    t->types[1].name = "b";
    t->types[1].size = b;
    rig_set_types(&t->rig, t->types, 2);
}

/* All workers are ready then, of a type that starts with all of them. */
static inline void two_open(two_types *t)
{
    for (int i = 0; i < 2; i++)
        if (!t->types[i].lazy && !t->types[i].min_size)
            t->types[i].min_ready = t->types[i].size;
    mu_check_ok(rig_open(&t->rig));
}

static inline mu__ticket *two_take(two_types *t, const char *type, const char *session,
                                   int priority, bool *ret_served)
{
    const ticket_wish wish = {
        .session = session,
        .type = type ? mu__type_find(t->rig.pool, type) : NULL,
        .priority = priority,
        .ago_ns = -t->later++,
    };
    return ticket_place(t->rig.pool, &wish, ret_served);
}

static inline mu__ticket *two_hold(two_types *t, const char *type)
{
    bool served;
    mu__ticket *ticket = two_take(t, type, NULL, 0, &served);
    mu_check(served);
    return ticket;
}

static inline mu__ticket *two_queue(two_types *t, const char *type, int priority)
{
    bool served;
    mu__ticket *ticket = two_take(t, type, NULL, priority, &served);
    mu_check(!served);
    return ticket;
}

static inline void two_give_back(two_types *t, mu__ticket *ticket)
{
    ticket_give_back(t->rig.pool, ticket);
}

static inline mu_type_info two_info(two_types *t, int index)
{
    mu_type_info *types, info;
    size_t count;
    mu_check_ok(mu_pool_types(t->rig.pool, &types, &count));
    mu_check_eq(count, 2u);
    info = types[index];
    free(types);
    return info;
}

static inline mu_err two_ask(two_types *t, const char *type)
{
    mu_execute_options options = MU_EXECUTE_OPTIONS_INIT;
    options.type = type;
    options.queue_timeout_ms = PATIENCE_MS;
    return rig_ask(&t->rig, "ping", NULL, &options, NULL);
}

#endif
