/*
 * Trees of supervisors against a reference model, by chance: each seed makes a tree, lets things
 * happen to it, and demands of the library what supervisor_model.c says: who starts and stops in
 * which order, who runs, what requests answer, and when and why a supervisor gives up.
 *
 * A round is deterministic although everything in it is a thread: the supervisor it is about is
 * suspended, deaths and requests are put into its mailbox one after the other, and then it is
 * resumed. The clock is the test's own, so that the window of restarts slides as the seed wants.
 *
 *     MUSTER_TEST_SEED=4711 build/test/test_otp_supervisor_model     one seed, with its story
 */
#include <inttypes.h>

#include "otp/children.h"
#include "otp/otp_test.h"
#include "otp/supervisor_model.h"
#include "runtime/call.h"
#include "support/mu_dice.h"

enum { ROUNDS = 12, ACTIONS = 6, TREES = 4, PERIOD_MS = 1000, TEXT = 4096 };

/* ---- chance ---- */

static mu_dice dice;

static int roll(int n)
{
    return mu_dice_roll(&dice, n);
}

static bool percent(int share)
{
    return mu_dice_percent(&dice, share);
}

/* ---- the world of one seed, and the same in the library ---- */

static model_world world;
static model_tree trees[TREES]; /* trees[0] is the root's */
static mu_supervisor_options real_trees[TREES];
static mu_child_spec real_specs[TREES][MODEL_CHILDREN];
static int n_trees;
static char next_worker, next_supervisor;

static mu_system *system_;
static mu_pid root;
static _Atomic int64_t now_ns;

static _Atomic int failing['z' + 1];
static _Atomic bool ignoring['z' + 1];
static char names['z' + 1][2]; /* what the children get as argument */

static pthread_mutex_t trace_lock = PTHREAD_MUTEX_INITIALIZER;
static char trace[MODEL_TRACE]; /* guarded by trace_lock */

static mu_story story;

static int64_t read_clock(void *ctx)
{
    (void)ctx;
    return atomic_load(&now_ns);
}

static const mu_clock test_clock = {read_clock, NULL};

/* ---- the children ---- */

static void write_down(char sign, const char *id)
{
    (void)pthread_mutex_lock(&trace_lock);
    size_t length = strlen(trace);
    (void)snprintf(trace + length, sizeof trace - length, "%s%c%s", length > 0 ? " " : "", sign,
                   id);
    (void)pthread_mutex_unlock(&trace_lock);
}

static mu_init worker_init(void *arg)
{
    const char *id = arg;
    int which = id[0];
    if (atomic_load(&failing[which]) > 0) {
        atomic_fetch_sub(&failing[which], 1);
        write_down('!', id);
        return mu_init_stop(mu_reason_exit(13, "will not start"));
    }
    bool ignore = atomic_load(&ignoring[which]);
    write_down(ignore ? '~' : '+', id);
    return ignore ? mu_init_ignore() : mu_init_ok(arg);
}

static void worker_terminate(void *id, const mu_reason *reason)
{
    write_down(reason->cls == MU_REASON_SHUTDOWN && !reason->text[0] ? '-' : 'x', id);
}

static mu_reason reason_of(model_end end)
{
    switch (end) {
    case MODEL_NORMAL:
        return mu_reason_normal();
    case MODEL_SHUTDOWN:
        return mu_reason_shutdown();
    case MODEL_SHUTDOWN_DETAIL:
        return mu_reason_shutdown_detail("done");
    case MODEL_CRASH:
        return mu_reason_exit(99, "crash");
    case MODEL_KILLED:
        break;
    }
    return mu_reason_kill();
}

static mu_next worker_cast(void *id, mu_message *message)
{
    (void)id;
    return mu_stop(reason_of((model_end)message->tag));
}

static const mu_gen_server worker = {
    .init = worker_init, .handle_cast = worker_cast, .terminate = worker_terminate};
