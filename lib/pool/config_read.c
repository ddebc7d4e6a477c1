/*
 * What a configuration file and the environment say, as layers (config_impl.h). The only user of
 * inih. Called by config.c.
 *
 * inih takes lines apart; what it would do silently - cut a long line or section name, stop at a
 * zero byte, take an indented key for more of the value before - is found here first and named. It
 * has no line numbers for its handler, so the lines are handed to it one by one and counted.
 */
#include <ctype.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/escape.h"
#include "pool/config_impl.h"
#include "pool/type.h"

enum {
    SECTION_MOST = 49, /* bytes that inih keeps of a section's name */
    LIST_MOST = 16384, /* bytes of one value, with the lines that continue it */
    SHOWN = 100,
};

typedef struct reading {
    mu_config *config;
    mu__complaints *complaints;
    const char *at, *end;
    int line, section_line;
    bool indented;            /* the line begins with a blank */
    char section[64];         /* of the key before, as inih names it */
    mu__config_layer *layer;  /* of `section`; NULL: it is refused */
    char key[64];             /* the key before, which a line may continue; "": none */
    const mu__option *option; /* of `key`; NULL: it is refused, and so is what continues it */
    mu__buffer value;         /* its text so far */
} reading;

/* ---- lines -------------------------------------------------------------------------------- */

/* The length of a section's name, 0 if the line begins none. */
static size_t section_length(const char *line, size_t length)
{
    while (length > 0 && isspace((unsigned char)*line))
        line++, length--;
    if (length == 0 || *line != '[')
        return 0;
    const char *close = memchr(line, ']', length);
    return (close ? (size_t)(close - line) : length) - 1;
}

/* What inih reads its lines by, as fgets: a line that cannot be taken whole reads as empty. */
static char *next_line(char *to, int room, void *stream)
{
    reading *r = stream;
    if (r->at == r->end || r->complaints->fatal != MU_OK || room < 4)
        return NULL;
    const char *line = r->at, *newline = memchr(line, '\n', (size_t)(r->end - line));
    size_t length = (size_t)((newline ? newline : r->end) - line);
    r->at = newline ? newline + 1 : r->end;
    r->line++;
    size_t section = section_length(line, length);
    if (section > 0)
        r->section_line = r->line;
    const char *file = r->config->file;
    if (memchr(line, '\0', length))
        mu__complain(r->complaints, "%s:%d: there is a zero byte in the line", file, r->line);
    else if (length > (size_t)room - 3)
        mu__complain(r->complaints, "%s:%d: the line has %zu bytes; allowed are %d", file, r->line,
                     length, room - 3);
    else if (section > SECTION_MOST)
        mu__complain(r->complaints, "%s:%d: the name of the section is longer than %d bytes", file,
                     r->line, SECTION_MOST);
    else {
        memcpy(to, line, length);
        to[length] = '\0';
        r->indented = length > 0 && isspace((unsigned char)line[0]);
        return to;
    }
    to[0] = '\0';
    return to;
}

/* ---- sections ----------------------------------------------------------------------------- */

static bool is_environment(const char *text)
{
    size_t length =
        strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
    return length > 0 && !text[length] && length <= MU__CONFIG_ENVIRONMENT_MAX;
}

/* "pool", "pool NAME", "pool:ENV", "pool NAME:ENV"; what is missing becomes "". */
static bool take_pool(const char *section, char *pool, const char **ret_environment)
{
    if (strncmp(section, "pool", 4) != 0)
        return false;
    const char *name = section + 4, *colon = strrchr(section, ':');
    *ret_environment = colon ? colon + 1 : "";
    if (colon && !is_environment(colon + 1))
        return false;
    const char *end = colon ? colon : section + strlen(section);
    while (end > name && isspace((unsigned char)end[-1]))
        end--;
    const char *first = name;
    while (first < end && isspace((unsigned char)*first))
        first++;
    if (first == name && first < end)
        return false; /* "pools" */
    size_t length = (size_t)(end - first);
    if (length > MU__POOL_NAME_MAX)
        return false;
    memcpy(pool, first, length);
    pool[length] = '\0';
    return true;
}

/*
 * Takes "type TYPE of " off, which leaves what else stands behind "pool "; `type` is "" if it is
 * the section of a pool. False: it is no such thing.
 */
static bool take_type(const char **section, char *type)
{
    static const char head[] = "type ", of[] = " of ";
    const char *name = *section + sizeof head - 1, *end = strstr(*section, of);
    type[0] = '\0';
    if (strncmp(*section, head, sizeof head - 1) != 0)
        return true;
    if (!end || end < name || end - name > MU_WORKER_TYPE_MAX)
        return false;
    memcpy(type, name, (size_t)(end - name));
    type[end - name] = '\0';
    *section = end + sizeof of - 1;
    return mu__type_is_name(type);
}

