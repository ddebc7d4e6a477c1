/* The reference model of supervisors (supervisor_model.h). Uses the public enums of the library and
 * none of its functions. */
#include "otp/supervisor_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum outcome { STARTED, IGNORED, FAILED } outcome;

static void write_down(model_world *world, char sign, const char *id)
{
    if (world->length + 4 < MODEL_TRACE)
        world->length += (size_t)snprintf(world->trace + world->length, MODEL_TRACE - world->length,
                                          "%s%c%s", world->length > 0 ? " " : "", sign, id);
}

static bool is_quiet(model_end end)
{
    return end == MODEL_NORMAL || end == MODEL_SHUTDOWN || end == MODEL_SHUTDOWN_DETAIL;
}

static void push(model_supervisor *s, model_event event)
{
    if (!s->alive || s->last == MODEL_QUEUE)
        return;
    s->queue[s->last++] = event;
}

model_child *model_find(model_supervisor *s, const char *id)
{
    for (int i = 0; i < s->n; i++)
        if (strcmp(s->children[i].spec.id, id) == 0)
            return &s->children[i];
    return NULL;
}

static void drop(model_supervisor *s, int place)
{
    memmove(&s->children[place], &s->children[place + 1],
            (size_t)(s->n - place - 1) * sizeof s->children[0]);
    s->n--;
}

/* ---- stopping ---- */

static void stop_child(model_world *world, model_child *child);

/* A supervisor ends: its children in reverse order, then itself. Nobody is told. */
static void end_supervisor(model_world *world, model_supervisor *s, model_end end)
{
    for (int i = s->n - 1; i >= 0; i--)
        stop_child(world, &s->children[i]);
    s->alive = false;
    s->end = end;
    for (; s->first < s->last; s->first++)
        if (s->queue[s->first].kind == MODEL_REQUEST)
            world->results[s->queue[s->first].number] = MU_EDOWN;
}

/* Its supervisor stops it; one that is dead already is dead. */
static void stop_child(model_world *world, model_child *child)
{
    if (child->alive && child->self)
        end_supervisor(world, child->self, MODEL_SHUTDOWN);
    else if (child->alive && !child->spec.brutal)
        write_down(world, '-', child->spec.id);
    child->alive = false;
    child->self = NULL;
    child->state = MU_CHILD_STOPPED;
}

/* A supervisor ends and its own supervisor hears of it. */
static void end_and_tell(model_world *world, model_supervisor *s, model_end end)
{
    if (!s->alive)
        return;
    end_supervisor(world, s, end);
    if (!s->parent)
        return;
    for (int i = 0; i < s->parent->n; i++) {
        if (s->parent->children[i].self != s)
            continue;
        s->parent->children[i].alive = false;
        s->parent->children[i].self = NULL;
    }
    push(s->parent, (model_event){.kind = MODEL_EXIT, .number = s->tenant, .end = end});
}

/* ---- starting ---- */

static outcome start_child(model_world *world, model_supervisor *s, model_child *child);

/* Starts a supervisor with all its children, or with none. */
static model_supervisor *start_supervisor(model_world *world, model_supervisor *parent,
                                          const model_tree *tree)
{
    model_supervisor *s = calloc(1, sizeof *s);
    if (!s)
        abort();
    s->tree = tree;
    s->parent = parent;
    s->alive = true;
    s->next = world->all;
    world->all = s;
    for (int i = 0; i < tree->n; i++) {
        model_child *child = &s->children[s->n++];
        *child = (model_child){.spec = tree->children[i]};
        outcome got = start_child(world, s, child);
        if (got == FAILED) {
            end_supervisor(world, s, MODEL_SHUTDOWN_DETAIL);
            return NULL;
        }
        if (got == IGNORED && child->spec.restart == MU_TEMPORARY)
            s->n--;
    }
    return s;
}