static const mu_gen_server_options trapping = {.size = sizeof(mu_gen_server_options),
                                               .trap_exit = true};

static mu_child_spec real_spec(const model_spec *spec)
{
    mu_child_spec real =
        MU_CHILD(.id = spec->id, .restart = spec->restart, .significant = spec->significant);
    if (spec->tree) {
        real.supervisor = &real_trees[spec->tree - trees];
        return real;
    }
    real.server = &worker;
    real.server_options = &trapping;
    real.arg = names[(int)spec->id[0]];
    real.shutdown_ms = spec->brutal ? MU_BRUTAL_KILL : MU_INFINITY;
    return real;
}

/* ---- making a tree ---- */

static model_spec random_spec(char id, bool auto_shutdown)
{
    model_spec spec = {.id = {id, '\0'}};
    spec.restart = percent(auto_shutdown ? 15 : 50) ? MU_PERMANENT
                   : percent(60)                    ? MU_TRANSIENT
                                                    : MU_TEMPORARY;
    spec.significant = auto_shutdown && spec.restart != MU_PERMANENT && percent(75);
    spec.brutal = percent(15);
    return spec;
}

static int make_tree(int depth)
{
    int place = n_trees++;
    model_tree *tree = &trees[place];
    *tree = (model_tree){.strategy = (mu_strategy)roll(3), .limit = roll(8)};
    tree->period_ms = PERIOD_MS;
    if (percent(40))
        tree->auto_shutdown = percent(35) ? MU_AUTO_SHUTDOWN_ANY : MU_AUTO_SHUTDOWN_ALL;
    int n = 1 + roll(4);
    for (int i = 0; i < n; i++) {
        bool nested = depth < 2 && n_trees < TREES && percent(25);
        model_spec spec = random_spec(nested ? next_supervisor++ : next_worker++,
                                      tree->auto_shutdown != MU_AUTO_SHUTDOWN_NEVER);
        if (nested) {
            spec.brutal = false;
            spec.tree = &trees[make_tree(depth + 1)];
        }
        tree->children[tree->n++] = spec;
    }
    for (int i = 0; i < n; i++)
        real_specs[place][i] = real_spec(&tree->children[i]);
    real_trees[place] =
        (mu_supervisor_options)MU_SUPERVISOR(.strategy = tree->strategy,
                                             .auto_shutdown = tree->auto_shutdown,
                                             .intensity =
                                                 tree->limit > 0 ? tree->limit : MU_NO_RESTARTS,
                                             .period_ms = PERIOD_MS, .children = real_specs[place],
                                             .n_children = (size_t)n);
    return place;
}

static void script_start(char id, int fail, bool ignore)
{
    world.failing[(int)id] = fail;
    world.ignoring[(int)id] = ignore;
    atomic_store(&failing[(int)id], fail);
    atomic_store(&ignoring[(int)id], ignore);
}

static void reset(uint64_t seed)
{
    dice = seed;
    n_trees = 0;
    next_worker = 'a';
    next_supervisor = 'A';
    story.length = 0;
    memset(&world, 0, sizeof world);
    for (int id = 0; id <= 'z'; id++) {
        names[id][0] = (char)id;
        script_start((char)id, 0, false);
    }
    world.now_ms = atomic_load(&now_ns) / MU_MS + 10 * PERIOD_MS;
    atomic_store(&now_ns, world.now_ms * MU_MS);
    trace[0] = '\0';
}

/* ---- both sides as text ---- */

typedef struct text {
    char data[TEXT];
    size_t length;
} text;

__attribute__((format(printf, 2, 3))) static void add(text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (t->length < TEXT)
        t->length += (size_t)vsnprintf(t->data + t->length, TEXT - t->length, format, args);
    va_end(args);
}

