/*
 * support/bare: see bare.h. Called by roundtrip and load.
 */
#include "support/bare.h"

void bench_bare_start(bench_bare *ret_bare, const bench_command *command, int count)
{
    ret_bare->count = count;
    ret_bare->frame = bench_echo_frame();
    for (int i = 0; i < count; i++)
        bench_child_start(&ret_bare->children[i], command);
    for (int i = 0; i < count; i++)
        bench_handshake(&ret_bare->children[i]);
}

void bench_bare_stop(bench_bare *bare)
{
    for (int i = 0; i < bare->count; i++)
        bench_child_stop(&bare->children[i]);
}

void bench_bare_step(void *bare, int caller)
{
    bench_bare *self = bare;
    bench_exchange(&self->children[caller], &self->frame);
}
