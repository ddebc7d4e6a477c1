/*
 * muster/tree.h - the supervision tree, as data and as text.
 *
 *     mu_tree_node *nodes; size_t n; char *text;
 *     mu_tree_read(mu_system_root(system), 1000, &nodes, &n);
 *     if (mu_tree_format(nodes, n, &text) == MU_OK)
 *         fputs(text, stdout);
 *     free(text);
 *     mu_tree_free(nodes);
 *
 * prints, for example
 *
 *     <0.1> supervisor, one_for_one, 2 children
 *     ├─ log <1.1> gen_server, permanent: 12 lines
 *     └─ web <2.1> supervisor, transient: rest_for_one, 1 child
 *        └─ cache stopped
 *
 * The tree is read actor by actor while it lives: what one level says may be older than the next.
 *
 * Thread-safety: any thread, callbacks included, except init and terminate of the tree's own
 * actors. Ownership: what is returned is the caller's.
 */
#ifndef MUSTER_TREE_H
#define MUSTER_TREE_H

#include <muster/decls.h>
#include <muster/supervisor.h>

MU_BEGIN_DECLS

typedef struct mu_tree_node {
    size_t depth; /* 0: where reading began */
    const char
        *id;    /* as in its spec; the label at the top and below dynamic supervisors; or NULL */
    mu_pid pid; /* none if it does not run */
    mu_child_state state;
    mu_child_type type;
    mu_restart restart;
    const char *kind;   /* as sys.h says, static; NULL: it did not say, or does not run */
    const char *detail; /* by its format_state; "" without one */
} mu_tree_node;

/*
 * Reads the tree below `root`, a supervisor of either kind, parents before their children and these
 * in order of start. Actors that have not answered when `timeout_ms` are over stand there without
 * kind, detail and children. MU_ENOPROC, MU_ENOMEM, MU_EKILLED. Blocks.
 */
mu_err mu_tree_read(mu_pid root, int64_t timeout_ms, mu_tree_node **ret_nodes, size_t *ret_count);
void mu_tree_free(mu_tree_node *nodes);

/* One line per node, each ended by a newline; free() it. MU_ENOMEM. */
mu_err mu_tree_format(const mu_tree_node *nodes, size_t count, char **ret_text);

MU_END_DECLS

#endif
