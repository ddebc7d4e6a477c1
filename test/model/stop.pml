/*
 * Stopping a supervisor while it restarts a child: lib/otp/supervisor.c.
 *
 * One thread of control: the supervisor takes one message at a time. The child may crash at any
 * time, a restart takes a while, and the stop may be asked for in the midst of it. When the
 * supervisor has ended no child may be alive.
 * The guard: a stop ends what runs *then*, the child that was just started included. Without it
 * (-DNO_GUARD) the supervisor stops the child that it knew when the stop was asked for.
 */
#define GENERATIONS 3

mtype = { EXIT, STOP };

chan mailbox = [GENERATIONS + 1] of { mtype };
bool alive[GENERATIONS + 1];
byte current = 0;      /* generation of the child that the supervisor knows; 0: none */
byte seen_at_stop = 0; /* what it was when the stop was asked for */

proctype Child(byte generation)
{
    /* crashes at any time; one that has been stopped is not there to do so */
    atomic {
        if
        :: alive[generation] -> alive[generation] = false; mailbox ! EXIT
        :: else
        fi
    }
}

active proctype Supervisor()
{
    byte generation = 1;
    atomic { alive[1] = true; current = 1; run Child(1) }
    do
    :: mailbox ? EXIT ->
        current = 0; /* the restart takes its time: others run here */
        if
        :: generation < GENERATIONS ->
            generation++;
            atomic { alive[generation] = true; current = generation; run Child(generation) }
        :: else
        fi
    :: mailbox ? STOP -> break
    od;
#ifdef NO_GUARD
    alive[seen_at_stop] = false;
#else
    alive[current] = false;
#endif
    assert(!alive[1] && !alive[2] && !alive[3])
}

active proctype Stopper()
{
    seen_at_stop = current;
    mailbox ! STOP
}
