/*
 * supervisor_model: what a tree of supervisors has to do, as plain data
 *
 * The reference that test_supervisor_model.c holds the library against. It follows OTP's rules
 * (strategies, restart types, the window of restarts, failing restarts, auto-shutdown, requests)
 * without threads, messages or anything of lib/: a supervisor is a list of children and a queue, an
 * actor is a line in that list, and what the children would write down is appended to a text.
 *
 *     model_boot(&world, &tree);                      starts everything, or says why not
 *     model_child_dies(&world, supervisor, "a", end); its notice waits in the supervisor's queue
 *     model_ask(&world, supervisor, op, "b", NULL);   so does a request
 *     model_run(&world);                              handles what waits, and all that follows
 *
 * The trace: "+a" started, "!a" refused to start, "~a" asked to be ignored, "-a" ended by the
 * reason shutdown, "xa" by another one. Who is killed writes nothing.
 *
 * Ownership: a world owns its supervisors until model_free; trees and specs are borrowed.
 */
#ifndef MU_SUPERVISOR_MODEL_H
#define MU_SUPERVISOR_MODEL_H

#include <muster/supervisor.h>

enum { MODEL_CHILDREN = 12, MODEL_QUEUE = 64, MODEL_RECORD = 64, MODEL_TRACE = 16384 };

/* How an actor ended; quiet ends are those that a transient child is not restarted after. */
typedef enum model_end {
    MODEL_NORMAL,
    MODEL_SHUTDOWN,
    MODEL_SHUTDOWN_DETAIL,
    MODEL_CRASH,
    MODEL_KILLED,
} model_end;

struct model_tree;

typedef struct model_spec {
    char id[2];
    mu_restart restart;
    bool significant;
    bool brutal;                   /* stopped by a kill; workers alone */
    const struct model_tree *tree; /* a supervisor of these, or NULL: a worker */
} model_spec;

typedef struct model_tree {
    mu_strategy strategy;
    mu_auto_shutdown auto_shutdown;
    int limit; /* restarts within the period */
    int64_t period_ms;
    model_spec children[MODEL_CHILDREN];
    int n;
} model_tree;

typedef struct model_child {
    model_spec spec;
    mu_child_state state;          /* as the supervisor sees it */
    bool alive;                    /* as it is */
    int tenant;                    /* tells one run of the child from the next */
    int retry;                     /* RESTARTING: the number of the retry that counts */
    struct model_supervisor *self; /* alive and a supervisor */
} model_child;

typedef enum model_op { MODEL_START, MODEL_TERMINATE, MODEL_RESTART, MODEL_DELETE } model_op;

typedef struct model_event {
    enum { MODEL_EXIT, MODEL_RETRY, MODEL_REQUEST } kind;
    int number; /* the tenant, the retry, or where the request's result goes */
    model_end end;
    model_op op;
    char id[2];
    model_spec spec; /* START */
} model_event;

typedef struct model_supervisor {
    const model_tree *tree;
    struct model_supervisor *parent;
    int tenant; /* what the parent knows it by */
    bool alive;
    model_end end;
    model_child children[MODEL_CHILDREN];
    int n;
    int64_t record[MODEL_RECORD]; /* times of restarts */
    int n_record;
    int last_retry;
    model_event queue[MODEL_QUEUE];
    int first, last;
    struct model_supervisor *next; /* all that were ever made, for model_free */
} model_supervisor;

typedef struct model_world {
    int64_t now_ms;
    int failing['z' + 1];   /* by id: so many starts fail from now on */
    bool ignoring['z' + 1]; /* by id: starts ask to be ignored */
    model_supervisor *root, *all;
    int last_tenant;
    mu_err results[MODEL_QUEUE]; /* of the requests since model_begin */
    int n_results;
    char trace[MODEL_TRACE];
    size_t length;
} model_world;

/* Starts the tree. False: a child failed to start; the trace says what was stopped again. */
bool model_boot(model_world *world, const model_tree *tree);
void model_free(model_world *world);

/* Forgets the trace and the results. */
void model_begin(model_world *world);

/* A running child ends by itself, or is ended by somebody other than its supervisor. */
void model_child_dies(model_world *world, model_supervisor *supervisor, const char *id,
                      model_end end);

/* A request is queued; its result will be results[the number returned]. `spec`: START alone. */
int model_ask(model_world *world, model_supervisor *supervisor, model_op op, const char *id,
              const model_spec *spec);

/* Handles everything that waits, until nothing does. */
void model_run(model_world *world);

/* The supervisor is asked to end with this reason. */
void model_stop(model_world *world, model_supervisor *supervisor, model_end end);

/* The child of that id, or NULL. */
model_child *model_find(model_supervisor *supervisor, const char *id);

#endif
