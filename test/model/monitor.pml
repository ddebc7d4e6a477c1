/*
 * A monitor set while its target dies, and taken back: lib/runtime/link.c and signal.c.
 *
 * The watcher adds an edge, perhaps removes it again; the target dies at any time. A monitor that
 * was not taken back gives exactly one notice; one that was gives none after demonitor returned.
 * The guard: whether the target lives is looked at under the same locks under which the edge is
 * added. Without it (-DNO_GUARD) the edge is added to a list that nobody reads any more.
 */
bool alive = true;
bool edge = false;     /* stands in both lists, or in neither: added under both locks */
byte notices = 0;
bool lock = false;     /* both actors' locks; taken lower address first, so one stands for both */
bool taken_back = false, target_ended = false, watcher_ended = false;

#define ACQUIRE atomic { !lock -> lock = true }
#define RELEASE lock = false

active proctype Target()
{
    bool watched;
    ACQUIRE;
    alive = false;
    watched = edge; /* the list is taken out */
    RELEASE;
    if
    :: watched ->
        ACQUIRE; /* the watcher's lock: is its half still there? */
        if
        :: edge -> edge = false; notices++
        :: else
        fi;
        RELEASE
    :: else
    fi;
    target_ended = true
}

active proctype Watcher()
{
    bool lives;
    byte before;
#ifdef NO_GUARD
    lives = alive;
    ACQUIRE;
#else
    ACQUIRE;
    lives = alive;
#endif
    if
    :: lives -> edge = true
    :: else
    fi;
    RELEASE;
    if
    :: !lives -> notices++ /* noproc, at once */
    :: else
    fi;
    if
    :: true /* keep watching */
    :: lives ->
        ACQUIRE;
        taken_back = edge;
        edge = false;
        RELEASE;
        before = notices;
        target_ended -> assert(!taken_back || notices == before)
    fi;
    watcher_ended = true
}

/* When both have ended: one notice, unless the monitor was taken back before the death was told. */
active proctype Judge()
{
    target_ended && watcher_ended -> assert(notices == (taken_back -> 0 : 1))
}
