/*
 * demo/job.h - act 3: real work, while workers are being killed.
 *
 * Every Python file of a directory is analysed by the workers. Requests are submitted, four per
 * worker ahead, and marked idempotent: to analyse a file twice does no harm, so the pool may give
 * the request of a worker that died to another one, and its caller hears nothing of it. The pool
 * gives up after three workers; a file that had the bad luck to be with the victim three times is
 * submitted again, while one that crashes its workers by itself stays as it is.
 *
 * Thread-safety: main's thread. Ownership: job_free releases what job_run found.
 */
#ifndef DEMO_JOB_H
#define DEMO_JOB_H

#include "demo.h"
#include "files.h"
#include "gate.h"
#include "report.h"
#include "victims.h"

typedef struct job {
    char directory[4096];
    files files;
    report report;
    victims victims;
    gate gate;
    account *account;
    size_t submitted;
    atomic_size_t done;
    int64_t took_ns; /* from the first request to the last outcome */
} job;

/* Also false if the files could not be found; a line on stderr says why. */
bool job_run(demo *d, job *j);

void job_print(demo *d, const job *j);
json_t *job_json(const job *j);
void job_free(job *j);

#endif
