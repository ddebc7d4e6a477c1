/*
 * The supervision tree as data and as text (muster/tree.h). Called by programs; asks every actor
 * through sys.c, and supervisors through children.c.
 */
#include <muster/tree.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/sys.h>

#include "base/buffer.h"
#include "otp/children.h"
#include "otp/gen.h"
#include "otp/server.h"
#include "runtime/actor.h"

/* While it is read, a node's texts are places in `texts`, one more than the offset; 0 is NULL. */
typedef struct draft {
    mu_tree_node node;
    size_t id, detail;
} draft;

typedef struct reader {
    int64_t deadline;
    mu__buffer drafts; /* of draft */
    mu__buffer texts;
} reader;

static mu_err keep_text(reader *r, const char *text, size_t *ret_place)
{
    *ret_place = 0;
    if (!text)
        return MU_OK;
    size_t place = mu__buffer_size(&r->texts) + 1;
    mu_err err = mu__buffer_append(&r->texts, text, strlen(text) + 1);
    if (err == MU_OK)
        *ret_place = place;
    return err;
}

static int64_t time_left(const reader *r)
{
    return mu_ms_left(mu_clock_now(&mu__clock_monotonic), r->deadline);
}

static mu_err add(reader *r, size_t depth, const mu_child_info *info, const mu_sys_status *status)
{
    draft d = {.node = {.depth = depth,
                        .pid = info->pid,
                        .state = info->state,
                        .type = info->type,
                        .restart = info->restart,
                        .kind = status ? status->kind : NULL}};
    char label[MU__LABEL_SIZE];
    const char *id = info->id ? info->id : mu__label(info->pid, label);
    mu_err err = keep_text(r, id[0] ? id : NULL, &d.id);
    if (err == MU_OK)
        err = keep_text(r, status ? status->state : "", &d.detail);
    return err == MU_OK ? mu__buffer_append(&r->drafts, &d, sizeof d) : err;
}

static mu_err read_below(reader *r, size_t depth, mu_pid supervisor, bool newest_first);

static mu_err read_one(reader *r, size_t depth, const mu_child_info *info)
{
    mu_sys_status status;
    mu_err asked = mu_pid_is_none(info->pid) ? MU_ENOPROC
                                             : mu_sys_get_status(info->pid, time_left(r), &status);
    if (asked == MU_EKILLED)
        return asked;
    mu_err err = add(r, depth, info, asked == MU_OK ? &status : NULL);
    if (err != MU_OK || asked != MU_OK)
        return err;
    bool is_static = strcmp(status.kind, "supervisor") == 0;
    if (is_static || strcmp(status.kind, "dynamic_supervisor") == 0)
        err = read_below(r, depth + 1, info->pid, is_static);
    return err;
}

/* One that does not answer any more has no children to show. */
static mu_err read_below(reader *r, size_t depth, mu_pid supervisor, bool newest_first)
{
    mu_child_info *list = NULL;
    size_t n = 0;
    mu_err err = mu__children_which(supervisor, time_left(r), &list, &n);
    if (err != MU_OK)
        return err == MU_EKILLED || err == MU_ENOMEM ? err : MU_OK;
    for (size_t i = 0; i < n && err == MU_OK; i++)
        err = read_one(r, depth, &list[newest_first ? n - 1 - i : i]);
    mu_children_free(list);
    return err;
}

/* Nodes and texts in one block. */
static mu_err seal(reader *r, const mu_sys *sys, mu_tree_node **ret_nodes, size_t *ret_count)
{
    size_t n = mu__buffer_size(&r->drafts) / sizeof(draft), bytes = mu__buffer_size(&r->texts);
    mu_tree_node *nodes = sys->alloc(n * sizeof *nodes + bytes);
    if (!nodes)
        return MU_ENOMEM;
    char *texts = (char *)(nodes + n);
    if (bytes > 0)
        memcpy(texts, mu__buffer_data(&r->texts), bytes);
    for (size_t i = 0; i < n; i++) {
        draft d;
        memcpy(&d, mu__buffer_data(&r->drafts) + i * sizeof d, sizeof d);
        nodes[i] = d.node;
        nodes[i].id = d.id ? texts + d.id - 1 : NULL;
        nodes[i].detail = d.detail ? texts + d.detail - 1 : NULL;
    }
    *ret_nodes = nodes;
    *ret_count = n;
    return MU_OK;
}