static void add_child(text *t, const char *id, mu_restart restart, mu_child_type type,
                      mu_child_state state)
{
    add(t, "%s%c%c%s", id, "ptf"[restart], type == MU_WORKER ? 'w' : 's',
        state == MU_CHILD_RUNNING   ? " "
        : state == MU_CHILD_STOPPED ? "- "
                                    : "? ");
}

static void show_model(text *t, const model_supervisor *s)
{
    add(t, "[");
    for (int i = s->n; i-- > 0;) {
        const model_child *child = &s->children[i];
        add_child(t, child->spec.id, child->spec.restart,
                  child->spec.tree ? MU_SUPERVISOR_CHILD : MU_WORKER, child->state);
        if (child->self)
            show_model(t, child->self);
    }
    add(t, "]");
}

static void show_real(text *t, mu_pid supervisor)
{
    mu_child_info *list = NULL;
    size_t n = 0;
    mu_err err = mu_supervisor_which_children(supervisor, &list, &n);
    add(t, "[");
    if (err != MU_OK)
        add(t, "%s", mu_err_name(err));
    for (size_t i = 0; i < n; i++) {
        add_child(t, list[i].id, list[i].restart, list[i].type, list[i].state);
        if (list[i].state == MU_CHILD_RUNNING && !mu_alive(list[i].pid))
            add(t, "dead ");
        else if (list[i].state == MU_CHILD_RUNNING && list[i].type == MU_SUPERVISOR_CHILD)
            show_real(t, list[i].pid);
    }
    add(t, "]");
    mu_children_free(list);
}

static text model_text(void)
{
    text t = {.length = 0};
    if (world.root && world.root->alive)
        show_model(&t, world.root);
    else
        add(&t, "over");
    add(&t, " %s", world.trace);
    return t;
}

static text real_text(void)
{
    text t = {.length = 0};
    if (mu_alive(root))
        show_real(&t, root);
    else
        add(&t, "over");
    (void)pthread_mutex_lock(&trace_lock);
    add(&t, " %s", trace);
    (void)pthread_mutex_unlock(&trace_lock);
    return t;
}

static bool agree(void)
{
    return strcmp(model_text().data, real_text().data) == 0;
}

static void check_agreement(uint64_t seed)
{
    if (!mu_poll_until(agree(), 5000))
        mu_test_fail(__FILE__, __LINE__,
                     "MUSTER_TEST_SEED=%" PRIu64 "\n  model %s\n  real  %s\n  story %s", seed,
                     model_text().data, real_text().data, story.text);
}

/* ---- things that happen ---- */

static mu_pid pid_of(mu_pid supervisor, const char *id)
{
    mu_child_info *list = NULL;
    size_t n = 0;
    mu_pid pid = MU_PID_NONE;
    mu_check_ok(mu_supervisor_which_children(supervisor, &list, &n));
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i].id, id) == 0)
            pid = list[i].pid;
    mu_children_free(list);
    return pid;
}

typedef struct request {
    int number; /* of the model's result */
    mu_request real;
} request;

/* What a round works on: a supervisor, what it had when the round began, and what was asked. */
typedef struct scene {
    model_supervisor *model;
    mu_pid real;
    mu_pid pids[MODEL_CHILDREN]; /* as model->children */
    request requests[ACTIONS];
    int n_requests;
} scene;

static mu__call *watch(mu_pid pid)
{
    mu__call *death;
    mu__reply_to unused;
    mu_check_ok(mu__call_open(system_, &death, &unused));
    mu__call_attach(death, pid);
    return death;
}

/* Each way returns when the death has been told to everybody. */
static void end_actor(mu_pid pid, model_end end, bool from_within)
{
    mu_reason reason = reason_of(end);
    if (end == MODEL_KILLED) {
        mu_check_ok(mu_exit_signal(pid, &reason));
    } else if (from_within) {
        mu__call *death = watch(pid);
        mu_check_ok(mu_cast(pid, mu_message_tag((uint64_t)end)));
        mu_check_err(mu__call_wait(death, MU_NEVER, NULL, &reason), MU_EDOWN);
        mu__call_close(death);
    } else {
        mu_check_ok(mu_gen_server_stop(pid, &reason, MU_INFINITY, NULL));
    }
}

