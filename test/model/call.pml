/*
 * A call, its timeout and a late reply: lib/runtime/call.c.
 *
 * One call slot is used for two requests in a row. The server answers each at some time, also when
 * the caller has given up; the answer must reach the request that it answers, or nobody.
 * The guard: a reply handle carries the generation of the slot it was made for. Without it
 * (-DNO_GUARD) a late reply to the first request is taken for the answer to the second.
 */
#define REQUESTS 2

mtype = { FREE, PENDING, FILLING, DONE };

mtype phase = FREE;
byte generation = 0;
byte reply = 0; /* the number of the request that it answers */

chan server = [REQUESTS] of { byte, byte }; /* request, generation of the handle */

proctype Server()
{
    byte request, handle;
    bool mine;
    do
    :: server ? request, handle ->
        mine = false;
        atomic { /* compare and swap */
            if
#ifdef NO_GUARD
            :: phase == PENDING ->
#else
            :: phase == PENDING && generation == handle ->
#endif
                phase = FILLING;
                mine = true
            :: else
            fi
        }
        if
        :: mine ->
            reply = request;
            phase = DONE
        :: else
        fi
    od
}

active proctype Caller()
{
    byte request = 1;
    run Server();
    do
    :: request > REQUESTS -> break
    :: else ->
        atomic {
            generation++;
            phase = PENDING
        }
        server ! request, generation;
        if
        :: phase == DONE ->
            assert(reply == request);
            phase = FREE
        :: true -> /* the timeout, at any moment */
            atomic {
                if
                :: phase == PENDING -> phase = FREE
                :: else
                fi
            }
            if
            :: phase == FREE
            :: phase == DONE -> /* it slipped in: success */
                assert(reply == request);
                phase = FREE
            fi
        fi;
        request++
    od
}