static outcome start_worker(model_world *world, const char *id)
{
    int which = id[0];
    if (world->failing[which] > 0) {
        world->failing[which]--;
        write_down(world, '!', id);
        return FAILED;
    }
    write_down(world, world->ignoring[which] ? '~' : '+', id);
    return world->ignoring[which] ? IGNORED : STARTED;
}

static outcome start_child(model_world *world, model_supervisor *s, model_child *child)
{
    outcome got;
    if (child->spec.tree) {
        child->self = start_supervisor(world, s, child->spec.tree);
        got = child->self ? STARTED : FAILED;
    } else {
        got = start_worker(world, child->spec.id);
    }
    child->alive = got == STARTED;
    child->state = child->alive ? MU_CHILD_RUNNING : MU_CHILD_STOPPED;
    if (child->alive)
        child->tenant = ++world->last_tenant;
    if (child->self)
        child->self->tenant = child->tenant;
    return got;
}

/* ---- deaths ---- */

/* True if the supervisor may restart once more. */
static bool record_restart(const model_world *world, model_supervisor *s)
{
    int kept = 0;
    for (int i = 0; i < s->n_record; i++)
        if (world->now_ms - s->record[i] <= s->tree->period_ms)
            s->record[kept++] = s->record[i];
    s->record[kept++] = world->now_ms;
    s->n_record = kept;
    return kept <= s->tree->limit;
}

static void restart(model_world *world, model_supervisor *s, int place)
{
    s->children[place].state = MU_CHILD_STOPPED;
    if (!record_restart(world, s)) {
        end_and_tell(world, s, MODEL_SHUTDOWN);
        return;
    }
    int first = s->tree->strategy == MU_ONE_FOR_ALL ? 0 : place;
    int last = s->tree->strategy == MU_ONE_FOR_ONE ? place : s->n - 1;
    for (int i = last; i >= first; i--) {
        stop_child(world, &s->children[i]);
        if (s->children[i].spec.restart == MU_TEMPORARY) {
            drop(s, i);
            last--;
        }
    }
    for (int i = first; i <= last; i++) {
        if (start_child(world, s, &s->children[i]) != FAILED)
            continue;
        s->children[i].state = MU_CHILD_RESTARTING;
        s->children[i].retry = ++s->last_retry;
        push(s, (model_event){.kind = MODEL_RETRY, .number = s->last_retry});
        return;
    }
}

/* One that is not restarted: forgotten if temporary, and perhaps the last straw. */
static void let_rest(model_world *world, model_supervisor *s, int place)
{
    bool significant = s->children[place].spec.significant;
    s->children[place].state = MU_CHILD_STOPPED;
    if (s->children[place].spec.restart == MU_TEMPORARY)
        drop(s, place);
    int others = 0;
    for (int i = 0; i < s->n; i++)
        others += s->children[i].spec.significant && s->children[i].state != MU_CHILD_STOPPED;
    if (significant && (s->tree->auto_shutdown == MU_AUTO_SHUTDOWN_ANY ||
                        (s->tree->auto_shutdown == MU_AUTO_SHUTDOWN_ALL && others == 0)))
        end_and_tell(world, s, MODEL_SHUTDOWN);
}

static void on_exit_notice(model_world *world, model_supervisor *s, int tenant, model_end end)
{
    for (int i = 0; i < s->n; i++) {
        const model_child *child = &s->children[i];
        if (child->state != MU_CHILD_RUNNING || child->tenant != tenant)
            continue;
        if (child->spec.restart == MU_PERMANENT ||
            (child->spec.restart == MU_TRANSIENT && !is_quiet(end)))
            restart(world, s, i);
        else
            let_rest(world, s, i);
        return;
    }
}

static void on_retry(model_world *world, model_supervisor *s, int retry)
{
    for (int i = 0; i < s->n; i++) {
        if (s->children[i].state == MU_CHILD_RESTARTING && s->children[i].retry == retry) {
            restart(world, s, i);
            return;
        }
    }
}

/* ---- requests ---- */

