/*
 * muster: everything at once
 *
 * Purpose: one line for programs that use most of it. A program that uses one noun includes that noun's header.
 */
#ifndef MUSTER_MUSTER_H
#define MUSTER_MUSTER_H

#include <muster/actor.h>
#include <muster/builder.h>
#include <muster/config.h>
#include <muster/decls.h>
#include <muster/dynamic_supervisor.h>
#include <muster/error.h>
#include <muster/event.h>
#include <muster/future.h>
#include <muster/gen_server.h>
#include <muster/log.h>
#include <muster/partition_supervisor.h>
#include <muster/pool.h>
#include <muster/pool_info.h>
#include <muster/reason.h>
#include <muster/registry.h>
#include <muster/supervisor.h>
#include <muster/sys.h>
#include <muster/system.h>
#include <muster/system_options.h>
#include <muster/task.h>
#include <muster/timer.h>
#include <muster/tracking.h>
#include <muster/tree.h>
#include <muster/value.h>
#include <muster/version.h>
#include <muster/worker_type.h>

#endif
