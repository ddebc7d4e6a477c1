/*
 * Configurations (muster/config.h): loaded, laid over one another, shown. config_read.c makes
 * layers of what it reads; here the most specific one is found for each option.
 */
#include <muster/config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/escape.h"
#include "pool/config_impl.h"
#include "pool/type.h"

extern char **environ;

enum {
    COMPLAINTS_SHOWN = 50,
    DESCRIPTION_MAX = 1 << 20,
    ORIGIN_COLUMN = 40, /* where the comment with the origin begins */
};

/* ---- complaints --------------------------------------------------------------------------- */

void mu__complain(mu__complaints *complaints, const char *format, ...)
{
    char line[600];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (++complaints->count > COMPLAINTS_SHOWN || n < 0)
        return;
    mu_err err = mu__buffer_append(&complaints->text, line, strlen(line));
    if (err == MU_OK)
        err = mu__buffer_append(&complaints->text, "\n", 1);
    if (err != MU_OK)
        complaints->fatal = err;
}

/* The first in `message`, all of them in `detail`. */
static mu_err tell(mu__complaints *complaints, const char *file, mu_error *error)
{
    mu__buffer *text = &complaints->text;
    if (complaints->fatal != MU_OK)
        return mu_error_set(error, complaints->fatal, "%s: %s", file,
                            mu_strerror(complaints->fatal));
    if (complaints->count == 0)
        return MU_OK;
    size_t size =
        mu__buffer_size(text); /* each line ends with a line feed, the text with nothing */
    mu_err err = mu__buffer_append(text, "", 1);
    if (err != MU_OK)
        return mu_error_set(error, err, "%s: %s", file, mu_strerror(err));
    const char *lines = (const char *)mu__buffer_data(text);
    int first = (int)strcspn(lines, "\n");
    if (complaints->count == 1)
        return mu_error_set(error, MU_EINVAL, "%.*s", first, lines);
    (void)mu_error_set(error, MU_EINVAL, "%.*s (and %zu more)", first, lines,
                       complaints->count - 1);
    if (error)
        error->detail = strndup(lines, size - 1);
    return MU_EINVAL;
}

/* ---- layers ------------------------------------------------------------------------------- */

mu__config_layer *mu__config_layer_get(mu_config *config, bool variables, const char *pool,
                                       const char *type, const char *environment,
                                       mu__complaints *complaints)
{
    for (mu__config_layer *l = config->layers; l; l = l->next)
        if (l->variables == variables && strcmp(l->pool, pool) == 0 && strcmp(l->type, type) == 0 &&
            strcmp(l->environment, environment) == 0)
            return l;
    size_t count;
    (void)mu__option_table(&count);
    if (!variables && config->sections == MU__CONFIG_SECTIONS_MAX) {
        mu__complain(complaints, "%s: there are more than %d sections", config->file,
                     MU__CONFIG_SECTIONS_MAX);
        return NULL;
    }
    mu__config_layer *layer = calloc(1, sizeof *layer + count * sizeof *layer->entries);
    if (!layer) {
        complaints->fatal = MU_ENOMEM;
        return NULL;
    }
    layer->variables = variables;
    (void)snprintf(layer->pool, sizeof layer->pool, "%s", pool);
    (void)snprintf(layer->type, sizeof layer->type, "%s", type);
    (void)snprintf(layer->environment, sizeof layer->environment, "%s", environment);
    layer->options = (mu_pool_options)MU_POOL_OPTIONS_INIT;
    layer->next = config->layers;
    config->layers = layer;
    config->sections += !variables;
    return layer;
}

static void layer_free(mu__config_layer *layer)
{
    size_t count;
    (void)mu__option_table(&count);
    for (size_t i = 0; i < count; i++)
        free(layer->entries[i].block);
    free(layer);
}

