/*
 * chat_registry: chat rooms as duplicate keys of a registry
 *
 * Everybody in a room is registered under the room's name, with the nickname as value. Saying
 * something is a dispatch: one function, called with all entries of the key. Nobody keeps lists of
 * members, and nobody cleans up: who dies is out of all rooms before anybody is told.
 */
#include <muster/muster.h>

#include <stdio.h>
#include <stdlib.h>

enum { JOIN = 1, LEAVE, HEAR, TRIP };

static mu_registry *rooms;

/* ---- a member: a server that registers itself, for only an actor can ---- */

static mu_init member_init(void *nickname)
{
    return mu_init_ok(nickname);
}

static mu_next member_call(void *nickname, mu_message *request, mu_from from)
{
    (void)from;
    mu_key room = mu_key_string(request->data);
    mu_err err = request->tag == JOIN ? mu_registry_register(rooms, room, nickname, NULL)
                                      : mu_registry_unregister(rooms, room);
    return mu_reply(mu_message_tag((uint64_t)err));
}

static mu_next member_cast(void *nickname, mu_message *message)
{
    if (message->tag == TRIP)
        return mu_stop(mu_reason_exit(1, "%s tripped over the cable", (char *)nickname));
    printf("    %s hears %s\n", (char *)nickname, (char *)message->data);
    return mu_noreply();
}

static const mu_gen_server member = {
    .init = member_init, .handle_call = member_call, .handle_cast = member_cast};

/* ---- what goes on ---- */

static void must(mu_err err, const char *what)
{
    if (err == MU_OK)
        return;
    fprintf(stderr, "%s: %s\n", what, mu_strerror(err));
    exit(1);
}

static mu_pid enter(mu_system *system, const char *nickname)
{
    mu_pid pid;
    must(mu_gen_server_start(system, &member, (void *)nickname, NULL, &pid, NULL), nickname);
    return pid;
}

/* Joins or leaves, and waits until it is done. */
static void ask(mu_pid who, int what, const char *room)
{
    mu_message reply;
    must(mu_call(who, mu_message_string((uint64_t)what, room), MU_CALL_TIMEOUT, &reply, NULL),
         room);
    must((mu_err)reply.tag, room);
}

/* Runs in the thread that dispatches, without locks: it may send, call and block. */
static void tell_all(void *text, const mu_registry_entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++)
        (void)mu_cast(entries[i].pid, mu_message_string(HEAR, text));
    mu_sys_status status;
    for (size_t i = 0; i < count; i++) /* one sender's casts and questions keep their order */
        (void)mu_sys_get_status(entries[i].pid, MU_CALL_TIMEOUT, &status);
}

static void say(const char *room, const char *text)
{
    printf("in the %s: %s\n", room, text);
    must(mu_registry_dispatch(rooms, mu_key_string(room), tell_all, (void *)text), room);
}

static void list(const char *room)
{
    mu_registry_entry *entries;
    size_t count;
    must(mu_registry_lookup(rooms, mu_key_string(room), &entries, &count), room);
    printf("in the %s:", room);
    for (size_t i = 0; i < count; i++)
        printf(" %s", (char *)entries[i].value);
    printf(count > 0 ? "\n" : " nobody\n");
    mu_registry_free(entries);
}

int main(void)
{
    mu_system *system = NULL;
    mu_system_options options = MU_SYSTEM_OPTIONS_INIT;
    options.no_children = true;
    must(mu_system_start(&options, &system, NULL), "system");
    mu_registry_options duplicate = MU_REGISTRY_OPTIONS_INIT;
    duplicate.keys = MU_KEYS_DUPLICATE;
    must(mu_registry_start(system, &duplicate, &rooms, NULL), "registry");

    mu_pid ann = enter(system, "ann"), bob = enter(system, "bob"), eve = enter(system, "eve");
    ask(ann, JOIN, "kitchen");
    ask(bob, JOIN, "kitchen");
    ask(bob, JOIN, "garden");
    ask(eve, JOIN, "garden");
    list("kitchen");
    list("garden");
    say("kitchen", "dinner is ready");
    say("garden", "it rains");

    ask(bob, LEAVE, "kitchen");
    printf("\nbob has left the kitchen\n");
    say("kitchen", "where is bob?");

    (void)mu_cast(eve, mu_message_tag(TRIP));
    while (mu_alive(eve))
        must(mu_sleep(1), "eve");
    printf("\neve has crashed, and is out of every room\n");
    list("garden");
    say("garden", "the sun is back");

    size_t abandoned = mu_system_stop(&system);
    mu_registry_stop(&rooms);
    return abandoned != 0;
}
