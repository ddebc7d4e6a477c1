/*
 * demo/hello.h - act 2: the supervision tree, and two first requests.
 *
 * Thread-safety: main's thread. Ownership: hello_free releases what hello_run found.
 */
#ifndef DEMO_HELLO_H
#define DEMO_HELLO_H

#include "demo.h"

typedef struct hello {
    char *tree; /* the text of mu_pool_tree */
    char *ping; /* the answers, as JSON */
    char *calculated;
} hello;

bool hello_run(demo *d, hello *h);
void hello_print(demo *d, const hello *h);
json_t *hello_json(const hello *h);
void hello_free(hello *h);

#endif
