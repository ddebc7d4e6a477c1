/*
 * pool/type.h - the types of workers in a pool: what each is started with, how many there are of
 * it, who of them is idle and who waits for one.
 *
 * A pool without the option `types` has one type, without a name, whose options are the pool's.
 * Else it has those that the option lists; each has the pool's options wherever it sets none of its
 * own. A request that names a type stands in that type's queue, one that names none in the pool's,
 * and every worker takes from both whoever is due first (line.c).
 *
 *     err = mu__types_check(options, error);            anywhere, also by config.c
 *     err = mu__types_make(pool, options, error);       fills pool->types
 *     mu__type *type = mu__type_find(pool, "render");
 *     mu__types_free(pool);
 *
 * Thread-safety: what is guarded by the pool's lock says so; the rest is constant once the pool has
 * started. Making them is for one thread, before the first worker.
 * Ownership: the pool owns its types, in one block; what they point to is in pool->owned.
 */
#ifndef MU_POOL_TYPE_H
#define MU_POOL_TYPE_H

#include <muster/pool.h>

#include "pool/affinity.h"
#include "pool/backoff.h"
#include "pool/balance.h"
#include "pool/options.h"
#include "pool/queue.h"
#include "pool/recycle.h"
#include "pool/scale.h"
#include "port/port.h"

enum { MU__TYPES_MOST = 32, MU__TYPE_WORKERS_MOST = MU__RANKS_MOST };

struct mu__slot;

/* The slots of a type that are idle; idle.c. */
typedef struct mu__idle {
    struct mu__slot *head, *tail; /* the one used last, the one unused for longest */
    mu__ranking ranking;          /* the same slots, if the option `balance` ranks them */
    uint64_t pass;                /* of the slot given out last by weight */
} mu__idle;

typedef struct mu__type {
    char name[MU_WORKER_TYPE_MAX + 1]; /* "": the only one, of a pool without types */
    mu_pool_options options;           /* its own over the pool's, defaults filled in */
    mu__port_spec spec;                /* what its workers are started with */
    size_t n_launch; /* of its argv: the interpreter, its flags and the launcher */
    mu__recycle_limits limits;
    uint8_t weights[MU__TYPE_WORKERS_MOST]; /* of its workers, in the order in which they came */
    /* Guarded by the pool's lock. */
    int size;               /* the option, or what it was set to since */
    mu__scale_limits scale; /* between which numbers of workers the load decides */
    int wanted;             /* how many of its slots are wanted */
    int n_weighed;          /* how many weights have been given out */
    int n_held;             /* of its slots, by their circuit; circuit.c */
    mu__idle idle;
    mu__queue queue;       /* who waits for a worker of this type */
    mu__affinity affinity; /* sessions whose requests name this type */
    mu__emergency emergency;
    uint64_t requests, errors; /* attempts that its workers made */
} mu__type;

/* What one type asks of its options, of the pool's and of the other types'. MU_EINVAL, with the
 * type's name in the message. */
mu_err mu__types_check(const mu_pool_options *options, mu_error *error);

/* The option is one that a type may have of its own. */
bool mu__type_has(const mu__option *option);
/* A type of this name, with what the options say of its own. It borrows both. */
mu_worker_type mu__type_from(const mu_pool_options *options, const char *name);
/* The other way: its own options, and nothing else, which they borrow. */
mu_pool_options mu__type_own(const mu_worker_type *type);
/* A name that a type may have. */
bool mu__type_is_name(const char *name);

/* pool->options have their defaults; `options` are those the user gave. MU_EINVAL, MU_ENOMEM, and
 * what becomes of a program that cannot be found. */
mu_err mu__types_make(mu_pool *pool, const mu_pool_options *options, mu_error *error);
/* Also those that are half made. */
void mu__types_free(mu_pool *pool);

/* NULL: there is none of this name. */
mu__type *mu__type_find(const mu_pool *pool, const char *name);
/* MU_ENOTFOUND in words: what was asked for, and what there is. */
mu_err mu__type_unknown(const mu_pool *pool, const char *name, mu_error *error);

/* Could a worker more serve somebody who asks for this type (NULL: any)? Under the pool's lock. */
bool mu__type_may_grow(const mu_pool *pool, const mu__type *type);

#endif
