/*
 * A supervisor against a model of it.
 *
 * Random trees of one level are driven by random deaths and requests; after each step the diary of
 * starts and ends, the children's states and the supervisor's life must be what a reference model
 * says, which knows no threads, messages or time. A failure prints the seed; MU_SEED=n runs it
 * alone.
 */
#include "otp/tree_test.h"

enum { KIDS = 6, STEPS = 24 };

static diary book;
static kid kids[KIDS] = {{.name = "a", .diary = &book}, {.name = "b", .diary = &book},
                         {.name = "c", .diary = &book}, {.name = "d", .diary = &book},
                         {.name = "e", .diary = &book}, {.name = "f", .diary = &book}};

/* ---- the model ---- */

typedef struct model_child {
    int who;
    mu_restart restart;
    bool significant, running;
} model_child;

typedef struct model {
    mu_strategy strategy;
    mu_auto_shutdown auto_shutdown;
    int limit, restarts;
    bool dead;
    model_child list[KIDS];
    int n;
    int failing[KIDS]; /* so many starts fail */
    char book[2048];
} model;

static void write_down(model *m, char what, int who)
{
    size_t used = strlen(m->book);
    (void)snprintf(m->book + used, sizeof m->book - used, "%s%c%s", used ? " " : "", what,
                   kids[who].name);
}

static int place_of(const model *m, int who)
{
    int i = 0;
    while (i < m->n && m->list[i].who != who)
        i++;
    return i;
}

static void drop(model *m, int place)
{
    m->n--;
    for (int i = place; i < m->n; i++)
        m->list[i] = m->list[i + 1];
}

static void stop_one(model *m, int place)
{
    if (m->list[place].running)
        write_down(m, '-', m->list[place].who);
    m->list[place].running = false;
}

static void die(model *m)
{
    for (int i = m->n - 1; i >= 0; i--)
        stop_one(m, i);
    m->dead = true;
}

static bool start_one(model *m, model_child *c)
{
    if (m->failing[c->who] > 0) {
        m->failing[c->who]--;
        write_down(m, '!', c->who);
        return false;
    }
    write_down(m, '+', c->who);
    return c->running = true;
}

/* One attempt after the other until all runs or the limit is reached. */
static void restart(model *m, int who)
{
    while (true) {
        if (++m->restarts > m->limit) {
            die(m);
            return;
        }
        int place = place_of(m, who);
        int first = m->strategy == MU_ONE_FOR_ALL ? 0 : place;
        int last = m->strategy == MU_ONE_FOR_ONE ? place + 1 : m->n;
        for (int i = last - 1; i >= first; i--) {
            stop_one(m, i);
            if (m->list[i].restart == MU_TEMPORARY) {
                drop(m, i);
                last--;
            }
        }
        int i = first;
        while (i < last && start_one(m, &m->list[i]))
            i++;
        if (i == last)
            return;
        who = m->list[i].who;
    }
}

static void child_ended(model *m, int who, bool quiet)
{
    int place = place_of(m, who);
    model_child c = m->list[place];
    m->list[place].running = false;
    if (c.restart == MU_PERMANENT || (c.restart == MU_TRANSIENT && !quiet)) {
        restart(m, who);
        return;
    }
    if (c.restart == MU_TEMPORARY)
        drop(m, place);
    bool others = false;
    for (int i = 0; i < m->n; i++)
        others |= m->list[i].significant && m->list[i].running;
    if (c.significant && (m->auto_shutdown == MU_AUTO_SHUTDOWN_ANY ||
                          (m->auto_shutdown == MU_AUTO_SHUTDOWN_ALL && !others)))
        die(m);
}

static mu_err model_start_child(model *m, model_child c)
{
    int place = place_of(m, c.who);
    if (place < m->n)
        return m->list[place].running ? MU_EALREADY_STARTED : MU_EALREADY_PRESENT;
    if (!start_one(m, &c))
        return MU_EINIT;
    m->list[m->n++] = c;
    return MU_OK;
}

