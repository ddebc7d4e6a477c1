/*
 * supervision_tree: a nested tree with all three strategies, and what becomes of crashes in it
 *
 *     shop            one_for_one: only who crashed is started again
 *     ├─ log
 *     ├─ backup       transient: started again after a crash, not after its normal end
 *     ├─ storage      one_for_all: who crashed takes all others along
 *     │  ├─ disk
 *     │  ├─ index
 *     │  └─ cache
 *     └─ front        rest_for_one: who crashed takes those started after it along
 *        ├─ config
 *        ├─ listener
 *        └─ handler
 *
 * Every child says when it starts (+) and why it ends (-), and the event hook what the supervisors
 * make of it: a restart (~), or that it was one too many (!). No process is started: all of this is
 * threads.
 */
#include <muster/muster.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the workers: one kind of server, started under many names ---- */

static mu_init worker_init(void *name)
{
    printf("    + %s\n", (char *)name);
    return mu_init_ok(name);
}

static mu_next worker_cast(void *name, mu_message *message)
{
    (void)message;
    return mu_stop(mu_reason_exit(1, "%s tripped", (char *)name));
}

static void worker_terminate(void *name, const mu_reason *reason)
{
    char text[200];
    printf("    - %s (%s)\n", (char *)name, mu_reason_format(reason, text, sizeof text));
}

static const mu_gen_server worker = {
    .init = worker_init, .handle_cast = worker_cast, .terminate = worker_terminate};

/* Trapping exits makes a worker run terminate, and so say goodbye, when it is stopped. */
#define WORKER(name_, ...)                                                                         \
    MU_CHILD(.id = name_, .server = &worker, .arg = (void *)name_,                                 \
             .server_options = &(mu_gen_server_options){.size = sizeof(mu_gen_server_options),     \
                                                        .name = name_,                             \
                                                        .trap_exit = true},                        \
             ##__VA_ARGS__)

/* ---- the tree: tables ---- */

static const mu_child_spec storage_children[] = {WORKER("disk"), WORKER("index"), WORKER("cache")};
static const mu_supervisor_options storage =
    MU_SUPERVISOR(.label = "storage", .strategy = MU_ONE_FOR_ALL, MU_CHILDREN(storage_children));

static const mu_child_spec front_children[] = {WORKER("config"), WORKER("listener"),
                                               WORKER("handler")};
static const mu_supervisor_options front =
    MU_SUPERVISOR(.label = "front", .strategy = MU_REST_FOR_ONE, MU_CHILDREN(front_children));

static const mu_child_spec shop_children[] = {
    WORKER("log"),
    WORKER("backup", .restart = MU_TRANSIENT),
    MU_CHILD(.id = "storage", .supervisor = &storage),
    MU_CHILD(.id = "front", .supervisor = &front),
};
static const mu_supervisor_options shop =
    MU_SUPERVISOR(.label = "shop", .intensity = 5, MU_CHILDREN(shop_children));

/* ---- what the supervisors do: an event for each decision, in the thread that makes it ---- */

static const char *about(const mu_event *event, const char *key)
{
    for (size_t i = 0; i < event->n_metadata; i++)
        if (strcmp(event->metadata[i].key, key) == 0)
            return event->metadata[i].value;
    return "?";
}

static void on_event(void *ctx, const mu_event *event)
{
    (void)ctx;
    if (strcmp(event->name, "supervisor.restart") == 0)
        printf("    ~ %s (restart)\n", about(event, "child"));
    else if (strcmp(event->name, "supervisor.giveup") == 0)
        printf("    ! %s (one restart too many: its supervisor ends)\n", about(event, "child"));
}

/* ---- crashes ---- */

static void must(mu_err err, const char *what)
{
    if (err == MU_OK)
        return;
    fprintf(stderr, "%s: %s\n", what, mu_strerror(err));
    exit(1);
}

/* Crashes `victim` and waits until `last`, the last that is started because of it, is new. */
static void crash(mu_system *system, const char *victim, const char *last, const char *comment)
{
    printf("\n%s crashes: %s\n", victim, comment);
    mu_pid before = mu_whereis(system, last), now = before;
    must(mu_cast(mu_whereis(system, victim), mu_message_tag(0)), "cast");
    for (int ms = 0; mu_pid_is_none(now) || mu_pid_equal(now, before); ms++) {
        must(ms < 10000 ? mu_sleep(1) : MU_ETIMEOUT, last);
        now = mu_whereis(system, last);
    }
    mu_sys_status status; /* it answers when its init is over */
    must(mu_sys_get_status(now, MU_CALL_TIMEOUT, &status), last);
}

static void show(mu_pid supervisor)
{
    mu_tree_node *nodes = NULL;
    size_t n;
    char *text = NULL;
    must(mu_tree_read(supervisor, MU_CALL_TIMEOUT, &nodes, &n), "tree");
    must(mu_tree_format(nodes, n, &text), "tree");
    printf("\nthe tree now:\n%s", text);
    free(text);
    mu_tree_free(nodes);
}

int main(void)
{
    mu_system *system = NULL;
    mu_system_options options = MU_SYSTEM_OPTIONS_INIT;
    options.no_children = true;
    options.event_hook = (mu_event_hook){on_event, NULL};
    must(mu_system_start(&options, &system, NULL), "system");
    mu_child_spec spec = MU_CHILD(.id = "shop", .supervisor = &shop);
    mu_pid pid;

    printf("start: in order, each when the one before is ready\n");
    must(mu_supervisor_start_child(mu_system_root(system), &spec, &pid, NULL), "shop");

    crash(system, "log", "log", "one_for_one, it comes back alone");
    crash(system, "index", "cache", "one_for_all, its siblings are stopped and all come back");
    crash(system, "listener", "handler", "rest_for_one, config is left alone");
    crash(system, "listener", "handler",
          "the second within five seconds; front gives up, and shop starts it anew");
    crash(system, "backup", "backup", "transient, so it comes back");

    printf("\nbackup ends normally: transient, so it stays away\n");
    must(mu_gen_server_stop(mu_whereis(system, "backup"), NULL, MU_CALL_TIMEOUT, NULL), "backup");

    show(pid);

    printf("\nstop: in reverse order\n");
    return mu_system_stop(&system) != 0;
}