static void let_die(scene *s)
{
    int which = roll(s->model->n);
    model_child *child = &s->model->children[which];
    if (!child->alive)
        return;
    model_end end = (model_end)roll(child->spec.tree ? MODEL_KILLED : MODEL_KILLED + 1);
    mu_story_tell(&story, "%s ends(%d) ", child->spec.id, (int)end);
    bool from_within = !child->spec.tree && percent(50);
    model_child_dies(&world, s->model, child->spec.id, end);
    end_actor(s->pids[which], end, from_within);
}

static void ask(scene *s)
{
    static const mu__children_op ops[] = {MU__CHILDREN_START, MU__CHILDREN_TERMINATE,
                                          MU__CHILDREN_RESTART, MU__CHILDREN_DELETE};
    static const char *const op_names[] = {"start", "terminate", "restart", "delete"};
    model_op op = (model_op)roll(4);
    char id[2] = {(char)('p' + roll(3)), '\0'};
    if (s->model->n > 0 && percent(op == MODEL_START ? 30 : 80))
        id[0] = s->model->children[roll(s->model->n)].spec.id[0];
    model_spec spec = random_spec(id[0], percent(50));
    request *r = &s->requests[s->n_requests++];
    r->number = model_ask(&world, s->model, op, id, &spec);
    mu_story_tell(&story, "%s %s ", op_names[op], id);

    mu__children_request *real = mu__children_request_new(system_, ops[op], id);
    if (op == MODEL_START) {
        mu_child_spec child = real_spec(&spec);
        mu__child_rules rules = {.significant = true};
        mu_reason reason;
        mu_check_ok(mu__child_new(system_, &child, &rules, &real->child, &reason));
    }
    mu_check_ok(mu_send_request(s->real, mu__children_message(real), &r->real));
}

/* From now on the starts of somebody fail a few times, or ask to be ignored, or go well. */
static void change_script(const scene *s)
{
    if (s->model->n == 0)
        return;
    const model_spec *spec = &s->model->children[roll(s->model->n)].spec;
    if (spec->tree)
        spec = &spec->tree->children[roll(spec->tree->n)];
    int fail = percent(60) ? 1 + roll(3) : 0;
    bool ignore = percent(15);
    mu_story_tell(&story, "%s fails %d%s ", spec->id, fail, ignore ? " ignores" : "");
    script_start(spec->id[0], fail, ignore);
}

static void act(scene *s)
{
    int what = roll(100);
    if (what < 30)
        change_script(s);
    else if (what < 65 && s->model->n > 0)
        let_die(s);
    else
        ask(s);
}

/* A supervisor of the tree, by chance. */
static scene choose_scene(void)
{
    scene s = {.model = world.root, .real = root};
    while (s.model->n > 0 && percent(70)) {
        const model_child *child = &s.model->children[roll(s.model->n)];
        if (!child->self)
            break;
        s.real = pid_of(s.real, child->spec.id);
        s.model = child->self;
    }
    for (int i = 0; i < s.model->n; i++)
        s.pids[i] = pid_of(s.real, s.model->children[i].spec.id);
    return s;
}

static void check_results(uint64_t seed, scene *s)
{
    for (int i = 0; i < s->n_requests; i++) {
        mu_message reply = {0};
        mu_err err = mu_request_receive(&s->requests[i].real, MU_INFINITY, &reply, NULL);
        if (err == MU_OK)
            err = ((mu__children_request *)reply.data)->err;
        mu_message_clear(&reply);
        mu_err expected = world.results[s->requests[i].number];
        mu_check_msg(err == expected,
                     "MUSTER_TEST_SEED=%" PRIu64 "\n  request %d of the last round: %s, not %s\n"
                     "  story %s",
                     seed, i, mu_err_name(err), mu_err_name(expected), story.text);
    }
}