static mu_err model_terminate_child(model *m, int who)
{
    int place = place_of(m, who);
    if (place == m->n)
        return MU_ENOTFOUND;
    stop_one(m, place);
    if (m->list[place].restart == MU_TEMPORARY)
        drop(m, place);
    return MU_OK;
}

static mu_err model_restart_child(model *m, int who)
{
    int place = place_of(m, who);
    if (place == m->n)
        return MU_ENOTFOUND;
    if (m->list[place].running)
        return MU_ERUNNING;
    return start_one(m, &m->list[place]) ? MU_OK : MU_EINIT;
}

static mu_err model_delete_child(model *m, int who)
{
    int place = place_of(m, who);
    if (place == m->n)
        return MU_ENOTFOUND;
    if (m->list[place].running)
        return MU_ERUNNING;
    drop(m, place);
    return MU_OK;
}

/* ---- the driver ---- */

typedef struct driver {
    uint64_t seed, state;
    int step;
    model model;
    mu_pid supervisor;
} driver;

static uint32_t roll(driver *d, uint32_t sides)
{
    d->state += UINT64_C(0x9E3779B97F4A7C15); /* SplitMix64 (Steele, Lea, Flood 2014) */
    uint64_t z = d->state;
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return (uint32_t)((z ^ (z >> 31)) % sides);
}

