/* files: the Python files below a directory. Called by the job. */
#include "files.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 64

static bool add(files *f, char *path)
{
    if (f->n == f->room) {
        size_t room = f->room ? 2 * f->room : 256;
        char **paths = realloc(f->paths, room * sizeof *paths);
        if (!paths)
            return false;
        f->paths = paths;
        f->room = room;
    }
    f->paths[f->n++] = path;
    return true;
}

static bool is_python(const char *name)
{
    size_t length = strlen(name);

    return length > 3 && strcmp(name + length - 3, ".py") == 0;
}

static bool is_foreign(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
           strcmp(name, "site-packages") == 0 || strcmp(name, "dist-packages") == 0;
}

static bool walk(files *f, const char *directory, int depth);

/*
 * Takes one entry of a directory: descends into it, adds it, or passes. What cannot be read below
 * the top is passed; only a lack of memory is a failure.
 */
static bool visit(files *f, const char *directory, const char *name, int depth)
{
    struct stat status = {0};
    char *path;
    bool good = true;

    if (asprintf(&path, "%s/%s", directory, name) < 0)
        return false;
    if (lstat(path, &status) == 0 && S_ISREG(status.st_mode) && is_python(name)) {
        if (add(f, path))
            return true;
        good = false;
    } else if (S_ISDIR(status.st_mode) && depth < DEPTH_MAX && access(path, R_OK | X_OK) == 0) {
        good = walk(f, path, depth + 1);
    }
    free(path);
    return good;
}

static bool walk(files *f, const char *directory, int depth)
{
    DIR *entries = opendir(directory);
    struct dirent *entry;
    bool good = true;

    if (!entries)
        return false;
    while (good && (entry = readdir(entries)))
        if (!is_foreign(entry->d_name))
            good = visit(f, directory, entry->d_name, depth);
    closedir(entries);
    return good;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

bool files_find(files *f, const char *directory)
{
    if (!walk(f, directory, 0))
        return false;
    if (f->n > 0)
        qsort(f->paths, f->n, sizeof *f->paths, by_name);
    return true;
}

void files_free(files *f)
{
    for (size_t i = 0; i < f->n; i++)
        free(f->paths[i]);
    free(f->paths);
    memset(f, 0, sizeof *f);
}
