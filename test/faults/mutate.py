#!/usr/bin/python3
"""Shows that the tests of the fault catalogue can fail: takes one guard after another out and wants to see red.

    test/faults/mutate.py              all rows, for half an hour
    test/faults/mutate.py C5 P8        these
    test/faults/mutate.py --in DIR     in a copy of the tree that is kept and used again

Works in a copy. A row is an id, a file, the guard, what stands in its place, and the test that must turn red (its program
and a filter). Green under a mutation, or a guard that is not there any more, is a failure. The tests of a fault stay green
without a mutation: that is what test/run shows. The result is TAP; test/run --full runs all rows in its lane "mutations".
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]

ROWS = [
    ("C1", "lib/pool/worker.c", "    mu__channel_bury(w->channel, end);\n", "", "faults_crash", "C1_a_worker_killed"),
    ("C1", "lib/port/warden_io.c",
     "        mu__child_finish(child, &(mu__exit){.kind = MU__EXIT_LOST, .os_pid = child->pid});\n", "",
     "faults_matrix", "a_warden_killed"),
    ("C1", "lib/warden/children.c", "        if (has_ended(&info))\n            return", "        if (true)\n            return",
     "faults_odd", "a_worker_that_wants_its_parent"),
    ("C2", "lib/pool/worker.c", "    if (tail[0] && used + 1 < sizeof text)", "    if (false)",
     "faults_crash", "C2_the_reason"),
    ("C4", "lib/pool/worker.c", "        err = start_clock(w, type->options.startup_timeout_ms, MU__POOL_STARTUP_OVER);",
     "        err = MU_OK;", "faults_hang", "C4_"),
    ("C5", "lib/pool/table.c", "            mu__channel_overdue(slot->channel, slot->request_id);\n", "",
     "faults_hang", "C5_a_worker_in_an_endless_loop"),
    ("C6", "lib/port/stop_ladder.c", "[MU__LADDER_KILLED] = MU__LADDER_KILL,", "", "faults_hang", "C6_workers_that"),
    ("C8", "lib/port/port.c", "        if (!port->taps[s].open)\n            continue;\n",
     "        if (port->taps[s].open)\n            return;\n", "faults_crash", "C8_"),
    ("C9", "lib/port/capture.c", "    if (kept > length)\n        kept = length;", "    kept = length < 100 ? length : 0;",
     "port_capture", "C9_"),
    ("C10", "lib/port/port.c", "{{1, far->stdout_write},", "{{1, far->response_write},",
     "faults_output", "C10_"),
    ("C11", "lib/pool/execute.c",
     "    mu__pool_ailment(pool, plan->type, ailment, sizeof ailment);\n    (void)mu_error_set(error, MU_EQUEUE_TIMEOUT,",
     "    ailment[0] = '\\0';\n    (void)mu_error_set(error, MU_EQUEUE_TIMEOUT,", "faults_crash", "C11_who_finds"),
    ("C11", "lib/warden/spawn.c", "    if (plan.report.error) {", "    if (false) {", "faults_crash", "C11_a_script_whose"),
    ("P1", "lib/port/frame.c", "    if (size - MU__FRAME_HEADER < length)\n        return MU_OK;\n", "",
     "port_frame", "P1_"),
    ("P2", "lib/port/frame.c", "length == 0 || length > reader->max_frame", "false", "port_frame", "P2_a_length_out"),
    ("P4", "lib/base/check.c", "    if (w->depth == w->depth_max)", "    if (w->depth == MU__FRAME_DEPTH)",
     "port_message", "P4_"),
    ("P6", "lib/base/check.c", "    return twice ? fault(w, MU_EDECODE, \"a key that the map holds twice\") : MU_OK;",
     "    return MU_OK;", "base_check", "P6_a_key_twice_is_refused"),
    ("P7", "lib/port/channel.c", "        if (channel->strays > STRAYS_MOST)", "        if (false)",
     "faults_bytes", "P7_a_worker_that_gives"),
    ("P8", "lib/port/channel.c", "message->kind == MU__MESSAGE_RESPONSE && message->id == x->id",
     "message->kind == MU__MESSAGE_RESPONSE", "port_channel", "P8_"),
    ("H1", "lib/warden/main.c", "    cleanup_everything(&w.children, w.sigfd);\n", "", "warden_host_end", ""),
    ("H3", "lib/runtime/runtime.c", "        return MU_EFORKED;\n", "        return MU_OK;\n", "runtime_call", "H3_"),
    ("H4", "lib/port/warden_launch.c", "sys->pidfd_open(getpid(), 0);",
     "sys->pidfd_open(gettid(), O_EXCL); /* of a thread: PIDFD_THREAD */", "faults_host", "H4_"),
    ("H5", "lib/port/warden_launch.c", "MU__CHILD_STACK, 0, plan);",
     "MU__CHILD_STACK, SIGCHLD, plan);", "faults_host_signals", "H5_"),
    ("H6", "lib/port/channel.c", "    *take_pipes = (mu__port_pipes){-1, -1, -1};\n",
     "    close_fd(&channel->pipes.request_read);\n    *take_pipes = (mu__port_pipes){-1, -1, -1};\n", "port_channel", "H6_"),
    ("H7", "lib/port/channel.c", "            continue; /* EINTR, with and without SA_RESTART */\n", "            n = 0;\n",
     "faults_host_signals", "H7_a_timer"),
    ("R1", "lib/port/channel.c", "        free(channel);\n        close_pipes(take_pipes);\n", "        free(channel);\n",
     "faults_failures", "start_of_a_pool"),
    ("R2", "lib/runtime/thread.c", "    return rc == 0 ? MU_OK : MU_ERRNO(rc);",
     "    (void)rc;\n    return MU_OK;", "faults_failures", "start_of_a_pool"),
    ("R2", "lib/port/child.c", "bool again = err == MU_OK && pending.error == EAGAIN && pending.step == MU__STEP_CLONE;",
     "bool again = false;", "port_warden_watch", "R2_"),
    ("R3", "lib/pool/upkeep.c", "MU__POOL_UPKEEP)) != MU_ENOMEM)", "MU__POOL_UPKEEP)) <= MU_ENOMEM)", "faults_wakes",
     "a_rolling_restart"),
    ("R3", "lib/pool/table.c", "        mu__kill(actor);", "        return;", "faults_wakes", "whose_caller_is_killed"),
    ("R3", "lib/port/fork_server.c", "        if (mu_sleep(MEMORY_MS) != MU_OK)\n            break;",
     "        return mu_stop(mu_reason_shutdown());", "faults_wakes", "the_death_of_a_fork_server"),
    ("R3", "lib/port/channel.c", "    if (!channel)\n        err = MU_ENOMEM;\n    else if", "    if", "faults_failures",
     "start_of_a_pool"),
    ("R4", "lib/port/tracking.c", "        (void)t->sys->ftruncate(t->fd, st.st_size);\n", "        ;\n", "port_tracking", "R4_"),
    ("R6", "lib/pool/table.c", "length >= pool->options.max_queue_size", "false",
     "faults_concurrency", "R6_"),
    ("R7", "lib/port/port.c",
     "        mu__fd_close(&port->taps[s].source.fd, &port->taps[s].id);\n    }\n    close_fd(&port->pipes.request_write);\n", "    }\n",
     "soak_soak", "R7_"),
    ("F1", "lib/port/channel.c", "        channel->severed = true;\n", "        return true;\n", "port_channel",
     "fds_that_have_become"),
    ("F2", "lib/port/tracking.c", "        t->rewrite = true; /* under its", "        t->rewrite = t->fd < 0; /* under its",
     "faults_closed_fds", "what_the_host_opens"),
    ("F3", "lib/base/fd.c", "    if (mu__fd_is(*fd, id))\n        (void)close", "    (void)close", "faults_closed_fds",
     "what_the_host_opens"),
    ("F4", "lib/port/tracking.c", "(uint64_t)st.st_size == t->stats.file_bytes", "st.st_size >= 0",
     "faults_odd_host", "a_tracking_file_that"),
    ("F5", "lib/port/warden.c", "    if (strtol(self, NULL, 10) != (long)getpid())", "    if (self[0] == '-')",
     "faults_odd_host", "with_the_proc_of_another"),
    ("T1", "lib/base/clock.c", "CLOCK_MONOTONIC, &ts", "CLOCK_REALTIME, &ts", "faults_time", "T1_"),
    ("T2", "lib/base/clock.h", "    if (ms >= (MU_NEVER - now) / MU_MS)", "    if (0)", "faults_bytes", "T2_"),
    ("T3", "lib/pool/table.c",
     "    bool waiting = mu__line_leave_locked(pool, ticket);\n    mu_lock_release(&pool->lock);\n"
     "    return waiting;\n}\n\nbool mu__ticket_expire",
     "    (void)mu__line_leave_locked(pool, ticket);\n    mu_lock_release(&pool->lock);\n"
     "    return true;\n}\n\nbool mu__ticket_expire", "pool_table", "T3_"),
    ("T3", "lib/pool/table.c",
     "    bool waiting = mu__line_leave_locked(pool, ticket);\n    mu_lock_release(&pool->lock);\n"
     "    return waiting;\n}\n\nbool mu__ticket_expire",
     "    (void)mu__line_leave_locked(pool, ticket);\n    mu_lock_release(&pool->lock);\n"
     "    return true;\n}\n\nbool mu__ticket_expire", "pool_race", "T3_"),
    ("M1", "lib/pool/job.c", "    } else if (mu__ticket_expire(job->pool, &job->ticket))\n", "    } else if (false)\n", "pool_model", ""),
    ("M2", "lib/pool/gate.c", "        pool->stats.succeeded++;\n", "        pool->stats.succeeded += 2;\n", "pool_model", ""),
    ("M3", "lib/pool/table.c", "    ticket->expired = !waiting;\n",
     "    if (waiting)\n        mu__queue_push(&pool->queue, &ticket->link, 0, 0);\n    ticket->expired = !waiting;\n",
     "pool_model", ""),
    ("M4", "lib/pool/gate.c", "    pool->running--;\n", "    pool->running -= result->err != MU_EQUEUE_TIMEOUT;\n",
     "pool_model", ""),
    ("M5", "lib/pool/roster.c", "        mu__slot_move_locked(slot, MU__WORKER_RETURNED);\n        mu__slot_offer_locked(pool, slot, now, &after);\n",
     "        mu__slot_move_locked(slot, MU__WORKER_RETURNED);\n", "pool_model", ""),
    ("M6", "lib/pool/table.c", "        mu__notify(&ticket->waiter);\n", "        ;\n", "pool_model", ""),
    ("M7", "lib/pool/attempt.c", "    if (!plan->options.idempotent)\n        return false;\n", "", "pool_model", ""),
    ("M8", "lib/pool/queue.c", "head->due < best->due", "head->due > best->due", "pool_model", ""),
    ("M9", "lib/pool/table.c", "    return reply->torn ? CONDEMN : DRAIN;\n", "    return reply->torn ? CONDEMN : NOTHING;\n",
     "pool_model", ""),
    ("M10", "lib/pool/table.c", "    if (deadline < pool->alarm_at)\n", "    if (pool->alarm_at == MU_NEVER)\n", "pool_model", ""),
    ("M11", "lib/pool/table.c", "pool->paused ? NULL : mu__line_next_locked(pool, slot, held)", "mu__line_next_locked(pool, slot, held)",
     "pool_model", ""),
    ("M12", "lib/pool/upkeep.c", "mu__recycle_due(&slot->recycle, now) == MU__RECYCLE_NOT)\n            mu__upkeep_by",
     "!slot->recycle.why)\n            mu__upkeep_by", "pool_model", ""),
    ("M13", "lib/pool/roster.c", "    if ((vacated || slot->info.generation == generation)", "    if ((slot->info.generation == generation)",
     "pool_model", ""),
    ("M14", "lib/pool/table.c", "length >= pool->options.max_queue_size",
     "length > pool->options.max_queue_size", "pool_model", ""),
    ("M15", "lib/port/channel.c", "(gone && mu__channel_unread(channel) >= channel->request_size)", "gone", "pool_model", ""),
    ("M16", "lib/pool/gate.c", "pool->drained ? MU_ESHUTDOWN : mu__phase_error(pool->phase)", "mu__phase_error(pool->phase)",
     "pool_model", ""),
    ("M18", "lib/pool/attempt.c", "        plan->excused = true;\n", "", "pool_model", ""),
    ("M19", "lib/pool/breaker.c", "    if (breaker->probes >= MU__BREAKER_PROBES)", "    if (breaker->probes > MU__BREAKER_PROBES)",
     "pool_model", ""),
    ("M20", "lib/pool/circuit.c", "return others > slot->type->n_held;", "return others >= slot->type->n_held;",
     "pool_model", ""),
    ("M17", "lib/pool/gate.c", "    pool->running--;\n    pool->inside--;\n",
     "    pool->running--;\n    mu_lock_release(&pool->lock);\n    (void)mu__sys(pool->system)->poll(NULL, 0, 1);\n"
     "    mu_lock_acquire(&pool->lock);\n    pool->inside--;\n", "pool_chance", ""),
    ("X1", "lib/pool/table.c", "        atomic_store(&ticket->state, MU__TICKET_REFUSED);\n        tell(ticket);\n",
     "        atomic_store(&ticket->state, MU__TICKET_REFUSED);\n", "faults_concurrency", "X1_a_thousand"),
    ("X1", "lib/pool/pool.c", "mu__pool_from_inside(pool) || mu__emitting()", "mu__pool_from_inside(pool)", "pool_stop",
     "X1_from_the_event_hook"),
    ("X2", "lib/runtime/link.c", "    if (!mu__lives_locked(peer, pid))\n        return MU_ENOPROC;\n", "",
     "runtime_actor", "X2_"),
    ("X3", "lib/runtime/names.c", "    if (atomic_load(&actor->state) != MU__ALIVE ||\n", "    if (false ||\n",
     "faults_concurrency", "X3_"),
    ("X4", "lib/port/channel.c", "(void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);\n    mu__exchange",
     "cancel_state = PTHREAD_CANCEL_ENABLE;\n    mu__exchange", "faults_concurrency", "X4_threads"),
    ("X6", "lib/pool/backoff.c", "    if (++backoff->restarts <= MU__BACKOFF_FREE)\n        return 0;\n",
     "    ++backoff->restarts;\n", "faults_concurrency", "X6_all_eight"),
    ("S3", "lib/port/track_record.c", "memcmp(checksum, from + length, CHECKSUM_SIZE) != 0 || ", "",
     "port_track_record", "S3_"),
    ("S5", "lib/port/track_sweep.c", "st.start != id.start || ", "", "port_track_sweep", "S5_"),
    ("S6", "lib/port/track_sweep.c", "signs.same_boot = strcmp(first.run.boot_id, here->boot_id) == 0;",
     "signs.same_boot = true;", "port_track_sweep", "S6_"),
    ("Z1", "lib/port/env.c", "is_listed(usual, from_host[i])", "true", "faults_surroundings", "Z1_"),
    ("Z2", "lib/base/child.c", "    int error = (int)-mu__child_call(SYS_close_range, (long)first, (long)end - 1, 0, 0);",
     "    int error = 0;", "faults_surroundings", "Z2_"),
    ("Z3", "lib/port/track_sweep.c", "    else if (st.st_mode & 077)", "    else if (false)", "port_track_sweep", "Z3_"),
    ("Z6", "lib/pool/speech.c", "(void)mu__escape(buffer, size, text, length, MU__ESCAPE_LINE);",
     "(void)snprintf(buffer, size, \"%.*s\", (int)length, text);", "pool_pool", "Z6_"),
    ("Z7", "lib/warden/spawn.c", "    child_limits(plan);", "    if (plan->n_fds > 1000)\n        child_limits(plan);",
     "faults_surroundings", "Z7_"),
]


def run(command, **options):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options)


def copy_tree(target):
    names = run(["git", "-C", str(SOURCE), "ls-files", "-z"]).stdout.split("\0")
    for name in filter(None, names):
        source, copy = SOURCE / name, target / name
        if copy.exists() and copy.read_bytes() == source.read_bytes():
            continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, copy)
    build = target / "build"
    if not (build / "build.ninja").exists():
        subprocess.run(["meson", "setup", str(build), str(target), "-Dtest_runner=plain"], check=True,
                       stdout=subprocess.DEVNULL)
    return build


def verdict(build, program, name):
    """"red", "green", or why neither."""
    made = run(["ninja", "-C", str(build), "test/test_" + program, "lib/warden/muster-warden",
                "bench/workers/echo_worker"])
    if made.returncode != 0:
        return "does not compile\n" + made.stdout[-2000:]
    try:
        done = run([str(build / "test" / ("test_" + program)), "--filter", name], timeout=240)
    except subprocess.TimeoutExpired:
        return "red"
    if not re.search(r"^(not )?ok ", done.stdout, re.M):
        return "no test of this name: " + name if done.returncode == 0 else "red"
    return "green" if done.returncode == 0 else "red"


def mutate(tree, build, row):
    fault, file, guard, other, program, name = row
    path = tree / file
    text = path.read_text()
    if text.count(guard) == 0:
        return "the guard is not there any more: " + file
    path.write_text(text.replace(guard, other))
    try:
        return verdict(build, program, name)
    finally:
        path.write_text(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--in", dest="tree", type=Path)
    parser.add_argument("ids", nargs="*")
    options = parser.parse_args()
    tree = options.tree or Path(tempfile.mkdtemp(prefix="muster-mutate-"))
    bad = 0
    rows = [row for row in ROWS if not options.ids or row[0] in options.ids]
    print(f"1..{len(rows)}", flush=True)
    try:
        build = copy_tree(tree)
        for number, row in enumerate(rows, 1):
            result = mutate(tree, build, row)
            bad += result != "red"
            first, *more = result.splitlines()
            print(f"{'ok' if result == 'red' else 'not ok'} {number} - {row[0]} {row[4]} {row[5]}: {first}")
            print(*("# " + line for line in more), sep="\n", end="\n" if more else "", flush=True)
    finally:
        if not options.tree:
            shutil.rmtree(tree)
    return bad != 0


if __name__ == "__main__":
    os.environ.pop("MUSTER_TEST_FULL", None)
    sys.exit(main())
