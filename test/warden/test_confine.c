/*
 * Children that are another user's: they are what was asked for, and as much the warden's as any.
 * Only a warden with the rights of root can make them; what becomes of others is tested as well.
 */
#include "warden_peer.h"

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/sys.h"
#include "support/mu_test.h"

#define NOBODY  65534
#define NOGROUP 65533

static const mu__wp_spawn as_nobody = {.flags = MU__SPAWN_USER,
                                       .confine = {.uid = NOBODY, .gid = NOGROUP}};

static bool is_root(void)
{
    return geteuid() == 0;
}

/* What a warden without the rights answers; true: that was it. */
static bool check_refused_unless_root(peer *p)
{
    const peer_spawn spawn = {.script = "exit 0", .more = as_nobody};
    if (is_root())
        return false;
    peer_check_refused(p, &spawn, EPERM, MU__STEP_RIGHTS);
    peer_stop(p);
    return true;
}

/* Groups that are to be dropped: root may have none. */
static void take_groups(void)
{
    const gid_t groups[] = {65530, 65531};
    if (geteuid() == 0)
        mu_check_eq(setgroups(2, groups), 0);
}

MU_TEST(confine, changes_user_and_group_and_drops_all_other_groups_and_rights)
{
    peer p;
    char text[512];
    const char *script = "grep -E '^(Uid|Gid|Groups|CapPrm|CapEff):' /proc/self/status";
    take_groups();
    peer_start(&p);
    if (check_refused_unless_root(&p))
        return;
    peer_output(&p, (peer_spawn){.script = script, .more = as_nobody}, text, sizeof text);
    mu_check_str(text, "Uid:\t65534\t65534\t65534\t65534\n"
                       "Gid:\t65533\t65533\t65533\t65533\n"
                       "Groups:\t \n"
                       "CapPrm:\t0000000000000000\n"
                       "CapEff:\t0000000000000000\n");
    peer_stop(&p);
}

MU_TEST(confine, a_group_alone_leaves_the_user_as_he_is)
{
    peer p;
    char text[256], expected[256];
    const mu__wp_spawn more = {.flags = MU__SPAWN_GROUP, .confine = {.gid = NOGROUP}};
    const peer_spawn spawn = {.script = "id -u; id -G", .more = more};
    take_groups();
    peer_start(&p);
    if (is_root()) {
        peer_output(&p, spawn, text, sizeof text);
        (void)snprintf(expected, sizeof expected, "0\n%d\n", NOGROUP);
        mu_check_str(text, expected);
    } else {
        peer_check_refused(&p, &spawn, EPERM, MU__STEP_GROUPS);
    }
    peer_stop(&p);
}

MU_TEST(confine, judges_the_directory_by_what_that_user_may_enter)
{
    peer p;
    char dir[] = "/tmp/muster-confine-XXXXXX";
    mu_check(mkdtemp(dir) != NULL); /* 0700 */
    peer_start(&p);
    if (!check_refused_unless_root(&p)) {
        const peer_spawn spawn = {.script = "exit 0", .cwd = dir, .more = as_nobody};
        peer_check_refused(&p, &spawn, EACCES, MU__STEP_CHDIR);
        peer_stop(&p);
    }
    (void)rmdir(dir);
}

/* Only root may lower it. */
MU_TEST(confine, sets_the_niceness_before_it_changes_the_user)
{
    peer p;
    char text[64];
    peer_start(&p);
    if (check_refused_unless_root(&p))
        return;
    mu__wp_spawn more = as_nobody;
    more.flags |= MU__SPAWN_NICE;
    more.nice = -3;
    peer_output(&p, (peer_spawn){.script = "nice", .more = more}, text, sizeof text);
    mu_check_str(text, "-3\n");
    peer_stop(&p);
}

MU_TEST(confine, another_users_child_dies_with_its_warden)
{
    peer p;
    peer_start(&p);
    if (check_refused_unless_root(&p))
        return;
    const peer_spawn spawn = {.script = "trap '' TERM; exec sleep 1000", .more = as_nobody};
    mu__wp_spawned child = peer_spawn_child(&p, &spawn, NULL);
    mu_check_eq(child.error, 0);
    mu__warden_link_signal(&mu__sys_real, &p.link, SIGKILL);
    mu_wait_until(processes_of_run(p.run_id) == 0, 10000);
    peer_drop(&p);
}

MU_TEST(confine, what_another_users_child_leaves_behind_is_found_and_killed)
{
    peer p;
    mu__wp_spawned child;
    const peer_spawn spawn = {
        .script = "(setsid sh -c 'echo $$ >&3; trap \"\" TERM; exec 3>&-; sleep 1000' &) ; "
                  "exec sleep 1000",
        .more = as_nobody};
    peer_start(&p);
    if (check_refused_unless_root(&p))
        return;
    int daemon = peer_spawn_offspring_of(&p, spawn, &child);
    mu_check_eq(peer_signal(&p, &child, SIGKILL, MU__SCOPE_GROUP), 0);
    (void)peer_wait_exit(&p, &child);
    mu_wait_until(!process_exists(daemon), 10000);
    peer_stop(&p);
}

MU_TEST(confine, a_whole_tree_of_another_user_can_be_killed)
{
    peer p;
    mu__wp_spawned child;
    const peer_spawn spawn = {
        .script = "env -i setsid sh -c 'echo $$ >&3; exec 3>&-; sleep 1000; :' & exec 3>&-; wait",
        .more = as_nobody};
    peer_start(&p);
    if (check_refused_unless_root(&p))
        return;
    int escaped = peer_spawn_offspring_of(&p, spawn, &child);
    mu_check_eq(peer_signal(&p, &child, SIGKILL, MU__SCOPE_TREE), 0);
    (void)peer_wait_exit(&p, &child);
    mu_wait_until(!process_exists(escaped), 10000);
    peer_stop(&p);
}