/* "pool ..." as take_pool has it, or "type TYPE of NAME" and "type TYPE of NAME:ENV". */
static bool take_section(const char *section, char *pool, char *type, char *environment)
{
    char whole[SECTION_MOST + sizeof "pool "];
    const char *found;
    if (!take_type(&section, type))
        return false;
    (void)snprintf(whole, sizeof whole, "%s%s", type[0] ? "pool " : "", section);
    if (!take_pool(whole, pool, &found) || (type[0] && !pool[0]))
        return false;
    (void)snprintf(environment, MU__CONFIG_ENVIRONMENT_MAX + 1, "%s", found);
    return true;
}

static void enter_section(reading *r, const char *section)
{
    char shown[SHOWN], pool[MU__POOL_NAME_MAX + 1], type[MU_WORKER_TYPE_MAX + 1];
    char environment[MU__CONFIG_ENVIRONMENT_MAX + 1];
    (void)snprintf(r->section, sizeof r->section, "%s", section);
    r->key[0] = '\0';
    r->layer = NULL;
    (void)mu__escape(shown, sizeof shown, section, strlen(section), MU__ESCAPE_LINE);
    if (take_section(section, pool, type, environment))
        r->layer = mu__config_layer_get(r->config, false, pool, type, environment, r->complaints);
    else if (!section[0])
        mu__complain(r->complaints, "%s:%d: a key stands before the first section", r->config->file,
                     r->line);
    else
        mu__complain(r->complaints,
                     "%s:%d: there is no section [%s]; allowed are [pool], [pool NAME], "
                     "[pool:ENVIRONMENT] and [pool NAME:ENVIRONMENT], and [type TYPE of NAME] and "
                     "[type TYPE of NAME:ENVIRONMENT]",
                     r->config->file, r->section_line, shown);
}

/* ---- keys --------------------------------------------------------------------------------- */

static bool is_key(const mu__option *option)
{
    return option && option->type != MU__OPTION_CODE && option->type != MU__OPTION_NAME;
}

/* Reads a value into a layer; `where` begins the message if it cannot be taken. */
static void set(mu__config_layer *layer, const mu__option *option, const char *text, int line,
                const char *where, mu__complaints *complaints)
{
    size_t count;
    mu__config_entry *entry = layer->entries + (option - mu__option_table(&count));
    mu_error error = MU_ERROR_INIT;
    void *block;
    mu_err err = mu__option_read(option, text, &layer->options, &block, &error);
    if (err == MU_EINVAL)
        mu__complain(complaints, "%s: %s", where, error.message);
    else if (err != MU_OK)
        complaints->fatal = err;
    mu_error_clear(&error);
    if (err != MU_OK)
        return;
    free(entry->block);
    *entry = (mu__config_entry){.line = line, .block = block};
}

/* A further line of the key before. */
static void take_continuation(reading *r, const char *value)
{
    char where[300];
    (void)snprintf(where, sizeof where, "%s:%d", r->config->file, r->line);
    if (!r->option)
        return; /* the key has been complained of */
    if (r->option->type != MU__OPTION_LIST && r->option->type != MU__OPTION_LIMITS) {
        mu__complain(r->complaints,
                     "%s: an indented line continues the one before, and %s is not a list; "
                     "begin a key at the margin",
                     where, r->option->name);
        return;
    }
    mu__buffer_truncate(&r->value, mu__buffer_size(&r->value) - 1); /* the terminator */
    mu_err err = mu__buffer_append(&r->value, " ", 1);
    if (err == MU_OK)
        err = mu__buffer_append(&r->value, value, strlen(value) + 1);
    if (err == MU_OK)
        set(r->layer, r->option, (const char *)mu__buffer_data(&r->value), r->line, where,
            r->complaints);
    else if (err == MU_ETOOBIG)
        mu__complain(r->complaints, "%s: %s is longer than %d bytes", where, r->option->name,
                     LIST_MOST);
    else
        r->complaints->fatal = err;
    if (err != MU_OK)
        r->option = NULL;
}

static void take_key(reading *r, const char *name, const char *value)
{
    char shown[SHOWN], where[300];
    (void)mu__escape(shown, sizeof shown, name, strlen(name), MU__ESCAPE_LINE);
    (void)snprintf(where, sizeof where, "%s:%d", r->config->file, r->line);
    const mu__option *option = mu__option_find(name);
    size_t count;
    r->option = NULL;
    (void)snprintf(r->key, sizeof r->key, "%s", name);
    if (!is_key(option)) {
        mu__complain(r->complaints, "%s: there is no option '%s'%s", where, shown,
                     !option                           ? ""
                     : option->type == MU__OPTION_NAME ? "; the section names the pool"
                                                       : " here; only a program can set it");
        return;
    }
    if (r->layer->type[0] && !mu__type_has(option)) {
        mu__complain(r->complaints, "%s: a type has no %s of its own; it is the pool's", where,
                     name);
        return;
    }
    int before = r->layer->entries[option - mu__option_table(&count)].line;
    if (before > 0) {
        mu__complain(r->complaints, "%s: %s has been set in line %d already", where, name, before);
        return;
    }
    r->option = option;
    mu__buffer_truncate(&r->value, 0);
    mu_err err = mu__buffer_append(&r->value, value, strlen(value) + 1);
    if (err != MU_OK)
        r->complaints->fatal = err;
    else
        set(r->layer, option, value, r->line, where, r->complaints);
}

