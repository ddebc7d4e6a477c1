/*
 * demo/files.h - the Python files below a directory.
 *
 * Sorted, so that two runs agree. Symbolic links are not followed, and what pip or Debian installed
 * beside a standard library (site-packages, dist-packages) is not part of it.
 *
 *     files_find(&files, "/usr/lib/python3.11");
 *     for (size_t i = 0; i < files.n; i++) use(files.paths[i]);
 *     files_free(&files);
 *
 * Thread-safety: one thread. Ownership: the list owns its paths.
 */
#ifndef DEMO_FILES_H
#define DEMO_FILES_H

#include <stdbool.h>
#include <stddef.h>

typedef struct files {
    char **paths;
    size_t n, room;
} files;

/* False if the directory cannot be read (errno tells) or memory is short. */
bool files_find(files *f, const char *directory);

void files_free(files *f);

#endif
