/* options: the command line of the pool demo. Called by main, before anything is started. */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <time.h>

static const char help[] =
    "usage: pool_demo [OPTION...]\n"
    "\n"
    "Starts a pool of Python workers, gives it real work, kills some of them in the middle of it,\n"
    "and accounts for every request and every process.\n"
    "\n"
    "  --workers N    how many workers, 1 to 256 (8)\n"
    "  --sequential   start them one by one; the parallel start is measured beside it\n"
    "  --dir DIR      analyse the .py files below DIR (the standard library of the workers' "
    "Python)\n"
    "  --kill N       kill N busy workers during the job, 0 to 100 (3)\n"
    "  --seed N       choose the same victims again (by the clock)\n"
    "  --json         print one JSON object with all figures and nothing else\n"
    "  --quiet        print only the verdict\n"
    "  --no-color     no colours; the environment variable NO_COLOR does the same\n"
    "  --help         print this\n"
    "\n"
    "MUSTER_PYTHON names the interpreter of the workers. Ctrl-C stops in order, a second one at\n"
    "once; no process stays in either case.\n"
    "\n"
    "Exit status: 0 every outcome was accounted for, 1 something was not, 2 the options are wrong\n"
    "or the pool could not be started, 130 interrupted.\n";

enum { WORKERS = 1, SEQUENTIAL, DIRECTORY, KILL, SEED, JSON, QUIET, NO_COLOR, HELP };

static const struct option known[] = {
    {"workers", required_argument, NULL, WORKERS},
    {"sequential", no_argument, NULL, SEQUENTIAL},
    {"dir", required_argument, NULL, DIRECTORY},
    {"kill", required_argument, NULL, KILL},
    {"seed", required_argument, NULL, SEED},
    {"json", no_argument, NULL, JSON},
    {"quiet", no_argument, NULL, QUIET},
    {"no-color", no_argument, NULL, NO_COLOR},
    {"help", no_argument, NULL, HELP},
    {NULL, 0, NULL, 0},
};

static options_verdict bad(const char *format, ...) __attribute__((format(printf, 1, 2)));
static options_verdict take(int option, const char *text, demo_options *o);
static options_verdict take_directory(const char *text, demo_options *o);
static options_verdict take_number(const char *name, const char *text, uint64_t least,
                                   uint64_t most, uint64_t *ret);

options_verdict options_read(int argc, char **argv, demo_options *ret_options)
{
    demo_options o = {.workers = 8, .kill = 3, .seed = (uint64_t)time(NULL)};
    options_verdict verdict = OPTIONS_RUN;
    int option;

    opterr = 0;
    while (verdict == OPTIONS_RUN && (option = getopt_long(argc, argv, ":", known, NULL)) != -1) {
        if (option == '?')
            verdict = bad("unknown option %s", argv[optind - 1]);
        else if (option == ':')
            verdict = bad("%s needs a value", argv[optind - 1]);
        else
            verdict = take(option, optarg, &o);
    }
    if (verdict == OPTIONS_RUN && optind < argc)
        verdict = bad("unexpected argument %s", argv[optind]);
    *ret_options = o;
    return verdict;
}

static options_verdict take(int option, const char *text, demo_options *o)
{
    uint64_t number = 0;
    options_verdict verdict = OPTIONS_RUN;

    switch (option) {
    case WORKERS:
        verdict = take_number("--workers", text, 1, WORKERS_MAX, &number);
        o->workers = (int)number;
        break;
    case KILL:
        verdict = take_number("--kill", text, 0, KILL_MAX, &number);
        o->kill = (int)number;
        break;
    case SEED:
        verdict = take_number("--seed", text, 0, INT64_MAX, &o->seed);
        break;
    case DIRECTORY:
        verdict = take_directory(text, o);
        break;
    case SEQUENTIAL:
        o->sequential = true;
        break;
    case JSON:
        o->json = true;
        break;
    case QUIET:
        o->quiet = true;
        break;
    case NO_COLOR:
        o->no_color = true;
        break;
    default:
        fputs(help, stdout);
        verdict = OPTIONS_HELP;
    }
    return verdict;
}

static options_verdict take_number(const char *name, const char *text, uint64_t least,
                                   uint64_t most, uint64_t *ret)
{
    char *end;
    unsigned long long number;

    errno = 0;
    number = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || errno || number < least || number > most)
        return bad("%s is a number from %llu to %llu, not \"%s\"", name, (unsigned long long)least,
                   (unsigned long long)most, text);
    *ret = number;
    return OPTIONS_RUN;
}

static options_verdict take_directory(const char *text, demo_options *o)
{
    struct stat status;

    if (stat(text, &status) != 0)
        return bad("--dir %s: %s", text, strerror(errno));
    if (!S_ISDIR(status.st_mode))
        return bad("--dir %s: not a directory", text);
    if (access(text, R_OK | X_OK) != 0)
        return bad("--dir %s: %s", text, strerror(errno));
    o->dir = text;
    return OPTIONS_RUN;
}

static options_verdict bad(const char *format, ...)
{
    va_list args;

    fputs("pool_demo: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputs(" (--help lists the options)\n", stderr);
    return OPTIONS_BAD;
}