/* The layer that decides option number `index` for the pool; NULL: none says anything. */
static const mu__config_layer *decide(const mu_config *config, const char *pool, size_t index)
{
    const mu__config_layer *best = NULL;
    int best_rank = -1;
    for (const mu__config_layer *l = config->layers; l; l = l->next) {
        int rank = 4 * l->variables + 2 * (l->pool[0] != '\0') + (l->environment[0] != '\0');
        if (l->entries[index].line > 0 && rank > best_rank && !l->type[0] &&
            (!l->pool[0] || strcmp(l->pool, pool) == 0) &&
            (!l->environment[0] || strcmp(l->environment, config->environment) == 0)) {
            best = l;
            best_rank = rank;
        }
    }
    return best;
}

/* ---- loading ------------------------------------------------------------------------------ */

/* The whole file; no more than one byte over what is allowed. */
static mu_err read_file(const char *path, mu__buffer *text)
{
    /* Not blocking, so that a pipe in the place of the file is an empty file. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return MU_ERRNO(errno);
    mu_err err = MU_OK;
    while (err == MU_OK) {
        err = mu__buffer_reserve(text, 1);
        if (err != MU_OK)
            break;
        size_t room = text->max - mu__buffer_size(text);
        if (room > mu__buffer_room(text))
            room = mu__buffer_room(text);
        ssize_t n = read(fd, mu__buffer_end(text), room);
        if (n == 0)
            break;
        if (n > 0)
            mu__buffer_commit(text, (size_t)n);
        else if (errno != EINTR)
            err = MU_ERRNO(errno);
    }
    (void)close(fd);
    return err;
}

static const char *variable(const char *const *variables, const char *name)
{
    size_t length = strlen(name);
    for (; *variables; variables++)
        if (strncmp(*variables, name, length) == 0 && (*variables)[length] == '=')
            return *variables + length + 1;
    return "";
}

static void read_all(mu_config *config, const mu_config_source *source, mu__complaints *complaints)
{
    const char *const *variables =
        source->variables ? source->variables : (const char *const *)environ;
    const char *environment =
        source->environment ? source->environment : variable(variables, "MUSTER_ENV");
    mu__buffer text;
    if (strlen(environment) > MU__CONFIG_ENVIRONMENT_MAX)
        mu__complain(complaints, "the environment's name has %zu bytes; allowed are 0 to %d",
                     strlen(environment), MU__CONFIG_ENVIRONMENT_MAX);
    (void)snprintf(config->environment, sizeof config->environment, "%s", environment);
    mu__buffer_init(&text, &mu__sys_real, MU__CONFIG_FILE_MAX);
    if (source->text)
        mu__config_read_text(config, source->text, source->size, complaints);
    else if (source->path)
        complaints->fatal = read_file(source->path, &text);
    if (mu__buffer_size(&text) > 0 && complaints->fatal == MU_OK)
        mu__config_read_text(config, (const char *)mu__buffer_data(&text), mu__buffer_size(&text),
                             complaints);
    mu__buffer_deinit(&text);
    if (complaints->fatal == MU_OK)
        mu__config_read_variables(config, variables, complaints);
    if (complaints->fatal == MU_OK)
        complaints->fatal = mu__config_types_make(config);
}

mu_err mu_config_load(const mu_config_source *source, mu_config **ret_config, mu_error *ret_error)
{
    if (!source || source->struct_size != sizeof *source || !ret_config)
        return mu_error_set(ret_error, MU_EINVAL,
                            "mu_config_load wants a source that began as MU_CONFIG_SOURCE_INIT, "
                            "and a place for the configuration");
    mu_config *config = calloc(1, sizeof *config);
    if (!config)
        return mu_error_set(ret_error, MU_ENOMEM, "no memory for a configuration");
    const char *file = source->path ? source->path : source->text ? "text" : "environment";
    (void)mu__escape(config->file, sizeof config->file, file, strlen(file), MU__ESCAPE_LINE);
    mu__complaints complaints = {.fatal = MU_OK};
    mu__buffer_init(&complaints.text, &mu__sys_real, COMPLAINTS_SHOWN * 600);
    if (source->text && source->size > MU__CONFIG_FILE_MAX)
        complaints.fatal = MU_ETOOBIG;
    else
        read_all(config, source, &complaints);
    mu_err err = tell(&complaints, config->file, ret_error);
    mu__buffer_deinit(&complaints.text);
    if (err == MU_OK)
        *ret_config = config;
    else
        mu_config_free(&config);
    return err;
}

void mu_config_free(mu_config **take_config)
{
    if (!take_config || !*take_config)
        return;
    mu_config *config = *take_config;
    *take_config = NULL;
    mu__config_types_free(config);
    while (config->layers) {
        mu__config_layer *layer = config->layers;
        config->layers = layer->next;
        layer_free(layer);
    }
    free(config);
}

/* ---- filling in --------------------------------------------------------------------------- */

/* ---- showing ------------------------------------------------------------------------------ */

static void origin(const mu_config *config, const mu_pool_options *options,
                   const mu__option *option, size_t index, char *text, size_t size)
{
    const mu__config_layer *layer = decide(config, options->name, index);
    if (layer && memcmp(mu__option_field(option, options),
                        mu__option_field(option, &layer->options), mu__option_size(option)) != 0)
        layer = NULL;
    if (layer && layer->variables)
        mu__config_variable(text, size, layer->pool, option->name);
    else if (layer)
        (void)snprintf(text, size, "%s:%d", config->file, layer->entries[index].line);
    else
        (void)snprintf(text, size, "%s",
                       mu__option_is_set(option, options) ? "program" : "default");
}

/* "size = 8                 ; pool.ini:3"; what cannot be written in a file is a comment. */
static mu_err describe_option(const mu__option *option, const mu_pool_options *whole,
                              const char *from, mu__buffer *out)
{
    mu__buffer value;
    char shown[1024], line[1500];
    mu__buffer_init(&value, &mu__sys_real, DESCRIPTION_MAX);
    bool set = mu__option_numeric(option) || mu__option_is_set(option, whole);
    mu_err err = set            ? mu__option_write(option, whole, &value)
                 : option->text ? mu__buffer_append(&value, option->text, strlen(option->text))
                                : MU_OK;
    if (err == MU_OK) {
        size_t size = mu__buffer_size(&value);
        (void)mu__escape(shown, sizeof shown, size > 0 ? (char *)mu__buffer_data(&value) : "", size,
                         MU__ESCAPE_LINE);
        bool writable = set && option->type != MU__OPTION_CODE;
        int n = snprintf(line, sizeof line, "%s%s = %s", writable ? "" : "; ", option->name, shown);
        (void)snprintf(line + n, sizeof line - (size_t)n, "%*s ; %s\n",
                       n < ORIGIN_COLUMN ? ORIGIN_COLUMN - n : 0, "", from);
        err = mu__buffer_append(out, line, strlen(line));
    }
    mu__buffer_deinit(&value);
    return err;
}

/* ---- filling in ---------------------------------------------------------------------------- */

/* The option of which the message begins to speak; NULL: it speaks of several, or of none. */
static const mu__option *blamed(const char *message)
{
    static const char start[] = "pool option ";
    size_t count;
    const mu__option *table = mu__option_table(&count);
    if (strncmp(message, start, sizeof start - 1) != 0)
        return NULL;
    message += sizeof start - 1;
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(table[i].name);
        if (strncmp(message, table[i].name, length) == 0 && strchr(" :", message[length]))
            return table + i;
    }
    return NULL;
}

