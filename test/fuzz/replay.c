/*
 * A fuzz target's corpus, and all that is one cut or one changed byte away from it: replay
 * DIRECTORY. Tells its result in TAP; a target that fails ends the process.
 */
#include <dirent.h>
#include <string.h>

#include "fuzz.h"

enum { INPUT_MAX = 64 * 1024, NEAR = 128 /* bytes at an input's begin that are changed */ };

/* In a block of its own size, so that AddressSanitizer sees a look behind it. */
static void run(const uint8_t *data, size_t size)
{
    uint8_t *exact = malloc(size ? size : 1);
    if (!exact)
        abort();
    memcpy(exact, data, size);
    (void)LLVMFuzzerTestOneInput(exact, size);
    free(exact);
}

static size_t run_near(uint8_t *data, size_t size)
{
    size_t runs = 1, near = size < NEAR ? size : NEAR;
    run(data, size);
    for (size_t i = 0; i < near; i++) {
        const uint8_t old = data[i],
                      others[] = {0, 0xff, (uint8_t)(old ^ 0x80), (uint8_t)(old + 1)};
        run(data, i);
        for (size_t k = 0; k < sizeof others; k++) {
            data[i] = others[k];
            run(data, size);
        }
        data[i] = old;
        runs += 1 + sizeof others;
    }
    return runs;
}

static size_t run_file(const char *directory, const char *name)
{
    static uint8_t data[INPUT_MAX];
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "rbe");
    if (!file) {
        perror(path);
        exit(1);
    }
    size_t size = fread(data, 1, sizeof data, file);
    (void)fclose(file);
    return run_near(data, size);
}

int main(int argc, char **argv)
{
    size_t inputs = 0, runs = 0;
    DIR *directory = argc == 2 ? opendir(argv[1]) : NULL;
    const struct dirent *entry;
    while (directory && (entry = readdir(directory)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        runs += run_file(argv[1], entry->d_name);
        inputs++;
    }
    if (directory)
        (void)closedir(directory);
    printf("1..1\n%s 1 - %zu inputs and what is near them, %zu runs\n",
           inputs > 0 ? "ok" : "not ok", inputs, runs);
    return inputs == 0;
}