mu_err mu_tree_read(mu_pid root, int64_t timeout_ms, mu_tree_node **ret_nodes, size_t *ret_count)
{
    if (timeout_ms < 0 || !ret_nodes || !ret_count)
        return MU_EINVAL;
    if (mu_pid_is_none(root) || !mu_alive(root))
        return MU_ENOPROC;
    const mu_sys *sys = mu__sys(root.system);
    reader r = {.deadline = mu__deadline_in(timeout_ms)};
    mu__buffer_init(&r.drafts, sys, SIZE_MAX / 2);
    mu__buffer_init(&r.texts, sys, SIZE_MAX / 2);
    mu_child_info top = {.pid = root, .state = MU_CHILD_RUNNING, .type = MU_SUPERVISOR_CHILD};
    mu_err err = read_one(&r, 0, &top);
    if (err == MU_OK)
        err = seal(&r, sys, ret_nodes, ret_count);
    mu__buffer_deinit(&r.drafts);
    mu__buffer_deinit(&r.texts);
    return err;
}

void mu_tree_free(mu_tree_node *nodes)
{
    free(nodes);
}

/* ---- text ------------------------------------------------------------------------------------ */

__attribute__((format(printf, 2, 3))) static mu_err print(mu__buffer *out, const char *format, ...)
{
    char line[800];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(line, sizeof line, format, args);
    va_end(args);
    return mu__buffer_append(out, line, strlen(line));
}

/* Whether another node of depth `depth` follows below the same parent. */
static bool goes_on(const mu_tree_node *nodes, size_t count, size_t from, size_t depth)
{
    for (size_t i = from + 1; i < count && nodes[i].depth >= depth; i++)
        if (nodes[i].depth == depth)
            return true;
    return false;
}

static mu_err print_branch(mu__buffer *out, const mu_tree_node *nodes, size_t count, size_t i)
{
    mu_err err = MU_OK;
    for (size_t depth = 1; depth < nodes[i].depth && err == MU_OK; depth++)
        err = print(out, "%s", goes_on(nodes, count, i, depth) ? "│  " : "   ");
    if (nodes[i].depth > 0 && err == MU_OK)
        err = print(out, "%s", goes_on(nodes, count, i, nodes[i].depth) ? "├─ " : "└─ ");
    return err;
}

static mu_err print_node(mu__buffer *out, const mu_tree_node *node)
{
    static const char *const restarts[] = {"permanent", "transient", "temporary"};
    static const char *const types[] = {"worker", "supervisor"};
    char pid[MU__PID_TEXT];
    const char *id = node->id ? node->id : "", *gap = node->id ? " " : "";
    if (node->state != MU_CHILD_RUNNING)
        return print(out, "%s%s%s\n", id, gap,
                     node->state == MU_CHILD_RESTARTING ? "restarting" : "stopped");
    const char *detail = node->detail ? node->detail : "";
    return print(out, "%s%s%s %s%s%s%s%s\n", id, gap, mu__pid_text(node->pid, pid),
                 node->kind ? node->kind : types[node->type], node->depth ? ", " : "",
                 node->depth ? restarts[node->restart] : "", detail[0] ? ": " : "", detail);
}

mu_err mu_tree_format(const mu_tree_node *nodes, size_t count, char **ret_text)
{
    mu__buffer out;
    mu__buffer_init(&out, &mu__sys_real, SIZE_MAX / 2);
    mu_err err = MU_OK;
    for (size_t i = 0; i < count && err == MU_OK; i++) {
        err = print_branch(&out, nodes, count, i);
        if (err == MU_OK)
            err = print_node(&out, &nodes[i]);
    }
    if (err == MU_OK)
        err = mu__buffer_append(&out, "", 1);
    char *text = err == MU_OK ? malloc(mu__buffer_size(&out)) : NULL;
    if (text) {
        memcpy(text, mu__buffer_data(&out), mu__buffer_size(&out));
        *ret_text = text;
    }
    mu__buffer_deinit(&out);
    return err == MU_OK && !text ? MU_ENOMEM : err;
}
