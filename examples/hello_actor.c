/* hello_actor: a server is a state and what it does with messages. This one counts. */
#include <muster/muster.h>
#include <stdio.h>
#include <stdlib.h>

static mu_init counter_init(void *arg)
{
    int *count = calloc(1, sizeof *count);
    (void)arg;
    return count ? mu_init_ok(count) : mu_init_error(mu_reason_error(MU_ENOMEM, NULL));
}

static mu_next counter_call(void *count, mu_message *request, mu_from from)
{
    (void)from;
    *(int *)count += (int)request->tag;
    return mu_reply(mu_message_copy(0, count, sizeof(int)));
}

static const mu_gen_server counter = {
    .init = counter_init, .handle_call = counter_call, .free_state = free};

int main(void)
{
    mu_system *system;
    mu_message reply;
    mu_pid pid;

    if (mu_system_start(NULL, &system, NULL) != MU_OK)
        return 1;
    mu_gen_server_start(system, &counter, NULL, NULL, &pid, NULL);
    for (uint64_t n = 1; n <= 3; n++)
        if (mu_call(pid, mu_message_tag(n), MU_CALL_TIMEOUT, &reply, NULL) == MU_OK) {
            printf("add %d: the count is %d\n", (int)n, *(int *)reply.data);
            mu_message_clear(&reply);
        }
    return mu_system_stop(&system) != 0;
}