/*
 * What is wrong only together may be written in several places: the message gets that of the option
 * that it names, `detail` all that is set, one a line, each with where it comes from.
 */
static void tell_origins(const mu_config *config, const mu_pool_options *options, mu_error *error)
{
    size_t count;
    const mu__option *table = mu__option_table(&count);
    char from[300], message[sizeof error->message];
    if (!error)
        return;
    const mu__option *named = blamed(error->message);
    mu__buffer out;
    mu__buffer_init(&out, &mu__sys_real, DESCRIPTION_MAX);
    mu_err err = MU_OK;
    for (size_t i = 0; err == MU_OK && i < count; i++) {
        if (table[i].type == MU__OPTION_NAME || table[i].type == MU__OPTION_CODE ||
            !mu__option_is_set(table + i, options))
            continue;
        origin(config, options, table + i, i, from, sizeof from);
        err = describe_option(table + i, options, from, &out);
        if (table + i == named && strcmp(from, "program") != 0) {
            (void)snprintf(message, sizeof message, "%s: %s", from, error->message);
            memcpy(error->message, message, sizeof message);
        }
    }
    if (err == MU_OK && mu__buffer_append(&out, "", 1) == MU_OK) {
        free(error->detail);
        error->detail = (char *)out.block;
    } else {
        mu__buffer_deinit(&out);
    }
}

