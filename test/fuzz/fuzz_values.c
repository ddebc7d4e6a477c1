/* The decoder: what is taken as a value can be read in full, and survives the way to JSON and back.
 */
#include <string.h>

#include <muster/value.h>

#include "fuzz.h"

static void walk(const mu_value *value, unsigned depth)
{
    mu_value key = MU_VALUE_INIT, item = MU_VALUE_INIT;
    fuzz_must(depth <= MU_VALUE_DEPTH_MAX);
    size_t count = mu_value_count(value, "");
    mu_value_iter iter = mu_value_iterate(value, "");
    size_t seen = 0;
    while (mu_value_next(&iter, &key, &item)) {
        walk(&item, depth + 1);
        seen++;
    }
    fuzz_must(seen == count);
}

static void go_through_json(const mu_value *value)
{
    char *text, *again;
    size_t size, size_again;
    mu_value back = MU_VALUE_INIT;
    if (mu_value_to_json(value, &text, &size) != MU_OK)
        return;
    fuzz_must(mu_value_from_json(text, size, &back, NULL) == MU_OK);
    fuzz_must(mu_value_to_json(&back, &again, &size_again) == MU_OK);
    fuzz_must(size == size_again && memcmp(text, again, size) == 0);
    mu_value_clear(&back);
    free(again);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mu_value value = MU_VALUE_INIT;
    if (mu_value_from_bytes(data, size, &value, NULL) != MU_OK)
        return 0;
    walk(&value, 0);
    go_through_json(&value);
    mu_value_clear(&value);
    return 0;
}
