/*
 * pool/config_impl.h - the inside of a configuration: private to config.c and config_read.c.
 *
 * A layer is what one section, or the environment variables for one pool or for all, say. Several
 * layers may speak of one option of one pool; the most specific one counts:
 *
 *     variable for the pool > variable for all > [pool NAME:ENV] > [pool NAME] > [pool:ENV] >
 * [pool]
 *
 * A type of workers has sections of its own, [type TYPE of POOL:ENV] over [type TYPE of POOL]; what
 * they leave open is decided for the pool. Variables know no types.
 *
 * Thread-safety: one thread while it is read, constant afterwards.
 * Ownership: the configuration owns its layers, a layer the blocks its options point to.
 */
#ifndef MU_POOL_CONFIG_IMPL_H
#define MU_POOL_CONFIG_IMPL_H

#include <muster/config.h>

#include "base/buffer.h"
#include "pool/option_text.h"
#include "pool/options.h"
#include "pool/pool_impl.h"

#define MU__CONFIG_PREFIX "MUSTER_POOL_"

enum {
    MU__CONFIG_ENVIRONMENT_MAX = 32,
    MU__CONFIG_SECTIONS_MAX = 256,
    MU__CONFIG_FILE_MAX = 1 << 20,
};

typedef struct mu__config_entry {
    int line; /* where the layer says it; 0: it does not. Of a variable, 1 */
    void *block;
} mu__config_entry;

typedef struct mu__config_layer {
    struct mu__config_layer *next;
    bool variables;                                   /* not a section of the file */
    char pool[MU__POOL_NAME_MAX + 1];                 /* "": all of them */
    char type[MU_WORKER_TYPE_MAX + 1];                /* "": of the pool as a whole */
    char environment[MU__CONFIG_ENVIRONMENT_MAX + 1]; /* "": every one */
    mu_pool_options options;
    mu__config_entry entries[]; /* one for each option of the table */
} mu__config_layer;

/* The types of one pool, in the order of the file. */
typedef struct mu__config_types {
    struct mu__config_types *next;
    const char *pool; /* a layer's, as all that is in the types */
    size_t n;
    mu_worker_type types[];
} mu__config_types;

struct mu_config {
    char file[256]; /* its name in messages, escaped */
    char environment[MU__CONFIG_ENVIRONMENT_MAX + 1];
    mu__config_layer *layers;
    size_t sections;         /* layers of the file */
    mu__config_types *types; /* once all has been read */
};

/* What is wrong with a configuration; collected, so that all of it can be told at once. */
typedef struct mu__complaints {
    mu_err fatal; /* memory, or a limit: nothing more is read */
    size_t count;
    mu__buffer text; /* one a line, the first few */
} mu__complaints;

void mu__complain(mu__complaints *complaints, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The layer of this name, made if it is new. NULL: no memory, or too many; noted in complaints. */
mu__config_layer *mu__config_layer_get(mu_config *config, bool variables, const char *pool,
                                       const char *type, const char *environment,
                                       mu__complaints *complaints);

/*
 * Reads a file's text into layers, by inih, within bounds: lines, sections, lists. Whatever the
 * bytes are, it ends with layers or complaints.
 */
void mu__config_read_text(mu_config *config, const char *text, size_t size,
                          mu__complaints *complaints);
/* The same of the variables that begin with the prefix. The text has been read. */
void mu__config_read_variables(mu_config *config, const char *const *variables,
                               mu__complaints *complaints);

/* Of all layers, when there will be no more. MU_ENOMEM. */
mu_err mu__config_types_make(mu_config *config);
void mu__config_types_free(mu_config *config);
/* NULL: the pool has none. */
const mu__config_types *mu__config_types_of(const mu_config *config, const char *pool);

/* Where the file gives this type of the pool the value that option number `index` has in `own`; 0:
 * nowhere. */
int mu__config_type_line(const mu_config *config, const char *pool, const char *type, size_t index,
                         const mu_pool_options *own);

/* The variable that sets this option: of one pool, or with "" of all. */
void mu__config_variable(char *name, size_t size, const char *pool, const char *option);

#endif