#define expect(d, condition)                                                                       \
    mu_check_msg(condition, "seed %llu, step %d: %s is false", (unsigned long long)(d)->seed,      \
                 (d)->step, #condition)

static mu_child_spec spec_of(const model_child *c)
{
    return (mu_child_spec){.size = sizeof(mu_child_spec),
                           .id = kids[c->who].name,
                           .server = &kid_server,
                           .server_options = &trapping,
                           .arg = &kids[c->who],
                           .restart = c->restart,
                           .significant = c->significant};
}

static model_child random_child(driver *d, int who)
{
    model_child c = {.who = who, .restart = (mu_restart)roll(d, 3)};
    c.significant =
        d->model.auto_shutdown != MU_AUTO_SHUTDOWN_NEVER && c.restart != MU_PERMANENT && roll(d, 2);
    return c;
}

static void start_random_tree(driver *d, mu_system *system)
{
    model *m = &d->model;
    m->strategy = (mu_strategy)roll(d, 3);
    m->auto_shutdown = (mu_auto_shutdown)roll(d, 3);
    m->limit = (int)roll(d, 9);
    mu_child_spec table[KIDS];
    int n = 1 + (int)roll(d, KIDS - 1);
    for (int i = 0; i < n; i++) {
        m->list[i] = random_child(d, i);
        table[i] = spec_of(&m->list[i]);
        (void)start_one(m, &m->list[i]);
    }
    m->n = n;
    mu_supervisor_options options = MU_SUPERVISOR_OPTIONS_INIT;
    options.strategy = m->strategy;
    options.auto_shutdown = m->auto_shutdown;
    options.intensity = m->limit ? m->limit : MU_NO_RESTARTS;
    options.period_ms = 1000000;
    options.children = table;
    options.n_children = (size_t)n;
    expect(d, mu_supervisor_start(system, &options, &d->supervisor, NULL) == MU_OK);
}

/* Ends a running child and waits until its supervisor must have been told. */
static void end_child(driver *d, int who, int how)
{
    mu_pid pid = pid_of(d->supervisor, kids[who].name);
    mu_ref ref;
    mu_check_ok(mu_monitor(pid, &ref));
    mu_reason kill = mu_reason_kill();
    if (how)
        mu_check_ok(mu_cast(pid, mu_message_tag((uint64_t)how)));
    else
        mu_check_ok(mu_exit_signal(pid, &kill));
    (void)await_down(ref);
    if (how)
        write_down(&d->model, 'x', who);
    child_ended(&d->model, who, how == DIE_NORMAL || how == DIE_SHUTDOWN);
}

static void random_step(driver *d)
{
    model *m = &d->model;
    int who = (int)roll(d, KIDS), place = place_of(m, who);
    const char *id = kids[who].name;
    uint32_t what = roll(d, 12);
    if (what < 6 && place < m->n && m->list[place].running) {
        end_child(d, who, (int)roll(d, 4));
    } else if (what < 7) {
        int failures = (int)roll(d, 3);
        m->failing[who] = failures;
        atomic_store(&kids[who].failing_starts, failures);
    } else if (what < 8) {
        model_child c = random_child(d, who);
        mu_child_spec spec = spec_of(&c);
        mu_err expected = model_start_child(m, c);
        expect(d, mu_supervisor_start_child(d->supervisor, &spec, NULL, NULL) == expected);
    } else if (what < 10) {
        mu_err expected = model_terminate_child(m, who);
        expect(d, mu_supervisor_terminate_child(d->supervisor, id) == expected);
    } else if (what < 11) {
        mu_err expected = model_restart_child(m, who);
        expect(d, mu_supervisor_restart_child(d->supervisor, id, NULL, NULL) == expected);
    } else {
        mu_err expected = model_delete_child(m, who);
        expect(d, mu_supervisor_delete_child(d->supervisor, id) == expected);
    }
}

/* The children as the supervisor lists them, once no restart is under way; NULL: it is dead. */
static mu_child_info *quiet_list(driver *d, size_t *n)
{
    for (;;) {
        mu_child_info *list = NULL;
        if (mu_supervisor_which_children(d->supervisor, &list, n) != MU_OK)
            return NULL;
        bool busy = false;
        for (size_t i = 0; i < *n; i++)
            busy |= list[i].state == MU_CHILD_RESTARTING;
        if (!busy)
            return list;
        mu_children_free(list);
    }
}

static void compare(driver *d)
{
    const model *m = &d->model;
    size_t n = 0;
    char seen[4096];
    mu_child_info *list = quiet_list(d, &n);
    (void)read_from(&book, 0, seen, sizeof seen);
    mu_check_msg(strcmp(seen, m->book) == 0,
                 "seed %llu, step %d:\n it did         %s\n the model did  %s",
                 (unsigned long long)d->seed, d->step, seen, m->book);
    expect(d, (list == NULL) == m->dead);
    expect(d, m->dead || n == (size_t)m->n);
    for (int i = 0; list && i < m->n; i++) { /* newest first */
        const mu_child_info *info = &list[m->n - 1 - i];
        expect(d, strcmp(info->id, kids[m->list[i].who].name) == 0);
        expect(d, (info->state == MU_CHILD_RUNNING) == m->list[i].running);
        expect(d, info->restart == m->list[i].restart);
    }
    mu_children_free(list);
}

static void run_seed(mu_system *system, uint64_t seed)
{
    driver d = {.seed = seed, .state = seed};
    forget_diary(&book);
    for (int i = 0; i < KIDS; i++)
        atomic_store(&kids[i].failing_starts, 0);
    start_random_tree(&d, system);
    for (d.step = 0; d.step < STEPS && !d.model.dead; d.step++) {
        random_step(&d);
        compare(&d);
    }
    if (!d.model.dead)
        expect(&d, mu_gen_server_stop(d.supervisor, NULL, MU_INFINITY, NULL) == MU_OK);
}

static void run_seeds(mu_system *system)
{
    const char *one = getenv("MU_SEED");
    if (one) {
        run_seed(system, strtoull(one, NULL, 10));
        return;
    }
    for (int64_t seed = 1; seed <= mu_test_size(1000, 10000); seed++)
        run_seed(system, (uint64_t)seed);
}

static void body(void *arg)
{
    mu_system **system = arg;
    run_seeds(*system);
    *system = NULL;
}

MU_TEST(supervisor_model, does_what_the_model_does_for_every_seed, .timeout = 300)
{
    mu_system *system = start_system(), *running = system;
    mu_pid pid;
    mu_check_ok(mu_spawn(system, NULL, body, &running, &pid));
    mu_wait_until(!mu_alive(pid), 290000);
    mu_check(!running);
    stop_system(system);
}
