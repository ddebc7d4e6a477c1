#include <muster/version.h>

#include <stdio.h>

#include "support/mu_test.h"

MU_TEST(version, is_three_numbers)
{
    int major, minor, patch;
    char rest;

    mu_check_eq(sscanf(mu_version(), "%d.%d.%d%c", &major, &minor, &patch, &rest), 3);
}
