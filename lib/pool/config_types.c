/*
 * Types of workers in a configuration (config_impl.h): made of the sections [type TYPE of POOL]
 * once everything has been read, so that options can borrow them; and shown. Called by config.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pool/config_impl.h"
#include "pool/type.h"

/* The layer that decides option number `index` of the type; NULL: none says anything. */
static const mu__config_layer *decide(const mu_config *config, const char *pool, const char *type,
                                      size_t index)
{
    const mu__config_layer *best = NULL;
    for (const mu__config_layer *l = config->layers; l; l = l->next) {
        bool here = !l->environment[0] || strcmp(l->environment, config->environment) == 0;
        if (here && l->entries[index].line > 0 && strcmp(l->type, type) == 0 &&
            strcmp(l->pool, pool) == 0 && (!best || l->environment[0]))
            best = l;
    }
    return best;
}

/* It is a section of a type, and counts in this environment. */
static bool is_of(const mu_config *config, const mu__config_layer *layer, const char *pool)
{
    return layer->type[0] && strcmp(layer->pool, pool) == 0 &&
           (!layer->environment[0] || strcmp(layer->environment, config->environment) == 0);
}

/* ---- making ------------------------------------------------------------------------------- */

/* Puts the type of this name before the others; false: there is none yet. */
static bool put_first(mu__config_types *types, const char *name)
{
    for (size_t i = 0; i < types->n; i++) {
        mu_worker_type type = types->types[i];
        if (strcmp(type.name, name) != 0)
            continue;
        memmove(types->types + 1, types->types, i * sizeof type);
        types->types[0] = type;
        return true;
    }
    return false;
}

static void add_type(const mu_config *config, mu__config_types *types,
                     const mu__config_layer *layer)
{
    size_t count;
    const mu__option *table = mu__option_table(&count);
    mu_pool_options options = MU_POOL_OPTIONS_INIT;
    for (size_t i = 0; i < count; i++) {
        const mu__config_layer *from = decide(config, layer->pool, layer->type, i);
        if (from)
            memcpy(mu__option_field(table + i, &options),
                   mu__option_field(table + i, &from->options), mu__option_size(table + i));
    }
    memmove(types->types + 1, types->types, types->n * sizeof *types->types);
    types->types[0] = mu__type_from(&options, layer->type);
    types->n++;
}

static mu_err make_types(mu_config *config, const char *pool)
{
    size_t room = 0;
    for (const mu__config_layer *l = config->layers; l; l = l->next)
        room += is_of(config, l, pool);
    mu__config_types *types = calloc(1, sizeof *types + room * sizeof *types->types);
    if (!types)
        return MU_ENOMEM;
    types->pool = pool;
    /* Layers stand in reverse order: whatever comes first in the file comes last here. */
    for (const mu__config_layer *l = config->layers; l; l = l->next)
        if (is_of(config, l, pool) && !put_first(types, l->type))
            add_type(config, types, l);
    types->next = config->types;
    config->types = types;
    return MU_OK;
}

mu_err mu__config_types_make(mu_config *config)
{
    mu_err err = MU_OK;
    for (const mu__config_layer *l = config->layers; l && err == MU_OK; l = l->next)
        if (is_of(config, l, l->pool) && !mu__config_types_of(config, l->pool))
            err = make_types(config, l->pool);
    return err;
}

const mu__config_types *mu__config_types_of(const mu_config *config, const char *pool)
{
    const mu__config_types *types = config->types;
    while (types && strcmp(types->pool, pool) != 0)
        types = types->next;
    return types;
}

void mu__config_types_free(mu_config *config)
{
    while (config->types) {
        mu__config_types *types = config->types;
        config->types = types->next;
        free(types);
    }
}

/* ---- showing ------------------------------------------------------------------------------ */

int mu__config_type_line(const mu_config *config, const char *pool, const char *type, size_t index,
                         const mu_pool_options *own)
{
    size_t count;
    const mu__option *option = mu__option_table(&count) + index;
    const mu__config_layer *layer = decide(config, pool, type, index);
    bool same =
        layer && memcmp(mu__option_field(option, own), mu__option_field(option, &layer->options),
                        mu__option_size(option)) == 0;
    return same ? layer->entries[index].line : 0;
}
