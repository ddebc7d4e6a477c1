/*
 * version: which muster this is
 *
 * Called by programs only. The number itself stands in the top meson.build.
 */
#include <muster/version.h>

#include "build_info.h"

const char *mu_version(void)
{
    return MU_BUILD_VERSION;
}