static void play_round(uint64_t seed)
{
    /* In tenths of the period, so that restarts often fall just on its end. */
    world.now_ms += roll(6) * (PERIOD_MS / 10);
    atomic_store(&now_ns, world.now_ms * MU_MS);
    model_begin(&world);
    (void)pthread_mutex_lock(&trace_lock);
    trace[0] = '\0';
    (void)pthread_mutex_unlock(&trace_lock);
    scene s = choose_scene();
    mu_story_tell(&story, "\n    at %" PRId64 " tree %d: ", world.now_ms,
                  (int)(s.model->tree - trees));
    mu_check_ok(mu_sys_suspend(s.real, MU_INFINITY));
    int n = 1 + roll(ACTIONS);
    for (int i = 0; i < n; i++)
        act(&s);
    mu_check_ok(mu_sys_resume(s.real, MU_INFINITY));
    model_run(&world);
    check_results(seed, &s);
    check_agreement(seed);
}

/* ---- seeds ---- */

static void check_boot(uint64_t seed)
{
    bool boots = model_boot(&world, &trees[0]);
    mu_reason reason;
    mu_check_err(mu_supervisor_start(system_, &real_trees[0], &root, &reason),
                 boots ? MU_OK : MU_EINIT);
    if (!boots) {
        mu_check_eq(reason.cls, MU_REASON_SHUTDOWN);
        root = MU_PID_NONE;
    }
    check_agreement(seed);
}

/* The tree is over, by itself or because it is asked to: the reason is as the model says. */
static void check_end(uint64_t seed, mu__call *death)
{
    if (world.root->alive) {
        model_end end = (model_end)roll(MODEL_KILLED);
        mu_reason asked = reason_of(end);
        mu_story_tell(&story, "\n    stop(%d)", (int)end);
        model_stop(&world, world.root, end);
        mu_check_ok(mu_gen_server_stop(root, &asked, MU_INFINITY, NULL));
    }
    check_agreement(seed);
    mu_reason expected = reason_of(world.root->end), reason;
    mu_check_err(mu__call_wait(death, MU_NEVER, NULL, &reason), MU_EDOWN);
    mu_check_msg(mu_reason_equal(&reason, &expected),
                 "MUSTER_TEST_SEED=%" PRIu64 "\n  the root ended with class %d, not %d\n  story %s",
                 seed, (int)reason.cls, (int)expected.cls, story.text);
}

static void play(uint64_t seed)
{
    reset(seed);
    (void)make_tree(0);
    if (percent(10))
        script_start((char)('a' + roll(next_worker - 'a')), 1, percent(30));
    check_boot(seed);
    if (world.root) {
        mu__call *death = watch(root);
        for (int i = 0; i < ROUNDS && world.root->alive; i++)
            play_round(seed);
        check_end(seed, death);
        mu__call_close(death);
    }
    mu_check_eq(mu_system_actors(system_), 0u);
    model_free(&world);
}

MU_TEST(supervisor_model, a_tree_does_what_the_reference_model_says_whatever_happens,
        .timeout = 100)
{
    mu_system_options options = MU_SYSTEM_OPTIONS_INIT;
    options.clock = &test_clock;
    options.no_children = true;
    mu_check_ok(mu__runtime_start(&options, &system_));
    const char *only = getenv("MUSTER_TEST_SEED");
    if (only) {
        play(strtoull(only, NULL, 10));
        (void)fprintf(stderr, "# story of seed %s: %s\n", only, story.text);
    } else {
        int64_t seeds = mu_test_size(MU_TEST_SANITIZED ? 200 : 2000, 10000);
        for (int64_t seed = 1; seed <= seeds; seed++)
            play((uint64_t)seed);
    }
    mu_check_eq(mu__runtime_stop(&system_), 0u);
}