mu_err mu_config_pool(const mu_config *config, const char *name, mu_pool_options *options,
                      mu_error *ret_error)
{
    size_t count;
    const mu__option *table = mu__option_table(&count);
    if (!config || !options)
        return mu_error_set(ret_error, MU_EINVAL, "%s is NULL", config ? "options" : "config");
    mu_pool_options filled = *options;
    if (!filled.name)
        filled.name = name ? name : mu__option_find("name")->text;
    for (size_t i = 0; i < count; i++) {
        const mu__config_layer *layer = decide(config, filled.name, i);
        if (layer && !mu__option_is_set(table + i, &filled))
            memcpy(mu__option_field(table + i, &filled),
                   mu__option_field(table + i, &layer->options), mu__option_size(table + i));
    }
    const mu__config_types *types = mu__config_types_of(config, filled.name);
    if (types && !filled.types) {
        filled.types = types->types;
        filled.n_types = types->n;
    }
    mu_err err = mu__pool_options_check(&filled, ret_error);
    if (err == MU_OK)
        *options = filled;
    else
        tell_origins(config, &filled, ret_error);
    return err;
}

/* ---- describing ----------------------------------------------------------------------------- */

/* What a type has of its own; the rest is the pool's. */
static mu_err describe_type(const mu_config *config, const char *pool, const mu_worker_type *type,
                            mu__buffer *out)
{
    size_t count;
    const mu__option *table = mu__option_table(&count);
    mu_pool_options own = mu__type_own(type);
    char line[200], from[300];
    (void)snprintf(line, sizeof line, "[type %s of %s%s%s]\n", type->name, pool,
                   config->environment[0] ? ":" : "", config->environment);
    mu_err err = mu__buffer_append(out, line, strlen(line));
    for (size_t i = 0; err == MU_OK && i < count; i++) {
        if (!mu__type_has(table + i) || !mu__option_is_set(table + i, &own))
            continue;
        int at = mu__config_type_line(config, pool, type->name, i, &own);
        if (at > 0)
            (void)snprintf(from, sizeof from, "%s:%d", config->file, at);
        else
            (void)snprintf(from, sizeof from, "program");
        err = describe_option(table + i, &own, from, out);
    }
    return err;
}

mu_err mu_config_describe(const mu_config *config, const mu_pool_options *options, char **ret_text)
{
    size_t count;
    const mu__option *table = mu__option_table(&count);
    if (!config || !options || !ret_text)
        return MU_EINVAL;
    mu_err err = mu__pool_options_check(options, NULL);
    if (err != MU_OK)
        return err;
    mu_pool_options whole = *options;
    mu__pool_options_complete(&whole);
    mu_pool_options named = *options;
    named.name = whole.name;
    mu__buffer out;
    char line[160], from[300];
    mu__buffer_init(&out, &mu__sys_real, DESCRIPTION_MAX);
    (void)snprintf(line, sizeof line, "[pool %s%s%s]\n", whole.name,
                   config->environment[0] ? ":" : "", config->environment);
    err = mu__buffer_append(&out, line, strlen(line));
    for (size_t i = 0; err == MU_OK && i < count; i++) {
        if (table[i].type == MU__OPTION_NAME ||
            table[i].offset == offsetof(mu_pool_options, types) ||
            table[i].offset == offsetof(mu_pool_options, n_types))
            continue; /* types have sections of their own */
        origin(config, &named, table + i, i, from, sizeof from);
        err = describe_option(table + i, &whole, from, &out);
    }
    for (size_t i = 0; err == MU_OK && i < options->n_types; i++)
        err = describe_type(config, whole.name, &options->types[i], &out);
    if (err == MU_OK)
        err = mu__buffer_append(&out, "", 1);
    if (err == MU_OK)
        *ret_text = (char *)out.block;
    else
        mu__buffer_deinit(&out);
    return err;
}