static mu_err result_of(outcome got)
{
    return got == STARTED ? MU_OK : got == IGNORED ? MU_EIGNORE : MU_EINIT;
}

static mu_err on_start(model_world *world, model_supervisor *s, const model_spec *spec)
{
    if (spec->significant && s->tree->auto_shutdown == MU_AUTO_SHUTDOWN_NEVER)
        return MU_EBADSPEC; /* before the id is looked at, as in OTP */
    const model_child *known = model_find(s, spec->id);
    if (known)
        return known->state == MU_CHILD_RUNNING ? MU_EALREADY_STARTED : MU_EALREADY_PRESENT;
    model_child *child = &s->children[s->n++];
    *child = (model_child){.spec = *spec};
    outcome got = start_child(world, s, child);
    if (got == FAILED || (got == IGNORED && spec->restart == MU_TEMPORARY))
        s->n--;
    return result_of(got);
}

static mu_err on_request(model_world *world, model_supervisor *s, const model_event *event)
{
    if (event->op == MODEL_START)
        return on_start(world, s, &event->spec);
    model_child *child = model_find(s, event->id);
    if (!child)
        return MU_ENOTFOUND;
    int place = (int)(child - s->children);
    if (event->op == MODEL_TERMINATE) {
        stop_child(world, child);
        if (child->spec.restart == MU_TEMPORARY)
            drop(s, place);
        return MU_OK;
    }
    if (child->state != MU_CHILD_STOPPED)
        return child->state == MU_CHILD_RUNNING ? MU_ERUNNING : MU_ERESTARTING;
    if (event->op == MODEL_RESTART)
        return result_of(start_child(world, s, child));
    drop(s, place);
    return MU_OK;
}

/* ---- from outside ---- */

bool model_boot(model_world *world, const model_tree *tree)
{
    world->root = start_supervisor(world, NULL, tree);
    return world->root != NULL;
}

void model_free(model_world *world)
{
    while (world->all) {
        model_supervisor *s = world->all;
        world->all = s->next;
        free(s);
    }
    world->root = NULL;
}

void model_begin(model_world *world)
{
    world->length = 0;
    world->trace[0] = '\0';
    world->n_results = 0;
}

void model_child_dies(model_world *world, model_supervisor *s, const char *id, model_end end)
{
    model_child *child = model_find(s, id);
    if (!child || !child->alive)
        return;
    if (child->self) {
        end_and_tell(world, child->self, end);
        return;
    }
    if (end != MODEL_KILLED)
        write_down(world, end == MODEL_SHUTDOWN ? '-' : 'x', id);
    child->alive = false;
    push(s, (model_event){.kind = MODEL_EXIT, .number = child->tenant, .end = end});
}

int model_ask(model_world *world, model_supervisor *s, model_op op, const char *id,
              const model_spec *spec)
{
    int number = world->n_results++;
    world->results[number] = MU_ENOPROC;
    model_event event = {.kind = MODEL_REQUEST, .number = number, .op = op};
    memcpy(event.id, id, sizeof event.id);
    if (spec)
        event.spec = *spec;
    push(s, event);
    return number;
}

/* Handles one event of one supervisor; false if none has any. */
static bool step(model_world *world)
{
    for (model_supervisor *s = world->all; s; s = s->next) {
        if (!s->alive || s->first == s->last)
            continue;
        model_event event = s->queue[s->first++];
        if (s->first == s->last)
            s->first = s->last = 0;
        if (event.kind == MODEL_EXIT)
            on_exit_notice(world, s, event.number, event.end);
        else if (event.kind == MODEL_RETRY)
            on_retry(world, s, event.number);
        else
            world->results[event.number] = on_request(world, s, &event);
        return true;
    }
    return false;
}

void model_run(model_world *world)
{
    while (step(world))
        ;
}

void model_stop(model_world *world, model_supervisor *s, model_end end)
{
    end_and_tell(world, s, end);
}
