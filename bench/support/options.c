/*
 * support/options: see options.h. Called first by each benchmark's main.
 */
#include "support/options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void usage(FILE *to, const char *program, const char *about)
{
    fprintf(to,
            "usage: %s [--json] [--quick] [--only TEXT] [--help]\n\n%s\n"
            "  --json       one JSON object instead of a table\n"
            "  --quick      shorter, with less certain figures: under 30 s\n"
            "  --only TEXT  only the parts whose name contains TEXT\n"
            "  --smoke      a few iterations: checks the machinery, measures nothing\n"
            "  --help       this\n\n"
            "bench/README.md explains the rows, their floors and their budgets.\n",
            program, about);
}

void bench_options_parse(bench_options *ret_options, int argc, char **argv, const char *about)
{
    static const struct option known[] = {
        {"json", no_argument, NULL, 'j'},       {"quick", no_argument, NULL, 'q'},
        {"only", required_argument, NULL, 'o'}, {"smoke", no_argument, NULL, 's'},
        {"help", no_argument, NULL, 'h'},       {NULL, 0, NULL, 0},
    };
    const char *slash = strrchr(argv[0], '/');
    const char *program = slash ? slash + 1 : argv[0];
    *ret_options = (bench_options){.effort = BENCH_FULL};
    opterr = 0;
    for (int option; (option = getopt_long(argc, argv, "+:h", known, NULL)) != -1;) {
        switch (option) {
        case 'j':
            ret_options->json = true;
            break;
        case 'q':
            ret_options->effort = BENCH_QUICK;
            break;
        case 'o':
            ret_options->only = optarg;
            break;
        case 's':
            ret_options->effort = BENCH_SMOKE;
            break;
        case 'h':
            usage(stdout, program, about);
            exit(0);
        default:
            fprintf(stderr, "%s: %s %s; --help lists the options\n", program, argv[optind - 1],
                    option == ':' ? "needs a value" : "is no option");
            exit(2);
        }
    }
    if (optind < argc) {
        fprintf(stderr, "%s: %s is no option; --help lists them\n", program, argv[optind]);
        exit(2);
    }
}

/* The parts that were offered: `only` may name none of them. */
static char offered[1024];
static bool any_wanted;

bool bench_wanted(const bench_options *options, const char *name)
{
    bool wanted = options->only == NULL || strstr(name, options->only) != NULL;
    size_t used = strlen(offered);
    snprintf(offered + used, sizeof offered - used, "\n  %s", name);
    any_wanted = any_wanted || wanted;
    return wanted;
}

void bench_options_end(const bench_options *options)
{
    if (any_wanted)
        return;
    fprintf(stderr, "--only: no part's name contains '%s'; the parts are:%s\n", options->only,
            offered);
    exit(2);
}