/* Called by inih for each key, and with the same key again for each line that continues it. */
static int on_key(void *user, const char *section, const char *name, const char *value)
{
    reading *r = user;
    if (r->complaints->fatal != MU_OK)
        return 1;
    if (strcmp(section, r->section) != 0)
        enter_section(r, section);
    if (!r->layer)
        return 1;
    if (r->indented && strcmp(name, r->key) == 0)
        take_continuation(r, value);
    else
        take_key(r, name, value);
    return 1;
}

void mu__config_read_text(mu_config *config, const char *text, size_t size,
                          mu__complaints *complaints)
{
    static const char bom[] = "\xef\xbb\xbf";
    reading r = {.config = config, .complaints = complaints, .at = text, .end = text + size};
    if (size >= sizeof bom - 1 && memcmp(text, bom, sizeof bom - 1) == 0)
        r.at += sizeof bom - 1;
    r.section[0] = '\n'; /* no section's name, so that the first one is entered */
    mu__buffer_init(&r.value, &mu__sys_real, LIST_MOST);
    int bad = ini_parse_stream(next_line, &r, on_key, &r);
    mu__buffer_deinit(&r.value);
    if (bad > 0)
        mu__complain(complaints, "%s:%d: this is neither [section] nor key = value", config->file,
                     bad);
    else if (bad < 0)
        complaints->fatal = MU_ENOMEM;
}

/* ---- variables ---------------------------------------------------------------------------- */

static void append_upper(char *to, size_t size, const char *text)
{
    size_t at = strlen(to);
    for (; *text && at + 1 < size; text++)
        to[at++] = isalnum((unsigned char)*text) ? (char)toupper((unsigned char)*text) : '_';
    to[at] = '\0';
}

void mu__config_variable(char *name, size_t size, const char *pool, const char *option)
{
    (void)snprintf(name, size, MU__CONFIG_PREFIX);
    if (pool[0]) {
        append_upper(name, size, pool);
        append_upper(name, size, "__");
    }
    append_upper(name, size, option);
}

/* Is it this option's variable, of this pool? */
static bool names(const char *variable, size_t length, const char *pool, const char *option)
{
    char name[160];
    mu__config_variable(name, sizeof name, pool, option);
    return strlen(name) == length && memcmp(name, variable, length) == 0;
}

/* Sets what the variable sets in every layer that it speaks of; false: there is none. */
static bool set_variable(mu_config *config, const mu__option *option, const char *variable,
                         size_t length, mu__complaints *complaints)
{
    bool found = false;
    char where[160];
    (void)snprintf(where, sizeof where, "%.*s", (int)length, variable);
    /* Layers are added at the front: those of variables are not walked over. */
    for (mu__config_layer *l = config->layers; l && complaints->fatal == MU_OK; l = l->next) {
        if (l->variables || !l->pool[0] || !names(variable, length, l->pool, option->name))
            continue;
        mu__config_layer *layer = mu__config_layer_get(config, true, l->pool, "", "", complaints);
        if (layer)
            set(layer, option, variable + length + 1, 1, where, complaints);
        found = true;
    }
    if (found || !names(variable, length, "", option->name))
        return found;
    mu__config_layer *layer = mu__config_layer_get(config, true, "", "", "", complaints);
    if (layer)
        set(layer, option, variable + length + 1, 1, where, complaints);
    return true;
}

void mu__config_read_variables(mu_config *config, const char *const *variables,
                               mu__complaints *complaints)
{
    size_t count;
    const mu__option *options = mu__option_table(&count);
    for (; *variables && complaints->fatal == MU_OK; variables++) {
        size_t length = strcspn(*variables, "=");
        if (strncmp(*variables, MU__CONFIG_PREFIX, sizeof MU__CONFIG_PREFIX - 1) != 0 ||
            !(*variables)[length])
            continue;
        bool found = false;
        for (const mu__option *o = options; o < options + count && !found; o++)
            found = is_key(o) && set_variable(config, o, *variables, length, complaints);
        if (found)
            continue;
        char shown[SHOWN];
        (void)mu__escape(shown, sizeof shown, *variables, length, MU__ESCAPE_LINE);
        mu__complain(complaints,
                     "%s: there is no such option, or no section of such a pool; variables "
                     "are " MU__CONFIG_PREFIX "OPTION and " MU__CONFIG_PREFIX "NAME__OPTION",
                     shown);
    }
}
